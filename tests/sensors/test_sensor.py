"""The sensor against the emulator."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_schedulerx.api.models import WorkflowInstance, WorkflowInstanceStatus
from airflow_provider_schedulerx.api.runs.events import Outcome, TerminalEvent
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.exceptions import RunFailedError, RunSensorError
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.sensors.schedulerx import WorkflowInstanceSensor
from airflow_provider_schedulerx.version_compat import deferrals
from tests.task_instance import TaskInstance

CONTEXT: Any = {"ti": type("TI", (), {"xcom_push": lambda self, **_: None, "task": None})()}


def sensor(wf_instance_id: int, workflow_id: int = 3, **arguments: Any) -> WorkflowInstanceSensor:
    return WorkflowInstanceSensor(
        task_id="wait", workflow_id=workflow_id, wf_instance_id=wf_instance_id, **arguments
    )


def test_a_deferrable_sensor_makes_one_try_and_then_defers(
    hook: SchedulerXHook, emulator: EmulatorProcess
) -> None:
    """A fault that the triggerer can wait out holds no worker."""
    endless = hook.execute_workflow(3)
    emulator.add_fault("GetWorkflowInstance", "error", status=500, count=1000)
    before = emulator.calls("GetWorkflowInstance")
    with pytest.raises(TaskDeferred) as deferred:
        sensor(endless, deferrable=True, timeout=100).execute(CONTEXT)
    assert emulator.calls("GetWorkflowInstance") == before + 1
    arguments = deferred.value.trigger.serialize()[1]
    assert arguments["cancel_on_kill"] is False
    assert time.time() - 60 < arguments["deferred_at"] <= time.time()
    assert arguments["deadline"] > time.time() + 30


def test_a_run_that_has_ended_already_never_defers(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    good, bad = hook.execute_workflow(1), hook.execute_workflow(2)
    time.sleep(1.5)
    assert sensor(good, 1, deferrable=True).execute(CONTEXT) == good
    with pytest.raises(RunFailedError, match="breaks"):
        sensor(bad, 2, deferrable=True).execute(CONTEXT)
    with pytest.raises(AirflowSkipException):
        sensor(bad, 2, deferrable=True, soft_fail=True).execute(CONTEXT)


def test_what_a_deferred_sensor_sees_is_logged_once(
    hook: SchedulerXHook, emulator: EmulatorProcess, task_log: Callable[[], str]
) -> None:
    """Not by the worker, which polls once before it defers, and then by the triggerer again."""
    endless = hook.execute_workflow(3)
    task_log()
    with pytest.raises(TaskDeferred) as deferred:
        sensor(endless, deferrable=True, timeout=1000).execute(CONTEXT)
    assert "is RUNNING" not in task_log()
    trigger: Any = deferred.value.trigger
    said = ""

    async def poll() -> None:
        nonlocal said
        polling = asyncio.ensure_future(anext(trigger.run()))
        while "(job 302)" not in said:
            await asyncio.sleep(0.05)
            said += task_log()
        polling.cancel()
        await asyncio.wait({polling})

    asyncio.run(asyncio.wait_for(poll(), 100))
    assert re.findall(r"(?:Workflow instance|Node) \w+.* is [A-Z]+", said) == [
        f"Workflow instance {endless} is RUNNING",
        "Node left (job 301) is RUNNING",
        "Node right (job 302) is RUNNING",
    ]


def test_it_warns_once_for_each_change_not_at_each_poke(
    hook: SchedulerXHook, emulator: EmulatorProcess, no_waiting: None, task_log: Callable[[], str]
) -> None:
    made = sensor(hook.execute_workflow(3), poll_failure_tolerance=1000)
    task_log()
    with_fault = emulator.add_fault
    with_fault("GetWorkflowInstance", "drop", count=10_000)
    for _ in range(4):
        assert not made.poke(CONTEXT)
    assert task_log().count("cannot be polled") == 1
    emulator.clear_faults()
    made.poke(CONTEXT)
    assert task_log().count("can be polled again") == 1
    with_fault("GetWorkflowInstance", "drop", count=10_000)
    made.poke(CONTEXT)
    assert task_log().count("cannot be polled") == 1


@pytest.mark.parametrize(
    ("event", "error", "says"),
    [
        (None, RunSensorError, "event cannot be used"),
        (
            {"outcome": "timeout", "message": "it was RUNNING then"},
            AirflowSensorTimeout,
            "it was RUNNING then",
        ),
        ({"outcome": "undecided", "message": "denied"}, RunSensorError, "denied"),
    ],
)
def test_an_event_decides(hook: SchedulerXHook, event: Any, error: type[Exception], says: str) -> None:
    if event is not None:
        event = {"version": 1, "definition_id": 3, "instance_id": 5, "run": None, **event}
    with pytest.raises(error, match=says):
        sensor(5).execute_complete(CONTEXT, event)


def test_the_event_of_another_try_is_none_of_this_one(
    hook: SchedulerXHook, emulator: EmulatorProcess, task_log: Callable[[], str]
) -> None:
    """Airflow 3.0 hands a retry the event that the previous try has failed with."""
    endless = hook.execute_workflow(3)
    ti = TaskInstance()
    ti.try_number = 1
    with pytest.raises(TaskDeferred) as deferred:
        sensor(endless, deferrable=True).execute(ti.context)
    kwargs: Any = deferred.value.kwargs
    lost = {"outcome": "lost", "message": "no answer"}
    with pytest.raises(RunSensorError):
        sensor(endless, deferrable=True).execute_complete(ti.context, lost, **kwargs)
    ti.try_number = 2
    with pytest.raises(TaskDeferred) as again:
        sensor(endless, deferrable=True).execute_complete(ti.context, lost, **kwargs)
    assert (again.value.kwargs or {})["try_number"] == 2
    assert "The event belongs to try 1, so this try starts from the beginning" in task_log()


def test_nor_is_that_of_a_search(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    ti = TaskInstance()
    ti.try_number = 1
    searching: dict[str, Any] = {"workflow_id": 1, "data_time": "2020-01-01", "deferrable": True}
    with pytest.raises(TaskDeferred) as deferred:
        WorkflowInstanceSensor(task_id="wait", **searching).execute(ti.context)
    over = {"outcome": "undecided", "definition_id": 1, "message": "no answer"}
    with pytest.raises(RunSensorError, match="no answer"):
        WorkflowInstanceSensor(task_id="wait", **searching).execute_found(
            ti.context, over, **(deferred.value.kwargs or {})
        )
    ti.try_number = 2
    with pytest.raises(TaskDeferred) as again:
        WorkflowInstanceSensor(task_id="wait", **searching).execute_found(
            ti.context, over, **(deferred.value.kwargs or {})
        )
    assert (again.value.kwargs or {})["try_number"] == 2


# A deferral that Airflow ends without an event.


@pytest.mark.parametrize("error", ["Trigger timeout", "Trigger failure"])
def test_nor_is_the_end_of_the_deferral_of_another_try(
    hook: SchedulerXHook, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    """Airflow 3.0 hands a retry the failure of the previous try's trigger, too, and keeps its XComs."""
    monkeypatch.setattr(deferrals, "retries_resume_deferrals", lambda: True)
    endless = hook.execute_workflow(3)
    ti = TaskInstance()
    ti.try_number = 1
    with pytest.raises(TaskDeferred):
        sensor(endless, deferrable=True).execute(ti.context)
    with pytest.raises(AirflowException, match=error):
        sensor(endless, deferrable=True).resume_execution("__fail__", {"error": error}, ti.context)
    ti.try_number = 2
    with pytest.raises(TaskDeferred) as again:
        sensor(endless, deferrable=True).resume_execution("__fail__", {"error": error}, ti.context)
    assert (again.value.kwargs or {})["try_number"] == 2


def test_a_run_that_has_ended_while_the_triggerer_was_away_counts(hook: SchedulerXHook) -> None:
    """Airflow ends the deferral some minutes after the timeout, and nobody has looked at the run."""
    good, bad, endless = (hook.execute_workflow(each) for each in (1, 2, 3))
    ti = TaskInstance()
    time.sleep(1.5)
    over = ("__fail__", {"error": "Trigger timeout"}, ti.context)
    assert sensor(good, 1, deferrable=True).resume_execution(*over) == good
    with pytest.raises(RunFailedError, match="breaks"):
        sensor(bad, 2, deferrable=True).resume_execution(*over)
    with pytest.raises(AirflowSkipException):
        sensor(bad, 2, deferrable=True, soft_fail=True).resume_execution(*over)
    for unended in (endless, 987_654):
        with pytest.raises(AirflowException, match="Trigger timeout"):
            sensor(unended, deferrable=True).resume_execution(*over)
    with pytest.raises(AirflowException, match="Trigger failure"):
        sensor(good, 1, deferrable=True).resume_execution(
            "__fail__", {"error": "Trigger failure"}, ti.context
        )


def test_a_run_that_is_active_again_when_its_failure_is_reported_is_followed_on(
    hook: SchedulerXHook, task_log: Callable[[], str]
) -> None:
    """A list that lags, or a rerun in the console: the list has shown no nodes, so the run is polled, and counts."""
    endless = hook.execute_workflow(3)
    event = failure_of(3, endless)
    deadline = time.time() + 50
    with pytest.raises(TaskDeferred) as deferred:
        sensor(endless, deferrable=True).execute_complete(CONTEXT, event, 3, endless, deadline=deadline)
    assert deferred.value.trigger.serialize()[1]["deadline"] == deadline
    assert "is RUNNING again" in task_log()


def failure_of(workflow_id: int, run: int) -> dict[str, Any]:
    """The event of a failure as a list shows it, without nodes."""
    failed = WorkflowInstance(workflow_id, run, WorkflowInstanceStatus.FAILED)
    return TerminalEvent(Outcome.ENDED, workflow_id, run, failed).to_payload()
