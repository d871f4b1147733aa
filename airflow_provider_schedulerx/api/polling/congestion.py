"""What throttled calls do to the rate: one cut for each time that the quota is used up, and growth afterwards.

Others, such as the workers that start runs, use the same quota, so a process that keeps to its own budget can still
be throttled.
"""

from __future__ import annotations

import asyncio

#: Seconds to stop after a throttled call that does not say how long, and between two tries while it lasts.
PAUSE = 5.0
#: Seconds to stop at most, whatever the service asks for: its quota is counted by the minute.
LONGEST_PAUSE = 60.0
#: Seconds in which a rate grows from nothing to the limit.
_RECOVERY = 120.0
#: Share of the limit below which the rate is never cut.
_FLOOR = 0.1


class Congestion:
    """The rate that throttling leaves, in calls a minute.

    All throttled calls until one passes are one event, and so are those that were sent before that one: the calls in
    flight when the quota runs out do not cut the rate again.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        #: Before this time no call is sent.
        self.paused_until: float = float("-inf")
        #: The rate after the last cut, and when it began to grow back; None at the full rate.
        self._cut: tuple[float, float] | None = None
        self._since: float | None = None

    @property
    def rate(self) -> float:
        """Calls a minute that are allowed now: at most the limit."""
        if self._cut is None:
            return float(self.limit)
        rate, since = self._cut
        if self._since is None:
            rate += max(0.0, now() - since) * self.limit / _RECOVERY
            if rate >= self.limit:
                self._cut = None
        return min(rate, float(self.limit))

    @property
    def is_over(self) -> bool:
        """Whether the rate is the limit."""
        return self.rate >= self.limit and self._cut is None

    def on_sent(self) -> None:
        """Note that a call was sent: while throttling lasts, the others wait for its answer."""
        if self._since is not None:
            self.paused_until = max(self.paused_until, now() + PAUSE)

    def on_throttled(self, sent_at: float, retry_after: float | None) -> bool:
        """Note a throttled call.

        :return: whether that has cut the rate.
        """
        is_new = self._since is None
        if is_new and self._cut is not None and sent_at < self._cut[1]:
            return False
        if is_new:
            self._cut = (max(1.0, self.limit * _FLOOR, self.rate / 2), now())
            self._since = now()
        pause = PAUSE if retry_after is None else min(max(retry_after, 0.0), LONGEST_PAUSE)
        self.paused_until = max(self.paused_until, now() + pause)
        return is_new

    def on_success(self, sent_at: float) -> bool:
        """Note a call that was not throttled.

        :return: whether that has ended a congestion.
        """
        if self._since is None or self._cut is None or sent_at <= self._since:
            return False
        self._cut = (self._cut[0], now())
        self._since = None
        self.paused_until = now()
        return True


def now() -> float:
    """The event loop's time. Not kept as a bound method, which would keep the loop alive."""
    return asyncio.get_running_loop().time()
