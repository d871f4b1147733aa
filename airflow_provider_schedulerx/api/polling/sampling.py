"""The nodes of running runs that a list shows: fetched now and then, in turn, from what the budget has to spare."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING

from airflow_provider_schedulerx.api.exceptions import SchedulerXError
from airflow_provider_schedulerx.api.polling.congestion import now
from airflow_provider_schedulerx.api.polling.loop import Loop
from airflow_provider_schedulerx.api.polling.rate_limit import SPARE_SHARE
from airflow_provider_schedulerx.api.polling.subscriptions import Place

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.polling.definition import PolledDefinition
    from airflow_provider_schedulerx.api.polling.rate_limit import Permit
    from airflow_provider_schedulerx.api.polling.subscriptions import FollowedRun

#: Share of the poll interval after which the nodes of a run may be fetched again: lists come a little early, too.
_OFTEN = 0.8


class Sampling(Loop):
    """Polls the runs that are followed by the list by themselves, in turn, so that those who wait see their nodes.

    Each at most once in its ``poll_interval``, and only from the spare calls that :meth:`.RateLimiter.try_acquire` gives, which all definitions of the account share:
    no other poll comes later because of it. A sample that fails is forgotten.
    """

    def __init__(self, definition: PolledDefinition) -> None:
        super().__init__(definition)
        self._turns: deque[FollowedRun] = deque()

    async def step(self) -> None:
        self._wake.clear()
        run = self._first()
        if run is None:
            # Until a list shows one.
            await self._sleep_until(float("inf"))
            return
        budget = self._definition.get_budget
        is_due = now() - run.nodes_seen_at >= _OFTEN * run.poll_interval
        if is_due and (permit := budget.try_acquire(SPARE_SHARE)) is not None:
            self._turns.popleft()
            self._spawn(self._sample(run, permit))
        # At the pace that the share allows if no other definition uses it.
        pause = 60 / max(1.0, budget.limit * SPARE_SHARE)
        await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311

    def _first(self) -> FollowedRun | None:
        """Whose turn it is; None if there is nobody."""
        for _ in range(2):
            while self._turns:
                if self._is_sampled(self._turns[0]):
                    return self._turns[0]
                self._turns.popleft()
            self._turns.extend(run for run in self._definition.runs.all if self._is_sampled(run))
        return None

    def _is_sampled(self, run: FollowedRun) -> bool:
        return run.lacks_nodes and run.place is Place.LIST and self._definition.runs.follows(run)

    async def _sample(self, run: FollowedRun, permit: Permit) -> None:
        runs = self._definition.runs
        poll = runs.next_poll()
        try:
            seen = await self._definition.transport.perform_permitted(self._definition.get_call(run), permit)
        except SchedulerXError:
            return
        # Not if a list that was asked for later was faster, or shows the end.
        if run.place is Place.LIST and run.last_poll < poll:
            runs.publish(run, seen, poll)
