"""How the failed nodes of a run are made to run again (``RetryJobInstance``; Professional edition)."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.exceptions import SchedulerXAmbiguousError, SchedulerXError
from airflow_provider_schedulerx.api.models import WorkflowInstanceNode
from airflow_provider_schedulerx.api.runs.recipes import Pause, Recipe
from airflow_provider_schedulerx.api.wire import calls

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.kinds import Run, RunKind


class Rerun(Enum):
    """What became of the request to run the failed nodes again."""

    #: The run shows it: it runs, or a node has failed once more.
    SEEN = "seen"
    #: It was accepted, or nobody knows, and the run showed no change in time.
    UNSEEN = "unseen"
    #: The service refused it for every failed node.
    REFUSED = "refused"
    #: The service names no failed node.
    NO_NODE = "no node"


def rerun_recipe(kind: RunKind, scope: Scope, run: Run, *, settling_time: float, log: Any) -> Recipe[Rerun]:
    """Run the failed nodes of a run again, and wait until the run shows it.

    It must show it, or the run would be taken for failed once more. Whether a node that runs again keeps its id is
    not documented, so any change of a node counts.

    :param run: as it was seen last, with its nodes.
    :param settling_time: seconds to wait for the change.
    :param log: a logger.
    """
    bad = [node for node in run.nodes if node.status.is_bad and node.job_instance_id is not None]
    if not bad:
        return Rerun.NO_NODE
    requested = []
    for node in bad:
        try:
            yield calls.retry_job_instance(scope, node.job_id, node.job_instance_id)
        except SchedulerXAmbiguousError as error:
            log.warning("Node %s may be running again: %s", node.label, error)
        except SchedulerXError as error:
            log.error("Node %s cannot be run again: %s", node.label, error)
            continue
        else:
            log.info("Requested a rerun of node %s", node.label)
        requested.append(node)
    if not requested:
        return Rerun.REFUSED
    now = yield Pause(0)
    deadline = now + settling_time
    while True:
        try:
            seen = yield kind.get_call(scope, run.definition_id, run.instance_id)
        except SchedulerXError as error:
            log.warning("Could not poll %s: %s", run.label, error)
        else:
            if seen.status != run.status or _any_changed(requested, seen):
                return Rerun.SEEN
        now = yield Pause(0)
        if now >= deadline:
            return Rerun.UNSEEN
        yield Pause(min(1.0, settling_time / 10))


def _any_changed(requested: list[WorkflowInstanceNode], seen: Run) -> bool:
    """Whether a node shows that it ran or runs again: nodes of its job are there that are not as they were."""
    for node in requested:
        of_job = [other for other in seen.nodes if other.job_id == node.job_id]
        if any(other != node for other in of_job):
            return True
    return False
