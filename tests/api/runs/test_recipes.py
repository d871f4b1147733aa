"""Both drivers carry out the same recipe alike."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.exceptions import SchedulerXRejectedError
from airflow_provider_schedulerx.api.runs.recipes import (
    MAX_SIDE_BY_SIDE,
    Batch,
    Pause,
    Recipe,
    adrive,
    drive,
    side_by_side,
)
from airflow_provider_schedulerx.api.wire import calls

SCOPE = Scope(region_id="r", namespace="n", group_id="g")


def call(job: int) -> Any:
    return calls.stop_job_instance(SCOPE, job, 1)


class World:
    """What a recipe is carried out in. Odd jobs are refused."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        self.busy = self.busiest = 0
        self.lock = threading.Lock()

    def answer(self, request: Any) -> str:
        job = int(request.query["JobId"])
        if job % 2:
            raise SchedulerXRejectedError(f"job {job}")
        return f"job {job}"

    def perform(self, request: Any) -> str:
        with self.lock:
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        time.sleep(0.01)
        with self.lock:
            self.busy -= 1
        return self.answer(request)

    async def aperform(self, request: Any) -> str:
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        await asyncio.sleep(0.001)
        self.busy -= 1
        return self.answer(request)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)


Driver = Callable[[World, Recipe[Any]], Any]


def blocking(world: World, recipe: Recipe[Any]) -> Any:
    return drive(recipe, world.perform, sleep=world.sleep, clock=lambda: world.now)


def in_a_loop(world: World, recipe: Recipe[Any]) -> Any:
    return asyncio.run(adrive(recipe, world.aperform, sleep=world.asleep, clock=lambda: world.now))


@pytest.fixture(params=[blocking, in_a_loop])
def driver(request: pytest.FixtureRequest) -> Driver:
    found: Driver = request.param
    return found


def test_calls_pauses_and_errors(driver: Driver) -> None:
    def recipe() -> Recipe[list[Any]]:
        told: list[Any] = [(yield Pause(0)), (yield call(2)), (yield Pause(5))]
        try:
            yield call(3)
        except SchedulerXRejectedError as error:
            told.append(error.message)
        told.append((yield Pause(1)))
        return told

    world = World()
    assert driver(world, recipe()) == [100.0, "job 2", 105.0, "job 3", 106.0]
    assert world.slept == [5, 1], "Pause(0) only asks for the time"


@pytest.mark.parametrize("count", [0, 1, 40])
def test_a_batch_is_made_side_by_side_within_a_bound_and_keeps_its_order(driver: Driver, count: int) -> None:
    def recipe() -> Recipe[list[str]]:
        outcomes = yield Batch(tuple(call(number) for number in range(1, count + 1)))
        return [outcome if isinstance(outcome, str) else outcome.message for outcome in outcomes]

    world = World()
    assert driver(world, recipe()) == [f"job {number}" for number in range(1, count + 1)]
    assert world.busiest == min(count, MAX_SIDE_BY_SIDE)


def test_an_error_that_a_recipe_does_not_catch_is_raised(driver: Driver) -> None:
    def recipe() -> Recipe[None]:
        yield call(1)

    with pytest.raises(SchedulerXRejectedError, match="job 1"):
        driver(World(), recipe())


def test_what_a_sleep_raises_ends_the_recipe_and_passes_through() -> None:
    closed = []

    def recipe() -> Recipe[None]:
        try:
            yield Pause(5)
        finally:
            closed.append(True)

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive(recipe(), World().perform, sleep=interrupted)
    assert closed


def test_recipes_of_calls_are_carried_out_side_by_side(driver: Driver) -> None:
    closed = []

    def each(*jobs: int) -> Recipe[list[str]]:
        told = []
        try:
            for job in jobs:
                told.append((yield call(job)))
        finally:
            closed.append(jobs)
        return told

    def caught(job: int) -> Recipe[str]:
        try:
            yield call(job)
        except SchedulerXRejectedError as error:
            return error.message
        return "not refused"

    world = World()
    recipes: list[Recipe[Any]] = [each(2, 4), each(), each(6, 3, 8), caught(5), each(10)]
    first, second, third, fourth, fifth = driver(world, side_by_side(recipes))
    assert (first, second, fourth, fifth) == (["job 2", "job 4"], [], "job 5", ["job 10"])
    assert isinstance(third, SchedulerXRejectedError), "the error of one is its result, and no other's"
    assert world.busiest == 4, "the first calls of all of them are made together"
    assert len(closed) == 4
    assert driver(world, side_by_side([])) == []


def test_a_recipe_that_pauses_cannot_be_carried_out_side_by_side() -> None:
    def pausing() -> Recipe[None]:
        yield Pause(1)

    with pytest.raises(TypeError, match="Pause cannot be carried out side by side"):
        drive(side_by_side([pausing()]), World().perform)
