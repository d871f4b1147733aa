"""What a task writes down before it starts a run, so that whoever comes after it knows what to look for.

``ExecuteWorkflow`` and ``ExecuteJob`` have no idempotency token. A :class:`StartIntent` takes its place: written before the
request, it says which runs there were already, and how to tell the one that the request may have started.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self
from urllib.parse import unquote, unquote_plus

from airflow_provider_schedulerx.api.connection.settings import Scope

#: Runs that an intent remembers, newest first: more than the 300 that the service is known to keep by default.
MAX_KNOWN = 500

_VERSION = 3


class MalformedIntentError(ValueError):
    """What is stored is not an intent of ours, or of a later version."""


@dataclass(frozen=True, slots=True)
class StartIntent:
    """A start that is about to be made, or was made. Holds ids and digests only, no secret and no parameter.

    :ivar kind: name of the kind of run.
    :ivar definition_id: what is run: the id of a workflow, say.
    :ivar definition_name: its name, where it was found by that; None where the id was given.
    :ivar scope: region, namespace, its source and group, in which it is.
    :ivar parameters: digest of the instance parameters, see :func:`parameters_digest`.
    :ivar known: ids of the runs that a list showed just before, newest first; None if it was not
        asked.
    :ivar earlier: ids of the runs that the same task instance has started before this one.
    :ivar marker: text in the instance parameters that no other task has, or None.
    :ivar began: epoch seconds by this machine's clock at which the start was about to be made.
    :ivar instance_id: the run, once it is known.
    :ivar is_own: False if the run was not started by the task, but was there and is only followed.
    :ivar is_over: True once the task has stopped the run and seen it end.
    :ivar is_told: True once a person was asked to look for the run, because nobody else can tell.
    """

    kind: str
    definition_id: int
    scope: Scope
    parameters: str
    known: tuple[int, ...] | None = None
    earlier: tuple[int, ...] = ()
    marker: str | None = None
    began: float = 0.0
    instance_id: int | None = None
    is_own: bool = True
    is_over: bool = False
    is_told: bool = False
    definition_name: str | None = None

    def is_older(self, instance_id: int) -> bool:
        """Whether a run was there before this start.

        Where not all that were listed are remembered, a run below the oldest of the :data:`MAX_KNOWN` is taken for
        one of the others: ids are seen to rise, though nothing documents it.
        """
        known = self.known or ()
        if instance_id in known or instance_id in self.earlier:
            return True
        return len(known) >= MAX_KNOWN and instance_id < min(known)

    def to_json(self) -> dict[str, Any]:
        known = None if self.known is None else list(self.known)
        return {"version": _VERSION, **asdict(self), "known": known, "earlier": list(self.earlier)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """:raises MalformedIntentError: if it is not what :meth:`to_json` gave."""
        fields = dict(data)
        if (version := fields.pop("version", None)) != _VERSION:
            raise MalformedIntentError(f"version {version!r}, not {_VERSION}")
        try:
            known, earlier = fields.pop("known"), fields.pop("earlier")
            scope = Scope(**fields.pop("scope"))
            intent = cls(
                **fields,
                scope=scope,
                known=None if known is None else tuple(int(each) for each in known),
                earlier=tuple(int(each) for each in earlier),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedIntentError(str(error)) from None
        for name in ("definition_id", "instance_id"):
            if not isinstance(getattr(intent, name), int | None):
                raise MalformedIntentError(f"{name} is not an integer")
        if not isinstance(intent.kind, str):
            raise MalformedIntentError("kind is not a string")
        return intent


def parameters_digest(text: str | None) -> str:
    """Digest of instance parameters. None and an empty text are equal, and JSON is by its value, whatever its
    spaces and order.
    """
    return _digest(_value(text or ""))


def has_parameters(text: str | None, digest: str) -> bool:
    """Whether a text that the service shows may stand for the parameters of a digest.

    ``GetJobInstance`` may show them as they were sent, as JSON in another form, as a JSON text, with backslashes (as the
    example of its API page), or escaped for a page or an address: a difference in form is no difference.
    """
    return any(_digest(value) == digest for form in _forms(text or "") for value in (form, _value(form)))


def comparable(text: str) -> str | None:
    """Digest of what a text that the service shows stands for, whatever its form; None if that cannot be compared.

    That is so if it begins as JSON does and is none, as one that was cut.
    """
    forms = _forms(text)
    values = [value for form in forms if not isinstance(value := _value(form), str)]
    if values:
        return _digest(values[0])
    if any(form.lstrip()[:1] in ("{", "[", '"') and not _is_json(form) for form in forms):
        return None
    return _digest(text)


def _forms(text: str) -> list[str]:
    """The text, and what it may have been before something escaped it."""
    forms = {text: None}
    for _ in range(_LAYERS):
        for form in list(forms):
            for decode in _DECODINGS:
                with contextlib.suppress(ValueError):
                    forms[decode(form)] = None
    return list(forms)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _from_json_text(text: str) -> str:
    value = _value(text)
    return value if isinstance(value, str) else text


#: How many escapings of a text, one over the other, are undone, and how.
_LAYERS = 2
_DECODINGS: tuple[Callable[[str], str], ...] = (
    _from_json_text,
    lambda text: str(json.loads(f'"{text}"', strict=False)),
    # Only the quotes, as in the example of the API page.
    lambda text: text.replace('\\"', '"'),
    html.unescape,
    unquote,
    unquote_plus,
)


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_float=_number)
    except (ValueError, RecursionError):
        return text


def _number(text: str) -> float | int:
    number = float(text)
    return int(number) if number.is_integer() else number


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
