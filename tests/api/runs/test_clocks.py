"""How long it takes from one time of the service to another."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfoNotFoundError

import pytest

from airflow_provider_schedulerx.api.runs import clocks
from airflow_provider_schedulerx.api.runs.clocks import shortest_seconds


@pytest.mark.parametrize(
    ("begin", "end", "minutes"),
    [
        pytest.param("2026-07-01 01:55:00", "2026-07-01 03:03:00", 68, id="any-night"),
        pytest.param("2026-03-29 01:55:00", "2026-03-29 03:03:00", 8, id="europe-in-spring"),
        pytest.param("2026-03-08 01:55:00", "2026-03-08 03:03:00", 8, id="america-in-spring"),
        pytest.param("2026-03-29 03:03:00", "2026-03-29 04:03:00", 60, id="after-it"),
        pytest.param("2026-03-01 00:00:00", "2026-04-01 00:00:00", 31 * 24 * 60 - 60, id="over-it"),
        # The clocks went back in between, or did not: the shortest counts.
        pytest.param("2026-10-25 01:30:00", "2026-10-25 03:30:00", 120, id="in-autumn"),
        pytest.param("2026-03-29 03:03:00", "2026-03-29 01:55:00", -68, id="backwards"),
        pytest.param("0001-01-01 00:00:00", "0001-01-01 00:10:00", 10, id="the-first-day"),
        pytest.param("9999-12-31 23:00:00", "9999-12-31 23:59:00", 59, id="the-last-day"),
    ],
)
def test_clocks_that_may_have_gone_forward_shorten_the_time(begin: str, end: str, minutes: int) -> None:
    seconds = shortest_seconds(datetime.fromisoformat(begin), datetime.fromisoformat(end))
    assert seconds == minutes * 60


def test_a_machine_without_zones_expects_it_in_any_night(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ZoneInfoNotFoundError(name)

    monkeypatch.setattr(clocks, "ZoneInfo", missing)
    assert shortest_seconds(datetime(2026, 7, 1, 1, 55), datetime(2026, 7, 1, 3, 3)) == 8 * 60
