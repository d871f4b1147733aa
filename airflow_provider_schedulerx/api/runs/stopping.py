"""How to stop a run, for which the service has no operation.

All active nodes are stopped, again and again because others can start meanwhile, until the run has ended or time is
up. The nodes of one round are stopped side by side: a killed task has about 5 seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAmbiguousError,
    SchedulerXError,
    SchedulerXForeignGroupError,
    SchedulerXNotFoundError,
    SchedulerXRejectedError,
)
from airflow_provider_schedulerx.api.runs.recipes import Batch, Pause, Recipe
from airflow_provider_schedulerx.api.runs.tracking import SETTLING_SECONDS, is_over, sentence
from airflow_provider_schedulerx.api.wire import calls

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.models import WorkflowInstanceNode
    from airflow_provider_schedulerx.api.runs.kinds import Run, RunKind

#: Seconds between polls of a run that is being stopped: at first, and at most, unless a share of the time that the stop
#: has taken is longer: a crowd of runs that cannot be stopped must not use up the quota for an hour.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 5.0
_PAUSE_SHARE = 0.1


def stop_recipe(
    kind: RunKind, scope: Scope, definition_id: int, instance_id: int, *, timeout: float, log: Any
) -> Recipe[Run | None]:
    """Stop a run, as far as that is possible. Faults are logged, not raised.

    A node of another application group cannot be stopped; that is logged once. A run that the service does not know may
    be a new one that does not show yet: it is given up only after
    :data:`~airflow_provider_schedulerx.api.runs.tracking.SETTLING_SECONDS`.

    :param timeout: seconds; the first round is always made.
    :param log: a logger.
    :return: the run as it was seen last, or None if it was never seen. Ask
        :func:`~airflow_provider_schedulerx.api.runs.tracking.is_over` whether it has ended.
    """
    label = f"{kind.instance_noun} {instance_id}"
    stopping = _Stopping(scope, label, log)
    began = yield Pause(0)
    pause = _FIRST_PAUSE
    run: Run | None = None
    is_last_poll = False
    while True:
        try:
            run = yield kind.get_call(scope, definition_id, instance_id)
        except SchedulerXError as error:
            is_missing = stopping.failed(error, (yield Pause(0)))
            if is_missing:
                return run
        else:
            stopping.succeeded()
            if stopping.has_ended(run):
                log.info("%s has ended: %s", sentence(label), run.status.name)
                return run
            if not is_last_poll:
                yield from stopping.stop_active_nodes(run)
        if is_last_poll:
            if run is None:
                log.error(
                    "%s could not be polled for %.0f s, so it was not stopped", sentence(label), timeout
                )
            else:
                log.error("Stop of %s was requested, but it had not ended after %.0f s", label, timeout)
            return run
        taken = (yield Pause(0)) - began
        left = timeout - taken
        yield Pause(max(0.0, min(pause, left)))
        is_last_poll = left <= pause
        pause = min(pause * 2, max(_LONGEST_PAUSE, taken * _PAUSE_SHARE))


class _Stopping:
    """What a stop remembers between its rounds."""

    def __init__(self, scope: Scope, label: str, log: Any) -> None:
        self._scope = scope
        self._label = label
        self._log = log
        self._fault: tuple[type[SchedulerXError], str | None] | None = None
        self._missing_since: float | None = None
        self._foreign: set[int] = set()
        self._refused: set[tuple[int, bool]] = set()
        self._was_over = False

    def failed(self, error: SchedulerXError, now: float) -> bool:
        """Note that the run could not be polled. Each kind of fault is logged once.

        :return: whether the service has not known the run for so long that it never will.
        """
        is_missing = isinstance(error, SchedulerXNotFoundError)
        if not is_missing:
            self._missing_since = None
        elif self._missing_since is None:
            self._missing_since = now
        elif now - self._missing_since > SETTLING_SECONDS:
            self._log.warning("Cannot stop %s: %s", self._label, error)
            return True
        if (fault := (type(error), error.code)) != self._fault:
            self._fault = fault
            self._log.warning("Stopping %s: %s", self._label, error)
        return False

    def succeeded(self) -> None:
        """Note that the run could be polled."""
        self._fault = self._missing_since = None

    def has_ended(self, run: Run) -> bool:
        """Whether the run has ended. A status that is not documented has to show twice."""
        was_over, self._was_over = self._was_over, is_over(run)
        return run.status.is_terminal or (was_over and self._was_over)

    def stop_active_nodes(self, run: Run) -> Recipe[None]:
        nodes = [
            node
            for node in run.nodes
            if node.status.is_active and node.job_instance_id is not None and node.job_id not in self._foreign
        ]
        if not nodes:
            return
        outcomes = yield Batch(
            tuple(calls.stop_job_instance(self._scope, node.job_id, node.job_instance_id) for node in nodes)
        )
        for node, outcome in zip(nodes, outcomes, strict=True):
            if not isinstance(outcome, SchedulerXError):
                self._log.info("Requested the stop of node %s", node.label)
            elif isinstance(outcome, SchedulerXForeignGroupError):
                self._foreign.add(node.job_id)
                self._log.warning("Node %s cannot be stopped from here: %s", node.label, outcome)
            else:
                self._log_refusal(node, outcome)

    def _log_refusal(self, node: WorkflowInstanceNode, error: SchedulerXError) -> None:
        """Say once that a node was not stopped. The service is documented to stop what runs, so that is no news of a node
        that has not begun.
        """
        is_usual = node.status.is_waiting and _is_refusal(error)
        if (said := (node.job_id, is_usual)) in self._refused:
            return
        self._refused.add(said)
        if is_usual:
            self._log.info(
                "Node %s is %s, and was not stopped: %s", node.label, node.status.name, error.service_message
            )
        else:
            self._log.warning("Node %s (%s) was not stopped: %s", node.label, node.status.name, error)


def _is_refusal(error: SchedulerXError) -> bool:
    """Whether the service has said that it does not stop a node. That it may not be asked to is something else."""
    is_said = isinstance(error, SchedulerXRejectedError | SchedulerXAmbiguousError)
    return is_said and error.service_message is not None
