"""What happens to the run of an earlier try: it is followed, left behind, rerun, or stopped before a new start."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import SchedulerXError, SchedulerXNotFoundError
from airflow_provider_schedulerx.exceptions import RunFailedError, RunLostError, RunUndecidedError
from airflow_provider_schedulerx.operators.task_run import TaskRun

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.intents import StartIntent
    from airflow_provider_schedulerx.api.runs.kinds import Run
    from airflow_provider_schedulerx.hooks.runs import RunCalls
    from airflow_provider_schedulerx.operators.lost_starts import LostStarts
    from airflow_provider_schedulerx.operators.start import Start

#: Seconds by which the clocks of two machines may differ.
CLOCK_MARGIN = 1800.0


class EarlierRuns:
    """Decides what to do with the run that an earlier try has recorded."""

    def __init__(self, start: Start, lost: LostStarts) -> None:
        self._start = start
        self._lost = lost
        self._log = start.log

    # A retry.

    def reattach(self, earlier: StartIntent) -> TaskRun | None:
        """Return the run of an earlier try, or None if a new one is to be started."""
        start = self._start
        if _whereabouts(earlier) != (start.kind.name, start.calls.scope, start.definition_id):
            self._leave_behind(earlier)
            return None
        if earlier.parameters != start.parameters_digest:
            self._log.warning(
                "The instance parameters differ from those of the previous try, whose run is followed anyway; clear "
                "the task to start a run with the new ones"
            )
        if earlier.instance_id is None:
            self._log.warning("The previous try ended while it started %s; looking for its run", start.what)
            earlier, _ = self._lost.find(earlier, age=start.age_of(earlier))
            if earlier.instance_id is None:
                start.owner.nothing_started()
                start.remember(earlier)
                return None
        start.remember(earlier)
        run = start.run(earlier.instance_id, is_own=earlier.is_own, is_new=False)
        if earlier.is_over:
            if not self._was_continued(earlier, run):
                self._log.info("%s of the previous try was stopped: starting a new run", run.title)
                return None
            self._log.warning("%s was continued after the previous try had stopped it", run.title)
            start.store.keep(replace(earlier, is_over=False))
        start.owner.follow(run)
        if not start.policy.waits:
            # The task only starts its run, so it is done, however that run ends.
            self._log.info("%s was started by the previous try", run.title)
            return run
        if self._is_to_be_followed(run):
            return run
        start.owner.nothing_started()
        return None

    def _was_continued(self, earlier: StartIntent, run: TaskRun) -> bool:
        """Whether somebody has continued a run whose end was seen after its stop, as the console allows."""
        try:
            seen = self._start.calls.get(run.definition_id, run.instance_id)
        except SchedulerXError as error:
            self._log.warning("Could not poll %s, which was stopped: %s", run, error)
            return False
        return seen.status.is_success or not _has_ended(earlier, seen)

    def _is_to_be_followed(self, run: TaskRun) -> bool:
        start = self._start
        try:
            seen = start.calls.get(run.definition_id, run.instance_id)
        except SchedulerXError as error:
            # Following it tolerates such faults for longer.
            self._log.warning("Could not poll %s: %s", run, error)
            return True
        shown = f"{run.title} of the previous try is {seen.status.name}"
        if seen.status.is_success:
            self._log.info("%s: nothing is left to do", shown)
            return True
        if not api.tracking.has_failed(seen):
            if start.policy.on_retry == "restart" and run.is_own:
                self._log.info("%s: stopping it, because on_retry is 'restart'", shown)
                if not self._stop(start.calls, run).status.is_success:
                    return False
                self._log.info("It succeeded before it was stopped: nothing is left to do")
                return True
            self._log.info("%s: following it", shown)
            return True
        if start.policy.on_retry == "rerun_failed" and run.is_own and self._rerun_failed(seen):
            return True
        self._log.info("%s: starting a new run", shown)
        return False

    def _rerun_failed(self, seen: Run) -> bool:
        """Rerun the failed nodes of a run.

        :return: False if there are none to rerun.
        """
        start = self._start
        rerun = start.calls.rerun(seen, settling_time=start.policy.settling_time)
        if rerun is api.rerunning.Rerun.NO_NODE:
            self._log.warning("The service shows no failed node to rerun")
        elif rerun is api.rerunning.Rerun.REFUSED:
            start.owner.ended(seen)
            raise RunFailedError(
                f"{api.tracking.failure_message(seen)}; none of the failed nodes can be rerun (on_retry is "
                "'rerun_failed')"
            )
        elif rerun is api.rerunning.Rerun.UNSEEN:
            raise start.owner.lost(
                f"A rerun of the failed nodes of {seen.label} was requested, but the run shows no change after "
                f"{start.policy.settling_time:g} s"
            )
        return rerun is api.rerunning.Rerun.SEEN

    # A retry that is to run something else.

    def _leave_behind(self, earlier: StartIntent) -> None:
        """The previous try was for another definition or scope: start a run only if none of its own is active."""
        start, calls = self._start, self._calls_of(earlier)
        noun = calls.kind.definition_noun
        known, state = f"may have started a run of {noun} {earlier.definition_id}", "which one is unknown"
        if earlier.instance_id is None:
            found = calls.reconcile(
                earlier,
                settling_time=start.policy.settling_time,
                patience=start.policy.patience,
                age=start.age_of(earlier),
            )
            if found.outcome == "not_started":
                self._log.warning(
                    "The previous try was for %s %s and started no run", noun, earlier.definition_id
                )
                return
            state = found.ambiguity or state
            earlier = replace(earlier, instance_id=found.instance_id)
        if earlier.instance_id is not None:
            known = (
                f"started {calls.kind.instance_noun} {earlier.instance_id} of {noun} {earlier.definition_id}"
            )
            try:
                seen = calls.get(earlier.definition_id, earlier.instance_id)
            except SchedulerXError as error:
                state = f"it could not be polled there: {error}"
            else:
                if _has_ended(earlier, seen):
                    self._log.warning(
                        "The previous try %s, which is %s. This try is for %s, or for another region, "
                        "namespace or group: starting a run there",
                        known,
                        seen.status.name,
                        start.what,
                    )
                    return
                state = f"it is {seen.status.name}"
        raise RunUndecidedError(
            f"The previous try {known}, and {state}. This try is for {start.what}, or for another region, namespace "
            "or group, and starts none beside it: look at that run in the SchedulerX console, then clear the task to "
            "start a run with the new arguments"
        )

    # A cleared task.

    def stop_before_new_start(self, earlier: StartIntent) -> None:
        """The task was cleared: its earlier run must not keep running beside the new one.

        :raises RunUndecidedError: if there may be one that cannot be distinguished from other runs.
        :raises RunLostError: if it does not end.
        """
        start, calls = self._start, self._calls_of(earlier)
        if earlier.instance_id is None:
            earlier = self._find_before_new_start(calls, earlier)
        start.remember(earlier)
        known = (
            f"was {calls.kind.instance_noun} {earlier.instance_id}" if earlier.instance_id else "is unknown"
        )
        self._log.info("The task was cleared, so a new run is started; the earlier one %s", known)
        if earlier.instance_id is None or not earlier.is_own:
            return
        run = TaskRun(calls.kind, earlier.definition_id, earlier.instance_id)
        try:
            seen = calls.get(run.definition_id, run.instance_id)
        except SchedulerXError as error:
            self._log.warning("Could not poll %s: %s", run, error)
            if earlier.is_over or self._is_forgotten(earlier, error):
                return
        else:
            if _has_ended(earlier, seen):
                return
            if not start.policy.cancel_on_kill:
                self._log.warning(
                    "%s is %s and keeps running beside the new one because cancel_on_kill is off",
                    run.title,
                    seen.status.name,
                )
                return
        if start.policy.cancel_on_kill:
            self._log.info("Stopping %s first", run)
            self._stop(calls, run)

    def _is_forgotten(self, earlier: StartIntent, error: SchedulerXError) -> bool:
        """Whether the service no longer knows a run, so that nothing of it can be active."""
        age = time.time() - earlier.began
        settled = self._start.policy.settling_time + CLOCK_MARGIN
        return isinstance(error, SchedulerXNotFoundError) and age > settled

    def _find_before_new_start(self, calls: RunCalls, earlier: StartIntent) -> StartIntent:
        """The task was cleared after it had begun to start a run that is not known.

        :return: the intent, with that run if there is one.
        :raises RunUndecidedError: if there may be one that is active. Where a person was asked about it
            before, and has cleared the task, only what can be seen to be active counts.
        """
        self._log.info("The task was cleared; looking for the run that it was starting before")
        start, age = self._start, self._start.age_of(earlier)
        found = calls.reconcile(
            earlier,
            settling_time=0.0 if earlier.is_told else start.policy.settling_time,
            patience=0.0 if earlier.is_told else start.policy.patience,
            age=age,
        )
        if found.ambiguity is None:
            return replace(earlier, instance_id=found.instance_id)
        if not earlier.is_told:
            start.store.save(replace(earlier, is_told=True), of_this_life=False)
            raise self._lost.undecided(found.ambiguity)
        what = f"{calls.kind.definition_noun} {earlier.definition_id}"
        try:
            suspects = calls.find_suspects(earlier, age=age)
        except SchedulerXError as error:
            self._log.warning("The runs of %s cannot be listed: %s", what, error)
            suspects = []
        if suspects:
            raise RunUndecidedError(
                f"{api.tracking.sentence(what)} has a run that this task may have started before it was cleared, and "
                f"that is active: {'; '.join(map(str, suspects))}. So none is started beside it: stop it in the "
                "SchedulerX console, or wait for its end, then clear the task"
            )
        return earlier

    def _stop(self, calls: RunCalls, run: TaskRun) -> Run:
        """Stop a run.

        :return: the run, which has ended.
        :raises RunLostError: if it has not.
        """
        last = calls.stop(run.definition_id, run.instance_id)
        if last is None or not api.tracking.is_over(last):
            raise RunLostError(
                f"Stop of the earlier {run} was requested, but it had not ended at the last check, so no other run is "
                "started beside it"
                + (
                    ". This was the last try: stop that run in the SchedulerX console, then clear the task"
                    if self._start.owner.is_last_try
                    else ". A retry tries again"
                )
            )
        return last

    def _calls_of(self, earlier: StartIntent) -> RunCalls:
        """The calls for the kind and the scope in which an earlier try has started its run."""
        return self._start.calls.within(earlier.scope, api.kinds.kind_named(earlier.kind))


def _has_ended(earlier: StartIntent, seen: Run) -> bool:
    """Whether the run of an earlier try has ended. If that has stopped it, also by a status that nobody has described."""
    if earlier.is_over:
        # Without its nodes, such a status says nothing new.
        return api.tracking.is_over(seen) or not (seen.status.is_known or seen.nodes)
    return seen.status.is_terminal or api.tracking.has_failed(seen)


def _whereabouts(intent: StartIntent) -> tuple[str, object, int]:
    return intent.kind, intent.scope, intent.definition_id
