"""What the doctor finds out about the emulator is what the emulator's profile says, for every value of every behaviour."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_schedulerx.doctor.checks import following, starting
from airflow_provider_schedulerx.doctor.examination import Report, examine
from airflow_provider_schedulerx.doctor.findings import BY_KEY
from airflow_provider_schedulerx.doctor.session import Options
from airflow_provider_schedulerx.emulator import behaviours
from airflow_provider_schedulerx.emulator.behaviours import PROFILES
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from tests.conftest import WORKFLOWS

#: Of jobs; what is examined here is a workflow and its runs.
OF_JOBS = {"job_list_length", "job_list_time", "same_second", "stopped_job_state"}
BEHAVIOURS = {key: each for key, each in behaviours.BEHAVIOURS.items() if key not in OF_JOBS}


_ids = itertools.count(5000)


@dataclass(frozen=True)
class Situation:
    """What it takes to see a behaviour.

    :ivar also: more of the profile.
    :ivar past: runs before, of which the last one may be active.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    also: str = ""
    past: int = 0
    duration: float = 0.05
    max_concurrency: int = 1000
    enabled: bool = True
    denied: tuple[str, ...] = ()
    quota: int = 1_000_000
    sleep: Callable[[float], None] = time.sleep


START = {"start": True}
#: Seconds to follow a run that does not end: all there is to see is seen at its beginning.
BRIEFLY = {**START, "follow": 3.0}
#: A start beyond MaxConcurrency: the first run lasts, and only one may run.
FULL: dict[str, Any] = {"options": {**BRIEFLY, "fill": True}, "duration": 600, "max_concurrency": 1}

SITUATIONS = {
    "list_order": Situation(past=6),
    "list_waiting": Situation(also="when_full=queue", **FULL),
    "list_lag": Situation({**START, "follow": 25.0}),
    "when_full": Situation(**FULL),
    "disabled_workflow": Situation(START, enabled=False),
    "start_interval": Situation(also="when_full=queue", **FULL),
    "parameters_shown": Situation({**START, "parameters": {"day": "today"}}),
    "empty_data": Situation(),
    "waiting_node_id": Situation(past=1, duration=600),
    "node_trigger_type": Situation(START),
    "time_zone": Situation(START),
    "business_status": Situation(),
    "denial": Situation(denied=("edas:ReadSchedulerxJobInstanceQuery",)),
    "throttling": Situation(quota=1, sleep=lambda seconds: None),
    "retry_after": Situation(quota=1, sleep=lambda seconds: None),
    "stopped_state": Situation({**START, "stop": True}, duration=600),
    "late_refusal": Situation({**START, "parameters": {}}, duration=1),
    "edition": Situation(),
    "log_service": Situation(past=1),
    "list_workflows": Situation(),
    "name_filter": Situation(),
    "api_data_time": Situation(START),
}
#: It would do harm to find these out.
NOT_FOUND_OUT = {"retry_ids", "quota_per"}
#: Values that nobody can see in a single start, since it proves nothing of the next one.
NOT_PROVEN = {("late_refusal", "never")}


#: How much faster the list is late.
FASTER = 10


@pytest.fixture(scope="module")
def _processes() -> Iterator[dict[int, EmulatorProcess]]:
    with contextlib.ExitStack() as stack:
        yield {
            speed: stack.enter_context(
                EmulatorProcess("--workflows", str(WORKFLOWS), "--quota", "1000000", "--speed", str(speed))
            )
            for speed in (1, FASTER)
        }


@pytest.fixture
def local(
    _processes: dict[int, EmulatorProcess], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[EmulatorProcess]:
    process = _processes[getattr(request, "param", 1)]
    # How long a run that may never come is looked for.
    monkeypatch.setattr(starting, "LATE_SECONDS", 3.0)
    monkeypatch.setattr(following, "HIDDEN_AFTER", 0.5)
    yield process
    process.set_profile("documented")
    process.set_quota(1_000_000)


@pytest.fixture
def examined(
    local: EmulatorProcess, connect: Callable[..., None]
) -> Callable[[str, Situation], tuple[Report, dict[str, str]]]:
    """Bring a situation about and examine it."""

    def run(profile: str, situation: Situation) -> tuple[Report, dict[str, str]]:
        workflow_id = next(_ids)
        nodes = [
            {"name": "first", "duration": situation.duration, "parameters": "the job's own"},
            {"name": "second", "after": "first", "duration": situation.duration},
        ]
        definition = {
            "id": workflow_id,
            "namespace": "demo",
            "group": "etl",
            "max_concurrency": situation.max_concurrency,
            "nodes": nodes,
        }
        namespaces = [{"id": "demo", "groups": ["etl", "reporting"]}]
        local.set_profile("documented")
        local.add_workflows({"namespaces": namespaces, "workflows": [definition]})
        connect(local.connection())
        for number in range(situation.past):
            SchedulerXHook().execute_workflow(workflow_id, {"number": number})
        local.add_workflows(
            {"namespaces": namespaces, "workflows": [{**definition, "enabled": situation.enabled}]}
        )
        local.set_profile(",".join(filter(None, (profile, situation.also))))
        local.add_account(
            access_key_id="LTAI5tPatientNumber1", access_key_secret="patient", denied=list(situation.denied)
        )
        local.set_quota(situation.quota)
        connect({**local.connection(), "login": "LTAI5tPatientNumber1", "password": "patient"})
        options = Options(workflow_id=workflow_id, **situation.options)
        report = examine(SchedulerXHook(), options, may_start=lambda question: True, sleep=situation.sleep)
        return report, local.profile()

    return run


def assert_no_finding_is_wrong(report: Report, profile: Mapping[str, str], speed: int = 1) -> None:
    """What is found out is so."""
    for key in BEHAVIOURS:
        finding = report.findings[key]
        if key != "list_lag":
            assert finding.value in (None, profile[key]), finding
        elif finding.value is not None:
            # Measured: it lies between two looks, or is 0 if the first look shows the run.
            above, at_most = finding.data["above"], finding.data["at_most"]
            assert (above or -1) < int(profile[key]) / speed <= at_most, finding
            assert (finding.value == "0") == (above is None)
    assert all("the check '" not in each.text for each in report.findings.values())


EVERY_VALUE = [
    (key, value.name)
    for key, behaviour in BEHAVIOURS.items()
    for value in behaviour.values
    if key not in NOT_FOUND_OUT and key not in ("list_length", "list_lag")
]


@pytest.mark.parametrize(("key", "value"), EVERY_VALUE)
def test_findings_equal_the_profile(
    key: str, value: str, examined: Callable[[str, Situation], tuple[Report, dict[str, str]]]
) -> None:
    report, profile = examined(f"{key}={value}", SITUATIONS[key])
    if (key, value) in NOT_PROVEN:
        assert report.findings[key].value is None
    else:
        assert report.findings[key].value == value, report.findings[key]
    assert_no_finding_is_wrong(report, profile)


@pytest.mark.parametrize("length", BEHAVIOURS["list_length"].names)
def test_the_length_of_the_list_is_seen_when_a_new_run_pushes_the_oldest_out(
    length: str, examined: Callable[[str, Situation], tuple[Report, dict[str, str]]]
) -> None:
    report, profile = examined(f"list_length={length}", Situation(START, past=int(length)))
    assert report.findings["list_length"].value == length
    assert_no_finding_is_wrong(report, profile)


@pytest.mark.parametrize("local", [FASTER], indirect=True)
@pytest.mark.parametrize("seconds", BEHAVIOURS["list_lag"].names)
def test_the_lag_of_the_list_lies_between_two_looks(
    seconds: str,
    examined: Callable[[str, Situation], tuple[Report, dict[str, str]]],
) -> None:
    report, profile = examined(f"list_lag={seconds}", SITUATIONS["list_lag"])
    assert (report.findings["list_lag"].value == "0") == (seconds == "0")
    assert_no_finding_is_wrong(report, profile, FASTER)


def test_every_behaviour_is_a_question_of_the_doctor_and_has_its_situation() -> None:
    assert set(BEHAVIOURS) <= set(BY_KEY)
    assert set(SITUATIONS) | NOT_FOUND_OUT | {"list_length"} == set(BEHAVIOURS)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize(
    "situation",
    [
        Situation(),
        Situation(past=3),
        Situation({**START, "stop": True, "parameters": {}}, past=12, duration=600),
        Situation({**START, "fill": True, "stop": True}, duration=600, max_concurrency=2),
        Situation({**BRIEFLY, "fill": True}, past=1, duration=600, max_concurrency=1),
        Situation({**START, "fill": True}, duration=0.05, max_concurrency=1),
    ],
    ids=["no run", "few runs", "stopped", "filled", "full before", "too short to fill"],
)
def test_whole_profiles_are_never_misread(
    name: str,
    situation: Situation,
    examined: Callable[[str, Situation], tuple[Report, dict[str, str]]],
) -> None:
    report, profile = examined(name, situation)
    assert_no_finding_is_wrong(report, profile)


@pytest.mark.parametrize("key", sorted(NOT_FOUND_OUT))
def test_what_would_do_harm_is_said_not_to_be_found_out(
    key: str, examined: Callable[[str, Situation], tuple[Report, dict[str, str]]]
) -> None:
    report, _ = examined("documented", Situation({**START, "stop": True}, past=6, duration=600))
    finding = report.findings[key]
    assert finding.value is None
    assert "never tried" in finding.text


def test_a_run_is_stopped_only_when_the_list_has_shown_what_it_can(
    local: EmulatorProcess, examined: Callable[[str, Situation], tuple[Report, dict[str, str]]]
) -> None:
    situation = Situation(
        {**START, "fill": True, "stop": True, "follow": 20.0}, duration=600, max_concurrency=1
    )
    report, profile = examined("when_full=queue,list_waiting=hidden,stopped_state=6", situation)
    assert report.findings["list_waiting"].value == "hidden"
    assert report.findings["stopped_state"].value == "6"
    assert report.findings["run"].value == "status 6, status 6"
    assert_no_finding_is_wrong(report, profile)
