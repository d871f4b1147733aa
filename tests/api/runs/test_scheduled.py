"""The run for a service time, found in a list."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError
from airflow_provider_schedulerx.api.models import WorkflowInstanceStatus, WorkflowInstanceSummary
from airflow_provider_schedulerx.api.runs.scheduled import Search, WantedTime, check_time, search


def run(number: int, schedule_time: str | None, data_time: str | None = None) -> WorkflowInstanceSummary:
    return WorkflowInstanceSummary(
        101, number, WorkflowInstanceStatus.SUCCESS, schedule_time=schedule_time, data_time=data_time
    )


@pytest.mark.parametrize(
    "text",
    ["2026-11", "2026-11-25", "2024-02-29", "2026-11-25 02", "2026-11-25 02:30", "2026-11-25 02:30:59"],
)
def test_beginnings_of_a_time_are_taken(text: str) -> None:
    assert check_time("data_time", text) == text


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "data_time is empty"),
        ("", "data_time is empty"),
        ("None", "data_time is empty"),
        (20261125, "must be a str, not 20261125"),
        ("2026", "cannot begin a time"),
        ("20261125", "cannot begin a time of the service: '20261125'"),
        ("2026-11-2", "cannot begin a time"),
        ("2026-02-29", "cannot begin a time"),
        ("2026-11-25 24", "cannot begin a time"),
        ("2026-11-25 02:00:00.000", "cannot begin a time"),
        ("2026-11-25T02:00:00+00:00", "a space instead of T"),
        (" 2026-11-25", "cannot begin a time"),
        ("2026-11-25\n", "cannot begin a time"),
    ],
)
def test_what_cannot_begin_a_time_is_refused_with_the_remedy(value: Any, says: str) -> None:
    with pytest.raises(SchedulerXConfigurationError, match=says) as caught:
        check_time("data_time", value)
    assert caught.value.field == "data_time"
    assert "The service writes 2026-11-25 02:00:00" in str(caught.value)


LISTED = [
    run(5, "2026-11-25 09:12:44", "2026-11-24 00:00:00"),
    run(4, "2026-11-25 02:00:00", "2026-11-24 00:00:00"),
    run(3, "2026-11-24 02:00:00", "2026-11-23 00:00:00"),
    run(2, "2026-11-23 10:00:00"),
    run(1, None),
]


@pytest.mark.parametrize(
    ("wanted", "found", "others"),
    [
        (WantedTime("data_time", "2026-11-24"), 5, 1),
        (WantedTime("data_time", "2026-11-23"), 3, 0),
        (WantedTime("schedule_time", "2026-11-25 02"), 4, 0),
        (WantedTime("schedule_time", "2026-11-23 10:00:00"), 2, 0),
        (WantedTime("schedule_time", "2026-11"), 5, 3),
    ],
)
def test_the_newest_that_begins_so_is_found(wanted: WantedTime, found: int, others: int) -> None:
    seen = search(wanted, LISTED)
    assert seen.found is not None
    assert (seen.found.instance_id, seen.others) == (found, others)


@pytest.mark.parametrize(
    ("listed", "reach"),
    [
        ([], "the service lists no run of the workflow"),
        ([run(1, None)], "none of the runs listed has a DataTime"),
        ([run(1, None, "2026-11-20 00:00:00")], "the one run listed has DataTime 2026-11-20 00:00:00"),
        (LISTED, "the 5 runs listed have DataTime 2026-11-23 00:00:00 to 2026-11-24 00:00:00"),
    ],
)
def test_what_is_not_found_is_said_with_what_there_is(
    listed: list[WorkflowInstanceSummary], reach: str
) -> None:
    assert search(WantedTime("data_time", "2026-11-29"), listed) == Search(reach=reach)


def hourly(count: int) -> list[WorkflowInstanceSummary]:
    """Runs of the hours from 10 on."""
    return [
        run(hour, f"2026-11-25 {hour}:00:00", f"2026-11-25 {hour}:00:00") for hour in range(9 + count, 9, -1)
    ]


def test_a_list_that_cannot_reach_back_says_so() -> None:
    seen = search(WantedTime("schedule_time", "2026-11-24"), hourly(10))
    assert seen.is_beyond
    assert seen.reach == (
        "the 10 runs listed have ScheduleTime 2026-11-25 10:00:00 to 2026-11-25 19:00:00, so the list does not reach "
        "back to it"
    )
    # It may be the last hour of the day before, or of the same.
    assert search(WantedTime("schedule_time", "2026-11-25 09"), hourly(10)).is_beyond


def test_a_list_that_is_not_cut_off_may_still_show_it() -> None:
    assert not search(WantedTime("schedule_time", "2026-11-24"), hourly(9)).is_beyond


def test_a_run_for_an_older_day_may_still_be_started() -> None:
    seen = search(WantedTime("data_time", "2026-11-24"), hourly(10))
    assert not seen.is_beyond
    assert "does not reach back" in seen.reach


def test_a_time_yet_to_come_is_waited_for() -> None:
    assert not search(WantedTime("schedule_time", "2026-11-26"), hourly(10)).is_beyond
