"""What a task writes down before it starts a run, so that whoever comes after it knows what to look for.

``ExecuteWorkflow`` has no idempotency token. A :class:`StartIntent` takes its place: written before the
request, it says which runs there were already, and how to tell the one that the request may have started.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from airflow_provider_schedulerx.api.connection.settings import Scope

#: Runs that an intent remembers: more than the 300 that the Professional edition keeps for a workflow.
MAX_KNOWN = 500

_VERSION = 1


class MalformedIntentError(ValueError):
    """What is stored is not an intent of ours, or of a later version."""


@dataclass(frozen=True, slots=True)
class StartIntent:
    """A start that is about to be made, or was made. Holds ids and digests only, no secret and no parameter.

    :ivar attempt: random id of this start.
    :ivar workflow_id: the workflow.
    :ivar scope: digest of region, namespace, its source, group and workflow.
    :ivar parameters: digest of the instance parameters, see :func:`parameters_digest`.
    :ivar known: ids of the runs that ``ListWorkflowInstance`` showed just before, newest first; None if it is
        not allowed to list them.
    :ivar marker: text that the instance parameters carry for this start alone, or None.
    :ivar wf_instance_id: the run, once it is known.
    :ivar is_own: False if the run was not started by the task, but was there and taken over.
    """

    attempt: str
    workflow_id: int
    scope: str
    parameters: str
    known: tuple[int, ...] | None = None
    marker: str | None = None
    wf_instance_id: int | None = None
    is_own: bool = True

    def to_json(self) -> dict[str, Any]:
        known = None if self.known is None else list(self.known)
        return {"version": _VERSION, **asdict(self), "known": known}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """:raises MalformedIntentError: if it is not what :meth:`to_json` gave."""
        fields = dict(data)
        if (version := fields.pop("version", None)) != _VERSION:
            raise MalformedIntentError(f"version {version!r}, not {_VERSION}")
        try:
            known = fields.pop("known")
            intent = cls(**fields, known=None if known is None else tuple(int(each) for each in known))
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedIntentError(str(error)) from None
        if intent.wf_instance_id is not None and not isinstance(intent.wf_instance_id, int):
            raise MalformedIntentError("wf_instance_id is not an integer")
        return intent


def scope_digest(scope: Scope, workflow_id: int) -> str:
    """Digest of what a workflow is looked up by: two equal ones mean the same workflow."""
    return _digest([scope.region_id, scope.namespace, scope.namespace_source, scope.group_id, workflow_id])


def parameters_digest(text: str | None) -> str:
    """Digest of instance parameters. None and an empty text are equal, and JSON is by its value, whatever its
    spaces and order.
    """
    try:
        value = json.loads(text or '""')
    except ValueError:
        value = text
    return _digest(value)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
