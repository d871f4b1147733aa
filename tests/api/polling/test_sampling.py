"""Nodes of running runs among many: from spare calls, in turn, and never at the expense of a poll."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from airflow_provider_schedulerx.api import exceptions as errors
from airflow_provider_schedulerx.api.models import WorkflowInstance
from airflow_provider_schedulerx.api.polling.rate_limit import SPARE_SHARE, Priority, RateLimiter
from dev.harness.scripted_service import GET, LIST, RUNNING, SUCCESS, ScriptedService
from dev.harness.virtual_time import run_simulated
from tests.api.polling.test_poller import Followed, fails_on, follow, follow_all, now, simulate


def nodes_seen(followed: Followed) -> list[float]:
    """When its nodes were seen while it ran."""
    return [
        at
        for at, seen in followed.seen
        if isinstance(seen, WorkflowInstance) and seen.nodes and not seen.status.is_terminal
    ]


def test_each_run_among_many_shows_its_nodes_in_turn() -> None:
    async def main(service: ScriptedService) -> None:
        runs = [service.start(1, (10_000, SUCCESS)) for _ in range(50)]
        waits = await follow_all(*(follow(1, run, 30, until=900) for run in runs))
        # A fifth of 100 calls a minute is 20 samples, so that 50 runs have one each two and a half minutes.
        gaps = [b - a for wait in waits for a, b in itertools.pairwise([0.0, *nodes_seen(wait)])]
        assert max(gaps) <= 1.2 * 50 / 20 * 62
        assert service.most_in_a_minute(GET) <= 100 * SPARE_SHARE
        assert max(wait.longest_gap for wait in waits) <= 36

    simulate(main)


def test_a_run_is_not_sampled_more_often_than_it_is_polled() -> None:
    async def main(service: ScriptedService) -> None:
        runs = [service.start(1, (10_000, SUCCESS)) for _ in range(2)]
        waits = await follow_all(*(follow(1, run, 60, until=900, age=10_000) for run in runs))
        for wait in waits:
            seen = nodes_seen(wait)
            assert 900 / 75 - 2 <= len(seen) <= 900 / 48 + 1
            assert min(b - a for a, b in itertools.pairwise(seen)) >= 48

    simulate(main)


def test_all_definitions_of_an_account_share_the_spare_calls() -> None:
    async def main(service: ScriptedService) -> None:
        runs = [
            (workflow, service.start(workflow, (10_000, SUCCESS))) for workflow in range(1, 21) for _ in "ab"
        ]
        waits = await follow_all(*(follow(workflow, run, 30, until=1200) for workflow, run in runs))
        assert service.most_in_a_minute(GET) <= 100 * SPARE_SHARE
        # Nobody is left out.
        assert all(nodes_seen(wait) for wait in waits)

    simulate(main)


def test_without_spare_calls_there_are_no_samples() -> None:
    async def main(service: ScriptedService) -> None:
        # The only runs of a hundred workflows need 200 polls a minute of their own.
        alone = [service.start(100 + number, (10_000, SUCCESS)) for number in range(100)]
        together = [service.start(1, (10_000, SUCCESS)) for _ in range(5)]
        waits = await follow_all(
            *(follow(100 + number, run, 30, until=600, age=10_000) for number, run in enumerate(alone)),
            *(follow(1, run, 30, until=600, age=10_000) for run in together),
        )
        assert sum(len(nodes_seen(wait)) for wait in waits[100:]) <= 20  # as all came, and nothing was known
        assert max(wait.longest_gap for wait in waits[:100]) <= 1.2 * 62

    simulate(main)


def test_a_sample_that_fails_tells_nobody_and_one_that_is_late_neither() -> None:
    async def main(service: ScriptedService) -> None:
        runs = [service.start(1, (200, SUCCESS)) for _ in range(3)]
        service.faults.append(fails_on(GET, lambda: errors.SchedulerXUnavailableError("connection reset")))
        waits = await follow_all(*(follow(1, run, 10) for run in runs))
        assert service.calls[GET] > 3
        for wait in waits:
            assert not any(isinstance(seen, errors.SchedulerXError) for _, seen in wait.seen)
            assert wait.ended_at is not None
            assert wait.ended_at <= 212

    simulate(main)


def test_an_answer_that_was_overtaken_by_a_list_is_dropped() -> None:
    async def main(service: ScriptedService) -> None:
        waiting = 1
        runs = [service.start(1, (100, SUCCESS)) for _ in range(2)]

        def slow(call: Any) -> Any:
            if call.operation.name == GET and now() < 99:
                return {"WfInstanceInfo": {"Status": waiting}, "WfInstanceDag": {"Nodes": [], "Edges": []}}
            return None

        service.faults.append(slow)
        perform = service.perform

        async def late(call: Any) -> Any:
            if call.operation.name == GET and now() < 90:
                await asyncio.sleep(8)
            return await perform(call)

        service.perform = late  # type: ignore[method-assign]
        (one, _) = await follow_all(*(follow(1, run, 2) for run in runs))
        seen = [each.status for at, each in one.seen if isinstance(each, WorkflowInstance) and at < 90]
        assert set(seen) == {RUNNING}
        assert service.calls[LIST] > 30

    simulate(main)


@pytest.mark.parametrize(("limit", "most"), [(3, 0), (5, 1), (10, 2), (100, 20)])
def test_the_share_is_never_exceeded(limit: int, most: int) -> None:
    async def main() -> int:
        limiter = RateLimiter(limit)
        given = 0
        for _ in range(600):
            given += limiter.try_acquire(SPARE_SHARE) is not None
            await asyncio.sleep(0.1)
        return given

    assert run_simulated(main) == most


def test_nothing_is_spare_while_the_rate_grows_back_or_somebody_waits() -> None:
    async def main() -> None:
        limiter = RateLimiter(100)
        limiter.on_throttled(await limiter.acquire(), None)
        await asyncio.sleep(10)
        limiter.on_success(await limiter.acquire())
        assert limiter.try_acquire(SPARE_SHARE) is None
        await asyncio.sleep(300)
        assert limiter.try_acquire(SPARE_SHARE) is not None
        small = RateLimiter(5)
        for _ in range(5):
            await small.acquire(Priority.STOP)
        waiting = asyncio.create_task(small.acquire())
        await asyncio.sleep(0)
        assert small.try_acquire(1.0) is None
        waiting.cancel()

    run_simulated(main)
