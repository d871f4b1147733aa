"""Right under everything the service may do: all pairs of what is not known, with every scenario.

The long form is ``python -m dev.experiments.matrix``; here each profile and scenario runs in four of its variants,
in turn.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from airflow_provider_schedulerx.emulator.profile import BEHAVIOURS
from dev.experiments import matrix
from dev.experiments.matrix import FIXED, SCENARIOS, VARIANTS, Result, Scenario, pairwise, play

pytest.importorskip("airflow.sdk.execution_time.context", reason="of Airflow 3")

PROFILES = pairwise()
EACH = 4


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


def cases(scenario: Scenario) -> Iterator[Result]:
    variants = itertools.cycle(VARIANTS)
    # Another beginning for each scenario, and a step that is prime to the number of variants.
    for _ in range(SCENARIOS.index(scenario)):
        next(variants)
    for number, profile in enumerate(PROFILES):
        for variant in itertools.islice(variants, 0, 3 * EACH, 3):
            yield play(scenario, profile, variant, seed=number)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_never_twice_never_lost_never_wrong(scenario: Scenario) -> None:
    results = list(cases(scenario))
    assert len(results) == EACH * len(PROFILES)
    doubts = [result for result in results if result.doubt]
    print(f"{scenario.name}: {len(results)} cases, {len(doubts)} left to a person")
    bad = [result for result in results if result.problems]
    assert not bad, "\n".join(f"{result.command}: {'; '.join(result.problems)}" for result in bad[:10])
