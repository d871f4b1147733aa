"""The two drivers of recipes: :func:`drive` with blocking calls, :func:`adrive` in an event loop.

A recipe is a generator that knows what to do next about a run, and has neither network nor clock. It yields

- a :class:`~airflow_provider_schedulerx.api.wire.calls.Call`: its result is sent back, or its error is thrown in;
- a :class:`Batch` of calls: they are made side by side, and the list of their results is sent back, in which the
  error of a failed call takes the place of its result;
- a :class:`Pause`: the time after it is sent back, in seconds of a clock that never goes backwards. ``Pause(0)`` asks
  for the time and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow_provider_schedulerx.api.exceptions import SchedulerXError
from airflow_provider_schedulerx.api.wire.calls import Call

T = TypeVar("T")

#: Calls of a batch that are under way at a time.
MAX_SIDE_BY_SIDE = 8


@dataclass(frozen=True, slots=True)
class Pause:
    """Sleep for ``seconds``, then tell the time."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Calls to make side by side."""

    calls: tuple[Call[Any], ...]


Recipe = Generator[Call[Any] | Batch | Pause, Any, T]


def drive(
    recipe: Recipe[T],
    perform: Callable[[Call[Any]], Any],
    *,
    sleep: Callable[[float], None] | None = None,
    clock: Callable[[], float] | None = None,
) -> T:
    """Carry out a recipe, blocking.

    :param perform: carries out one call; used from several threads for a batch.
    :param sleep: waits for so many seconds; ``time.sleep`` by default. What it raises ends the recipe and passes
        through.
    :param clock: gives the time in seconds; ``time.monotonic`` by default.
    :return: what the recipe returns.
    """

    def outcome(call: Call[Any]) -> Any:
        try:
            return perform(call)
        except SchedulerXError as error:
            return error

    answer: Any = None
    try:
        while True:
            try:
                step = _next(recipe, answer)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(step, Pause):
                if step.seconds > 0:
                    (sleep or time.sleep)(step.seconds)
                answer = (clock or time.monotonic)()
            elif isinstance(step, Call):
                answer = outcome(step)
            elif len(step.calls) > 1:
                with ThreadPoolExecutor(min(MAX_SIDE_BY_SIDE, len(step.calls))) as pool:
                    answer = list(pool.map(outcome, step.calls))
            else:
                answer = [outcome(call) for call in step.calls]
    finally:
        recipe.close()


async def adrive(
    recipe: Recipe[T],
    perform: Callable[[Call[Any]], Awaitable[Any]],
    *,
    sleep: Callable[[float], Awaitable[None]] | None = None,
    clock: Callable[[], float] | None = None,
) -> T:
    """:func:`drive` as a coroutine."""
    slots = asyncio.Semaphore(MAX_SIDE_BY_SIDE)

    async def outcome(call: Call[Any]) -> Any:
        async with slots:
            try:
                return await perform(call)
            except SchedulerXError as error:
                return error

    answer: Any = None
    try:
        while True:
            try:
                step = _next(recipe, answer)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(step, Pause):
                if step.seconds > 0:
                    await (sleep or asyncio.sleep)(step.seconds)
                answer = (clock or time.monotonic)()
            elif isinstance(step, Call):
                answer = await outcome(step)
            else:
                answer = list(await asyncio.gather(*map(outcome, step.calls)))
    finally:
        recipe.close()


def side_by_side(recipes: Sequence[Recipe[T]]) -> Recipe[list[T | SchedulerXError]]:
    """Carry out recipes that yield calls only, the first calls of all of them together, then the second ones, and so on.

    :return: their results, in which the error that a recipe raised takes the place of its result.
    """
    results: dict[int, T | SchedulerXError] = {}
    answers: dict[int, Any] = dict.fromkeys(range(len(recipes)))
    try:
        while answers:
            steps: dict[int, Call[Any]] = {}
            for number, answer in answers.items():
                try:
                    step = _next(recipes[number], answer)
                except StopIteration as done:
                    results[number] = done.value
                except SchedulerXError as error:
                    results[number] = error
                else:
                    if not isinstance(step, Call):
                        raise TypeError(f"{type(step).__name__} cannot be carried out side by side")
                    steps[number] = step
            outcomes = (yield Batch(tuple(steps.values()))) if steps else []
            answers = dict(zip(steps, outcomes, strict=True))
    finally:
        for recipe in recipes:
            recipe.close()
    return [results[number] for number in range(len(recipes))]


def _next(recipe: Recipe[Any], answer: Any) -> Call[Any] | Batch | Pause:
    return recipe.throw(answer) if isinstance(answer, SchedulerXError) else recipe.send(answer)
