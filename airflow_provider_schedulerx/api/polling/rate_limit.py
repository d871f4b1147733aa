"""How many calls a process may make, so that all of it stays inside the account's quota.

The service allows 100 calls a minute per operation and account (API page "OpenAPI issues"). How it
counts a minute is not documented, so the budget holds for any minute.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

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
