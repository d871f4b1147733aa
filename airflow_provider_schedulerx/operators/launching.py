"""How a task gets its run: it takes up that of an earlier try, or starts one, and never two."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAmbiguousError,
    SchedulerXAuthorizationError,
    SchedulerXError,
    SchedulerXMalformedAnswerError,
    SchedulerXRejectedError,
    SchedulerXSameSecondError,
    SchedulerXThrottledError,
)
from airflow_provider_schedulerx.exceptions import RunAlreadyActiveError, RunNotStartedError
from airflow_provider_schedulerx.operators.earlier_runs import EarlierRuns
from airflow_provider_schedulerx.operators.lost_starts import LostStarts, is_refusal
from airflow_provider_schedulerx.operators.retries_without_store import find_without_store

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.intents import StartIntent
    from airflow_provider_schedulerx.api.runs.kinds import RunSummary
    from airflow_provider_schedulerx.operators.start import Start
    from airflow_provider_schedulerx.operators.start_store import StoredStart
    from airflow_provider_schedulerx.operators.task_run import TaskRun

#: Attempts in a row that started nothing, before the task gives up.
_MAX_STARTS = 3
#: Attempts in a row that came in the same second as another start: more of them, since such a refusal is clear.
_MAX_COLLISIONS = 20
#: Seconds within which a start that came in the same second as another is repeated, at a random moment, so that tasks
#: that have collided do not collide again. If they do, they spread over more seconds.
_LEAST_SPREAD, _SPREAD, _WIDEST_SPREAD = 1.1, 15.0, 60.0


class Launcher:
    """Finds or starts the run of one try of a task."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._log = start.log
        self._lost = LostStarts(start)
        self._earlier = EarlierRuns(start, self._lost)
        #: What an earlier try has left.
        self._stored: StoredStart | None = None

    def find_or_start(self) -> TaskRun:
        """Return the run that this try follows.

        :raises RunUndecidedError: if a run may exist that cannot be distinguished from other runs.
        :raises RunLostError: if a run may exist, and a later try may find it.
        :raises RunNotStartedError: if the service did not start one.
        """
        stored = self._stored = self._start.store.load()
        run = None
        if stored is None:
            found = find_without_store(self._start, self._lost)
            run = None if found is None else self._earlier.reattach(found)
        elif stored.was_cleared:
            self._earlier.stop_before_new_start(stored.intent)
        else:
            run = self._earlier.reattach(stored.intent)
        return run or self._start_new()

    def _start_new(self) -> TaskRun:
        start, owner = self._start, self._start.owner
        last: SchedulerXError | None = None
        starts = collisions = 0
        while starts < _MAX_STARTS and collisions < _MAX_COLLISIONS:
            listed = self._list() if self._needs_list else None
            followed = self.apply_if_running(listed or [])
            if followed is not None:
                return followed
            intent, parameters = start.intent(listed), start.parameters_to_send
            self._write_down(intent, is_first=last is None)
            try:
                instance_id = self._call_start(intent, parameters)
            except SchedulerXAmbiguousError as error:
                if not start.policy.durable:
                    raise self._lost.undecided(str(error)) from None
                last = error
                starts += 1
                self._log.warning("%s. Looking for the run that may have been started", error)
                intent, others = self._lost.find(intent, cause=error)
                if intent.instance_id is not None:
                    return owner.follow(start.run(intent.instance_id))
                self._nothing_started()
                if is_refusal(error):
                    if not others and not self._may_have_collided(error):
                        # The service means it, and would refuse again at once.
                        raise self._refused(error) from None
                    # The service may accept one start in a second only, as it does for jobs (API page "ExecuteJob").
                    self._spread(starts)
            except SchedulerXSameSecondError as error:
                last = error
                collisions += 1
                self._log.warning("%s", error)
                found = self._find_after_collision(intent, error, collisions)
                if found is not None:
                    return found
            except SchedulerXError as error:
                self._nothing_started()
                limit = owner.limit
                if (
                    isinstance(error, SchedulerXThrottledError)
                    and limit.seconds < api.retrying.MAX_RETRY_SECONDS
                ):
                    raise RunNotStartedError(
                        f"{self._what} was not started within {limit}: {error}"
                    ) from None
                raise
            else:
                return self._follow_started(intent, instance_id)
        raise RunNotStartedError(
            f"{self._what} was not started in {starts + collisions} attempts: {last}. No run was found afterwards, so a retry may "
            "start one"
        )

    def _write_down(self, intent: StartIntent, *, is_first: bool) -> None:
        """The last thing before a request: the start can be found from now on. However late, one is always made."""
        owner = self._start.owner
        if not is_first:
            owner.interrupts.check_time()
        # Refused by Airflow if this try is no longer the current one.
        self._start.store.save(intent)
        owner.check_killed()
        self._lost.announce(intent)

    def _call_start(self, intent: StartIntent, parameters: Any) -> int:
        """Make the request.

        :raises SchedulerXAmbiguousError: also if the answer names a run that was there before: nobody documents what the
            service does beyond the maximum concurrency. That one is not ours to stop, nor does its end say anything of us.
        """
        start = self._start
        instance_id = start.calls.start(start.definition_id, parameters)
        if instance_id in (*(intent.known or ()), *intent.earlier):
            raise SchedulerXAmbiguousError(
                f"the service answered with {start.kind.instance_noun} {instance_id}, which was there before",
                operation=start.kind.start_operation.name,
            )
        return instance_id

    def _may_have_collided(self, error: SchedulerXError) -> bool:
        """Whether a refusal without a reason may mean that another start came in the same second, even if no new run is
        listed, because the other one was listed before ours.
        """
        return self._start.kind.starts_once_in_a_second and str(error.code).startswith("5")

    def _find_after_collision(
        self, intent: StartIntent, error: SchedulerXSameSecondError, collisions: int
    ) -> TaskRun | None:
        """Wait until another second, and return the run if the start that came in the same second was our own.

        A gateway that repeats a request may return the answer to the repetition. Only a marker proves that, since another
        start may carry equal parameters, and only once a list is certain to show the run. It is looked for once, then: a
        crowd that polls meanwhile would use up the quota. Where the service shows no parameters, the marker proves nothing.

        :raises RunLostError: if nobody can tell now, and a retry may.
        """
        start = self._start
        if intent.marker is None or not start.policy.durable:
            self._nothing_started()
            self._spread(collisions)
            return None
        self._spread(collisions, settling_time=start.policy.settling_time)
        found = start.calls.reconcile(intent, settling_time=0.0, patience=0.0)
        if found.instance_id is not None:
            return self._follow_started(intent, found.instance_id)
        if found.may_resolve:
            raise start.owner.lost(f"A run of {start.what} may have been started: {error}; {found.ambiguity}")
        self._nothing_started()
        return None

    def _follow_started(self, intent: StartIntent, instance_id: int) -> TaskRun:
        """Follow the run that this try has started, and keep its id for the next one."""
        start = self._start
        run = start.owner.follow(start.run(instance_id))
        start.store.keep(replace(intent, instance_id=instance_id))
        return run

    def _refused(self, error: SchedulerXError) -> RunNotStartedError:
        return RunNotStartedError(
            f"{self._what} was not started: {error}. No run was found afterwards, so a retry may start one"
        )

    def _spread(self, times: int, settling_time: float = 0.0) -> None:
        widest = min(_SPREAD * times, _WIDEST_SPREAD)
        seconds = settling_time + random.uniform(_LEAST_SPREAD, widest)  # noqa: S311
        self._log.info("Another start came at about the same time; starting again in %.0f s", seconds)
        self._start.owner.interrupts.bounded_pause(seconds)

    @property
    def _what(self) -> str:
        return api.tracking.sentence(self._start.what)

    def _nothing_started(self) -> None:
        start, stored = self._start, self._stored
        start.owner.nothing_started()
        if stored is None or stored.intent.instance_id is None:
            start.store.discard()
        else:
            # The next try has to know the task's earlier run as well as this one.
            start.store.save(stored.intent, of_this_life=not stored.was_cleared)

    @property
    def _needs_list(self) -> bool:
        """Whether the existing runs have to be known before the start.

        Also with a marker: it identifies our run for certain, but where the service does not show the parameters of
        runs, only a list with nothing new proves that none was started.
        """
        return self._start.policy.if_running != "start" or self._start.policy.durable

    def _list(self) -> Sequence[RunSummary] | None:
        """List the existing runs; None if that is not allowed, or if the answer cannot be read."""
        try:
            return self._start.calls.list_newest(self._start.definition_id)
        except (
            SchedulerXAuthorizationError,
            SchedulerXRejectedError,
            # Such as no Data at all, for a workflow that has not run yet: to try again would not help.
            SchedulerXMalformedAnswerError,
        ) as error:
            if self._start.policy.if_running != "start":
                raise
            self._log.warning(
                "The runs of %s cannot be listed, so a run whose start gets no answer cannot be found: %s",
                self._start.what,
                error,
            )
            return None

    def apply_if_running(self, listed: Iterable[RunSummary]) -> TaskRun | None:
        """Do what ``if_running`` says, where a run is active that is not the task's own.

        :return: the run to follow, or None if one is to be started.
        """
        start, mode = self._start, self._start.policy.if_running
        active = [
            run for run in listed if not run.status.is_terminal and run.instance_id not in start.earlier
        ]
        if mode == "start" or not active:
            return None
        shown = ", ".join(f"{run.instance_id} ({run.status.name})" for run in active)
        text = f"{self._what} has active {start.kind.instance_noun}s: {shown}"
        if mode == "skip":
            raise AirflowSkipException(f"{text}; if_running is 'skip'")
        if mode == "fail":
            raise RunAlreadyActiveError(
                f"{text}; if_running is 'fail'. Wait until they end, or choose another if_running"
            )
        newest = active[0].instance_id
        self._log.info("%s; following %s, because if_running is 'reattach'", text, newest)
        run = start.owner.follow(start.run(newest, is_own=False, is_new=False))
        start.store.keep(replace(start.intent(None), instance_id=newest, marker=None, is_own=False))
        return run
