"""Observers of lists, in simulated time and over a real socket."""

from __future__ import annotations

import asyncio
import itertools
import logging
from contextlib import suppress
from typing import Any

import pytest

from airflow_provider_schedulerx.api import exceptions as errors
from airflow_provider_schedulerx.api.polling import poller
from airflow_provider_schedulerx.api.polling.poller import ListedRuns
from airflow_provider_schedulerx.api.polling.subscriptions import MOST_WAITING, Place
from airflow_provider_schedulerx.api.runs.kinds import WORKFLOW_RUNS
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from dev.harness.scripted_service import GET, LIST, RUNNING, SUCCESS, ScriptedService, settings_of
from tests.api.polling.test_poller import follow, follow_all, now, simulate
from tests.test_async import settings_for


class Observed:
    """What one observer has seen. :ivar seen: (time, observation)."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, Any]] = []
        self.began = now()

    @property
    def lists(self) -> list[ListedRuns]:
        return [seen for _, seen in self.seen if isinstance(seen, ListedRuns)]

    @property
    def longest_gap(self) -> float:
        return max(b - a for a, b in itertools.pairwise([self.began, *(at for at, _ in self.seen)]))


async def observe(workflow_id: int, poll_interval: float = 30, *, until: float = 300) -> Observed:
    """Observe the lists for some seconds."""
    observed = Observed()
    async with poller.shared_poller(settings_of(), WORKFLOW_RUNS, workflow_id) as shared:
        observer = shared.observe_lists(poll_interval=poll_interval)
        try:
            async with asyncio.timeout(until):
                while True:
                    seen = await observer.next()
                    observed.seen.append((now(), seen))
        except TimeoutError:
            pass
        finally:
            shared.unsubscribe(observer)
    return observed


def test_lists_come_though_nobody_follows_a_run() -> None:
    async def main(service: ScriptedService) -> None:
        run = service.start(1, (100, SUCCESS))
        observed = await observe(1, until=300)
        assert 300 / 36 <= len(observed.lists) <= 12
        assert observed.longest_gap <= 1.2 * 30
        first, last = observed.lists[0], observed.lists[-1]
        assert [(each.instance_id, each.status.value) for each in first.summaries] == [(run, RUNNING)]
        assert [(each.instance_id, each.status.value) for each in last.summaries] == [(run, SUCCESS)]
        # Asked before it was answered.
        assert all(listed.asked_at == pytest.approx(at - service.latency) for at, listed in observed.seen)
        assert not service.calls[GET]

    simulate(main)


def test_many_observers_and_waits_cost_the_lists_of_one() -> None:
    async def lists_of(service: ScriptedService, observers: int, waits: int) -> int:
        runs = [service.start(1, (10_000, SUCCESS)) for _ in range(waits)]
        everybody: list[Any] = [observe(1, 20, until=600) for _ in range(observers)]
        everybody += [follow(1, run, 20, until=600, age=10_000) for run in runs]
        await asyncio.gather(*everybody)
        return service.calls[LIST]

    one = simulate(lambda service: lists_of(service, 1, 0))
    many = simulate(lambda service: lists_of(service, 50, 3))
    assert many <= 1.3 * one


def test_the_only_run_followed_is_seen_by_the_list_that_is_made_anyway() -> None:
    async def main(service: ScriptedService) -> None:
        run = service.start(1, (250, SUCCESS))
        observed, (followed,) = await asyncio.gather(
            observe(1, 10, until=300), follow_all(follow(1, run, 10))
        )
        assert followed.ended_at is not None
        assert followed.ended_at <= 250 + 12
        # Its nodes are worth a spare call now and then.
        assert service.calls[GET] <= 250 / 8 + 2
        assert observed.longest_gap <= 12

    simulate(main)


def test_a_run_goes_on_when_the_last_observer_leaves() -> None:
    async def main(service: ScriptedService) -> None:
        run = service.start(1, (500, SUCCESS))
        followed, _ = await asyncio.gather(follow(1, run, 10), observe(1, 10, until=100))
        assert followed.ended_at is not None
        assert followed.ended_at <= 500 + 12
        assert followed.longest_gap <= 12
        # By itself again, which brings its nodes.
        assert service.calls[GET] > 30

    simulate(main)


@pytest.mark.parametrize(
    "error",
    [
        errors.SchedulerXAuthorizationError("denied", code="NoPermission"),
        errors.SchedulerXRejectedError("edition", code="400"),
        errors.SchedulerXUnavailableError("connection reset"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_are_published_and_the_list_is_asked_for_again(
    error: errors.SchedulerXError, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(service: ScriptedService) -> None:
        runs = [service.start(1, (500, SUCCESS)) for _ in range(3)]

        def fault(call: Any) -> None:
            if call.operation.name == LIST and now() < 200:
                raise error

        async def places_of_runs() -> set[Place]:
            await asyncio.sleep(300)
            (made,) = poller._pollers[asyncio.get_running_loop()].values()
            assert made._following is not None
            return {run.place for run in made._following.runs.all}

        service.faults.append(fault)
        observed, places, waits = await asyncio.gather(
            observe(1, 30, until=400),
            places_of_runs(),
            asyncio.gather(*(follow(1, run, 30) for run in runs)),
        )
        assert type(observed.seen[0][1]) is type(error)
        assert observed.longest_gap <= 36
        # As soon as lists are answered again, not an hour later.
        assert min(at for at, seen in observed.seen if isinstance(seen, ListedRuns)) <= 200 + 36
        assert all(wait.ended_at is not None and wait.ended_at <= 536 for wait in waits)
        assert places == {Place.LIST}, "the runs are not polled by it again"

    with caplog.at_level(logging.WARNING):
        simulate(main)
    assert caplog.text.count("cannot be listed") == (not isinstance(error, errors.SchedulerXUnavailableError))


def test_a_list_that_was_asked_for_before_somebody_came_is_not_for_him() -> None:
    async def main(service: ScriptedService) -> None:
        service.latency = 5

        async def come_later() -> Observed:
            await asyncio.sleep(3)
            return await observe(1, 30, until=60)

        _, second = await asyncio.gather(observe(1, 30, until=60), come_later())
        assert second.lists[0].asked_at >= 3

    simulate(main)


def test_observers_of_many_workflows_share_the_budget_evenly() -> None:
    async def main(service: ScriptedService) -> None:
        everybody = await asyncio.gather(*(observe(number + 1, 30, until=900) for number in range(100)))
        assert service.most_in_a_minute(LIST) <= 100
        # 100 workflows need 200 lists a minute, and 100 are allowed.
        assert max(each.longest_gap for each in everybody) <= 1.2 * 62

    simulate(main)


def test_an_observer_can_hurry() -> None:
    async def main(service: ScriptedService) -> None:
        async with poller.shared_poller(settings_of(), WORKFLOW_RUNS, 1) as shared:
            observer = shared.observe_lists(poll_interval=600)
            await observer.next()
            shared.hurry(observer)
            async with asyncio.timeout(1):
                assert isinstance(await observer.next(), ListedRuns)
            shared.unsubscribe(observer)
            shared.unsubscribe(observer)

    simulate(main)


def test_an_observer_that_does_not_read_keeps_the_newest_lists_and_no_more() -> None:
    """As a watcher does whose store is away."""

    async def main(service: ScriptedService) -> None:
        service.start(1, (100_000, SUCCESS))
        async with poller.shared_poller(settings_of(), WORKFLOW_RUNS, 1) as shared:
            observer = shared.observe_lists(poll_interval=10)
            await asyncio.sleep(10_000)
            lists: list[Any] = []
            with suppress(TimeoutError):
                async with asyncio.timeout(0.001):
                    while True:
                        lists.append(await observer.next())
            shared.unsubscribe(observer)
        assert service.calls[LIST] >= 10_000 / 12
        assert len(lists) == MOST_WAITING
        asked_at = [listed.asked_at for listed in lists]
        assert asked_at == sorted(asked_at)
        assert asked_at[-1] >= now() - 1.2 * 10 - 2

    simulate(main)


def test_a_wait_that_does_not_read_for_long_still_gets_the_end() -> None:
    async def main(service: ScriptedService) -> None:
        run = service.start(1, (9_000, SUCCESS))
        async with poller.shared_poller(settings_of(), WORKFLOW_RUNS, 1) as shared:
            subscription = shared.subscribe(run, poll_interval=10, age=0)
            await asyncio.sleep(10_000)
            seen: list[Any] = [await subscription.next() for _ in range(MOST_WAITING)]
        assert [each.status.value for each in seen] == [RUNNING] * (MOST_WAITING - 1) + [SUCCESS]

    simulate(main)


def test_when_nobody_observes_any_more_nothing_is_asked_for() -> None:
    async def main(service: ScriptedService) -> None:
        async with poller.shared_poller(settings_of(), WORKFLOW_RUNS, 1) as shared:
            observer = shared.observe_lists(poll_interval=10)
            await observer.next()
            shared.unsubscribe(observer)
            before = service.calls[LIST]
            await asyncio.sleep(1000)
            assert service.calls[LIST] == before

    simulate(main)


@pytest.mark.parametrize("poll_interval", [0, -1, float("nan"), float("inf")])
def test_an_impossible_interval_is_refused(poll_interval: float) -> None:
    async def main(service: ScriptedService) -> None:
        async with poller.shared_poller(settings_of(), WORKFLOW_RUNS, 1) as shared:
            with pytest.raises(ValueError, match="poll_interval"):
                shared.observe_lists(poll_interval=poll_interval)

    simulate(main)


def test_lists_of_the_emulator_are_observed(emulator: EmulatorProcess) -> None:
    async def main() -> None:
        async with shared_poller_of(emulator) as shared:
            observer = shared.observe_lists(poll_interval=0.2)
            async with asyncio.timeout(20):
                seen = await observer.next()
            assert isinstance(seen, ListedRuns)
            assert all(summary.definition_id == 1 for summary in seen.summaries)
            shared.unsubscribe(observer)

    asyncio.run(main())


def shared_poller_of(emulator: EmulatorProcess) -> Any:
    return poller.shared_poller(settings_for(emulator.endpoint, read_timeout=5), WORKFLOW_RUNS, 1)
