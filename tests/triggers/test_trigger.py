"""The trigger over real sockets, against the emulator."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError
from airflow_provider_schedulerx.api.runs.events import Outcome, TerminalEvent
from airflow_provider_schedulerx.api.runs.kinds import Run
from airflow_provider_schedulerx.api.runs.tracking import RunTracker
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.run_page.writer import NullWriter
from airflow_provider_schedulerx.triggers import run as run_triggers
from airflow_provider_schedulerx.triggers import stopping
from airflow_provider_schedulerx.triggers.schedulerx import WorkflowInstanceTrigger
from airflow_provider_schedulerx.version_compat import kills
from dev.harness.rest import AIRFLOW, IS_AIRFLOW_2


@pytest.fixture
def hook(emulator: EmulatorProcess, connect: Callable[..., None]) -> SchedulerXHook:
    """With a budget in which polls five times a second are few: else the list would help out."""
    connect(emulator.connection(calls_per_minute=10_000))
    return SchedulerXHook()


#: What Airflow gives a trigger; the constructor of some versions says that there is none yet.
OF_A_TASK = property(lambda _: object(), lambda _, value: None)


def trigger(wf_instance_id: int, workflow_id: int = 1, **arguments: Any) -> WorkflowInstanceTrigger:
    return WorkflowInstanceTrigger(
        **{"workflow_id": workflow_id, "wf_instance_id": wf_instance_id, "poll_interval": 0.2, **arguments}
    )


async def fire(made: WorkflowInstanceTrigger) -> TerminalEvent:
    """Run a trigger as a triggerer does: through its serialized form; exactly one event must come."""
    path, arguments = made.serialize()
    assert path == "airflow_provider_schedulerx.triggers.schedulerx.WorkflowInstanceTrigger"
    again = WorkflowInstanceTrigger(**json.loads(json.dumps(arguments)))
    events = [event.payload async for event in again.run()]
    assert len(events) == 1
    return TerminalEvent.parse(
        json.loads(json.dumps(events[0])),
        made.kind,
        definition_id=made.definition_id,
        instance_id=made.instance_id,
    )


def test_the_trigger_fires_for_success_and_failure(hook: SchedulerXHook) -> None:
    good, bad = hook.execute_workflow(1), hook.execute_workflow(2)

    async def main() -> list[TerminalEvent]:
        return list(await asyncio.gather(fire(trigger(good)), fire(trigger(bad, 2))))

    ended = asyncio.run(main())
    assert [event.outcome for event in ended] == [Outcome.ENDED, Outcome.ENDED]
    assert [event.run.status.value for event in ended if event.run] == [4, 5]


def test_the_trigger_times_out_after_a_last_look(hook: SchedulerXHook) -> None:
    endless = hook.execute_workflow(3)
    event = asyncio.run(fire(trigger(endless, 3, deadline=time.time() + 0.7)))
    assert event.outcome is Outcome.TIMEOUT
    # Long past the deadline, as after a triggerer was away: a run that has ended still counts.
    over = hook.execute_workflow(1)
    time.sleep(1)
    event = asyncio.run(fire(trigger(over, deadline=time.time() - 100)))
    assert event.outcome is Outcome.ENDED


def test_the_trigger_ends_undecided_on_lasting_faults(
    hook: SchedulerXHook, emulator: EmulatorProcess, connect: Callable[..., None]
) -> None:
    emulator.add_fault("GetWorkflowInstance", "error", status=403, code="Forbidden.RAM")
    event = asyncio.run(fire(trigger(hook.execute_workflow(3), 3)))
    assert event.outcome is Outcome.UNDECIDED
    assert "edas:ReadSchedulerxWorkflowQuery" in event.message
    emulator.add_fault("GetWorkflowInstance", "drop", count=1000)
    event = asyncio.run(fire(trigger(hook.execute_workflow(3), 3, poll_failure_tolerance=0.5)))
    assert event.outcome is Outcome.UNDECIDED
    connect({"conn_type": "schedulerx", "extra": {"region_id": "cn-hangzhou", "network": "lan"}})
    event = asyncio.run(fire(trigger(5)))
    assert event.outcome is Outcome.UNDECIDED
    assert "network 'lan'" in event.message


def test_passing_faults_do_not_end_the_trigger(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    emulator.add_fault("GetWorkflowInstance", "drop", count=3)
    event = asyncio.run(fire(trigger(hook.execute_workflow(1))))
    assert event.outcome is Outcome.ENDED


def test_an_unknown_status_ends_it_undecided(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    body = '{"Code": 200, "Success": true, "RequestId": "R", "Data": {"WfInstanceInfo": {"Status": 42}}}'
    emulator.add_fault("GetWorkflowInstance", "error", status=200, body=body, count=1000)
    event = asyncio.run(fire(trigger(hook.execute_workflow(3), 3, poll_interval=0.02)))
    assert event.outcome is Outcome.UNDECIDED
    assert "42" in event.message


def test_its_repr_and_arguments_hold_ids_and_numbers_only(hook: SchedulerXHook) -> None:
    shown = repr(trigger(5))
    assert "emulator-secret" not in shown
    assert all(
        value is None or isinstance(value, str | int | float) for value in trigger(5).serialize()[1].values()
    )


class Recorder:
    """Takes what a trigger tells the writer of its run's page."""

    def __init__(self) -> None:
        self.observed: list[Run] = []
        self.is_closed = False

    def observe(self, run: Run) -> None:
        assert not self.is_closed
        self.observed.append(run)

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(run_triggers, "for_trigger", lambda ti: recorder)
    return recorder


def test_the_nodes_of_the_log_and_of_the_page_are_the_same_samples(
    hook: SchedulerXHook,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(WorkflowInstanceTrigger, "_log", logging.getLogger("the trigger"), raising=False)
    run = hook.execute_workflow(1)
    with caplog.at_level(logging.INFO):
        asyncio.run(fire(trigger(run)))
    replayed = RunTracker(600.0)
    lines = [line for seen in recorder.observed for line in replayed.observe(seen, 0.0)[1]]
    assert any(line.startswith("Node ") for line in lines)
    assert [record.message for record in caplog.records if record.name == "the trigger"] == lines


def test_a_page_is_closed_before_the_run_of_a_killed_task_is_stopped(
    hook: SchedulerXHook, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Airflow 3.3 the trigger itself stops it, which takes long, and meanwhile the next try may store its own."""
    closed: list[bool] = []

    async def on_kill(trigger: WorkflowInstanceTrigger) -> None:
        closed.append(recorder.is_closed)

    async def failed(_: Any) -> str:
        return "failed"

    monkeypatch.setattr(kills, "_fetchers", lambda: (failed, None))
    monkeypatch.setattr(kills, "triggers_are_told_of_kills", lambda: False)
    monkeypatch.setattr(WorkflowInstanceTrigger, "task_instance", OF_A_TASK, raising=False)
    monkeypatch.setattr(WorkflowInstanceTrigger, "on_kill", on_kill)
    endless = hook.execute_workflow(3)

    async def main() -> None:
        task = asyncio.create_task(fire(trigger(endless, 3)))
        while not recorder.observed:  # noqa: ASYNC110  # in real time, as the service is
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert closed == [True]


def test_cancelling_a_trigger_stops_nothing(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    """As when a triggerer shuts down or hands its triggers over."""
    endless = hook.execute_workflow(3)

    async def main() -> None:
        task = asyncio.create_task(fire(trigger(endless, 3)))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert emulator.instances(3)[-1]["status"] == 3


def test_on_kill_stops_the_run_though_it_is_cancelled_again_and_again(
    hook: SchedulerXHook, emulator: EmulatorProcess
) -> None:
    """Airflow's triggerer cancels a trigger about every second while its on_kill runs."""
    endless = hook.execute_workflow(3)
    emulator.add_fault("StopInstance", "delay", seconds=2, count=2)

    async def main() -> None:
        task = asyncio.create_task(trigger(endless, 3).on_kill())
        for _ in range(12):
            await asyncio.sleep(0.3)
            task.cancel("__airflow_user_action__")
        await task

    asyncio.run(main())
    assert emulator.instances(3)[-1]["status"] == 5


@pytest.mark.parametrize(
    ("is_told", "states", "shown", "is_stopped"),
    [
        (True, ["deferred"], "own", False),
        (True, ["deferred"], "another", True),
        (True, ["deferred"], "nothing", False),
        (True, ["deferred"], "an address", False),
        (True, ["up_for_retry"], "own", False),
        (True, ["failed"], "own", True),
        (True, ["running"], "own", True),
        (True, ["running"], "given back", False),
        (True, ["failed"], "given back", False),
        (True, ["failed"], "given back later", True),
        (True, [OSError, "queued"], "given back", False),
        (True, [None], "own", True),
        (True, [None], "given back", True),
        (True, [OSError, "deferred"], "own", False),
        (True, [OSError, "failed"], "own", True),
        (True, [OSError] * 9, "own", True),
        (False, ["deferred"], "own", False),
        (False, ["deferred"], "another", True),
        (False, ["up_for_retry"], "own", False),
        (False, ["failed"], "own", True),
        (False, ["failed"], "given back", False),
        (False, [None], "own", False),
        (False, [OSError, "failed"], "own", True),
        (False, [OSError] * 9, "own", False),
    ],
)
def test_a_trigger_that_moves_stops_nothing_and_one_that_a_user_ends_does(
    hook: SchedulerXHook,
    emulator: EmulatorProcess,
    monkeypatch: pytest.MonkeyPatch,
    is_told: bool,
    states: list[Any],
    shown: str,
    is_stopped: bool,
) -> None:
    """Airflow 3.3 calls on_kill for both; what it has told is believed where the state of the task says nothing.

    After a clear, the next try may wait already: then the XCom of the task shows another run. And another triggerer may have
    given the run back to the task.
    """
    endless = hook.execute_workflow(3)
    xcoms = {"own": endless, "another": str(endless + 1), "nothing": None, "an address": "s3://xcoms/1"}
    notes = {"given back": 5.0, "given back later": 6.0}
    answers = iter(states)

    async def state(_: Any) -> str | None:
        answer: Any = next(answers)
        if answer is OSError:
            raise OSError("the API server is away")
        return None if answer is None else str(answer)

    async def xcom(_: Any, key: str) -> Any:
        return {"WfInstanceId": xcoms.get(shown), "schedulerx_given_back": notes.get(shown)}[key]

    monkeypatch.setattr(kills, "_fetchers", lambda: (state, xcom))
    monkeypatch.setattr(kills, "triggers_are_told_of_kills", lambda: is_told)
    monkeypatch.setattr(stopping, "_STATE_PAUSE", 0.01)
    monkeypatch.setattr(WorkflowInstanceTrigger, "task_instance", OF_A_TASK, raising=False)

    async def main() -> None:
        made = trigger(endless, 3, deferred_at=5.0)
        if is_told:
            await made.on_kill()
            return
        task = asyncio.ensure_future(anext(made.run()))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    (run,) = (run for run in emulator.instances(3) if run["wf_instance_id"] == endless)
    assert run["status"] == (5 if is_stopped else 3)


class Supervisor:
    """Takes what a trigger stores, and knows nothing. :ivar is_away: whether it never answers about what is stored."""

    is_away = False

    def __init__(self) -> None:
        self.stored: list[Any] = []
        self.was_asked = asyncio.Event()

    async def asend(self, message: Any) -> None:
        if type(message).__name__ != "SetXCom":
            return
        self.was_asked.set()
        if self.is_away:
            await asyncio.Event().wait()
        self.stored.append((message.task_id, message.key, message.value))


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    task_runner = pytest.importorskip("airflow.sdk.execution_time.task_runner")
    supervisor = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1)
    of_it = property(lambda _: ti, lambda _, value: None)
    monkeypatch.setattr(WorkflowInstanceTrigger, "task_instance", of_it, raising=False)
    return supervisor


@pytest.mark.skipif(AIRFLOW < (3, 2), reason="before Airflow 3.2, a trigger leaves no note of its event")
def test_a_run_that_may_be_active_is_given_back_before_the_event(
    hook: SchedulerXHook, emulator: EmulatorProcess, supervisor: Supervisor
) -> None:
    endless, good = hook.execute_workflow(3), hook.execute_workflow(1)
    event = asyncio.run(fire(trigger(endless, 3, deadline=time.time() + 0.3, deferred_at=5.0)))
    assert event.outcome is Outcome.TIMEOUT
    note = ("t", "schedulerx_given_back", 5.0)
    assert [each for each in supervisor.stored if each[1] == note[1]] == [note]
    supervisor.stored.clear()
    for made in (
        trigger(endless, 3, deadline=time.time() + 0.3, deferred_at=5.0, cancel_on_kill=False),
        trigger(endless, 3, deadline=time.time() + 0.3),
        trigger(good, deferred_at=5.0),
    ):
        asyncio.run(fire(made))
    assert note[1] not in [key for _, key, _ in supervisor.stored]


@pytest.mark.skipif(AIRFLOW < (3, 2), reason="before Airflow 3.2, a trigger leaves no note of its event")
def test_an_airflow_that_takes_no_note_does_not_keep_the_event_back(
    hook: SchedulerXHook, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_triggers, "_NOTE_SECONDS", 0.1)
    supervisor.is_away = True
    endless = hook.execute_workflow(3)
    event = asyncio.run(fire(trigger(endless, 3, deadline=time.time() + 0.3, deferred_at=5.0)))
    assert event.outcome is Outcome.TIMEOUT


@pytest.mark.skipif(AIRFLOW < (3, 2), reason="before Airflow 3.2, a trigger leaves no note of its event")
def test_a_user_who_is_faster_than_the_event_stops_the_run(
    hook: SchedulerXHook, emulator: EmulatorProcess, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trigger does not take its own note for that of another triggerer."""
    endless = hook.execute_workflow(3)
    supervisor.is_away = True

    async def failed(_: Any) -> str:
        return "failed"

    async def xcom(_: Any, key: str) -> Any:
        return 5.0

    monkeypatch.setattr(kills, "_fetchers", lambda: (failed, xcom))
    monkeypatch.setattr(run_triggers, "_NOTE_SECONDS", 60)
    monkeypatch.setattr(run_triggers, "for_trigger", lambda ti: NullWriter())

    async def main() -> None:
        made = trigger(endless, 3, deadline=time.time() + 0.3, deferred_at=5.0)
        task = asyncio.ensure_future(anext(made.run()))
        await supervisor.was_asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await made.on_kill()

    asyncio.run(main())
    (run,) = (run for run in emulator.instances(3) if run["wf_instance_id"] == endless)
    assert run["status"] == 5


def test_on_kill_without_cancel_leaves_the_run(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    endless = hook.execute_workflow(3)
    asyncio.run(trigger(endless, 3, cancel_on_kill=False).on_kill())
    assert emulator.instances(3)[-1]["status"] == 3


@pytest.mark.skipif(IS_AIRFLOW_2, reason="the triggerer of Airflow 2 asks the database for its triggers")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("schedulerx.WorkflowInstanceTrigger", {"workflow_id": 1, "wf_instance_id": 2, "poll_interval": -1}),
        (
            "scheduled.ScheduledRunTrigger",
            {"kind_name": "workflow", "definition_id": 1, "field": "data_time", "beginning": "today"},
        ),
        (
            "scheduled.ScheduledRunTrigger",
            {"kind_name": "flow", "definition_id": 1, "field": "data_time", "beginning": "2026-11-24"},
        ),
        ("naming.DefinitionTrigger", {"kind_name": "flow", "name": "nightly", "deadline": 5.0}),
        ("event.WorkflowEventTrigger", {"workflow_id": 1, "statuses": ["killed"], "version": 2}),
    ],
)
def test_arguments_that_a_newer_version_has_serialized_fail_their_trigger_and_not_the_triggerer(
    name: str, arguments: dict[str, Any]
) -> None:
    from airflow.executors import workloads as sent
    from airflow.jobs.triggerer_job_runner import TriggerRunner
    from airflow.models.trigger import Trigger

    runner = TriggerRunner()
    workloads: Any = sent
    workload = workloads.RunTrigger(
        id=1,
        classpath=f"airflow_provider_schedulerx.triggers.{name}",
        encrypted_kwargs=Trigger.encrypt_kwargs(arguments),
        ti=None,
    )
    runner.to_create.append(workload)
    asyncio.run(runner.create_triggers())
    ((number, error),) = runner.failed_triggers
    assert (number, type(error)) == (1, SchedulerXConfigurationError)
