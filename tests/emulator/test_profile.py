"""What the documentation leaves open: how it is chosen, and that each choice is carried out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_schedulerx.emulator import profile
from airflow_provider_schedulerx.emulator.behaviours import BEHAVIOURS, PROFILES
from airflow_provider_schedulerx.emulator.engine import Engine, Refused
from airflow_provider_schedulerx.emulator.process import EmulatorError, EmulatorProcess
from airflow_provider_schedulerx.emulator.profile import Profile, ProfileError
from tests.conftest import WORKFLOWS
from tests.emulator.test_clients import start_job
from tests.emulator.test_engine import KNOWN, Clock
from tests.emulator.test_server import GROUP, call


def test_every_behaviour_says_what_it_is() -> None:
    for key, behaviour in BEHAVIOURS.items():
        assert behaviour.key == key
        assert behaviour.default in behaviour.names
        assert len(set(behaviour.names)) == len(behaviour.names) >= 2
        assert {value.source for value in behaviour.values} <= set("DCIU")
        assert all(value.meaning for value in behaviour.values)
        assert behaviour.question.partition("(")[0].strip().endswith("?")


def test_named_profiles_exist_as_said() -> None:
    assert dict(profile.parse("documented")) == {key: each.default for key, each in BEHAVIOURS.items()}
    for name, chosen in PROFILES.items():
        assert dict(profile.parse(name)) == {**dict(Profile()), **chosen}
        assert str(profile.parse(name)) == name


@given(
    st.fixed_dictionaries({}, optional={key: st.sampled_from(each.names) for key, each in BEHAVIOURS.items()})
)
def test_what_is_written_is_read_again(chosen: dict[str, str]) -> None:
    made = Profile(chosen)
    assert profile.parse(str(made)) == made
    assert dict(made) == {**dict(Profile()), **chosen}


def test_choices_override_the_name_before_them() -> None:
    made = profile.parse("hostile, list_length = 300")
    assert dict(made) == {**dict(profile.parse("hostile")), "list_length": "300"}
    assert profile.parse("when_full=skip")["when_full"] == "skip"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hostlie", "no profile 'hostlie'; did you mean 'hostile'? known: documented, hostile"),
        ("", "no profile ''; known: documented, hostile"),
        (
            "list_lenght=10",
            "no behaviour 'list_lenght'; did you mean 'list_length'? known: list_length, list_order,",
        ),
        ("when_full=wait", "no value of when_full 'wait'; known: refuse, queue, skip, join"),
        ("stopped_state=8", "no value of stopped_state '8'; known: 5, 6, 7"),
        ("list_lag=2,hostile", "a name may only come first"),
        ("hostile,", "is not key=value"),
    ],
)
def test_what_does_not_exist_is_told_with_what_does(emulator: EmulatorProcess, text: str, says: str) -> None:
    with pytest.raises(ProfileError) as caught:
        profile.parse(text)
    assert says in str(caught.value)
    with pytest.raises(EmulatorError) as refused:
        emulator.set_profile(text)
    assert says in json.loads(str(refused.value))["error"]
    assert emulator.profile() == dict(Profile())


def test_the_command_line_takes_and_explains_it() -> None:
    program = [sys.executable, "-m", "airflow_provider_schedulerx.emulator", "--profile"]
    wrong = subprocess.run([*program, "hostlie"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "did you mean 'hostile'" in wrong.stderr
    told = subprocess.run([*program, "help"], capture_output=True, text=True, check=True).stdout
    for behaviour in BEHAVIOURS.values():
        assert behaviour.question in told
        assert all(value.meaning in told for value in behaviour.values)


def test_a_process_takes_it_and_keeps_it_over_a_restart() -> None:
    emulator = EmulatorProcess("--workflows", str(WORKFLOWS), profile="hostile")
    with emulator:
        assert emulator.profile() == dict(profile.parse("hostile"))
        emulator.set_profile("hostile,time_zone=+00:00")
        emulator.kill()
        emulator.restart()
        assert emulator.profile() == dict(profile.parse("hostile,time_zone=+00:00"))


class Service:
    """Calls of the service, signed by hand, under one profile."""

    def __init__(self, emulator: EmulatorProcess) -> None:
        self.emulator = emulator

    def __call__(self, action: str, **parameters: object) -> tuple[int, dict[str, Any], dict[str, str]]:
        return call(
            self.emulator, action, {**GROUP, **{name: str(value) for name, value in parameters.items()}}
        )

    def start(self, workflow_id: int = 3, **parameters: object) -> int:
        return int(self("ExecuteWorkflow", WorkflowId=workflow_id, **parameters)[1]["Data"]["WfInstanceId"])

    def start_job(self, job_id: int) -> int:
        started = start_job(lambda: self("ExecuteJob", JobId=job_id)[1])
        return int(started["Data"]["JobInstanceId"])

    def job_list(self, job_id: int, **parameters: object) -> list[int]:
        found = self("GetJobInstanceList", JobId=job_id, **parameters)[1]["Data"]["JobInstanceDetails"]
        return [each["InstanceId"] for each in found]

    def run(self, wf_instance_id: int, workflow_id: int = 3) -> dict[str, Any]:
        data: dict[str, Any] = self(
            "GetWorkflowInstance", WorkflowId=workflow_id, WfInstanceId=wf_instance_id
        )[1]["Data"]
        return data

    def node(self, wf_instance_id: int, index: int = 0) -> dict[str, Any]:
        node: dict[str, Any] = self.run(wf_instance_id)["WfInstanceDag"]["Nodes"][index]
        return node

    def job(self, wf_instance_id: int) -> dict[str, Any]:
        node = self.node(wf_instance_id)
        found = self("GetJobInstance", JobId=node["JobId"], JobInstanceId=node["JobInstanceId"])
        detail: dict[str, Any] = found[1]["Data"]["JobInstanceDetail"]
        return detail

    def listed(self, workflow_id: int = 3) -> list[int]:
        infos = self("ListWorkflowInstance", WorkflowId=workflow_id)[1]["Data"]["WfInstanceInfos"]
        return [info["WfInstanceId"] for info in infos]

    def stop(self, wf_instance_id: int, index: int = 0) -> dict[str, Any]:
        node = self.node(wf_instance_id, index)
        body: dict[str, Any] = self("StopInstance", JobId=node["JobId"], InstanceId=node["JobInstanceId"])[1]
        return body


def turned_by_hand(text: str) -> tuple[Engine, Clock]:
    clock = Clock()
    return Engine(
        KNOWN.workflows.values(), jobs=KNOWN.jobs.values(), clock=clock, profile=profile.parse(text)
    ), clock


@pytest.fixture
def service(emulator: EmulatorProcess) -> Service:
    return Service(emulator)


def list_length(service: Service, value: str) -> None:
    started = [service.start() for _ in range(12)]
    length = len(service.listed())
    assert length >= 12 if value == "300" else length == 10
    assert service.listed()[0] == started[-1]


def job_list_length(service: Service, value: str) -> None:
    engine, clock = turned_by_hand(f"job_list_length={value}")
    job = engine.jobs[23]
    for _ in range(12):
        engine.execute_job(job, None)
        clock.now += 1
    assert len(engine.listed(job)) == (12 if value == "all" else 10)
    for _ in range(2):
        service.start_job(21)
    pages = [service.job_list(21, PageNum=page, PageSize=1) for page in (1, 2)]
    assert (len(pages[0]) == 1) is (value == "all")
    assert (pages[0] == pages[1]) is (value == "10")


def job_list_time(service: Service, value: str) -> None:
    service.emulator.set_profile(f"when_full=queue,job_list_time={value}")
    running, waiting = service.start_job(26), service.start_job(26)
    created = {each["wf_instance_id"]: each["created"] for each in service.emulator.job_instances(26)}
    since = service.job_list(26, StartTimestamp=int(created[waiting] * 1000))
    before = service.job_list(26, EndTimestamp=int(created[waiting] * 1000) - 1)
    if value == "ignored":
        assert {running, waiting} <= set(since) & set(before)
    else:
        assert since == ([waiting] if value == "schedule" else [])
        assert running in before or len(created) > 2
        assert waiting not in before


def same_second(service: Service, value: str) -> None:
    engine, clock = turned_by_hand(f"same_second={value}")
    engine.execute_job(engine.jobs[23], None)
    clock.now += 0.9
    with pytest.raises(Refused, match="Duplicate entry" if value == "duplicate" else "system error"):
        engine.execute_job(engine.jobs[23], None)
    clock.now += 0.1
    engine.execute_job(engine.jobs[23], None)
    assert engine.job_starts == {23: 2}


def stopped_job_state(service: Service, value: str) -> None:
    started = service.start_job(23)
    assert service("StopInstance", JobId=23, InstanceId=started)[1]["Success"] is True
    detail = service("GetJobInstance", JobId=23, JobInstanceId=started)[1]["Data"]["JobInstanceDetail"]
    assert (detail["Status"], detail["Result"]) == (int(value), "killed from server")
    run = service.start()
    service.stop(run)
    assert service.node(run)["Status"] == int(value)


def list_order(service: Service, value: str) -> None:
    started = [service.start() for _ in range(10)]
    listed = service.listed()
    assert sorted(listed) == started
    orders = {"newest_first": started[::-1], "oldest_first": started}
    assert listed == orders[value] if value in orders else listed not in orders.values()


def list_waiting(service: Service, value: str) -> None:
    service.emulator.set_profile(f"when_full=queue,list_waiting={value}")
    running, waiting = service.start(7), service.start(7)
    listed = service.listed(7)
    assert running in listed or len(service.emulator.instances(7)) > 2
    assert (waiting in listed) is (value == "listed")


def list_lag(service: Service, value: str) -> None:
    engine, clock = turned_by_hand(f"list_lag={value}")
    run = engine.execute(engine.workflows[3], None)
    shown = []
    for clock.now in (1000.0, 1001.9, 1002.0, 1019.9, 1020.0):
        shown.append(engine.listed(engine.workflows[3]) == [run])
    assert shown == [now >= int(value) for now in (0, 1.9, 2, 19.9, 20)]


def when_full(service: Service, value: str) -> None:
    service.emulator.set_profile("when_full=queue")
    service.start(7)
    service.emulator.set_profile(f"when_full={value}")
    before = service.emulator.starts(7)
    body = service("ExecuteWorkflow", WorkflowId=7)[1]
    assert body["Success"] is (value != "refuse")
    assert service.emulator.starts(7) == before + (value == "queue")
    active = [run["wf_instance_id"] for run in service.emulator.instances(7) if run["status"] in (1, 2, 3)]
    if value != "refuse":
        assert body["Data"]["WfInstanceId"] == (0 if value == "skip" else active[-1])


def disabled_workflow(service: Service, value: str) -> None:
    assert service("ExecuteWorkflow", WorkflowId=6)[1]["Success"] is (value == "run")


def parameters_shown(service: Service, value: str) -> None:
    parameters = '{"a":"é\\\\"}'
    shown = service.job(service.start(InstanceParameters=parameters)).get("Parameters")
    assert (
        shown
        == {
            "run": parameters,
            "job": '{"side":"left"}',
            "none": None,
            "escaped": '{\\"a\\":\\"é\\\\\\\\\\"}',
            "html": "{&quot;a&quot;:&quot;é\\\\&quot;}",
            "cut": parameters,
        }[value]
    )
    if value == "escaped":
        assert json.loads(f'"{shown}"') == parameters
    long = service.job(service.start(InstanceParameters='{"a":"0123456789"}')).get("Parameters")
    assert (long == '{"a":"012345...') is (value == "cut")


def empty_data(service: Service, value: str) -> None:
    service.emulator.reset()
    service.emulator.set_profile(f"empty_data={value}")
    empty = service("ListWorkflowInstance", WorkflowId=3)[1]
    run = service.start()
    stopped = service.stop(run)
    assert service.listed() == [run]
    assert (empty["Success"], stopped["Success"]) == (True, True)
    if value == "null":
        assert (empty["Data"], stopped["Data"]) == (None, None)
    else:
        assert empty["Data"] == {"WfInstanceInfos": []}
        assert "Data" not in stopped


def business_status(service: Service, value: str) -> None:
    status, body, _ = service("GetWorkFlow", WorkflowId=99)
    assert (status, body["Success"], body["Code"]) == (int(value), False, 400)


def denial(service: Service, value: str) -> None:
    service.emulator.add_account(
        access_key_id="emulator",
        access_key_secret="emulator-secret",
        denied=["edas:ReadSchedulerxWorkflowQuery"],
    )
    try:
        status, body, _ = service("GetWorkFlow", WorkflowId=1)
    finally:
        service.emulator.add_account(access_key_id="emulator", access_key_secret="emulator-secret")
    detail = body["AccessDeniedDetail"]
    assert (detail["AuthAction"], detail["AuthPrincipalOwnerId"]) == (
        "edas:ReadSchedulerxWorkflowQuery",
        "1144881807903942",
    )
    if value == "gateway":
        assert (status, body["Code"]) == (403, "Forbidden.RAM")
    else:
        assert (status, body["Code"], body["Success"]) == (200, 403, False)


def throttling(service: Service, value: str) -> None:
    service.emulator.add_fault("*", "throttle", retry_after_ms=1)
    status, body, _ = service("DescribeRegions")
    assert (status, body["Code"]) == (int(value), "Throttling.User")


def retry_after(service: Service, value: str) -> None:
    service.emulator.add_fault("*", "throttle", retry_after_ms=1234)
    headers = service("DescribeRegions")[2]
    assert headers.get("x-acs-retry-after") == ("1234" if value == "sent" else None)


def stopped_state(service: Service, value: str) -> None:
    started = service.start()
    assert service.stop(started, 0)["Success"] is True
    assert service.stop(started, 1)["Success"] is True
    assert service.run(started)["WfInstanceInfo"]["Status"] == int(value)
    assert [node["Status"] for node in service.run(started)["WfInstanceDag"]["Nodes"]] == [5, 5, 1]


def waiting_node_id(service: Service, value: str) -> None:
    dag = service.run(service.start())["WfInstanceDag"]
    left, right, after = dag["Nodes"]
    assert ("JobInstanceId" in after) is (value == "present")
    assert ("Status" in after) is (value != "bare")
    edges = {(edge["Source"], edge["Target"]) for edge in dag["Edges"]}
    roots = {(0, left["JobInstanceId"]), (0, right["JobInstanceId"])}
    last = after.get("JobInstanceId")
    others = {(left["JobInstanceId"], last), (right["JobInstanceId"], last)} if last else set()
    assert edges == roots | others


def retry_ids(service: Service, value: str) -> None:
    started = service.start()
    service.stop(started)
    before = service.node(started)
    job = {"JobId": before["JobId"], "JobInstanceId": before["JobInstanceId"]}
    assert service("RetryJobInstance", **job)[1]["Success"] is True
    after = service.node(started)
    assert (after["Status"], after["Attempt"]) == (3, 1)
    assert (after["JobInstanceId"] == before["JobInstanceId"]) is (value == "kept")
    assert service("GetJobInstance", **job)[1]["Success"] is (value == "kept")


def late_refusal(service: Service, value: str) -> None:
    before = service.emulator.starts(3)
    status, body, _ = service("ExecuteWorkflow", WorkflowId=3)
    assert service.emulator.starts(3) == before + 1
    told = (status, body.get("Success"), body.get("Code"))
    assert told == {
        "never": (200, True, 200),
        "500": (200, False, 500),
        "timeout": (400, None, "InternalError.Timeout"),
        "no_code": (200, False, None),
    }.get(value)


def node_trigger_type(service: Service, value: str) -> None:
    shown = service.job(service.start()).get("TriggerType")
    assert shown == (None if value == "absent" else int(value))


def time_zone(service: Service, value: str) -> None:
    started = service.start()
    created = service.emulator.instances(3)[-1]["created"]
    told = service.run(started)["WfInstanceInfo"]["ScheduleTime"]
    assert datetime.strptime(told + value, "%Y-%m-%d %H:%M:%S%z").timestamp() == int(created)


def api_data_time(service: Service, value: str) -> None:
    info = service.run(service.start())["WfInstanceInfo"]
    assert info.get("DataTime") == (info["ScheduleTime"] if value == "present" else None)


def name_filter(service: Service, value: str) -> None:
    found = {
        name: [record["Name"] for record in service("ListWorkFlows", WorkflowName=name)[1]["Data"]["Records"]]
        for name in ("good", "goo", "GOO")
    }
    assert [bool(names) for names in found.values()] == {
        "part": [True, True, False],
        "any_case": [True, True, True],
        "exact": [True, False, False],
    }[value]


def start_interval(service: Service, value: str) -> None:
    engine, clock = turned_by_hand(f"start_interval={value}")
    engine.execute(engine.workflows[3], None)
    clock.now += 0.9
    if value == "1":
        with pytest.raises(Refused, match="same second"):
            engine.execute(engine.workflows[3], None)
        assert engine.starts == {3: 1}
        clock.now += 0.1
    engine.execute(engine.workflows[3], None)
    assert engine.starts == {3: 2}


def quota_per(service: Service, value: str) -> None:
    owner = "quota-test"
    for key in ("one", "two"):
        service.emulator.add_account(access_key_id=key, access_key_secret="s", owner=owner)
    service.emulator.set_quota(2)
    answers = [
        call(service.emulator, "DescribeRegions", {}, key=(key, "s"))[1]["Code"]
        for key in ("one", "two")
        for _ in "ab"
    ]
    throttled = ["Throttling.User"] * 2
    assert answers == [200, 200, *(throttled if value == "account" else [200, 200])]


def edition(service: Service, value: str) -> None:
    groups = call(
        service.emulator, "ListGroups", {"RegionId": "cn-hangzhou", "Namespace": GROUP["Namespace"]}
    )
    assert groups[1]["Data"]["AppGroups"][0]["AppVersion"] == (1 if value == "basic" else 2)
    for action in ("ListWorkflowInstance", "GetWorkFlow", "ExecuteWorkflow"):
        expected = value == "professional" or action != "ListWorkflowInstance"
        assert service(action, WorkflowId=3)[1]["Success"] is expected


def log_service(service: Service, value: str) -> None:
    node = service.node(service.start())
    job = {"JobId": node["JobId"], "JobInstanceId": node["JobInstanceId"]}
    assert service("GetLog", **job)[1]["Success"] is (value == "on")


def list_workflows(service: Service, value: str) -> None:
    assert service("ListWorkFlows")[1]["Code"] == (200 if value == "present" else "InvalidAction.NotFound")


CHECKS: dict[str, Callable[[Service, str], None]] = {
    check.__name__: check
    for check in (
        list_length,
        job_list_length,
        job_list_time,
        same_second,
        stopped_job_state,
        list_order,
        list_waiting,
        list_lag,
        when_full,
        disabled_workflow,
        parameters_shown,
        empty_data,
        business_status,
        denial,
        throttling,
        retry_after,
        stopped_state,
        waiting_node_id,
        retry_ids,
        late_refusal,
        node_trigger_type,
        time_zone,
        api_data_time,
        start_interval,
        quota_per,
        edition,
        log_service,
        list_workflows,
        name_filter,
    )
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, behaviour in BEHAVIOURS.items() for value in behaviour.names]
)
def test_the_emulator_does_what_was_chosen(service: Service, key: str, value: str) -> None:
    service.emulator.set_profile(f"{key}={value}")
    CHECKS[key](service, value)
