"""Right under everything the service may do: all pairs of what is not known, with every scenario.

The long form is ``python -m dev.experiments.matrix``; here each profile and scenario runs in two of its variants in
turn, one deferred and one not.
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
    for deferrable in (False, True):
        variants = [variant for variant in VARIANTS if variant.deferrable is deferrable]
        first = SCENARIOS.index(scenario)
        for number, profile in enumerate(PROFILES):
            # A step that has no divisor in common with the number of variants.
            yield play(scenario, profile, variants[(first + 3 * number) % len(variants)], seed=number)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_never_twice_never_lost_never_wrong(scenario: Scenario) -> None:
    results = list(cases(scenario))
    assert len(results) == 2 * len(PROFILES)
    doubts = [result for result in results if result.doubt]
    print(f"{scenario.name}: {len(results)} cases, {len(doubts)} left to a person")
    bad = [result for result in results if result.problems]
    assert not bad, "\n".join(f"{result.command}: {'; '.join(result.problems)}" for result in bad[:10])
