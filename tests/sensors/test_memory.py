"""What a sensor in mode ``reschedule`` finds out once, though each poke is a process of its own."""

from __future__ import annotations

import time
from typing import Any

import pytest

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.sensors.schedulerx import WorkflowInstanceSensor
from tests.task_instance import Store, TaskInstance

NAMES, LISTS = "ListWorkFlows", "ListWorkflowInstance"


@pytest.fixture(autouse=True)
def _nothing_before(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    emulator.reset()


class Sensor:
    """A sensor, each poke of which is made as by a new process.

    :param kept: whether Airflow has a task state store.
    """

    def __init__(self, kept: bool, **arguments: Any) -> None:
        self.ti = TaskInstance(Store() if kept else None)
        self.ti.try_number = 1
        self.ti.get_first_reschedule_date = lambda context: None  # type: ignore[attr-defined]
        self.arguments = arguments

    def poke(self, **others: Any) -> Any:
        self.ti.xcoms.clear()
        made = WorkflowInstanceSensor(task_id="wait", mode="reschedule", **{**self.arguments, **others})
        return made.poke(self.ti.context)


@pytest.mark.parametrize("kept", [True, False])
def test_a_name_is_looked_up_once(hook: SchedulerXHook, emulator: EmulatorProcess, kept: bool) -> None:
    made = Sensor(kept, workflow_name="endless", wf_instance_id=hook.execute_workflow(3))
    before = emulator.calls(NAMES)
    for _ in range(4):
        assert not made.poke()
    assert emulator.calls(NAMES) - before == (1 if kept else 4)


@pytest.mark.parametrize("kept", [True, False])
def test_a_run_of_a_service_time_is_searched_until_it_is_found(
    hook: SchedulerXHook, emulator: EmulatorProcess, kept: bool
) -> None:
    month = time.strftime("%Y-%m", time.gmtime(time.time() + 8 * 3600))
    made = Sensor(kept, workflow_id=3, schedule_time=month)
    before = emulator.calls(LISTS)
    assert not made.poke()
    assert not made.poke()
    assert emulator.calls(LISTS) - before == 2
    first = hook.execute_workflow(3)
    for _ in range(3):
        assert not made.poke()
        assert made.ti.xcoms["WfInstanceId"] == first
    assert emulator.calls(LISTS) - before == (3 if kept else 5)
    # Of several runs the newest is taken, when it is found.
    second = hook.execute_workflow(3)
    assert not made.poke()
    assert made.ti.xcoms["WfInstanceId"] == (first if kept else second)
    made.ti.try_number = 2
    assert not made.poke()
    assert made.ti.xcoms["WfInstanceId"] == second


def test_what_was_asked_otherwise_is_not_known(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    made = Sensor(True, workflow_name="endless", wf_instance_id=hook.execute_workflow(3))
    before = emulator.calls(NAMES)
    assert not made.poke()
    other = hook.execute_workflow(1)
    made.poke(workflow_name="good", wf_instance_id=other)
    assert emulator.calls(NAMES) - before == 2


def test_a_store_that_is_away_ends_nothing(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise ConnectionError("the API server is away")

    made = Sensor(True, workflow_name="endless", wf_instance_id=hook.execute_workflow(3))
    made.ti.store.get = made.ti.store.set = away  # type: ignore[method-assign]
    assert not made.poke()
    assert not made.poke()


@pytest.mark.parametrize("mode", [{}, {"deferrable": True}])
def test_nothing_is_kept_where_nothing_is_looked_up_or_one_process_knows_it(
    hook: SchedulerXHook, mode: dict[str, Any]
) -> None:
    by_id = Sensor(True, workflow_id=3, wf_instance_id=hook.execute_workflow(3))
    by_id.poke()
    assert by_id.ti.store == {}
    made = WorkflowInstanceSensor(
        task_id="wait", workflow_name="endless", wf_instance_id=hook.execute_workflow(3), **mode
    )
    ti = TaskInstance(Store())
    made._identify(ti.context)
    assert ti.store == {}
