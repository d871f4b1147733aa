"""Right under everything the service may do: all pairs of what is not known, with every scenario.

The long form is ``python -m dev.experiments.matrix``; here each profile and scenario runs in two of its variants in
turn, one deferred and one not.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from airflow_provider_schedulerx.emulator import profile as profiles
from airflow_provider_schedulerx.emulator.behaviours import BEHAVIOURS
from dev.experiments import matrix
from dev.experiments.matrix import FIXED, VARIANTS, in_turn, pairwise, play
from dev.experiments.scenarios import SCENARIOS, SLOW, Scenario, World

pytest.importorskip("airflow.sdk.execution_time.context", reason="of Airflow 3")

PROFILES = pairwise()


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    with matrix.silenced():
        yield


def test_every_pair_of_values_occurs() -> None:
    wanted = {
        ((one, a), (two, b))
        for one, two in itertools.combinations([key for key in BEHAVIOURS if key not in FIXED], 2)
        for a in BEHAVIOURS[one].names
        for b in BEHAVIOURS[two].names
    }
    for profile in PROFILES:
        wanted -= {
            ((one, profile[one]), (two, profile[two])) for one, two in itertools.combinations(BEHAVIOURS, 2)
        }
    assert wanted == set()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_never_twice_never_lost_never_wrong(scenario: Scenario) -> None:
    results = [play(*case) for case in in_turn(PROFILES, [scenario], seed=0, count=2)]
    assert len(results) == 2 * len(PROFILES)
    doubts = [result for result in results if result.doubt]
    print(f"{scenario.name}: {len(results)} cases, {len(doubts)} left to a person")
    bad = [result for result in results if result.problems]
    assert not bad, "\n".join(f"{result.command}: {'; '.join(result.problems)}" for result in bad[:10])


def timeout(world: World) -> None:
    world.define(SLOW, retries=0, timeout=45)
    world.task.run()


def kill(world: World) -> None:
    world.define(SLOW)
    world.task.user_ends_after = 35
    world.task.run()


@pytest.mark.parametrize("end", [timeout, kill])
def test_an_end_within_the_settling_time_leaves_no_run(end: Callable[[World], None]) -> None:
    """The start is answered by an error and its run is found, but time is up, or a user kills the task, before the
    search for other runs ends.
    """
    variant = next(each for each in VARIANTS if each.parameters and not each.marker)
    profile = profiles.parse("late_refusal=500")
    result = play(Scenario(end.__name__, end, is_ambiguous=True), profile, variant, seed=0)
    assert result.problems == []
