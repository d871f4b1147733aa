"""All runs that there were, by what they are runs of, by their ids and by those of their nodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Protocol

from airflow_provider_schedulerx.emulator.definitions import Key
from airflow_provider_schedulerx.emulator.instances import InstanceRun, NodeRun

#: Ids of instances begin here: beyond 32 bits, as in the service's documentation.
FIRST_ID = 36_508_287_844


class Store(Protocol):
    def load(self) -> Iterable[InstanceRun]: ...

    def save(self, runs: Iterable[InstanceRun]) -> None: ...

    def clear(self) -> None: ...


class Registry:
    """:param store: keeps each run that changed, before anyone sees the change; None keeps nothing.
    :ivar by_id: all runs.
    """

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self.by_id: dict[int, InstanceRun] = {
            run.wf_instance_id: run for run in (store.load() if store else ())
        }
        self._of: dict[Key, list[InstanceRun]] = defaultdict(list)
        self._nodes: dict[int, tuple[InstanceRun, NodeRun]] = {}
        self._last_id = FIRST_ID
        for run in self.by_id.values():
            self._of[run.key].append(run)
            self._last_id = max(self._last_id, run.wf_instance_id)
            for node in run.nodes.values():
                if node.job_instance_id is not None:
                    self._nodes[node.job_instance_id] = (run, node)
                    self._last_id = max(self._last_id, node.job_instance_id)

    def of(self, key: Key) -> list[InstanceRun]:
        """The runs of a workflow or a job, oldest first."""
        return self._of[key]

    def counts(self, kind: str) -> dict[int, int]:
        """How many runs there were of each workflow, or of each job, that had any."""
        return {number: len(runs) for (of, number), runs in self._of.items() if of == kind and runs}

    def node(self, job_instance_id: int) -> tuple[InstanceRun, NodeRun] | None:
        """The node that has an id, with its run."""
        return self._nodes.get(job_instance_id)

    def log(self, group: str, job_id: int | None, job_instance_id: int | None) -> list[tuple[float, str]]:
        """Lines of the nodes of a group, or of one job or job instance; oldest first."""
        return sorted(
            line
            for found_id, (run, node) in self._nodes.items()
            if (node.definition.group or run.group) == group
            and job_id in (None, node.job_id)
            and job_instance_id in (None, found_id)
            for line in node.log
        )

    def new_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def add(self, run: InstanceRun) -> None:
        """Take in a run, and give its nodes their ids."""
        for node in run.nodes.values():
            self.give_id(run, node)
        self.by_id[run.wf_instance_id] = run
        self._of[run.key].append(run)

    def remove(self, run: InstanceRun) -> None:
        """Forget a run."""
        del self.by_id[run.wf_instance_id]
        self._of[run.key].remove(run)

    def give_id(self, run: InstanceRun, node: NodeRun) -> None:
        """Give a node its id, or another one: then that of before is nobody's any more."""
        self._nodes.pop(node.job_instance_id or 0, None)
        node.job_instance_id = run.wf_instance_id if run.job_id else self.new_id()
        self._nodes[node.job_instance_id] = (run, node)

    def save(self, runs: Iterable[InstanceRun]) -> None:
        """Keep what changed."""
        if self._store is not None:
            self._store.save(runs)

    def clear(self) -> None:
        """Forget all runs. Ids are not given again."""
        for kept in (self.by_id, self._of, self._nodes):
            kept.clear()
        if self._store is not None:
            self._store.clear()
