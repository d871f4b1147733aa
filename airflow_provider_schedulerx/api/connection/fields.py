"""The fields of a connection as people type them: extra as an object, unknown names, texts and numbers."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError

#: Types of Airflow connection that can be used: ours, and that of the official Alibaba provider.
CONNECTION_TYPES = ("schedulerx", "alibaba_cloud")

#: What the official provider wants in extra, and we do not need.
_OF_OTHER_HOOKS = {"alibaba_cloud": ("auth_type",)}

#: Airflow before 2.3 saved the fields of a form under such names.
_OLD_FORM_PREFIX = "extra__schedulerx__"


@dataclass(frozen=True, slots=True)
class UnknownField:
    """A field of extra that nothing reads.

    :ivar name: as it was typed.
    :ivar nearest: the known field that was probably meant, or None.
    """

    name: str
    nearest: str | None

    def __str__(self) -> str:
        hint = f" (did you mean {self.nearest}?)" if self.nearest else ""
        return f"{self.name!r:.60}{hint}"


def check_connection_type(conn_type: str | None) -> None:
    """:raises SchedulerXConfigurationError: if a connection of this type is certainly meant for something else."""
    if conn_type not in CONNECTION_TYPES:
        now = f"is {conn_type!r:.60}" if conn_type else "is not set"
        raise SchedulerXConfigurationError(
            f"conn_type {now}; set it to 'schedulerx' (\"Alibaba Cloud SchedulerX\" in the UI)",
            field="conn_type",
        )


def parse_extra(extra: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the fields of extra that are not blank: a form saves blank ones as ``""`` or null.

    :param extra: JSON text as Airflow stores it, or an object.
    :raises SchedulerXConfigurationError: if it is not a JSON object. The message does not quote it.
    """
    value: Any = extra
    if isinstance(extra, str):
        try:
            value = json.loads(extra) if extra.strip() else {}
        except ValueError as error:
            where = f": {error.msg}, line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
            raise SchedulerXConfigurationError(
                f'extra is not JSON{where}; write an object such as {{"region_id": "cn-hangzhou"}}',
                field="extra",
            ) from None
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        kind = {"list": "array", "str": "text"}.get(type(value).__name__, type(value).__name__)
        raise SchedulerXConfigurationError(
            f'extra is JSON, but of type {kind}; write an object such as {{"region_id": "cn-hangzhou"}}',
            field="extra",
        )
    return {str(key): item for key, item in value.items() if item is not None and item != ""}


def find_unknown(names: Iterable[str], known: Collection[str], conn_type: str) -> tuple[UnknownField, ...]:
    """Return the fields that nothing reads."""
    others = _OF_OTHER_HOOKS.get(conn_type, ())
    return tuple(UnknownField(name, _nearest(name, known)) for name in names if name not in {*known, *others})


def _nearest(name: str, known: Collection[str]) -> str | None:
    plain = name.removeprefix(_OLD_FORM_PREFIX).strip().lower().replace("-", "_").replace(" ", "_")
    near = difflib.get_close_matches(plain, known, n=1)
    return near[0] if near else None


def describe_unknown(fields: Iterable[UnknownField]) -> str:
    """A sentence for people, or an empty text if there are none."""
    names = ", ".join(map(str, fields))
    return f"Fields of the connection's extra that are not used: {names}." if names else ""


def as_text(name: str, value: Any) -> str | None:
    """Return a field's text without the spaces around it. None if it is blank.

    :raises SchedulerXConfigurationError: if it is neither text nor a whole number.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise SchedulerXConfigurationError(f"{name} must be text, not {type(value).__name__}", field=name)
    return str(value).strip() or None


def as_seconds(name: str, value: Any) -> float:
    """:raises SchedulerXConfigurationError: if it is not a number of seconds above 0 and at most 3600."""
    try:
        seconds = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = float("nan")
    if not 0 < seconds <= 3600:
        raise SchedulerXConfigurationError(
            f"{name} must be a number of seconds above 0 and at most 3600, not {value!r:.40}", field=name
        )
    return seconds
