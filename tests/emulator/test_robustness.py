"""What must not bring the emulator down, leak from test to test, or outlive what started it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest
import yaml
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
from airflow_provider_schedulerx.api.exceptions import SchedulerXUnavailableError
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.api.wire.transport import SyncTransport
from airflow_provider_schedulerx.emulator import tls
from airflow_provider_schedulerx.emulator.process import EmulatorError, EmulatorProcess
from airflow_provider_schedulerx.emulator.tls import make_certificate
from tests.conftest import WORKFLOWS
from tests.emulator.test_server import EMPTY, GROUP, call


def connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    assert parts.hostname is not None
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)


def answer(
    url: str, method: str, path: str, headers: dict[str, Any], body: bytes | None = None
) -> tuple[int, bytes]:
    connection = connect(url)
    try:
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


# Clients that leave.


def test_a_client_that_does_not_wait_for_its_answer_is_no_error(capfd: pytest.CaptureFixture[str]) -> None:
    """Each one would print a traceback into the output of a user's tests."""
    with EmulatorProcess() as emulator:
        given = emulator.connection(read_timeout=0.1)
        settings = SchedulerXSettings.from_connection(**given)
        emulator.add_fault("DescribeRegions", "delay", seconds=0.5, count=2)
        with pytest.raises(SchedulerXUnavailableError, match="timed out"):
            SyncTransport(settings, max_retry_seconds=0).perform(calls.describe_regions(settings.scope))
        # As late as the other one, hence after it.
        assert call(emulator, "DescribeRegions", {"RegionId": "cn-hangzhou"})[0] == 200
    assert "Traceback" not in capfd.readouterr().err


# Bad input.


def test_a_quota_of_nothing_throttles_everything() -> None:
    with EmulatorProcess("--quota", "0") as emulator:
        status, body, headers = call(emulator, "DescribeRegions", {})
        assert (status, body["Code"], headers["x-acs-retry-after"]) == (400, "Throttling.User", "60000")


def test_a_quota_below_nothing_is_refused(emulator: EmulatorProcess) -> None:
    with pytest.raises(EmulatorError, match="negative"):
        emulator.set_quota(-1)
    done = subprocess.run(
        [sys.executable, "-m", "airflow_provider_schedulerx.emulator", "--quota", "-1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--quota must not be negative" in done.stderr


@pytest.mark.parametrize("header", ["Signature", "Bearer", "V1"])
def test_a_signature_that_is_not_ascii_is_a_wrong_one(emulator: EmulatorProcess, header: str) -> None:
    signature = "é天".encode()
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    base = {"x-acs-action": "DescribeRegions", "x-acs-version": "2019-04-30", "x-acs-date": now}
    base |= {"x-acs-signature-nonce": os.urandom(8).hex(), "x-acs-content-sha256": EMPTY}
    headers: dict[str, str | bytes] = {**base}
    path = "/"
    if header == "Bearer":
        path, headers["x-acs-bearer-token"] = "/?SignatureType=BEARERTOKEN", signature
    elif header == "V1":
        path = (
            f"/?Action=DescribeRegions&Version=2019-04-30&AccessKeyId=emulator&Timestamp={now}"
            "&SignatureMethod=HMAC-SHA1&SignatureNonce=n&Signature=%C3%A9%E5%A4%A9"
        )
        headers = {}
    else:
        names = ";".join(sorted([*base, "host"]))
        headers["Authorization"] = (
            f"ACS3-HMAC-SHA256 Credential=emulator,SignedHeaders={names},Signature=".encode() + signature
        )
    status, body = answer(emulator.endpoint, "GET", path, headers)
    assert (status, json.loads(body)["Code"]) in (
        (400, "SignatureDoesNotMatch"),
        (403, "InvalidBearerToken"),
    )


JUNK = st.binary(max_size=20)
HEADER = st.binary(max_size=20).map(lambda raw: raw.translate(None, b"\r\n\0").strip(b" \t"))


@given(query=JUNK, body=JUNK, header=HEADER, form=st.booleans(), authorization=HEADER)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_make_it_answer_500(
    emulator: EmulatorProcess, query: bytes, body: bytes, header: bytes, form: bool, authorization: bytes
) -> None:
    escaped = "".join(f"%{byte:02X}" for byte in query)
    headers: dict[str, Any] = {
        "x-acs-action": header,
        "x-acs-date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "x-acs-signature-nonce": header,
        "Authorization": b"ACS3-HMAC-SHA256 Credential=emulator,SignedHeaders=host;x-acs-action;x-acs-date,Signature="
        + authorization,
    }
    if form:
        headers |= {"Content-Type": "application/x-www-form-urlencoded; charset=nonsense"}
    path = f"/?WorkflowId={escaped}&AccessKeyId=emulator&Signature={escaped}"
    status, _ = answer(emulator.endpoint, "POST", path, headers, b"a=" + body)
    assert status < 500


def test_a_fault_of_wrong_types_is_refused(emulator: EmulatorProcess) -> None:
    for wrong in (
        {"seconds": "x"},
        {"count": None},
        {"status": 7},
        {"seconds": -1},
        {"body": 5},
        {"count": True},
    ):
        with pytest.raises(EmulatorError):
            emulator.add_fault("*", "delay", **wrong)
    emulator.add_fault("*", "error", body="\ud800")
    assert answer(emulator.endpoint, "GET", "/", {})[0] == 400
    assert call(emulator, "DescribeRegions", {}, read=bytes)[0] == 502


# State.


def start_with(state: Path, workflows: Path) -> EmulatorProcess:
    return EmulatorProcess("--workflows", str(workflows), "--state", str(state), "--quota", "100000")


def test_runs_go_on_as_they_began_though_the_file_was_edited(tmp_path: Path) -> None:
    file, state = tmp_path / "w.yaml", tmp_path / "state.db"
    original = yaml.safe_load(WORKFLOWS.read_text())
    file.write_text(yaml.safe_dump(original))
    ids = {}
    with start_with(state, file) as emulator:
        for workflow_id in (3, 4):
            body = call(emulator, "ExecuteWorkflow", {**GROUP, "WorkflowId": str(workflow_id)})[1]
            ids[workflow_id] = str(body["Data"]["WfInstanceId"])
    edited = yaml.safe_load(WORKFLOWS.read_text())
    edited["workflows"] = [flow for flow in edited["workflows"] if flow["id"] != 4]
    three = next(flow for flow in edited["workflows"] if flow["id"] == 3)
    three["nodes"] = [
        {"name": "another", "job_id": 999},
        {"name": "right", "job_id": 302, "after": "another"},
    ]
    file.write_text(yaml.safe_dump(edited))
    with start_with(state, file) as emulator:
        status, body, _ = call(
            emulator, "GetWorkflowInstance", {**GROUP, "WorkflowId": "3", "WfInstanceId": ids[3]}
        )
        assert status == 200
        nodes = body["Data"]["WfInstanceDag"]["Nodes"]
        assert [node["JobName"] for node in nodes] == ["left", "right", "after"]
        for node in nodes[:2]:
            stop = {"JobId": str(node["JobId"]), "InstanceId": str(node["JobInstanceId"])}
            assert call(emulator, "StopInstance", {**GROUP, **stop})[1]["Success"] is True
        gone = call(emulator, "GetWorkflowInstance", {**GROUP, "WorkflowId": "4", "WfInstanceId": ids[4]})[1]
        assert "is not existed" in gone["Message"]
        assert len(emulator.instances()) == 2
        for path in ("/console/", f"/console/3/{ids[3]}"):
            assert answer(emulator.endpoint, "GET", path, {})[0] == 200
        assert answer(emulator.endpoint, "GET", f"/console/4/{ids[4]}", {})[0] == 404
        fresh = call(emulator, "ExecuteWorkflow", {**GROUP, "WorkflowId": "3"})[1]["Data"]["WfInstanceId"]
        assert fresh > int(ids[4])


@pytest.mark.parametrize("content", [b"this is no database at all, and long enough to tell" * 20, b"rows"])
def test_a_state_file_that_is_none_is_told_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    state = tmp_path / "state.db"
    state.write_bytes(content)
    if content == b"rows":
        import sqlite3

        state.unlink()
        with sqlite3.connect(state) as database:
            database.execute("CREATE TABLE instance (id INTEGER PRIMARY KEY, run TEXT NOT NULL)")
            database.execute('INSERT INTO instance VALUES (1, \'{"some": "thing"}\')')
    done = subprocess.run(
        [sys.executable, "-m", "airflow_provider_schedulerx.emulator", "--port", "0", "--state", str(state)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"SchedulerX emulator: cannot read the state file {state} (")
    assert "name another one with --state, or delete it" in done.stderr


# Isolation.


def test_reset_makes_it_as_at_the_start() -> None:
    with EmulatorProcess(
        "--workflows", str(WORKFLOWS), "--quota", "1000", profile="time_zone=+00:00"
    ) as emulator:
        started = call(emulator, "ExecuteWorkflow", {**GROUP, "WorkflowId": "3"})[1]["Data"]["WfInstanceId"]
        emulator.add_account(access_key_id="emulator", access_key_secret="changed")
        emulator.add_workflows(
            {
                "namespaces": [{"id": "demo", "groups": ["etl", "new"]}],
                "workflows": [{"id": 900, "namespace": "demo", "group": "new", "nodes": [{"name": "a"}]}],
            }
        )
        emulator.set_profile("hostile")
        emulator.set_quota(0)
        emulator.add_fault("*", "drop")
        emulator.reset()
        assert emulator.profile()["time_zone"] == "+00:00"
        assert emulator.profile()["list_workflows"] == "present"
        assert emulator.pending_faults() == []
        assert emulator.instances() == []
        assert emulator.counters() == {
            "calls": {},
            "outcomes": {},
            "busiest_minute": {},
            "starts": {},
            "job_starts": {},
        }
        assert call(emulator, "GetWorkFlow", {**GROUP, "WorkflowId": "900"})[1]["Success"] is False
        assert call(emulator, "ListWorkFlows", {**GROUP, "GroupId": "new"})[1]["Success"] is False
        again = call(emulator, "ExecuteWorkflow", {**GROUP, "WorkflowId": "3"})[1]["Data"]["WfInstanceId"]
        assert again > started, "ids are not given twice"


# The process.

PARENT = """
import sys, time
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
emulator = EmulatorProcess().start()
print(emulator.endpoint, emulator._process.pid, flush=True)
{then}
"""


def is_listening(endpoint: str) -> bool:
    parts = urlsplit(endpoint)
    try:
        socket.create_connection((parts.hostname, parts.port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("then", ["time.sleep(600)", "sys.exit()"], ids=["killed", "ended"])
def test_it_ends_with_its_parent(then: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(then=then)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    endpoint, pid = parent.stdout.readline().split()
    try:
        if "sleep" in then:
            assert is_listening(endpoint)
            parent.send_signal(signal.SIGKILL)
        parent.wait(30)
        deadline = time.monotonic() + 30
        while is_listening(endpoint):
            assert time.monotonic() < deadline, "the emulator outlives its parent"
            time.sleep(0.05)
    finally:
        parent.stdout.close()
        if is_listening(endpoint):
            os.kill(int(pid), signal.SIGKILL)


# The admin port.


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Origin": "https://evil.example"},
        {"Content-Type": "application/json", "Origin": "null"},
        {"Content-Type": "application/json", "Host": "evil.example"},
        {"Content-Type": "application/json", "Host": "evil.example:80"},
        {},
    ],
    ids=str,
)
def test_the_admin_port_refuses_what_a_page_may_send(
    emulator: EmulatorProcess, headers: dict[str, str]
) -> None:
    fault = b'{"operation": "*", "effect": "drop"}'
    assert answer(emulator.admin, "POST", "/faults", headers, fault)[0] == 403
    assert emulator.pending_faults() == []
    if "Host" in headers or "Origin" in headers:
        assert answer(emulator.admin, "GET", "/instances", headers)[0] == 403


# The certificate.


def names(certificate: tls.Certificate) -> list[str]:
    server = x509.load_pem_x509_certificate(certificate.chain_file.read_bytes())
    found = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in found]


def test_a_kept_certificate_is_used_only_where_it_is_good(tmp_path: Path) -> None:
    first = make_certificate("127.0.0.1", tmp_path)
    made = first.chain_file.read_bytes()
    assert make_certificate("127.0.0.1", tmp_path).chain_file.read_bytes() == made
    other = make_certificate("emulator.test", tmp_path)
    assert "emulator.test" in names(other)
    assert other.chain_file.read_bytes() != made
    made = other.chain_file.read_bytes()

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(days=29, hours=1)

    with mock.patch.object(tls, "datetime", Later):
        later = make_certificate("emulator.test", tmp_path)
    assert later.chain_file.read_bytes() != made
    made = later.chain_file.read_bytes()
    later.ca_file.write_text("not a certificate")
    assert make_certificate("emulator.test", tmp_path).chain_file.read_bytes() != made
