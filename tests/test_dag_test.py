"""``dag.test()`` of the examples, which every supported version of Airflow has to pass."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from tests.conftest import ROOT


def test_the_example_dag_runs_inline_with_dag_test(tmp_path: Path) -> None:
    with EmulatorProcess("--speed", "10") as local:
        env = {
            **os.environ,
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
            "AIRFLOW_CONN_SCHEDULERX_DEFAULT": json.dumps(local.connection()),
        }
        subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"], env=env, check=True, capture_output=True
        )
        program = (
            "from airflow.models.dagbag import DagBag\n"
            f"dags = DagBag({str(ROOT / 'example_dags')!r}).dags\n"
            "for dag_id in ('example_schedulerx', 'example_schedulerx_failure', 'example_schedulerx_deferrable', "
            "'example_schedulerx_sensor', 'example_schedulerx_job', 'example_schedulerx_job_failure'):\n"
            "    run = dags[dag_id].test()\n"
            "    print(dag_id, 'ended as', run.state)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
        )
        assert "example_schedulerx ended as success" in done.stdout, done.stdout + done.stderr
        assert "example_schedulerx_failure ended as failed" in done.stdout, done.stdout + done.stderr
        assert "example_schedulerx_deferrable ended as success" in done.stdout, done.stdout + done.stderr
        assert "example_schedulerx_sensor ended as success" in done.stdout, done.stdout + done.stderr
        assert "example_schedulerx_job ended as success" in done.stdout, done.stdout + done.stderr
        assert "example_schedulerx_job_failure ended as failed" in done.stdout, done.stdout + done.stderr
        assert (local.starts(101), local.starts(102)) == (3, 1)
        assert (local.job_starts(201), local.job_starts(202)) == (2, 1)
