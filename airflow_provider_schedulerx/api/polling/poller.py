"""One poller for all the runs of a workflow, or of a job, that a process waits for.

The service allows 100 calls a minute for the whole account (API page "OpenAPI issues"), so a call per run and poll
would end at some fifty runs. A list (``ListWorkflowInstance``, ``GetJobInstanceList``) shows many runs of a
definition at once: the number of calls grows with the definitions, not with the runs.

Where the list is not enough, runs are polled one by one (``GetWorkflowInstance``, ``GetJobInstance``): a run that it
does not show, the only run of its definition (the same price, and it brings the nodes), and, if listing is refused,
all of them.

Waiting for a run whose id is known::

    async with shared_poller(settings, WORKFLOW_RUNS, workflow_id) as poller:
        subscription = poller.subscribe(wf_instance_id, poll_interval=30, age=0)
        try:
            while True:
                seen = await subscription.next()  # a Run, or the SchedulerXError that hid it
        finally:
            poller.unsubscribe(subscription)

Waiting for a run that is not known yet, or for the ends of all, by observing the lists::

        observer = poller.observe_lists(poll_interval=30)
        try:
            while True:
                seen = await observer.next()  # ListedRuns(summaries, asked_at), or a SchedulerXError
        finally:
            poller.unsubscribe(observer)

Every list that the process asks for is published to all observers that were there when it was asked for, whoever
wanted it, so that it may come much more often than ``poll_interval``; all observers and waits of a definition cost one
list. Errors are published too, also that listing is refused: an observer has nothing else, so the list is asked for
again after ``poll_interval`` (runs are polled one by one meanwhile), and whether to give up is the observer's decision.
Which pages and filters one list has is up to :meth:`.RunKind.list_call`: what is beyond is not shown.

Every subscriber of either sort has a next poll, at most 1.2 times later than its ``poll_interval`` or, where the
budget is too small for all, than an even share allows.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_schedulerx.api.exceptions import SchedulerXThrottledError
from airflow_provider_schedulerx.api.polling.budgets import BudgetedTransport, account_budget
from airflow_provider_schedulerx.api.polling.following import Following
from airflow_provider_schedulerx.api.polling.rate_limit import Priority
from airflow_provider_schedulerx.api.polling.subscriptions import (
    ListedRuns,
    ListObservation,
    ListSubscription,
    Observation,
    Subscription,
)
from airflow_provider_schedulerx.api.wire.async_transport import AsyncTransport

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
    from airflow_provider_schedulerx.api.polling.runs import FollowedRuns
    from airflow_provider_schedulerx.api.runs.kinds import Run, RunKind
    from airflow_provider_schedulerx.api.wire.calls import Call

__all__ = [
    "ListObservation",
    "ListSubscription",
    "ListedRuns",
    "Observation",
    "RunPoller",
    "Subscription",
    "shared_poller",
]

T = TypeVar("T")

#: Times that a call of a stop is made, if all are throttled.
_THROTTLED_TRIES = 20


class RunPoller:
    """Follows all runs of one definition that somebody waits for. Use as ``async with``; it works while anybody does.

    :param settings: of the connection; its scope says where the definition is.
    :param kind: of the runs.
    :param definition_id: of the workflow or job.
    """

    def __init__(self, settings: SchedulerXSettings, kind: RunKind, definition_id: int) -> None:
        self._settings = settings
        self._kind = kind
        self._definition_id = definition_id
        self._session = AsyncTransport(settings, max_retry_seconds=0)
        self._budget = account_budget(settings)
        self._opening = asyncio.Lock()
        self._is_open = False
        self._following: Following | None = None
        # Longer than every timeout of the session together: it may be fooled by an answer that trickles in.
        seconds = settings.connect_timeout + 2 * settings.read_timeout
        self._transport = BudgetedTransport(self._session, self._budget, seconds)
        self.users: int = 0

    # What the outside sees.

    def subscribe(self, instance_id: int, *, poll_interval: float, age: float) -> Subscription:
        """Begin to wait for a run.

        :param poll_interval: seconds by which its end may be noticed late, if the budget allows.
        :param age: seconds since it was started.
        :raises ValueError: if an argument is not such a number.
        """
        if not (0 < poll_interval < float("inf") and age >= 0):
            raise ValueError(
                f"poll_interval must be above 0 and age at least 0, not {poll_interval} and {age}"
            )
        return self._runs().subscribe(instance_id, poll_interval, age)

    def observe_lists(self, *, poll_interval: float) -> ListSubscription:
        """Begin to observe the lists, without following a certain run.

        :param poll_interval: seconds between two lists, at most, if the budget allows.
        :raises ValueError: if it is not such a number.
        """
        if not 0 < poll_interval < float("inf"):
            raise ValueError(f"poll_interval must be above 0, not {poll_interval}")
        return self._runs().observe_lists(poll_interval)

    def unsubscribe(self, subscription: Subscription | ListSubscription) -> None:
        """End a wait, or the observation of lists."""
        if self._following is not None:
            self._following.runs.unsubscribe(subscription)

    def hurry(self, subscription: Subscription | ListSubscription) -> None:
        """Have the run of a subscription polled, or the list made, as soon as the budget allows."""
        self._runs().hurry(subscription)

    async def poll(self, instance_id: int) -> Run:
        """Poll one run now, within the budget but before the others.

        :raises SchedulerXError: if that fails.
        """
        return await self.perform(self._kind.get_call(self._settings.scope, self._definition_id, instance_id))

    async def perform(self, call: Call[T]) -> T:
        """Carry out a call of a stop, within the budget but before the polls.

        A throttled call, which changed nothing, is made again when the quota has room.

        :raises SchedulerXError: if it fails otherwise, or is throttled again and again.
        """
        for _ in range(_THROTTLED_TRIES - 1):
            with suppress(SchedulerXThrottledError):
                return await self._transport.perform(call, Priority.STOP)
        return await self._transport.perform(call, Priority.STOP)

    async def __aenter__(self) -> Self:
        self.users += 1
        try:
            async with self._opening:
                if not self._is_open:
                    await self._session.__aenter__()
                    self._is_open = True
        except BaseException:
            self.users -= 1
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.users -= 1
        if self.users:
            return
        following, self._following = self._following, None
        tasks = following.end() if following is not None else set()
        try:
            if tasks:
                await asyncio.wait(tasks)
        finally:
            if self._is_open:
                self._is_open = False
                await self._session.__aexit__(None, None, None)

    def _runs(self) -> FollowedRuns:
        """Who waits for what, made at first use."""
        if self._following is None:
            self._following = Following(
                self._kind, self._settings.scope, self._definition_id, self._transport, self._budget
            )
        return self._following.runs


_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[Any, ...], RunPoller]] = WeakKeyDictionary()


class shared_poller:
    """``async with shared_poller(settings, kind, definition_id) as poller``: the one poller of this process for it."""

    def __init__(self, settings: SchedulerXSettings, kind: RunKind, definition_id: int) -> None:
        self._key = (settings.identity, settings.account, settings.scope, kind.name, definition_id)
        self._settings = settings
        self._kind = kind
        self._definition_id = definition_id
        self._poller: RunPoller | None = None

    async def __aenter__(self) -> RunPoller:
        # With the limit of the connection as it is now: it may have been edited.
        account_budget(self._settings).join(self._settings.identity, self._settings.calls_per_minute)
        pollers = _pollers.setdefault(asyncio.get_running_loop(), {})
        poller = pollers.get(self._key)
        if poller is None:
            poller = pollers[self._key] = RunPoller(self._settings, self._kind, self._definition_id)
        self._poller = poller
        try:
            return await poller.__aenter__()
        except BaseException:
            self._leave(poller, users=0)
            raise

    async def __aexit__(self, *exception: object) -> None:
        poller = self._poller
        if poller is None:
            return
        self._leave(poller, users=1)
        await poller.__aexit__(*exception)

    def _leave(self, poller: RunPoller, users: int) -> None:
        """Take back what was done on entering; without users but us, nobody else is to find the poller."""
        account_budget(self._settings).leave(self._settings.identity)
        pollers = _pollers.get(asyncio.get_running_loop(), {})
        if poller.users == users and pollers.get(self._key) is poller:
            del pollers[self._key]
