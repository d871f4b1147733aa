"""How a budget is divided between all who share it: evenly, so that no one waits longer than a fair share demands."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

#: Promised intervals, and rates, that differ by less than this factor are counted together.
_STEP = 1.02


@dataclass(slots=True)
class _Bucket:
    """Demands of nearly the same promised interval."""

    count: int = 0
    per_minute: float = 0.0


class Demands:
    """Who polls how often. An interval is in seconds, a rate in calls a minute.

    Each has an interval that it *promises* to keep and one that it *wishes* for, which is shorter. If the budget is
    too small for the promises, there is one shortest interval for all, so that those who want to poll seldom are not
    slowed down because others want to poll often (max-min fairness).
    """

    def __init__(self) -> None:
        self._demands: dict[Hashable, tuple[float, float]] = {}
        self._buckets: dict[int, _Bucket] = {}
        self._wished = 0.0
        self._needed = 0.0
        self._repeats: dict[Hashable, float] = {}
        self._repeated = 0.0
        self._version = 0
        self._cached: tuple[tuple[int, int], float] | None = None

    def __len__(self) -> int:
        return len(self._demands)

    @property
    def needed(self) -> float:
        """Calls a minute that keep every promise."""
        return max(0.0, self._needed) if self._demands else 0.0

    @property
    def repeated(self) -> float:
        """Calls in a minute that keep the promises, but for the first one of each; newcomers are not counted."""
        return max(0.0, self._repeated) if self._demands else 0.0

    def set(self, who: Hashable, wished: float, promised: float, *, is_new: bool = False) -> None:
        """Say the two intervals of someone, or correct them.

        :param is_new: nothing was polled for him yet.
        """
        if self._demands.get(who) != (wished, promised):
            self.discard(who)
            self._demands[who] = (wished, promised)
            self._count(wished, promised, 1)
        self._repeated -= self._repeats.pop(who, 0.0)
        if not is_new and promised < 60:
            self._repeats[who] = 60 / promised - 1
            self._repeated += self._repeats[who]

    def discard(self, who: Hashable) -> None:
        """Forget someone, known or not."""
        self._repeated -= self._repeats.pop(who, 0.0)
        if (demand := self._demands.pop(who, None)) is not None:
            self._count(*demand, -1)

    def interval(self, wished: float, promised: float, rate: float) -> float:
        """Seconds between two polls of someone with these intervals, while so many calls a minute are allowed."""
        fresh = min(promised, wished * max(1.0, self._wished / rate))
        return max(fresh, self.shortest_interval(rate))

    def shortest_interval(self, rate: float) -> float:
        """The interval below which nobody may be, so that all fit; 0 if every promise can be kept."""
        if self.needed <= rate:
            return 0.0
        # A small difference makes none, and the rate changes all the time.
        key = (self._version, _bucket_of(rate))
        if self._cached is None or self._cached[0] != key:
            self._cached = (key, self._solve(rate))
        return self._cached[1]

    def _count(self, wished: float, promised: float, sign: int) -> None:
        self._wished += sign * 60 / wished
        self._needed += sign * 60 / promised
        if not self._demands:
            self._wished = self._needed = self._repeated = 0.0
        key = _bucket_of(promised)
        bucket = self._buckets.setdefault(key, _Bucket())
        bucket.count += sign
        bucket.per_minute += sign * 60 / promised
        if not bucket.count:
            del self._buckets[key]
        self._version += 1

    def _solve(self, rate: float) -> float:
        slowed, rest = 0, self.needed
        shortest = 0.0
        for _, bucket in sorted(self._buckets.items()):
            if shortest and 60 * bucket.count / bucket.per_minute >= shortest:
                break
            slowed += bucket.count
            rest = max(0.0, rest - bucket.per_minute)
            shortest = 60 * slowed / (rate - rest) if rest < rate else math.inf
        # Only the sums' rounding can leave it infinite.
        return min(shortest, 60 * len(self._demands) / rate)


def _bucket_of(value: float) -> int:
    """A number that is the same for values that differ by less than a step."""
    return math.floor(math.log(value, _STEP))
