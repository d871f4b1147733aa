"""A run and its nodes as the emulator keeps them, and what happens to them as time goes by.

Every node knows when it starts and ends, so nothing here reads a clock.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from airflow_provider_schedulerx.emulator.definitions import Key, Node

# Statuses of workflow and job instances share these numbers.
WAITING, READY, RUNNING, SUCCESS, FAILED = 1, 2, 3, 4, 5
#: Of a job instance that can be retried (API page of RetryJobInstance: successful or failed ones).
_RETRIABLE = (SUCCESS, FAILED, 6, 9, 11)


@dataclass
class NodeRun:
    """:ivar log: (epoch seconds, line), some perhaps in the future."""

    definition: Node
    status: int = WAITING
    job_instance_id: int | None = None
    attempt: int = 0
    starts: float | None = None
    ends: float | None = None
    result: str = ""
    log: list[tuple[float, str]] = field(default_factory=list)

    @property
    def job_id(self) -> int:
        return self.definition.job_id

    @property
    def is_retriable(self) -> bool:
        return self.status in _RETRIABLE

    @property
    def next_event(self) -> float | None:
        return {READY: self.starts, RUNNING: self.ends}.get(self.status)

    def schedule(self, at: float) -> None:
        self.status, self.starts, self.ends, self.result = READY, at, None, ""

    def start(self, at: float, speed: float) -> None:
        self.status = RUNNING
        self.ends = at + self.definition.duration / speed
        self.log += _log(self.definition, self.attempt, at, self.ends)

    def end(self) -> None:
        definition = self.definition
        self.status = definition.outcome(self.attempt)
        succeeded = self.status == SUCCESS
        self.result = definition.result if succeeded or definition.result else "failed"
        # A text about a failure is not what the node says once a retry has succeeded.
        if succeeded and definition.outcome(0) != SUCCESS:
            self.result = ""


@dataclass
class InstanceRun:
    """A run, with the definitions that it began with: a file that is edited later does not change it.

    :ivar wf_instance_id: its id; of a job's run, that of the job instance.
    :ivar workflow_id: 0 for a job's run.
    :ivar group: application group of the nodes that name none.
    :ivar schedule_time: ``ScheduleTime``; None where the service gives none.
    :ivar data_time: ``DataTime``, likewise.
    :ivar is_scheduled: whether the workflow's own schedule has started it.
    :ivar stopped: whether a node was stopped since the run began, or since it was last retried.
    :ivar job_id: of the job that runs by itself; 0 for a workflow's run.
    :ivar worker: what has to run it; empty for any.
    """

    wf_instance_id: int
    workflow_id: int
    group: str
    parameters: str | None
    created: float
    status: int = WAITING
    started: float | None = None
    ended: float | None = None
    schedule_time: float | None = None
    data_time: float | None = None
    is_scheduled: bool = False
    stopped: bool = False
    nodes: dict[int, NodeRun] = field(default_factory=dict)
    job_id: int = 0
    worker: str = ""

    @property
    def key(self) -> Key:
        return ("job", self.job_id) if self.job_id else ("workflow", self.workflow_id)

    @property
    def is_active(self) -> bool:
        return self.status in (WAITING, READY, RUNNING)

    def begin(self, at: float, preparing: float) -> None:
        """:param preparing: seconds until its first nodes start."""
        self.status, self.started = READY, at
        for node in self.nodes.values():
            if not node.definition.after:
                node.schedule(at + preparing)

    def advance(self, node: NodeRun, at: float, *, speed: float, stopped_state: int) -> None:
        """Let a node start or end, whichever comes next.

        :param stopped_state: status of a workflow's run of which a node was stopped.
        """
        if node.status == READY:
            node.start(at, speed)
            self.status = RUNNING
        else:
            node.end()
            self.settle(at, stopped_state)

    def settle(self, at: float, stopped_state: int) -> None:
        """After a node has ended: start what it allows, and end the run if nothing goes on."""
        for node in self.nodes.values():
            if node.status == WAITING and all(
                self.nodes[before].status == SUCCESS for before in node.definition.after
            ):
                node.schedule(at)
        if any(node.status in (READY, RUNNING) for node in self.nodes.values()):
            return
        self.ended = at
        if self.job_id:
            self.status = self.nodes[self.job_id].status
            return
        good = all(node.status == SUCCESS for node in self.nodes.values())
        self.status = stopped_state if self.stopped else SUCCESS if good else FAILED

    def to_json(self) -> dict[str, Any]:
        nodes = [{"job_id": node.job_id, **asdict(node)} for node in self.nodes.values()]
        return {**asdict(replace(self, nodes={})), "nodes": nodes}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> InstanceRun:
        nodes = [
            NodeRun(
                **{
                    **{name: value for name, value in node.items() if name != "job_id"},
                    "definition": Node.from_json(node["definition"]),
                    "log": [tuple(line) for line in node["log"]],
                }
            )
            for node in data["nodes"]
        ]
        return cls(**{**data, "nodes": {node.job_id: node for node in nodes}})


def _log(node: Node, attempt: int, start: float, end: float) -> list[tuple[float, str]]:
    step = (end - start) / (node.log_lines + 1)
    lines = [(start, f"{node.name}: attempt {attempt} starts")]
    lines += [
        (start + step * (index + 1), f"{node.name}: step {index + 1} of {node.log_lines}")
        for index in range(node.log_lines)
    ]
    succeeds = node.outcome(attempt) == SUCCESS
    lines.append((end, f"{node.name}: done" if succeeds else f"{node.name}: ERROR {node.result or 'failed'}"))
    return lines
