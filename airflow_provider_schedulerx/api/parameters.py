"""Arguments as people and templates give them, checked and put into the form of the wire."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, get_args
from urllib.parse import quote

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError

#: Bytes of UTF-8 (API page "ExecuteWorkflow": at most 1,000 bytes; the charset is inferred).
MAX_INSTANCE_PARAMETERS_BYTES = 1000

#: Key under which a run marker stands in the instance parameters, unless another is given.
RUN_MARKER_KEY = "airflow_run"

#: The largest id: a signed 64-bit integer.
MAX_ID = 2**63 - 1
_MAX_DIGITS = len(str(MAX_ID))
#: A text that RFC 3986 leaves as it is.
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*")

#: Seconds: the least that a task may ask for between two polls. The quota allows a call in 0.6.
MIN_POLL_INTERVAL = 0.1
#: Seconds: the longest duration, 317 years. No date ends a much longer one, and Airflow needs that of a deferral.
_MAX_SECONDS = 1e10
#: Epoch seconds: the latest time, in the year 5138. Every duration from now ends before.
_MAX_TIME = 1e11


def check_id(field: str, value: Any) -> int:
    """Return an id of the service, a positive signed 64-bit integer, as an int.

    Digits in a string are accepted, because that is what a rendered template is.

    :raises SchedulerXConfigurationError: naming ``field`` and what is wrong with the value.
    """
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and value.strip().isascii() and value.strip().isdecimal():
        digits = value.strip().lstrip("0") or "0"
        number = int(digits) if len(digits) <= _MAX_DIGITS else MAX_ID + 1
    if number is None or not 0 < number <= MAX_ID:
        if value is None or value in ("", "None"):
            problem = "is empty; was the XCom or template that should give it rendered?"
        elif number is not None:
            problem = f"must be between 1 and {MAX_ID}, not {_shown(value)}"
        else:
            problem = f"must be an integer or a string of digits, not {_shown(value)}"
        raise SchedulerXConfigurationError(f"{field} {problem}", field=field)
    return number


def check_literal_id(field: str, value: Any) -> None:
    """Check an id that is written out in the DAG file, which is wrong already when the file is parsed.

    :param value: of a templated field; a template or an XCom of another task is not checked.
    :raises SchedulerXConfigurationError: naming ``field`` and what is wrong with the value.
    """
    if is_literal(value):
        check_id(field, value)


def is_literal(value: Any) -> bool:
    """Return whether a templated field's value is final: no template, no XCom of another task in it."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    if isinstance(value, dict):
        return all(is_literal(key) and is_literal(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(is_literal, value))
    return value is None or isinstance(value, int | float)


def _shown(value: Any) -> str:
    """A value in an error message, within reason: an int of 5,000 digits has no text at all."""
    if isinstance(value, int) and not -(10**40) < value < 10**40:
        return "a number of more than 40 digits"
    return f"{value!r:.80}"


def check_name(field: str, value: Any) -> str:
    """Return a name, which is compared as it is.

    :raises SchedulerXConfigurationError: if it is empty or no text.
    """
    if not isinstance(value, str):
        raise SchedulerXConfigurationError(f"{field} must be a str, not {value!r:.80}", field=field)
    if not value.strip() or value == "None":
        raise SchedulerXConfigurationError(
            f"{field} is empty; was the XCom or template that should give it rendered?", field=field
        )
    return value


def check_seconds(name: str, value: float | timedelta, minimum: float = 0.0) -> float:
    """Return a duration in seconds.

    :param minimum: the least that is allowed; 0 is not.
    :raises SchedulerXConfigurationError: if it is less, longer than anything lasts, or no number of seconds.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _MAX_SECONDS:
        raise SchedulerXConfigurationError(
            f"{name} must be a positive number of seconds or a timedelta, not {_shown(value)}", field=name
        )
    if seconds < minimum:
        raise SchedulerXConfigurationError(
            f"{name} must be at least {minimum:g} seconds, not {seconds:g}", field=name
        )
    return float(seconds)


def check_time(name: str, value: float | None) -> float | None:
    """Return epoch seconds; None stays what it is.

    :raises SchedulerXConfigurationError: if they are none.
    """
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _MAX_TIME
    ):
        raise SchedulerXConfigurationError(
            f"{name} must be a time in epoch seconds, not {_shown(value)}", field=name
        )
    return None if value is None else float(value)


def check_flag(name: str, value: Any) -> bool:
    """Return True or False, and take nothing else for one of them: the text ``"no"`` would count as true.

    :raises SchedulerXConfigurationError: if it is something else.
    """
    if not isinstance(value, bool):
        raise SchedulerXConfigurationError(f"{name} must be True or False, not {_shown(value)}", field=name)
    return value


def check_run_marker(value: Any) -> str | None:
    """Return the key under which a run marker is sent, or None for no marker.

    :param value: True for :data:`RUN_MARKER_KEY`, a key of your own, or False.
    :raises SchedulerXConfigurationError: if it is something else.
    """
    if value is True:
        return RUN_MARKER_KEY
    if value is False:
        return None
    if not isinstance(value, str) or not value:
        raise SchedulerXConfigurationError(
            f"run_marker must be True, False, or the name of a key, not {_shown(value)}", field="run_marker"
        )
    return value


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

    :param value: None; a str, sent as it is; or a mapping, a sequence (also a lazy one of a mapped upstream task), a
        number or a bool, sent as compact JSON in which text stays UTF-8 rather than ASCII escapes, since the limit
        counts bytes. Numbers and bools are what ``render_template_as_native_obj`` makes of a text such as ``20260101``.
    :raises SchedulerXConfigurationError: for another type, a value JSON cannot hold, or more than
        1,000 bytes of UTF-8.
    """
    field = "instance_parameters"
    if value is None:
        return None
    if isinstance(value, str):
        text = value
    elif isinstance(value, Mapping | Sequence | int | float) and not isinstance(value, bytes | bytearray):
        try:
            text = json.dumps(
                _plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain
            )
        except (TypeError, ValueError, RecursionError) as error:
            raise SchedulerXConfigurationError(
                f"{field} cannot be written as JSON: {error}; convert such values to text first", field=field
            ) from None
    else:
        raise SchedulerXConfigurationError(
            f"{field} must be a str, a dict, a list, a number or a bool, not {type(value).__name__}",
            field=field,
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


def _plain(value: Any) -> Any:
    """What JSON takes, of a mapping or sequence of another type."""
    if isinstance(value, dict | list | tuple | str | int | float):
        return value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return list(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def with_run_marker(value: Any, key: str, marker: str) -> str:
    """Return ``InstanceParameters`` for the wire with ``"key": "marker"`` added to the JSON object that they are.

    :param value: None, a mapping, or a str that holds a JSON object, whose other text stays as it is.
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
            f"instance_parameters have the key {key!r} already, under which run_marker puts its marker; name another "
            "key: run_marker='...'",
            field="run_marker",
        )
    mark = f"{json.dumps(key, ensure_ascii=False)}:{json.dumps(marker)}"
    marked = f"{text.rstrip()[:-1].rstrip()}{',' if existing else ''}{mark}}}"
    return encode_instance_parameters(marked) or ""


def canonical_query(query: Mapping[str, str]) -> str:
    """The query as it is signed: sorted by name, and percent-encoded by RFC 3986."""
    return "&".join([f"{_encoded(name)}={_encoded(value)}" for name, value in sorted(query.items())])


def _encoded(text: str) -> str:
    # Names and ids have nothing to encode, and to find that out takes a tenth of quote's time.
    return text if _UNRESERVED.fullmatch(text) else quote(text, safe="~")
