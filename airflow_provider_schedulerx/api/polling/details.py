"""The nodes of runs that a list shows as ended: fetched from what the budget has to spare."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from dataclasses import dataclass

from airflow_provider_schedulerx.api.exceptions import SchedulerXError
from airflow_provider_schedulerx.api.polling.congestion import now
from airflow_provider_schedulerx.api.polling.definition import PolledDefinition
from airflow_provider_schedulerx.api.polling.loop import Loop
from airflow_provider_schedulerx.api.polling.rate_limit import Permit, Priority
from airflow_provider_schedulerx.api.polling.subscriptions import FollowedRun, Place
from airflow_provider_schedulerx.api.runs.kinds import RunSummary

#: Seconds to wait for the nodes: this share of the poll interval, within these bounds.
_PATIENCE, _LEAST_PATIENCE, _MOST_PATIENCE = 0.1, 1.0, 10.0


@dataclass(eq=False)
class _Ending:
    """A run that a list shows as ended.

    :ivar poll: number of that list.
    """

    run: FollowedRun
    summary: RunSummary
    poll: int
    timer: asyncio.TimerHandle | None = None


class Details(Loop):
    """Fetches the nodes of runs that a list shows as ended, from what the budget has to spare.

    Rather without nodes than late: after some seconds the end is published as the list shows it.
    """

    def __init__(self, definition: PolledDefinition) -> None:
        super().__init__(definition)
        self._endings: dict[FollowedRun, _Ending] = {}
        self._queue: deque[_Ending] = deque()

    def begin(self, run: FollowedRun, summary: RunSummary, poll: int, permit: Permit | None) -> None:
        """Fetch the nodes of a run and publish its end.

        :param poll: number of the list that shows it.
        :param permit: to make the call at once; without one it waits for the budget.
        """
        ending = _Ending(run, summary, poll)
        patience = max(min(_LEAST_PATIENCE, run.poll_interval), _PATIENCE * run.poll_interval)
        run.place, run.due_at = Place.ENDING, now() + min(patience, _MOST_PATIENCE)
        ending.timer = asyncio.get_running_loop().call_at(
            run.due_at, self._give_up, ending, context=contextvars.Context()
        )
        self._endings[run] = ending
        if permit is not None:
            self._spawn(self._fetch(ending, permit))
        else:
            self._queue.append(ending)
            self.wake()

    async def step(self) -> None:
        self._wake.clear()
        if not self._queue:
            await self._sleep_until(float("inf"))
            return
        permit = await self._definition.get_budget.acquire(Priority.SPARE)
        while self._queue:
            ending = self._queue.popleft()
            if self._is_current(ending):
                self._spawn(self._fetch(ending, permit))
                return
        self._definition.get_budget.give_back(permit)

    def cancel(self) -> set[asyncio.Task[None]]:
        for ending in self._endings.values():
            if ending.timer is not None:
                ending.timer.cancel()
        self._endings.clear()
        return super().cancel()

    async def _fetch(self, ending: _Ending, permit: Permit) -> None:
        poll = self._definition.runs.next_poll()
        try:
            instance = await self._definition.transport.perform_permitted(
                self._definition.get_call(ending.run), permit
            )
        except SchedulerXError:
            self._give_up(ending)
            return
        if self._finish(ending):
            # What the run says of itself counts: a list may be late, as after a node was run again.
            ending.run.is_doubted = not instance.status.is_terminal
            self._definition.runs.publish(ending.run, instance, poll)

    def _give_up(self, ending: _Ending) -> None:
        if not self._finish(ending):
            return
        run, runs = ending.run, self._definition.runs
        if not ending.summary.status.is_success and not run.was_active:
            # Never seen active here: a list that is late may show the failure before a rerun. The run has to say so itself.
            run.is_doubted = True
            if runs.follows(run):
                runs.schedule.plan(run)
        else:
            runs.publish(run, self._definition.kind.from_summary(ending.summary), ending.poll)

    def _finish(self, ending: _Ending) -> bool:
        """Take an ending out.

        :return: whether it was still in.
        """
        if not self._is_current(ending):
            return False
        del self._endings[ending.run]
        if ending.timer is not None:
            ending.timer.cancel()
        return True

    def _is_current(self, ending: _Ending) -> bool:
        return self._endings.get(ending.run) is ending
