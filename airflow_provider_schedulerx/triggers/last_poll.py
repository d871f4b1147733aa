"""The last poll of a run when the time to wait for it is up: one that has ended meanwhile still counts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from airflow_provider_schedulerx.api.exceptions import SchedulerXError

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.polling.poller import RunPoller, Subscription
    from airflow_provider_schedulerx.api.runs.kinds import Run

#: Seconds for which a run is polled only with all others that are due: one list may show them all.
_SHARED = 3.0
#: Seconds after which it is given up.
_SECONDS = 8.0
#: Seconds after a poll that failed. An error is no look at the run.
_PAUSE = 2.0


class LastPoll:
    """Polls a run until it is seen once more, for some seconds.

    :ivar problem: why it was not seen, in a sentence.
    """

    def __init__(self, poller: RunPoller, subscription: Subscription) -> None:
        self._poller = poller
        self._subscription = subscription
        self.problem: str = "the quota left no room for a last poll within some seconds"

    async def make(self) -> Run | None:
        """Return the run as it is now; None if it could not be seen in time."""
        polls = [asyncio.create_task(self._with_others()), asyncio.create_task(self._by_itself())]
        try:
            done, _ = await asyncio.wait(polls, timeout=_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for poll in polls:
                poll.cancel()
            await asyncio.wait(polls)
        return next((poll.result() for poll in done), None)

    async def _with_others(self) -> Run:
        while True:
            self._poller.hurry(self._subscription)
            seen = await self._subscription.next()
            if not isinstance(seen, SchedulerXError):
                return seen
            await self._note(seen)

    async def _by_itself(self) -> Run:
        await asyncio.sleep(_SHARED)
        while True:
            try:
                return await self._poller.poll(self._subscription.instance_id)
            except SchedulerXError as error:
                await self._note(error)

    async def _note(self, error: SchedulerXError) -> None:
        self.problem = f"the last poll failed: {error}"
        await asyncio.sleep(_PAUSE)
