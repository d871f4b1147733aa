"""The poller in simulated time, against a service that does what a test tells it to."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_schedulerx.api import exceptions as errors
from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
from airflow_provider_schedulerx.api.models import WorkflowInstance
from airflow_provider_schedulerx.api.polling import poller
from airflow_provider_schedulerx.api.runs.kinds import WORKFLOW_RUNS
from airflow_provider_schedulerx.api.wire.calls import Call
from dev.harness.scripted_service import (
    FAILED,
    GET,
    LIST,
    RUNNING,
    SUCCESS,
    ScriptedService,
    instead_of_the_network,
    settings_of,
)
from dev.harness.virtual_time import run_simulated


def now() -> float:
    return asyncio.get_running_loop().time()


def simulate(main: Callable[[ScriptedService], Any], **service: Any) -> Any:
    """Run ``main`` in simulated time with a service; nothing may be left over."""

    async def outer() -> Any:
        made = ScriptedService(**service)
        with instead_of_the_network(poller, lambda settings: made):
            result = await main(made)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, left
            assert not poller._pollers.get(asyncio.get_running_loop())
        return result

    return run_simulated(outer)


class Followed:
    """What one wait has seen. :ivar seen: (time, observation)."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, Any]] = []
        self.began = now()

    @property
    def ended_at(self) -> float | None:
        ends = [
            at for at, seen in self.seen if isinstance(seen, WorkflowInstance) and seen.status.is_terminal
        ]
        assert len(ends) <= 1
        return ends[0] if ends else None

    @property
    def last(self) -> Any:
        return self.seen[-1][1]

    @property
    def longest_gap(self) -> float:
        times = [self.began, *(at for at, _ in self.seen)]
        return max(b - a for a, b in itertools.pairwise(times))


async def follow(
    workflow_id: int,
    wf_instance_id: int,
    poll_interval: float = 10,
    *,
    until: float = float("inf"),
    age: float = 0,
    settings: SchedulerXSettings | None = None,
    into: Followed | None = None,
) -> Followed:
    """Wait for a run to its end, as a trigger does, or for some seconds."""
    followed = into or Followed()
    async with poller.shared_poller(settings or settings_of(), WORKFLOW_RUNS, workflow_id) as shared:
        subscription = shared.subscribe(wf_instance_id, poll_interval=poll_interval, age=age)
        try:
            async with asyncio.timeout(None if until == float("inf") else until):
                while followed.ended_at is None:
                    followed.seen.append((0.0, await subscription.next()))
                    followed.seen[-1] = (now(), followed.seen[-1][1])
        except TimeoutError:
            pass
        finally:
            shared.unsubscribe(subscription)
    return followed


async def follow_all(*waits: Any) -> list[Followed]:
    return list(await asyncio.gather(*waits))


def fails_on(operation: str, error: Callable[[], BaseException]) -> Callable[[Call[Any]], None]:
    def fault(call: Call[Any]) -> None:
        if call.operation.name == operation:
            raise error()

    return fault


# 1. No wait hangs.


def test_a_run_that_the_list_calls_failed_and_its_own_poll_calls_running_is_followed_to_its_end() -> None:
    """As when a node is rerun in the console, or a replica lags."""

    async def main(service: ScriptedService) -> None:
        doubted, other = service.start(1, (600, SUCCESS)), service.start(1, (50, SUCCESS))

        def lie(call: Call[Any]) -> Any:
            if call.operation.name == LIST and now() < 590:
                return {
                    "WfInstanceInfos": [
                        {"WfInstanceId": doubted, "WorkflowId": 1, "Status": FAILED},
                        {
                            "WfInstanceId": other,
                            "WorkflowId": 1,
                            "Status": SUCCESS if now() >= 50 else RUNNING,
                        },
                    ]
                }
            return None

        service.faults.append(lie)
        one, two = await follow_all(follow(1, doubted, until=700), follow(1, other, until=700))
        assert one.ended_at is not None
        assert one.last.status == SUCCESS
        assert one.ended_at <= 600 + 12
        assert one.longest_gap <= 12
        assert two.last.status == SUCCESS

    simulate(main)


@pytest.mark.parametrize(
    "data",
    [
        {"WfInstanceInfo": {"Status": 5}, "WfInstanceDag": "none"},
        {"WfInstanceInfo": {"Status": 5}, "WfInstanceDag": {"Nodes": [{"JobId": "--5", "Status": 4}]}},
        {"WfInstanceInfo": {"Status": 5}, "WfInstanceDag": {"Nodes": [None, 7], "Edges": 3}},
        [],
        "text",
    ],
)
def test_an_answer_that_nobody_foresaw_ends_no_wait(data: Any) -> None:
    async def main(service: ScriptedService) -> None:
        runs = [service.start(1, (5, FAILED)), service.start(1, (100, SUCCESS))]
        service.faults.append(lambda call: data if call.operation.name == GET and now() < 60 else None)
        waits = await follow_all(*(follow(1, run, until=300) for run in runs))
        assert [wait.last.status for wait in waits] == [FAILED, SUCCESS]
        assert waits[1].longest_gap <= 12

    simulate(main)


def test_a_broken_list_ends_no_wait() -> None:
    async def main(service: ScriptedService) -> None:
        runs = [service.start(1, (100, SUCCESS)) for _ in range(3)]
        broken: list[Any] = [
            {"WfInstanceInfos": "none"},
            {"WfInstanceInfos": [{"WfInstanceId": "--5"}]},
            [],
            7,
        ]
        service.faults.append(
            lambda call: broken[int(now()) % 4] if call.operation.name == LIST and now() < 200 else None
        )
        waits = await follow_all(*(follow(1, run, until=400) for run in runs))
        assert all(wait.ended_at is not None and wait.ended_at <= 160 for wait in waits)

    simulate(main)


@pytest.mark.parametrize(("operation", "count"), [(GET, 1), (LIST, 3)])
def test_a_call_that_something_below_cancels_ends_no_wait(operation: str, count: int) -> None:
    """A library, or the end of a pool of threads. Of a cancellation of ours, the call is ended with its loop."""

    async def main(service: ScriptedService) -> None:
        runs = [service.start(1, (100, SUCCESS)) for _ in range(count)]
        cancelled = fails_on(operation, asyncio.CancelledError)
        service.faults.append(lambda call: cancelled(call) if now() < 60 else None)
        waits = await follow_all(*(follow(1, run, until=300) for run in runs))
        assert [wait.last.status for wait in waits] == [SUCCESS] * count
        assert all(wait.longest_gap <= 12 for wait in waits)

    simulate(main)


# 2. Congestion.


def test_after_a_restart_on_a_used_up_quota_all_are_seen_within_two_minutes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(service: ScriptedService) -> None:
        runs = [service.start(number + 1, (10_000, SUCCESS)) for number in range(60)]
        service.use_up_quota()
        waits = await follow_all(*(follow(number + 1, run, 30, until=400) for number, run in enumerate(runs)))
        first = [min(at for at, seen in wait.seen if isinstance(seen, WorkflowInstance)) for wait in waits]
        assert max(first) <= 120
        assert service.most_in_a_minute(GET) <= 100
        # 60 runs at 30 s need 120 calls a minute, so each is seen every 36 s once the quota is free.
        for wait in waits:
            late = [at for at, seen in wait.seen if at > 120 and isinstance(seen, WorkflowInstance)]
            assert max(b - a for a, b in itertools.pairwise(late)) <= 1.2 * 37.2

    with caplog.at_level(logging.WARNING):
        simulate(main, quota=100)


def test_three_seconds_of_throttling_do_not_cost_minutes() -> None:
    async def main(service: ScriptedService) -> None:
        runs = [service.start(number + 1, (200, SUCCESS)) for number in range(30)]

        def storm(call: Call[Any]) -> None:
            if 60 <= now() < 63:
                raise errors.SchedulerXThrottledError("throttled", retry_after=86400)

        service.faults.append(storm)
        waits = await follow_all(*(follow(number + 1, run, 20, until=600) for number, run in enumerate(runs)))
        # A retry-after of a day is not obeyed; the quota is counted by the minute.
        assert all(wait.ended_at is not None and wait.ended_at <= 200 + 24 for wait in waits)

    simulate(main)


# 3. and 4. Nobody starves.


@pytest.mark.parametrize("list_size", [10, 300])
def test_unlisted_runs_do_not_hold_up_the_listed_ones(list_size: int) -> None:
    async def main(service: ScriptedService) -> list[float]:
        runs = [service.start(1, (600 + 2 * number, SUCCESS)) for number in range(1000)]
        listed = runs[-list_size:]
        waits = await follow_all(*(follow(1, run, 30) for run in runs))
        delays = [
            wait.ended_at - service.runs[run].ends_at
            for run, wait in zip(runs, waits, strict=True)
            if run in set(listed) and wait.ended_at is not None
        ]
        assert service.most_in_a_minute(GET) <= 100
        assert service.most_in_a_minute(LIST) <= 100
        unlisted = [
            wait.ended_at - service.runs[run].ends_at
            for run, wait in zip(runs, waits, strict=True)
            if run not in set(listed) and wait.ended_at is not None
        ]
        assert max(unlisted) <= 1.2 * (1000 - list_size) / 100 * 60
        return delays

    delays = simulate(main, list_size=list_size)
    assert len(delays) == list_size
    assert max(delays) <= 1.2 * 30


def test_a_crowd_of_failures_does_not_hold_up_another_workflow() -> None:
    async def main(service: ScriptedService) -> None:
        crowd = [service.start(1, (100, FAILED)) for _ in range(290)]
        other = service.start(2, (400, SUCCESS))
        waits = await follow_all(*(follow(1, run, 30) for run in crowd), follow(2, other, 10, until=500))
        assert waits[-1].longest_gap <= 12
        assert all(wait.ended_at is not None and wait.ended_at <= 100 + 36 for wait in waits[:-1])

    simulate(main)


def test_one_who_polls_seldom_is_not_slowed_down_by_many_who_poll_often() -> None:
    async def main(service: ScriptedService) -> None:
        many = [service.start(number + 1, (10_000, SUCCESS)) for number in range(300)]
        seldom = service.start(999, (10_000, SUCCESS))
        waits = await follow_all(
            *(follow(number + 1, run, 10, until=2000) for number, run in enumerate(many)),
            follow(999, seldom, 600, until=2000, age=10_000),
        )
        # 301 runs and 100 calls a minute: each can be polled every 181 s.
        assert waits[-1].longest_gap <= 1.2 * 600
        assert max(wait.longest_gap for wait in waits[:-1]) <= 1.2 * 301 / 100 * 62

    simulate(main)


@pytest.mark.parametrize("crowd", [60, 120, 400])
@pytest.mark.parametrize("poll_interval", [60, 600])
def test_a_crowd_that_comes_at_once_does_not_hold_up_one_who_is_there(
    crowd: int, poll_interval: float
) -> None:
    async def main(service: ScriptedService) -> None:
        there = service.start(999, (10_000, SUCCESS))
        one = asyncio.create_task(follow(999, there, 60, until=1500, age=10_000))
        await asyncio.sleep(500)
        runs = [service.start(number + 1, (10_000, SUCCESS)) for number in range(crowd)]
        begun = now()
        waits = await follow_all(
            *(follow(number + 1, run, poll_interval, until=1000) for number, run in enumerate(runs))
        )
        even = (crowd + 1) / 100 * 62
        gaps = [b - a for a, b in itertools.pairwise(at for at, _ in (await one).seen)]
        assert max(gaps) <= 1.2 * max(60, even)
        assert max(wait.longest_gap for wait in waits) <= 1.2 * max(poll_interval, even)
        # What is free is used: half of it at once, all of it within a minute.
        first = sorted(wait.seen[0][0] - begun for wait in waits)
        if poll_interval == 600:
            assert first[min(25, crowd - 1)] <= 2
            assert first[min(80, crowd - 1)] <= 63

    simulate(main)


@pytest.mark.parametrize("crowd", [60, 120])
def test_a_crowd_that_polls_seldom_does_not_hold_up_one_who_polls_often(crowd: int) -> None:
    async def main(service: ScriptedService) -> None:
        there = service.start(999, (10_000, SUCCESS))
        one = asyncio.create_task(follow(999, there, 10, until=800, age=10_000))
        await asyncio.sleep(400)
        runs = [service.start(number + 1, (10_000, SUCCESS)) for number in range(crowd)]
        await follow_all(*(follow(number + 1, run, 600, until=300) for number, run in enumerate(runs)))
        assert (await one).longest_gap <= 1.2 * 10

    simulate(main)


# 5. The run is what is polled.


def test_twenty_waits_for_one_run_cost_the_polls_of_one() -> None:
    async def polls_of(service: ScriptedService, waits: int) -> int:
        run = service.start(1, (20, SUCCESS))
        followed = await follow_all(*(follow(1, run, 10) for _ in range(waits)))
        assert all(wait.last.status == SUCCESS for wait in followed)
        return sum(service.calls.values())

    one = simulate(lambda service: polls_of(service, 1))
    twenty = simulate(lambda service: polls_of(service, 20))
    assert twenty <= one + 2


def test_a_poll_made_before_somebody_came_tells_him_nothing() -> None:
    """It may show the failure before a rerun."""

    async def main(service: ScriptedService) -> None:
        service.latency = 5
        run = service.start(1, (0, FAILED), (3, RUNNING), (60, SUCCESS))

        async def join_later() -> Followed:
            await asyncio.sleep(4)
            return await follow(1, run, 10)

        first, second = await follow_all(follow(1, run, 10), join_later())
        assert first.last.status in (FAILED, SUCCESS)
        assert second.last.status == SUCCESS

    simulate(main)


# 10. Nothing is left.


def test_a_loop_is_freed_and_its_budgets_with_it() -> None:
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def main(service: ScriptedService) -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        runs = [service.start(1, (50, SUCCESS)) for _ in range(3)]
        await follow_all(*(follow(1, run, 10) for run in runs))

    simulate(main)
    gc.collect()
    assert loops[0]() is None


def test_ten_thousand_waits_are_cancelled_at_once_without_blocking_the_loop() -> None:
    async def main(service: ScriptedService) -> float:
        runs = [service.start(1, (10_000, SUCCESS)) for _ in range(10_000)]
        waits = [asyncio.create_task(follow(1, run, 30)) for run in runs]
        await asyncio.sleep(100)
        began = time.process_time()
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        return time.process_time() - began

    # Cancelling 10,000 tasks takes some 0.2 s by itself; quadratic work took 2 s and more.
    assert simulate(main) < 1.5


@pytest.mark.parametrize("poll_interval", [0, -1, float("nan")])
def test_a_wait_with_an_impossible_interval_harms_nobody_else(poll_interval: float) -> None:
    async def main(service: ScriptedService) -> None:
        good = [service.start(1, (100, SUCCESS)) for _ in range(2)]
        bad = service.start(1, (100, SUCCESS))
        waits = [asyncio.create_task(follow(1, run, until=300)) for run in good]
        wrong = asyncio.create_task(follow(1, bad, poll_interval, until=300))
        for wait in await asyncio.gather(*waits):
            assert wait.ended_at is not None
            assert wait.ended_at <= 112
        await asyncio.gather(wrong, return_exceptions=True)

    simulate(main)


# 13. An edited connection.


def test_an_edited_limit_takes_effect_at_once() -> None:
    async def main(service: ScriptedService) -> None:
        runs = [service.start(number + 1, (10_000, SUCCESS)) for number in range(20)]
        waits = [
            asyncio.create_task(
                follow(number + 1, run, 1, settings=settings_of(calls_per_minute=6), until=300)
            )
            for number, run in enumerate(runs)
        ]
        await asyncio.sleep(150)
        before = service.calls[GET]
        assert before <= 6 * 3
        async with poller.shared_poller(settings_of(calls_per_minute=60), WORKFLOW_RUNS, 1):
            await asyncio.sleep(90)
        assert service.calls[GET] - before >= 40
        await asyncio.gather(*waits)

    simulate(main)
