"""The operator's decisions, against the emulator; only the task instance is a stand-in that keeps XComs."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    Asset,
    AssetAlias,
    TaskDeferred,
)

from airflow_provider_schedulerx.api.models import WorkflowInstance, WorkflowInstanceStatus
from airflow_provider_schedulerx.api.runs.events import Outcome, TerminalEvent
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.exceptions import (
    RunFailedError,
    RunNotStartedError,
    RunStoppedError,
    RunUndecidedError,
    SchedulerXAuthenticationError,
    SchedulerXConfigurationError,
)
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.operators.schedulerx import ExecuteWorkflowOperator
from airflow_provider_schedulerx.version_compat import kills
from tests.operators.moments import as_it_sleeps, as_it_starts


class TaskInstance:
    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


@pytest.fixture(autouse=True)
def connection(hook: SchedulerXHook) -> None:
    """The connection is there."""


def operator(**arguments: Any) -> ExecuteWorkflowOperator:
    return ExecuteWorkflowOperator(
        **{
            "task_id": "run",
            "workflow_id": 1,
            "poll_interval": 0.1,
            "poll_failure_tolerance": 5,
            "settling_time": 1,
            **arguments,
        }
    )


def execute(task: ExecuteWorkflowOperator) -> tuple[int, dict[str, Any]]:
    ti = TaskInstance()
    return task.execute({"ti": ti}), ti.xcoms  # type: ignore[typeddict-item]


def status_of(workflow_id: int, emulator: EmulatorProcess) -> int:
    """Status of the newest run of a workflow."""
    return int(emulator.instances(workflow_id)[-1]["status"])


def test_success(emulator: EmulatorProcess, task_log: Callable[[], str]) -> None:
    starts = emulator.starts(1)
    returned, xcoms = execute(operator(instance_parameters={"a": "é"}))
    assert emulator.starts(1) == starts + 1
    assert xcoms["WfInstanceId"] == returned
    assert xcoms["_link_WorkflowInstanceLink"] == f"{emulator.endpoint}/console/1/{returned}"
    assert emulator.instances(1)[-1]["parameters"] == '{"a":"é"}'
    log = task_log()
    assert "RequestId=" in log
    for line in ("Node a (job 101) is SUCCESS", "Node d (job 104) is SUCCESS", "is RUNNING", "is SUCCESS"):
        assert line in log
    assert log.count("Node a (job 101) is SUCCESS") == 1


def test_assets_among_the_outlets_learn_of_the_run(emulator: EmulatorProcess) -> None:
    class OutletEvents(dict[str, Any]):
        """By the asset's name, since those of Airflow 3.0 and 3.1 have no hash; in 2.11 the URI is all the name."""

        def __getitem__(self, asset: Any) -> Any:
            return super().__getitem__(getattr(asset, "name", None) or asset.uri)

    for waits in (True, False):
        event = SimpleNamespace(extra={})
        context: Any = {"ti": TaskInstance(), "outlet_events": OutletEvents(warehouse=event)}
        outlets = [Asset("warehouse"), AssetAlias("later")]
        run = operator(outlets=outlets, wait_for_completion=waits).execute(context)
        told = {"WfInstanceId": run, "workflow_id": 1, "console_url": f"{emulator.endpoint}/console/1/{run}"}
        assert event.extra == (told | {"status": "SUCCESS"} if waits else told)


def test_openlineage_learns_of_the_run(emulator: EmulatorProcess) -> None:
    pytest.importorskip("airflow.providers.openlineage")
    task = operator(workflow_id=2)
    assert task.get_openlineage_facets_on_complete(None) is None, "nothing was started"
    with pytest.raises(RunFailedError):
        execute(task)
    lineage = task.get_openlineage_facets_on_complete(None)
    assert lineage is not None
    run = emulator.instances(2)[-1]["wf_instance_id"]
    assert lineage.run_facets["externalQuery"].externalQueryId == str(run)
    facet = lineage.run_facets["schedulerx"]
    assert (facet.workflowId, facet.wfInstanceId, facet.groupId) == (2, run, "etl")
    assert facet.externalUrl == f"{emulator.endpoint}/console/2/{run}"


def test_failure_names_nodes_result_worker_and_attempt() -> None:
    with pytest.raises(
        RunFailedError,
        match=r"breaks \(job 202\) FAILED \(result: disk full, worker: 127.0.0.1:34567, attempt: 0\)",
    ) as caught:
        execute(operator(workflow_id="2"))
    assert not isinstance(caught.value, AirflowFailException), "a retry may start a new run"


@pytest.mark.parametrize("lines", [0, 50, 300])
def test_the_log_of_a_failed_node_is_in_the_log_of_the_task(
    emulator: EmulatorProcess, task_log: Callable[[], str], lines: int
) -> None:
    calls = emulator.calls("GetLog")
    with pytest.raises(RunFailedError):
        execute(operator(workflow_id=2, log_lines_on_failure=lines))
    log = task_log()
    assert "::group::Nodes of workflow instance" in log
    assert emulator.calls("GetLog") - calls == {0: 0, 50: 1, 300: 2}[lines]
    if lines:
        assert f"::group::Last {lines} lines of the log of node breaks (job 202)" in log
        assert "breaks: ERROR disk full" in log
        # The last line is that of the error, the others are steps.
        steps = [number for number in range(1, 451) if f"breaks: step {number} of 450" in log]
        assert steps == list(range(450 - lines + 2, 451))
        assert (
            log.index(f"step {steps[0]} of 450") < log.index("step 450 of 450") < log.index("ERROR disk full")
        )
    assert log.count("::group::") == log.count("::endgroup::")


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ({"effect": "error", "status": 403, "code": "Forbidden.RAM"}, "edas:ReadSchedulerxLogQuery"),
        (
            {"effect": "error", "status": 400, "code": "LogServiceNotEnabled", "message": "no log service"},
            "no log",
        ),
        ({"effect": "drop"}, "no answer"),
    ],
)
def test_a_log_that_cannot_be_had_is_never_fatal(
    emulator: EmulatorProcess, task_log: Callable[[], str], fault: dict[str, Any], text: str
) -> None:
    emulator.add_fault("GetLog", **fault)
    with pytest.raises(RunFailedError, match="disk full"):
        execute(operator(workflow_id=2))
    log = task_log()
    assert "Could not fetch the log of node breaks (job 202)" in log
    assert text in log


def test_a_rejected_node_is_a_failure() -> None:
    with pytest.raises(RunFailedError, match=r"only \(job 801\) REJECTED \(result: no worker"):
        execute(operator(workflow_id=8, group_id="reporting"))


def test_without_waiting_it_returns_right_after_the_start(emulator: EmulatorProcess) -> None:
    looks = emulator.calls("GetWorkflowInstance")
    returned, xcoms = execute(operator(workflow_id=3, wait_for_completion=False))
    assert xcoms["WfInstanceId"] == returned
    assert emulator.calls("GetWorkflowInstance") == looks
    assert status_of(3, emulator) == 3


def test_id_and_link_are_pushed_before_the_wait(
    emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    ti = TaskInstance()
    task = operator(workflow_id=3)
    seen: list[Any] = []

    def look() -> None:
        seen.append((status_of(3, emulator), set(ti.xcoms)))
        task.on_kill()

    as_it_sleeps(monkeypatch, look)
    with pytest.raises(AirflowException):
        task.execute({"ti": ti})  # type: ignore[typeddict-item]
    assert seen == [(3, {"WfInstanceId", "workflow_id", "_link_WorkflowInstanceLink"})]
    assert status_of(3, emulator) == 5


def test_a_run_that_cannot_be_recorded_is_not_started_again(emulator: EmulatorProcess) -> None:
    class Unreachable(TaskInstance):
        def xcom_push(self, key: str, value: Any) -> None:
            raise ConnectionError("the API server is away")

    starts = emulator.starts(1)
    with pytest.raises(RunUndecidedError, match="the API server is away"):
        operator().execute({"ti": Unreachable()})  # type: ignore[typeddict-item]
    assert emulator.starts(1) == starts + 1


@pytest.mark.parametrize(
    "effect", [{"effect": "drop", "when": "after"}, {"effect": "truncate"}, {"effect": "error"}]
)
def test_a_lost_answer_fails_a_task_that_is_not_durable_and_starts_no_second_run(
    emulator: EmulatorProcess, effect: dict
) -> None:
    made = emulator.calls("ExecuteWorkflow")
    emulator.add_fault("ExecuteWorkflow", **effect)
    with pytest.raises(RunUndecidedError, match="may have been started") as caught:
        execute(operator(durable=False))
    assert isinstance(caught.value, AirflowFailException)
    assert emulator.calls("ExecuteWorkflow") == made + 1


def test_passing_faults_while_waiting_are_tolerated(
    emulator: EmulatorProcess, no_waiting: None, task_log: Callable[[], str]
) -> None:
    emulator.add_fault("GetWorkflowInstance", "error", status=503, count=12, skip=1)
    execute(operator(poll_failure_tolerance=30))
    assert "Could not poll workflow instance" in task_log()


def test_faults_that_last_end_it_without_retry(emulator: EmulatorProcess, no_waiting: None) -> None:
    emulator.add_fault("GetWorkflowInstance", "drop", count=100_000)
    with pytest.raises(RunUndecidedError, match="can no longer be followed"):
        execute(operator(poll_failure_tolerance=0.5))


def test_a_permission_lost_while_waiting_ends_it_at_once(emulator: EmulatorProcess) -> None:
    emulator.add_fault("GetWorkflowInstance", "error", status=403, code="Forbidden.RAM", skip=1)
    with pytest.raises(RunUndecidedError, match="edas:ReadSchedulerxWorkflowQuery"):
        execute(operator(workflow_id=3))


def test_an_unknown_status_is_never_success(emulator: EmulatorProcess) -> None:
    body = '{"Code": 200, "Success": true, "RequestId": "R", "Data": {"WfInstanceInfo": {"Status": 42}}}'
    emulator.add_fault("GetWorkflowInstance", "error", status=200, body=body, count=1000)
    with pytest.raises(RunUndecidedError, match="status 42"):
        execute(operator(poll_interval=0.1))


@pytest.mark.parametrize("timeout", [1, timedelta(seconds=1)])
def test_timeout_stops_the_run_and_says_so(emulator: EmulatorProcess, timeout: Any) -> None:
    with pytest.raises(RunStoppedError, match="timeout=1 s; it was stopped and is FAILED") as caught:
        execute(operator(workflow_id=3, timeout=timeout))
    assert status_of(3, emulator) == 5
    assert not isinstance(caught.value, AirflowFailException)


def test_a_run_that_ends_as_time_is_up_counts(emulator: EmulatorProcess) -> None:
    # One look at once, the next one when time is up: by then the run has ended.
    execute(operator(poll_interval=60, timeout=2))


def test_timeout_without_cancel_leaves_the_run_and_is_not_retried(emulator: EmulatorProcess) -> None:
    with pytest.raises(RunUndecidedError, match="cancel_on_kill is off"):
        execute(operator(workflow_id=3, timeout=0.3, cancel_on_kill=False))
    assert status_of(3, emulator) == 3


def test_timeout_with_a_run_that_cannot_be_stopped_is_not_retried(
    emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = operator(workflow_id=4, timeout=0.3)
    stop = task.run_calls.stop
    monkeypatch.setattr(task.run_calls, "stop", lambda *ids: stop(*ids, timeout=1))
    with pytest.raises(RunUndecidedError, match="had not ended at the last check"):
        execute(task)


def test_on_kill_before_the_start_does_nothing(emulator: EmulatorProcess) -> None:
    before = emulator.counters()["calls"]
    operator().on_kill()
    assert emulator.counters()["calls"] == before


def test_on_kill_never_raises(
    emulator: EmulatorProcess,
    no_waiting: None,
    task_log: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kills, "resumes_after_on_kill", lambda: False)
    task = operator(workflow_id=3, wait_for_completion=False)
    execute(task)
    emulator.kill()
    try:
        stop = task.run_calls.stop
        task.run_calls.stop = lambda *ids: stop(*ids, timeout=1)  # type: ignore[method-assign]
        task.on_kill()
        assert "so it was not stopped" in task_log()
    finally:
        emulator.restart()


@pytest.mark.parametrize(("is_own", "status"), [(True, 5), (False, 3)])
def test_a_resumed_task_that_airflow_2_ends_before_it_runs_stops_its_own_run(
    emulator: EmulatorProcess, is_own: bool, status: int
) -> None:
    """``execution_timeout`` has passed during the deferral: Airflow 2.11 calls pre_execute and on_kill only."""
    wf_instance_id, _ = execute(operator(workflow_id=3, wait_for_completion=False))
    ti: Any = TaskInstance()
    ti.next_method = "execute_complete"
    ti.next_kwargs = {"definition_id": 3, "instance_id": wf_instance_id, "is_own": is_own, "event": {}}
    task = operator(workflow_id=3)
    task.pre_execute({"ti": ti})
    task.on_kill()
    assert status_of(3, emulator) == status


def test_a_task_that_was_not_deferred_knows_no_run_before_it_starts_one(emulator: EmulatorProcess) -> None:
    task = operator(workflow_id=3)
    task.pre_execute({"ti": TaskInstance()})  # type: ignore[typeddict-item]
    assert task._owner is None


def test_on_kill_without_cancel_leaves_the_run(
    emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kills, "resumes_after_on_kill", lambda: False)
    task = operator(workflow_id=3, wait_for_completion=False, cancel_on_kill=False)
    execute(task)
    task.on_kill()
    assert status_of(3, emulator) == 3


@pytest.fixture
def handle() -> Iterator[Callable[[ExecuteWorkflowOperator], Any]]:
    """As under Airflow 3: on_kill runs in the handler of a signal, and then the interrupted code goes on."""
    before = signal.getsignal(signal.SIGTERM)
    yield lambda task: signal.signal(signal.SIGTERM, lambda *_: task.on_kill())
    signal.signal(signal.SIGTERM, before)


def test_a_kill_while_the_start_is_under_way_stops_what_it_started(
    emulator: EmulatorProcess, handle: Callable[..., None]
) -> None:
    task = operator(workflow_id=3)
    handle(task)
    as_it_starts(task)
    with pytest.raises(RunStoppedError):
        execute(task)
    assert status_of(3, emulator) == 5


def test_a_kill_ends_a_long_sleep(
    emulator: EmulatorProcess, handle: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = operator(workflow_id=3, poll_interval=600)
    handle(task)
    slept = as_it_sleeps(monkeypatch)
    with pytest.raises(RunStoppedError, match="was killed"):
        execute(task)
    assert slept == [0.2]
    assert status_of(3, emulator) == 5


def test_a_kill_that_leaves_the_run_allows_no_retry(
    emulator: EmulatorProcess, handle: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = operator(workflow_id=3, poll_interval=600, cancel_on_kill=False)
    handle(task)
    as_it_sleeps(monkeypatch)
    with pytest.raises(RunUndecidedError, match="keeps running because cancel_on_kill is off"):
        execute(task)
    assert status_of(3, emulator) == 3


def test_a_refused_start_passes_the_reason_on(emulator: EmulatorProcess) -> None:
    with pytest.raises(RunNotStartedError, match="workflow is disabled"):
        execute(operator(workflow_id=6))


def test_a_wrong_key_fails_before_anything_starts(
    emulator: EmulatorProcess, connect: Callable[..., None]
) -> None:
    connect({**emulator.connection(), "password": "wrong"})
    starts = emulator.counters()["starts"]
    with pytest.raises(SchedulerXAuthenticationError):
        execute(operator())
    assert emulator.counters()["starts"] == starts


class Resumed(TaskInstance):
    task_id, map_index = "run", -1

    def xcom_pull(self, task_ids: str, key: str, map_indexes: int) -> Any:
        assert (task_ids, map_indexes) == ("run", -1)
        return self.xcoms.get(key)


def resume(task: ExecuteWorkflowOperator, ti: Resumed, method: str, kwargs: dict[str, Any]) -> Any:
    return task.resume_execution(method, kwargs, {"ti": ti})  # type: ignore[typeddict-item]


def deferred_run(workflow_id: int) -> tuple[ExecuteWorkflowOperator, Resumed]:
    """A task that has deferred, as the worker sees it that goes on with it."""
    ti = Resumed()
    task = operator(workflow_id=workflow_id, deferrable=True, timeout=60)
    with pytest.raises(TaskDeferred) as deferral:
        task.execute({"ti": ti})  # type: ignore[typeddict-item]
    assert deferral.value.method_name == "execute_complete"
    assert deferral.value.timeout > timedelta(seconds=60)
    arguments = deferral.value.trigger.serialize()[1]
    assert 0 < arguments["deadline"] - time.time() <= 60
    assert deferral.value.kwargs == {
        "definition_id": workflow_id,
        "instance_id": ti.xcoms["WfInstanceId"],
        "is_own": True,
        "try_number": None,
        "deadline": arguments["deadline"],
    }
    return operator(workflow_id=workflow_id, deferrable=True, timeout=60), ti


def test_the_longest_timeout_can_be_deferred(emulator: EmulatorProcess) -> None:
    ti = Resumed()
    with pytest.raises(TaskDeferred) as deferral:
        operator(workflow_id=3, deferrable=True, timeout=1e10).execute({"ti": ti})  # type: ignore[typeddict-item]
    assert datetime.now() + (deferral.value.timeout or timedelta()) < datetime.max, "Airflow adds them"


def test_a_deferral_that_airflow_times_out_stops_the_run(emulator: EmulatorProcess) -> None:
    task, ti = deferred_run(3)
    with pytest.raises(RunStoppedError, match="Airflow ended the deferral"):
        resume(task, ti, "__fail__", {"error": "Trigger timeout"})
    assert status_of(3, emulator) == 5


def test_a_trigger_that_fails_leaves_the_run_and_is_not_retried(emulator: EmulatorProcess) -> None:
    task, ti = deferred_run(3)
    with pytest.raises(RunUndecidedError, match="Trigger failure"):
        resume(task, ti, "__fail__", {"error": "Trigger failure", "traceback": ["boom"]})
    assert status_of(3, emulator) == 3


@pytest.mark.parametrize("event", [None, {}, {"version": 1, "outcome": "ended"}, {"status": "success"}])
def test_an_event_that_is_not_ours_is_never_success(emulator: EmulatorProcess, event: Any) -> None:
    task, ti = deferred_run(3)
    ids = {"definition_id": 3, "instance_id": ti.xcoms["WfInstanceId"]}
    with pytest.raises(RunUndecidedError, match="event cannot be used"):
        resume(task, ti, "execute_complete", {"event": event, **ids})


def test_an_event_decides_as_a_look_does(emulator: EmulatorProcess) -> None:
    task, ti = deferred_run(2)
    run = ti.xcoms["WfInstanceId"]
    while status_of(2, emulator) != 5:
        time.sleep(0.1)
    ids = {"definition_id": 2, "instance_id": run}
    for status, error in ((4, None), (5, RunFailedError)):
        instance = WorkflowInstance(2, run, WorkflowInstanceStatus(status))
        event = TerminalEvent(Outcome.ENDED, 2, run, instance).to_payload()
        if error is None:
            assert resume(task, ti, "execute_complete", {"event": event, **ids}) == run
        else:
            with pytest.raises(error):
                resume(task, ti, "execute_complete", {"event": event, **ids})


def test_a_run_that_is_active_again_when_its_failure_is_reported_is_followed_on(
    emulator: EmulatorProcess, task_log: Callable[[], str]
) -> None:
    """A list that lags, or a rerun in the console: a retry would start another run beside it."""
    task, ti = deferred_run(3)
    run = ti.xcoms["WfInstanceId"]
    event = TerminalEvent(
        Outcome.ENDED, 3, run, WorkflowInstance(3, run, WorkflowInstanceStatus.FAILED)
    ).to_payload()
    with pytest.raises(TaskDeferred) as deferred:
        resume(
            task,
            ti,
            "execute_complete",
            {"event": event, "definition_id": 3, "instance_id": run, "is_own": True},
        )
    assert (deferred.value.kwargs or {})["instance_id"] == run
    assert "is RUNNING again" in task_log()


@pytest.mark.parametrize("left", [20.0, -5.0])
def test_a_run_that_is_active_again_gets_no_more_time(emulator: EmulatorProcess, left: float) -> None:
    """The limit is that of the try, however often it defers."""
    with pytest.raises(TaskDeferred) as first:
        execute(operator(workflow_id=3, deferrable=True, timeout=600))
    given = dict(first.value.kwargs or {})
    assert given["deadline"] == pytest.approx(time.time() + 600, abs=60)
    run = given["instance_id"]
    given["deadline"] = deadline = time.time() + left
    ended = WorkflowInstance(3, run, WorkflowInstanceStatus.FAILED)
    task, ti = operator(workflow_id=3, deferrable=True, timeout=600), Resumed()
    event = TerminalEvent(Outcome.ENDED, 3, run, ended).to_payload()
    with pytest.raises(TaskDeferred) as second:
        resume(task, ti, "execute_complete", {"event": event, **given})
    assert second.value.trigger.deadline == (second.value.kwargs or {})["deadline"] == deadline
    assert second.value.timeout == pytest.approx(
        timedelta(seconds=max(0.0, left) + 120), abs=timedelta(seconds=5)
    )


def test_a_run_that_has_ended_already_never_defers(emulator: EmulatorProcess) -> None:
    emulator.add_fault("GetWorkflowInstance", "delay", seconds=1.5)  # longer than the run takes
    returned, _ = execute(operator(deferrable=True))
    assert emulator.instances(1)[-1]["wf_instance_id"] == returned


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"workflow_id": "abc"}, "workflow_id"),
        ({"workflow_id": 0}, "workflow_id"),
        ({"workflow_id": None}, "workflow_id"),
        ({"instance_parameters": "x" * 1001}, "instance_parameters"),
        ({"instance_parameters": {"a": "é" * 500}}, "instance_parameters"),
        ({"poll_interval": 0}, "poll_interval"),
        ({"poll_interval": "30"}, "poll_interval"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": timedelta(0)}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"poll_failure_tolerance": None}, "poll_failure_tolerance"),
    ],
)
def test_what_is_wrong_in_the_dag_file_is_told_when_it_is_parsed(arguments: dict, field: str) -> None:
    with pytest.raises(SchedulerXConfigurationError) as caught:
        operator(**arguments)
    assert caught.value.field == field


def test_templates_are_left_to_rendering() -> None:
    task = operator(
        workflow_id="{{ params.id }}",
        instance_parameters={"a": ["{{ ds }}" + "x" * 2000]},
        group_id="{{ 'g' }}",
    )
    task.render_template_fields({"params": {"id": 7}, "ds": "2024-01-01"})
    assert task.workflow_id == "7"
    assert task.instance_parameters == {"a": ["2024-01-01" + "x" * 2000]}
    assert task.group_id == "g"


def test_every_field_of_the_connection_scope_is_templated() -> None:
    assert ExecuteWorkflowOperator.template_fields == (
        "workflow_id",
        "workflow_name",
        "instance_parameters",
        "schedulerx_conn_id",
        "region_id",
        "namespace",
        "namespace_source",
        "group_id",
    )


def test_outcome_errors_are_airflow_exceptions() -> None:
    for kind in (RunFailedError, RunStoppedError, RunUndecidedError):
        assert issubclass(kind, AirflowException)
