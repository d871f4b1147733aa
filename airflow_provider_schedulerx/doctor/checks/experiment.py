"""The runs that are started here, and how they and the list of runs are looked at."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_schedulerx.api.models import (
    JobInstanceStatus,
    WorkflowInstance,
    WorkflowInstanceStatus,
)
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.doctor.checks import runs
from airflow_provider_schedulerx.doctor.session import Session

#: Seconds between looks.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0


@dataclass
class StartedRun:
    """A run that was started here.

    :ivar sent_at: when its start was asked for, of our monotonic clock.
    :ivar served_at: ``Date`` of the answer, epoch seconds.
    :ivar seen: as it was seen last.
    :ivar absent_at: when it was last missing from the list; None if it never was.
    :ivar listed_at: when it was first in the list.
    :ivar was_listed_waiting: whether it waited for its turn then.
    :ivar is_hidden: whether it waited and was missing from the list for longer than others are.
    """

    wf_instance_id: int
    sent_at: float
    served_at: float | None
    seen: WorkflowInstance | None = None
    absent_at: float | None = None
    listed_at: float | None = None
    was_listed_waiting: bool = False
    is_hidden: bool = False

    @property
    def is_over(self) -> bool:
        return self.seen is not None and not self.seen.status.is_active

    @property
    def is_waiting(self) -> bool:
        return self.seen is not None and self.seen.status is WorkflowInstanceStatus.WAITING

    @property
    def has_running_node(self) -> bool:
        return self.seen is not None and any(
            node.status is JobInstanceStatus.RUNNING and node.job_instance_id is not None
            for node in self.seen.nodes
        )

    @property
    def state(self) -> str:
        if self.seen is None:
            return "not seen"
        status = self.seen.status
        return status.name if status.is_known else f"status {int(status)}"


@dataclass
class Experiment:
    """What an experiment with runs of one workflow knows.

    :ivar parameters: of every run; None for none.
    :ivar marker: a text that is in them.
    :ivar limit: MaxConcurrency, if it is known.
    :ivar before: ids in the list before the first start, in its order.
    :ivar active_before: those of them that were active.
    :ivar runs: those that were started, in their order.
    :ivar listed: ids in the list as it was seen last.
    """

    session: Session
    workflow_id: int
    parameters: str | None
    marker: str | None
    limit: int | None
    before: list[int] = field(default_factory=list)
    active_before: set[int] = field(default_factory=set)
    runs: list[StartedRun] = field(default_factory=list)
    listed: list[int] = field(default_factory=list)

    @property
    def known(self) -> set[int]:
        """Ids that are not new."""
        return {*self.before, *(run.wf_instance_id for run in self.runs)}

    def pause(self, seconds: float = FIRST_PAUSE) -> None:
        self.session.sleep(max(0.0, seconds))

    def look(self, run: StartedRun) -> bool:
        """Look at a run.

        :return: whether that was possible.
        """
        reply = self.session.ask(
            calls.get_workflow_instance(self.session.scope, self.workflow_id, run.wf_instance_id)
        )
        if reply.value is None:
            return False
        run.seen = reply.value
        return True

    def list_runs(self) -> Mapping[int, bool] | None:
        """List runs.

        :return: whether each is active, by id and in no certain order; None if that was not possible.
        """
        reply = self.session.ask(calls.list_workflow_instances(self.session.scope, self.workflow_id))
        if reply.value is None:
            return None
        # As the service orders them: the call sorts.
        self.session.runs = [
            each for each in reply.data.get("WfInstanceInfos") or [] if isinstance(each, dict)
        ]
        self.listed = [each.wf_instance_id for each in reply.value]
        return {each.wf_instance_id: each.status.is_active for each in reply.value}

    def node_detail(self, run: StartedRun) -> Mapping[str, Any] | None:
        """What GetJobInstance shows of the first node that has begun."""
        for node in run.seen.nodes if run.seen else ():
            if node.job_instance_id is None or node.status in (
                JobInstanceStatus.WAITING,
                JobInstanceStatus.READY,
            ):
                continue
            reply = self.session.ask(
                calls.get_job_instance(self.session.scope, node.job_id, node.job_instance_id)
            )
            return runs.detail_of(reply) if reply.says_success else None
        return None

    def nothing_has_ended(self) -> bool:
        """Whether all runs still are active that were so before, and that were started."""
        listed = self.list_runs()
        if listed is None or not all(listed.get(number) for number in self.active_before):
            return False
        return all(self.look(run) and not run.is_over for run in self.runs)


def now() -> float:
    return time.monotonic()
