"""Workflows that start by themselves: when, with which times, and over restarts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_schedulerx.emulator import definitions, schedules
from airflow_provider_schedulerx.emulator.definitions import Workflow
from airflow_provider_schedulerx.emulator.engine import Engine
from airflow_provider_schedulerx.emulator.instances import SUCCESS, InstanceRun
from airflow_provider_schedulerx.emulator.process import EmulatorError, EmulatorProcess
from airflow_provider_schedulerx.emulator.profile import Profile
from airflow_provider_schedulerx.emulator.schedules import ScheduleError
from airflow_provider_schedulerx.emulator.store import Store
from airflow_provider_schedulerx.emulator.yaml_file import DefinitionError
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from tests.emulator.test_engine import KNOWN, Clock

CHINA = timezone(timedelta(hours=8))


def times(expression: str, after: str, count: int, time_type: str = "cron") -> list[str]:
    schedule = schedules.parse(time_type, expression)
    assert schedule is not None
    at = datetime.fromisoformat(after).replace(tzinfo=CHINA).timestamp()
    found = []
    for _ in range(count):
        at = schedule.next_after(at, CHINA)
        found.append(f"{datetime.fromtimestamp(at, CHINA):%Y-%m-%d %H:%M:%S}")
    return found


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("0 0 2 * * ?", "2026-01-30 02:00:00", ["2026-01-31 02:00:00", "2026-02-01 02:00:00"]),
        ("*/20 * * * * ?", "2026-12-31 23:59:20", ["2026-12-31 23:59:40", "2027-01-01 00:00:00"]),
        ("0 30 8-9 ? * MON-FRI", "2026-11-27 08:30:00", ["2026-11-27 09:30:00", "2026-11-30 08:30:00"]),
        ("0 0 0 ? * 1", "2026-11-25 00:00:00", ["2026-11-29 00:00:00", "2026-12-06 00:00:00"]),
        ("0 15/30 12 1,15 FEB,MAR ?", "2026-02-01 12:45:00", ["2026-02-15 12:15:00", "2026-02-15 12:45:00"]),
        ("0 0 0 29 2 ?", "2025-01-01 00:00:00", ["2028-02-29 00:00:00"]),
        ("59 59 23 31 12 ? 2026", "2026-01-01 00:00:00", ["2026-12-31 23:59:59"]),
    ],
)
def test_cron_expressions_are_those_of_quartz(expression: str, after: str, expected: list[str]) -> None:
    assert times(expression, after, len(expected)) == expected


def test_what_never_comes_is_not_waited_for() -> None:
    schedule = schedules.parse("cron", "0 0 0 30 2 ?")
    assert schedule is not None
    assert schedule.next_after(0, UTC) == float("inf")


def test_fixed_rates_keep_their_grid() -> None:
    assert times("5", "2026-01-01 00:00:02", 2, "fixed_rate") == [
        "2026-01-01 00:00:05",
        "2026-01-01 00:00:10",
    ]
    third = schedules.parse("fixed_rate", "0.1")
    assert third is not None
    at = 1e9
    for _ in range(1000):
        before, at = at, third.next_after(at, UTC)
        assert before < at < before + 0.1001


@pytest.mark.parametrize(
    ("time_type", "expression", "says"),
    [
        ("daily", "", "is not one of api, cron, fixed_rate"),
        ("cron", "0 2 * * *", "6 or 7 fields"),
        ("cron", "0 0 2 * * *", "must have ? for the day"),
        ("cron", "0 60 2 * * ?", "not within 0 to 59"),
        ("cron", "0 0 2 L * ?", "'L' in a cron expression is not understood"),
        ("cron", "0 */0 2 * * ?", "not within"),
        ("fixed_rate", "often", "'often' is not a positive number of seconds"),
        ("fixed_rate", "0", "not a positive number"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(time_type: str, expression: str, says: str) -> None:
    with pytest.raises(ScheduleError, match=says.replace("?", r"\?")):
        schedules.parse(time_type, expression)
    data: dict[str, Any] = {
        "namespaces": [{"id": "n", "groups": ["g"]}],
        "workflows": [
            {"id": 1, "namespace": "n", "group": "g", "nodes": [{"name": "a"}], "time_type": time_type}
            | {"time_expression": expression}
        ],
    }
    with pytest.raises(DefinitionError, match=r"workflows\[0\]\.time_expression is not valid: "):
        definitions.parse(data)


def scheduled(expression: str, time_type: str = "fixed_rate", **changes: Any) -> Workflow:
    """Workflow 1, which takes 5 seconds, with a schedule."""
    return replace(KNOWN.workflows[1], time_type=time_type, time_expression=expression, **changes)


def seen(run: InstanceRun) -> tuple[float | None, float | None, float | None, float | None]:
    return run.schedule_time, run.data_time, run.started, run.ended


def test_runs_start_by_themselves_and_are_like_all_others() -> None:
    clock = Clock()
    engine = Engine([workflow := scheduled("10", data_offset=-3600)], clock=clock)
    clock.now = 1036.0
    by_hand = engine.execute(workflow, None)
    runs = engine.runs_of(workflow)
    assert [seen(run) for run in runs[:3]] == [(at, at - 3600, at, at + 5) for at in (1010.0, 1020.0, 1030.0)]
    assert engine.listed(workflow) == [by_hand, *runs[2::-1]]
    assert [run.status for run in runs[:3]] == [SUCCESS] * 3
    assert [run.is_scheduled for run in runs] == [True] * 3 + [False]


def test_a_schedule_leaves_out_what_is_beyond_the_limit_and_a_disabled_workflow() -> None:
    clock = Clock()
    busy, disabled = scheduled("2", max_concurrency=1), scheduled("2", workflow_id=2, enabled=False)
    engine = Engine([busy, disabled], clock=clock)
    clock.now = 1020.0
    # Each takes 5 s: two of three times find the workflow busy.
    assert [run.created for run in engine.runs_of(busy)] == [1002.0, 1008.0, 1014.0, 1020.0]
    assert engine.runs_of(disabled) == []


def test_a_cron_is_in_the_zone_of_the_service() -> None:
    clock = Clock()
    engine = Engine([workflow := scheduled("0 0 2 * * ?", "cron")], clock=clock)
    clock.now = 86400 * 2
    assert [run.created for run in engine.runs_of(workflow)] == [18 * 3600.0, 42 * 3600.0]
    clock.now = 1000.0
    utc = Engine([workflow], clock=clock, profile=Profile({"time_zone": "+00:00"}))
    clock.now = 86400.0
    assert [run.created for run in utc.runs_of(workflow)] == [2 * 3600.0]


def test_a_schedule_can_be_given_taken_and_limited_while_it_runs() -> None:
    clock = Clock()
    engine = Engine([workflow := scheduled("", "api")], clock=clock)
    engine.set_schedule(often := scheduled("1"), runs=3)
    clock.now += 100
    assert len(engine.runs_of(often)) == 3
    engine.set_schedule(often)
    clock.now += 10
    engine.set_schedule(workflow)
    clock.now += 10
    assert len(engine.runs_of(workflow)) == 13
    engine.set_schedule(often, runs=0)
    clock.now += 10
    assert len(engine.runs_of(often)) == 13


def test_a_restart_makes_up_for_what_was_missed_within_an_hour(tmp_path: Path) -> None:
    clock = Clock()
    workflow = scheduled("60")
    store = Store(tmp_path / "state")
    Engine([workflow], clock=clock, store=store).advance_all()
    clock.now = 1200.0
    Engine([workflow], clock=clock, store=store).advance_all()
    assert store.load() == []  # no run yet, so a restart begins anew
    running = Engine([workflow], clock=clock, store=store)
    clock.now = 1330.0
    assert [run.created for run in running.runs_of(workflow)] == [1260.0, 1320.0]
    clock.now = 1510.0
    again = Engine([workflow], clock=clock, store=store)
    assert [run.created for run in again.runs_of(workflow)] == [1260.0, 1320.0, 1380.0, 1440.0, 1500.0]
    clock.now = 50_000.0
    late = Engine([workflow], clock=clock, store=store)
    assert [run.created for run in late.runs_of(workflow)][5] == 46_440.0


def test_a_run_for_another_day_has_its_times() -> None:
    engine = Engine(KNOWN.workflows.values(), clock=Clock())
    run = engine.rerun(engine.workflows[1], None, -86400.0)
    assert (run.schedule_time, run.data_time, run.created) == (1000.0, -86400.0, 1000.0)


def test_all_of_it_by_remote_control(emulator: EmulatorProcess, hook: SchedulerXHook) -> None:
    emulator.set_schedule(3, "fixed_rate", 0.2, runs=4)
    try:
        while len(emulator.instances(3)) < 4:
            pass
        rerun = emulator.rerun(3, schedule_time="2026-11-25 02:00:00", data_time="2026-11-24 00:00:00")
        newest, *others = hook.list_workflow_instances(3)
        assert (newest.wf_instance_id, newest.schedule_time, newest.data_time) == (
            rerun,
            "2026-11-25 02:00:00",
            "2026-11-24 00:00:00",
        )
        assert len(others) == 4
        assert emulator.starts(3) == 5
        assert all(run.schedule_time == run.data_time is not None for run in others)
    finally:
        emulator.reset()
    with pytest.raises(EmulatorError, match="not a positive number"):
        emulator.set_schedule(3, "fixed_rate", "x")
    with pytest.raises(EmulatorError, match="not a time like 2023-01-03"):
        emulator.rerun(3, data_time="yesterday")
