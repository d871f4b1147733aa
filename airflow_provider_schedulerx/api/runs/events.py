"""What a trigger tells the task that it ends: one event, with a version, checked on both sides."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from typing import Any, Self

from airflow_provider_schedulerx.api.models import MalformedAnswerError
from airflow_provider_schedulerx.api.runs.kinds import Run, RunKind
from airflow_provider_schedulerx.api.runs.tracking import has_failed

log: logging.Logger = logging.getLogger(__name__)

#: Of the events made here. Triggerer and workers are upgraded one after the other, so events of other versions are
#: read too: what a version adds can be left out, and what it removes has a default.
VERSION = 1

_KEYS = ("version", "outcome", "definition_id", "instance_id", "run", "message")

# An event is a row of Airflow's database, so a run's nodes and their texts are kept within reason.
_MAX_NODES = 500
_MAX_RESULT = 1000


class Outcome(Enum):
    """How a wait ended."""

    #: The run has ended; whether it is good is for its status to say.
    ENDED = "ended"
    #: The deadline passed, and the last poll found it still active.
    TIMEOUT = "timeout"
    #: The run can no longer be followed, and may be active.
    UNDECIDED = "undecided"


class MalformedEventError(ValueError):
    """An event is not one of ours, or not for this run."""


@dataclass(frozen=True)
class TerminalEvent:
    """:ivar run: how the run was at its end, with :attr:`Outcome.ENDED`.
    :ivar message: for people, with the others.
    """

    outcome: Outcome
    definition_id: int
    instance_id: int
    run: Run | None = None
    message: str = ""

    def to_payload(self) -> dict[str, Any]:
        """The event as JSON."""
        return {
            "version": VERSION,
            "outcome": self.outcome.value,
            "definition_id": self.definition_id,
            "instance_id": self.instance_id,
            "run": None if self.run is None else self.run.abridged(_MAX_NODES, _MAX_RESULT).to_data(),
            "message": self.message,
        }

    @classmethod
    def parse(cls, payload: Any, kind: RunKind, *, definition_id: int, instance_id: int) -> Self:
        """Take in an event for a run.

        :raises MalformedEventError: if it is missing, unknown, of another run, or says a run has ended
            that has not.
        """
        if not isinstance(payload, dict):
            raise MalformedEventError(f"there is no event, but {type(payload).__name__}")
        version = payload.get("version")
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise MalformedEventError(f"its version is {version!r}, not a number from 1 to {VERSION}")
        if unknown := sorted(map(str, payload.keys() - set(_KEYS))):
            log.warning(
                "The trigger's event, of version %s, has fields that version %s does not know and ignores: %s",
                version,
                VERSION,
                ", ".join(unknown),
            )
        ids = (payload.get("definition_id"), payload.get("instance_id"))
        if ids != (definition_id, instance_id):
            raise MalformedEventError(
                f"it is of {kind.definition_noun} and instance {ids}, not {(definition_id, instance_id)}"
            )
        try:
            outcome = Outcome(payload.get("outcome"))
        except ValueError:
            raise MalformedEventError(f"its outcome is {payload.get('outcome')!r}") from None
        message = str(payload.get("message") or "")
        if outcome is not Outcome.ENDED:
            return cls(outcome, definition_id, instance_id, message=message)
        try:
            run = kind.from_data(definition_id, instance_id, payload.get("run") or {})
        except MalformedAnswerError as error:
            raise MalformedEventError(str(error)) from None
        if not run.status.is_success and not has_failed(run):
            raise MalformedEventError(f"it says the run has ended, with status {run.status.name}")
        return cls(outcome, definition_id, instance_id, run, message)
