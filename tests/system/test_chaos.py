"""The chaos suite in a small form, and whether its judge would notice what it looks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dev.experiments import chaos
from dev.experiments.experiment import judge
from dev.harness.rest import HAS_TASK_STATE_STORE


def run(case: int, wf_instance_id: int, status: int, created: float, ended: float | None) -> dict[str, Any]:
    return {
        "parameters": json.dumps({"case": case, "flavor": "durable"}),
        "wf_instance_id": wf_instance_id,
        "status": status,
        "created": created,
        "ended": ended,
        "stopped": False,
    }


@pytest.mark.parametrize(
    ("state", "wf_instance_id", "runs", "duplicates", "orphans", "wrong"),
    [
        ("success", 1, [run(0, 1, 4, 0, 9)], 0, 0, 0),
        ("failed", 1, [run(0, 1, 5, 0, 9)], 0, 0, 0),
        ("success", 2, [run(0, 1, 5, 0, 9), run(0, 2, 4, 10, 19)], 0, 0, 0),
        ("failed", None, [], 0, 0, 1),
        ("success", 1, [run(0, 1, 5, 0, 9)], 0, 0, 1),
        ("failed", 1, [run(0, 1, 4, 0, 9)], 0, 0, 1),
        ("success", 1, [run(0, 1, 3, 0, None)], 0, 1, 1),
        ("success", 2, [run(0, 1, 4, 0, 9), run(0, 2, 4, 10, 19)], 1, 1, 0),
        ("success", 2, [run(0, 1, 5, 0, 9), run(0, 2, 4, 5, 19)], 1, 0, 0),
        ("success", 2, [run(0, 1, 3, 0, None), run(0, 2, 4, 5, 19)], 1, 1, 0),
        ("success", 1, [run(0, 1, 4, 0, 9), run(0, 2, 5, 10, 19)], 1, 1, 1),
        ("success", 1, [run(0, 1, 4, 0, 9), run(7, 2, 4, 10, 19)], 0, 0, 0),
    ],
)
def test_the_judge(
    state: str, wf_instance_id: int | None, runs: list[dict], duplicates: int, orphans: int, wrong: int
) -> None:
    found = judge("durable", {0: (state, wf_instance_id)}, runs)
    assert (len(found.duplicates), len(found.orphans), len(found.wrong)) == (duplicates, orphans, wrong)
    assert found.is_clean is not (duplicates or orphans or wrong)


def test_the_judge_sees_a_stop_that_nobody_asked_for() -> None:
    runs = [{**run(0, 1, 5, 0, 9), "stopped": True}, run(0, 2, 4, 10, 19)]
    assert judge("durable", {0: ("success", 2)}, runs).is_clean
    assert not judge("durable", {0: ("success", 2)}, runs, may_stop=False).is_clean


def test_a_seed_makes_one_plan() -> None:
    assert chaos.make_plan(1, 24, 2) == chaos.make_plan(1, 24, 2)
    assert chaos.make_plan(1, 24, 2) != chaos.make_plan(2, 24, 2)
    assert {case["fault"] for case in chaos.make_plan(1, 24, 0)["cases"]} == set(chaos.FAULTS)


@pytest.mark.airflow
def test_no_fault_makes_a_task_start_twice_lose_or_misreport_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Each fault once.
    cases = len(chaos.FAULTS)
    experiment = chaos.Chaos(tmp_path / "chaos", seed=4, cases=cases, waiting=4, minutes=15)
    verdicts = experiment.run()
    with capsys.disabled():
        print()
        assert chaos.report(experiment, verdicts, 0) == 0
    by_flavor = {each.flavor: each for each in verdicts}
    assert ("durable" in by_flavor) is HAS_TASK_STATE_STORE
    assert {each.tasks for name, each in by_flavor.items() if name != "waiting"} == {cases}
    assert by_flavor["waiting"].tasks == by_flavor["waiting"].runs == 4
    assert not by_flavor["plain"].is_clean, "the faults are real: a plain operator does not survive them"
