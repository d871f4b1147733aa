"""What a series of polls of a run means, in decisions and in words.

Pure: no clock, no network, no Airflow. The operator, the sensor and the trigger all decide by this.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXError,
    SchedulerXNotFoundError,
    SchedulerXThrottledError,
    SchedulerXUnavailableError,
)
from airflow_provider_schedulerx.api.models import JobInstanceStatus, WorkflowInstanceNode

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.kinds import Run, RunStatus

#: Polls in a row that may show a status outside the documented 1..5 before that decides.
MAX_UNKNOWN_STATUS_POLLS = 10
#: Polls in a row that have to fail before a run is given up, whatever time that takes: intervals may be stretched.
MIN_FAILED_POLLS = 3
#: Seconds for which a run may be unknown to the service ("not existed"): a new one may take a moment to show.
SETTLING_SECONDS = 60.0
#: Seconds between lines that say that nothing has changed.
HEARTBEAT_SECONDS = 300.0

_MAX_RESULT = 200


class Verdict(Enum):
    """What to do after a poll."""

    ACTIVE = "active"
    SUCCESS = "success"
    FAILED = "failed"
    #: A status that is not documented, too often: it is neither good nor known to be over.
    UNDECIDED = "undecided"


class RunTracker:
    """Remembers what was seen of one run.

    :param poll_failure_tolerance: seconds for which polls may fail in a row, if the fault is transient.
    :param settling_time: seconds for which the service may say that the run does not exist.
    :ivar is_news: whether the failure observed last is worth a line in the log: a run that does not exist is
        reported once.
    """

    def __init__(self, poll_failure_tolerance: float, settling_time: float = SETTLING_SECONDS) -> None:
        self._tolerance = poll_failure_tolerance
        self._settling_time = settling_time
        self._missing_since: float | None = None
        self.is_news: bool = True
        self._status: RunStatus | None = None
        self._nodes: dict[int, JobInstanceStatus] = {}
        self._seen_nodes: tuple[WorkflowInstanceNode, ...] = ()
        self._unknown_polls = 0
        self._spoke_at = 0.0
        self._failing_since: float | None = None
        self._failed_polls = 0

    def observe(self, run: Run, now: float) -> tuple[Verdict, list[str]]:
        """Take in a poll.

        :param now: seconds of any clock that does not go backwards.
        :return: the verdict, and the lines to log: one for each change, or a sign of life now and then.
        """
        self.observe_answer()
        # A list shows no nodes.
        self._seen_nodes = run.nodes or self._seen_nodes
        lines = []
        own = own_node(run)
        for node in run.nodes if own is None else ():
            if (before := self._nodes.get(node.job_id)) != node.status:
                # A node that only waits says nothing at first sight.
                if before is not None or node.status is not JobInstanceStatus.WAITING:
                    lines.append(f"Node {node.label} is {node.status.name}{_details(node)}")
                self._nodes[node.job_id] = node.status
        if run.status != self._status:
            self._status = run.status
            line = f"{sentence(run.label)} is {run.status.name}{'' if own is None else _details(own)}"
            # In the order of things: a run begins before its nodes and ends after them.
            lines.insert(len(lines) if run.status.is_terminal else 0, line)
        if lines:  # as always at first, since the status is new
            self._spoke_at = now
        elif now - self._spoke_at >= HEARTBEAT_SECONDS:
            self._spoke_at = now
            nodes = self._seen_nodes if own is None else ()
            active = [node.label for node in nodes if node.status is JobInstanceStatus.RUNNING]
            running = f"; running: {', '.join(active)}" if active else ""
            lines.append(f"{sentence(run.label)} is still {run.status.name}{running}")
        self._unknown_polls = 0 if run.status.is_known else self._unknown_polls + 1
        return self._verdict(run), lines

    def observe_answer(self) -> None:
        """Take in that the service answered, whatever it said: failures before are not in a row with later ones."""
        self._failing_since = self._missing_since = None
        self._failed_polls = 0

    def observe_failure(self, error: SchedulerXError, now: float) -> bool:
        """Take in that a poll failed. :attr:`is_news` says whether to log it.

        :return: whether to keep polling. Throttling says something of the quota and nothing of the run, so it never
            ends a wait. Other passing faults do, if several polls in a row have failed and that has lasted longer
            than the tolerance. "Not existed" has a limit of its own, the settling time.
        """
        if isinstance(error, SchedulerXThrottledError):
            self.is_news = True
            return True
        if isinstance(error, SchedulerXNotFoundError):
            self.is_news = self._missing_since is None
            if self._missing_since is None:
                self._missing_since = now
            return now - self._missing_since <= self._settling_time
        self.is_news = True
        if not is_passing(error):
            return False
        if self._failing_since is None:
            self._failing_since = now
        self._failed_polls += 1
        return self._failed_polls < MIN_FAILED_POLLS or now - self._failing_since <= self._tolerance

    def _verdict(self, run: Run) -> Verdict:
        if run.status.is_terminal:
            return Verdict.SUCCESS if run.status.is_success else Verdict.FAILED
        if self._unknown_polls < MAX_UNKNOWN_STATUS_POLLS:
            return Verdict.ACTIVE
        return Verdict.FAILED if has_failed(run) else Verdict.UNDECIDED


def is_passing(error: SchedulerXError) -> bool:
    """Whether a read that failed may succeed later: also "not existed", since a new instance may take a moment to show."""
    return isinstance(error, SchedulerXUnavailableError | SchedulerXThrottledError | SchedulerXNotFoundError)


def is_over(run: Run) -> bool:
    """Whether a run **whose stop was requested** has ended.

    The status of a stopped run is inferred, not documented: it may be FAILED, or a code that nobody has described. Such
    a code counts if its nodes show that none is, or may be, in progress. Of a job there is nothing but its status, and 0 is
    "unknown".
    """
    if run.status.is_known or own_node(run) is not None:
        return run.status.is_terminal
    return bool(run.nodes) and all(
        node.status.is_terminal or node.status is JobInstanceStatus.WAITING for node in run.nodes
    )


def has_failed(run: Run) -> bool:
    """Whether a run has failed for certain: by its status or, where that is not documented, by its nodes.

    A run in which a node has failed and none is in progress does not continue by itself, whatever its status is called.
    """
    if run.status.is_known:
        return run.status.is_terminal and not run.status.is_success
    return is_over(run) and any(node.status.is_bad for node in run.nodes)


def sentence(text: str) -> str:
    """Begin a sentence with a text."""
    return text[:1].upper() + text[1:]


def own_node(run: Run) -> WorkflowInstanceNode | None:
    """The node that is the run itself, as of a job; None if the run consists of nodes."""
    if len(run.nodes) != 1:
        return None
    (node,) = run.nodes
    return node if (node.job_id, node.job_instance_id) == (run.definition_id, run.instance_id) else None


def failure_message(run: Run) -> str:
    """Say that a run failed, and why: each bad node with its result, worker and attempt."""
    head = f"{sentence(run.label)} of {run.definition_label} failed"
    bad = [node for node in run.nodes if node.status.is_bad]
    # One that was skipped, or removed, is no node to run again, but may be all there is to say.
    bad = bad or [node for node in run.nodes if node.status.is_terminal and not node.status.is_success]
    if not bad:
        return f"{head}; the service names no failed node"
    return f"{head}: " + "; ".join(f"{node.label} {node.status.name}{_details(node)}" for node in bad)


def node_table(run: Run) -> str:
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
        for node in run.nodes
    ]
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as plain text in columns, one line each."""
    widths = [max(map(_columns, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell + " " * (width - _columns(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def _columns(text: str) -> int:
    """How wide a terminal shows a text."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


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
