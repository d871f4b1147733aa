"""Workers of Celery that are shut down while their task follows a run: the run is neither stopped nor started again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from dev.experiments.distributed import celery_config, components
from dev.harness import postgres, redis
from dev.harness.rest import HAS_TASK_STATE_STORE
from dev.harness.stack import AirflowStack
from dev.harness.waiting import wait_for
from tests.conftest import ROOT, WORKFLOWS

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not postgres.programs(), reason="no PostgreSQL here: apt-get install postgresql"),
    pytest.mark.skipif(not redis.program(), reason="no Redis here: apt-get install redis-server"),
    pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="a retry knows nothing of the previous try"),
]

FIRST, SECOND = "worker-1", "worker-2"
_WANTED = ("api-server", "dag-processor", "scheduler-1", FIRST)
#: Seconds that a run takes: long enough to shut a worker down meanwhile.
_DURATION = 25


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    node = {"name": "only", "duration": _DURATION}
    workflow = {"id": 92, "namespace": "demo", "group": "etl", "max_concurrency": 100, "nodes": [node]}
    with EmulatorProcess("--workflows", str(WORKFLOWS), "--quota", "100000") as emulator:
        emulator.add_workflows(
            {"namespaces": [{"id": "demo", "groups": ["etl", "reporting"]}], "workflows": [workflow]}
        )
        yield emulator


@pytest.fixture(scope="module")
def airflow(emulator: EmulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    pytest.importorskip("airflow.providers.celery")
    home = tmp_path_factory.mktemp("celery")
    known = components(home)
    with (
        postgres.Postgres(home / "postgres") as database,
        redis.Redis(home / "redis") as broker,
        AirflowStack(
            home / "airflow",
            ROOT / "tests" / "system" / "dags",
            {"schedulerx_default": emulator.connection(calls_per_minute=10000)},
            {**database.config, **celery_config(broker, database)},
            components={name: known[name] for name in _WANTED},
        ) as stack,
    ):
        stack.add_component(SECOND, known[SECOND])
        yield stack


def follow(airflow: AirflowStack, emulator: EmulatorProcess) -> str:
    """Start a run, and wait until its task follows it. :return: the id of the DAG run."""
    before = emulator.starts(92)
    run_id = airflow.trigger("dying", {"workflow_id": 92, "fault": ""}, timeout=120)
    wait_for("the run is started", lambda: emulator.starts(92) > before, 120)
    wait_for("its id is kept", lambda: airflow.xcom("dying", run_id, "run", "WfInstanceId"), 30)
    return run_id


def has_succeeded_once(airflow: AirflowStack, emulator: EmulatorProcess, run_id: str, tries: int) -> None:
    """One run, which has succeeded, and so has its task."""
    assert airflow.wait_for_run("dying", run_id, 240) == "success"
    (run,) = [run for run in emulator.instances(92) if run_id in (run["parameters"] or "")]
    assert run["status"] == 4
    assert airflow.xcom("dying", run_id, "run", "WfInstanceId") == run["wf_instance_id"]
    assert airflow.task("dying", run_id, "run")["try_number"] == tries


def test_a_cold_shutdown_leaves_the_run_to_the_next_try_on_another_worker(
    airflow: AirflowStack, emulator: EmulatorProcess
) -> None:
    run_id = follow(airflow, emulator)
    os.kill(airflow.pid(FIRST), signal.SIGQUIT)
    airflow.start_component(SECOND)
    wait_for("the worker has ended", lambda: not airflow.is_alive(FIRST), 60)
    has_succeeded_once(airflow, emulator, run_id, tries=2)


def test_marking_the_task_as_failed_stops_the_run(airflow: AirflowStack, emulator: EmulatorProcess) -> None:
    run_id = follow(airflow, emulator)
    airflow.set_task_state("dying", run_id, "run", "failed")
    wait_for("the run is stopped", lambda: emulator.instances(92)[-1]["status"] == 5, 20)
    assert airflow.wait_for_run("dying", run_id) == "failed"


def test_a_warm_shutdown_lets_the_task_finish(airflow: AirflowStack, emulator: EmulatorProcess) -> None:
    run_id = follow(airflow, emulator)
    os.kill(airflow.pid(SECOND), signal.SIGTERM)
    has_succeeded_once(airflow, emulator, run_id, tries=1)
    wait_for("the worker has ended", lambda: not airflow.is_alive(SECOND), 60)
