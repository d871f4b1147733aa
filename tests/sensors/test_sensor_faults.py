"""What ends a sensor at once, what ends it late, and what does not, in each mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_schedulerx.api.runs.events import Outcome, TerminalEvent
from airflow_provider_schedulerx.emulator.faults import Fault
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.emulator.profile import Profile
from airflow_provider_schedulerx.exceptions import (
    RunFailedError,
    RunNotFollowableError,
    RunSensorError,
    SchedulerXConfigurationError,
)
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.sensors.schedulerx import WorkflowInstanceSensor
from dev.experiments.inprocess import LocalService
from dev.experiments.scenarios import workflows
from dev.experiments.virtual import VirtualClock
from dev.harness.rest import IS_AIRFLOW_2

MODES = [{}, {"mode": "reschedule"}, {"deferrable": True}]


class TaskInstance:
    """What a sensor uses of its task instance.

    :param waited: seconds since the first poke; None if this is the first.
    """

    task = None
    dag_id, run_id, task_id, map_index, try_number, max_tries = "dag", "run", "wait", -1, 1, 0

    def __init__(self, waited: float | None = None, error: Exception | None = None) -> None:
        self._waited = waited
        self._error = error

    def xcom_push(self, **_: Any) -> None:
        if self._error is not None:
            raise self._error

    def get_first_reschedule_date(self, _: Any) -> datetime | None:
        return None if self._waited is None else datetime.now(UTC) - timedelta(seconds=self._waited)


@pytest.fixture(autouse=True)
def no_earlier_poke(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow 2 itself looks into its database for the first poke of mode ``reschedule``."""
    if IS_AIRFLOW_2:
        monkeypatch.setattr("airflow.sensors.base._orig_start_date", lambda **_: None)


def run(error: Exception | None = None, **arguments: Any) -> Any:
    """Run a sensor's try from its start.

    :param error: of each push to XCom.
    :param arguments: with ``rendered``, what templates give instead of what stands in the DAG file.
    """
    rendered = arguments.pop("rendered", {})
    made = WorkflowInstanceSensor(**{"task_id": "wait", "workflow_id": 3, "wf_instance_id": 5, **arguments})
    for name, value in rendered.items():
        setattr(made, name, value)
    context: Any = {"ti": TaskInstance(error=error)}
    return made.execute(context)


def poke(waited: float | None, **arguments: Any) -> bool:
    """Poke in mode ``reschedule``, as a new process does."""
    made = WorkflowInstanceSensor(
        **{"task_id": "wait", "workflow_id": 3, "wf_instance_id": 5, "mode": "reschedule", **arguments}
    )
    context: Any = {"ti": TaskInstance(waited)}
    return bool(made.poke(context))


def answer(emulator: EmulatorProcess, status: int, *nodes: int) -> None:
    """Let the service show a run in this status, with nodes in those."""
    shown = ",".join(
        f'{{"JobId": {number}, "JobInstanceId": {number}, "Status": {node}}}'
        for number, node in enumerate(nodes, 1)
    )
    body = (
        f'{{"Code": 200, "Success": true, "RequestId": "R", "Data": {{"WfInstanceInfo": {{"Status": {status}}}, '
        f'"WfInstanceDag": {{"Nodes": [{shown}], "Edges": []}}}}}}'
    )
    emulator.add_fault("GetWorkflowInstance", "error", status=200, count=10_000, body=body)


# Configuration faults are final at once.


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("name", "says"),
    [("workflow_id", "no workflow is given: set workflow_id"), ("wf_instance_id", "wf_instance_id is empty")],
)
def test_a_wrong_id_from_a_template_is_final(
    hook: SchedulerXHook, mode: dict[str, Any], name: str, says: str
) -> None:
    with pytest.raises(RunNotFollowableError, match=says) as caught:
        run(rendered={name: None}, **mode)
    assert isinstance(caught.value, AirflowFailException)
    assert isinstance(caught.value, RunSensorError)
    with pytest.raises(AirflowSkipException):
        run(rendered={name: None}, soft_fail=True, **mode)


@pytest.mark.parametrize("mode", MODES)
def test_a_wrong_connection_is_final(
    emulator: EmulatorProcess, connect: Callable[..., None], mode: dict[str, Any]
) -> None:
    connect(emulator.connection(region_id=None))
    with pytest.raises(RunNotFollowableError, match="region_id"):
        run(**mode)
    with pytest.raises(AirflowSkipException):
        run(soft_fail=True, **mode)


def test_what_the_trigger_gives_up_is_final_if_the_run_is_not_existed(
    hook: SchedulerXHook, emulator: EmulatorProcess, connect: Callable[..., None]
) -> None:
    def resume(wf_instance_id: int) -> type[BaseException]:
        made = WorkflowInstanceSensor(task_id="wait", workflow_id=3, wf_instance_id=wf_instance_id)
        event = TerminalEvent(Outcome.UNDECIDED, 3, wf_instance_id, message="gone").to_payload()
        context: Any = {"ti": TaskInstance()}
        with pytest.raises(RunSensorError, match="gone") as caught:
            made.execute_complete(context, event, 3, wf_instance_id)
        return caught.type

    endless = hook.execute_workflow(3)
    assert resume(987_654) is RunNotFollowableError
    assert resume(endless) is RunSensorError
    emulator.add_fault("GetWorkflowInstance", "error", status=500, count=1000)
    assert resume(endless) is RunSensorError
    connect(emulator.connection(region_id=None))
    assert resume(endless) is RunNotFollowableError


# A link is never worth a failed task.


def test_a_link_that_cannot_be_kept_ends_nothing(hook: SchedulerXHook, task_log: Callable[[], str]) -> None:
    endless = hook.execute_workflow(3)
    with pytest.raises(TaskDeferred):
        run(error=RuntimeError("no XCom today"), wf_instance_id=endless, deferrable=True)
    assert "The link to the console could not be stored: RuntimeError: no XCom today" in task_log()


# What is wrong in the DAG file fails when the file is parsed.


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("deferrable", "no"),
        ("workflow_id", "abc"),
        ("wf_instance_id", -5),
        ("wf_instance_id", None),
        ("poke_interval", 0.001),
        ("poke_interval", timedelta(milliseconds=1)),
    ],
)
def test_a_wrong_argument_fails_when_the_file_is_parsed(name: str, value: Any) -> None:
    arguments: dict[str, Any] = {"task_id": "wait", "workflow_id": 3, "wf_instance_id": 5, name: value}
    with pytest.raises(SchedulerXConfigurationError, match=name):
        WorkflowInstanceSensor(**arguments)


def test_templates_are_not_checked_when_the_file_is_parsed() -> None:
    made = WorkflowInstanceSensor(
        task_id="wait", workflow_id="{{ params.x }}", wf_instance_id="{{ ti.xcom_pull() }}", poke_interval=0.1
    )
    assert made.poke_interval == 0.1


# Mode reschedule: each poke is a new process, and only the date of the first one is known.


@pytest.mark.parametrize(("poke_interval", "seconds"), [(1, 10), (5, 10), (60, 60)])
@pytest.mark.parametrize("others", [{}, {"exponential_backoff": True, "max_wait": 3}])
def test_the_next_poke_comes_after_airflow_has_heard_of_the_end_of_this_one(
    hook: SchedulerXHook, emulator: EmulatorProcess, poke_interval: float, seconds: float, others: Any
) -> None:
    """Else Airflow 3 takes the report that this process has ended for the end of the next one, and fails the task."""
    answer(emulator, 3, 3)
    began = datetime.now(UTC)
    with pytest.raises(AirflowRescheduleException) as caught:
        run(mode="reschedule", poke_interval=poke_interval, **others)
    after = (caught.value.reschedule_date - began).total_seconds()
    if IS_AIRFLOW_2:
        assert after <= poke_interval + 30
    else:
        assert min(seconds, 10 if others else seconds) <= after <= seconds + 30


def test_not_existed_is_final_after_the_settling_time(hook: SchedulerXHook) -> None:
    for waited in (None, 5):
        assert not poke(waited, wf_instance_id=987_654)
    with pytest.raises(RunNotFollowableError, match="not existed"):
        poke(120, wf_instance_id=987_654)


@pytest.mark.parametrize("waited", [None, 5])
def test_an_undocumented_status_is_followed_at_first(
    hook: SchedulerXHook, emulator: EmulatorProcess, waited: float | None
) -> None:
    answer(emulator, 9, 4, 5)
    assert not poke(waited)


def test_an_undocumented_failure_fails_after_the_settling_time(
    hook: SchedulerXHook, emulator: EmulatorProcess
) -> None:
    answer(emulator, 9, 4, 5)
    with pytest.raises(RunFailedError):
        poke(120)


@pytest.mark.parametrize("nodes", [(5, 3), (4, 1), (4, 4)])
def test_an_undocumented_status_that_is_no_certain_failure_is_followed(
    hook: SchedulerXHook, emulator: EmulatorProcess, nodes: tuple[int, ...]
) -> None:
    """One look cannot tell it from a status that passes."""
    answer(emulator, 9, *nodes)
    assert not poke(120)


def test_passing_faults_are_tolerated_until_the_timeout(
    hook: SchedulerXHook, emulator: EmulatorProcess, no_waiting: None
) -> None:
    emulator.add_fault("GetWorkflowInstance", "drop", count=10_000)
    assert not poke(5_000, poll_failure_tolerance=1)


@pytest.mark.parametrize(
    "error", [RuntimeError("Vault is sealed"), AirflowNotFoundException("it isn't defined")]
)
def test_a_connection_that_is_away_for_a_moment_ends_no_wait(
    hook: SchedulerXHook, monkeypatch: pytest.MonkeyPatch, task_log: Callable[[], str], error: Exception
) -> None:
    """Each poke of mode ``reschedule`` looks it up. The first one has nothing that says that it exists at all."""

    def away(_: Any, __: str) -> Any:
        raise error

    monkeypatch.setattr(SchedulerXHook, "get_connection", classmethod(away))
    made = WorkflowInstanceSensor(task_id="wait", workflow_id=3, wf_instance_id=7, mode="reschedule")
    context: Any = {"ti": TaskInstance(waited=30)}
    assert not made.poke(context)
    assert f"could not be looked up: {type(error).__name__}: {error}" in task_log()
    again = WorkflowInstanceSensor(task_id="wait", workflow_id=3, wf_instance_id=7, mode="reschedule")
    context = {"ti": TaskInstance()}
    with pytest.raises(type(error)):
        again.poke(context)


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """A service in virtual time that throttles all reads."""
    clock = VirtualClock()
    service = LocalService(workflows(), Profile(), clock, 1)
    for operation in ("GetWorkflowInstance", "ListWorkflowInstance", "ListWorkFlows"):
        service.emulator.faults.pending.append(Fault(operation, "throttle", count=1000))
    with service.in_force():
        yield clock


@pytest.mark.parametrize(
    "what",
    [
        {"workflow_id": 1, "wf_instance_id": 7},
        {"workflow_name": "a", "wf_instance_id": 7},
        {"workflow_id": 1, "data_time": "2026-12-01"},
    ],
)
def test_a_poke_does_not_outlast_the_timeout(clock: VirtualClock, what: dict[str, Any]) -> None:
    """A throttled call may be repeated for minutes."""
    made = WorkflowInstanceSensor(task_id="wait", timeout=30, poke_interval=10, **what)
    context: Any = {"ti": TaskInstance()}
    began = clock.now
    with pytest.raises(AirflowSensorTimeout):
        made.execute(context)
    assert clock.now - began <= 30 + 2 * 10


def test_nor_does_one_of_mode_reschedule(clock: VirtualClock) -> None:
    context: Any = {"ti": TaskInstance(waited=31)}
    began = clock.now
    with pytest.raises(AirflowSensorTimeout):
        WorkflowInstanceSensor(
            task_id="wait", timeout=30, poke_interval=10, mode="reschedule", workflow_id=1, wf_instance_id=7
        ).execute(context)
    assert clock.now - began <= 1
