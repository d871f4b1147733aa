"""What a series of looks at a workflow instance means, in decisions and in words.

Pure: no clock, no network, no Airflow. The operator, the sensor and the trigger all decide by this.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum

from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXError,
    SchedulerXNotFoundError,
    SchedulerXThrottledError,
    SchedulerXUnavailableError,
)
from airflow_provider_schedulerx.api.models import (
    JobInstanceStatus,
    WorkflowInstance,
    WorkflowInstanceNode,
    WorkflowInstanceStatus,
)

#: Looks in a row that may show a status outside the documented 1..5 before it is an error.
MAX_UNKNOWN_STATUS_POLLS = 10
#: Polls in a row that have to fail before a run is given up, whatever time that takes: intervals may be stretched.
MIN_FAILED_POLLS = 3
#: Seconds between lines that say that nothing has changed.
HEARTBEAT_SECONDS = 300.0

_MAX_RESULT = 200


class Verdict(Enum):
    """What to do after a look."""

    ACTIVE = "active"
    SUCCESS = "success"
    FAILED = "failed"
    #: A status that is not documented, too often: it is neither good nor known to be over.
    UNDECIDED = "undecided"


class RunTracker:
    """Remembers what was seen of one workflow instance.

    :param poll_failure_tolerance: seconds for which polls may fail in a row, if the fault is a passing one.
    """

    def __init__(self, poll_failure_tolerance: float) -> None:
        self._tolerance = poll_failure_tolerance
        self._status: WorkflowInstanceStatus | None = None
        self._nodes: dict[int, JobInstanceStatus] = {}
        self._unknown_polls = 0
        self._spoke_at: float | None = None
        self._failing_since: float | None = None
        self._failed_polls = 0

    def observe(self, instance: WorkflowInstance, now: float) -> tuple[Verdict, list[str]]:
        """Take in a look.

        :param now: seconds of any clock that does not go backwards.
        :return: the verdict, and the lines to log: one for each change, or a sign of life now and then.
        """
        self._failing_since = None
        self._failed_polls = 0
        lines = []
        for node in instance.nodes:
            if (before := self._nodes.get(node.job_id)) != node.status:
                # A node that only waits says nothing at first sight.
                if before is not None or node.status is not JobInstanceStatus.WAITING:
                    lines.append(f"Node {node.label} is {node.status.name}{_details(node)}")
                self._nodes[node.job_id] = node.status
        if instance.status != self._status:
            self._status = instance.status
            line = f"Workflow instance {instance.wf_instance_id} is {instance.status.name}"
            # In the order of things: a run begins before its nodes and ends after them.
            lines.insert(len(lines) if instance.status.is_terminal else 0, line)
        if lines or self._spoke_at is None:
            self._spoke_at = now
        elif now - self._spoke_at >= HEARTBEAT_SECONDS:
            self._spoke_at = now
            active = [node.label for node in instance.nodes if node.status is JobInstanceStatus.RUNNING]
            running = f"; running: {', '.join(active)}" if active else ""
            lines.append(
                f"Workflow instance {instance.wf_instance_id} is still {instance.status.name}{running}"
            )
        self._unknown_polls = 0 if instance.status.is_known else self._unknown_polls + 1
        return self._verdict(instance.status), lines

    def observe_failure(self, error: SchedulerXError, now: float) -> bool:
        """Take in that a poll failed.

        :return: whether to go on. Throttling says something of the quota and nothing of the run, so it never ends a
            wait. Other passing faults do, if several polls in a row have failed and that has lasted longer than the
            tolerance. "Not found" counts as passing, because a new instance may take a moment to show.
        """
        if isinstance(error, SchedulerXThrottledError):
            return True
        if not is_passing(error):
            return False
        if self._failing_since is None:
            self._failing_since = now
        self._failed_polls += 1
        return self._failed_polls < MIN_FAILED_POLLS or now - self._failing_since <= self._tolerance

    def _verdict(self, status: WorkflowInstanceStatus) -> Verdict:
        if status is WorkflowInstanceStatus.SUCCESS:
            return Verdict.SUCCESS
        if status is WorkflowInstanceStatus.FAILED:
            return Verdict.FAILED
        return Verdict.UNDECIDED if self._unknown_polls >= MAX_UNKNOWN_STATUS_POLLS else Verdict.ACTIVE


def is_passing(error: SchedulerXError) -> bool:
    """Whether a look that failed may succeed later: also "not found", since a new instance may take a moment to show."""
    return isinstance(error, SchedulerXUnavailableError | SchedulerXThrottledError | SchedulerXNotFoundError)


def failure_message(instance: WorkflowInstance) -> str:
    """Say that an instance failed, and why: each bad node with its result, worker and attempt."""
    head = f"Workflow instance {instance.wf_instance_id} of workflow {instance.workflow_id} failed"
    bad = [node for node in instance.nodes if node.status.is_bad]
    if not bad:
        return f"{head}; the service names no failed node"
    return f"{head}: " + "; ".join(f"{node.label} {node.status.name}{_details(node)}" for node in bad)


def node_table(instance: WorkflowInstance) -> str:
    """A table of the nodes in plain text, one line each."""
    rows = [("NODE", "STATE", "ATTEMPT", "START", "DURATION", "WORKER", "RESULT")]
    rows += [
        (
            node.label,
            node.status.name,
            "" if node.attempt is None else str(node.attempt),
            node.start_time or "",
            _duration(node.start_time, node.end_time),
            node.work_addr or "",
            _shown(node.result),
        )
        for node in instance.nodes
    ]
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as plain text in columns, one line each."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _details(node: WorkflowInstanceNode) -> str:
    facts = []
    if node.status.is_bad and node.result:
        facts.append(f"result: {_shown(node.result)}")
    if node.work_addr:
        facts.append(f"worker: {node.work_addr}")
    if node.attempt is not None and (node.attempt > 0 or node.status.is_bad):
        facts.append(f"attempt: {node.attempt}")
    return f" ({', '.join(facts)})" if facts else ""


def _shown(result: str | None) -> str:
    text = " ".join((result or "").split())
    return text if len(text) <= _MAX_RESULT else f"{text[: _MAX_RESULT - 3]}..."


def _duration(start: str | None, end: str | None) -> str:
    """The time between two of the service's texts, which are at least in the same zone."""
    try:
        delta = datetime.fromisoformat(end or "") - datetime.fromisoformat(start or "")
    except (ValueError, TypeError):
        return ""
    return str(delta)
