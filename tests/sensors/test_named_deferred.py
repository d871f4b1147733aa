"""A deferrable sensor whose workflow's name cannot be looked up at once holds no worker."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, TaskDeferred

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.exceptions import RunNotFollowableError, RunSensorError
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.sensors.schedulerx import WorkflowInstanceSensor
from airflow_provider_schedulerx.triggers import naming
from airflow_provider_schedulerx.triggers.naming import DefinitionTrigger
from tests.task_instance import TaskInstance


@pytest.fixture
def ti() -> TaskInstance:
    ti = TaskInstance()
    ti.try_number = 1
    return ti


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch, hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    monkeypatch.setattr(naming, "_PAUSE", 0.2)
    emulator.reset()


def sensor(**arguments: Any) -> WorkflowInstanceSensor:
    given: dict[str, Any] = {"workflow_name": "endless", "deferrable": True, "poke_interval": 0.2}
    return WorkflowInstanceSensor(task_id="wait", **{**given, **arguments})


def deferral_of(made: WorkflowInstanceSensor, ti: TaskInstance) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferred:
        made.execute(ti.context)
    return deferred.value


def event_of(deferral: TaskDeferred) -> dict[str, Any]:
    """What the triggerer makes of it."""
    path, arguments = deferral.trigger.serialize()
    assert path == "airflow_provider_schedulerx.triggers.naming.DefinitionTrigger"
    again = DefinitionTrigger(**json.loads(json.dumps(arguments)))

    async def fire() -> list[Any]:
        return [json.loads(json.dumps(event.payload)) async for event in again.run()]

    (event,) = asyncio.run(fire())
    found: dict[str, Any] = event
    return found


def test_it_makes_one_try_and_then_defers(
    hook: SchedulerXHook, emulator: EmulatorProcess, ti: TaskInstance
) -> None:
    run = hook.execute_workflow(3)
    emulator.add_fault("ListWorkFlows", "error", status=500, count=4)
    before = emulator.calls("ListWorkFlows")
    deferral = deferral_of(sensor(wf_instance_id=run, timeout=60), ti)
    assert emulator.calls("ListWorkFlows") == before + 1
    assert deferral.method_name == "execute_named"
    event = event_of(deferral)
    assert event["definition_id"] == 3
    again = sensor(wf_instance_id=run, timeout=60)
    with pytest.raises(TaskDeferred) as following:
        again.execute_named(ti.context, event, **(deferral.kwargs or {}))
    assert following.value.method_name == "execute_complete"
    arguments = following.value.trigger.serialize()[1]
    assert (arguments["workflow_id"], arguments["wf_instance_id"]) == (3, run)
    # The time limit is that of the whole try.
    assert arguments["deadline"] == (deferral.kwargs or {})["deadline"]


def test_a_search_goes_on_likewise(hook: SchedulerXHook, emulator: EmulatorProcess, ti: TaskInstance) -> None:
    emulator.add_fault("ListWorkFlows", "drop", count=1)
    deferral = deferral_of(sensor(data_time="2020-01-01"), ti)
    with pytest.raises(TaskDeferred) as searching:
        sensor(data_time="2020-01-01").execute_named(
            ti.context, event_of(deferral), **(deferral.kwargs or {})
        )
    assert searching.value.method_name == "execute_found"


def test_a_name_that_nothing_has_is_final(
    hook: SchedulerXHook, emulator: EmulatorProcess, ti: TaskInstance
) -> None:
    emulator.add_fault("ListWorkFlows", "drop", count=1)
    made = sensor(workflow_name="nobody", wf_instance_id=5)
    deferral = deferral_of(made, ti)
    event = event_of(deferral)
    assert event["definition_id"] is None
    assert "nobody" in event["message"]
    with pytest.raises(RunNotFollowableError, match="nobody"):
        sensor(workflow_name="nobody", wf_instance_id=5).execute_named(
            ti.context, event, **(deferral.kwargs or {})
        )


@pytest.mark.parametrize(("timeout", "error"), [(0.5, AirflowSensorTimeout), (60, RunSensorError)])
def test_a_fault_that_does_not_pass_ends_it(
    hook: SchedulerXHook, emulator: EmulatorProcess, ti: TaskInstance, timeout: float, error: type[Exception]
) -> None:
    emulator.add_fault("ListWorkFlows", "error", status=500, count=1000)
    made = sensor(wf_instance_id=5, timeout=timeout, poll_failure_tolerance=0.1)
    deferral = deferral_of(made, ti)
    event = event_of(deferral)
    assert event["definition_id"] is None
    time.sleep(max(0.0, (deferral.kwargs or {})["deadline"] - time.time()) if timeout < 1 else 0)
    with pytest.raises(error, match="named 'endless' (could not|can no longer) be looked up"):
        sensor(wf_instance_id=5, timeout=timeout, poll_failure_tolerance=0.1).execute_named(
            ti.context, event, **(deferral.kwargs or {})
        )


def test_the_event_of_another_try_is_none_of_this_one(
    hook: SchedulerXHook, emulator: EmulatorProcess, ti: TaskInstance
) -> None:
    run = hook.execute_workflow(3)
    emulator.add_fault("ListWorkFlows", "drop", count=1)
    deferral = deferral_of(sensor(wf_instance_id=run), ti)
    ti.try_number = 2
    with pytest.raises(TaskDeferred) as again:
        sensor(wf_instance_id=run).execute_named(ti.context, {"definition_id": 99}, **(deferral.kwargs or {}))
    assert again.value.trigger.serialize()[1]["workflow_id"] == 3
