"""The emulator as a process: authentication by hand, faults, quota, state."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from airflow_provider_schedulerx.emulator.authentication import sign_v3
from airflow_provider_schedulerx.emulator.definitions import Account
from airflow_provider_schedulerx.emulator.process import EmulatorError, EmulatorProcess
from tests.conftest import WORKFLOWS

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
GROUP = {"RegionId": "cn-hangzhou", "Namespace": "demo", "GroupId": "etl"}


def call(
    emulator: EmulatorProcess,
    action: str,
    parameters: dict[str, str],
    *,
    nonce: str | None = None,
    date: str | None = None,
    change: Any = lambda headers: None,
    version: str = "2019-04-30",
    key: tuple[str, str] = ("emulator", "emulator-secret"),
    read: Any = json.loads,
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """A request signed by hand, and perhaps then tampered with. :return: status, body, headers."""
    headers = {
        "host": emulator.endpoint.removeprefix("http://"),
        "x-acs-action": action,
        "x-acs-version": version,
        "x-acs-date": date or f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "x-acs-signature-nonce": nonce or uuid.uuid4().hex,
        "x-acs-content-sha256": EMPTY,
    }
    signed = sorted(headers)
    signature = sign_v3("GET", "/", parameters, headers, signed, EMPTY, Account(*key))
    headers["Authorization"] = (
        f"ACS3-HMAC-SHA256 Credential={key[0]},SignedHeaders={';'.join(signed)},Signature={signature}"
    )
    change(headers)
    request = urllib.request.Request(f"{emulator.endpoint}/?{urlencode(parameters)}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, read(response.read()), dict(response.headers)
    except urllib.error.HTTPError as error:
        return error.code, read(error.read()), dict(error.headers)


def code(*arguments: Any, **keywords: Any) -> Any:
    return call(*arguments, **keywords)[1]["Code"]


def test_a_request_signed_by_the_book_is_let_in(emulator: EmulatorProcess) -> None:
    status, body, _ = call(emulator, "GetWorkFlow", {**GROUP, "WorkflowId": "1"})
    assert (status, body["Success"], body["Code"]) == (200, True, 200)
    assert len(body["RequestId"]) == 36


def test_a_tampered_request_is_not(emulator: EmulatorProcess) -> None:
    wanted = {**GROUP, "WorkflowId": "1"}
    tampered = lambda headers: headers.update({"x-acs-action": "ExecuteWorkflow"})  # noqa: E731
    assert code(emulator, "GetWorkFlow", wanted, change=tampered) == "SignatureDoesNotMatch"
    emptied = lambda headers: headers.pop("Authorization")  # noqa: E731
    assert code(emulator, "GetWorkFlow", wanted, change=emptied) == "MissingAccessKeyId"
    payload = lambda headers: headers.update({"x-acs-content-sha256": "0" * 64})  # noqa: E731
    assert code(emulator, "GetWorkFlow", wanted, change=payload) == "SignatureDoesNotMatch"
    unsigned = lambda headers: headers.update(  # noqa: E731
        Authorization=headers["Authorization"].replace("host;", "")
    )
    assert code(emulator, "GetWorkFlow", wanted, change=unsigned) == "IncompleteSignature"


def test_a_nonce_is_good_once(emulator: EmulatorProcess) -> None:
    nonce = uuid.uuid4().hex
    wanted = {**GROUP, "WorkflowId": "1"}
    assert code(emulator, "GetWorkFlow", wanted, nonce=nonce) == 200
    assert code(emulator, "GetWorkFlow", wanted, nonce=nonce) == "SignatureNonceUsed"


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(-14, 200), (14, 200), (-16, "InvalidTimeStamp.Expired"), (16, "InvalidTimeStamp.Expired")],
)
def test_the_clock_may_be_off_by_a_quarter_of_an_hour(
    emulator: EmulatorProcess, minutes: int, expected: Any
) -> None:
    date = f"{datetime.now(UTC) + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"
    assert code(emulator, "GetWorkFlow", {**GROUP, "WorkflowId": "1"}, date=date) == expected


def test_a_garbled_date_is_refused(emulator: EmulatorProcess) -> None:
    assert code(emulator, "GetWorkFlow", GROUP, date="yesterday") == "InvalidTimeStamp.Format"


@pytest.mark.parametrize("missing", ["RegionId", "Namespace", "GroupId", "WorkflowId"])
def test_required_parameters_are_required(emulator: EmulatorProcess, missing: str) -> None:
    parameters = {**GROUP, "WorkflowId": "1"}
    del parameters[missing]
    assert code(emulator, "ExecuteWorkflow", parameters) == f"Missing{missing}"


def test_unknown_things_are_refused(emulator: EmulatorProcess) -> None:
    assert code(emulator, "CreateWorkflow", GROUP) == "InvalidAction.NotFound"
    assert code(emulator, "GetWorkFlow", GROUP, version="2024-01-01") == "InvalidVersion"
    assert code(emulator, "GetWorkFlow", {**GROUP, "WorkflowId": "one"}) == "InvalidWorkflowId"


@pytest.mark.parametrize(
    ("action", "parameters", "says"),
    [
        ("GetWorkFlow", {"WorkflowId": "99"}, "workflowId=99 is not existed"),
        ("GetWorkFlow", {"WorkflowId": "8"}, "workflowId=8 is not existed"),  # of another group
        ("GetWorkFlow", {"WorkflowId": "1", "GroupId": "x"}, "groupid not exist groupId: x namespace: demo"),
        ("GetWorkflowInstance", {"WorkflowId": "1", "WfInstanceId": "5"}, "is not existed"),
        ("ExecuteWorkflow", {"WorkflowId": "6"}, "disabled"),
        ("ExecuteWorkflow", {"WorkflowId": "1", "InstanceParameters": "é" * 501}, "1000 bytes"),
        ("StopInstance", {"JobId": "1", "InstanceId": "5"}, "is not existed"),
    ],
)
def test_business_errors_come_with_http_200(
    emulator: EmulatorProcess, action: str, parameters: dict[str, str], says: str
) -> None:
    status, body, _ = call(emulator, action, {**GROUP, **parameters})
    assert (status, body["Success"]) == (200, False)
    assert isinstance(body["Code"], int)
    assert says in body["Message"]


def test_a_foreign_node_does_not_match_the_group(emulator: EmulatorProcess) -> None:
    started = call(emulator, "ExecuteWorkflow", {**GROUP, "WorkflowId": "4"})[1]["Data"]["WfInstanceId"]
    nodes = call(emulator, "GetWorkflowInstance", {**GROUP, "WorkflowId": "4", "WfInstanceId": str(started)})[
        1
    ]["Data"]["WfInstanceDag"]["Nodes"]
    theirs = {"JobId": str(nodes[1]["JobId"]), "InstanceId": str(nodes[1]["JobInstanceId"])}
    assert (
        call(emulator, "StopInstance", {**GROUP, **theirs})[1]["Message"]
        == "jobid: 402 not match groupId: etl"
    )
    assert call(emulator, "StopInstance", {**GROUP, **theirs, "GroupId": "reporting"})[1]["Success"] is True


def test_the_quota_counts_per_operation() -> None:
    with EmulatorProcess("--workflows", str(WORKFLOWS), "--quota", "2") as emulator:
        answers = [call(emulator, "ListWorkFlows", GROUP) for _ in range(4)]
        assert [body["Code"] for _, body, _ in answers] == [200, 200, "Throttling.User", "Throttling.User"]
        wait = int(answers[-1][2]["x-acs-retry-after"])
        assert 0 < wait <= 60_000
        assert code(emulator, "DescribeRegions", {}) == 200


def test_faults(emulator: EmulatorProcess) -> None:
    start = ("ExecuteWorkflow", {**GROUP, "WorkflowId": "1"})
    before = emulator.starts(1)

    emulator.add_fault("ExecuteWorkflow", "drop")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        call(emulator, *start)
    assert emulator.starts(1) == before

    emulator.add_fault("ExecuteWorkflow", "drop", when="after")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        call(emulator, *start)
    assert emulator.starts(1) == before + 1

    emulator.add_fault("ExecuteWorkflow", "truncate")
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        call(emulator, *start)
    assert emulator.starts(1) == before + 2

    emulator.add_fault("ExecuteWorkflow", "error", when="after", status=502, count=2)
    assert [call(emulator, *start)[0] for _ in range(3)] == [502, 502, 200]
    assert emulator.starts(1) == before + 5

    emulator.add_fault("*", "throttle", retry_after_ms=1234, skip=1)
    assert call(emulator, *start)[0] == 200
    _, body, headers = call(emulator, *start)
    assert (body["Code"], headers["x-acs-retry-after"]) == ("Throttling.User", "1234")

    emulator.add_fault("ExecuteWorkflow", "delay", seconds=0.3)
    began = time.monotonic()
    assert call(emulator, *start)[0] == 200
    assert time.monotonic() - began >= 0.3
    assert emulator.pending_faults() == []


def test_a_wrong_fault_is_refused(emulator: EmulatorProcess) -> None:
    with pytest.raises(EmulatorError, match="effect must be"):
        emulator.add_fault("ExecuteWorkflow", "explode")
    with pytest.raises(EmulatorError, match="operation must be"):
        emulator.add_fault("Nothing", "drop")


def test_kill_9_loses_no_instance(tmp_path: Path) -> None:
    arguments = ("--workflows", str(WORKFLOWS), "--state", str(tmp_path / "state.db"), "--quota", "10000")
    emulator = EmulatorProcess(*arguments).start()
    try:
        answered = [
            call(emulator, "ExecuteWorkflow", {**GROUP, "WorkflowId": "1"})[1]["Data"]["WfInstanceId"]
            for _ in range(20)
        ]
        emulator.kill()
        emulator.restart()
        kept = {run["wf_instance_id"] for run in emulator.instances(1)}
        assert kept == set(answered)
        assert emulator.starts(1) == 20
    finally:
        emulator.stop()


def test_it_says_what_it_is_and_listens_on_loopback() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_schedulerx.emulator", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = [process.stdout.readline()]
        while not said[-1].startswith("{"):
            said.append(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()
    assert "NOT Alibaba Cloud" in said[0]
    assert json.loads(said[-1])["endpoint"].startswith("http://127.0.0.1:")
    assert process.returncode == 0


def test_a_wrong_file_ends_it_with_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text("accounts: 5")
    done = subprocess.run(
        [sys.executable, "-m", "airflow_provider_schedulerx.emulator", "--workflows", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.strip() == f"SchedulerX emulator: {file}, line 1: accounts must be a list, not 5"
