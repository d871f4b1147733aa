"""Owner of one try's run: decides what the end of the try means for the run and for the task."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from airflow.providers.common.compat.sdk import AirflowSkipException, AirflowTaskTimeout, TaskDeferred

from airflow_provider_schedulerx import api, version_compat
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
from airflow_provider_schedulerx.operators.task_run import Killed, Phase, TaskRun, TimeIsUp, TimeLimit
from airflow_provider_schedulerx.run_page.writer import for_task

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_schedulerx.api.models import WorkflowInstance
    from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
    from airflow_provider_schedulerx.operators.start_store import StartStore

#: Seconds between two questions whether the task was killed.
_NOTICE_SECONDS = 0.2
#: Seconds within which Airflow has to say which state a killed task is in.
_STATE_SECONDS = 1.0

#: What ends a try as it came: the answer has been given already.
_ANSWERS = (
    AirflowSkipException,
    TaskDeferred,
    RunFailedError,
    RunLostError,
    RunAlreadyActiveError,
    RunStoppedError,
    RunUndecidedError,
    RunNotStartableError,
    RunNotStartedError,
)


class RunOwner:
    """Owns the run of one try: every question about it is asked here.

    :param hook: calls the service.
    :param ti: the task instance.
    :param limit: of the try.
    :param execution_timeout: that of the task in seconds, which Airflow enforces.
    :param cancel_on_kill: whether a kill or a timeout stops the run.
    :param is_kept: whether the next try will know what this one has done.
    :param on_stopped: called once the run was stopped and has ended.
    :param log: a logger.
    :ivar workflow_id: the workflow, once it was checked.
    :ivar snapshots: takes what is observed of the run, for its page.
    """

    def __init__(
        self,
        *,
        hook: SchedulerXHook,
        ti: Any,
        limit: TimeLimit,
        execution_timeout: float | None,
        cancel_on_kill: bool,
        is_kept: bool,
        on_stopped: Callable[[TaskRun], None],
        log: Any,
    ) -> None:
        self.workflow_id = 0
        self.is_kept = is_kept
        self.limit = limit
        self.phase = Phase.IDLE
        self.run: TaskRun | None = None
        self.snapshots = for_task(ti, log)
        self._hook = hook
        self._ti = ti
        self._execution_limit = TimeLimit(execution_timeout=execution_timeout)
        self._cancel_on_kill = cancel_on_kill
        self._on_stopped = on_stopped
        self._log = log
        self._find: Callable[[], int | None] = lambda: None
        self._is_guarded = False
        self._is_polling = False
        self._was_killed = False
        self._stop_was_tried = False
        self._has_succeeded = False
        # Where a kill is only noted, the main flow continues after the signal and can ask Airflow what it meant.
        self._kill_is_noted = is_kept and version_compat.resumes_after_on_kill()

    @classmethod
    def from_task(cls, task: Any, context: Context, store: StartStore) -> Self:
        """The owner for a try of an operator, whose hook it bounds."""
        timeout = task.execution_timeout
        execution_timeout = None if timeout is None else timeout.total_seconds()
        # Airflow itself enforces it, but not while the task is deferred.
        enforced = execution_timeout if task.deferrable else None
        owner = cls(
            hook=task.hook,
            ti=context["ti"],
            limit=TimeLimit(timeout=task.timeout, execution_timeout=enforced),
            execution_timeout=execution_timeout,
            cancel_on_kill=task.cancel_on_kill,
            is_kept=store.is_kept or (task.durable and bool(task.run_marker)),
            on_stopped=lambda run: store.mark_over(run.wf_instance_id),
            log=task.log,
        )
        task.hook.bound_by(lambda: owner.limit.left, owner.bounded_pause)
        return owner

    # How far the try is.

    def starting(self, find: Callable[[], int | None]) -> None:
        """A request that starts a run is about to leave, or has left in an earlier try.

        :param find: looks once for the run that it has started.
        """
        self.phase, self.run, self._find = Phase.STARTING, None, find

    def nothing_started(self) -> None:
        """No run was started, or what was started is over."""
        self.phase, self.run = Phase.IDLE, None

    def follow(self, run: TaskRun) -> TaskRun:
        """The run is known."""
        self.run, self.phase = run, Phase.FOLLOWING
        return run

    def ended(self, instance: WorkflowInstance) -> None:
        """The run has ended by itself."""
        self.phase = Phase.ENDED
        self._has_succeeded = instance.status is api.models.WorkflowInstanceStatus.SUCCESS

    @property
    def is_last_try(self) -> bool:
        """Whether Airflow will not retry the task."""
        try_number, max_tries = getattr(self._ti, "try_number", None), getattr(self._ti, "max_tries", None)
        return isinstance(try_number, int) and isinstance(max_tries, int) and try_number > max_tries

    # Time.

    def pause(self, seconds: float) -> None:
        """Sleep, unless the task is killed.

        In short pieces: a signal handler runs in between, after which a long sleep would continue.
        """
        while seconds > 0:
            self.check_killed()
            piece = min(seconds, _NOTICE_SECONDS)
            time.sleep(piece)
            seconds -= piece
        self.check_killed()

    def bounded_pause(self, seconds: float) -> None:
        """Sleep, unless the task is killed or its time is up."""
        if self.limit.left <= 0:
            raise TimeIsUp
        self.pause(min(seconds, self.limit.left))

    def check_killed(self) -> None:
        """End here if the task was killed."""
        if self._was_killed:
            raise Killed

    @contextmanager
    def polling(self) -> Iterator[None]:
        """Around a read that a kill may interrupt, wherever it is."""
        self._is_polling = True
        try:
            yield
        finally:
            self._is_polling = False

    # The end of a try.

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Turn whatever ends the try into what is right for the run: retryable and resumable, final, or as it came."""
        self._is_guarded = True
        try:
            yield
            if self._was_killed and self.phase is Phase.FOLLOWING:
                raise Killed
        except BaseException as error:
            answer = self._answer(error)
            if answer is error:
                raise
            raise answer from (None if isinstance(error, Killed | TimeIsUp | AirflowTaskTimeout) else error)
        finally:
            self._is_guarded = False

    def _answer(self, error: BaseException) -> BaseException:
        if isinstance(error, Killed) or (
            self._was_killed and self._kill_is_noted and self.phase in (Phase.STARTING, Phase.FOLLOWING)
        ):
            return self._after_kill()
        if isinstance(error, TimeIsUp):
            return self._after_time(str(self.limit))
        if isinstance(error, AirflowTaskTimeout) and self.phase is not Phase.IDLE:
            # Airflow would call on_kill, whose doing could not change the error any more.
            return self._after_time(str(self._execution_limit))
        if isinstance(error, _ANSWERS):
            return error
        return self._after_accident(error)

    def _after_accident(self, error: BaseException) -> BaseException:
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        if self.phase is Phase.STARTING:
            return self.lost(f"A run of workflow {self.workflow_id} may have been started, but then: {what}")
        if self.run is not None and self.phase is Phase.FOLLOWING:
            return self.lost(
                f"Workflow instance {self.run.wf_instance_id} may be active, but this try ended: {what}"
            )
        if self.run is not None and self._has_succeeded and not self.is_kept:
            return RunUndecidedError(
                f"Workflow instance {self.run.wf_instance_id} succeeded, but then: {what}. The task is not retried, "
                "because that would start another run: mark it as success if its run is all that matters"
            )
        if isinstance(error, SchedulerXConfigurationError | SchedulerXNotFoundError):
            return RunNotStartableError(str(error))
        return error

    def _after_time(self, limit: str) -> BaseException:
        if self.run is None:
            if self.phase is Phase.IDLE:
                return RunNotStartedError(
                    f"Workflow {self.workflow_id} was not started within {limit}; nothing was started"
                )
            return self.lost(
                f"Within {limit} it could not be learnt whether a run of workflow {self.workflow_id} was started"
            )
        if self.phase is Phase.ENDED:
            return self._after_accident(TimeoutError(f"{limit} passed"))
        return self.time_is_up(limit)

    def time_is_up(self, limit: str, why: str = "") -> BaseException:
        """Stop the run, if this task may, because a limit has passed.

        :return: what to raise.
        """
        run = self._known_run
        waited = f"Workflow instance {run.wf_instance_id} has not ended within {limit}" + (
            f" ({why})" if why else ""
        )
        if reason := self._why_not_stopped(run):
            return self.lost(f"{waited}; it keeps running because {reason}")
        self._log.error("%s; stopping it", waited)
        if last := self._stop(run):
            self.snapshots.observe(last)
            if self._has_succeeded:
                return self._succeeded_meanwhile(waited)
            return RunStoppedError(f"{waited}; it was stopped and is {last.status.name}")
        return self.lost(f"{waited}; its stop was requested, but it had not ended at the last check")

    def _succeeded_meanwhile(self, why: str) -> RunLostError | RunUndecidedError:
        what = f"{why}, but it succeeded before it was stopped"
        if self.is_kept and not self.is_last_try:
            return RunLostError(f"{what}. A retry returns it, and starts none")
        return RunUndecidedError(
            f"{what}. The task is not retried, because that would start another run: mark it as success if its run is "
            "all that matters"
        )

    def lost(self, why: str) -> RunLostError | RunUndecidedError:
        """Return the error for a run that may be active and is no longer followed."""
        if not self.is_kept:
            return RunUndecidedError(f"{why}. The task is not retried, because that would start a second run")
        if not self.is_last_try:
            return RunLostError(f"{why}. A retry takes it up again")
        return RunLostError(
            f"{why}. This was the last try, so nothing follows the run now: stop it in the SchedulerX console"
            + (", or clear the task, which stops it and starts another" if self._cancel_on_kill else "")
        )

    @property
    def _known_run(self) -> TaskRun:
        if self.run is None:
            raise RuntimeError("no run is followed")
        return self.run

    # Stopping, and being killed.

    def on_kill(self) -> None:
        """The task is to end: by a signal, in whose handler this runs, or after Airflow's own timeout. Never raises,
        except to interrupt a poll of the main flow.
        """
        self._was_killed = True
        if self._is_guarded and self._kill_is_noted:
            if self._is_polling and threading.current_thread() is threading.main_thread():
                raise Killed
            return
        run = self.run
        if run is None:
            if self.phase is Phase.STARTING:
                self._log_unknown_run()
            return
        if self.phase is Phase.ENDED:
            return
        if reason := self._why_not_stopped(run):
            self._log.warning("Workflow instance %s keeps running because %s", run.wf_instance_id, reason)
            return
        self._log.info("Stopping workflow instance %s", run.wf_instance_id)
        self._stop(run)

    def _after_kill(self) -> BaseException:
        is_wanted = self._kill_is_noted and not self.is_last_try and self._is_wanted_by_airflow()
        if self.phase is Phase.STARTING and self._cancel_on_kill and not is_wanted:
            self._look_for_started()
        run = self.run
        if run is None:
            self._log_unknown_run()
            doing = "looked for" if self.phase is Phase.STARTING else "was about to start"
            killed = f"The task was killed while it {doing} a run of workflow {self.workflow_id}"
            if self.phase is Phase.STARTING:
                return self.lost(killed)
            return RunNotStartedError(f"{killed}; nothing was started")
        killed = f"The task was killed while workflow instance {run.wf_instance_id} ran"
        if self.phase is Phase.ENDED:
            return self._after_stop(killed)
        if is_wanted:
            return self.lost(
                f"The worker was asked to shut down, but Airflow still wants this task (its state is running), so workflow "
                f"instance {run.wf_instance_id} keeps running"
            )
        if reason := self._why_not_stopped(run):
            return self.lost(f"{killed}; it keeps running because {reason}")
        if not self._stop_was_tried:
            self._log.info("Stopping workflow instance %s", run.wf_instance_id)
            if last := self._stop(run):
                self.snapshots.observe(last)
                return self._after_stop(killed)
        return self.lost(f"{killed}; its stop was requested, but it had not ended at the last check")

    def _after_stop(self, killed: str) -> BaseException:
        if self._has_succeeded:
            return self._succeeded_meanwhile(killed)
        return RunStoppedError(f"{killed}, and it was stopped")

    def _look_for_started(self) -> None:
        """See whether the run that was being started is known to be ours, so that it can be stopped."""
        try:
            wf_instance_id = self._find()
        except BaseException as error:
            self._log.warning("The run that was being started could not be looked for: %s", error)
            return
        if wf_instance_id is not None:
            self.follow(TaskRun(self.workflow_id, wf_instance_id))

    def _is_wanted_by_airflow(self) -> bool:
        """Whether a signal means that the worker goes away (a deploy, say), and not that a user ended the task."""
        return version_compat.task_state(self._ti, _STATE_SECONDS) == "running"

    def _log_unknown_run(self) -> None:
        if self.phase is Phase.STARTING:
            self._log.error(
                "The task was interrupted while it started workflow %s: a run may have been started that nothing "
                "follows. %s",
                self.workflow_id,
                "A retry looks for it."
                if self.is_kept and not self.is_last_try
                else "Look at the workflow's instances in the SchedulerX console.",
            )

    def _why_not_stopped(self, run: TaskRun) -> str:
        """Why a kill or a timeout leaves the run alone; empty if it does not."""
        if not self._cancel_on_kill:
            return "cancel_on_kill is off"
        return "" if run.is_own else "this task has not started it"

    def _stop(self, run: TaskRun) -> WorkflowInstance | None:
        """Stop the run. Never raises.

        :return: the run, if it has ended.
        """
        self._stop_was_tried = True
        try:
            last = self._hook.stop_workflow_instance(run.workflow_id, run.wf_instance_id)
        except BaseException as error:  # also Airflow's own timeout, if it passes meanwhile
            self._log.error(
                "Workflow instance %s could not be stopped: %s: %s",
                run.wf_instance_id,
                type(error).__name__,
                error,
            )
            return None
        if last is None or not api.tracking.is_over(last):
            return None
        self.ended(last)
        if not self._has_succeeded:
            self._on_stopped(run)
        return last
