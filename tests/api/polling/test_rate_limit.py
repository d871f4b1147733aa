"""The budget of one operation, in simulated time."""

from __future__ import annotations

import asyncio
import logging
import random

import pytest

from airflow_provider_schedulerx.api.polling.rate_limit import WINDOW, Permit, Priority, RateLimiter
from dev.harness.virtual_time import run_simulated


def now() -> float:
    return asyncio.get_running_loop().time()


def most_in_any_minute(times: list[float]) -> int:
    return max(sum(start <= at < start + 60 for at in times) for start in times)


async def acquire_many(limiter: RateLimiter, count: int) -> list[float]:
    return [(await limiter.acquire()).sent_at for _ in range(count)]


@pytest.mark.parametrize("per_minute", [1, 2, 3, 10, 100])
def test_no_minute_has_more_calls_than_allowed_and_the_budget_is_used(per_minute: int) -> None:
    async def main() -> list[float]:
        return await acquire_many(RateLimiter(per_minute), per_minute * 10)

    sent = run_simulated(main)
    assert most_in_any_minute(sent) <= per_minute
    assert (sent[-1] - sent[0]) / 60 <= 10 * WINDOW / 60 * 1.1


def test_it_holds_also_when_calls_come_in_waves() -> None:
    async def main() -> list[float]:
        limiter, rng, sent = RateLimiter(20), random.Random(7), []
        for _ in range(40):
            await asyncio.sleep(rng.choice([0, 0, 1, 20, 59, 61, 120]))
            sent += await acquire_many(limiter, rng.randint(1, 30))
        return sent

    assert most_in_any_minute(run_simulated(main)) <= 20


def test_a_few_calls_never_wait() -> None:
    assert run_simulated(lambda: acquire_many(RateLimiter(100), 50)) == [0.0] * 50


def test_whoever_is_due_first_is_served_first() -> None:
    async def main() -> list[float]:
        limiter = RateLimiter(1)
        served: list[float] = []

        async def ask(due_at: float) -> None:
            await limiter.acquire(promised_at=lambda: due_at)
            served.append(due_at)

        await limiter.acquire()
        await asyncio.gather(*map(ask, [5, -3, 5, 70, 1]))
        return served

    assert run_simulated(main) == [-3, 1, 5, 5, 70]


def test_stops_go_first_but_do_not_shut_out_the_polls() -> None:
    async def main() -> list[Priority]:
        limiter = RateLimiter(1)
        served: list[Priority] = []

        async def ask(priority: Priority) -> None:
            await limiter.acquire(priority)
            served.append(priority)

        await limiter.acquire()
        await asyncio.gather(*(ask(priority) for priority in [Priority.POLL] * 2 + [Priority.STOP] * 6))
        return served

    served = run_simulated(main)
    assert served == [Priority.STOP] * 4 + [Priority.POLL] + [Priority.STOP] * 2 + [Priority.POLL]


def test_spare_calls_leave_what_the_polls_need() -> None:
    async def main() -> list[float]:
        limiter = RateLimiter(100)
        for number in range(60):
            limiter.demand(number, 60, 60)

        async def spare() -> list[float]:
            return [(await limiter.acquire(Priority.SPARE)).sent_at for _ in range(60)]

        return await spare()

    sent = run_simulated(main)
    # 60 of 100 are needed, and nine tenths of the others may be used.
    assert most_in_any_minute(sent) <= 36


def test_a_cancelled_wait_takes_nothing_and_leaves_nothing() -> None:
    async def main() -> None:
        limiter = RateLimiter(1)
        await limiter.acquire()
        waiting = [asyncio.create_task(limiter.acquire()) for _ in range(6)]
        await asyncio.sleep(1)
        for task in waiting[:5]:
            task.cancel()
        permit = await waiting[5]
        assert permit.sent_at == pytest.approx(WINDOW)
        # Cancelled in the very moment in which the permit was given.
        late = asyncio.create_task(limiter.acquire())
        asyncio.get_running_loop().call_at(2 * WINDOW, late.cancel)
        await asyncio.gather(late, return_exceptions=True)
        assert len(limiter._sent) <= 2
        assert limiter._timer is None
        assert not any(limiter._waiting.values())

    run_simulated(main)


def test_one_congestion_halves_once_however_many_calls_are_in_flight() -> None:
    async def main() -> None:
        limiter = RateLimiter(100)
        permits = [await limiter.acquire() for _ in range(40)]
        await asyncio.sleep(0.1)
        for permit in permits:
            limiter.on_throttled(permit, None)
        assert limiter.rate == 50
        # Those who find out whether it lasts are one each five seconds, and belong to the same event.
        for number in range(1, 6):
            permit = await limiter.acquire()
            assert now() == pytest.approx(0.1 + 5 * number)
            limiter.on_throttled(permit, None)
        assert limiter.rate == 50
        permit = await limiter.acquire()
        limiter.on_success(permit)
        # A late answer from before says nothing new.
        limiter.on_throttled(permits[0], None)
        assert limiter.rate == 50
        await asyncio.sleep(30)
        assert limiter.rate == 75
        await asyncio.sleep(30)
        assert limiter.rate == 100

    run_simulated(main)


@pytest.mark.parametrize(("retry_after", "pause"), [(7.0, 7), (None, 5), (86400.0, 60), (-3.0, 0)])
def test_the_wait_that_the_service_asks_for_is_kept_up_to_a_minute(
    retry_after: float | None, pause: float
) -> None:
    async def main() -> None:
        limiter = RateLimiter(100)
        limiter.on_throttled(await limiter.acquire(), retry_after)
        await limiter.acquire()
        assert now() == pytest.approx(max(pause, 60 / 50))

    run_simulated(main)


def test_the_rate_never_collapses() -> None:
    async def main() -> None:
        limiter = RateLimiter(100)
        for _ in range(20):
            limiter.on_throttled(await limiter.acquire(), 0)
            limiter.on_success(await limiter.acquire())
        assert limiter.rate >= 10

    run_simulated(main)


def test_an_edited_limit_holds_at_once() -> None:
    async def main() -> None:
        limiter = RateLimiter(1)
        await limiter.acquire()
        waiting = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(1)
        limiter.set_limit(100)
        await waiting
        assert now() == 1
        limiter.set_limit(2)
        await limiter.acquire()
        assert now() == pytest.approx(WINDOW)

    run_simulated(main)


def test_one_line_when_promises_cannot_be_kept_and_one_when_they_can(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        limiter = RateLimiter(100, "Test")
        for number in range(100):
            limiter.demand(number, 60, 60)
        assert limiter.interval(60, 60) == pytest.approx(60 * WINDOW / 60)
        limiter.on_throttled(Permit(0.0, Priority.POLL), None)
        for number in range(100, 120):
            limiter.demand(number, 60, 60)
        assert limiter.interval(60, 60) == pytest.approx(120 / 50 * WINDOW)
        for number in range(90):
            limiter.leave(number)

    with caplog.at_level(logging.INFO):
        run_simulated(main)
    late, on_time = caplog.messages
    assert "need 101 calls of Test a minute, and 50 are allowed at present (calls_per_minute=100)" in late
    assert "within poll_interval again" in on_time


@pytest.mark.parametrize("priority", [Priority.SPARE, Priority.POLL])
def test_a_promised_call_does_not_wait_for_calls_that_nobody_was_promised(priority: Priority) -> None:
    """As for the nodes of a crowd that has failed: its burst took the turns of a poll that was due."""

    async def main() -> None:
        limiter = RateLimiter(100)
        limiter.demand("somebody", 10, 10)
        free = [asyncio.create_task(limiter.acquire(priority, lambda: float("inf"))) for _ in range(80)]
        for _ in range(6):
            await asyncio.sleep(2)
            due_at = now()
            assert (await limiter.acquire(promised_at=lambda: due_at)).sent_at == due_at  # noqa: B023
        for each in free:
            each.cancel()

    run_simulated(main)
