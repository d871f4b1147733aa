"""How many calls of one operation a process may make, so that all of it stays inside the account's quota.

The service allows 100 calls a minute per operation and account (API page "OpenAPI issues"). How it
counts a minute is not documented, so the limit holds for any minute.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Hashable
from functools import partial

from airflow_provider_schedulerx.api.polling.congestion import Congestion, now
from airflow_provider_schedulerx.api.polling.demands import Demands
from airflow_provider_schedulerx.api.polling.pacing import WINDOW, pause_between
from airflow_provider_schedulerx.api.polling.permits import Permit, Priority
from airflow_provider_schedulerx.api.polling.reporting import Metric, report
from airflow_provider_schedulerx.api.polling.shortage import ShortageLog

__all__ = ["SPARE_SHARE", "WINDOW", "Permit", "Priority", "RateLimiter"]

#: Calls for stops in a row before one poll has its turn.
_STOPS_IN_A_ROW = 4
#: Share of the spare calls that may be used.
_SPARE = 0.9
#: Share of the rate that calls may take which nobody waits for: the nodes of runs that go on, or have succeeded.
SPARE_SHARE = 0.2
#: Seconds after which those who wait for a spare call ask again.
_SPARE_PAUSE = 1.0
#: Seconds.
_SHORTEST_WAIT = 1e-6

#: What says by when somebody is promised a call, and his turn.
_Waiter = tuple[Callable[[], float], asyncio.Future[Permit]]


class RateLimiter:
    """Calls of one operation of one account. Of equal priority, whoever was promised a call first is served first.

    A throttled call halves the rate, which then grows back: see :class:`.Congestion`.

    :param per_minute: never exceeded in any minute.
    :param name: of the operation, for logs and metrics.
    :param account: a text that tells accounts apart in metrics.
    """

    def __init__(self, per_minute: int, name: str = "", account: str = "") -> None:
        self._congestion = Congestion(per_minute)
        self.demands: Demands = Demands()
        self._tags = {"operation": name, "account": account}
        self._sent: deque[float] = deque()
        self._spare_sent: deque[float] = deque()
        self._due_sent: deque[float] = deque()
        self._waiting: dict[Priority, dict[int, _Waiter]] = {priority: {} for priority in Priority}
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._stops = 0
        self._shortage = ShortageLog(name, self._report_rate)

    def set_limit(self, per_minute: int) -> None:
        """Change how many calls a minute are allowed, at once."""
        if per_minute != self._congestion.limit:
            self._congestion.limit = per_minute
            self._dispatch()

    @property
    def limit(self) -> int:
        """Calls a minute that are never exceeded."""
        return self._congestion.limit

    @property
    def rate(self) -> float:
        """Calls a minute that are allowed now: at most the limit."""
        return self._congestion.rate

    @property
    def load(self) -> float:
        """What was used in the last minute, or is promised for the next, as a share of the rate."""
        self._forget_old()
        return max(len(self._sent), self.demands.needed) / self.rate

    # Calls.

    async def acquire(
        self, priority: Priority = Priority.POLL, promised_at: Callable[[], float] | None = None
    ) -> Permit:
        """Wait until one more call may be made, and count it.

        :param promised_at: says by when the call was promised, in the event loop's time, and may say another time
            while it waits; None is now, but for a spare call. Of equal priority, the earliest is served first; what
            is not promised yet gets only what the promises to others leave over.
        """
        if promised_at is None:
            promised_at = partial(float, float("inf") if priority is Priority.SPARE else now())
        if not any(self._waiting.values()) and self._wait(priority, at := promised_at()) <= 0:
            return self._take(priority, at)
        future: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        place = next(self._order)
        self._waiting[priority][place] = (promised_at, future)
        self._dispatch()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.give_back(future.result())
            elif self._waiting[priority].pop(place, None) is not None:
                self._dispatch()
            raise

    def try_acquire(self, share: float) -> Permit | None:
        """Count one more spare call, if that is within this share of the rate, nobody waits, and nobody has to later.

        While the quota is known to be used by others, none is spare.
        """
        if any(self._waiting.values()) or not self._congestion.is_over:
            return None
        if self._wait(Priority.SPARE, float("inf")) > 0 or len(self._spare_sent) + 1 > self.rate * share:
            return None
        return self._take(Priority.SPARE, float("inf"))

    def give_back(self, permit: Permit) -> None:
        """Take back a permit that was not used."""
        for sent in self._counted(permit):
            if permit.sent_at in sent:
                sent.remove(permit.sent_at)
        self._dispatch()

    def on_throttled(self, permit: Permit, retry_after: float | None) -> None:
        """Note that the service refused a call because of its quota.

        :param retry_after: seconds it asked to wait, if it did.
        """
        report(Metric.CALLS_THROTTLED, operation=self._tags["operation"])
        if self._congestion.on_throttled(permit.sent_at, retry_after):
            self._report_rate()
        self._dispatch()

    def on_success(self, permit: Permit) -> None:
        """Note that the service accepted a call."""
        if self._congestion.on_success(permit.sent_at):
            self._report_rate()
            self._dispatch()

    # Shares.

    def demand(self, who: Hashable, wished: float, promised: float, *, is_new: bool = False) -> None:
        """Say how often someone polls: see :class:`.Demands`."""
        self.demands.set(who, wished, promised, is_new=is_new)
        self._watch_promises()

    def leave(self, who: Hashable) -> None:
        """Say that someone no longer polls."""
        self.demands.discard(who)
        self._watch_promises()

    def interval(self, wished: float, promised: float) -> float:
        """Seconds between two polls of someone with these intervals, so that all fit."""
        return self.demands.interval(wished, promised, self.rate * 60 / WINDOW)

    @property
    def shortest_interval(self) -> float:
        """Seconds below which no interval can be, so that all fit; 0 if the budget is enough for all promises."""
        return self.demands.shortest_interval(self.rate * 60 / WINDOW)

    def _watch_promises(self) -> None:
        self._shortage.update(self.demands.needed, self.rate, self.limit)

    def _report_rate(self) -> None:
        rate = self.rate
        report(Metric.RATE, rate, **self._tags)
        report(Metric.STRETCH, max(1.0, self.demands.needed / rate), **self._tags)

    # Turns.

    def _dispatch(self) -> None:
        """Give permits to those who wait, as far as possible now, and come back when the next is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while (priority := self._next_priority()) is not None:
            place, promised_at = self._first(priority)
            if (wait := self._wait(priority, promised_at)) > 0:
                # A wait that rounding has left over would not move the clock.
                self._timer = asyncio.get_running_loop().call_later(max(wait, _SHORTEST_WAIT), self._dispatch)
                return
            _, future = self._waiting[priority].pop(place)
            if not future.done():
                self._stops = self._stops + 1 if priority is Priority.STOP else 0
                future.set_result(self._take(priority, promised_at))

    def _next_priority(self) -> Priority | None:
        waiting = [priority for priority in Priority if self._waiting[priority]]
        if waiting[:2] == [Priority.STOP, Priority.POLL] and self._stops >= _STOPS_IN_A_ROW:
            return Priority.POLL
        return waiting[0] if waiting else None

    def _first(self, priority: Priority) -> tuple[int, float]:
        """Who of those that wait is served first, and by when he was promised a call."""
        waiting = self._waiting[priority]
        if priority is not Priority.POLL:
            return next(iter(waiting)), now() if priority is Priority.STOP else float("inf")
        promises = ((promised_at(), place) for place, (promised_at, _) in waiting.items())
        promised_at, place = min(promises)
        return place, promised_at

    def _take(self, priority: Priority, promised_at: float) -> Permit:
        permit = Permit(now(), priority, promised_at <= now())
        for sent in self._counted(permit):
            sent.append(permit.sent_at)
        self._congestion.on_sent()
        return permit

    def _counted(self, permit: Permit) -> list[deque[float]]:
        """Where a permit is counted."""
        spare = (self._spare_sent,) if permit.priority is Priority.SPARE else ()
        due = (self._due_sent,) if permit.is_due else ()
        return [self._sent, *spare, *due]

    def _forget_old(self) -> None:
        old = now() - WINDOW
        for sent in (self._sent, self._spare_sent, self._due_sent):
            while sent and sent[0] <= old:
                sent.popleft()

    def _wait(self, priority: Priority, promised_at: float) -> float:
        """Seconds until the next call; 0 or less means now."""
        self._forget_old()
        at, sent = now(), self._sent
        if at < self._congestion.paused_until:
            return self._congestion.paused_until - at
        rate = self.rate
        allowed = max(1, int(rate))
        if len(sent) >= allowed:
            return sent[-allowed] + WINDOW - at
        if priority is Priority.SPARE and len(self._spare_sent) >= (rate - self.demands.needed) * _SPARE:
            return _SPARE_PAUSE
        return pause_between(
            self._sent,
            self._due_sent,
            allowed,
            self.demands,
            is_recovering=not self._congestion.is_over,
            promised_at=promised_at,
        )
