"""Never twice, never lost: starts that outlive lost answers and dead workers.

Against the emulator; a dictionary stands in for Airflow's task state store, and an exception that nothing
catches for ``kill -9``. The real ones are in test_real_durable.py and in the chaos suite.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, TaskDeferred

from airflow_provider_schedulerx.api.runs.events import Outcome, TerminalEvent
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.exceptions import (
    RunAlreadyActiveError,
    RunFailedError,
    RunLostError,
    RunNotStartedError,
    RunStoppedError,
    RunUndecidedError,
    SchedulerXAuthorizationError,
    SchedulerXConfigurationError,
)
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.operators.schedulerx import ExecuteWorkflowOperator
from airflow_provider_schedulerx.operators.start_policy import run_marker
from airflow_provider_schedulerx.operators.start_store import STATE_KEY
from tests.operators.moments import as_it_sleeps
from tests.task_instance import Store, TaskInstance

context = pytest.importorskip("airflow.sdk.execution_time.context", reason="of Airflow 3")
pytestmark = pytest.mark.skipif(
    not hasattr(context, "NEVER_EXPIRE"), reason="the task state store is of Airflow 3.3"
)


class Killed(BaseException):
    """Nothing runs after it, as after kill -9."""


@pytest.fixture(autouse=True)
def connection(hook: SchedulerXHook) -> None:
    """The connection is there."""


@pytest.fixture
def ti() -> TaskInstance:
    return TaskInstance(Store())


def operator(**arguments: Any) -> ExecuteWorkflowOperator:
    return ExecuteWorkflowOperator(
        **{
            "task_id": "run",
            "workflow_id": 1,
            "poll_interval": 0.1,
            "poll_failure_tolerance": 3,
            "settling_time": 1,
            "instance_parameters": {"unique": time.time_ns()},
            **arguments,
        }
    )


@pytest.fixture
def workflow(emulator: EmulatorProcess) -> Callable[..., int]:
    """Add a workflow of one node, with a history of two runs: the service then shows that parameters differ."""

    def add(workflow_id: int, history: int = 2, **details: Any) -> int:
        node = {"name": "only", "duration": details.pop("duration", 0)}
        node |= {"outcome": details.pop("outcome", "success"), "group": details.pop("node_group", None)}
        emulator.add_workflows(
            {
                "namespaces": [{"id": "demo", "groups": ["etl", "reporting"]}],
                "workflows": [
                    {
                        "id": workflow_id,
                        "namespace": "demo",
                        "group": "etl",
                        "max_concurrency": 1000,
                        "nodes": [{key: value for key, value in node.items() if value is not None}],
                        **details,
                    }
                ],
            }
        )
        for number in range(history):
            SchedulerXHook().execute_workflow(workflow_id, {"history": number})
        return workflow_id

    return add


def die_at(task: ExecuteWorkflowOperator, method: str, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the task die before or after a call, and nothing run after it."""
    target = task.run_calls if hasattr(task.run_calls, method) else task.hook
    original, own = getattr(target, method), task._own

    def unguarded(*arguments: Any) -> Any:
        owner = own(*arguments)
        monkeypatch.setattr(owner._end, "answer", lambda error: error)
        return owner

    monkeypatch.setattr(task, "_own", unguarded)

    def dying(*arguments: Any) -> Any:
        if when == "after":
            original(*arguments)
        raise Killed

    monkeypatch.setattr(target, method, dying)


# The intent is written first, and the id right after.


def test_the_intent_is_there_before_the_request(
    emulator: EmulatorProcess, ti: TaskInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = operator(instance_parameters={"password": "hunter2"})
    die_at(task, "start", "before", monkeypatch)
    known = [run["wf_instance_id"] for run in emulator.instances(1)]
    with pytest.raises(Killed):
        ti.run(task)
    assert ti.store.intent["instance_id"] is None
    assert sorted(ti.store.intent["known"]) == known[-300:]
    assert "hunter2" not in str(ti.store)


def test_the_id_is_kept_before_anything_else_can_fail(ti: TaskInstance, emulator: EmulatorProcess) -> None:
    ti.xcom_push = None  # type: ignore[assignment, method-assign]
    with pytest.raises(RunLostError, match="A retry picks it up"):
        ti.run(operator())
    assert ti.store.intent["instance_id"] == emulator.instances(1)[-1]["wf_instance_id"]


def test_an_intent_that_cannot_be_written_starts_nothing(
    ti: TaskInstance, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("the API server is away")

    monkeypatch.setattr(ti.store, "set", refuse)
    starts = emulator.starts(1)
    with pytest.raises(ConnectionError):
        ti.run(operator())
    assert emulator.starts(1) == starts


def test_an_id_that_cannot_be_written_is_found_by_the_retry(
    ti: TaskInstance, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch, workflow: Callable[..., int]
) -> None:
    task = operator(workflow_id=workflow(801))
    write = ti.store.set

    def only_once(*arguments: Any, **options: Any) -> None:
        write(*arguments, **options)
        patch.setattr(ti.store, "set", lambda *_, **__: 1 / 0)

    with monkeypatch.context() as patch:
        patch.setattr(ti.store, "set", only_once)
        ti.run(task)
    assert ti.store.intent["instance_id"] is None
    assert ti.run(task) == emulator.instances(801)[-1]["wf_instance_id"]
    assert emulator.starts(801) == 3


# A retry takes up what the previous try has left.


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(("workflow_id", "error"), [(1, None), (2, RunFailedError)])
def test_a_retry_follows_the_run_of_a_dead_worker(
    emulator: EmulatorProcess,
    ti: TaskInstance,
    monkeypatch: pytest.MonkeyPatch,
    workflow_id: int,
    error: type[Exception] | None,
    deferrable: bool,
) -> None:
    arguments = {"workflow_id": workflow_id, "instance_parameters": None, "deferrable": deferrable}
    task = operator(**arguments)
    die_at(task, "console_link", "before", monkeypatch)  # the run is kept, and its id is in XCom
    starts = emulator.starts(workflow_id)
    with pytest.raises(Killed):
        ti.run(task)
    run = emulator.instances(workflow_id)[-1]["wf_instance_id"]
    task = operator(**arguments)
    if deferrable:
        with pytest.raises(TaskDeferred) as deferral:
            ti.run(task)
        assert deferral.value.trigger.instance_id == run
        assert deferral.value.trigger.started_at is None, "it was not started now"
    elif error is None:
        assert ti.run(task) == run
    else:
        with pytest.raises(error):
            ti.run(task)
    assert ti.xcoms["WfInstanceId"] == run
    assert emulator.starts(workflow_id) == starts + 1


def test_a_retry_returns_a_run_that_has_succeeded(emulator: EmulatorProcess, ti: TaskInstance) -> None:
    task = operator()
    run = ti.run(task)
    starts, looks = emulator.starts(1), emulator.calls("GetWorkflowInstance")
    assert ti.run(task) == run
    assert emulator.starts(1) == starts
    assert emulator.calls("GetWorkflowInstance") <= looks + 2
    assert ti.xcoms["WfInstanceId"] == run


def test_a_retry_starts_anew_after_a_failure(emulator: EmulatorProcess, ti: TaskInstance) -> None:
    starts = emulator.starts(2)
    for number in (1, 2):
        with pytest.raises(RunFailedError):
            ti.run(operator(workflow_id=2))
        assert emulator.starts(2) == starts + number


def test_a_retry_of_a_task_that_only_starts_returns_the_run_whatever_became_of_it(
    emulator: EmulatorProcess, ti: TaskInstance
) -> None:
    run = ti.run(operator(workflow_id=2, wait_for_completion=False))
    while emulator.instances(2)[-1]["status"] != 5:
        time.sleep(0.1)
    starts = emulator.starts(2)
    assert ti.run(operator(workflow_id=2, wait_for_completion=False)) == run
    assert emulator.starts(2) == starts


def test_a_retry_after_a_lost_sight_goes_on_with_the_same_run(
    emulator: EmulatorProcess, ti: TaskInstance, no_waiting: None
) -> None:
    emulator.add_fault("GetWorkflowInstance", "drop", count=100_000)
    starts = emulator.starts(1)
    with pytest.raises(RunLostError, match="A retry picks it up") as caught:
        ti.run(operator(poll_failure_tolerance=0.5))
    assert not isinstance(caught.value, AirflowFailException)
    emulator.clear_faults()
    ti.run(operator())
    assert emulator.starts(1) == starts + 1


def test_a_retry_whose_first_look_fails_follows_all_the_same(
    emulator: EmulatorProcess, ti: TaskInstance, no_waiting: None
) -> None:
    run = ti.run(operator())
    emulator.add_fault("GetWorkflowInstance", "drop", count=6)
    assert ti.run(operator()) == run


def test_a_retry_after_a_timeout_that_left_the_run_follows_it(
    emulator: EmulatorProcess, ti: TaskInstance
) -> None:
    with pytest.raises(RunLostError, match=r"cancel_on_kill is off\. A retry picks it up"):
        ti.run(operator(timeout=0.2, cancel_on_kill=False))
    starts = emulator.starts(1)
    ti.run(operator(timeout=30, cancel_on_kill=False))
    assert emulator.starts(1) == starts


def test_a_retry_with_other_parameters_keeps_the_run_and_says_so(
    emulator: EmulatorProcess, ti: TaskInstance, task_log: Callable[[], str]
) -> None:
    run = ti.run(operator(instance_parameters={"now": 1}))
    assert ti.run(operator(instance_parameters={"now": 2})) == run
    assert "The instance parameters differ from those of the previous try" in task_log()


def test_a_stored_value_that_is_not_ours_starts_nothing(emulator: EmulatorProcess, ti: TaskInstance) -> None:
    starts = emulator.starts(1)
    for value in ("text", {}, {"intent": {"version": 99}, "max_tries": 3}, {"intent": {"version": 1}}):
        ti.store[STATE_KEY] = value
        with pytest.raises(RunUndecidedError, match="cannot be read"):
            ti.run(operator())
    assert emulator.starts(1) == starts


# Clear is not retry; and nobody shares.


def test_a_cleared_task_starts_a_new_run(
    emulator: EmulatorProcess, ti: TaskInstance, task_log: Callable[[], str]
) -> None:
    first = ti.run(operator())
    ti.clear()
    second = ti.run(operator())
    assert second != first
    assert (
        f"The task was cleared, so a new run is started; the earlier one was workflow instance {first}"
        in task_log()
    )
    assert ti.run(operator()) == second, "and a retry takes up that one"


def test_a_cleared_task_does_not_reconcile(
    emulator: EmulatorProcess, ti: TaskInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = operator()
    die_at(task, "start", "after", monkeypatch)
    with pytest.raises(Killed):
        ti.run(task)
    starts = emulator.starts(1)
    ti.clear()
    ti.run(operator())
    assert emulator.starts(1) == starts + 1


# A lost answer, or a worker that died with it.


@pytest.mark.parametrize(
    "fault",
    [{"effect": "drop", "when": "after"}, {"effect": "truncate"}, {"effect": "error", "when": "after"}],
)
@pytest.mark.parametrize("has_store", [True, False])
def test_a_run_whose_answer_was_lost_is_found_in_the_same_try(
    emulator: EmulatorProcess,
    ti: TaskInstance,
    workflow: Callable[..., int],
    fault: dict[str, Any],
    has_store: bool,
) -> None:
    task = operator(workflow_id=workflow(802))
    emulator.add_fault("ExecuteWorkflow", **fault)
    starts = emulator.starts(802)
    returned = task.execute(ti.context if has_store else {"ti": ti})  # type: ignore[typeddict-item]
    assert emulator.starts(802) == starts + 1
    assert emulator.instances(802)[-1]["wf_instance_id"] == returned
    assert ti.xcoms["WfInstanceId"] == returned


def test_a_request_that_was_not_carried_out_is_made_again(
    emulator: EmulatorProcess, ti: TaskInstance, workflow: Callable[..., int], task_log: Callable[[], str]
) -> None:
    task = operator(workflow_id=workflow(803))
    emulator.add_fault("ExecuteWorkflow", "error", when="before")
    starts = emulator.starts(803)
    assert ti.run(task) == emulator.instances(803)[-1]["wf_instance_id"]
    assert emulator.starts(803) == starts + 1
    assert "No run was started" in task_log()


def test_a_start_that_never_works_ends_and_may_be_retried(
    emulator: EmulatorProcess, ti: TaskInstance, workflow: Callable[..., int]
) -> None:
    task = operator(workflow_id=workflow(804))
    starts = emulator.starts(804)
    emulator.add_fault("ExecuteWorkflow", "error", when="before", count=3)
    with pytest.raises(RunNotStartedError, match="was not started in 3 attempts"):
        ti.run(task)
    assert STATE_KEY not in ti.store
    ti.run(task)
    assert emulator.starts(804) == starts + 1


@pytest.mark.parametrize(("when", "runs"), [("before", 0), ("after", 1)])
def test_a_retry_finds_what_a_dead_worker_has_started(
    emulator: EmulatorProcess,
    ti: TaskInstance,
    workflow: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    when: str,
    runs: int,
) -> None:
    arguments = {"workflow_id": workflow(805), "instance_parameters": {"mine": when}}
    task = operator(**arguments)
    die_at(task, "start", when, monkeypatch)
    starts = emulator.starts(805)
    with pytest.raises(Killed):
        ti.run(task)
    assert emulator.starts(805) == starts + runs
    # Others start runs of the same workflow meanwhile.
    for other in range(3):
        SchedulerXHook().execute_workflow(805, {"others": other})
    returned = ti.run(operator(**arguments))
    assert emulator.starts(805) == starts + 1 + 3
    by_id = {run["wf_instance_id"]: run for run in emulator.instances(805)}
    assert by_id[returned]["parameters"] == f'{{"mine":"{when}"}}'


def test_a_refused_start_leaves_nothing_behind(ti: TaskInstance) -> None:
    with pytest.raises(RunNotStartedError, match="workflow is disabled"):
        ti.run(operator(workflow_id=6))
    assert STATE_KEY not in ti.store


def test_a_kill_while_looking_for_a_run_ends_it_soon(
    emulator: EmulatorProcess, ti: TaskInstance, workflow: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = operator(workflow_id=workflow(806), settling_time=600)
    emulator.add_fault("ExecuteWorkflow", "drop", when="before")
    slept = as_it_sleeps(monkeypatch, task.on_kill)
    with pytest.raises(RunLostError, match="was killed while it looked for a run"):
        ti.run(task)
    assert len(slept) == 1
    assert STATE_KEY in ti.store


# Doubt.


def lost(
    emulator: EmulatorProcess, ti: TaskInstance, task: ExecuteWorkflowOperator, when: str = "after"
) -> int:
    emulator.add_fault("ExecuteWorkflow", "drop", when=when)
    return ti.run(task)


def test_several_runs_that_may_be_ours_are_doubt(
    emulator: EmulatorProcess, ti: TaskInstance, workflow: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = operator(workflow_id=workflow(807), instance_parameters={"same": True})
    execute = task.run_calls.start

    def with_a_twin(*arguments: Any) -> int:
        SchedulerXHook().execute_workflow(807, {"same": True})
        emulator.add_fault("ExecuteWorkflow", "drop", when="after")
        return execute(*arguments)

    monkeypatch.setattr(task.run_calls, "start", with_a_twin)
    starts = emulator.starts(807)
    with pytest.raises(RunUndecidedError, match="several new runs have the same parameters") as caught:
        ti.run(task)
    assert emulator.starts(807) == starts + 2
    for run in emulator.instances(807)[-2:]:
        assert str(run["wf_instance_id"]) in str(caught.value), "the candidates are listed"
    for advice in ("clear the task", "mark it as success", "run_marker=True"):
        assert advice in str(caught.value)
    assert isinstance(caught.value, AirflowFailException)


def test_a_marker_makes_it_certain(
    emulator: EmulatorProcess, ti: TaskInstance, workflow: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = operator(
        workflow_id=workflow(808), instance_parameters={"same": True}, run_marker=True, settling_time=60
    )
    execute = task.run_calls.start

    def between_twins(*arguments: Any) -> int:
        SchedulerXHook().execute_workflow(808, {"same": True})
        emulator.add_fault("ExecuteWorkflow", "drop", when="after")
        try:
            return execute(*arguments)
        finally:
            SchedulerXHook().execute_workflow(808, {"same": True, "airflow_run": "x" * 16})

    monkeypatch.setattr(task.run_calls, "start", between_twins)
    began = time.monotonic()
    assert ti.run(task) == emulator.instances(808)[-2]["wf_instance_id"]
    assert time.monotonic() - began < 30, "what is certain needs no settling time"


def test_parameters_that_cannot_be_seen_are_doubt(
    emulator: EmulatorProcess, ti: TaskInstance, workflow: Callable[..., int], connect: Callable[..., None]
) -> None:
    workflow_id = workflow(809)
    emulator.add_account(
        access_key_id="narrow", access_key_secret="s", denied=["edas:ReadSchedulerxJobInstanceQuery"]
    )
    connect({**emulator.connection(), "login": "narrow", "password": "s"})
    starts = emulator.starts(workflow_id)
    with pytest.raises(RunUndecidedError, match="edas:ReadSchedulerxJobInstanceQuery"):
        lost(emulator, ti, operator(workflow_id=workflow_id))
    assert emulator.starts(workflow_id) == starts + 1


def test_one_new_run_with_other_parameters_is_doubt_where_all_runs_show_the_same(
    emulator: EmulatorProcess, ti: TaskInstance, workflow: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then GetJobInstance may show what the job's definition says, and the run may be ours."""
    workflow_id = workflow(810, history=0)
    for _ in range(2):
        SchedulerXHook().execute_workflow(workflow_id, "static")
    task = operator(workflow_id=workflow_id)
    execute = task.run_calls.start

    def another_first(*arguments: Any) -> int:
        SchedulerXHook().execute_workflow(workflow_id, "static")
        emulator.add_fault("ExecuteWorkflow", "drop", when="before")
        return execute(*arguments)

    monkeypatch.setattr(task.run_calls, "start", another_first)
    with pytest.raises(RunUndecidedError, match="may be those of the job"):
        ti.run(task)


def test_where_runs_cannot_be_listed_a_lost_answer_is_doubt(
    emulator: EmulatorProcess, ti: TaskInstance, task_log: Callable[[], str]
) -> None:
    emulator.add_fault("ListWorkflowInstance", "error", status=403, code="Forbidden.RAM", count=10)
    with pytest.raises(RunUndecidedError, match="could not be listed before the start"):
        lost(emulator, ti, operator())
    assert "a run whose start gets no answer cannot be found" in task_log()


def test_a_run_that_waits_is_waited_for(
    emulator: EmulatorProcess, ti: TaskInstance, workflow: Callable[..., int]
) -> None:
    """Its parameters show when it begins."""
    emulator.set_profile("when_full=queue,waiting_node_id=absent")
    workflow_id = workflow(811, max_concurrency=1, duration=25)  # 2.5 s at this speed; two runs are before us
    returned = lost(emulator, ti, operator(workflow_id=workflow_id, poll_failure_tolerance=30))
    assert returned == emulator.instances(workflow_id)[-1]["wf_instance_id"]
    assert emulator.starts(workflow_id) == 3


def test_a_run_that_waits_too_long_is_left_to_a_retry(
    emulator: EmulatorProcess, ti: TaskInstance, workflow: Callable[..., int]
) -> None:
    emulator.set_profile("when_full=queue,waiting_node_id=absent")
    workflow_id = workflow(812, max_concurrency=1, duration=100_000)
    with pytest.raises(RunLostError, match=r"\(WAITING; its parameters cannot be seen yet\)"):
        lost(emulator, ti, operator(workflow_id=workflow_id, poll_failure_tolerance=1))
    assert emulator.starts(workflow_id) == 3


def test_a_full_workflow_whose_list_may_hide_waiting_runs_is_left_to_a_retry(
    emulator: EmulatorProcess, ti: TaskInstance, workflow: Callable[..., int]
) -> None:
    workflow_id = workflow(813, history=1, max_concurrency=1, duration=100_000)
    with pytest.raises(RunLostError, match="at its maximum concurrency"):
        lost(emulator, ti, operator(workflow_id=workflow_id, poll_failure_tolerance=1), when="before")
    assert emulator.starts(workflow_id) == 1


# Arguments.


def test_durable_false_keeps_nothing_and_asks_nothing(emulator: EmulatorProcess, ti: TaskInstance) -> None:
    lists = emulator.calls("ListWorkflowInstance")
    first = ti.run(operator(durable=False))
    assert ti.store == {}
    assert emulator.calls("ListWorkflowInstance") == lists
    assert ti.run(operator(durable=False)) != first


def test_restart_stops_the_run_first(emulator: EmulatorProcess, ti: TaskInstance) -> None:
    arguments = {"workflow_id": 3, "on_retry": "restart", "timeout": 0.3, "cancel_on_kill": False}
    with pytest.raises(RunLostError):
        ti.run(operator(**arguments))
    first = emulator.instances(3)[-1]["wf_instance_id"]
    with pytest.raises(RunLostError):
        ti.run(operator(**arguments))
    by_id = {run["wf_instance_id"]: run["status"] for run in emulator.instances(3)}
    assert by_id[first] == 5
    assert emulator.instances(3)[-1]["wf_instance_id"] != first


def test_restart_starts_nothing_beside_a_run_that_does_not_stop(
    emulator: EmulatorProcess, ti: TaskInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"workflow_id": 4, "on_retry": "restart", "timeout": 0.3, "cancel_on_kill": False}
    with pytest.raises(RunLostError):
        ti.run(operator(**arguments))
    starts = emulator.starts(4)
    task = operator(**arguments)
    stop = task.run_calls.stop
    monkeypatch.setattr(task.run_calls, "stop", lambda *ids: stop(*ids, timeout=1))
    with pytest.raises(RunLostError, match="had not ended at the last check"):
        ti.run(task)
    assert emulator.starts(4) == starts


@pytest.mark.parametrize("deferrable", [False, True])
def test_rerun_failed_runs_the_failed_nodes_of_the_same_run_again(
    emulator: EmulatorProcess, ti: TaskInstance, deferrable: bool
) -> None:
    with pytest.raises(RunFailedError):
        ti.run(operator(workflow_id=2, on_retry="rerun_failed"))
    starts = emulator.starts(2)
    run = emulator.instances(2)[-1]["wf_instance_id"]
    task = operator(workflow_id=2, on_retry="rerun_failed", deferrable=deferrable)
    try:
        followed = ti.run(task)
    except TaskDeferred as deferral:
        followed = deferral.trigger.instance_id
    assert followed == run
    assert emulator.starts(2) == starts
    if deferrable:  # whether it has ended depends on the machine's load
        return
    newest = emulator.instances(2)[-1]
    assert newest["status"] == 4
    assert {node["job_id"]: node["attempt"] for node in newest["nodes"]} == {201: 0, 202: 1, 203: 0}


def test_rerun_failed_without_permission_says_so_and_starts_nothing(
    emulator: EmulatorProcess, ti: TaskInstance
) -> None:
    with pytest.raises(RunFailedError):
        ti.run(operator(workflow_id=2, on_retry="rerun_failed"))
    starts = emulator.starts(2)
    emulator.add_fault("RetryJobInstance", "error", status=403, code="Forbidden.RAM")
    with pytest.raises(RunFailedError, match="none of the failed nodes can be rerun"):
        ti.run(operator(workflow_id=2, on_retry="rerun_failed"))
    assert emulator.starts(2) == starts


def test_rerun_failed_waits_until_the_rerun_shows(
    emulator: EmulatorProcess, ti: TaskInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that is slow to show it must not be taken for a second failure, nor for a success."""
    with pytest.raises(RunFailedError):
        ti.run(operator(workflow_id=2, on_retry="rerun_failed"))
    emulator.add_fault("RetryJobInstance", "error", status=502)  # not carried out, and nobody knows
    with pytest.raises(RunLostError, match="shows no change after 1 s"):
        ti.run(operator(workflow_id=2, on_retry="rerun_failed"))


def test_a_rerun_that_fails_at_once_is_a_failure(
    emulator: EmulatorProcess, ti: TaskInstance, workflow: Callable[..., int]
) -> None:
    arguments = {"workflow_id": workflow(822, history=0, outcome="failed"), "on_retry": "rerun_failed"}
    for attempt in range(3):
        with pytest.raises(RunFailedError):
            ti.run(operator(**arguments))
        assert emulator.starts(822) == 1
        assert emulator.instances(822)[0]["nodes"][0]["attempt"] == attempt


@pytest.fixture
def active(emulator: EmulatorProcess, workflow: Callable[..., int]) -> tuple[int, int]:
    """A workflow of which one run is active: its id and the run's."""
    workflow_id = workflow(820, history=0, duration=20)
    return workflow_id, SchedulerXHook().execute_workflow(workflow_id)


def test_if_running_start(emulator: EmulatorProcess, ti: TaskInstance, active: tuple[int, int]) -> None:
    assert ti.run(operator(workflow_id=active[0])) != active[1]


def test_if_running_reattach(emulator: EmulatorProcess, ti: TaskInstance, active: tuple[int, int]) -> None:
    starts = emulator.starts(active[0])
    task = operator(workflow_id=active[0], if_running="reattach")
    assert ti.run(task) == active[1]
    assert emulator.starts(active[0]) == starts
    ti.clear()
    assert ti.run(task) != active[1], "it has ended, so one is started"


def test_a_run_that_was_taken_over_is_never_stopped(
    emulator: EmulatorProcess, ti: TaskInstance, workflow: Callable[..., int]
) -> None:
    workflow_id = workflow(821, history=0, duration=100_000)
    run = SchedulerXHook().execute_workflow(workflow_id)
    arguments = {"workflow_id": workflow_id, "if_running": "reattach", "timeout": 0.5}
    with pytest.raises(RunLostError, match="this task did not start it"):
        ti.run(operator(**arguments))
    task = operator(**arguments, deferrable=True)
    with pytest.raises(TaskDeferred) as deferral:
        ti.run(task)
    assert deferral.value.trigger.cancel_on_kill is False
    assert (deferral.value.kwargs or {})["is_own"] is False
    task = operator(**arguments, deferrable=True)
    with pytest.raises(RunLostError, match="this task did not start it"):
        task.resume_execution("__fail__", {"error": "Trigger timeout"}, ti.context)
    task.on_kill()
    event = TerminalEvent(Outcome.TIMEOUT, workflow_id, run).to_payload()
    task = operator(**arguments, deferrable=True)
    with pytest.raises(RunLostError, match="this task did not start it"):
        task.execute_complete(ti.context, event, **(deferral.value.kwargs or {}))
    assert emulator.instances(workflow_id)[-1]["status"] == 3


@pytest.mark.parametrize(("mode", "error"), [("skip", AirflowSkipException), ("fail", RunAlreadyActiveError)])
def test_if_running_skip_and_fail(
    emulator: EmulatorProcess, ti: TaskInstance, active: tuple[int, int], mode: str, error: type[Exception]
) -> None:
    starts = emulator.starts(active[0])
    with pytest.raises(error, match=str(active[1])):
        ti.run(operator(workflow_id=active[0], if_running=mode))
    assert emulator.starts(active[0]) == starts
    assert STATE_KEY not in ti.store


def test_if_running_needs_the_list(emulator: EmulatorProcess, ti: TaskInstance) -> None:
    emulator.add_fault("ListWorkflowInstance", "error", status=403, code="Forbidden.RAM")
    starts = emulator.starts(1)
    with pytest.raises(SchedulerXAuthorizationError):
        ti.run(operator(if_running="skip"))
    assert emulator.starts(1) == starts


@pytest.mark.parametrize(
    ("parameters", "sent"),
    [
        (None, '{{"airflow_run":"{}"}}'),
        ({}, '{{"airflow_run":"{}"}}'),
        ({"a": 1}, '{{"a":1,"airflow_run":"{}"}}'),
        ('{"a" : 1.0 }', '{{"a" : 1.0,"airflow_run":"{}"}}'),
    ],
)
def test_a_marker_is_added_to_the_parameters(
    emulator: EmulatorProcess, ti: TaskInstance, parameters: Any, sent: str
) -> None:
    ti.run(operator(instance_parameters=parameters, run_marker=True))
    marker = run_marker(ti, "airflow_run")
    assert ti.store.intent["marker"] == marker
    assert emulator.instances(1)[-1]["parameters"] == sent.format(marker)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"on_retry": "again"}, "on_retry"),
        ({"if_running": "wait"}, "if_running"),
        ({"settling_time": 0}, "settling_time"),
        ({"run_marker": True, "instance_parameters": ["a"]}, "run_marker"),
        ({"run_marker": True, "instance_parameters": "a=1"}, "run_marker"),
        ({"run_marker": True, "instance_parameters": {"airflow_run": 1}}, "run_marker"),
        ({"run_marker": True, "instance_parameters": {"a": "x" * 970}}, "instance_parameters"),
    ],
)
def test_wrong_arguments_are_told_when_the_dag_file_is_parsed(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(SchedulerXConfigurationError) as caught:
        operator(**arguments)
    assert caught.value.field == field


def test_a_deferred_failure_is_retried_as_a_sync_one(emulator: EmulatorProcess, ti: TaskInstance) -> None:
    """A deferred task that Airflow calls failed although its run went on (apache/airflow #71485) loses nothing."""
    task = operator(workflow_id=3, deferrable=True)
    with pytest.raises(TaskDeferred):
        ti.run(task)
    starts = emulator.starts(3)
    with pytest.raises(TaskDeferred) as deferral:
        ti.run(operator(workflow_id=3, deferrable=True))
    assert deferral.value.trigger.instance_id == emulator.instances(3)[-1]["wf_instance_id"]
    assert emulator.starts(3) == starts


def test_the_log_of_a_node_of_another_group_is_reported_and_not_fatal(
    emulator: EmulatorProcess, ti: TaskInstance, workflow: Callable[..., int], task_log: Callable[[], str]
) -> None:
    workflow_id = workflow(823, history=0, outcome="failed", node_group="reporting")
    with pytest.raises(RunFailedError):
        ti.run(operator(workflow_id=workflow_id))
    log = task_log()
    assert "Could not fetch the log of node only (job 82301)" in log
    assert "belongs to another application group" in log


def test_a_stopped_run_is_started_anew_by_a_retry(emulator: EmulatorProcess, ti: TaskInstance) -> None:
    for _ in range(2):
        starts = emulator.starts(3)
        with pytest.raises(RunStoppedError):
            ti.run(operator(workflow_id=3, timeout=0.3))
        assert emulator.starts(3) == starts + 1
