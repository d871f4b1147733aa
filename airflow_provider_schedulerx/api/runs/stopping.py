"""How to stop a run, for which the service has no operation.

All active nodes are stopped, again and again, since others can start meanwhile, until the run has
ended or time is up. Written once, without network or clock of its own: :func:`stop_recipe` says
what to do next, and the synchronous and the asynchronous side do it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from typing import Any

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXError,
    SchedulerXForeignGroupError,
    SchedulerXNotFoundError,
)
from airflow_provider_schedulerx.api.models import WorkflowInstance
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.api.wire.calls import Call

#: Seconds between looks at a run that is being stopped: at first, and at most.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 5.0

#: Yields a call to carry out (its result is sent back, or its SchedulerXError thrown in) or seconds
#: to sleep; returns the run as it was seen last.
StopRecipe = Generator[Call[Any] | float, Any, WorkflowInstance | None]


def stop_recipe(
    scope: Scope, workflow_id: int | str, wf_instance_id: int | str, timeout: float, log: Any
) -> StopRecipe:
    """Stop a run, as far as that is possible. Faults are logged, not raised.

    A node of another application group cannot be stopped; that is logged once.

    :param timeout: seconds; the first round is always made.
    :param log: a logger.
    """
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    foreign: set[int] = set()
    instance: WorkflowInstance | None = None
    look = calls.get_workflow_instance(scope, workflow_id, wf_instance_id)
    is_last_look = False
    while True:
        try:
            instance = yield look
        except SchedulerXNotFoundError as error:
            log.warning("Cannot stop workflow instance %s: %s", wf_instance_id, error)
            return None
        except SchedulerXError as error:
            log.warning("Stopping workflow instance %s: %s", wf_instance_id, error)
        else:
            if instance.status.is_terminal:
                log.info("Workflow instance %s has ended: %s", wf_instance_id, instance.status.name)
                return instance
            if not is_last_look:
                yield from _stop_active_nodes(scope, instance, foreign, log)
        if is_last_look:
            log.error(
                "Workflow instance %s was told to stop but has not ended after %.0f s",
                wf_instance_id,
                timeout,
            )
            return instance
        yield max(0.0, min(pause, deadline - time.monotonic()))
        is_last_look = time.monotonic() >= deadline
        pause = min(pause * 2, _LONGEST_PAUSE)


def _stop_active_nodes(
    scope: Scope, instance: WorkflowInstance, foreign: set[int], log: logging.Logger
) -> Generator[Call[Any], Any, None]:
    """:param foreign: job ids of other groups, which is added to."""
    for node in instance.nodes:
        if not node.status.is_active or node.job_instance_id is None or node.job_id in foreign:
            continue
        try:
            yield calls.stop_job_instance(scope, node.job_id, node.job_instance_id)
        except SchedulerXForeignGroupError as error:
            foreign.add(node.job_id)
            log.warning("Node %s cannot be stopped from here: %s", node.label, error)
        except SchedulerXError as error:
            log.warning("Stopping node %s: %s", node.label, error)
        else:
            log.info("Told node %s to stop", node.label)
