"""Reads the fields of an answer: what decides is read by functions that raise, all else by those that return None."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

_T = TypeVar("_T")


class MalformedAnswerError(ValueError):
    """An answer lacks what decides (an id, a ``Status``, or what holds them), or has it with another type."""


_MAX_LONG = 2**63 - 1


def _integer(value: Any) -> int | None:
    """A long of the service, also where it comes as a string of digits; None if it is something else."""
    if isinstance(value, str):
        digits = value.removeprefix("-")
        # The length comes first: Python refuses to convert thousands of digits.
        if not (len(digits) <= 19 and digits.isascii() and digits.isdecimal()):
            return None
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not -_MAX_LONG <= value <= _MAX_LONG:
        return None
    return int(value)


def _malformed(data: Mapping[str, Any], key: str, where: str) -> MalformedAnswerError:
    return MalformedAnswerError(f"{where}.{key} is {'missing' if data.get(key) is None else 'malformed'}")


def int_field(data: Mapping[str, Any], key: str, where: str) -> int:
    """:raises MalformedAnswerError: if it is missing or not an integer."""
    value = data.get(key)
    if type(value) is int and -_MAX_LONG <= value <= _MAX_LONG:
        return value  # as nearly always
    if (value := _integer(value)) is None:
        raise _malformed(data, key, where)
    return value


def id_field(data: Mapping[str, Any], key: str, where: str) -> int:
    """:raises MalformedAnswerError: if it is missing or not a positive integer."""
    value = data.get(key)
    if type(value) is int and 0 < value <= _MAX_LONG:
        return value  # as nearly always
    value = int_field(data, key, where)
    if value <= 0:
        raise MalformedAnswerError(f"{where}.{key} is {value}")
    return value


def mapping_field(data: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """:raises MalformedAnswerError: if it is missing or not an object."""
    value = data.get(key)
    if not isinstance(value, dict):
        raise _malformed(data, key, where)
    return value


def records_field(data: Mapping[str, Any], key: str, where: str) -> list[Mapping[str, Any]]:
    """A list of objects; the service leaves empty lists out, so a missing one is empty.

    :raises MalformedAnswerError: if it is something else.
    """
    value = data.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise _malformed(data, key, where)
    return value


def text_of(value: Any) -> str | None:
    """A value as text: None for none, an empty one, or one that cannot be written."""
    if value is None or value == "":
        return None
    try:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return None


def text_field(data: Mapping[str, Any], key: str) -> str | None:
    """A text; anything else becomes its JSON text."""
    value = data.get(key)
    if type(value) is str:
        return value or None  # as nearly always
    return None if value is None else text_of(value)


def optional_int(data: Mapping[str, Any], key: str) -> int | None:
    """An integer, or None for anything else."""
    value = data.get(key)
    return None if value is None else _integer(value)


class HasTimes(Protocol):
    """What the service gives four times to."""

    @property
    def schedule_time(self) -> str | None: ...

    @property
    def data_time(self) -> str | None: ...

    @property
    def start_time(self) -> str | None: ...

    @property
    def end_time(self) -> str | None: ...


def times_of(data: Mapping[str, Any]) -> dict[str, str | None]:
    return {
        "schedule_time": text_field(data, "ScheduleTime"),
        "data_time": text_field(data, "DataTime"),
        "start_time": text_field(data, "StartTime"),
        "end_time": text_field(data, "EndTime"),
    }


def times_data(value: HasTimes) -> dict[str, str | None]:
    """The inverse of :func:`times_of`."""
    return {
        "ScheduleTime": value.schedule_time,
        "DataTime": value.data_time,
        "StartTime": value.start_time,
        "EndTime": value.end_time,
    }


def all_of(
    parse: Callable[[Mapping[str, Any]], _T], data: Mapping[str, Any], key: str, where: str
) -> tuple[_T, ...]:
    return tuple(parse(record) for record in records_field(data, key, where))


def lenient_records(data: Any, key: str) -> list[Mapping[str, Any]]:
    """The objects in a list that decides nothing."""
    records = data.get(key) if isinstance(data, dict) else None
    return [record for record in records if isinstance(record, dict)] if isinstance(records, list) else []
