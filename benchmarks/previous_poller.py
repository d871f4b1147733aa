"""The poller as it was before it was keyed on the run, kept only for :mod:`benchmarks.stress` to compare with.

One loop for everything, and one state for each wait.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAuthorizationError,
    SchedulerXError,
    SchedulerXNotFoundError,
    SchedulerXRejectedError,
    SchedulerXThrottledError,
    SchedulerXUnavailableError,
)
from airflow_provider_schedulerx.api.models import (
    WorkflowInstance,
    WorkflowInstanceStatus,
    WorkflowInstanceSummary,
)
from airflow_provider_schedulerx.api.polling.intervals import usual_duration, wished_interval
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.api.wire.async_transport import AsyncTransport
from airflow_provider_schedulerx.api.wire.calls import GET_WORKFLOW_INSTANCE, LIST_WORKFLOW_INSTANCE, Call

log = logging.getLogger(__name__)

#: Seconds in which the budget may be used once. More than a minute, because two calls can arrive
#: closer together than they were sent.
WINDOW = 62.0

#: Seconds to stop after a throttling answer that does not say how long.
_THROTTLED_PAUSE = 5.0
_WARN_EVERY = 600.0


class RateLimiter:
    """Calls of one operation. Whoever asks first is served first.

    Throttling answers halve the rate, and every call that passes wins a little of it back, since
    others, such as the workers that start runs, use the same quota.

    :param per_minute: never exceeded in any minute.
    """

    def __init__(
        self,
        per_minute: int,
        name: str = "",
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._limit = per_minute
        self._rate = float(per_minute)
        self._name = name
        self._clock = clock or asyncio.get_running_loop().time
        self._sleep = sleep
        self._sent: deque[float] = deque()
        self._blocked_until = float("-inf")
        self._turn = asyncio.Lock()
        self._demands: dict[object, tuple[float, float]] = {}
        self._wished = 0.0
        self._needed = 0.0
        self._warned_at = float("-inf")

    async def acquire(self) -> None:
        """Wait until one more call may be made, and count it."""
        async with self._turn:
            while (wait := self._wait()) > 0:
                await self._sleep(wait)
            self._sent.append(self._clock())

    def try_acquire(self, share: float) -> bool:
        """Count one more call, if less than this share of the budget is used and nobody waits."""
        self._forget_old()
        spare = not self._turn.locked() and self._wait() <= 0 and len(self._sent) < self._rate * share
        if spare:
            self._sent.append(self._clock())
        return spare

    def on_throttled(self, retry_after: float | None) -> None:
        """Take in that the service refused a call. :param retry_after: seconds it asked to wait."""
        self._rate = max(1.0, self._rate / 2)
        pause = _THROTTLED_PAUSE if retry_after is None else retry_after
        self._blocked_until = max(self._blocked_until, self._clock() + pause)

    def on_success(self) -> None:
        """Take in that the service accepted a call."""
        self._rate = min(float(self._limit), self._rate + 1.0)

    def demand(self, who: object, wished: float, needed: float) -> None:
        """Say how many calls a minute someone would like to make, and has to make; 0 to leave.

        :param wished: to be as fresh as it would like to be.
        :param needed: to be no staler than it promised.
        """
        old = self._demands.pop(who, (0.0, 0.0))
        if wished or needed:
            self._demands[who] = (wished, needed)
        # Kept as sums: thousands of pollers say this at every round.
        self._wished += wished - old[0]
        self._needed += needed - old[1]

    @property
    def stretch(self) -> tuple[float, float]:
        """By how much wished intervals, and promised ones, must be longer to fit: both at least 1."""
        needed = self._needed / self._rate
        if needed > 1 and self._clock() - self._warned_at > _WARN_EVERY:
            self._warned_at = self._clock()
            log.warning(
                "The runs that are followed need %.0f calls of %s a minute, but %d are allowed (calls_per_minute of "
                "the connection): looks come up to %.1f times later than poll_interval",
                self._needed,
                self._name,
                self._limit,
                needed,
            )
        return max(1.0, self._wished / self._rate), max(1.0, needed)

    def _forget_old(self) -> None:
        old = self._clock() - WINDOW
        while self._sent and self._sent[0] <= old:
            self._sent.popleft()

    def _wait(self) -> float:
        """Seconds until the next call; 0 or less means now."""
        now = self._clock()
        self._forget_old()
        if now < self._blocked_until:
            return self._blocked_until - now
        allowed = max(1, int(self._rate))
        if len(self._sent) >= allowed:
            return self._sent[-allowed] + WINDOW - now
        if len(self._sent) * 2 > allowed:
            # The second half of the budget is spread out, so that a burst does not mean a minute of silence.
            return self._sent[-1] + 60.0 / allowed - now
        return 0.0


_budgets: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[object, str], RateLimiter]] = (
    WeakKeyDictionary()
)


def rate_limiter_for(account: object, operation: str, per_minute: int) -> RateLimiter:
    """The budget of an account and operation in this event loop, made at first use."""
    budgets = _budgets.setdefault(asyncio.get_running_loop(), {})
    key = (account, operation)
    if key not in budgets:
        budgets[key] = RateLimiter(per_minute, operation)
    return budgets[key]


T = TypeVar("T")

#: A look at a run: how it is, or why that could not be seen.
Look = WorkflowInstance | SchedulerXError

#: Seconds after which a refused listing is tried again.
_LIST_AGAIN = 3600.0
#: Listings in a row that fail, before runs are asked for one by one for so many seconds.
_LIST_FAILURES = 3
_LIST_SOON = 60.0
#: Share of the budget up to which the nodes of a successful run are fetched too, for its log.
_SPARE_SHARE = 0.2


@dataclass(eq=False)
class Watch:
    """One wait for one run. Its looks come from :meth:`next`."""

    wf_instance_id: int
    poll_interval: float
    started_at: float
    due_at: float
    looks: asyncio.Queue[Look] = field(default_factory=asyncio.Queue)
    is_over: bool = False

    async def next(self) -> Look:
        """Wait for the next look."""
        return await self.looks.get()


class WorkflowPoller:
    """Follows all watched runs of one workflow. Use as ``async with``; it works while anybody watches.

    :param settings: of the connection; its scope says where the workflow is.
    """

    def __init__(self, settings: SchedulerXSettings, workflow_id: int) -> None:
        self._settings = settings
        self._workflow_id = workflow_id
        self._list_call = calls.list_workflow_instances(settings.scope, workflow_id)
        self._get_calls: dict[int, Call[WorkflowInstance]] = {}
        self._transport = AsyncTransport(settings, max_retry_seconds=0)
        self._list_budget = rate_limiter_for(
            settings.account, LIST_WORKFLOW_INSTANCE.name, settings.calls_per_minute
        )
        self._get_budget = rate_limiter_for(
            settings.account, GET_WORKFLOW_INSTANCE.name, settings.calls_per_minute
        )
        self._watches: set[Watch] = set()
        self._work: asyncio.Task[None] | None = None
        self._details: set[asyncio.Task[None]] = set()
        self._opening = asyncio.Lock()
        self._is_open = False
        self._wake = asyncio.Event()
        self._usual_duration: float | None = None
        self._list_refused_until = float("-inf")
        self._list_failures = 0
        self.users = 0

    # What the outside sees.

    async def look(self, wf_instance_id: int) -> WorkflowInstance:
        """Look at one run now, within the budget. :raises SchedulerXError: if that fails."""
        await self._get_budget.acquire()
        return await self._perform_paid(self._get_budget, self._get_call(wf_instance_id))

    def watch(self, wf_instance_id: int, *, poll_interval: float, age: float) -> Watch:
        """Begin to watch a run.

        :param poll_interval: seconds by which its end may be noticed late, if the budget allows.
        :param age: seconds since it was started.
        """
        now = self._now()
        watch = Watch(wf_instance_id, poll_interval, started_at=now - age, due_at=now)
        # A crowd that arrives together, as after a restart, is seen by one list, not by many.
        watch.due_at += random.uniform(0, min(1.0, poll_interval / 10))
        self._watches.add(watch)
        self._wake.set()
        if self._work is None:
            self._work = asyncio.create_task(self._follow(), name=f"schedulerx-poller-{self._workflow_id}")
        return watch

    def unwatch(self, watch: Watch) -> None:
        self._watches.discard(watch)
        if not any(other.wf_instance_id == watch.wf_instance_id for other in self._watches):
            self._get_calls.pop(watch.wf_instance_id, None)
        self._wake.set()

    async def __aenter__(self) -> Self:
        self.users += 1
        try:
            async with self._opening:
                if not self._is_open:
                    await self._transport.__aenter__()
                    self._is_open = True
        except BaseException:
            self.users -= 1
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.users -= 1
        if self.users:
            return
        for task in (self._work, *self._details):
            if task is not None:
                task.cancel()
        self._work = None
        for budget in (self._list_budget, self._get_budget):
            budget.demand(self, 0, 0)
        if self._is_open:
            self._is_open = False
            await self._transport.__aexit__(*exception)

    # The work.

    async def _follow(self) -> None:
        while True:
            self._wake.clear()
            due_at = min((watch.due_at for watch in self._watches), default=float("inf"))
            if (wait := due_at - self._now()) > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), None if wait == float("inf") else wait)
                continue
            try:
                await self._round()
            except Exception as error:
                # Nobody may wait for ever because of a mistake of ours.
                log.exception("The poller of workflow %s failed", self._workflow_id)
                fault = SchedulerXUnavailableError(f"the poller failed: {error!r}")
                self._tell_all(self._watches, fault)
                self._plan(self._watches)

    async def _round(self) -> None:
        active = self._active()
        if len({watch.wf_instance_id for watch in active}) == 1 or self._is_list_refused():
            await self._look_at_each([watch for watch in active if watch.due_at <= self._now()])
        else:
            await self._list()

    async def _list(self) -> None:
        await self._list_budget.acquire()
        # Only who is here before the list is asked for may be told by it: an older list may show a
        # run's earlier state.
        watches = self._active()
        if not watches:
            return
        try:
            summaries = await self._perform_paid(self._list_budget, self._list_call)
        except SchedulerXError as error:
            if isinstance(error, SchedulerXAuthorizationError) or (
                isinstance(error, SchedulerXRejectedError) and not isinstance(error, SchedulerXNotFoundError)
            ):
                self._list_refused_until = self._now() + _LIST_AGAIN
                log.warning(
                    "Workflow %s cannot be listed, so its runs are asked for one by one, which needs more of the "
                    "quota: %s",
                    self._workflow_id,
                    error,
                )
                return
            if not isinstance(error, SchedulerXThrottledError):
                self._list_failures += 1
                if self._list_failures % _LIST_FAILURES == 0:
                    # Perhaps only listing is broken, or its answers lack what is needed.
                    self._list_refused_until = self._now() + _LIST_SOON
            self._tell_all(watches, error)
            self._plan(watches)
            return
        self._list_failures = 0
        self._usual_duration = usual_duration(summaries)
        listed = {summary.wf_instance_id: summary for summary in summaries}
        missing: list[Watch] = []
        for watch in watches:
            summary = listed.get(watch.wf_instance_id)
            if summary is None:
                missing.append(watch)
            elif summary.status is WorkflowInstanceStatus.FAILED:
                # To name the bad nodes.
                self._report_with_nodes(watch, summary, is_paid=False)
            elif summary.status is WorkflowInstanceStatus.SUCCESS and self._get_budget.try_acquire(
                _SPARE_SHARE
            ):
                # For the log, as long as that is cheap.
                self._report_with_nodes(watch, summary, is_paid=True)
            else:
                self._tell(watch, _instance(summary))
        self._plan(watches)
        await self._look_at_each(missing)

    def _report_with_nodes(self, watch: Watch, summary: WorkflowInstanceSummary, *, is_paid: bool) -> None:
        """Report the end of a run with its nodes, without holding up the others.

        :param is_paid: whether the budget has counted the call already.
        """
        watch.is_over = True

        async def fetch() -> WorkflowInstance:
            if not is_paid:
                await self._get_budget.acquire()
            return await self._perform_paid(self._get_budget, self._get_call(watch.wf_instance_id))

        async def report() -> None:
            look: Look = _instance(summary)
            # Rather without nodes than later than promised.
            with suppress(SchedulerXError, TimeoutError):
                look = await asyncio.wait_for(fetch(), watch.poll_interval)
            self._tell(watch, look)

        task = asyncio.create_task(report())
        self._details.add(task)
        task.add_done_callback(self._details.discard)

    async def _look_at_each(self, watches: Iterable[Watch]) -> None:
        for watch in sorted(watches, key=lambda watch: watch.due_at):
            if watch not in self._watches:
                continue
            try:
                look: Look = await self.look(watch.wf_instance_id)
            except SchedulerXError as error:
                look = error
            self._tell(watch, look)
            self._plan([watch])

    def _get_call(self, wf_instance_id: int) -> Call[WorkflowInstance]:
        """Kept while the run is watched, since a call is encoded only once."""
        call = self._get_calls.get(wf_instance_id)
        if call is None:
            call = calls.get_workflow_instance(self._settings.scope, self._workflow_id, wf_instance_id)
            if any(watch.wf_instance_id == wf_instance_id for watch in self._watches):
                self._get_calls[wf_instance_id] = call
        return call

    async def _perform_paid(self, budget: RateLimiter, call: Call[T]) -> T:
        try:
            result = await self._transport.perform(call)
        except SchedulerXThrottledError as error:
            budget.on_throttled(error.retry_after)
            raise
        budget.on_success()
        return result

    def _tell_all(self, watches: Iterable[Watch], look: Look) -> None:
        for watch in list(watches):
            self._tell(watch, look)

    def _tell(self, watch: Watch, look: Look) -> None:
        if watch in self._watches:
            watch.looks.put_nowait(look)
            watch.is_over = isinstance(look, WorkflowInstance) and look.status.is_terminal

    def _plan(self, watches: Iterable[Watch]) -> None:
        """Say when these runs are looked at next."""
        now = self._now()
        active = self._active()
        each = self._is_list_refused() or len(active) == 1
        budget, other = (
            (self._get_budget, self._list_budget) if each else (self._list_budget, self._get_budget)
        )
        intervals = [self._interval(watch, now) for watch in active]
        if each:
            wished = sum(60 / interval for interval in intervals)
            needed = sum(60 / watch.poll_interval for watch in active)
        else:
            wished = 60 / min(intervals, default=float("inf"))
            needed = 60 / min((watch.poll_interval for watch in active), default=float("inf"))
        budget.demand(self, wished, needed)
        other.demand(self, 0, 0)
        wish_stretch, need_stretch = budget.stretch
        for watch in watches:
            if watch.is_over:
                watch.due_at = float("inf")
                continue
            interval = min(self._interval(watch, now) * wish_stretch, watch.poll_interval * need_stretch)
            # Only downwards, since poll_interval is a promise.
            watch.due_at = now + interval * random.uniform(0.8, 1.0)

    def _active(self) -> list[Watch]:
        """Watches whose run is not known to have ended."""
        return [watch for watch in self._watches if not watch.is_over]

    def _interval(self, watch: Watch, now: float) -> float:
        return wished_interval(now - watch.started_at, watch.poll_interval, self._usual_duration)

    def _is_list_refused(self) -> bool:
        return self._now() < self._list_refused_until

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _instance(summary: WorkflowInstanceSummary) -> WorkflowInstance:
    """A look without nodes, as a list shows it."""
    return WorkflowInstance(
        workflow_id=summary.workflow_id,
        wf_instance_id=summary.wf_instance_id,
        status=summary.status,
        schedule_time=summary.schedule_time,
        data_time=summary.data_time,
        start_time=summary.start_time,
        end_time=summary.end_time,
    )


_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[Any, ...], WorkflowPoller]] = (
    WeakKeyDictionary()
)


class shared_poller:
    """``async with shared_poller(settings, workflow_id) as poller``: the one poller of this process for it."""

    def __init__(self, settings: SchedulerXSettings, workflow_id: int) -> None:
        self._key = (settings.identity, settings.scope, settings.calls_per_minute, workflow_id)
        self._settings = settings
        self._workflow_id = workflow_id
        self._poller: WorkflowPoller | None = None

    async def __aenter__(self) -> WorkflowPoller:
        pollers = _pollers.setdefault(asyncio.get_running_loop(), {})
        poller = pollers.get(self._key)
        if poller is None:
            poller = pollers[self._key] = WorkflowPoller(self._settings, self._workflow_id)
        self._poller = poller
        return await poller.__aenter__()

    async def __aexit__(self, *exception: object) -> None:
        poller = self._poller
        if poller is None:
            return
        if poller.users == 1:
            _pollers[asyncio.get_running_loop()].pop(self._key, None)
        await poller.__aexit__(*exception)
