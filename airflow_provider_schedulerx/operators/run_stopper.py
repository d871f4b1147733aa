"""Stops the run of a try, if that is the task's to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_schedulerx import api

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.kinds import Run
    from airflow_provider_schedulerx.hooks.runs import RunCalls
    from airflow_provider_schedulerx.operators.task_run import TaskRun


class RunStopper:
    """Knows whether a kill or a timeout stops a run, and stops it.

    :param cancel_on_kill: of the operator.
    :param on_stopped: called once the run was stopped and has ended, unless it succeeded before.
    :ivar was_tried: whether a stop was tried.
    """

    def __init__(
        self, calls: RunCalls, *, cancel_on_kill: bool, on_stopped: Callable[[TaskRun], None], log: Any
    ) -> None:
        self.cancel_on_kill = cancel_on_kill
        self.was_tried: bool = False
        self._calls = calls
        self._on_stopped = on_stopped
        self._log = log

    def why_not(self, run: TaskRun) -> str:
        """Return why a kill or a timeout leaves the run alone; empty if it stops it."""
        if not self.cancel_on_kill:
            return "cancel_on_kill is off"
        return "" if run.is_own else "this task did not start it"

    def stop(self, run: TaskRun) -> Run | None:
        """Stop the run. Never raises.

        :return: the run, if it has ended.
        """
        self.was_tried = True
        try:
            last = self._calls.stop(run.definition_id, run.instance_id)
        except BaseException as error:  # also Airflow's own timeout, if it passes meanwhile
            self._log.error("%s could not be stopped: %s: %s", run.title, type(error).__name__, error)
            return None
        if last is None or not api.tracking.is_over(last):
            return None
        if not last.status.is_success:
            self._on_stopped(run)
        return last
