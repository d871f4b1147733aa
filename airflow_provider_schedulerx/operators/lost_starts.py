"""What a task does about a start whose answer was lost: it looks for the run, or asks a person."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_schedulerx.api.exceptions import SchedulerXAmbiguousError, SchedulerXError
from airflow_provider_schedulerx.exceptions import RunUndecidedError
from airflow_provider_schedulerx.metrics import count_reconciliation

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.intents import StartIntent
    from airflow_provider_schedulerx.api.runs.reconciling import Age
    from airflow_provider_schedulerx.operators.start import Start

#: What a person does where this task cannot tell.
DECIDE = (
    "look at its instances in the SchedulerX console; if none is this task's, clear the task to start a run; if one is "
    "and has succeeded, mark it as success"
)


class LostStarts:
    """Finds the run of a lost start, and reports it to the owner and the store."""

    def __init__(self, start: Start) -> None:
        self._start = start

    def announce(self, intent: StartIntent, age: Age | None = None) -> None:
        """Tell the owner that a run may be started, and how it is found if the task is killed meanwhile.

        :param age: of the request; by default it is about to be made.
        """
        start = self._start

        def find() -> int | None:
            found = start.calls.reconcile(intent, settling_time=0.0, patience=0.0, age=age)
            if found.instance_id is not None:
                start.store.keep(replace(intent, instance_id=found.instance_id))
            return found.instance_id

        start.owner.starting(find)

    def find(
        self,
        intent: StartIntent,
        *,
        age: Age | None = None,
        may_be_several: bool = False,
        cause: SchedulerXAmbiguousError | None = None,
    ) -> tuple[StartIntent, int]:
        """Return the intent, with its run if there is one, and how many runs others started at about the same time.

        :param age: of the request; by default it has just been made.
        :param may_be_several: whether several runs may carry the marker of the intent, one started after the other.
        :param cause: why this try does not know the run.
        :raises RunUndecidedError: if nobody can tell.
        :raises RunLostError: if nobody can tell yet, and a retry may.
        """
        start = self._start
        self.announce(intent, age)
        result = start.calls.reconcile(
            intent,
            settling_time=start.policy.settling_time,
            # A refusal is most likely true. What remains unclear after the settling time is left to a retry.
            patience=0.0 if cause and is_refusal(cause) and start.owner.is_kept else start.policy.patience,
            age=age,
            may_be_several=may_be_several,
        )
        count_reconciliation(result.outcome)
        if result.ambiguity is not None:
            why = f"{cause}; {result.ambiguity}" if cause else result.ambiguity
            if result.may_resolve and start.owner.is_kept:
                raise start.owner.lost(f"A run of {start.what} may have been started: {why}")
            # The next try, if somebody clears the task, knows that a person has looked.
            start.store.keep(replace(intent, is_told=True))
            raise self.undecided(why)
        if result.instance_id is None:
            start.log.info("No run was started")
            return intent, result.others
        start.log.info("%s is the one that was started", start.run(result.instance_id).title)
        found = replace(intent, instance_id=result.instance_id)
        start.store.keep(found)
        return found, result.others

    def undecided(self, why: str) -> RunUndecidedError:
        """Return the error that asks a person."""
        return RunUndecidedError(
            f"A run of {self._start.what} may have been started: {why}. The task is not retried, because that could start "
            f"a second one: {DECIDE}. (run_marker=True makes the task's runs recognizable; the RAM action "
            "edas:ReadSchedulerxJobInstanceQuery makes their parameters visible.)"
        )


def is_refusal(error: SchedulerXError) -> bool:
    """Whether the service itself answered no (an integer ``Code``), and not something on the way to it."""
    return error.code is not None and error.code.lstrip("-").isdecimal()
