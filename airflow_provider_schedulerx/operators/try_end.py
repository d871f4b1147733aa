"""What the end of a try means for its run and for the task: retryable and resumable, final, or unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException, AirflowTaskTimeout, TaskDeferred

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError, SchedulerXNotFoundError
from airflow_provider_schedulerx.exceptions import (
    RunAlreadyActiveError,
    RunFailedError,
    RunLostError,
    RunNotStartableError,
    RunNotStartedError,
    RunStoppedError,
    RunUndecidedError,
)
from airflow_provider_schedulerx.operators.interrupts import Killed, TimeIsUp, TimeLimit
from airflow_provider_schedulerx.operators.task_run import Phase, TaskRun
from airflow_provider_schedulerx.version_compat import kills

if TYPE_CHECKING:
    from airflow_provider_schedulerx.operators.run_owner import RunOwner

#: Seconds within which Airflow has to say which state a killed task is in.
_STATE_SECONDS = 2.0

#: What ends a try unchanged: these are answers already.
_ANSWERS = (
    AirflowSkipException,
    TaskDeferred,
    RunAlreadyActiveError,
    RunFailedError,
    RunLostError,
    RunNotStartableError,
    RunNotStartedError,
    RunStoppedError,
    RunUndecidedError,
)


class TryEnd:
    """Answers what ended a try.

    :param execution_limit: the ``execution_timeout`` of the task, for messages.
    """

    def __init__(self, owner: RunOwner, ti: Any, execution_limit: TimeLimit, log: Any) -> None:
        self._owner = owner
        self._ti = ti
        self._execution_limit = execution_limit
        self._log = log

    def answer(self, error: BaseException) -> BaseException:
        """Return the error that the try ends with if ``error`` ended it. Stops the run where that is right."""
        owner = self._owner
        if isinstance(error, Killed) or (
            owner.interrupts.was_killed
            and owner.kill_is_noted
            and owner.phase in (Phase.STARTING, Phase.FOLLOWING)
        ):
            return self._after_kill()
        if isinstance(error, TimeIsUp):
            return self._after_time(str(owner.limit))
        if isinstance(error, AirflowTaskTimeout) and owner.phase is not Phase.IDLE:
            # Airflow would call on_kill, which could no longer change the error.
            return self._after_time(str(self._execution_limit))
        if isinstance(error, _ANSWERS):
            return error
        return self._after_accident(error)

    def lost(self, why: str) -> RunLostError | RunUndecidedError:
        """Return the error for a run that may be active and is no longer followed."""
        if not self._owner.is_kept:
            return RunUndecidedError(f"{why}. The task is not retried, because that would start a second run")
        if not self._owner.is_last_try:
            return RunLostError(f"{why}. A retry picks it up")
        return RunLostError(
            f"{why}. This was the last try, so nothing follows the run now: stop it in the SchedulerX console"
            + (
                ", or clear the task, which stops it and starts another"
                if self._owner.stopper.cancel_on_kill
                else ""
            )
        )

    def time_is_up(self, limit: str, why: str = "") -> BaseException:
        """Stop the run, if this task may, because a limit has passed.

        :return: what to raise.
        """
        owner, run = self._owner, self._known_run
        waited = f"{run.title} has not ended within {limit}" + (f" ({why})" if why else "")
        reason = owner.stopper.why_not(run)
        if not reason and not owner.is_current():
            reason = "Airflow has given the task to another try"
        if reason:
            return self.lost(f"{waited}; it keeps running because {reason}")
        self._log.error("%s; stopping it", waited)
        if last := owner.stop(run):
            owner.snapshots.observe(last)
            if owner.has_succeeded:
                return self._succeeded_meanwhile(waited)
            return RunStoppedError(f"{waited}; it was stopped and is {last.status.name}")
        return self.lost(f"{waited}; its stop was requested, but it had not ended at the last check")

    def _after_accident(self, error: BaseException) -> BaseException:
        owner = self._owner
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        if owner.phase is Phase.STARTING:
            return self.lost(f"A run of {owner.what} may have been started, but this try failed: {what}")
        if owner.run is not None and owner.phase is Phase.FOLLOWING:
            return self.lost(f"{owner.run.title} may be active, but this try failed: {what}")
        if owner.run is not None and owner.has_succeeded and not owner.is_kept:
            return RunUndecidedError(
                f"{owner.run.title} succeeded, but this try failed: {what}. The task is not retried, because that would "
                "start another run: mark it as success if its run is all that matters"
            )
        if isinstance(error, SchedulerXConfigurationError | SchedulerXNotFoundError):
            return RunNotStartableError(str(error))
        return error

    def _after_time(self, limit: str) -> BaseException:
        owner = self._owner
        if owner.run is None:
            if owner.phase is Phase.IDLE:
                return RunNotStartedError(
                    f"No run of {owner.what} was started within {limit}; nothing was started"
                )
            if owner.stopper.cancel_on_kill:
                owner.look_for_started()
        if owner.run is None:
            return self.lost(
                f"It could not be determined within {limit} whether a run of {owner.what} was started"
            )
        if owner.phase is Phase.ENDED:
            return self._after_accident(TimeoutError(f"{limit} passed"))
        return self.time_is_up(limit)

    def _succeeded_meanwhile(self, why: str) -> RunLostError | RunUndecidedError:
        what = f"{why}, but it succeeded before it was stopped"
        if self._owner.is_kept and not self._owner.is_last_try:
            return RunLostError(f"{what}. A retry returns it and starts none")
        return RunUndecidedError(
            f"{what}. The task is not retried, because that would start another run: mark it as success if its run is "
            "all that matters"
        )

    @property
    def _known_run(self) -> TaskRun:
        if self._owner.run is None:
            raise RuntimeError("no run is followed")
        return self._owner.run

    def _after_kill(self) -> BaseException:
        owner = self._owner
        # If not, the worker shuts down (a deploy, say) or cannot reach Airflow, and the next try takes the run up.
        is_wanted = (
            owner.kill_is_noted
            and not owner.is_last_try
            and not kills.someone_has_ended(self._ti, _STATE_SECONDS)
        )
        if owner.phase is Phase.STARTING and owner.stopper.cancel_on_kill and not is_wanted:
            owner.look_for_started()
        run = owner.run
        if run is None:
            owner.log_unknown_run()
            doing = "looked for" if owner.phase is Phase.STARTING else "was about to start"
            killed = f"The task was killed while it {doing} a run of {owner.what}"
            if owner.phase is Phase.STARTING:
                return self.lost(killed)
            return RunNotStartedError(f"{killed}; nothing was started")
        killed = f"The task was killed while {run} ran"
        if owner.phase is Phase.ENDED:
            return self._after_stop(killed)
        if is_wanted:
            return self.lost(
                f"The task was asked to stop, but Airflow does not say that anyone has ended it, so {run} keeps running"
            )
        if reason := owner.stopper.why_not(run):
            return self.lost(f"{killed}; it keeps running because {reason}")
        if not owner.stopper.was_tried:
            self._log.info("Stopping %s", run)
            if last := owner.stop(run):
                owner.snapshots.observe(last)
                return self._after_stop(killed)
        return self.lost(f"{killed}; its stop was requested, but it had not ended at the last check")

    def _after_stop(self, killed: str) -> BaseException:
        if self._owner.has_succeeded:
            return self._succeeded_meanwhile(killed)
        return RunStoppedError(f"{killed}, and it was stopped")
