"""One run, one owner: whatever ends a try, no second run is started beside an active one, and none is lost.

Each group began as a script that broke the operator. Against the emulator over real sockets; a dictionary stands in
for Airflow's task state store, and Airflow's own timeout is the real one.
"""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowTaskTimeout,
    TaskDeferred,
)

from airflow_provider_schedulerx.api.exceptions import SchedulerXAmbiguousError, SchedulerXSameSecondError
from airflow_provider_schedulerx.api.runs.events import Outcome, TerminalEvent
from airflow_provider_schedulerx.api.wire.calls import STOP_INSTANCE
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.exceptions import (
    RunFailedError,
    RunLostError,
    RunNotStartableError,
    RunNotStartedError,
    RunStoppedError,
    RunUndecidedError,
    SchedulerXConfigurationError,
)
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.operators import launching
from airflow_provider_schedulerx.operators.schedulerx import ExecuteWorkflowOperator
from airflow_provider_schedulerx.operators.start_store import STATE_KEY
from airflow_provider_schedulerx.version_compat import kills, stores
from dev.harness.waiting import wait_for
from tests.operators.moments import as_it_sleeps, as_it_starts, as_the_service_hangs
from tests.task_instance import Store, TaskInstance


@pytest.fixture(autouse=True)
def connection(hook: SchedulerXHook, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is there, and the task state store needs no Airflow 3.3."""
    monkeypatch.setattr(stores, "store_for_good", lambda store, key, value: store.set(key, value))


@pytest.fixture
def kept() -> TaskInstance:
    """On Airflow 3.3."""
    return TaskInstance(Store())


@pytest.fixture
def bare() -> TaskInstance:
    """On an Airflow that keeps nothing between tries."""
    return TaskInstance()


def operator(**arguments: Any) -> ExecuteWorkflowOperator:
    return ExecuteWorkflowOperator(
        **{
            "task_id": "run",
            "workflow_id": 3,
            "poll_interval": 0.1,
            "poll_failure_tolerance": 3,
            "settling_time": 1,
            "retry_delay": timedelta(0),
            "instance_parameters": {"unique": time.time_ns()},
            **arguments,
        }
    )


ids = itertools.count(5000)


def workflow(emulator: EmulatorProcess, history: int = 2, **details: Any) -> int:
    """Add a workflow of one node, or of those given, with runs of other parameters before."""
    workflow_id = next(ids)
    node = {"name": "only", "duration": details.pop("duration", 100_000)}
    nodes = details.pop("nodes", [node])
    emulator.add_workflows(
        {
            "namespaces": [{"id": "demo", "groups": ["etl", "reporting"]}],
            "workflows": [
                {
                    "id": workflow_id,
                    "namespace": "demo",
                    "group": "etl",
                    "max_concurrency": 1000,
                    "nodes": nodes,
                    **details,
                }
            ],
        }
    )
    for number in range(history):
        stop_now(workflow_id, SchedulerXHook().execute_workflow(workflow_id, {"history": number}))
    return workflow_id


def stop_now(workflow_id: int, run: int) -> None:
    for node in SchedulerXHook().get_workflow_instance(workflow_id, run).nodes:
        if node.job_instance_id is not None:
            # It may have ended by itself.
            with suppress(SchedulerXAmbiguousError):
                SchedulerXHook().stop_job_instance(node.job_id, node.job_instance_id)


def active(emulator: EmulatorProcess, workflow_id: int) -> list[int]:
    return [run["wf_instance_id"] for run in emulator.instances(workflow_id) if run["status"] in (1, 2, 3)]


def newest(emulator: EmulatorProcess, workflow_id: int) -> dict[str, Any]:
    return emulator.instances(workflow_id)[-1]


def under_timeout(ti: TaskInstance, task: ExecuteWorkflowOperator, is_over: Callable[[], bool]) -> int:
    """Run a task as Airflow does that has an ``execution_timeout``.

    :param is_over: says when the time is over; seconds would mean another moment on a busy machine.
    """
    try:
        from airflow.sdk.execution_time.timeout import timeout
    except ImportError:
        from airflow.utils.timeout import timeout  # type: ignore[no-redef]  # of Airflow 2
    main = threading.main_thread().ident

    def end() -> None:
        wait_for("the time is over", is_over, 300)
        signal.pthread_kill(main, signal.SIGALRM)  # type: ignore[arg-type]

    try:
        with timeout(600):
            threading.Thread(target=end, daemon=True).start()
            return ti.run(task)
    except AirflowTaskTimeout:
        task.on_kill()
        raise


def is_polled(emulator: EmulatorProcess) -> Callable[[], bool]:
    """Say whether a run was polled since now."""
    before = emulator.calls("GetWorkflowInstance")
    return lambda: emulator.calls("GetWorkflowInstance") > before


# 1. Whatever ends a try after the request may have left.


@pytest.mark.parametrize("has_store", [True, False])
def test_airflows_own_timeout_never_allows_a_second_run(emulator: EmulatorProcess, has_store: bool) -> None:
    ti = TaskInstance(Store() if has_store else None)
    workflow_id = workflow(emulator)
    arguments = {
        "workflow_id": workflow_id,
        "cancel_on_kill": False,
        "execution_timeout": timedelta(seconds=1),
    }
    with pytest.raises(AirflowException, match="execution_timeout=1 s") as caught:
        under_timeout(ti, operator(**arguments), is_polled(emulator))
    assert isinstance(caught.value, AirflowFailException) is not has_store
    assert len(active(emulator, workflow_id)) == 1


def test_airflows_own_timeout_stops_the_run_and_names_itself(
    emulator: EmulatorProcess, bare: TaskInstance
) -> None:
    task = operator(execution_timeout=timedelta(seconds=1), timeout=60)
    with pytest.raises(RunStoppedError, match=r"within execution_timeout=1 s; it was stopped"):
        under_timeout(bare, task, is_polled(emulator))
    assert newest(emulator, 3)["status"] == 5


@pytest.mark.parametrize("has_store", [True, False])
def test_a_timeout_while_the_start_is_under_way_is_final_unless_it_is_kept(
    emulator: EmulatorProcess, has_store: bool
) -> None:
    ti = TaskInstance(Store() if has_store else None)
    workflow_id = workflow(emulator)
    # Nothing is to be seen yet.
    emulator.add_fault("ExecuteWorkflow", "delay", when="before", seconds=3)
    arguments = {"workflow_id": workflow_id, "instance_parameters": {"mine": 1}}
    with pytest.raises(AirflowException, match="could not be determined within .* whether a run") as caught:
        under_timeout(ti, operator(**arguments), lambda: not emulator.pending_faults())
    assert isinstance(caught.value, AirflowFailException) is not has_store
    if has_store:
        wait_for("the request arrives", lambda: active(emulator, workflow_id), 10)
        (run,) = active(emulator, workflow_id)
        with pytest.raises(RunStoppedError, match=str(run)):
            ti.run(operator(**arguments, timeout=4))
        assert not active(emulator, workflow_id)


@pytest.mark.parametrize("has_store", [True, False])
def test_a_timeout_while_the_start_is_under_way_stops_the_run_if_it_is_in_sight(
    emulator: EmulatorProcess, has_store: bool
) -> None:
    ti = TaskInstance(Store() if has_store else None)
    workflow_id = workflow(emulator)
    emulator.add_fault("ExecuteWorkflow", "delay", when="after", seconds=3)
    task = operator(
        workflow_id=workflow_id, instance_parameters={"mine": 1}, execution_timeout=timedelta(seconds=1)
    )
    with pytest.raises(RunStoppedError, match=r"within execution_timeout=1 s; it was stopped"):
        under_timeout(ti, task, lambda: not emulator.pending_faults())
    assert not active(emulator, workflow_id)


class BackendError(AirflowException):
    pass


@pytest.mark.parametrize(
    "error", [BackendError("no bucket"), SystemExit(1), KeyboardInterrupt(), RuntimeError("x")]
)
@pytest.mark.parametrize("has_store", [True, False])
def test_an_accident_after_the_start_is_final_unless_it_is_kept(
    emulator: EmulatorProcess, error: BaseException, has_store: bool
) -> None:
    ti = TaskInstance(Store() if has_store else None)

    def fail(*_: Any, **__: Any) -> None:
        raise error

    ti.xcom_push = fail  # type: ignore[method-assign]
    expected = RunLostError if has_store else RunUndecidedError
    with pytest.raises(expected, match=type(error).__name__):
        ti.run(operator())


def test_an_accident_after_success_starts_no_other_run(emulator: EmulatorProcess, bare: TaskInstance) -> None:
    task = operator(workflow_id=1)
    task._finish = _then_fail(task._finish)  # type: ignore[method-assign]
    with pytest.raises(RunUndecidedError, match="succeeded, but this try failed: ValueError: boom"):
        bare.run(task)


def _then_fail(method: Callable[..., Any]) -> Callable[..., Any]:
    def failing(*arguments: Any) -> None:
        method(*arguments)
        raise ValueError("boom")

    return failing


def test_an_accident_before_anything_was_asked_comes_as_it_is(bare: TaskInstance) -> None:
    task = operator()
    task.run_calls.list_newest = _raise(OSError("no socket"))  # type: ignore[method-assign]
    with pytest.raises(OSError, match="no socket"):
        bare.run(task)


def _raise(error: BaseException) -> Callable[..., Any]:
    def raising(*_: Any, **__: Any) -> None:
        raise error

    return raising


# 3. A stranger's run is neither adopted nor stopped.


def while_starting(
    task: ExecuteWorkflowOperator,
    emulator: EmulatorProcess,
    others: Callable[[], Any],
    when: str = "before",
    monkeypatch: pytest.MonkeyPatch | None = None,
) -> None:
    """Let others start runs while the answer to the task's own request is lost."""
    execute = task.run_calls.start

    def meanwhile(*arguments: Any) -> int:
        others()
        emulator.add_fault("ExecuteWorkflow", "drop", when=when)
        task.run_calls.start = execute  # type: ignore[method-assign]
        return execute(*arguments)

    task.run_calls.start = meanwhile  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize("parameters", [None, "", {"daily": True}])
def test_a_strangers_run_is_neither_taken_for_ours_nor_stopped(
    emulator: EmulatorProcess, kept: TaskInstance, parameters: Any
) -> None:
    """Without parameters, or with those that earlier runs had, nothing tells a run of ours from a stranger's."""
    workflow_id = workflow(emulator)
    start = SchedulerXHook().execute_workflow
    if parameters:
        stop_now(workflow_id, start(workflow_id, parameters))
    task = operator(workflow_id=workflow_id, instance_parameters=parameters, timeout=3)
    while_starting(task, emulator, lambda: start(workflow_id, parameters))
    with pytest.raises(RunUndecidedError, match="may have been started") as caught:
        kept.run(task)
    (stranger,) = active(emulator, workflow_id)
    assert str(stranger) in str(caught.value)


def test_parameters_of_an_own_earlier_run_are_no_evidence_of_strangers(
    emulator: EmulatorProcess, kept: TaskInstance
) -> None:
    """The first try's run failed; the second's answer is lost."""
    node = {"name": "only", "duration": 5, "outcome": "failed"}
    workflow_id = workflow(emulator, nodes=[node])
    arguments = {"workflow_id": workflow_id, "instance_parameters": {"mine": 1}}
    with pytest.raises(RunFailedError):
        kept.run(operator(**arguments))
    starts = emulator.starts(workflow_id)
    emulator.add_fault("ExecuteWorkflow", "drop", when="after")
    with pytest.raises(RunFailedError, match="only"):
        kept.run(operator(**arguments))
    assert emulator.starts(workflow_id) == starts + 1


# 4. After a clear.


def leave_active(ti: TaskInstance, **arguments: Any) -> int:
    """A try that ends and leaves its run active."""
    with pytest.raises(RunLostError):
        ti.run(operator(**arguments, timeout=0.5, cancel_on_kill=False))
    return int(ti.xcoms["WfInstanceId"])


@pytest.mark.parametrize("mode", ["start", "skip", "fail", "reattach"])
def test_a_cleared_task_stops_its_own_run_first_and_does_not_meet_it(
    emulator: EmulatorProcess, kept: TaskInstance, mode: str
) -> None:
    workflow_id = workflow(emulator)
    first = leave_active(kept, workflow_id=workflow_id)
    kept.clear()
    second = kept.run(operator(workflow_id=workflow_id, if_running=mode, wait_for_completion=False))
    assert second != first
    assert active(emulator, workflow_id) == [second]


def test_a_cleared_task_whose_run_does_not_stop_starts_none_beside_it(
    emulator: EmulatorProcess, kept: TaskInstance
) -> None:
    first = leave_active(kept, workflow_id=4)
    starts = emulator.starts(4)
    kept.clear()
    calls = operator(workflow_id=4).run_calls
    impatient = SimpleNamespace(kind=calls.kind, get=calls.get, stop=lambda *ids: calls.stop(*ids, timeout=1))
    for _ in range(2):
        task = operator(workflow_id=4, wait_for_completion=False)
        task.run_calls.within = lambda *_: impatient  # type: ignore[method-assign,assignment]
        with pytest.raises(RunLostError, match=f"{first} was requested, but it had not ended"):
            kept.run(task)
    assert emulator.starts(4) == starts


def test_a_cleared_task_with_cancel_on_kill_off_says_that_its_run_keeps_running(
    emulator: EmulatorProcess, kept: TaskInstance, task_log: Callable[[], str]
) -> None:
    workflow_id = workflow(emulator)
    first = leave_active(kept, workflow_id=workflow_id)
    kept.clear()
    arguments = {"wait_for_completion": False, "cancel_on_kill": False, "if_running": "skip"}
    second = kept.run(operator(workflow_id=workflow_id, **arguments))
    assert active(emulator, workflow_id) == [first, second]
    assert f"Workflow instance {first} is RUNNING and keeps running beside the new one" in task_log()


def test_a_cleared_task_finds_and_stops_the_run_that_it_was_starting(
    emulator: EmulatorProcess, kept: TaskInstance
) -> None:
    workflow_id = workflow(emulator)
    task = operator(workflow_id=workflow_id)
    execute = task.run_calls.start

    class Dead(BaseException):
        pass

    def die(*arguments: Any) -> int:
        execute(*arguments)
        raise Dead

    task.run_calls.start = die  # type: ignore[method-assign, assignment]
    task._own = lambda *_: _unguarded(ExecuteWorkflowOperator._own(task, *_))  # type: ignore[method-assign]
    with pytest.raises(Dead):
        kept.run(task)
    (first,) = active(emulator, workflow_id)
    kept.clear()
    second = kept.run(operator(workflow_id=workflow_id, wait_for_completion=False))
    assert active(emulator, workflow_id) == [second] != [first]


def _unguarded(owner: Any) -> Any:
    """Nothing runs after kill -9."""
    owner._end.answer = lambda error: error
    return owner


# 5. Eviction is not a kill.


@pytest.fixture
def signalled(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Handle the signal that Airflow sends, as its task runner does, and say what becomes of the task."""
    monkeypatch.setattr(kills, "resumes_after_on_kill", lambda: True)
    before = signal.getsignal(signal.SIGTERM)

    def handle(task: ExecuteWorkflowOperator, state: str | Exception | None) -> None:
        def asked(_: Any) -> str | None:
            if isinstance(state, Exception):
                raise state
            return state

        monkeypatch.setattr(kills, "_state", asked)
        signal.signal(signal.SIGTERM, lambda *_: task.on_kill())

    yield handle
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    "state",
    ["running", None, "scheduled", "queued", "up_for_retry", ConnectionError("the API server is away")],
)
def test_a_task_that_no_one_has_ended_leaves_the_run_to_the_next_try(
    emulator: EmulatorProcess,
    kept: TaskInstance,
    signalled: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    state: str | Exception | None,
) -> None:
    """Its worker shuts down, or Airflow has not heard of it for a while and schedules it again, or does not answer."""
    workflow_id = workflow(emulator)
    task = operator(workflow_id=workflow_id, poll_interval=60)
    signalled(task, state)
    with monkeypatch.context() as patch:
        slept = as_it_sleeps(patch)
        with pytest.raises(RunLostError, match=r"does not say that anyone has ended it.*A retry picks it up"):
            kept.run(task)
    assert len(slept) == 1
    starts, run = emulator.starts(workflow_id), active(emulator, workflow_id)
    with pytest.raises(RunStoppedError, match=str(run[0])):
        kept.run(operator(workflow_id=workflow_id, timeout=0.5))
    assert emulator.starts(workflow_id) == starts


@pytest.mark.parametrize(
    ("state", "tries", "durable"),
    [
        ("failed", 1, True),
        ("success", 1, True),
        ("skipped", 1, True),
        ("removed", 1, True),
        ("restarting", 1, True),
        ("running", 4, True),
        (ConnectionError("the API server is away"), 4, True),
        ("running", 1, False),
    ],
)
def test_everything_else_stops_the_run(
    emulator: EmulatorProcess,
    kept: TaskInstance,
    signalled: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    state: str | Exception,
    tries: int,
    durable: bool,
) -> None:
    """A user has acted, or there is no other try, or it would not know the run."""
    workflow_id = workflow(emulator)
    kept.try_number = tries - 1
    task = operator(workflow_id=workflow_id, poll_interval=60, durable=durable)
    signalled(task, state)
    as_it_sleeps(monkeypatch)
    with pytest.raises(RunStoppedError, match="was killed"):
        kept.run(task)
    assert not active(emulator, workflow_id)


def test_a_kill_interrupts_a_poll_that_hangs(
    emulator: EmulatorProcess,
    connect: Callable[..., None],
    kept: TaskInstance,
    signalled: Callable[..., None],
) -> None:
    connect(emulator.connection(read_timeout=1000))
    workflow_id = workflow(emulator)
    emulator.add_fault("GetWorkflowInstance", "delay", seconds=60, skip=1)
    task = operator(workflow_id=workflow_id)
    signalled(task, "failed")
    as_the_service_hangs(emulator)
    with pytest.raises(RunStoppedError):
        kept.run(task)
    assert not active(emulator, workflow_id)


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_kill_while_the_answer_is_awaited_is_seen_to_before_anything_else(
    emulator: EmulatorProcess, kept: TaskInstance, signalled: Callable[..., None], deferrable: bool
) -> None:
    workflow_id = workflow(emulator)
    task = operator(workflow_id=workflow_id, wait_for_completion=deferrable, deferrable=deferrable)
    signalled(task, "failed")
    as_it_starts(task)
    with pytest.raises(RunStoppedError):
        kept.run(task)
    assert not active(emulator, workflow_id)


# 8. A wide workflow.


def test_a_wide_workflow_is_stopped_in_the_time_that_airflow_gives(
    emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its 40 nodes in 5 rounds: at 150 ms a call that is less than a second of the 5."""
    nodes = [{"name": f"n{number}", "duration": 100_000} for number in range(40)]
    workflow_id = workflow(emulator, history=0, nodes=nodes)
    hook = SchedulerXHook()
    run = hook.execute_workflow(workflow_id)
    wait_for("the run begins", lambda: newest(emulator, workflow_id)["status"] == 3, 60)
    perform = hook.single_try_transport.perform
    round_of_eight, rounds = threading.Barrier(8, timeout=60), []

    def together(call: Any) -> Any:
        if call.operation is STOP_INSTANCE and round_of_eight.wait() == 0:
            rounds.append(call)
        return perform(call)

    monkeypatch.setattr(hook.single_try_transport, "perform", together)
    hook.stop_workflow_instance(workflow_id, run)
    assert len(rounds) == 5
    assert newest(emulator, workflow_id)["status"] == 5


# 9. Limits bound everything.


@pytest.mark.parametrize("operation", ["ExecuteWorkflow", "ListWorkflowInstance", "GetWorkflowInstance"])
def test_a_timeout_bounds_throttled_calls(
    emulator: EmulatorProcess, kept: TaskInstance, operation: str
) -> None:
    workflow_id = workflow(emulator)
    emulator.add_fault(operation, "throttle", count=100_000, retry_after_ms=5000)
    began = time.monotonic()
    task = operator(workflow_id=workflow_id, timeout=2)
    task.run_calls.stop = lambda *ids: SchedulerXHook().stop_workflow_instance(*ids, timeout=1)  # type: ignore[method-assign]
    with pytest.raises(Exception, match=r"timeout=2 s|Throttling"):
        kept.run(task)
    assert time.monotonic() - began < 20, "it waits as long as it would without a limit"


def test_a_timeout_bounds_a_reconciliation_and_a_retry_continues_it(
    emulator: EmulatorProcess, kept: TaskInstance
) -> None:
    workflow_id = workflow(emulator)
    emulator.add_fault("ExecuteWorkflow", "drop", when="before")
    began = time.monotonic()
    with pytest.raises(RunLostError, match="timeout=2 s"):
        kept.run(operator(workflow_id=workflow_id, timeout=2, settling_time=600))
    assert time.monotonic() - began < 300
    assert STATE_KEY in kept.store


@pytest.mark.parametrize(
    ("timeout", "execution_timeout", "named"), [(60, 30, "execution_timeout=30 s"), (30, 60, "timeout=30 s")]
)
def test_of_two_limits_the_one_that_passed_is_named(
    emulator: EmulatorProcess, bare: TaskInstance, timeout: float, execution_timeout: float, named: str
) -> None:
    arguments = {
        "deferrable": True,
        "timeout": timeout,
        "execution_timeout": timedelta(seconds=execution_timeout),
    }
    with pytest.raises(TaskDeferred) as deferral:
        bare.run(operator(**arguments))
    assert 25 < deferral.value.trigger.deadline - time.time() <= 30
    run = bare.xcoms["WfInstanceId"]
    event = TerminalEvent(Outcome.TIMEOUT, 3, run, message="it was RUNNING then").to_payload()
    with pytest.raises(RunStoppedError, match=f"within {named} "):
        operator(**arguments).execute_complete(bare.context, event, **(deferral.value.kwargs or {}))


# 10. Input.


class Lazy(Sequence[Any]):
    """As the values of a mapped upstream task."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        return [1, {"b": 2}][index]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (20260101, "20260101"),
        (True, "true"),
        (1.5, "1.5"),
        (MappingProxyType({"a": MappingProxyType({"b": 1})}), '{"a":{"b":1}}'),
        (Lazy(), '[1,{"b":2}]'),
        ({"parts": Lazy()}, '{"parts":[1,{"b":2}]}'),
        (range(3), "[0,1,2]"),
        (Counter(a=1), '{"a":1}'),
    ],
)
def test_what_native_rendering_and_mapped_tasks_give_is_sent_as_json(
    emulator: EmulatorProcess, bare: TaskInstance, value: Any, sent: str
) -> None:
    task = operator(workflow_id=1, instance_parameters="{{ x }}", wait_for_completion=False)
    task.instance_parameters = value
    bare.run(task)
    assert newest(emulator, 1)["parameters"] == sent


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"deferrable": "no"}, "deferrable must be True or False, not 'no'"),
        ({"wait_for_completion": "False"}, "wait_for_completion must be True or False"),
        ({"cancel_on_kill": 0}, "cancel_on_kill must be True or False"),
        ({"durable": None}, "durable must be True or False"),
        ({"poll_interval": 0.001}, "poll_interval must be at least 0.1 seconds, not 0.001"),
        ({"run_marker": 5}, "run_marker must be True, False, or the name of a key, not 5"),
        ({"run_marker": ""}, "run_marker must be True, False, or the name of a key"),
        ({"workflow_id": "9" * 5000}, "workflow_id must be between 1 and"),
        ({"workflow_id": 10**5000}, "workflow_id must be between 1 and .* more than 40 digits"),
    ],
)
def test_absurd_arguments_are_refused_when_the_dag_file_is_parsed(
    arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(SchedulerXConfigurationError, match=says) as caught:
        operator(**arguments)
    assert caught.value.field in arguments
    assert len(str(caught.value)) < 300


def test_a_link_never_fails_a_task(
    emulator: EmulatorProcess, bare: TaskInstance, task_log: Callable[[], str]
) -> None:
    task = operator(workflow_id=1)
    task.hook.console_link = _raise(KeyError("region"))  # type: ignore[method-assign]
    bare.run(task)
    assert "The link to the console could not be stored" in task_log()


# 11. Airflow 3.0 resumes a retry with the event of the previous try.


def test_an_event_of_an_earlier_try_starts_the_try_anew(
    emulator: EmulatorProcess, bare: TaskInstance
) -> None:
    node = {"name": "only", "duration": 15, "outcome": "failed"}
    workflow_id = workflow(emulator, nodes=[node])
    arguments = {"workflow_id": workflow_id, "deferrable": True}
    with pytest.raises(TaskDeferred) as deferral:
        bare.run(operator(**arguments))
    run = bare.xcoms["WfInstanceId"]
    while newest(emulator, workflow_id)["status"] != 5:
        time.sleep(0.1)
    seen = SchedulerXHook().get_workflow_instance(workflow_id, run)
    event = TerminalEvent(Outcome.ENDED, workflow_id, run, seen).to_payload()
    with pytest.raises(RunFailedError):
        operator(**arguments).execute_complete(bare.context, event, **(deferral.value.kwargs or {}))
    bare.try_number = 2
    starts = emulator.starts(workflow_id)
    with pytest.raises((TaskDeferred, RunFailedError)):
        operator(**arguments).execute_complete(bare.context, event, **(deferral.value.kwargs or {}))
    assert emulator.starts(workflow_id) == starts + 1
    assert bare.xcoms["WfInstanceId"] != run


@pytest.mark.parametrize("error", ["Trigger timeout", "Trigger failure"])
def test_a_deferral_of_an_earlier_try_that_airflow_ended_starts_the_try_anew(
    emulator: EmulatorProcess, bare: TaskInstance, error: str
) -> None:
    workflow_id = workflow(emulator, nodes=[{"name": "only", "duration": 5, "outcome": "failed"}])
    arguments = {"workflow_id": workflow_id, "deferrable": True, "timeout": 60}
    with pytest.raises(TaskDeferred):
        bare.run(operator(**arguments))
    while newest(emulator, workflow_id)["status"] != 5:
        time.sleep(0.1)
    first, starts = bare.xcoms["WfInstanceId"], emulator.starts(workflow_id)
    bare.try_number = 2
    with pytest.raises(TaskDeferred):
        operator(**arguments).resume_execution("__fail__", {"error": error}, bare.context)
    assert emulator.starts(workflow_id) == starts + 1
    assert bare.xcoms["WfInstanceId"] != first


@pytest.mark.parametrize("method", ["execute_complete", "__fail__"])
def test_a_deferral_whose_run_cannot_be_looked_up_allows_no_blind_retry(
    emulator: EmulatorProcess, bare: TaskInstance, method: str
) -> None:
    """The run is there, and with ``durable=False`` a retry would start another beside it."""
    arguments = {"deferrable": True, "durable": False}
    with pytest.raises(TaskDeferred):
        bare.run(operator(**arguments))
    bare.xcom_pull = _raise(ConnectionError("the API server is away"))  # type: ignore[method-assign]
    reason = {"error": "Trigger failure"} if method == "__fail__" else {"event": None}
    with pytest.raises(RunUndecidedError, match="the API server is away"):
        operator(**arguments).resume_execution(method, reason, bare.context)


# 12. What cannot heal is final at once.


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"workflow_id": 999_999}, "not existed"),
        ({"instance_parameters": "{{ x }}"}, "1001 bytes"),
        ({"workflow_id": "{{ x }}"}, "no workflow is given: set workflow_id"),
    ],
)
def test_a_wrong_configuration_fails_at_once(
    emulator: EmulatorProcess, kept: TaskInstance, arguments: dict[str, Any], says: str
) -> None:
    task = operator(**arguments)
    if task.instance_parameters == "{{ x }}":
        task.instance_parameters = "x" * 1001
    if task.workflow_id == "{{ x }}":
        task.workflow_id = None
    starts = emulator.counters()["starts"]
    with pytest.raises(RunNotStartableError, match=says) as caught:
        kept.run(task)
    assert isinstance(caught.value, AirflowFailException)
    assert emulator.counters()["starts"] == starts
    assert STATE_KEY not in kept.store


def test_a_connection_without_a_region_fails_at_once(
    emulator: EmulatorProcess, bare: TaskInstance, connect: Callable[..., None]
) -> None:
    connect(emulator.connection(region_id=None))
    with pytest.raises(RunNotStartableError, match="region_id"):
        bare.run(operator())


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_run_that_is_not_existed_is_final_after_the_settling_time_with_one_warning(
    emulator: EmulatorProcess, kept: TaskInstance, task_log: Callable[[], str], deferrable: bool
) -> None:
    emulator.add_fault(
        "GetWorkflowInstance",
        "error",
        status=200,
        count=100_000,
        body='{"Code": 400, "Success": false, "Message": "wfInstanceId=1 is not existed", "RequestId": "R"}',
    )
    task = operator(poll_failure_tolerance=600, deferrable=deferrable)
    began = time.monotonic()
    if deferrable:
        with pytest.raises(TaskDeferred) as deferral:
            kept.run(task)
        event = TerminalEvent(Outcome.UNDECIDED, 3, kept.xcoms["WfInstanceId"], message="gone").to_payload()
        with pytest.raises(RunUndecidedError, match="is not existed"):
            operator().execute_complete(kept.context, event, **(deferral.value.kwargs or {}))
    else:
        with pytest.raises(RunUndecidedError, match="is not existed"):
            kept.run(task)
        assert task_log().count("Could not poll") == 1
    assert time.monotonic() - began < 300


# 13. A retry with other arguments looks first.


@pytest.mark.parametrize(
    "change", [{"workflow_id": 1}, {"group_id": "reporting"}, {"region_id": "cn-beijing"}]
)
@pytest.mark.parametrize("has_ended", [True, False])
def test_a_retry_for_another_workflow_looks_at_the_earlier_run(
    emulator: EmulatorProcess, kept: TaskInstance, change: dict[str, Any], has_ended: bool
) -> None:
    workflow_id = workflow(emulator)
    run = leave_active(kept, workflow_id=workflow_id)
    if has_ended:
        stop_now(workflow_id, run)
    arguments = {"workflow_id": workflow_id, **change, "wait_for_completion": False}
    starts = sum(emulator.counters()["starts"].values())
    if not has_ended:
        with pytest.raises(RunUndecidedError, match=f"{run} of workflow {workflow_id}.*it is RUNNING"):
            kept.run(operator(**arguments))
    elif change == {"group_id": "reporting"}:
        with pytest.raises(RunNotStartableError, match="not existed"):
            kept.run(operator(**arguments))
    else:
        assert kept.run(operator(**arguments)) != run
        starts += 1
    assert sum(emulator.counters()["starts"].values()) == starts


# On the last try.


def test_the_last_try_says_that_nothing_follows_the_run(
    emulator: EmulatorProcess, kept: TaskInstance
) -> None:
    kept.try_number = 3
    with pytest.raises(RunLostError, match="last try, so nothing follows the run now: stop it in"):
        kept.run(operator(timeout=0.5, cancel_on_kill=False))


# A marker makes starts durable on every version.


def die_after(task: ExecuteWorkflowOperator, method: str) -> None:
    """Let the worker die right after a call."""
    original = getattr(task.run_calls, method)

    def dying(*arguments: Any) -> Any:
        original(*arguments)
        raise Dead

    setattr(task.run_calls, method, dying)
    task._own = lambda *_: _unguarded(ExecuteWorkflowOperator._own(task, *_))  # type: ignore[method-assign]


class Dead(BaseException):
    """kill -9."""


@pytest.mark.parametrize("parameters", [None, {"a": 1}])
def test_a_marker_lets_a_retry_find_the_run_without_any_store(
    emulator: EmulatorProcess, bare: TaskInstance, parameters: Any
) -> None:
    workflow_id = workflow(emulator, duration=20)
    arguments = {"workflow_id": workflow_id, "run_marker": True, "instance_parameters": parameters}
    task = operator(**arguments)
    die_after(task, "start")
    with pytest.raises(Dead):
        bare.run(task)
    run, starts = newest(emulator, workflow_id)["wf_instance_id"], emulator.starts(workflow_id)
    # Others start the same meanwhile.
    SchedulerXHook().execute_workflow(workflow_id, parameters)
    assert bare.run(operator(**arguments)) == run
    assert emulator.starts(workflow_id) == starts + 1
    # And another try takes up the same: it has succeeded.
    assert bare.run(operator(**arguments)) == run
    assert emulator.starts(workflow_id) == starts + 1


def test_the_marker_stands_under_the_key_that_is_named(emulator: EmulatorProcess, kept: TaskInstance) -> None:
    kept.run(operator(workflow_id=1, run_marker="ours"))
    assert '"ours":"' in newest(emulator, 1)["parameters"]


def test_a_marked_run_that_failed_is_followed_by_another_and_the_newest_counts(
    emulator: EmulatorProcess, bare: TaskInstance
) -> None:
    node = {"name": "only", "duration": 1, "outcome": "failed"}
    workflow_id = workflow(emulator, nodes=[node])
    starts = emulator.starts(workflow_id)
    for number in range(1, 4):
        with pytest.raises(RunFailedError):
            bare.run(operator(workflow_id=workflow_id, run_marker=True, instance_parameters=None))
        assert emulator.starts(workflow_id) == starts + number
    markers = [run["parameters"] for run in emulator.instances(workflow_id)[-3:]]
    assert len(set(markers)) == 1


def test_clearing_changes_the_marker_and_the_first_try_then_looks_only_once(
    emulator: EmulatorProcess, bare: TaskInstance
) -> None:
    arguments = {"workflow_id": 1, "run_marker": True, "instance_parameters": None, "retries": 3}
    first = bare.run(operator(**arguments))
    bare.clear()
    lists = emulator.calls("ListWorkflowInstance")
    second = bare.run(operator(**arguments))
    assert second != first
    # Once for the marker, since it might be a retry whose `retries` were lowered, and once before the start.
    assert emulator.calls("ListWorkflowInstance") == lists + 2
    assert bare.run(operator(**arguments)) == second


def test_a_marker_makes_an_eviction_harmless_without_a_store(
    emulator: EmulatorProcess,
    bare: TaskInstance,
    signalled: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workflow_id = workflow(emulator)
    arguments = {"workflow_id": workflow_id, "run_marker": True}
    task = operator(**arguments)
    signalled(task, "running")
    with monkeypatch.context() as patch:
        as_it_sleeps(patch)
        with pytest.raises(RunLostError):
            bare.run(task)
    starts = emulator.starts(workflow_id)
    with pytest.raises(RunStoppedError):
        bare.run(operator(**arguments, timeout=0.5))
    assert emulator.starts(workflow_id) == starts


@pytest.mark.parametrize("durable", [True, False])
def test_without_marker_and_store_a_retry_refuses_to_start_beside_an_active_run(
    emulator: EmulatorProcess, bare: TaskInstance, durable: bool
) -> None:
    workflow_id = workflow(emulator)
    arguments = {"workflow_id": workflow_id, "instance_parameters": {"mine": 1}, "durable": durable}
    task = operator(**arguments)
    die_after(task, "start")
    with pytest.raises(Dead):
        bare.run(task)
    (run,) = active(emulator, workflow_id)
    again = operator(**arguments, wait_for_completion=False)
    if durable:
        with pytest.raises(RunUndecidedError, match=rf"{run} \(RUNNING.*run_marker=True"):
            bare.run(again)
        assert active(emulator, workflow_id) == [run]
    else:
        bare.run(again)
        assert len(active(emulator, workflow_id)) == 2, "it does as it is told"


def test_without_marker_and_store_runs_that_differ_are_no_hindrance(
    emulator: EmulatorProcess, bare: TaskInstance
) -> None:
    """As the other instances of a mapped task."""
    workflow_id = workflow(emulator)
    for other in range(3):
        SchedulerXHook().execute_workflow(workflow_id, {"part": other})
    bare.try_number = 1
    bare.run(operator(workflow_id=workflow_id, instance_parameters={"part": 9}, wait_for_completion=False))
    assert len(active(emulator, workflow_id)) == 4


# A refusal is passed on in the service's words, and does not loop.


def refuse(emulator: EmulatorProcess, message: str, when: str = "before", count: int = 1) -> None:
    body = f'{{"Code": 500, "Success": false, "Message": "{message}", "RequestId": "R"}}'
    emulator.add_fault("ExecuteWorkflow", "error", status=200, body=body, when=when, count=count)


@pytest.mark.parametrize("has_store", [True, False])
def test_a_refusal_is_told_in_the_services_words(emulator: EmulatorProcess, has_store: bool) -> None:
    ti = TaskInstance(Store() if has_store else None)
    workflow_id = workflow(emulator)
    refuse(emulator, "max concurrency 1 reached")
    made = emulator.calls("ExecuteWorkflow")
    with pytest.raises(Exception, match="max concurrency 1 reached") as caught:
        ti.run(operator(workflow_id=workflow_id, run_marker=not has_store))
    assert not isinstance(caught.value, AirflowFailException), "a retry may start one"
    assert emulator.calls("ExecuteWorkflow") == made + 1
    assert not active(emulator, workflow_id)


def test_a_start_that_gets_no_answer_is_attempted_again_within_bounds(
    emulator: EmulatorProcess, kept: TaskInstance
) -> None:
    workflow_id = workflow(emulator)
    emulator.add_fault("ExecuteWorkflow", "error", when="before", count=3)
    made = emulator.calls("ExecuteWorkflow")
    with pytest.raises(RunNotStartedError, match="in 3 attempts"):
        kept.run(operator(workflow_id=workflow_id))
    assert emulator.calls("ExecuteWorkflow") == made + 3


@pytest.mark.parametrize("times", [1, launching._MAX_COLLISIONS])
def test_a_start_in_a_second_that_is_taken_is_made_again_some_seconds_later(
    emulator: EmulatorProcess, kept: TaskInstance, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Such a refusal proves that nothing was started, so nothing has to settle first."""
    monkeypatch.setattr(launching, "_LEAST_SPREAD", 0.1)
    monkeypatch.setattr(launching, "_WIDEST_SPREAD", 0.2)
    workflow_id = workflow(emulator)
    task = operator(workflow_id=workflow_id, settling_time=600, wait_for_completion=False)
    start, refusals = task.run_calls.start, [SchedulerXSameSecondError("Duplicate entry")] * times

    def refused(*arguments: Any) -> int:
        if refusals:
            raise refusals.pop()
        return start(*arguments)

    monkeypatch.setattr(task.run_calls, "start", refused)
    if times == 1:
        assert kept.run(task) == newest(emulator, workflow_id)["wf_instance_id"]
        return
    with pytest.raises(RunNotStartedError, match="in 20 attempts: Duplicate entry"):
        kept.run(task)
    assert STATE_KEY not in kept.store


# A start that is refused as a duplicate of the task's own, which a gateway has repeated.


def repeated_by_a_gateway(emulator: EmulatorProcess, **arguments: Any) -> tuple[int, ExecuteWorkflowOperator]:
    workflow_id = workflow(emulator)
    task = operator(**{"workflow_id": workflow_id, "run_marker": True, **arguments})
    start = task.run_calls.start

    def started_twice(*ids: Any) -> int:
        start(*ids)
        raise SchedulerXSameSecondError("Duplicate entry")

    task.run_calls.start = started_twice  # type: ignore[method-assign, assignment]
    return workflow_id, task


@pytest.mark.parametrize("has_store", [True, False])
def test_a_limit_while_a_duplicate_is_looked_for_stops_it(emulator: EmulatorProcess, has_store: bool) -> None:
    workflow_id, task = repeated_by_a_gateway(emulator, timeout=2, settling_time=600)
    with pytest.raises(RunStoppedError, match="within timeout=2 s"):
        TaskInstance(Store() if has_store else None).run(task)
    assert not active(emulator, workflow_id)


@pytest.mark.parametrize("has_store", [True, False])
@pytest.mark.parametrize("state", ["failed", "running"])
def test_a_signal_while_a_duplicate_is_looked_for_is_answered_like_any_other(
    emulator: EmulatorProcess,
    signalled: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    has_store: bool,
) -> None:
    ti = TaskInstance(Store() if has_store else None)
    workflow_id, task = repeated_by_a_gateway(emulator, settling_time=600)
    signalled(task, state)
    as_it_sleeps(monkeypatch)
    if state == "failed":
        with pytest.raises(RunStoppedError, match="was killed"):
            ti.run(task)
        assert not active(emulator, workflow_id)
        return
    with pytest.raises(RunLostError, match="A retry picks it up"):
        ti.run(task)
    (run,) = active(emulator, workflow_id)
    again = operator(workflow_id=workflow_id, run_marker=True, wait_for_completion=False)
    assert ti.run(again) == run
    assert active(emulator, workflow_id) == [run]


def test_without_a_marker_a_refused_start_leaves_nothing_to_a_signal(
    emulator: EmulatorProcess,
    kept: TaskInstance,
    signalled: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such a refusal is clear then."""
    workflow_id = workflow(emulator)
    task = operator(workflow_id=workflow_id)

    def refused(*_: Any) -> int:
        raise SchedulerXSameSecondError("Duplicate entry")

    task.run_calls.start = refused  # type: ignore[method-assign, assignment]
    signalled(task, "running")
    as_it_sleeps(monkeypatch)
    with pytest.raises(RunNotStartedError, match="nothing was started"):
        kept.run(task)
    assert STATE_KEY not in kept.store
