"""When the service's own schedule starts a workflow: Quartz cron expressions, and fixed intervals.

The documented ``TimeExpression`` of a workflow is ``0 0 2 * * ?`` (API page "GetWorkFlow"): seconds first, as in Quartz.
``fixed_rate`` is documented for jobs, in seconds; here a workflow may have it, too, and parts of a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from math import floor
from typing import Protocol

#: Values of ``TimeType`` that the emulator knows: ``api`` has no schedule.
TIME_TYPES = ("api", "cron", "fixed_rate")

_NEVER = float("inf")
#: Years after which no further time is looked for.
_HORIZON = 5

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


class ScheduleError(ValueError):
    """There is no such time type, or its expression cannot be read; the message says why."""


class Schedule(Protocol):
    """Times at which runs start, as epoch seconds."""

    def next_after(self, at: float, zone: tzinfo) -> float:
        """Return the first time after this one; infinite if there is none.

        :param zone: of the service, with a fixed offset.
        """
        ...


def parse(time_type: str, time_expression: str) -> Schedule | None:
    """Read a schedule.

    :return: None for a workflow without one.
    :raises ScheduleError: if it cannot be read.
    """
    match time_type:
        case "api":
            return None
        case "cron":
            return Cron(time_expression)
        case "fixed_rate":
            return FixedRate(time_expression)
    raise ScheduleError(f"time_type {time_type!r} is not one of {', '.join(TIME_TYPES)}")


class FixedRate:
    """Every so many seconds, counted from the epoch, so that a restart does not shift it."""

    def __init__(self, text: str) -> None:
        try:
            self._seconds = float(text)
        except ValueError:
            self._seconds = 0.0
        if not 0 < self._seconds < _NEVER:
            raise ScheduleError(f"time_expression {text!r} is not a positive number of seconds")

    def next_after(self, at: float, zone: tzinfo) -> float:
        following = (floor(at / self._seconds) + 1) * self._seconds
        # Rounding may give the same time again.
        return following if following > at else following + self._seconds


class Cron:
    """A Quartz expression: second, minute, hour, day of month, month, day of week, and perhaps the year.

    Numbers, ``*``, ``?``, ranges, lists, steps, and English names of months and days. ``L``, ``W`` and ``#`` are not
    understood.
    """

    def __init__(self, text: str) -> None:
        fields = text.upper().split()
        if len(fields) not in (6, 7):
            raise ScheduleError(
                f"time_expression {text!r} must have 6 or 7 fields: second, minute, hour, day of month, month, day of "
                "week, year"
            )
        if "?" not in (fields[3], fields[5]):
            raise ScheduleError(
                f"time_expression {text!r} must have ? for the day of month or the day of week"
            )
        self._seconds = _field(fields[0], 0, 59)
        self._minutes = _field(fields[1], 0, 59)
        self._hours = _field(fields[2], 0, 23)
        self._days = _field(fields[3], 1, 31)
        self._months = _field(fields[4], 1, 12, _MONTHS)
        self._weekdays = _field(fields[5], 1, 7, _DAYS)
        self._years = _field(fields[6], 1970, 2099) if len(fields) == 7 else None

    def next_after(self, at: float, zone: tzinfo) -> float:
        moment = datetime.fromtimestamp(floor(at) + 1, zone)
        last = moment + timedelta(days=_HORIZON * 366)
        while moment < last:
            midnight = moment.replace(hour=0, minute=0, second=0)
            if moment.month not in self._months or (self._years and moment.year not in self._years):
                moment = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
            elif moment.day not in self._days or moment.isoweekday() % 7 + 1 not in self._weekdays:
                moment = midnight + timedelta(days=1)
            elif moment.hour not in self._hours:
                moment = moment.replace(minute=0, second=0) + timedelta(hours=1)
            elif moment.minute not in self._minutes:
                moment = moment.replace(second=0) + timedelta(minutes=1)
            elif moment.second not in self._seconds:
                moment += timedelta(seconds=1)
            else:
                return moment.timestamp()
        return _NEVER


def _field(text: str, low: int, high: int, names: tuple[str, ...] = ()) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step_text = part.partition("/")
        first_text, _, last_text = span.partition("-")
        if span in ("*", "?"):
            first, last = low, high
        else:
            first = _number(first_text, low, names)
            last = _number(last_text, low, names) if last_text else high if step_text else first
        step = _number(step_text, low, ()) if step_text else 1
        if not (low <= first <= last <= high and step > 0):
            raise ScheduleError(f"{text!r} in a cron expression is not within {low} to {high}")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(text: str, low: int, names: tuple[str, ...]) -> int:
    if text in names:
        return names.index(text) + low
    if not (text.isascii() and text.isdecimal()):
        raise ScheduleError(f"{text!r} in a cron expression is not understood")
    return int(text)


@dataclass
class Timer:
    """A workflow's schedule as it goes on.

    :ivar next_at: when it starts the next run, in epoch seconds.
    :ivar left: how many runs it still starts; None is without limit.
    """

    schedule: Schedule
    next_at: float
    left: int | None = None

    @classmethod
    def starting(cls, schedule: Schedule, at: float, zone: tzinfo, runs: int | None = None) -> Timer:
        """Make one that starts runs after a time.

        :param runs: how many, at most.
        """
        return cls(schedule, schedule.next_after(at, zone) if runs != 0 else _NEVER, runs)

    def fire(self, zone: tzinfo) -> float:
        """Take the time that is due, and say the next one.

        :return: the time that was due.
        """
        due = self.next_at
        if self.left is not None:
            self.left -= 1
        self.next_at = _NEVER if self.left == 0 else self.schedule.next_after(due, zone)
        return due


@cache
def as_zone(text: str) -> tzinfo:
    """Return a zone of a fixed offset, such as ``+08:00``."""
    return datetime.strptime(text, "%z").tzinfo or UTC


def parse_time(text: str, zone: tzinfo) -> float:
    """Read a time as the service writes it: ``2023-01-03 18:00:01``.

    :raises ScheduleError: if it is something else.
    """
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone).timestamp()
    except ValueError:
        raise ScheduleError(f"{text!r} is not a time like 2023-01-03 18:00:01") from None
