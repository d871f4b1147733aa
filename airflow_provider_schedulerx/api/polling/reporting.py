"""Reports what polling measures, to one callback for the process; none by default.

``api`` knows nothing of Airflow's metrics; :mod:`airflow_provider_schedulerx.metrics` sets the callback.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import Callable
from enum import Enum


class Metric(Enum):
    """Everything that is reported. The comments give the unit and the tags."""

    #: Runs followed by this process: gauge.
    RUNS_FOLLOWED = "runs_followed"
    #: Calls made: counter, by ``operation``.
    CALLS = "calls"
    #: Calls that the service throttled: counter, by ``operation``.
    CALLS_THROTTLED = "calls_throttled"
    #: Calls a minute that are allowed at present: gauge, by ``operation`` and ``account``.
    RATE = "rate"
    #: Calls a minute needed to keep ``poll_interval``, divided by those allowed: gauge, by ``operation``, ``account``.
    STRETCH = "stretch"
    #: Listings refused, so that runs are polled one by one: counter.
    LIST_REFUSED = "list_refused"
    #: Milliseconds for which the end of a run can have gone unnoticed: timing.
    END_DELAY = "end_delay"
    #: Runs that could not be stopped: counter.
    STOPS_GIVEN_UP = "stops_given_up"


#: Takes the metric, its value (what to add, for a counter) and its tags.
Reporter = Callable[[Metric, float, dict[str, str]], None]


def _silent(metric: Metric, value: float, tags: dict[str, str]) -> None:
    pass


_reporter: Reporter = _silent


def set_reporter(reporter: Reporter | None) -> None:
    """Set the callback for the whole process; None for none."""
    global _reporter  # noqa: PLW0603
    _reporter = reporter or _silent


def report(metric: Metric, value: float = 1, **tags: str) -> None:
    """Report a value. A fault of the callback is dropped: no poll may fail because of a metric."""
    with contextlib.suppress(Exception):
        _reporter(metric, value, tags)


_followed = 0


def count_followed(change: int) -> None:
    """Report that runs are followed, or no longer."""
    global _followed  # noqa: PLW0603
    _followed += change
    report(Metric.RUNS_FOLLOWED, _followed)


def log_for_process(log: logging.Logger, level: int, message: str, *arguments: object) -> None:
    """Log a line that concerns the whole process.

    In an empty context: in that of a trigger, Airflow would write it to the log of that trigger's task.
    """
    contextvars.Context().run(log.log, level, message, *arguments)
