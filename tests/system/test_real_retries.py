"""A failed run and its retry under a real Airflow, on every supported version.

Airflow 3.0 resumes the retry of a deferred task with the event of the previous try.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from dev.harness.stack import AirflowStack
from tests.conftest import ROOT, WORKFLOWS

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--workflows", str(WORKFLOWS), "--quota", "100000") as emulator:
        node = {"name": "only", "duration": 5, "outcome": "failed"}
        workflow = {"id": 91, "namespace": "demo", "group": "etl", "max_concurrency": 100, "nodes": [node]}
        emulator.add_workflows(
            {"namespaces": [{"id": "demo", "groups": ["etl", "reporting"]}], "workflows": [workflow]}
        )
        yield emulator


@pytest.fixture(scope="module")
def airflow(emulator: EmulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    connections = {"schedulerx_default": emulator.connection(calls_per_minute=10000)}
    dags = ROOT / "tests" / "system" / "dags"
    with AirflowStack(tmp_path_factory.mktemp("airflow"), dags, connections) as stack:
        yield stack


@pytest.mark.parametrize("name", ["sync", "deferred"])
def test_a_retry_after_a_failed_run_starts_another(
    airflow: AirflowStack, emulator: EmulatorProcess, name: str
) -> None:
    before = emulator.starts(91)
    run_id = airflow.trigger(f"failing_{name}")
    assert airflow.wait_for_run(f"failing_{name}", run_id, 240) == "failed"
    first, second = emulator.instances(91)[before:]
    assert first["ended"] < second["created"]
    assert first["parameters"] == second["parameters"], "with the same marker"
    assert airflow.task(f"failing_{name}", run_id, "run")["try_number"] == 2
    assert airflow.xcom(f"failing_{name}", run_id, "run", "WfInstanceId") == second["wf_instance_id"]
