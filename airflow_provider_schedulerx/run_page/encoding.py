"""How a snapshot is stored: as JSON of at most ``MAX_BYTES``, which is read as untrusted input.

Whoever may edit XComs may store anything in its place, so :func:`decode` checks every value, and either returns a whole
snapshot within the limits or raises :class:`MalformedSnapshotError`, never anything else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from airflow_provider_schedulerx.api.models import JobInstanceStatus
from airflow_provider_schedulerx.run_page.snapshot import (
    MAX_EDGES,
    MAX_NAME,
    MAX_NODES,
    MAX_RESULT,
    MAX_TIME,
    STATUSES,
    Snapshot,
    SnapshotNode,
    cut,
    storable,
)

VERSION = 1
MAX_BYTES = 64 * 1024
_MAX_INT = 2**63 - 1
#: How a snapshot is cut down until it fits ``MAX_BYTES``: characters of a result, of a name, and nodes.
_STEPS = (
    (MAX_RESULT, MAX_NAME, MAX_NODES),
    (80, 60, MAX_NODES),
    (0, 40, MAX_NODES),
    (0, 20, 250),
    (0, 20, 100),
    (0, 0, 0),
)


class MalformedSnapshotError(ValueError):
    """A stored value is not a snapshot of a run."""


def encode(snapshot: Snapshot) -> str:
    """Return the stored form.

    It is a text, as Airflow stores the URLs of extra links, past any custom XCom backend. Such a backend has to cope with
    those when a retry clears its XComs, so it copes with this.
    """
    text = ""
    for max_result, max_name, max_nodes in _STEPS:
        text = json.dumps(_form(snapshot.with_so_many_nodes(max_nodes), max_result, max_name))
        if len(text) <= MAX_BYTES:
            break
    return text


def _form(snapshot: Snapshot, max_result: int, max_name: int) -> dict[str, Any]:
    return {
        "version": VERSION,
        "kind": snapshot.kind,
        "definition_id": snapshot.definition_id,
        "instance_id": snapshot.instance_id,
        "status": int(snapshot.status),
        "observed_at": snapshot.observed_at,
        "nodes_observed_at": snapshot.nodes_observed_at,
        "start": snapshot.start_time,
        "end": snapshot.end_time,
        "try": snapshot.try_number,
        "nodes_total": snapshot.nodes_total,
        "nodes": [_node_form(node, max_result, max_name) for node in snapshot.nodes],
        "edges": snapshot.edges[:MAX_EDGES],
    }


def _node_form(node: SnapshotNode, max_result: int, max_name: int) -> dict[str, Any]:
    data = {
        "job": node.job_id,
        "status": int(node.status),
        "name": cut(node.name, max_name),
        "retries": node.retries or None,
        "start": node.start_time,
        "end": node.end_time,
        # Why a node failed is worth more than what another returned.
        "result": cut(node.result, max(max_result, 80 if node.status.is_bad else 0)),
    }
    return {key: value for key, value in data.items() if value is not None}


def decode(value: object) -> Snapshot:
    """Read what is stored.

    :param value: the text, or the object that it says, which is how an edited XCom may come.
    :raises MalformedSnapshotError: if it is anything but a snapshot.
    """
    if isinstance(value, str):
        value = _loads(value)
    data = _mapping(value, "snapshot")
    if data.get("version") != VERSION:
        raise MalformedSnapshotError(f"version is not {VERSION}")
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in STATUSES:
        raise MalformedSnapshotError(f"kind is none of {', '.join(STATUSES)}")
    edges = _sequence(data, "edges", MAX_EDGES)
    nodes = tuple(_node(node) for node in _sequence(data, "nodes", MAX_NODES))
    return Snapshot(
        kind=kind,
        definition_id=_integer(data, "definition_id"),
        instance_id=_integer(data, "instance_id"),
        status=STATUSES[kind](_integer(data, "status")),
        observed_at=_instant(data, "observed_at") or 0.0,
        nodes_observed_at=_instant(data, "nodes_observed_at"),
        start_time=_text(data, "start", MAX_TIME),
        end_time=_text(data, "end", MAX_TIME),
        nodes=nodes,
        edges=tuple(_edge(edge, len(nodes)) for edge in edges),
        nodes_total=max(len(nodes), _integer(data, "nodes_total")),
        try_number=None if data.get("try") is None else _integer(data, "try"),
    )


def _node(value: object) -> SnapshotNode:
    data = _mapping(value, "a node")
    return SnapshotNode(
        job_id=_integer(data, "job"),
        status=JobInstanceStatus(_integer(data, "status")),
        name=_text(data, "name", MAX_NAME),
        retries=_integer(data, "retries") if "retries" in data else None,
        start_time=_text(data, "start", MAX_TIME),
        end_time=_text(data, "end", MAX_TIME),
        result=_text(data, "result", MAX_RESULT),
    )


def _edge(value: object, count: int) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise MalformedSnapshotError("an edge is not a pair")
    source, target = value
    for end in (source, target):
        if not isinstance(end, int) or isinstance(end, bool) or not 0 <= end < count:
            raise MalformedSnapshotError("an edge joins what is not a node")
    return source, target


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
        raise MalformedSnapshotError(f"{key} is not a string")
    return cut(storable(value[: limit + 1]), limit)
