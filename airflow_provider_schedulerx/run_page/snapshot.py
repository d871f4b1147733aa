"""A run as its page shows it: what is taken of the service's answer, masked, shortened and capped.

How it is stored, and read again, is in :mod:`~airflow_provider_schedulerx.run_page.encoding`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, Self

from airflow_provider_schedulerx.api.models import (
    Edge,
    JobInstance,
    JobInstanceStatus,
    WorkflowInstance,
    WorkflowInstanceNode,
    WorkflowInstanceStatus,
)

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.kinds import Run

MAX_NODES = 500
MAX_EDGES = 2_000

#: Characters. Times are 19, a job's result is at most 1,000 bytes (API page "GetJobInstance").
MAX_NAME, MAX_TIME, MAX_RESULT = 120, 40, 300
#: Masking has to see a whole text, or half a secret could stay. A longer one is not shown at all.
_MAX_TO_MASK = 4_000


#: kind of a run -> the states that it may have.
STATUSES: dict[str, type[WorkflowInstanceStatus] | type[JobInstanceStatus]] = {
    "workflow": WorkflowInstanceStatus,
    "job": JobInstanceStatus,
}


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

    :ivar kind: of what it is a run: ``workflow``, or ``job``, which is its own only node.
    :ivar observed_at: epoch seconds at which ``status`` was observed.
    :ivar nodes_observed_at: epoch seconds at which the nodes were; None if there are none yet. Polls of many runs
        bring no nodes, so these can be older than the run's status.
    :ivar nodes: at most ``MAX_NODES`` of ``nodes_total``.
    :ivar edges: pairs of indexes in ``nodes``: what comes before, what comes after.
    :ivar try_number: of the task that followed it.
    """

    kind: str
    definition_id: int
    instance_id: int
    status: WorkflowInstanceStatus | JobInstanceStatus
    observed_at: float
    nodes_observed_at: float | None = None
    start_time: str | None = None
    end_time: str | None = None
    nodes: tuple[SnapshotNode, ...] = ()
    edges: tuple[tuple[int, int], ...] = ()
    nodes_total: int = 0
    try_number: int | None = None

    @classmethod
    def of(cls, run: Run, now: float, *, mask: Callable[[str], str], try_number: int | None = None) -> Self:
        """Return what is stored of a run of a workflow or of a job.

        :param now: epoch seconds at which it was observed.
        :param mask: replaces secrets in a text.
        :param try_number: of the task that follows it.
        """

        def text(value: str | None, limit: int = MAX_RESULT) -> str | None:
            return _masked(value, limit, mask)

        kind = "job" if isinstance(run, JobInstance) else "workflow"
        nodes = tuple(run.nodes[index] for index in most_telling(run.nodes, MAX_NODES))
        return cls(
            kind=kind,
            definition_id=run.definition_id,
            instance_id=run.instance_id,
            status=STATUSES[kind](run.status.value),
            observed_at=now,
            nodes_observed_at=now if nodes else None,
            start_time=text(run.start_time, MAX_TIME),
            end_time=text(run.end_time, MAX_TIME),
            nodes=tuple(
                SnapshotNode(
                    job_id=node.job_id,
                    status=node.status,
                    name=text(node.job_name, MAX_NAME),
                    retries=node.attempt,
                    start_time=text(node.start_time, MAX_TIME),
                    end_time=text(node.end_time, MAX_TIME),
                    result=text(node.result),
                )
                for node in nodes
            ),
            edges=_by_index(nodes, run.edges if isinstance(run, WorkflowInstance) else ()),
            nodes_total=len(run.nodes),
            try_number=try_number,
        )

    @property
    def job(self) -> SnapshotNode | None:
        """The job instance, if this is a run of a job."""
        return self.nodes[0] if self.kind == "job" and self.nodes else None

    @property
    def is_partial(self) -> bool:
        """Whether it lacks what a list of many runs does not show: the nodes, or the name of the job."""
        return not self.nodes or (self.job is not None and self.job.name is None)

    @property
    def label(self) -> str:
        """What a heading calls it: ``Workflow 101, instance 36508287844``."""
        return f"{self.kind.capitalize()} {self.definition_id}, instance {self.instance_id}"

    def with_nodes_of(self, older: Snapshot | None) -> Snapshot:
        """Return this snapshot with what it lacks (:attr:`is_partial`) and an older one of the same run has."""
        if (
            older is None
            or (older.kind, older.instance_id) != (self.kind, self.instance_id)
            or not older.nodes
        ):
            return self
        if self.job is not None and older.job is not None:
            return replace(self, nodes=(replace(self.job, name=self.job.name or older.job.name),))
        if self.nodes:
            return self
        return replace(
            self,
            nodes=older.nodes,
            edges=older.edges,
            nodes_total=older.nodes_total,
            nodes_observed_at=older.nodes_observed_at,
        )

    def with_so_many_nodes(self, limit: int) -> Snapshot:
        """Return this snapshot with at most so many of its nodes, and the edges between those."""
        if len(self.nodes) <= limit:
            return self
        kept = most_telling(self.nodes, limit)
        new_index = {old: new for new, old in enumerate(kept)}
        return replace(
            self,
            nodes=tuple(self.nodes[index] for index in kept),
            edges=tuple(
                (new_index[source], new_index[target])
                for source, target in self.edges
                if source in new_index and target in new_index
            ),
            nodes_observed_at=self.nodes_observed_at if kept else None,
        )


class _HasStatus(Protocol):
    @property
    def status(self) -> JobInstanceStatus: ...


def most_telling(nodes: Sequence[_HasStatus], limit: int) -> list[int]:
    """Return the indexes of the nodes to keep where not all can be, in their own order.

    Failed nodes come first, since they are why people open the page, and then those that are active.
    """
    if len(nodes) <= limit:
        return list(range(len(nodes)))

    def rank(index: int) -> int:
        status = nodes[index].status
        return (
            0 if status.is_bad else 1 if status.is_active and status is not JobInstanceStatus.WAITING else 2
        )

    return sorted(sorted(range(len(nodes)), key=rank)[:limit])


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
    return cut(storable(mask(text)), limit)


def storable(text: str) -> str:
    """Return a text without what databases or UTF-8 refuse: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "").encode(errors="replace").decode()


def cut(text: str | None, limit: int) -> str | None:
    """Return a text of at most so many characters, with an ellipsis where some are left out; None for none at all."""
    if text is None or not limit:
        return None
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
