"""Finds the run for a service time: the one that the service's own schedule has started, say.

The zone of the service's times is not documented, so they are compared as text and never converted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError
from airflow_provider_schedulerx.api.models import WorkflowInstanceSummary

TimeField = Literal["data_time", "schedule_time"]

#: How the service calls them.
SERVICE_NAMES = {"data_time": "DataTime", "schedule_time": "ScheduleTime"}

#: A list with fewer runs than this is not cut off: 10 is the least that the service is known to list.
_SHORTEST_CUT_LIST = 10

_TIME = re.compile(r"\d{4}-\d\d(-\d\d( \d\d(:\d\d(:\d\d)?)?)?)?")
#: What completes a beginning, so that it can be checked to be in the calendar.
_COMPLETION = "2000-01-01 00:00:00"


def check_time(field: str, value: Any) -> str:
    """Return a text that can begin a time of the service, such as ``2026-11-25`` or ``2026-11-25 02:00``.

    :raises SchedulerXConfigurationError: naming ``field``, what is wrong, and the remedy.
    """
    if value is None or value in ("", "None"):
        problem = "is empty; was the template that should give it rendered?"
    elif not isinstance(value, str):
        problem = f"must be a str, not {value!r:.80}"
    elif _TIME.fullmatch(value) and _is_in_calendar(value):
        return value
    else:
        problem = f"cannot begin a time of the service: {value!r:.80}"
        if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value):
            problem += "; the service writes a space instead of T, and no zone, so use {{ ds }}, or .strftime"
    raise SchedulerXConfigurationError(
        f"{field} {problem}. The service writes 2026-11-25 02:00:00; give that, or its beginning up to the month, day, hour "
        "or minute",
        field=field,
    )


def _is_in_calendar(beginning: str) -> bool:
    try:
        datetime.fromisoformat(beginning + _COMPLETION[len(beginning) :])
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class WantedTime:
    """Which run is waited for.

    :ivar field: ``data_time`` or ``schedule_time``.
    :ivar beginning: of the service's text.
    """

    field: TimeField
    beginning: str

    def __str__(self) -> str:
        return f"{SERVICE_NAMES[self.field]} {self.beginning}"

    def of(self, summary: WorkflowInstanceSummary) -> str | None:
        """Return the service's text that is compared."""
        return summary.data_time if self.field == "data_time" else summary.schedule_time

    def matches(self, summary: WorkflowInstanceSummary) -> bool:
        """Return whether a run is for this time."""
        return (self.of(summary) or "").startswith(self.beginning)


@dataclass(frozen=True)
class Search:
    """What a list of runs shows of the one that is waited for.

    :ivar found: the newest that matches.
    :ivar others: how many more do.
    :ivar is_beyond: whether the list is certain not to reach back to it.
    :ivar reach: what the list shows, in a sentence, where nothing matches.
    """

    found: WorkflowInstanceSummary | None = None
    others: int = 0
    is_beyond: bool = False
    reach: str = ""


def search(wanted: WantedTime, listed: Sequence[WorkflowInstanceSummary]) -> Search:
    """Look for a run in a list.

    :param listed: the newest first.
    """
    matching = [summary for summary in listed if wanted.matches(summary)]
    if matching:
        return Search(matching[0], len(matching) - 1)
    name = SERVICE_NAMES[wanted.field]
    times = [text for summary in listed if (text := wanted.of(summary))]
    if not listed:
        return Search(reach="the service lists no run of the workflow")
    if not times:
        return Search(reach=f"none of the runs listed has a {name}")
    oldest = min(times)
    reach = (
        f"the {len(listed)} runs listed have {name} {oldest} to {max(times)}"
        if len(listed) > 1
        else f"the one run listed has {name} {oldest}"
    )
    # As text: the service's times are of one form and one zone.
    is_later = oldest[: len(wanted.beginning)] > wanted.beginning
    if not is_later or len(listed) < _SHORTEST_CUT_LIST:
        return Search(reach=reach)
    reach += ", so the list does not reach back to it"
    # A run of an older DataTime may still be started: by a schedule with an offset, or again by hand. One of an older
    # ScheduleTime was, or never is.
    return Search(is_beyond=wanted.field == "schedule_time", reach=reach)
