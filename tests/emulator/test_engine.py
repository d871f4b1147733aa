"""The engine with a clock that the test turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_schedulerx.emulator import definitions
from airflow_provider_schedulerx.emulator.engine import Engine, Refused
from airflow_provider_schedulerx.emulator.instances import FAILED, RUNNING, SUCCESS, WAITING, InstanceRun
from airflow_provider_schedulerx.emulator.profile import Profile
from airflow_provider_schedulerx.emulator.store import Store
from tests.conftest import WORKFLOWS

KNOWN = definitions.load(WORKFLOWS)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(clock: Clock) -> Engine:
    return Engine(KNOWN.workflows.values(), jobs=KNOWN.jobs.values(), clock=clock)


def start(engine: Engine, workflow_id: int) -> InstanceRun:
    run = engine.execute(engine.workflows[workflow_id], None)
    assert run is not None
    return run


def statuses(engine: Engine, wf_instance_id: int) -> list[int]:
    run = engine.instances[wf_instance_id]
    engine.advance(engine.workflows[run.workflow_id])
    return [run.status, *(node.status for node in run.nodes.values())]


def test_nodes_run_when_what_they_wait_for_has_succeeded(engine: Engine, clock: Clock) -> None:
    run = start(engine, 1)
    seen = []
    for clock.now in (1000.0, 1001.9, 1002.0, 1003.0, 1004.0, 1005.0):
        seen.append(statuses(engine, run.wf_instance_id))
    assert seen == [
        [RUNNING, RUNNING, WAITING, WAITING, WAITING],
        [RUNNING, RUNNING, WAITING, WAITING, WAITING],
        [RUNNING, SUCCESS, RUNNING, RUNNING, WAITING],
        [RUNNING, SUCCESS, RUNNING, SUCCESS, WAITING],
        [RUNNING, SUCCESS, SUCCESS, SUCCESS, RUNNING],
        [SUCCESS, SUCCESS, SUCCESS, SUCCESS, SUCCESS],
    ]
    assert run.ended == 1005.0


def test_a_long_look_away_gives_the_same_times_as_a_close_watch(engine: Engine, clock: Clock) -> None:
    watched, unwatched = (start(engine, 1) for _ in range(2))
    for clock.now in [1000 + step / 10 for step in range(60)]:
        statuses(engine, watched.wf_instance_id)
    fresh = Engine(KNOWN.workflows.values(), jobs=KNOWN.jobs.values(), clock=clock)
    clock.now = 1000.0
    late = start(fresh, 1)
    clock.now = 99999.0
    statuses(fresh, late.wf_instance_id)
    times = [[(node.starts, node.ends) for node in run.nodes.values()] for run in (watched, unwatched, late)]
    assert times[0] == times[1] == times[2]


def test_failure_leaves_what_comes_after_undone_and_a_retry_does_it(engine: Engine, clock: Clock) -> None:
    run = start(engine, 2)
    clock.now = 1010.0
    assert statuses(engine, run.wf_instance_id) == [FAILED, SUCCESS, FAILED, WAITING]
    node = run.nodes[202]
    engine.retry(run, node)
    assert statuses(engine, run.wf_instance_id) == [RUNNING, SUCCESS, RUNNING, WAITING]
    clock.now = 1012.0
    assert statuses(engine, run.wf_instance_id) == [SUCCESS, SUCCESS, SUCCESS, SUCCESS]
    assert node.attempt == 1


def test_a_node_that_has_succeeded_can_be_run_again_but_not_one_that_runs(
    engine: Engine, clock: Clock
) -> None:
    run = start(engine, 1)
    clock.now = 1010.0
    assert statuses(engine, run.wf_instance_id) == [SUCCESS] * 5
    engine.retry(run, run.nodes[104])
    assert statuses(engine, run.wf_instance_id) == [RUNNING, SUCCESS, SUCCESS, SUCCESS, RUNNING]
    with pytest.raises(Refused, match="only a finished"):
        engine.retry(run, run.nodes[104])
    clock.now = 1012.0
    assert statuses(engine, run.wf_instance_id) == [SUCCESS] * 5


def test_stop_ends_a_node_and_with_the_last_one_the_run(engine: Engine, clock: Clock) -> None:
    run = start(engine, 3)
    engine.stop(run, run.nodes[301])
    assert statuses(engine, run.wf_instance_id) == [RUNNING, FAILED, RUNNING, WAITING]
    clock.now = 1001.0
    engine.stop(run, run.nodes[302])
    assert statuses(engine, run.wf_instance_id) == [FAILED, FAILED, FAILED, WAITING]
    assert run.nodes[302].result == "killed from server"
    for node in (run.nodes[302], run.nodes[303]):
        with pytest.raises(Refused, match="is not running"):
            engine.stop(run, node)
    assert run.nodes[302].ends == 1001.0


def test_beyond_the_concurrency_runs_wait_for_their_turn(engine: Engine, clock: Clock) -> None:
    engine.profile = Profile({"when_full": "queue"})
    runs = [start(engine, 5) for _ in range(3)]
    assert [statuses(engine, run.wf_instance_id)[0] for run in runs] == [RUNNING, WAITING, WAITING]
    clock.now = 1007.0
    assert [statuses(engine, run.wf_instance_id)[0] for run in runs] == [SUCCESS, RUNNING, WAITING]
    clock.now = 2000.0
    assert [statuses(engine, run.wf_instance_id)[0] for run in runs] == [SUCCESS] * 3
    assert [run.started for run in runs] == [1000.0, 1005.0, 1010.0]


def test_refusals(engine: Engine) -> None:
    with pytest.raises(Refused, match="disabled"):
        start(engine, 6)
    start(engine, 7)
    with pytest.raises(Refused, match="max concurrency 1"):
        start(engine, 7)
    assert engine.starts == {7: 1}


def test_a_restart_forgets_nothing_and_time_has_gone_on(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "state.db"
    before = Engine(KNOWN.workflows.values(), jobs=KNOWN.jobs.values(), store=Store(file), clock=clock)
    first = before.execute(before.workflows[1], "p")
    assert first is not None
    clock.now = 1002.5
    before.advance(before.workflows[1])
    failed = start(before, 2)
    # No close(): as after kill -9.
    clock.now = 1004.5
    after = Engine(KNOWN.workflows.values(), jobs=KNOWN.jobs.values(), store=Store(file), clock=clock)
    assert after.instances.keys() == {first.wf_instance_id, failed.wf_instance_id}
    assert statuses(after, first.wf_instance_id) == [RUNNING, SUCCESS, SUCCESS, SUCCESS, RUNNING]
    assert after.instances[first.wf_instance_id].parameters == "p"
    used = {run.wf_instance_id for run in before.instances.values()}
    used |= {node.job_instance_id or 0 for run in before.instances.values() for node in run.nodes.values()}
    fresh = start(after, 1)
    assert fresh.wf_instance_id not in used
    assert after.starts == {1: 2, 2: 1}


def test_ids_are_unique_and_beyond_32_bits(engine: Engine) -> None:
    runs = [start(engine, 1) for _ in range(10)]
    ids = [run.wf_instance_id for run in runs]
    ids += [node.job_instance_id for run in runs for node in run.nodes.values() if node.job_instance_id]
    assert len(set(ids)) == len(ids) == 50
    assert min(ids) > 2**32


def start_job(engine: Engine, job_id: int, **options: Any) -> InstanceRun:
    run = engine.execute_job(engine.jobs[job_id], None, **options)
    assert run is not None
    return run


def test_a_job_runs_by_itself(engine: Engine, clock: Clock) -> None:
    run = start_job(engine, 21)
    assert list(run.nodes) == [21]
    assert run.nodes[21].job_instance_id == run.wf_instance_id
    seen = []
    for clock.now in (1000.0, 1000.9, 1001.0):
        engine.advance_all()
        seen.append((run.status, run.nodes[21].status))
    assert seen == [(RUNNING, RUNNING), (RUNNING, RUNNING), (SUCCESS, SUCCESS)]
    assert (engine.starts, engine.job_starts) == ({}, {21: 1})


@pytest.mark.parametrize(("job_id", "status"), [(22, FAILED), (24, 11), (28, 0)])
def test_a_job_ends_as_its_outcome_says(engine: Engine, clock: Clock, job_id: int, status: int) -> None:
    run = start_job(engine, job_id)
    clock.now += 5
    engine.advance_all()
    assert (run.status, run.nodes[job_id].status, run.is_active) == (status, status, False)


def test_one_start_of_a_job_in_a_second(engine: Engine, clock: Clock) -> None:
    clock.now = 1000.4
    start_job(engine, 23)
    clock.now = 1000.9
    with pytest.raises(Refused, match="Duplicate entry '23-1000'"):
        start_job(engine, 23)
    start_job(engine, 21)
    clock.now = 1001.0
    start_job(engine, 23)
    assert engine.job_starts == {23: 2, 21: 1}


def test_a_disabled_job_runs_only_if_its_state_is_not_checked(engine: Engine) -> None:
    with pytest.raises(Refused, match="jobId=25 is disabled"):
        start_job(engine, 25)
    start_job(engine, 25, check_status=False)


def test_a_job_that_has_ended_is_not_stopped_and_can_be_retried(engine: Engine, clock: Clock) -> None:
    run = start_job(engine, 22)
    clock.now += 5
    engine.advance_all()
    with pytest.raises(Refused, match="is not running"):
        engine.stop(run, run.nodes[22])
    engine.retry(run, run.nodes[22])
    engine.advance_all()
    assert (run.status, run.nodes[22].attempt) == (RUNNING, 1)
    clock.now += 5
    engine.advance_all()
    assert (run.status, run.nodes[22].job_instance_id) == (SUCCESS, run.wf_instance_id)


def test_a_job_beyond_its_concurrency_is_refused_or_waits(engine: Engine, clock: Clock) -> None:
    first = start_job(engine, 26)
    clock.now += 1
    with pytest.raises(Refused, match="max concurrency 1"):
        start_job(engine, 26)
    engine.profile = Profile({"when_full": "queue"})
    second = start_job(engine, 26)
    assert (second.status, second.nodes[26].status) == (WAITING, WAITING)
    with pytest.raises(Refused, match="is not running"):
        engine.stop(second, second.nodes[26])
    clock.now += 1
    engine.stop(first, first.nodes[26])
    engine.advance_all()
    assert second.status == RUNNING


def test_runs_of_jobs_outlive_a_kill(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "state"
    before = Engine(KNOWN.workflows.values(), jobs=KNOWN.jobs.values(), store=Store(file), clock=clock)
    run = start_job(before, 23, worker="w@1:2")
    after = Engine(KNOWN.workflows.values(), jobs=KNOWN.jobs.values(), store=Store(file), clock=clock)
    assert after.instances[run.wf_instance_id] == run
    assert after.job_starts == {23: 1}
    with pytest.raises(Refused, match="Duplicate entry"):
        start_job(after, 23)
