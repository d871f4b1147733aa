"""The service's own schedule drives DAGs of a real Airflow, whose triggerer is killed again and again."""

from __future__ import annotations

from pathlib import Path

import pytest

from dev.experiments import events
from dev.harness.rest import AIRFLOW

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(
        AIRFLOW < (3, 3), reason="the cursor is kept in the state store of assets, of Airflow 3.3"
    ),
]


def test_each_end_gives_one_event_over_kills_of_the_triggerer(tmp_path: Path) -> None:
    """Its long form is ``python -m dev.experiments.events``: 200 runs of 10 workflows."""
    # A list so long that a triggerer may take its time to start.
    with events.emulator_with(tmp_path, 4, "list_length=300") as emulator:
        outcome = events.experiment(
            tmp_path / "airflow", emulator, workflows=4, runs=10, interval=4, kill_every=13
        )
    assert outcome.kills
    assert outcome.is_good, outcome
