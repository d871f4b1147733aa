"""The report: for people, for programs and for an issue; what it costs to ask for it wrongly."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_schedulerx import cli
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.doctor.advice import POLICY_ACTIONS
from airflow_provider_schedulerx.doctor.findings import ACTIONS, QUESTIONS
from airflow_provider_schedulerx.doctor.rendering import BEGIN, END
from airflow_provider_schedulerx.doctor.scrubbing import Scrubber, shortened
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from tests.conftest import ROOT

Connect = Callable[..., None]
KEY = {"access_key_id": "LTAI5tPatientNumber2", "access_key_secret": "patient-secret"}
DOCTOR = ["doctor", "schedulerx_default"]


@pytest.fixture
def patient(emulator: EmulatorProcess, connect: Connect) -> EmulatorProcess:
    emulator.add_account(**KEY, denied=["edas:ReadSchedulerxLogQuery"])
    connect({**emulator.connection(), "login": KEY["access_key_id"], "password": KEY["access_key_secret"]})
    return emulator


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    status = 0
    try:
        cli.main([*DOCTOR, *arguments])
    except SystemExit as end:
        status = int(end.code or 0)
    return status, *capsys.readouterr()


def test_table(patient: EmulatorProcess, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--workflow-id", "1")
    assert status == 0
    assert out.count("THE OPERATOR WOULD WORK, as far as can be seen") == 2
    assert "-> Allow edas:ReadSchedulerxLogQuery to" in out
    assert all(len(line) <= 110 for line in out.partition(BEGIN)[0].splitlines())
    policy = json.loads(re.search(r"^    \{.*?^    \}", out, re.MULTILINE | re.DOTALL)[0])  # type: ignore[index]
    assert policy["Statement"][0]["Action"] == list(POLICY_ACTIONS)


def test_json(patient: EmulatorProcess, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--workflow-id", "1", "--json")
    report = json.loads(out)
    assert (status, report["would_work"], report["schema"]) == (0, True, 1)
    assert [each["key"] for each in report["findings"]] == [question.key for question in QUESTIONS]
    assert {each["verdict"] for each in report["findings"]} <= {"ok", "warn", "fail", "unknown"}
    assert report["ram_policy"]["Statement"][0]["Effect"] == "Allow"
    assert {each["setting"] for each in report["advice"]} >= {"run_marker", "calls_per_minute"}


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_no_secret_is_shown_and_no_name_is_pasted(
    arguments: list[str], patient: EmulatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, err = run(capsys, "--workflow-id", "1", *arguments)
    for secret in (*KEY.values(), "emulator-app-key"):
        assert secret not in out + err
    assert "LTAI...ber2" in out
    block = json.loads(out)["for_an_issue"] if arguments else out.partition(BEGIN)[2].partition(END)[0]
    scope = patient.connection()["extra"]
    for name in (scope["namespace"], scope["group_id"], "good", "127.0.0.1", "schedulerx_default"):
        assert not re.search(rf"\b{re.escape(name)}\b", block), name
    assert "edas:ReadSchedulerxLogQuery = denied" in block
    assert "cn-hangzhou" in block


def test_exit_status_if_the_operator_would_not_work(
    patient: EmulatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run(capsys, "--workflow-id", "999")
    assert status == 1
    assert "THE OPERATOR WOULD NOT WORK: see workflow." in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--start", "--yes"], "--start needs --workflow-id"),
        (["--start", "--workflow-id", "1"], "add --yes"),
        (["--stop"], "add --start"),
        (["--fill"], "add --start"),
        (["--yes"], "add --start"),
        (["--parameters", "{}"], "add --start"),
        (["--workflow-id", "x"], "--workflow-id must be an integer"),
        (["--start", "--yes", "--workflow-id", "1", "--parameters", "[1]"], "has to be a JSON object"),
        (["--start", "--yes", "--workflow-id", "1", "--parameters", "{"], "is not JSON"),
        (["--start", "--yes", "--workflow-id", "1", "--follow", "0"], "--follow must be a positive"),
    ],
)
def test_what_cannot_be_asked_for(
    arguments: list[str], said: str, patient: EmulatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    before = patient.counters()["calls"]
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert patient.counters()["calls"] == before


@pytest.mark.parametrize(("said", "starts"), [("y\n", 1), ("n\n", 0), ("", 0)])
def test_it_asks_before_it_starts(
    said: str,
    starts: int,
    patient: EmulatorProcess,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return said

    monkeypatch.setattr(sys, "stdin", Terminal())
    before = patient.starts(1)
    _, out, err = run(capsys, "--workflow-id", "1", "--start")
    assert "Start one run of workflow 1 good (region cn-hangzhou" in err
    assert "Its jobs really run. [y/N]" in err
    assert patient.starts(1) - before == starts
    assert starts or "you answered no, so nothing was started" in out


def test_what_is_logged_is_not_in_the_json(emulator: EmulatorProcess) -> None:
    """Airflow logs to standard output where nothing else is set up."""
    connection: dict[str, Any] = emulator.connection(groupid="a field that is warned of")
    done = subprocess.run(
        [sys.executable, "-m", "airflow_provider_schedulerx", *DOCTOR, "--json"],
        env={**os.environ, "AIRFLOW_CONN_SCHEDULERX_DEFAULT": json.dumps(connection)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["would_work"] is True


def test_scrubber() -> None:
    scrubber = Scrubber()
    scrubber.add_secret("abc")
    scrubber.add_secret("long-secret")
    scrubber.add_name("etl", "group")
    text = "an abc of long-secret, etl and etls, 1234567890123456, 10.1.2.3, fe80::1:2:3:4, 12:34:56"
    assert scrubber.without_secrets(text).startswith("an abc of ***, etl")
    assert scrubber.anonymous(text) == (
        "an abc of ***, <group> and etls, <account>, <address>, <address>, 12:34:56"
    )
    assert shortened("LTAI5tPatientNumber2") == "LTAI...ber2"
    assert len(shortened("short")) == 5


def test_every_ram_action_that_tasks_use_is_examined() -> None:
    used = {each.ram_action for each in vars(calls).values() if isinstance(each, calls.Operation)}
    # Marking a run as successful is for hooks only; the action of DescribeRegions is not documented.
    assert used - {None, "edas:ManageSchedulerxWfInstanceMarkSuccess"} == set(ACTIONS)


def test_every_finding_is_documented() -> None:
    text = (ROOT / "docs" / "doctor.md").read_text()
    for question in QUESTIONS:
        assert f"`{question.key}`" in text or question.key.startswith("edas:"), question.key


def _without_what_changes(text: str) -> str:
    text = re.sub(r"\s+", " ", text)
    for pattern in (
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
        r"\d{11}",
        r"127.0.0.1:\d+",
        r"of \d+ calls",
        r"\d+ RUNNING",
        r"\d+ waiting nodes?",  # as many as a poll has met
    ):
        text = re.sub(pattern, "...", text)
    return text


def test_the_example_of_the_guide_is_what_is_printed(
    connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "doctor.md").read_text()
    example = page.partition("```text\n")[2].partition("```")[0]
    with EmulatorProcess() as local:
        connect(local.connection())
        arguments = ("--workflow-id", "103", "--start", "--stop", "--yes", "--parameters", "{}")
        _, out, _ = run(capsys, *arguments)
    printed = out.partition("  RAM policy")[0]
    assert _without_what_changes(printed.rstrip()) == _without_what_changes(example.rstrip())
