"""One poller for all the runs of a workflow that a process waits for.

The service allows 100 calls a minute for the whole account (API page "OpenAPI issues"), so a call per run and poll
would end at some fifty runs. ``ListWorkflowInstance`` shows many runs of a workflow at once: the number of calls
grows with the workflows, not with the runs.

Where the list is not enough, runs are polled one by one (``GetWorkflowInstance``): a run that it does not show, the
only run of its workflow (the same price, and it brings the nodes), and, if listing is refused, all of them.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_schedulerx.api.exceptions import SchedulerXThrottledError
from airflow_provider_schedulerx.api.polling.budgets import BudgetedTransport, account_budget
from airflow_provider_schedulerx.api.polling.details import Details
from airflow_provider_schedulerx.api.polling.listing import Listing
from airflow_provider_schedulerx.api.polling.loop import Workflow
from airflow_provider_schedulerx.api.polling.rate_limit import Priority
from airflow_provider_schedulerx.api.polling.runs import FollowedRuns
from airflow_provider_schedulerx.api.polling.singles import SinglePolls
from airflow_provider_schedulerx.api.polling.subscriptions import Observation, Subscription
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.api.wire.async_transport import AsyncTransport
from airflow_provider_schedulerx.api.wire.calls import GET_WORKFLOW_INSTANCE, LIST_WORKFLOW_INSTANCE

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
    from airflow_provider_schedulerx.api.models import WorkflowInstance
    from airflow_provider_schedulerx.api.wire.calls import Call

__all__ = ["Observation", "Subscription", "WorkflowPoller", "shared_poller"]

T = TypeVar("T")

#: Times that a call of a stop is made, if all are throttled.
_THROTTLED_TRIES = 20


class WorkflowPoller:
    """Follows all runs of one workflow that somebody waits for. Use as ``async with``; it works while anybody does.

    :param settings: of the connection; its scope says where the workflow is.
    """

    def __init__(self, settings: SchedulerXSettings, workflow_id: int) -> None:
        self._settings = settings
        self._workflow_id = workflow_id
        self._session = AsyncTransport(settings, max_retry_seconds=0)
        self._budget = account_budget(settings)
        self._opening = asyncio.Lock()
        self._is_open = False
        self._loops: tuple[Details, Listing, SinglePolls] | None = None
        self._runs: FollowedRuns | None = None
        # Longer than every timeout of the session together: it may be fooled by an answer that trickles in.
        seconds = settings.connect_timeout + 2 * settings.read_timeout
        self._transport = BudgetedTransport(self._session, self._budget, seconds)
        self.users = 0

    # What the outside sees.

    def subscribe(self, wf_instance_id: int, *, poll_interval: float, age: float) -> Subscription:
        """Begin to wait for a run.

        :param poll_interval: seconds by which its end may be noticed late, if the budget allows.
        :param age: seconds since it was started.
        :raises ValueError: if an argument is not such a number.
        """
        if not (0 < poll_interval < float("inf") and age >= 0):
            raise ValueError(
                f"poll_interval must be above 0 and age at least 0, not {poll_interval} and {age}"
            )
        return self._following().subscribe(wf_instance_id, poll_interval, age)

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a wait."""
        if self._runs is not None:
            self._runs.unsubscribe(subscription)

    def hurry(self, subscription: Subscription) -> None:
        """Have the run of a subscription polled as soon as the budget allows."""
        self._following().hurry(subscription)

    async def poll(self, wf_instance_id: int) -> WorkflowInstance:
        """Poll one run now, within the budget but before the others.

        :raises SchedulerXError: if that fails.
        """
        return await self.perform(
            calls.get_workflow_instance(self._settings.scope, self._workflow_id, wf_instance_id)
        )

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
        tasks: set[asyncio.Task[None]] = set()
        if self._loops is not None and self._runs is not None:
            tasks = set().union(*(loop.cancel() for loop in self._loops))
            self._runs.clear()
            self._loops = self._runs = None
        try:
            if tasks:
                await asyncio.wait(tasks)
        finally:
            if self._is_open:
                self._is_open = False
                await self._session.__aexit__(None, None, None)

    def _following(self) -> FollowedRuns:
        """The runs, with the loops that poll them, made at first use."""
        if self._runs is None:
            list_budget = self._budget.of(LIST_WORKFLOW_INSTANCE.name)
            get_budget = self._budget.of(GET_WORKFLOW_INSTANCE.name)
            runs = FollowedRuns(list_budget, get_budget)
            workflow = Workflow(
                self._settings.scope, self._workflow_id, runs, self._transport, list_budget, get_budget
            )
            details = Details(workflow)
            listing, singles = Listing(workflow, details), SinglePolls(workflow)
            runs.on_list_due, runs.singles.on_earlier = listing.wake, singles.wake
            self._loops, self._runs = (details, listing, singles), runs
        return self._runs


_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[Any, ...], WorkflowPoller]] = (
    WeakKeyDictionary()
)


class shared_poller:
    """``async with shared_poller(settings, workflow_id) as poller``: the one poller of this process for it."""

    def __init__(self, settings: SchedulerXSettings, workflow_id: int) -> None:
        self._key = (settings.identity, settings.account, settings.scope, workflow_id)
        self._settings = settings
        self._workflow_id = workflow_id
        self._poller: WorkflowPoller | None = None

    async def __aenter__(self) -> WorkflowPoller:
        # With the limit of the connection as it is now: it may have been edited.
        account_budget(self._settings).join(self._settings.identity, self._settings.calls_per_minute)
        pollers = _pollers.setdefault(asyncio.get_running_loop(), {})
        poller = pollers.get(self._key)
        if poller is None:
            poller = pollers[self._key] = WorkflowPoller(self._settings, self._workflow_id)
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

    def _leave(self, poller: WorkflowPoller, users: int) -> None:
        """Take back what was done on entering; without users but us, nobody else is to find the poller."""
        account_budget(self._settings).leave(self._settings.identity)
        pollers = _pollers.get(asyncio.get_running_loop(), {})
        if poller.users == users and pollers.get(self._key) is poller:
            del pollers[self._key]
