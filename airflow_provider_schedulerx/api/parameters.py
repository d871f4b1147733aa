"""Arguments as people and templates give them, checked and put into the form of the wire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, get_args
from urllib.parse import quote

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError

#: Bytes of UTF-8 (API page "ExecuteWorkflow": at most 1,000 bytes; the charset is inferred).
MAX_INSTANCE_PARAMETERS_BYTES = 1000

_MAX_LONG = 2**63 - 1


def check_id(field: str, value: Any) -> int:
    """Return an id of the service, a positive signed 64-bit integer, as an int.

    Digits in a string are accepted, because that is what a rendered template is.

    :raises SchedulerXConfigurationError: naming ``field`` and what is wrong with the value.
    """
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and value.strip().isascii() and value.strip().isdecimal():
        number = int(value.strip())
    if number is None or not 0 < number <= _MAX_LONG:
        if value is None or value in ("", "None"):
            problem = "is empty; was the XCom or template that should give it rendered?"
        elif number is not None:
            problem = f"must be between 1 and {_MAX_LONG}, not {number}"
        else:
            problem = f"must be an integer or a string of digits, not {value!r:.80}"
        raise SchedulerXConfigurationError(f"{field} {problem}", field=field)
    return number


def check_seconds(name: str, value: float | timedelta) -> float:
    """Return a duration in seconds.

    :raises SchedulerXConfigurationError: if it is not positive.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
        raise SchedulerXConfigurationError(
            f"{name} must be a positive number of seconds or a timedelta, not {value!r}", field=name
        )
    return float(seconds)


def check_count(name: str, value: Any) -> int:
    """Return a whole number from 0.

    :raises SchedulerXConfigurationError: if it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SchedulerXConfigurationError(
            f"{name} must be a whole number from 0, not {value!r:.80}", field=name
        )
    return value


def check_choice(name: str, value: Any, choices: Any) -> Any:
    """Return a value that is one of a ``Literal``'s.

    :raises SchedulerXConfigurationError: naming the choices.
    """
    allowed = get_args(choices)
    if value not in allowed:
        raise SchedulerXConfigurationError(
            f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r:.80}", field=name
        )
    return value


def encode_instance_parameters(value: Any) -> str | None:
    """Return ``InstanceParameters`` for the wire, or None to leave it out.

    :param value: None; a str, sent as it is; or a dict, list or tuple, sent as compact JSON in which
        text stays UTF-8 rather than ASCII escapes, since the limit counts bytes.
    :raises SchedulerXConfigurationError: for another type, a value JSON cannot hold, or more than
        1,000 bytes of UTF-8.
    """
    field = "instance_parameters"
    if value is None:
        return None
    if isinstance(value, str):
        text = value
    elif isinstance(value, dict | list | tuple):
        try:
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise SchedulerXConfigurationError(
                f"{field} cannot be written as JSON: {error}; convert such values to text first", field=field
            ) from None
    else:
        raise SchedulerXConfigurationError(
            f"{field} must be a str, dict or list, not {type(value).__name__}", field=field
        )
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise SchedulerXConfigurationError(
            f"{field} contains half of a surrogate pair, which UTF-8 cannot hold", field=field
        ) from None
    if size > MAX_INSTANCE_PARAMETERS_BYTES:
        raise SchedulerXConfigurationError(
            f"{field} has {size} bytes of UTF-8; SchedulerX takes at most {MAX_INSTANCE_PARAMETERS_BYTES}. "
            "Put the data somewhere the jobs can read, and pass its address",
            field=field,
        )
    return text


def with_run_marker(value: Any, key: str, marker: str) -> str:
    """Return ``InstanceParameters`` for the wire with ``"key": "marker"`` added to the JSON object that they are.

    :param value: None, a dict, or a str that holds a JSON object, whose other text stays as it is.
    :raises SchedulerXConfigurationError: if ``value`` is something else or has the key already, or if all of it
        is more than 1,000 bytes of UTF-8.
    """
    text = encode_instance_parameters({} if value is None else value) or "{}"
    try:
        existing = json.loads(text)
    except ValueError:
        existing = None
    if not isinstance(existing, dict):
        raise SchedulerXConfigurationError(
            "run_marker needs instance_parameters that are a JSON object (a dict, or a str that holds one), or none; "
            "pass them so, or leave run_marker off",
            field="run_marker",
        )
    if key in existing:
        raise SchedulerXConfigurationError(
            f"instance_parameters have the key {key!r} already, under which run_marker puts its mark; choose another "
            "run_marker_key",
            field="run_marker_key",
        )
    mark = f"{json.dumps(key, ensure_ascii=False)}:{json.dumps(marker)}"
    marked = f"{text.rstrip()[:-1].rstrip()}{',' if existing else ''}{mark}}}"
    return encode_instance_parameters(marked) or ""


def canonical_query(query: Mapping[str, str]) -> str:
    """The query as it is signed: sorted by name, and percent-encoded by RFC 3986."""
    return "&".join(
        f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(query.items())
    )
