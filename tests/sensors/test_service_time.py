"""Sensors that wait for the run of a service time: poke, reschedule and deferred."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXConfigurationError,
    SchedulerXUnavailableError,
)
from airflow_provider_schedulerx.api.runs import tracking
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.exceptions import RunFailedError, RunNotFollowableError, RunSensorError
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.sensors.schedulerx import WorkflowInstanceSensor
from airflow_provider_schedulerx.sensors.searching import RunSearch
from airflow_provider_schedulerx.triggers.run import RunTrigger
from airflow_provider_schedulerx.triggers.scheduled import ScheduledRunTrigger
from tests.task_instance import TaskInstance

LINK = "_link_WorkflowInstanceLink"


@pytest.fixture(autouse=True)
def start(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    """The connection is there, and no run."""
    emulator.reset()


def sensor(**arguments: Any) -> WorkflowInstanceSensor:
    given: dict[str, Any] = {"workflow_id": 1, "data_time": "2026-11-24", "poke_interval": 0.2, "timeout": 20}
    return WorkflowInstanceSensor(task_id="wait", **{**given, **arguments})


def wait(task: WorkflowInstanceSensor, ti: TaskInstance | None = None) -> tuple[Any, TaskInstance]:
    """Run the sensor to its end, with what a triggerer does if it defers."""
    ti = ti or TaskInstance()
    ti.try_number += 1
    try:
        return task.execute(ti.context), ti
    except TaskDeferred as deferral:
        return _after(task, ti, deferral), ti


def _after(task: WorkflowInstanceSensor, ti: TaskInstance, deferral: TaskDeferred) -> Any:
    path, arguments = deferral.trigger.serialize()
    assert path == f"{type(deferral.trigger).__module__}.{type(deferral.trigger).__name__}"
    again: RunTrigger | ScheduledRunTrigger = type(deferral.trigger)(**json.loads(json.dumps(arguments)))

    async def fire() -> list[Any]:
        return [json.loads(json.dumps(event.payload)) async for event in again.run()]

    (event,) = asyncio.run(fire())
    # Another process, which knows only the sensor's arguments.
    fresh = sensor(
        **{
            name: getattr(task, name)
            for name in ("workflow_id", "data_time", "schedule_time", "deferrable", "timeout")
        }
    )
    try:
        return getattr(fresh, deferral.method_name)(ti.context, event=event, **(deferral.kwargs or {}))
    except TaskDeferred as next_one:
        return _after(fresh, ti, next_one)


MODES = [{}, {"deferrable": True}]


@pytest.mark.parametrize("mode", MODES, ids=["poke", "deferred"])
def test_the_run_of_a_day_is_found_and_awaited(
    emulator: EmulatorProcess, mode: dict[str, Any], task_log: Callable[[], str]
) -> None:
    emulator.rerun(1, data_time="2026-11-23 00:00:00")
    older = emulator.rerun(1, data_time="2026-11-24 00:00:00")
    newer = emulator.rerun(1, data_time="2026-11-24 00:00:00")
    emulator.rerun(1, data_time="2026-11-25 00:00:00")
    found, ti = wait(sensor(**mode))
    assert found == newer != older
    assert ti.xcoms["WfInstanceId"] == newer
    assert ti.xcoms[LINK].endswith(f"/console/1/{newer}")
    assert f"The run with DataTime 2026-11-24 is workflow instance {newer}, the newest of 2" in task_log()


@pytest.mark.parametrize("mode", MODES, ids=["poke", "deferred"])
def test_a_run_that_is_yet_to_come_is_waited_for(
    emulator: EmulatorProcess, mode: dict[str, Any], task_log: Callable[[], str]
) -> None:
    emulator.rerun(1, data_time="2026-11-23 00:00:00")
    ti = TaskInstance()
    emulator.set_schedule(1, "fixed_rate", 1.5, runs=1)
    planned = time.time() + 28800  # the emulator is in China, and nobody else is to know that
    beginning = time.strftime("%Y-%m-%d %H", time.gmtime(planned))
    found, _ = wait(sensor(data_time=None, schedule_time=beginning, **mode), ti)
    assert found in [run["wf_instance_id"] for run in emulator.instances(1)]
    assert ti.xcoms["WfInstanceId"] == found


@pytest.mark.parametrize("mode", MODES, ids=["poke", "deferred"])
def test_a_run_that_fails_fails_the_sensor_at_once(emulator: EmulatorProcess, mode: dict[str, Any]) -> None:
    failing = emulator.rerun(2, data_time="2026-11-24 00:00:00")
    ti = TaskInstance()
    with pytest.raises(RunFailedError, match=f"{failing} of workflow 2 failed: breaks"):
        wait(sensor(workflow_id=2, **mode), ti)
    assert ti.xcoms[LINK].endswith(f"/console/2/{failing}")


@pytest.mark.parametrize("mode", MODES, ids=["poke", "deferred"])
def test_the_link_works_from_the_moment_the_run_is_found(
    emulator: EmulatorProcess, mode: dict[str, Any]
) -> None:
    running = emulator.rerun(3, data_time="2026-11-24 00:00:00")
    ti = TaskInstance()
    with pytest.raises(AirflowSensorTimeout):
        wait(sensor(workflow_id=3, timeout=1, **mode), ti)
    assert ti.xcoms[LINK].endswith(f"/console/3/{running}")
    assert ti.xcoms["WfInstanceId"] == running


@pytest.mark.parametrize("mode", MODES, ids=["poke", "deferred"])
def test_a_timeout_says_what_the_list_shows(emulator: EmulatorProcess, mode: dict[str, Any]) -> None:
    for hour in range(10, 22):
        emulator.rerun(1, data_time=f"2026-11-25 {hour}:00:00")
    with pytest.raises(AirflowSensorTimeout) as caught:
        wait(sensor(timeout=1, **mode))
    assert "no run of workflow 1 with DataTime 2026-11-24 was found: the 10 runs listed have DataTime" in str(
        caught.value
    )
    assert "so the list does not reach back to it" in str(caught.value)


@pytest.mark.parametrize("mode", MODES, ids=["poke", "deferred"])
def test_a_list_that_cannot_reach_back_is_final(
    emulator: EmulatorProcess, mode: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "SETTLING_SECONDS", 0.5)
    for hour in range(10, 22):
        emulator.rerun(1, schedule_time=f"2026-11-25 {hour}:00:00")
    with pytest.raises(
        RunNotFollowableError, match="No run of workflow 1 with ScheduleTime 2026-11-24 is listed"
    ) as caught:
        wait(sensor(data_time=None, schedule_time="2026-11-24", **mode))
    assert (
        "does not reach back to it. Wait for a newer run, or give the sensor this run's WfInstanceId"
        in str(caught.value)
    )
    assert isinstance(caught.value, AirflowFailException)


def test_each_poke_of_mode_reschedule_looks_again(
    emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is a new process, in which nothing is left of the one before."""
    monkeypatch.setattr(
        "airflow_provider_schedulerx.version_compat.deferrals.first_reschedule_date", lambda context: None
    )
    ti = TaskInstance()
    assert not sensor(mode="reschedule").poke(ti.context)
    running = emulator.rerun(3, data_time="2026-11-24 00:00:00")
    assert not sensor(mode="reschedule", workflow_id=3).poke(ti.context)
    assert ti.xcoms["WfInstanceId"] == running
    found = emulator.rerun(1, data_time="2026-11-24 00:00:00")
    time.sleep(0.8)
    done = sensor(mode="reschedule").poke(ti.context)
    assert (bool(done), done.xcom_value) == (True, found)


def test_waiting_for_a_run_that_does_not_exist_yet_costs_no_call_of_its_own(
    emulator: EmulatorProcess, connect: Callable[..., None]
) -> None:
    connect(emulator.connection(calls_per_minute=10_000))
    emulator.rerun(1, data_time="2026-11-23 00:00:00")
    wanted = [f"2026-11-24 {hour:02}" for hour in range(20)]

    async def wait_for(data_time: str) -> int:
        with pytest.raises(TaskDeferred) as deferral:
            sensor(data_time=data_time, deferrable=True, poke_interval=1).execute(TaskInstance().context)
        trigger = deferral.value.trigger
        assert isinstance(trigger, ScheduledRunTrigger)
        trigger.deferred_at = None
        (event,) = [event.payload async for event in trigger.run()]
        return int(event["instance_id"])

    async def main() -> tuple[list[int], int]:
        waits = [asyncio.create_task(wait_for(text)) for text in wanted]
        await asyncio.sleep(2)
        before = emulator.calls("ListWorkflowInstance")
        await asyncio.sleep(3)
        lists = emulator.calls("ListWorkflowInstance") - before
        runs = {}
        for text in wanted:
            runs[text] = emulator.rerun(1, data_time=f"{text}:00:00")
            await asyncio.sleep(0.3)
        return [await each == run for each, run in zip(waits, runs.values(), strict=True)], lists

    found, lists = asyncio.run(main())
    assert all(found)
    # Of 20 sensors that look every second for 3 seconds.
    assert lists <= 8


@pytest.mark.parametrize("mode", MODES, ids=["poke", "deferred"])
def test_faults_are_waited_out_and_lasting_ones_end_it(
    emulator: EmulatorProcess, mode: dict[str, Any], no_waiting: None
) -> None:
    found = emulator.rerun(1, data_time="2026-11-24 00:00:00")
    emulator.add_fault("ListWorkflowInstance", "drop", count=2)
    assert wait(sensor(**mode))[0] == found
    emulator.add_fault("ListWorkflowInstance", "error", status=403, code="Forbidden.RAM", count=1000)
    with pytest.raises(RunSensorError, match="search for the run .* has .*edas:ReadSchedulerxWorkflowQuery"):
        wait(sensor(**mode))
    emulator.clear_faults()
    emulator.add_fault("ListWorkflowInstance", "drop", count=1000)
    with pytest.raises(
        AirflowSensorTimeout, match="was found: its runs cannot be listed: ListWorkflowInstance"
    ):
        wait(sensor(timeout=1, **mode))
    emulator.clear_faults()
    with pytest.raises(RunNotFollowableError, match="not existed"):
        wait(sensor(workflow_id=99, **mode))


def test_an_event_that_is_not_ours_is_no_run(emulator: EmulatorProcess) -> None:
    for event in (
        None,
        {},
        {"outcome": "found", "definition_id": 1},
        {"outcome": "found", "definition_id": 2, "instance_id": 5},
    ):
        with pytest.raises(RunSensorError, match="event cannot be used"):
            sensor(deferrable=True).execute_found(
                TaskInstance().context, event, definition_id=1, deadline=time.time() + 5
            )


def test_by_name(emulator: EmulatorProcess) -> None:
    found = emulator.rerun(1, data_time="2026-11-24 00:00:00")
    assert wait(sensor(workflow_id=None, workflow_name="good"))[0] == found
    with pytest.raises(RunNotFollowableError, match="no workflow is named 'god'"):
        wait(sensor(workflow_id=None, workflow_name="god"))
    by_id = WorkflowInstanceSensor(task_id="w", workflow_name="good", wf_instance_id=found, poke_interval=0.1)
    before = emulator.calls("ListWorkFlows")
    assert wait(by_id)[0] == found
    assert emulator.calls("ListWorkFlows") == before + 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            {"data_time": None},
            "say which run to wait for with one of wf_instance_id, data_time, schedule_time; got none",
        ),
        ({"wf_instance_id": 5}, "got wf_instance_id and data_time: leave one"),
        ({"schedule_time": "2026-11-24"}, "got data_time and schedule_time"),
        ({"data_time": "yesterday"}, "data_time cannot begin a time of the service: 'yesterday'"),
        ({"data_time": "2026-11-24T00:00:00+00:00"}, "a space instead of T"),
        ({"workflow_name": "x"}, "not both"),
        ({"workflow_id": None}, "no workflow is given"),
    ],
)
def test_bad_arguments_are_told_when_the_dag_is_parsed(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(SchedulerXConfigurationError, match=says):
        sensor(**arguments)


def test_a_template_is_checked_once_it_is_rendered(emulator: EmulatorProcess) -> None:
    task = sensor(data_time="{{ ts }}")
    task.data_time = "2026-11-24T00:00:00+00:00"
    with pytest.raises(RunNotFollowableError, match="a space instead of T"):
        wait(task)


def test_only_faults_of_lists_in_a_row_count(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = SchedulerXUnavailableError("away", operation="ListWorkflowInstance")
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    search = RunSearch(
        api.kinds.WORKFLOW_RUNS, 1, api.scheduled.WantedTime("data_time", "2026"), logging.getLogger()
    )
    tracker = api.tracking.RunTracker(600)

    def fail() -> Any:
        raise fault

    for _ in range(5):
        assert search.look(fail, tracker, 0.0) is None
        assert search.look(list, tracker, 0.0) is None
        clock[0] += 601
    for _ in range(2):
        assert search.look(fail, tracker, 0.0) is None
        clock[0] += 601
    with pytest.raises(RunSensorError, match="search for the run .* has failed"):
        search.look(fail, tracker, 0.0)


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_faults_while_the_name_is_looked_up_are_waited_out(
    emulator: EmulatorProcess, no_waiting: None, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(
        "airflow_provider_schedulerx.version_compat.deferrals.first_reschedule_date", lambda context: None
    )
    found = emulator.rerun(1, data_time="2026-11-24 00:00:00")
    ti = TaskInstance()
    for arguments in ({}, {"data_time": None, "wf_instance_id": found}):
        emulator.add_fault("ListWorkFlows", "drop", count=1000)
        task = sensor(workflow_id=None, workflow_name="good", mode=mode, **arguments)
        assert not task.poke(ti.context)
        emulator.clear_faults()
        deadline = time.time() + 5
        while not (done := task.poke(ti.context)) and time.time() < deadline:
            time.sleep(0.1)
        assert done.xcom_value == found


def test_a_name_that_can_no_longer_be_looked_up_is_a_fault_of_the_sensor(
    emulator: EmulatorProcess, no_waiting: None
) -> None:
    emulator.add_fault("ListWorkFlows", "error", status=403, code="Forbidden.RAM", count=1000)
    for mode in MODES:
        with pytest.raises(RunSensorError, match="workflow named 'good' can no longer be looked up"):
            wait(sensor(workflow_id=None, workflow_name="good", **mode))
        with pytest.raises(AirflowSkipException):
            wait(sensor(workflow_id=None, workflow_name="good", soft_fail=True, **mode))


def test_a_trigger_that_comes_late_still_looks_once(emulator: EmulatorProcess) -> None:
    """As after an outage of the triggerer."""
    found = emulator.rerun(1, data_time="2026-11-24 00:00:00")
    trigger = ScheduledRunTrigger(
        kind_name="workflow",
        definition_id=1,
        field="data_time",
        beginning="2026-11-24",
        deadline=time.time() - 60,
    )

    async def fire() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    (event,) = asyncio.run(fire())
    assert (event["outcome"], event["instance_id"]) == ("found", found)


def test_arguments_of_a_newer_version_are_ignored_with_a_warning(
    emulator: EmulatorProcess, task_log: Callable[[], str]
) -> None:
    emulator.rerun(1, data_time="2026-11-24 00:00:00")
    arguments: dict[str, Any] = {"kind_name": "workflow", "definition_id": 1, "field": "data_time"}
    trigger = ScheduledRunTrigger(**arguments, beginning="2026-11-24", of_tomorrow=1)

    async def fire() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    task_log()
    assert asyncio.run(fire())[0]["outcome"] == "found"
    assert "newer version of this provider are ignored: of_tomorrow" in task_log()
