"""Under a real Airflow: scheduler, DAG processor, triggerer and API server, each a process of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.run_page.paths import task_path
from dev.harness.rest import AIRFLOW
from dev.harness.stack import COMPONENTS, AirflowStack
from dev.harness.waiting import wait_for
from tests.conftest import ROOT, WORKFLOWS

pytestmark = pytest.mark.airflow

LINK = "SchedulerX workflow instance"
PAGE_LINK = "SchedulerX run"


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--workflows", str(WORKFLOWS), "--speed", "5", "--quota", "100000") as emulator:
        yield emulator


@pytest.fixture(scope="module")
def airflow(emulator: EmulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    home = tmp_path_factory.mktemp("airflow")
    connections = {"schedulerx_default": emulator.connection(console_url="https://console/{wf_instance_id}")}
    with AirflowStack(home, ROOT / "tests" / "system" / "dags", connections) as stack:
        yield stack


def newest(emulator: EmulatorProcess, workflow_id: int) -> dict:
    return emulator.instances(workflow_id)[-1]


def started(emulator: EmulatorProcess, workflow_id: int, before: int) -> dict:
    """The run that a task has started, as soon as it has."""
    wait_for("the task has started a run", lambda: emulator.starts(workflow_id) > before, 60)
    return newest(emulator, workflow_id)


def is_stopped(emulator: EmulatorProcess, workflow_id: int) -> bool:
    return newest(emulator, workflow_id)["status"] == 5


def both_links(airflow: AirflowStack, run_id: str, wf_instance_id: int) -> dict[str, str]:
    """All links of the task ``run`` of the DAG ``good``. Before Airflow 3.1 there is no page in Airflow."""
    links = {LINK: f"https://console/{wf_instance_id}"}
    if AIRFLOW >= (3, 1):
        links[PAGE_LINK] = f"{airflow.url}/schedulerx{task_path('good', 'run', -1, run_id)}"
    return links


def test_success(airflow: AirflowStack, emulator: EmulatorProcess) -> None:
    run_id = airflow.trigger("good", {"workflow_id": 1})
    assert airflow.wait_for_run("good", run_id) == "success"
    wf_instance_id = newest(emulator, 1)["wf_instance_id"]
    assert airflow.xcom("good", run_id, "run", "WfInstanceId") == wf_instance_id
    assert airflow.xcom("good", run_id, "run", "return_value") == wf_instance_id
    assert airflow.links("good", run_id, "run") == both_links(airflow, run_id, wf_instance_id)
    log = airflow.log("good", run_id, "run")
    assert "RequestId=" in log
    assert f"Workflow instance {wf_instance_id} succeeded" in log


def test_failure(airflow: AirflowStack, emulator: EmulatorProcess) -> None:
    run_id = airflow.trigger("good", {"workflow_id": 2})
    assert airflow.wait_for_run("good", run_id) == "failed"
    assert "breaks (job 202) FAILED (result: disk full" in airflow.log("good", run_id, "run")
    wf_instance_id = newest(emulator, 2)["wf_instance_id"]
    assert airflow.links("good", run_id, "run") == both_links(airflow, run_id, wf_instance_id)


def test_mark_failed_stops_the_run_whose_link_was_there_all_along(
    airflow: AirflowStack, emulator: EmulatorProcess
) -> None:
    before = emulator.starts(3)
    run_id = airflow.trigger("endless")
    run = started(emulator, 3, before)
    link = wait_for("the link of a running task", lambda: airflow.links("endless", run_id, "run")[LINK], 20)
    assert link == f"https://console/{run['wf_instance_id']}"
    assert airflow.task("endless", run_id, "run")["state"] == "running"
    airflow.set_task_state("endless", run_id, "run", "failed")
    wait_for("the run is stopped", lambda: is_stopped(emulator, 3), 40)
    assert emulator.starts(3) == before + 1


def test_execution_timeout_stops_the_run(airflow: AirflowStack, emulator: EmulatorProcess) -> None:
    before = emulator.starts(3)
    run_id = airflow.trigger("execution_timeout")
    assert airflow.wait_for_run("execution_timeout", run_id) == "failed"
    assert is_stopped(emulator, 3)
    assert emulator.starts(3) == before + 1
    wf_instance_id = newest(emulator, 3)["wf_instance_id"]
    log = airflow.log("execution_timeout", run_id, "run")
    unended = f"Workflow instance {wf_instance_id} has not ended within execution_timeout=4 s"
    assert f"{unended}; stopping it" in log
    assert f"{unended}; it was stopped and is FAILED" in log
    assert "AirflowTaskTimeout" not in log, "the task's own words replace Airflow's"


def test_a_run_whose_answer_was_lost_is_found_in_the_same_try(
    airflow: AirflowStack, emulator: EmulatorProcess
) -> None:
    before = emulator.starts(1)
    emulator.add_fault("ExecuteWorkflow", "drop", when="after")
    run_id = airflow.trigger("lost_answer")
    assert airflow.wait_for_run("lost_answer", run_id) == "success"
    assert airflow.task("lost_answer", run_id, "run")["try_number"] == 1
    assert emulator.starts(1) == before + 1
    assert airflow.xcom("lost_answer", run_id, "run", "WfInstanceId") == newest(emulator, 1)["wf_instance_id"]
    assert "Looking for the run that may have been started" in airflow.log("lost_answer", run_id, "run")


def test_mapped_tasks_start_one_run_each(airflow: AirflowStack, emulator: EmulatorProcess) -> None:
    before = emulator.starts(1)
    run_id = airflow.trigger("mapped")
    assert airflow.wait_for_run("mapped", run_id) == "success"
    assert emulator.starts(1) == before + 4
    assert sorted(run["parameters"] for run in emulator.instances(1)[-4:]) == [
        f'{{"part":{part}}}' for part in range(4)
    ]


def test_no_secret_is_in_any_file_of_airflow(airflow: AirflowStack) -> None:
    files = [file for file in airflow.home.rglob("*") if file.is_file() and file.suffix not in (".db",)]
    assert any(file.name.startswith("attempt=") for file in files), "there should be task logs"
    for file in files:
        assert b"emulator-secret" not in file.read_bytes(), file


def test_the_stack_ends_quietly(airflow: AirflowStack) -> None:
    """Nothing in the components' logs complains about this provider."""
    time.sleep(0.5)
    for component in COMPONENTS:
        text = (airflow.home / f"{component}.log").read_text(errors="replace")
        for line in text.splitlines():
            # What tasks themselves log, among others about the faults above, is in here too.
            is_of_a_task = "airflow.task." in line
            assert is_of_a_task or not ("warn" in line.lower() and "airflow_provider_schedulerx" in line), (
                line
            )
