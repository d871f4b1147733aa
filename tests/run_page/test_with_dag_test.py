"""Operators, sensors and triggers store what the page shows: with ``dag.test()``, on every supported version of Airflow."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.run_page import XCOM_CONSOLE_LINK, XCOM_JOB_CONSOLE_LINK, XCOM_RUN
from airflow_provider_schedulerx.run_page.encoding import decode
from airflow_provider_schedulerx.version_compat.versions import has_run_page
from tests.conftest import ROOT

#: dag id -> how the run of its last task that waits ended.
DAGS = {
    "example_schedulerx": "SUCCESS",
    "example_schedulerx_failure": "FAILED",
    "example_schedulerx_deferrable": "SUCCESS",
    "example_schedulerx_sensor": "SUCCESS",
    "example_schedulerx_job": "SUCCESS",
}


def test_each_of_them_leaves_a_final_picture_and_a_link(tmp_path: Path) -> None:
    with EmulatorProcess("--speed", "10") as local:
        env = {
            **os.environ,
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
            # Past which snapshots are stored.
            "AIRFLOW__CORE__XCOM_BACKEND": "tests.run_page.strict_backend.StrictBackend",
            "PYTHONPATH": str(ROOT),
            "AIRFLOW__API__BASE_URL": "https://x.example/airflow",
            "AIRFLOW_CONN_SCHEDULERX_DEFAULT": json.dumps(local.connection()),
        }
        subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"], env=env, check=True, capture_output=True
        )
        program = (
            "from airflow.models.dagbag import DagBag\n"
            f"dags = DagBag({str(ROOT / 'example_dags')!r}).dags\n"
            f"for dag_id in {list(DAGS)!r}:\n"
            "    dags[dag_id].test()\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
        )
    assert "stays behind" not in done.stdout + done.stderr
    with sqlite3.connect(tmp_path / "airflow.db") as database:
        query = "SELECT dag_id, value FROM xcom WHERE key = ?"
        stored = dict(database.execute(query, (XCOM_RUN,)).fetchall())
        query_tries = "SELECT dag_id, MAX(try_number) FROM task_instance GROUP BY dag_id"
        tries = dict(database.execute(query_tries).fetchall())
        links, *of_console = (
            dict(database.execute(query, (key,)).fetchall())
            for key in ("_link_RunPageLink", XCOM_CONSOLE_LINK, XCOM_JOB_CONSOLE_LINK)
        )
    if not has_run_page():
        assert stored == links == {}
        return
    assert stored.keys() == links.keys() == DAGS.keys(), done.stdout + done.stderr
    for dag_id, status in DAGS.items():
        snapshot = decode(json.loads(stored[dag_id]))
        assert snapshot.status.name == status
        assert snapshot.nodes, dag_id
        assert snapshot.try_number == tries[dag_id]
        assert snapshot.kind == ("job" if dag_id.endswith("_job") else "workflow")
        assert json.loads(links[dag_id]).startswith(f"https://x.example/airflow/schedulerx/run/{dag_id}/")
        assert "/console/" in of_console[snapshot.kind == "job"][dag_id]
