from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_schedulerx.api.models import WorkflowInstanceStatus, WorkflowInstanceSummary
from airflow_provider_schedulerx.api.polling.intervals import usual_duration, wished_interval


@given(
    age=st.floats(0, 1e6),
    poll_interval=st.floats(0.01, 3600),
    usual=st.none() | st.floats(0, 1e6),
)
def test_the_poll_interval_is_a_ceiling_and_nothing_is_frantic(
    age: float, poll_interval: float, usual: float | None
) -> None:
    interval = wished_interval(age, poll_interval, usual)
    assert 0 < interval <= poll_interval
    assert interval >= min(poll_interval, 1.0)


@pytest.mark.parametrize(
    ("age", "expected"),
    [(0, 3.75), (10, 5), (30, 15), (60, 30), (200, 30), (480, 7.5), (600, 7.5), (720, 7.5), (721, 30)],
)
def test_fast_at_first_and_around_the_usual_duration_slower_in_between(age: float, expected: float) -> None:
    assert wished_interval(age, 30, 600) == expected


def run(status: int, start: str | None, end: str | None) -> WorkflowInstanceSummary:
    return WorkflowInstanceSummary(1, 2, WorkflowInstanceStatus(status), start_time=start, end_time=end)


def test_the_usual_duration_is_the_median_of_what_has_ended() -> None:
    history = [
        run(3, "2023-01-03 18:00:01", None),
        run(4, "2023-01-03 18:00:00", "2023-01-03 18:01:00"),
        run(4, "2023-01-03 18:00:00", "2023-01-03 18:03:00"),
        run(5, "2023-01-03 23:59:00", "2023-01-04 00:01:00"),
        run(4, "garbled", "2023-01-03 18:03:00"),
        run(4, "2023-01-03 18:00:00", "2023-01-03 17:00:00"),
        run(4, None, None),
    ]
    assert usual_duration(history) == 120
    assert usual_duration(history[:1]) is None
    assert usual_duration([]) is None
