"""Shortages that the doctor names: a list that is too short for the active runs, and a quota that is too small."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_schedulerx.doctor.advice import advise
from airflow_provider_schedulerx.doctor.examination import Report, examine
from airflow_provider_schedulerx.doctor.findings import Finding, Verdict
from airflow_provider_schedulerx.doctor.session import Options
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook

_ids = itertools.count(7000)


@pytest.fixture
def workflow(emulator: EmulatorProcess, connect: Callable[..., None]) -> Callable[..., int]:
    """Make a workflow with runs that do not end, and some that have ended. :return: its id."""

    def make(active: int, *, ended: int = 0, max_concurrency: int, **connection: Any) -> int:
        workflow_id = next(_ids)
        emulator.set_quota(1_000_000)
        place = {"id": workflow_id, "namespace": "demo", "group": "etl", "max_concurrency": 1000}
        hook = SchedulerXHook()
        connect(emulator.connection())
        for seconds, runs in ((0.01, ended), (10_000, active)):
            nodes = [{"name": "only", "duration": seconds}]
            definition = {**place, "nodes": nodes}
            namespaces = [{"id": "demo", "groups": ["etl", "reporting"]}]
            emulator.add_workflows({"namespaces": namespaces, "workflows": [definition]})
            for _ in range(runs):
                hook.execute_workflow(workflow_id)
        emulator.add_workflows(
            {"namespaces": namespaces, "workflows": [{**definition, "max_concurrency": max_concurrency}]}
        )
        connect(emulator.connection(**connection))
        return workflow_id

    return make


def examined(workflow_id: int | None, **options: Any) -> Report:
    asked = Options(workflow_id=workflow_id, **options)
    return examine(SchedulerXHook(), asked, may_start=lambda _: True, sleep=lambda _: None)


def found(report: Report, *keys: str) -> list[Finding]:
    return [report.findings[key] for key in keys]


def test_a_list_full_of_active_runs_may_be_too_short(
    emulator: EmulatorProcess, workflow: Callable[..., int]
) -> None:
    workflow_id = workflow(15, max_concurrency=200)
    emulator.set_profile("list_length=10")
    report = examined(workflow_id)
    active, unlisted, interval = found(report, "active_runs", "unlisted_runs", "poll_interval")
    assert (active.value, active.verdict) == (10, Verdict.OK)
    assert (unlisted.value, unlisted.verdict) == (190, Verdict.WARN)
    assert "all of the 10 listed runs are active" in unlisted.text
    # 190 polls of which 100 a minute are allowed.
    assert (interval.value, interval.verdict) == (114, Verdict.WARN)
    assert "poll_interval=114" in (interval.remedy or "")
    assert {each.setting: each.value for each in advise(report)}["poll_interval"] == "114"
    assert report.would_work


def test_a_length_that_was_seen_counts_also_if_few_are_active(
    emulator: EmulatorProcess, workflow: Callable[..., int]
) -> None:
    workflow_id = workflow(2, ended=12, max_concurrency=70, calls_per_minute=50)
    emulator.set_profile("list_length=10")
    report = examined(workflow_id, start=True, follow=3.0)
    length, unlisted, interval = found(report, "list_length", "unlisted_runs", "poll_interval")
    assert length.value == "10"
    assert (unlisted.value, unlisted.verdict) == (60, Verdict.WARN)
    assert "the list shows 10 runs, and MaxConcurrency allows 70" in unlisted.text
    assert interval.value == 72


def test_what_is_not_known_is_not_warned_of(emulator: EmulatorProcess, workflow: Callable[..., int]) -> None:
    workflow_id = workflow(2, ended=3, max_concurrency=200)
    report = examined(workflow_id)
    active, unlisted, interval = found(report, "active_runs", "unlisted_runs", "poll_interval")
    assert (active.value, active.text) == (2, "2 of 5 listed runs of the workflow are active")
    assert unlisted.verdict is Verdict.UNKNOWN
    assert "200 runs may be active at once" in unlisted.text
    assert (interval.value, interval.verdict) == (30, Verdict.OK)


def test_a_list_that_shows_all_that_may_be_active_is_long_enough(
    emulator: EmulatorProcess, workflow: Callable[..., int]
) -> None:
    report = examined(workflow(4, max_concurrency=4))
    unlisted, interval = found(report, "unlisted_runs", "poll_interval")
    assert (unlisted.value, unlisted.verdict) == (0, Verdict.OK)
    assert "for runs of 50 workflows, and for 50 runs that the list does not show" in interval.text
    assert {each.setting: each.value for each in advise(report)}["poll_interval"] == "30"


def test_a_budget_too_small_for_one_list_is_warned_of(workflow: Callable[..., int]) -> None:
    workflow_id = workflow(1, max_concurrency=1, calls_per_minute=1)
    (interval,) = found(examined(workflow_id), "poll_interval")
    assert (interval.value, interval.verdict) == (60, Verdict.WARN)
    assert "calls_per_minute=1 " in interval.text
    assert "raise calls_per_minute" in (interval.remedy or "")


def test_more_workflows_than_the_budget_has_room_for(workflow: Callable[..., int]) -> None:
    """Whether runs of all of them are waited for is not seen from outside."""
    workflow_id = workflow(1, max_concurrency=1, calls_per_minute=2)
    (interval,) = found(examined(workflow_id), "poll_interval")
    assert interval.verdict is Verdict.OK
    assert "if runs of all are waited for at once, set poll_interval=" in interval.text


def test_without_a_workflow_named_the_lists_of_several_are_counted(hook: SchedulerXHook) -> None:
    hook.execute_workflow(3)
    (active,) = found(examined(None), "active_runs")
    assert active.value
    assert "of 5 workflows are active" in active.text.replace(" is ", " are ")
