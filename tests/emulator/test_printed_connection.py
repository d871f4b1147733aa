"""What the emulator prints at its start works exactly as printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_schedulerx.emulator import definitions
from airflow_provider_schedulerx.emulator.process import EmulatorProcess

PROGRAM = (
    "from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook\n"
    "hook = SchedulerXHook()\n"
    "print(hook.test_connection())\n"
    "print('started', hook.execute_workflow(101))\n"
)


@pytest.fixture(params=["http", "https"])
def printed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    arguments = ["--port", "0", *(["--tls"] if request.param == "https" else [])]
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_schedulerx.emulator", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if line.startswith("{"):
            break
    yield lines
    process.terminate()
    process.wait()
    process.stdout.close()


def test_the_export_line_in_a_shell_is_a_whole_connection(printed: list[str]) -> None:
    (export,) = (line for line in printed if line.startswith("export AIRFLOW_CONN_SCHEDULERX_DEFAULT="))
    done = subprocess.run(
        ["sh", "-c", f'{export}\nexec {sys.executable} -c "$0"', PROGRAM],
        env={name: value for name, value in os.environ.items() if "AIRFLOW_CONN" not in name},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "(True, " in done.stdout, done.stdout + done.stderr
    assert "started 365" in done.stdout


def test_the_json_is_the_same_connection(printed: list[str]) -> None:
    (shown,) = (json.loads(line) for line in printed if line.startswith('  {"conn_type"'))
    assert shown == json.loads(printed[-1])["connection"]
    assert shown["extra"]["namespace"] == definitions.DEFAULT_NAMESPACE
    assert shown["extra"]["group_id"] == definitions.DEFAULT_GROUP
    assert ("ca_file" in shown["extra"]) is shown["host"].startswith("https")


def test_it_leads_to_what_the_file_has(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(
        """
accounts:
  - {access_key_id: unused, access_key_secret: x, active: false}
  - {access_key_id: sts, access_key_secret: x, security_token: t}
  - {access_key_id: mine, access_key_secret: secret}
namespaces: [{id: uid-1, groups: []}, {id: uid-2, name: two, groups: [g]}]
workflows: [{id: 1, namespace: uid-2, group: g, nodes: [{name: only}]}]
"""
    )
    with EmulatorProcess("--workflows", str(file)) as emulator:
        made = emulator.connection(calls_per_minute=5)
    assert (made["login"], made["password"]) == ("mine", "secret")
    assert (made["extra"]["namespace"], made["extra"]["group_id"]) == ("uid-2", "g")
    assert made["extra"]["calls_per_minute"] == 5


def test_a_host_that_means_all_is_reached_by_one() -> None:
    with EmulatorProcess("--host", "0.0.0.0") as emulator:
        assert emulator.endpoint.startswith("http://127.0.0.1:")
