"""Right in random worlds. The long form is ``python -m dev.experiments.worlds``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_schedulerx.operators.lost_starts import LostStarts
from dev.experiments import matrix, worlds

pytest.importorskip("airflow.sdk.execution_time.context", reason="of Airflow 3")

_BLOCK = 40


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    with matrix.silenced():
        yield


@pytest.mark.parametrize("first", range(0, 6 * _BLOCK, _BLOCK))
def test_never_twice_never_lost_never_wrong(first: int) -> None:
    outcomes = [worlds.play(seed) for seed in range(first, first + _BLOCK)]
    bad = [outcome for outcome in outcomes if outcome.problems]
    assert not bad, "\n".join(f"--first {each.seed} --worlds 1: {each.problems} {each.told}" for each in bad)
    assert {"success", "failed"} <= {outcome.state for outcome in outcomes}


def test_a_provider_that_looks_for_no_lost_run_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(self: LostStarts, intent: Any, **_: Any) -> tuple[Any, int]:
        return intent, 0

    monkeypatch.setattr(LostStarts, "find", find)
    problems = [problem for seed in range(_BLOCK) for problem in worlds.play(seed).problems]
    assert any(problem.startswith("duplicate") for problem in problems)
