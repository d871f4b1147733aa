"""A task outlives an API server that is away, as in a restart, though it stores snapshots for its page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from dev.harness.rest import AIRFLOW
from dev.harness.stack import COMPONENTS, AirflowStack
from dev.harness.waiting import wait_for
from tests.conftest import ROOT
from tests.system.test_run_page import WORKFLOWS, Run

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(AIRFLOW < (3, 1), reason="plugins have tabs from Airflow 3.1 on"),
]

WORKFLOW = 107


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    file = tmp_path_factory.mktemp("emulator") / "workflows.yaml"
    file.write_text(yaml.safe_dump(WORKFLOWS, allow_unicode=True))
    with EmulatorProcess("--workflows", str(file), "--quota", "100000") as emulator:
        yield emulator


@pytest.fixture(scope="module")
def airflow(emulator: EmulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    config = {
        # The supervisor of a task gives up soon, but takes no offence at heartbeats that fail.
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "2",
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "1000",
    }
    connections = {"schedulerx_default": emulator.connection()}
    components = {name: COMPONENTS[name] for name in ("api-server", "scheduler", "dag-processor")}
    home = tmp_path_factory.mktemp("airflow")
    dags = ROOT / "tests" / "system" / "run_page_dags"
    with AirflowStack(home, dags, connections, config, components=components) as stack:
        yield stack


def finished(emulator: EmulatorProcess) -> int:
    """How many nodes of the run have ended."""
    (run,) = emulator.instances(WORKFLOW)
    return sum(node["status"] == 4 for node in run["nodes"])


def test_a_task_outlives_an_api_server_that_is_away(airflow: AirflowStack, emulator: EmulatorProcess) -> None:
    run = Run(airflow, "page_chain", airflow.trigger("page_chain"), "chain")
    wait_for("nodes are seen", lambda: (run.stored() or {}).get("nodes"), 60)
    airflow.kill_component("api-server")
    until = finished(emulator) + 4
    wait_for("several changes to store", lambda: finished(emulator) >= until, 60)
    airflow.start_component("api-server")
    wait_for("the API server answers", airflow._is_healthy, 120)
    assert airflow.wait_for_run(run.dag_id, run.run_id) == "success"
    assert airflow.task(run.dag_id, run.run_id, run.task_id)["try_number"] == 1
    assert run.stored()["status"] == 4
    assert len(emulator.instances(WORKFLOW)) == 1
