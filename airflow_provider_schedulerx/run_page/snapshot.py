"""What is stored of a run for its page: small, without secrets, and read as untrusted input.

Whoever may edit XComs may store anything in its place, so :meth:`Snapshot.parse` checks every value, and either
returns a whole snapshot within the limits below or raises :class:`MalformedSnapshotError`, never anything else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from airflow_provider_schedulerx.api.models import (
    Edge,
    JobInstanceStatus,
    WorkflowInstance,
    WorkflowInstanceNode,
    WorkflowInstanceStatus,
)

VERSION = 1
MAX_NODES = 500
MAX_EDGES = 2_000
MAX_BYTES = 64 * 1024

#: Characters. Times are 19, a job's result is at most 1,000 bytes (API page "GetJobInstance").
_MAX_NAME, _MAX_TIME, _MAX_RESULT = 120, 40, 300
#: Masking has to see a whole text, or half a secret could stay. A longer one is not shown at all.
_MAX_TO_MASK = 20_000
_MAX_INT = 2**63 - 1
#: How the snapshot is cut down until it fits ``MAX_BYTES``: characters of a result, of a name, and nodes.
_STEPS = (
    (_MAX_RESULT, _MAX_NAME, MAX_NODES),
    (80, 60, MAX_NODES),
    (0, 40, MAX_NODES),
    (0, 20, 250),
    (0, 20, 100),
)


class MalformedSnapshotError(ValueError):
    """A stored value is not a snapshot of a run."""


@dataclass(frozen=True, slots=True)
class SnapshotNode:
    """A node as it was last observed. Texts are masked and shortened."""

    job_id: int
    status: JobInstanceStatus
    name: str | None = None
    retries: int | None = None
    start_time: str | None = None
    end_time: str | None = None
    result: str | None = None

    @property
    def label(self) -> str:
        return self.name or f"job {self.job_id}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run as it was last observed.

    :ivar observed_at: epoch seconds at which ``status`` was observed.
    :ivar nodes_observed_at: epoch seconds at which the nodes were; None if there are none yet. Polls of many runs
        bring no nodes, so these can be older than the run's status.
    :ivar nodes: at most ``MAX_NODES`` of ``nodes_total``.
    :ivar edges: pairs of indexes in ``nodes``: what comes before, what comes after.
    """

    workflow_id: int
    wf_instance_id: int
    status: WorkflowInstanceStatus
    observed_at: float
    nodes_observed_at: float | None = None
    start_time: str | None = None
    end_time: str | None = None
    nodes: tuple[SnapshotNode, ...] = ()
    edges: tuple[tuple[int, int], ...] = ()
    nodes_total: int = 0

    @classmethod
    def of(cls, instance: WorkflowInstance, now: float, *, mask: Callable[[str], str]) -> Self:
        """Return what is stored of an instance.

        :param now: epoch seconds at which it was observed.
        :param mask: replaces secrets in a text.
        """

        def text(value: str | None, limit: int = _MAX_RESULT) -> str | None:
            return _masked(value, limit, mask)

        nodes = instance.nodes[:MAX_NODES]
        return cls(
            workflow_id=instance.workflow_id,
            wf_instance_id=instance.wf_instance_id,
            status=instance.status,
            observed_at=now,
            nodes_observed_at=now if nodes else None,
            start_time=text(instance.start_time, _MAX_TIME),
            end_time=text(instance.end_time, _MAX_TIME),
            nodes=tuple(
                SnapshotNode(
                    job_id=node.job_id,
                    status=node.status,
                    name=text(node.job_name, _MAX_NAME),
                    retries=node.attempt,
                    start_time=text(node.start_time, _MAX_TIME),
                    end_time=text(node.end_time, _MAX_TIME),
                    result=text(node.result),
                )
                for node in nodes
            ),
            edges=_by_index(nodes, instance.edges),
            nodes_total=len(instance.nodes),
        )

    def with_nodes_of(self, older: Snapshot | None) -> Snapshot:
        """Return this snapshot with the nodes of an older one, if it has none itself and both are of one run."""
        if self.nodes or older is None or not older.nodes or older.wf_instance_id != self.wf_instance_id:
            return self
        return replace(
            self,
            nodes=older.nodes,
            edges=older.edges,
            nodes_total=older.nodes_total,
            nodes_observed_at=older.nodes_observed_at,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the stored form: plain JSON of at most ``MAX_BYTES``."""
        for max_result, max_name, max_nodes in _STEPS:
            data = self._to_json(max_result, max_name, max_nodes)
            if len(json.dumps(data)) <= MAX_BYTES:
                return data
        return replace(self, nodes=(), edges=(), nodes_observed_at=None)._to_json(0, 0, 0)

    def _to_json(self, max_result: int, max_name: int, max_nodes: int) -> dict[str, Any]:
        nodes = self.nodes[:max_nodes]
        return {
            "version": VERSION,
            "workflow_id": self.workflow_id,
            "wf_instance_id": self.wf_instance_id,
            "status": int(self.status),
            "observed_at": self.observed_at,
            "nodes_observed_at": self.nodes_observed_at,
            "start": self.start_time,
            "end": self.end_time,
            "nodes_total": self.nodes_total,
            "nodes": [
                _without_nones(
                    {
                        "job": node.job_id,
                        "status": int(node.status),
                        "name": _cut(node.name, max_name),
                        "retries": node.retries or None,
                        "start": node.start_time,
                        "end": node.end_time,
                        # Why a node failed is worth more than what another returned.
                        "result": _cut(node.result, max(max_result, 80 if node.status.is_bad else 0)),
                    }
                )
                for node in nodes
            ],
            "edges": [list(edge) for edge in self.edges if max(edge) < len(nodes)][:MAX_EDGES],
        }

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read what is stored.

        :param value: JSON as Airflow stores it: an object, or its text, which is how an edited XCom comes.
        :raises MalformedSnapshotError: if it is anything but a snapshot.
        """
        if isinstance(value, str):
            value = _loads(value)
        data = _mapping(value, "snapshot")
        if data.get("version") != VERSION:
            raise MalformedSnapshotError(f"version is not {VERSION}")
        nodes = _sequence(data, "nodes", MAX_NODES)
        edges = _sequence(data, "edges", MAX_EDGES)
        parsed = tuple(_parse_node(node) for node in nodes)
        return cls(
            workflow_id=_integer(data, "workflow_id"),
            wf_instance_id=_integer(data, "wf_instance_id"),
            status=WorkflowInstanceStatus(_integer(data, "status")),
            observed_at=_instant(data, "observed_at") or 0.0,
            nodes_observed_at=_instant(data, "nodes_observed_at"),
            start_time=_text(data, "start", _MAX_TIME),
            end_time=_text(data, "end", _MAX_TIME),
            nodes=parsed,
            edges=tuple(_parse_edge(edge, len(parsed)) for edge in edges),
            nodes_total=max(len(parsed), _integer(data, "nodes_total")),
        )


def _by_index(
    nodes: tuple[WorkflowInstanceNode, ...], edges: tuple[Edge, ...]
) -> tuple[tuple[int, int], ...]:
    """Return the edges as pairs of indexes.

    In the documentation's example they join job *instance* ids, and 0 is the root. Whether a waiting node has one is
    not documented, nor whether every edition means the same, so the kind of id that matches more ends is taken.
    """
    ends = {end for edge in edges for end in (edge.source, edge.target)} - {0}
    kinds: tuple[dict[int | None, int], ...] = (
        {node.job_instance_id: index for index, node in enumerate(nodes) if node.job_instance_id is not None},
        {node.job_id: index for index, node in enumerate(nodes)},
    )
    index_of = max(kinds, key=lambda kind: len(ends & kind.keys()))
    pairs = ((index_of.get(edge.source), index_of.get(edge.target)) for edge in edges)
    found = ((source, target) for source, target in pairs if source is not None and target is not None)
    return tuple(dict.fromkeys(found))[:MAX_EDGES]


def _masked(text: str | None, limit: int, mask: Callable[[str], str]) -> str | None:
    if text is None:
        return None
    if len(text) > _MAX_TO_MASK:
        return f"(not shown: {len(text):,} characters)"
    return _cut(_storable(mask(text)), limit)


def _storable(text: str) -> str:
    """Return a text without what databases or UTF-8 refuse: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "").encode(errors="replace").decode()


def _cut(text: str | None, limit: int) -> str | None:
    if text is None or not limit:
        return None
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _without_nones(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}


def _loads(text: str) -> object:
    # Twice what is ever written: an editor may have indented it.
    if len(text) > 2 * MAX_BYTES:
        raise MalformedSnapshotError("the snapshot is too long")
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedSnapshotError("the snapshot is not JSON") from None
    return value


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise MalformedSnapshotError(f"{name} is not an object")
    return value


def _sequence(data: Mapping[str, Any], key: str, limit: int) -> list[Any]:
    value = data.get(key)
    if not isinstance(value, list) or len(value) > limit:
        raise MalformedSnapshotError(f"{key} is not a list of at most {limit}")
    return value


def _integer(data: Mapping[str, Any], key: str) -> int:
    value = data.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _MAX_INT:
        raise MalformedSnapshotError(f"{key} is not a whole number")
    return value


def _instant(data: Mapping[str, Any], key: str) -> float | None:
    value = data.get(key)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1e11:
        raise MalformedSnapshotError(f"{key} is not a time")
    return float(value) if math.isfinite(value) else None


def _text(data: Mapping[str, Any], key: str, limit: int) -> str | None:
    value = data.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise MalformedSnapshotError(f"{key} is not a text")
    return _cut(_storable(value[: limit + 1]), limit)


def _parse_node(value: object) -> SnapshotNode:
    data = _mapping(value, "a node")
    return SnapshotNode(
        job_id=_integer(data, "job"),
        status=JobInstanceStatus(_integer(data, "status")),
        name=_text(data, "name", _MAX_NAME),
        retries=_integer(data, "retries") if "retries" in data else None,
        start_time=_text(data, "start", _MAX_TIME),
        end_time=_text(data, "end", _MAX_TIME),
        result=_text(data, "result", _MAX_RESULT),
    )


def _parse_edge(value: object, count: int) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise MalformedSnapshotError("an edge is not a pair")
    source, target = value
    for end in (source, target):
        if not isinstance(end, int) or isinstance(end, bool) or not 0 <= end < count:
            raise MalformedSnapshotError("an edge joins what is not a node")
    return source, target
