"""One workflow that an event trigger watches: which ends its lists show, and what the store holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import SchedulerXError
from airflow_provider_schedulerx.triggers import definitions
from airflow_provider_schedulerx.triggers.cursors import CursorStore
from airflow_provider_schedulerx.triggers.lists import RunLists

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.polling.poller import RunPoller
    from airflow_provider_schedulerx.api.runs.ends import Ends
    from airflow_provider_schedulerx.api.runs.kinds import Run, RunSummary
    from airflow_provider_schedulerx.triggers.event import WorkflowEventTrigger

Status = Literal["success", "failed"]

#: Seconds between two tries to reach the state store.
_PAUSE = 5.0
#: Seconds after which a watcher that another triggerer has, too, is certain to have been ended if it is that one's alone.
_TAKEN_PAUSE = 20.0
#: Seconds after which an event that the triggerer was given is taken for stored, where no listener says so.
_STORED_AFTER = 60.0


class Watch:
    """One workflow that is watched, from the moment its id is known.

    :ivar source: where it is, and which it is.
    """

    def __init__(
        self, trigger: WorkflowEventTrigger, lists: RunLists, source: str, store: CursorStore, ends: Ends
    ) -> None:
        self.source = source
        self._trigger = trigger
        self._log = trigger.log
        self._settings = lists.settings
        self._workflow_id = lists.definition_id or 0
        self._name = trigger.workflow_name
        self._store = store
        self._ends = ends
        self._emitted_at: dict[int, float] = {}
        self._poller: RunPoller | None = None
        self._asked: dict[int, asyncio.Task[Run | None]] = {}
        self._is_new = True

    @classmethod
    async def begin(cls, trigger: WorkflowEventTrigger, lists: RunLists, source: str) -> Watch:
        """Resume where the previous watch stopped."""
        store = CursorStore(trigger, trigger.watcher, source)
        # First of all: from now on a predecessor that lives on reports nothing that this one might, too.
        await _persistently(trigger.log, store.take)
        cursor = await _persistently(trigger.log, store.load)
        watch = cls(trigger, lists, source, store, api.ends.Ends(cursor))
        await watch._learn_name()
        trigger.log.info(
            "Watching %s: %s",
            trigger.label,
            "there is no cursor, so only runs that end from now on are reported"
            if cursor is None
            else f"resuming at the cursor, with {len(cursor.pending)} runs pending",
        )
        return watch

    async def observe(self, listed: Sequence[RunSummary], poller: RunPoller) -> list[RunSummary]:
        """Process a list.

        :return: the runs whose event is due, each of which is returned once. Before this returns, the store holds them as due.
        """
        if poller is not self._poller:
            # The connection has changed: the previous poller is no longer used.
            await self.end()
            self._poller = poller
        self._ends.settle(await self._delivered())
        seen = self._ends.observe(listed)
        if seen.gap:
            self._log.warning(
                "Ends of %s may have been missed: %s. Lower poll_interval (%g s)",
                self._trigger.label,
                seen.gap,
                self._trigger.poll_interval,
            )
        ended = [*seen.ended, *self._ask(seen.undecided, poller)]
        unwanted = [run for run in ended if status_of(run) not in self._trigger.statuses]
        for run in unwanted:
            self._ends.dismiss(run)
        if self._store.is_durable:
            cursor = self._ends.cursor
            await _persistently(self._log, lambda: self._store.save(cursor))
        due = [run for run in ended if run not in unwanted]
        for run in due:
            self._ends.report(run)
        return due

    async def is_stored(self, run: RunSummary) -> bool:
        """Whether there is an event of this end already. Another triggerer may have emitted it, if this one was taken for dead.

        That one has begun since, so it alone emits; this one waits until Airflow ends it. If it does not, the other one is gone:
        two triggerers may both begin with a new trigger, and only one keeps it.
        """
        if not self._store.is_durable:
            return False
        while await _persistently(self._log, self._store.is_taken):
            self._log.info(
                "Another triggerer has begun to watch %s, too; this one reports nothing for %g s",
                self._trigger.label,
                _TAKEN_PAUSE,
            )
            await asyncio.sleep(_TAKEN_PAUSE)
            await _persistently(self._log, self._store.take)
        found: dict[int, str] = await _persistently(self._log, self._store.delivered)
        return found.get(run.instance_id) == api.ends.mark_of(run.status.is_success, run.end_time)

    def emitted(self, run: RunSummary) -> None:
        """Record that an event is being emitted."""
        self._emitted_at[run.instance_id] = time.monotonic()

    def payload(self, run: RunSummary) -> dict[str, Any]:
        """Return what an event says of a run."""
        return {
            "WfInstanceId": run.instance_id,
            "workflow_id": self._workflow_id,
            "workflow_name": self._name,
            "status": status_of(run).upper(),
            "ScheduleTime": run.schedule_time,
            "DataTime": run.data_time,
            "StartTime": run.start_time,
            "EndTime": run.end_time,
            "console_url": self._settings.console_link(self._workflow_id, run.instance_id),
            "watcher": self._trigger.watcher,
        }

    async def end(self) -> None:
        """Stop polling single runs."""
        asked = list(self._asked.values())
        for task in asked:
            task.cancel()
        self._asked.clear()
        if asked:
            await asyncio.wait(asked)

    async def _delivered(self) -> dict[int, str]:
        """Return the unconfirmed ends whose event has been stored, by run."""
        reported = self._ends.unconfirmed
        if not self._store.is_durable:
            return reported
        if not reported and not self._is_new:
            return {}
        found: dict[int, str] = await _persistently(self._log, self._store.delivered)
        if self._is_new:
            # These were reported by the previous triggerer.
            self._is_new = False
            return found
        # Without the listener (plugins can be disabled), a triggerer that is still alive stored it long ago.
        before = time.monotonic() - _STORED_AFTER
        stored = {
            number: mark
            for number, mark in reported.items()
            if found.get(number) == mark or self._emitted_at.get(number, float("inf")) < before
        }
        for number in stored:
            self._emitted_at.pop(number, None)
        return stored

    def _ask(self, undecided: frozenset[int], poller: RunPoller) -> list[RunSummary]:
        """Poll one by one the runs whose state the list does not show.

        :return: those that have ended.
        """
        ended: list[RunSummary] = []
        for number in undecided - self._asked.keys():
            self._asked[number] = asyncio.create_task(self._follow(number, poller))
        for number, task in list(self._asked.items()):
            if number not in undecided:
                task.cancel()
            elif not task.done():
                continue
            del self._asked[number]
            if number in undecided:
                error = asyncio.CancelledError() if task.cancelled() else task.exception()
                if error is not None:
                    # Whatever the fault, keep watching: the next list has the run polled again.
                    self._log.warning(
                        "Workflow instance %s cannot be polled: %s: %s", number, type(error).__name__, error
                    )
                    continue
                run = task.result()
                if run is None:
                    self._ends.give_up(number)
                elif self._ends.is_end(run):
                    ended.append(run)
        return ended

    async def _follow(self, number: int, poller: RunPoller) -> Run | None:
        """Wait for the end of a run that the list does not show, or with a status that is not documented.

        :return: None if nobody can tell how it has ended.
        """
        tracker = api.tracking.RunTracker(float("inf"))
        subscription = poller.subscribe(number, poll_interval=self._trigger.poll_interval, age=3600.0)
        try:
            while True:
                seen = await subscription.next()
                if isinstance(seen, SchedulerXError):
                    if not tracker.observe_failure(seen, time.monotonic()):
                        self._log.warning("Workflow instance %s is no longer watched: %s", number, seen)
                        return None
                    continue
                verdict, _ = tracker.observe(cast("Any", seen), time.monotonic())
                if verdict is api.tracking.Verdict.UNDECIDED:
                    self._log.warning(
                        "Workflow instance %s is no longer watched: it shows the status %s, which is not documented",
                        number,
                        seen.status.value,
                    )
                    return None
                if verdict is not api.tracking.Verdict.ACTIVE:
                    return seen
        finally:
            poller.unsubscribe(subscription)

    async def _learn_name(self) -> None:
        if self._name is None:
            try:
                self._name = await definitions.workflow_name(self._settings, self._workflow_id)
            except SchedulerXError as error:
                self._log.info("The name of %s is not known: %s", self._trigger.label, error)


async def _persistently(log: Any, ask: Any) -> Any:
    """Ask the store until it answers: without it, ends would be reported twice or never."""
    said = False
    while True:
        try:
            return await ask()
        except Exception as error:
            if not said:
                said = True
                log.warning(
                    "The asset's state cannot be read or written: %s: %s", type(error).__name__, error
                )
            await asyncio.sleep(_PAUSE)


def status_of(run: RunSummary) -> Status:
    """Return how an ended run counts: an undocumented status is never a success."""
    return "success" if run.status.is_success else "failed"
