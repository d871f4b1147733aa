"""The commands, as ``python -m airflow_provider_schedulerx``; Airflow's own command line is tried in test_browser.py."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_schedulerx import cli
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook

DOCUMENTED_ANSWERS = Path(__file__).parent.parent / "documented_answers.json"


def test_check(hook: SchedulerXHook, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["check", "schedulerx_default"])
    assert "workflows in namespace demo, group etl" in capsys.readouterr().out


def test_check_of_a_wrong_key(
    emulator: EmulatorProcess, connect: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    connect({**emulator.connection(), "password": "wrong-secret"})
    with pytest.raises(SystemExit) as caught:
        cli.main(["check", "schedulerx_default"])
    assert caught.value.code == 1
    out = capsys.readouterr().out
    assert "check password (AccessKey secret) of the connection" in out
    assert "wrong-secret" not in out


def test_check_of_a_connection_without_group(
    emulator: EmulatorProcess, connect: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    connect(emulator.connection(namespace="", group_id=""))
    with pytest.raises(SystemExit) as caught:
        cli.main(["check", "schedulerx_default"])
    assert caught.value.code == 1
    assert "set namespace and group_id in the connection's extra" in capsys.readouterr().out
    cli.main(["check", "schedulerx_default", "--namespace", "demo", "--group-id", "etl"])
    assert "workflows in namespace demo, group etl" in capsys.readouterr().out


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What a command has printed, without the log lines that Airflow 2 prints beside it."""
    return [line for line in capsys.readouterr().out.splitlines() if not line.startswith("[")]


def test_workflows(hook: SchedulerXHook, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["workflows", "schedulerx_default", "--group-id", "reporting"])
    lines = [line.split() for line in printed(capsys)]
    assert lines[0] == ["WORKFLOW", "NAME", "MAX", "CONCURRENCY", "SCHEDULE"]
    assert lines[1][:3] == ["8", "rejected", "1000"]


def test_a_terminal_that_knows_no_chinese_gets_escapes_and_no_traceback(
    hook: SchedulerXHook, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.add_workflows(
        {
            "namespaces": [{"id": "demo", "groups": ["etl", "reporting"]}],
            "workflows": [
                {
                    "id": 98,
                    "name": "夜间",
                    "namespace": "demo",
                    "group": "reporting",
                    "nodes": [{"name": "a"}],
                }
            ],
        }
    )
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    cli.main(["workflows", "schedulerx_default", "--group-id", "reporting", "--name", "夜"])
    sys.stdout.flush()
    assert rb"\u591c\u95f4" in raw.getvalue()


def test_workflows_by_a_part_of_their_name(hook: SchedulerXHook, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["workflows", "schedulerx_default", "--name", "GOO"])
    assert [line.split()[1] for line in printed(capsys)[1:]] == ["good"]
    cli.main(["workflows", "schedulerx_default", "--name", "none like it"])
    assert "The group has no such workflows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("noun", "start", "command", "definition_id", "name", "no_name"),
    [
        ("workflow", SchedulerXHook.execute_workflow, "instance", 1, "good", "god"),
        ("job", SchedulerXHook.execute_job, "job-instance", 21, "tidy", "tid"),
    ],
)
def test_an_instance_of_what_is_named(
    hook: SchedulerXHook,
    capsys: pytest.CaptureFixture[str],
    noun: str,
    start: Callable[[SchedulerXHook, int], int],
    command: str,
    definition_id: int,
    name: str,
    no_name: str,
) -> None:
    started = start(hook, definition_id)
    cli.main([command, "schedulerx_default", name, str(started)])
    assert f"{noun.capitalize()} instance {started} of {noun} {definition_id} is" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main([command, "schedulerx_default", no_name, str(started)])
    assert f"no {noun} is named '{no_name}'" in capsys.readouterr().err


def test_doctor_takes_a_name(hook: SchedulerXHook, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, says in (
        (["--workflow-name", "god"], "the nearest is 'good' (1)"),
        (["--workflow-name", "good", "--workflow-id", "1"], "not both"),
    ):
        with pytest.raises(SystemExit):
            cli.main(["doctor", "schedulerx_default", *arguments])
        assert says in capsys.readouterr().err
    cli.main(["doctor", "schedulerx_default", "--workflow-name", "good"])
    assert "1 good exists" in capsys.readouterr().out


def test_workflows_as_documented(
    hook: SchedulerXHook, emulator: EmulatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    documented = json.loads(DOCUMENTED_ANSWERS.read_text())["ListWorkFlows"]
    emulator.add_fault("ListWorkFlows", "error", status=200, body=json.dumps(documented))
    cli.main(["workflows", "schedulerx_default"])
    assert ["1339", "Test3", "1", "cron"] in [line.split() for line in printed(capsys)]


def test_no_workflows(
    hook: SchedulerXHook, emulator: EmulatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {"Success": True, "Code": 200, "Data": {"Total": 0}}
    emulator.add_fault("ListWorkFlows", "error", status=200, body=json.dumps(body))
    cli.main(["workflows", "schedulerx_default"])
    assert "The group has no workflows." in capsys.readouterr().out


def test_instance(hook: SchedulerXHook, capsys: pytest.CaptureFixture[str]) -> None:
    run = hook.execute_workflow(3)
    capsys.readouterr()
    cli.main(["instance", "schedulerx_default", "3", str(run)])
    out = capsys.readouterr().out
    assert f"Workflow instance {run} of workflow 3 is RUNNING" in out
    assert f"/console/3/{run}" in out
    assert "left (job 301)" in out


def test_jobs(hook: SchedulerXHook, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["jobs", "schedulerx_default"])
    lines = printed(capsys)
    assert lines[0].split() == ["JOB", "NAME", "ENABLED", "MAX", "CONCURRENCY", "TYPE", "SCHEDULE"]
    assert ["21", "tidy", "yes", "1000", "java", "api"] in [line.split() for line in lines]
    assert any("switched off alone" in line and " no " in line for line in lines)
    cli.main(["jobs", "schedulerx_default", "--name", "alone"])
    assert len(printed(capsys)) == 5
    cli.main(["jobs", "schedulerx_default", "--name", "nothing"])
    assert "no such jobs" in capsys.readouterr().out


def test_jobs_as_documented(
    hook: SchedulerXHook, emulator: EmulatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    documented = json.loads(DOCUMENTED_ANSWERS.read_text())["ListJobs"]
    emulator.add_fault("ListJobs", "error", status=200, body=json.dumps(documented))
    cli.main(["jobs", "schedulerx_default"])
    assert ["99341", "helloworld", "yes", "1", "java", "cron"] in [line.split() for line in printed(capsys)]


def test_job_instance(hook: SchedulerXHook, capsys: pytest.CaptureFixture[str]) -> None:
    run = hook.execute_job(23, {"secret": "hunter2"})
    capsys.readouterr()
    cli.main(["job-instance", "schedulerx_default", "23", str(run)])
    out = capsys.readouterr().out
    assert f"Job instance {run} of job 23 is RUNNING" in out
    assert f"/console/23/{run}" in out
    assert "endless alone: attempt 0 starts" in out
    assert "hunter2" not in out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["job-instance", "schedulerx_default", "23", "1"], "is not existed"),
        (["instance", "schedulerx_default", "3", "1"], "is not existed"),
        (["instance", "schedulerx_default", "x", "1"], "no workflow is named"),
        (["workflows", "nowhere"], "nowhere"),
        (["workflows", "schedulerx_default", "--group-id", "no"], "groupid not exist"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    hook: SchedulerXHook, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 1
    error = capsys.readouterr().err
    assert text in error
    assert "Traceback" not in error


@pytest.mark.parametrize("command", [["workflows", "broken"], ["instance", "broken", "1", "1"]])
def test_a_connection_that_cannot_be_parsed_is_not_quoted(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", "schedulerx://key:top-secret/x@host:99999/")
    with pytest.raises(SystemExit) as caught:
        cli.main(command)
    assert caught.value.code == 1
    out = "".join(capsys.readouterr())
    assert "top-secret" not in out
    assert "Traceback" not in out


def test_airflow_gets_every_command_with_all_its_arguments() -> None:
    (group,) = cli.get_schedulerx_cli_commands()
    found = {command.name: command for command in group.subcommands}  # type: ignore[union-attr]
    assert set(found) == {"check", "doctor", "workflows", "instance", "jobs", "job-instance"}
    parser = argparse.ArgumentParser()
    for argument in found["doctor"].args:
        argument.add_to_parser(parser)
    args = parser.parse_args(["a_connection", "--start", "--workflow-id", "7"])
    assert (args.schedulerx_conn_id, args.start, args.stop, args.workflow_id) == (
        "a_connection",
        True,
        False,
        "7",
    )
    assert args.follow == 120.0
