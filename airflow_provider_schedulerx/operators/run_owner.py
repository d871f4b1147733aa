"""Owner of one try's run: how far the try is, and who decides when it ends.

The decision itself is made in :mod:`~airflow_provider_schedulerx.operators.try_end`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_schedulerx.exceptions import RunLostError, RunUndecidedError
from airflow_provider_schedulerx.operators.interrupts import Interrupts, Killed, TimeIsUp, TimeLimit
from airflow_provider_schedulerx.operators.run_stopper import RunStopper
from airflow_provider_schedulerx.operators.task_run import Phase, TaskRun
from airflow_provider_schedulerx.operators.try_end import TryEnd
from airflow_provider_schedulerx.run_page.writer import SnapshotWriter, for_task
from airflow_provider_schedulerx.version_compat import kills

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_schedulerx.api.runs.kinds import Run
    from airflow_provider_schedulerx.hooks.runs import RunCalls
    from airflow_provider_schedulerx.operators.start_store import StartStore


class RunOwner:
    """Owns the run of one try: every question about it is asked here.

    :param calls: calls of the service, whose time this try limits.
    :param ti: the task instance.
    :param limit: of the try.
    :param execution_timeout: that of the task in seconds, which Airflow enforces.
    :param cancel_on_kill: whether a kill or a timeout stops the run.
    :param is_kept: whether the next try will know what this one has done.
    :param on_stopped: called once the run was stopped and has ended.
    :param is_current: tells whether Airflow has not given the task to another try since.
    :param log: a logger.
    :ivar definition_id: the workflow or job, once it was checked.
    :ivar interrupts: sleeps for the main flow.
    :ivar snapshots: takes what is observed of the run, for its page.
    """

    def __init__(
        self,
        *,
        calls: RunCalls,
        ti: Any,
        limit: TimeLimit,
        execution_timeout: float | None,
        cancel_on_kill: bool,
        is_kept: bool,
        on_stopped: Callable[[TaskRun], None],
        is_current: Callable[[], bool],
        log: Any,
    ) -> None:
        self.definition_id = 0
        self.calls = calls
        self.is_kept = is_kept
        self.is_current = is_current
        self.limit = limit
        self.phase: Phase = Phase.IDLE
        self.run: TaskRun | None = None
        self.has_succeeded: bool = False
        self.interrupts: Interrupts = Interrupts(limit)
        self.stopper: RunStopper = RunStopper(
            calls, cancel_on_kill=cancel_on_kill, on_stopped=on_stopped, log=log
        )
        self.snapshots: SnapshotWriter = for_task(ti, log)
        self._ti = ti
        self._log = log
        self._find: Callable[[], int | None] = lambda: None
        self._is_guarded = self._has_answered = False
        self._continues_after_kill = kills.resumes_after_on_kill()
        # Where a kill is only noted, the main flow continues after the signal and can ask Airflow what it meant.
        self.kill_is_noted: bool = is_kept and self._continues_after_kill
        self._end = TryEnd(self, ti, TimeLimit(execution_timeout=execution_timeout), log)

    @classmethod
    def from_task(cls, task: Any, context: Context, store: StartStore) -> Self:
        """The owner for a try of an operator, whose calls it limits."""
        timeout = task.execution_timeout
        execution_timeout = None if timeout is None else timeout.total_seconds()
        # Airflow itself enforces it, but not while the task is deferred.
        enforced = execution_timeout if task.deferrable else None
        owner = cls(
            calls=task.run_calls,
            ti=context["ti"],
            limit=TimeLimit(timeout=task.timeout, execution_timeout=enforced),
            execution_timeout=execution_timeout,
            cancel_on_kill=task.cancel_on_kill,
            is_kept=store.is_kept or (task.durable and bool(task.run_marker)),
            on_stopped=lambda run: store.mark_over(run.instance_id),
            is_current=store.is_current,
            log=task.log,
        )
        task.run_calls.limit_to(owner.interrupts.left, owner.interrupts.bounded_pause)
        return owner

    # How far the try is.

    @property
    def what(self) -> str:
        """What messages call what is run: ``workflow 101``."""
        noun = self.calls.kind.definition_noun
        return f"{noun} {self.definition_id}" if self.definition_id else f"the {noun}"

    def starting(self, find: Callable[[], int | None] = lambda: None) -> None:
        """A request that starts a run is about to leave, or has left earlier.

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

    def ended(self, run: Run) -> None:
        """The run has ended."""
        self.phase = Phase.ENDED
        self.has_succeeded = run.status.is_success

    def check_killed(self) -> None:
        """End here if the task was killed."""
        self.interrupts.check_killed()

    @property
    def is_last_try(self) -> bool:
        """Whether Airflow will not retry the task."""
        try_number, max_tries = getattr(self._ti, "try_number", None), getattr(self._ti, "max_tries", None)
        return isinstance(try_number, int) and isinstance(max_tries, int) and try_number > max_tries

    # How it ends.

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Turn whatever ends the try into what is right for the run: retryable and resumable, final, or unchanged."""
        self._is_guarded = True
        try:
            yield
            if self.interrupts.was_killed and self.phase is Phase.FOLLOWING:
                raise Killed
            self._has_answered = True
        except BaseException as error:
            # If this is interrupted, by Airflow's timeout say, there is no answer, and on_kill decides.
            answer = self._end.answer(error)
            self._has_answered = True
            if answer is error:
                raise
            raise answer from (None if isinstance(error, Killed | TimeIsUp | AirflowTaskTimeout) else error)
        finally:
            self._is_guarded = False

    def lost(self, why: str) -> RunLostError | RunUndecidedError:
        """Return the error for a run that may be active and is no longer followed."""
        return self._end.lost(why)

    def time_is_up(self, why: str) -> BaseException:
        """Stop the run, if this task may, because the limit has passed.

        :return: what to raise.
        """
        return self._end.time_is_up(str(self.limit), why)

    def stop(self, run: TaskRun) -> Run | None:
        """Stop the run. Never raises.

        :return: the run, if it has ended.
        """
        last = self.stopper.stop(run)
        if last is not None:
            self.ended(last)
        return last

    def look_for_started(self) -> None:
        """See whether the run that was being started is known to be ours, so that it can be stopped. Never raises."""
        try:
            instance_id = self._find()
        except BaseException as error:
            self._log.warning("Could not look for the run that was being started: %s", error)
            return
        if instance_id is not None:
            self.follow(TaskRun(self.calls.kind, self.definition_id, instance_id))

    def on_kill(self) -> None:
        """The task is to end: by a signal, in whose handler this runs, or after Airflow's own timeout. Never raises,
        except to interrupt a poll of the main flow.
        """
        self.interrupts.was_killed = True
        if self._is_guarded and self.kill_is_noted:
            self.interrupts.interrupt_poll()
            return
        if self._has_answered and self._continues_after_kill:
            # What was said holds: the run is left to the triggerer, to a retry or to itself.
            return
        run = self.run
        if run is None:
            self.log_unknown_run()
            return
        if self.phase is Phase.ENDED:
            return
        if reason := self.stopper.why_not(run):
            self._log.warning("%s keeps running because %s", run.title, reason)
            return
        self._log.info("Stopping %s", run)
        self.stop(run)

    def log_unknown_run(self) -> None:
        """Say that a run that nothing follows may have been started, if that is so."""
        if self.phase is Phase.STARTING:
            self._log.error(
                "The task was interrupted while it started %s: a run that nothing follows may have been started. %s",
                self.what,
                "A retry looks for it."
                if self.is_kept and not self.is_last_try
                else "Look at its instances in the SchedulerX console.",
            )
