"""Finds the run for a service time: the one that the service's own schedule has started, say.

The zone of the service's times is not documented, so they are compared as text and never converted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Literal, Self

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError
from airflow_provider_schedulerx.api.runs.kinds import RunSummary

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
        problem = "is empty: check that its template is rendered"
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

    def of(self, summary: RunSummary) -> str | None:
        """Return the service's text that is compared."""
        return summary.data_time if self.field == "data_time" else summary.schedule_time

    def matches(self, summary: RunSummary) -> bool:
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

    found: RunSummary | None = None
    others: int = 0
    is_beyond: bool = False
    reach: str = ""


def search(wanted: WantedTime, listed: Sequence[RunSummary]) -> Search:
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


class SearchOutcome(Enum):
    """How the search of a trigger ended."""

    FOUND = "found"
    #: No list will show it.
    BEYOND = "beyond"
    #: The deadline passed.
    TIMEOUT = "timeout"
    #: The runs can no longer be listed.
    UNDECIDED = "undecided"


class MalformedSearchEventError(ValueError):
    """An event is not that of a search, or not of this one."""


@dataclass(frozen=True)
class SearchEvent:
    """What a trigger tells the task that waits for a run to be found.

    :ivar instance_id: the run, with :attr:`SearchOutcome.FOUND`.
    :ivar message: for people.
    """

    outcome: SearchOutcome
    definition_id: int
    instance_id: int | None = None
    message: str = ""

    def to_payload(self) -> dict[str, Any]:
        """Return the event as JSON."""
        return {
            "version": 1,
            "outcome": self.outcome.value,
            "definition_id": self.definition_id,
            "instance_id": self.instance_id,
            "message": self.message,
        }

    @classmethod
    def parse(cls, payload: Any, *, definition_id: int) -> Self:
        """Take in an event.

        :raises MalformedSearchEventError: if it is missing, unknown, or of something else.
        """
        if not isinstance(payload, dict):
            raise MalformedSearchEventError(f"there is no event, but {type(payload).__name__}")
        try:
            outcome = SearchOutcome(payload.get("outcome"))
        except ValueError:
            raise MalformedSearchEventError(f"its outcome is {payload.get('outcome')!r:.80}") from None
        found = payload.get("instance_id")
        if payload.get("definition_id") != definition_id:
            raise MalformedSearchEventError(
                f"it is of {payload.get('definition_id')!r:.80}, not {definition_id}"
            )
        if isinstance(found, int) is not (outcome is SearchOutcome.FOUND):
            raise MalformedSearchEventError(f"its outcome is {outcome.value}, and its run {found!r:.80}")
        return cls(outcome, definition_id, found, str(payload.get("message") or ""))


def found_message(wanted: WantedTime, seen: Search, noun: str) -> str:
    """Say which run was found, and whether it was the only one."""
    if seen.found is None:
        raise ValueError("nothing was found")
    text = f"The run with {wanted} is {noun} {seen.found.instance_id}"
    return text if not seen.others else f"{text}, the newest of {seen.others + 1}"
