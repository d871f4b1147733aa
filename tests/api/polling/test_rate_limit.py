from __future__ import annotations

import asyncio
import logging
import random

import pytest

from airflow_provider_schedulerx.api.polling.rate_limit import WINDOW, RateLimiter, rate_limiter_for


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def make(per_minute: int) -> tuple[RateLimiter, Time]:
    time = Time()
    return RateLimiter(per_minute, "Test", time.clock, time.sleep), time


def most_in_any_minute(times: list[float]) -> int:
    return max(sum(start <= at < start + 60 for at in times) for start in times)


async def take_many(budget: RateLimiter, time: Time, count: int) -> list[float]:
    taken = []
    for _ in range(count):
        await budget.acquire()
        taken.append(time.now)
    return taken


@pytest.mark.parametrize("per_minute", [1, 2, 3, 10, 100])
def test_no_minute_has_more_calls_than_allowed_and_the_budget_is_used(per_minute: int) -> None:
    budget, time = make(per_minute)
    taken = asyncio.run(take_many(budget, time, per_minute * 10))
    assert most_in_any_minute(taken) <= per_minute
    minutes = (taken[-1] - taken[0]) / 60
    assert minutes <= 10 * WINDOW / 60 * 1.1


def test_it_holds_also_when_calls_come_in_waves() -> None:
    budget, time = make(20)
    rng = random.Random(7)

    async def waves() -> list[float]:
        taken = []
        for _ in range(40):
            time.now += rng.choice([0, 0, 1, 20, 59, 61, 120])
            taken += await take_many(budget, time, rng.randint(1, 30))
        return taken

    assert most_in_any_minute(asyncio.run(waves())) <= 20


def test_a_few_calls_never_wait() -> None:
    budget, time = make(100)
    asyncio.run(take_many(budget, time, 50))
    assert time.now == 1000.0


def test_who_asks_first_is_served_first() -> None:
    async def main() -> list[str]:
        budget, _ = make(2)
        served: list[str] = []

        async def user(name: str) -> None:
            for _ in range(3):
                await asyncio.sleep(0)
                await budget.acquire()
                served.append(name)

        await asyncio.gather(*(user(name) for name in "abc"))
        return served

    assert asyncio.run(main()) == list("abcabcabc")


def test_a_cancelled_wait_takes_nothing() -> None:
    async def main() -> None:
        budget = RateLimiter(1)
        await budget.acquire()
        waiting = asyncio.create_task(budget.acquire())
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert len(budget._sent) == 1

    asyncio.run(main())


def test_throttling_halves_the_rate_waits_as_asked_and_wins_back() -> None:
    budget, time = make(100)

    async def main() -> None:
        await budget.acquire()
        budget.on_throttled(7.0)
        await budget.acquire()
        assert time.now == 1007.0
        budget.on_throttled(None)
        await budget.acquire()
        assert time.now == 1012.0
        assert budget._rate == 25
        for _ in range(200):
            budget.on_success()
        assert budget._rate == 100

    asyncio.run(main())


def test_intervals_stretch_evenly_and_a_warning_says_what_is_needed(caplog: pytest.LogCaptureFixture) -> None:
    budget, _ = make(10)
    for poller in range(20):
        budget.demand(poller, wished=2.0, needed=1.0)
    with caplog.at_level(logging.WARNING):
        assert budget.stretch == (4.0, 2.0)
        assert budget.stretch == (4.0, 2.0)
    assert caplog.text.count("need 20 calls of Test a minute, but 10 are allowed") == 1
    for poller in range(20):
        budget.demand(poller, 0, 0)
    assert budget.stretch == (1.0, 1.0)


def test_one_budget_per_account_and_operation() -> None:
    async def main() -> None:
        assert rate_limiter_for("a", "List", 5) is rate_limiter_for("a", "List", 5)
        assert rate_limiter_for("a", "List", 5) is not rate_limiter_for("a", "Get", 5)
        assert rate_limiter_for("a", "List", 5) is not rate_limiter_for("b", "List", 5)

    asyncio.run(main())
