"""What a trigger tells the task that it ends: one event, with a version, checked on both sides."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Self

from airflow_provider_schedulerx.api.models import (
    MalformedAnswerError,
    WorkflowInstance,
    WorkflowInstanceStatus,
)
from airflow_provider_schedulerx.api.runs.tracking import has_failed

log = logging.getLogger(__name__)

#: Of the events made here. Triggerer and workers are upgraded one after the other, so events of other versions are
#: read too: what a version adds can be left out, and what it removes has a default.
VERSION = 1

_KEYS = ("version", "outcome", "workflow_id", "wf_instance_id", "instance", "message")

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
    """:ivar instance: the run, with :attr:`Outcome.ENDED`.
    :ivar message: for people, with the others.
    """

    outcome: Outcome
    workflow_id: int
    wf_instance_id: int
    instance: WorkflowInstance | None = None
    message: str = ""

    def to_payload(self) -> dict[str, Any]:
        """The event as JSON."""
        instance = self.instance
        if instance is not None:
            nodes = instance.nodes
            if len(nodes) > _MAX_NODES:
                # What failed matters most.
                nodes = tuple(sorted(nodes, key=lambda node: not node.status.is_bad)[:_MAX_NODES])
            nodes = tuple(replace(node, result=node.result and node.result[:_MAX_RESULT]) for node in nodes)
            instance = replace(instance, nodes=nodes)
        return {
            "version": VERSION,
            "outcome": self.outcome.value,
            "workflow_id": self.workflow_id,
            "wf_instance_id": self.wf_instance_id,
            "instance": None if instance is None else instance.to_data(),
            "message": self.message,
        }

    @classmethod
    def parse(cls, payload: Any, *, workflow_id: int, wf_instance_id: int) -> Self:
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
        ids = (payload.get("workflow_id"), payload.get("wf_instance_id"))
        if ids != (workflow_id, wf_instance_id):
            raise MalformedEventError(
                f"it is of workflow and instance {ids}, not {(workflow_id, wf_instance_id)}"
            )
        try:
            outcome = Outcome(payload.get("outcome"))
        except ValueError:
            raise MalformedEventError(f"its outcome is {payload.get('outcome')!r}") from None
        message = str(payload.get("message") or "")
        if outcome is not Outcome.ENDED:
            return cls(outcome, workflow_id, wf_instance_id, message=message)
        try:
            instance = WorkflowInstance.parse(workflow_id, wf_instance_id, payload.get("instance") or {})
        except MalformedAnswerError as error:
            raise MalformedEventError(str(error)) from None
        if instance.status is not WorkflowInstanceStatus.SUCCESS and not has_failed(instance):
            raise MalformedEventError(f"it says the run has ended, with status {instance.status.name}")
        return cls(outcome, workflow_id, wf_instance_id, instance, message)
