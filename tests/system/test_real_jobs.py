"""Jobs under a real Airflow: on a worker and in the triggerer, one that is not good, and a kill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from dev.harness.rest import AIRFLOW
from dev.harness.stack import AirflowStack
from dev.harness.waiting import wait_for
from tests.conftest import ROOT, WORKFLOWS

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--workflows", str(WORKFLOWS), "--quota", "100000") as emulator:
        yield emulator


@pytest.fixture(scope="module")
def airflow(emulator: EmulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    home = tmp_path_factory.mktemp("airflow")
    with AirflowStack(
        home, ROOT / "tests" / "system" / "dags", {"schedulerx_default": emulator.connection()}
    ) as stack:
        yield stack


def test_jobs_run_on_a_worker_and_in_the_triggerer(airflow: AirflowStack, emulator: EmulatorProcess) -> None:
    run_id = airflow.trigger("job")
    assert airflow.wait_for_run("job", run_id) == "success"
    first, second = (each["wf_instance_id"] for each in emulator.job_instances(21))
    assert airflow.xcom("job", run_id, "sync", "JobInstanceId") == first
    assert airflow.xcom("job", run_id, "sync", "job_id") == 21
    assert airflow.xcom("job", run_id, "deferred", "return_value") == second
    assert airflow.xcom("job", run_id, "wait", "return_value") == second
    for task_id, run in (("sync", first), ("deferred", second)):
        url = f"{emulator.endpoint}/console/21/{run}"
        links = airflow.links("job", run_id, task_id)
        assert links["SchedulerX job instance"] == url
        # The run's page is of Airflow 3.1 and later.
        assert links.keys() - {"SchedulerX job instance"} == (
            {"SchedulerX run"} if AIRFLOW >= (3, 1) else set()
        )
        log = airflow.log("job", run_id, task_id)
        assert f"Job instance {run} succeeded" in log


def test_a_job_that_was_done_in_part_fails_its_task(airflow: AirflowStack, emulator: EmulatorProcess) -> None:
    run_id = airflow.trigger("job_fails")
    assert airflow.wait_for_run("job_fails", run_id) == "failed"
    assert "half done (job 24) PARTIAL_FAILED" in airflow.log("job_fails", run_id, "run")


def test_a_kill_stops_the_job(airflow: AirflowStack, emulator: EmulatorProcess) -> None:
    run_id = airflow.trigger("job_endless")
    wait_for("the task has started the job", lambda: emulator.job_starts(23) == 1, 60)
    airflow.set_task_state("job_endless", run_id, "run", "failed")
    wait_for("the job has stopped", lambda: emulator.job_instances(23)[-1]["status"] == 5, 60)
