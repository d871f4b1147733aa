"""The suite on several processes of everything, in a small form."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from dev.experiments import distributed
from dev.harness import postgres, redis
from dev.harness.rest import HAS_TASK_STATE_STORE


def test_the_plan_has_every_workflow_and_some_that_fail() -> None:
    counted = Counter(case["workflow_id"] for case in distributed.make_plan(500))
    assert set(counted) == set(distributed.workflows(60))
    assert counted[distributed.FAILING] == 10


@pytest.mark.airflow
@pytest.mark.skipif(not postgres.programs(), reason="no PostgreSQL here: apt-get install postgresql")
@pytest.mark.skipif(not redis.program(), reason="no Redis here: apt-get install redis-server")
@pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="a retry knows nothing of the previous try")
def test_losing_any_process_starts_no_run_twice_and_loses_or_misreports_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("airflow.providers.celery")
    experiment = distributed.Distributed(tmp_path / "distributed", runs=40, seconds=20, minutes=9)
    with capsys.disabled():
        print()
        verdict = experiment.run()
        assert distributed.report(experiment, verdict, 0) == 0
    assert verdict.tasks == 40
    done = " ".join(experiment.done)
    for name in ("worker-1", "scheduler-1", "triggerer-1"):
        assert f"{name} killed with -9" in done
    for name in ("Redis", "PostgreSQL", "the emulator"):
        assert f"{name} restarted" in done
    assert len(experiment.waiting) >= distributed.TRIGGERERS
