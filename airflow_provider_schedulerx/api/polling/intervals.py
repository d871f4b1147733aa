"""When to poll a run next: often where its end is likely, seldom where it is not."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterable
from datetime import datetime

from airflow_provider_schedulerx.api.runs.kinds import RunSummary

#: Seconds: no run is polled more often than this, unless its poll interval is shorter.
SHORTEST = 1.0

#: Around the usual duration, and at first, polls come up to this many times more often.
_EAGERNESS = 4.0
_USUAL_FROM, _USUAL_TO = 0.8, 1.2
_HISTORY = 20
#: Seconds within which a run that is new here is polled, so that a crowd that arrives together is seen by one list.
_FIRST_POLL = 1.0


def wished_interval(age: float, poll_interval: float, usual_duration: float | None) -> float:
    """Seconds until the next poll of a run; at most ``poll_interval``.

    :param age: seconds since the run was started.
    :param poll_interval: seconds by which an end may be noticed late.
    :param usual_duration: seconds that runs of this definition take, if that is known.
    """
    shortest = min(poll_interval, max(SHORTEST, poll_interval / (2 * _EAGERNESS)))
    # A young run may be over at once: the older it gets unfinished, the less likely that is.
    interval = min(poll_interval, max(shortest, age / 2))
    if usual_duration is not None and _USUAL_FROM * usual_duration <= age <= _USUAL_TO * usual_duration:
        interval = min(interval, max(shortest, poll_interval / _EAGERNESS))
    return interval


def first_delay(poll_interval: float, shortest: float) -> float:
    """Seconds until a first poll. A crowd takes its turns among the others, if there is not enough for all.

    :param shortest: seconds between two polls that the budget has room for.
    """
    return random.uniform(0, max(shortest, min(_FIRST_POLL, poll_interval / 10)))  # noqa: S311


def usual_duration(history: Iterable[RunSummary]) -> float | None:
    """Seconds that the newest runs took, as the median; None without any.

    :param history: newest first. Only differences of its times are used: their zone is not documented.
    """
    durations: list[float] = []
    for run in history:
        if run.status.is_terminal and (seconds := _seconds(run.start_time, run.end_time)) is not None:
            durations.append(seconds)
            if len(durations) == _HISTORY:
                break
    return statistics.median(durations) if durations else None


def _seconds(start: str | None, end: str | None) -> float | None:
    try:
        seconds = (datetime.fromisoformat(end or "") - datetime.fromisoformat(start or "")).total_seconds()
    except (ValueError, TypeError):
        return None
    return seconds if seconds >= 0 else None
