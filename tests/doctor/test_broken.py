"""Whatever is wrong with a connection, every line says what, and why the rest could not be found out."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_schedulerx import cli
from airflow_provider_schedulerx.doctor import examination
from airflow_provider_schedulerx.doctor.examination import CHECKS, Check, Report, examine
from airflow_provider_schedulerx.doctor.findings import Verdict
from airflow_provider_schedulerx.doctor.session import Options, Session
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook

Connect = Callable[..., None]
Examine = Callable[..., Report]


@pytest.fixture
def examined(connect: Connect) -> Examine:
    def run(connection: dict[str, Any] | None = None, **options: Any) -> Report:
        if connection is not None:
            connect(connection)
        hook = SchedulerXHook()
        report = examine(hook, Options(**options), may_start=lambda _: True, sleep=lambda _: None)
        for finding in report.findings.values():
            assert finding.text, finding.key
            assert "the check '" not in finding.text, finding
            assert (finding.value is None) <= (finding.verdict is not Verdict.OK)
        return report

    return run


def answer(body: bytes, status: int = 200, **headers: str) -> contextlib.AbstractContextManager[str]:
    """A server that gives one answer to everything, as a proxy or a login page does."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_CONNECT = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    @contextlib.contextmanager
    def serve() -> Iterator[str]:
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"127.0.0.1:{server.server_address[1]}"
            server.shutdown()

    return serve()


def changed(connection: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A connection with other fields, those of extra if they are not its own."""
    extra = {**connection["extra"], **{key: value for key, value in changes.items() if key not in connection}}
    own = {key: value for key, value in changes.items() if key in connection}
    return {**connection, "extra": {k: v for k, v in extra.items() if v is not None}, **own}


BROKEN: list[tuple[str, dict[str, Any], str, str, str]] = [
    # what, changes of the connection, key of the finding, its value, what its text or remedy says
    ("another type", {"conn_type": "postgres"}, "connection", "wrong", "conn_type is 'postgres'"),
    ("no region", {"region_id": None}, "connection", "wrong", "region_id is not set"),
    ("extra is a list", {"extra": "[1]"}, "connection", "wrong", "array"),
    ("a misspelt region", {"region_id": "cn_hangzhou"}, "connection", "wrong", "did you mean 'cn-hangzhou'"),
    ("a secret too many", {"bearer_token": "tok"}, "connection", "wrong", "bearer_token"),
    (
        "no key at all",
        {"login": None, "password": None, "credential_type": "access_key"},
        "connection",
        "wrong",
        "login",
    ),
    ("no group", {"group_id": None}, "scope", "group_id missing", "--group-id"),
    ("no namespace", {"namespace": None}, "scope", "namespace missing", "--namespace"),
    ("wrong group", {"group_id": "nobody"}, "group", "not found", "Check group_id"),
    ("wrong namespace", {"namespace": "nobody"}, "namespace", "not listed", "its uid, not its name"),
    ("wrong secret", {"password": "wrong-secret"}, "answers", "credential", "check password"),
    ("unknown key", {"login": "LTAI5tNobodyKnowsMe1"}, "answers", "credential", "check login"),
    (
        "disabled key",
        {"login": "disabled", "password": "x"},
        "answers",
        "credential",
        "enable this AccessKey",
    ),
    (
        "expired token",
        {"login": "STS.expired", "password": "sts-secret", "security_token": "old-token"},
        "answers",
        "credential",
        "has expired",
    ),
    ("a name nobody knows", {"host": "nowhere.invalid"}, "dns", "fails", "does not resolve"),
    ("TLS where there is none", {"host": "TLS"}, "tls", "fails", "Is it really https?"),
    (
        "denied everything",
        {"login": "denied", "password": "denied-secret"},
        "edas:ReadSchedulerxWorkflowQuery",
        "denied",
        "Allow edas:ReadSchedulerxWorkflowQuery",
    ),
]


@pytest.mark.parametrize(
    ("what", "changes", "key", "value", "said"), BROKEN, ids=[each[0] for each in BROKEN]
)
def test_what_is_wrong_is_found(
    what: str,
    changes: dict[str, Any],
    key: str,
    value: str,
    said: str,
    emulator: EmulatorProcess,
    examined: Examine,
) -> None:
    if changes.get("host") == "TLS":
        changes = {"host": emulator.endpoint.replace("http://", "https://")}
    report = examined(changed(emulator.connection(), **changes), workflow_id=1)
    finding = report.findings[key]
    assert finding.value == value
    assert finding.verdict in (Verdict.FAIL, Verdict.WARN)
    assert said in f"{finding.text} {finding.remedy}"
    assert not report.would_work


def test_a_good_connection_is_good(emulator: EmulatorProcess, examined: Examine) -> None:
    report = examined(emulator.connection(), workflow_id=1)
    assert report.problems == []
    assert report.would_work


def test_nothing_is_asked_once_the_way_is_known_to_be_closed(
    emulator: EmulatorProcess, examined: Examine
) -> None:
    """Nine calls to a wall, each with its timeout, are a minute of waiting."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        report = examined(changed(emulator.connection(), host=f"http://127.0.0.1:{port}"))
    assert report.findings["dns"].verdict is Verdict.FAIL
    assert report.findings["answers"].text == "not found out: the endpoint cannot be reached"
    assert report.findings["list_order"].text == "not found out: the endpoint cannot be reached"


def test_a_vpc_from_outside(
    emulator: EmulatorProcess, examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(host: str, *_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, f"no such name: {host}")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    finding = examined(changed(emulator.connection(), host=None, network="vpc")).findings["dns"]
    assert "schedulerx-vpc.cn-hangzhou.aliyuncs.com" in finding.text
    assert "VPC endpoints resolve only inside their region's VPC" in str(finding.remedy)


def test_no_connection(examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_SCHEDULERX_DEFAULT", raising=False)
    report = examined()
    assert report.findings["connection"].value == "missing"
    assert report.findings["tls"].text.startswith("not found out: the connection cannot be read")


@pytest.mark.parametrize(
    "text",
    ['{"conn_type": "schedulerx", "password": "top-secret"', "schedulerx://key:top-secret/x@host:99999/"],
)
def test_a_connection_that_cannot_be_parsed_is_not_quoted(
    text: str, examined: Examine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SCHEDULERX_DEFAULT", text)
    with pytest.raises(SystemExit):
        cli.main(["doctor", "schedulerx_default"])
    out = "".join(capsys.readouterr())
    assert "top-secret" not in out
    assert "Traceback" not in out
    assert "FAIL" in out


@pytest.mark.parametrize(
    ("body", "status", "value", "said"),
    [
        (b"<html><title>Log in to HotelNet</title></html>", 200, "HTML", "not the service"),
        (b"<html>Blocked</html>", 403, "HTML", "proxy"),
        (b"hello", 200, "not JSON", "not SchedulerX"),
        (b"", 502, "not JSON", "502"),
        (
            b'{"Code": "InvalidProduct.NotFound", "Message": "no"}',
            404,
            "endpoint",
            "does not serve SchedulerX",
        ),
        (b'{"Code": "InvalidProtocol.NeedSsl", "Message": "no"}', 400, "endpoint", "https://"),
    ],
)
def test_something_else_answers(
    body: bytes, status: int, value: str, said: str, emulator: EmulatorProcess, examined: Examine
) -> None:
    with answer(body, status, Server="squid/5.7") as host:
        report = examined(changed(emulator.connection(), host=f"http://{host}"))
    finding = report.findings["answers"]
    assert finding.value == value
    assert said in f"{finding.text} {finding.remedy}"
    assert report.findings["namespace"].verdict is Verdict.UNKNOWN
    assert not report.would_work


@pytest.mark.parametrize(
    ("offset", "verdict"), [(10, Verdict.OK), (100, Verdict.WARN), (-2000, Verdict.FAIL)]
)
def test_the_clock_is_held_against_the_date_of_the_answer(
    offset: int, verdict: Verdict, emulator: EmulatorProcess, examined: Examine
) -> None:
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() - offset))
    with answer(b'{"Code": "InvalidTimeStamp.Expired", "Message": "late"}', 400, Date=date) as host:
        report = examined(changed(emulator.connection(), host=f"http://{host}"))
    finding = report.findings["clock"]
    assert finding.verdict is verdict
    assert abs(int(finding.value or 0) - offset) <= 3
    assert "ahead of" in finding.text if offset > 0 else "behind" in finding.text


def test_a_server_that_never_answers(
    emulator: EmulatorProcess, examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_schedulerx.doctor import client

    monkeypatch.setattr(client, "READ_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        report = examined(changed(emulator.connection(), host=f"http://127.0.0.1:{silent.getsockname()[1]}"))
    assert report.findings["answers"].verdict is Verdict.FAIL
    assert report.findings["runs"].text == "not found out: the service does not answer"


def test_a_proxy_that_refuses(emulator: EmulatorProcess, examined: Examine) -> None:
    with answer(b"no", 407) as host:
        report = examined(
            changed(
                emulator.connection(),
                host="https://schedulerx.example",
                proxy=f"http://user@{host}",
                proxy_password="proxy-secret",
            )
        )
    assert report.findings["proxy"].value == f"http://{host}"
    assert report.findings["tls"].verdict is Verdict.FAIL
    assert "proxy" in report.findings["tls"].text
    assert "proxy-secret" not in str(report.findings)


def test_throttled_for_good(emulator: EmulatorProcess, examined: Examine) -> None:
    emulator.set_quota(0)
    report = examined(emulator.connection(), workflow_id=1)
    assert report.findings["quota"].verdict is Verdict.WARN
    assert report.findings["workflow"].text == "not found out: the service throttles GetWorkFlow"
    assert not report.would_work


def test_throttled_now_and_then_is_waited_for(emulator: EmulatorProcess, examined: Examine) -> None:
    emulator.add_fault("GetWorkFlow", "throttle", retry_after_ms=10)
    report = examined(emulator.connection(), workflow_id=1)
    assert report.findings["retry_after"].value == "sent"
    assert report.findings["workflow"].verdict is Verdict.OK
    assert report.would_work


@pytest.mark.parametrize(
    "body",
    [
        '{"Success": true, "Code": 200, "Data": {"WfInstanceInfos": [{"WfInstanceId": "x", "Status": 4}]}}',
        '{"Success": true, "Code": 200}',
        '{"Success": true, "Data": []}',
    ],
)
def test_an_answer_that_cannot_be_read_is_a_problem(
    body: str, emulator: EmulatorProcess, examined: Examine
) -> None:
    emulator.add_fault("ListWorkflowInstance", "error", status=200, body=body, count=9)
    report = examined(emulator.connection(), workflow_id=1)
    assert report.findings["answers"].value == "unreadable"
    assert "report it" in str(report.findings["answers"].remedy)


def test_each_operation_may_fail_in_any_way(emulator: EmulatorProcess, examined: Examine) -> None:
    bodies = [
        "null",
        "[]",
        '{"Data": 7, "Success": true}',
        '{"Success": "yes"}',
        '{"Success": false, "Message": {}}',
        "<",
        "",
    ]
    for number, body in enumerate(bodies):
        emulator.add_fault("*", "error", status=(200, 500)[number % 2], body=body, count=99, skip=number)
        assert not examined(emulator.connection(), workflow_id=1).would_work
        emulator.clear_faults()


@pytest.mark.parametrize("trusted", [True, False])
def test_tls(trusted: bool, examined: Examine) -> None:
    with EmulatorProcess("--tls") as local:
        report = examined(changed(local.connection(), ca_file=local.ca_file if trusted else None))
    finding = report.findings["tls"]
    assert "SchedulerX emulator, not a real authority" in finding.text
    assert finding.verdict is (Verdict.OK if trusted else Verdict.FAIL)
    assert "trusted through ca_file" in finding.text if trusted else "set ca_file" in str(finding.remedy)
    assert report.would_work is (trusted and report.findings["workflow"].value is not None)


def test_unknown_fields_are_named(emulator: EmulatorProcess, examined: Examine) -> None:
    report = examined(changed(emulator.connection(), groupid="etl", colour="red"))
    assert "'groupid' (did you mean group_id?)" in report.findings["unknown_fields"].text
    assert "'colour'" in report.findings["unknown_fields"].text


def test_rights_that_are_missing_one_by_one(emulator: EmulatorProcess, examined: Examine) -> None:
    for action in ("JobInstanceQuery", "LogQuery", "NamespaceQuery", "AppGroupQuery"):
        emulator.add_account(
            access_key_id="LTAI5tHalfAPatient00",
            access_key_secret="half",
            denied=[f"edas:ReadSchedulerx{action}"],
        )
        report = examined(
            {**emulator.connection(), "login": "LTAI5tHalfAPatient00", "password": "half"}, workflow_id=1
        )
        denied = [finding.key for finding in report.findings.values() if finding.value == "denied"]
        assert denied == [f"edas:ReadSchedulerx{action}"]
        assert report.would_work


def test_a_check_that_breaks_is_a_line_and_nothing_more(emulator: EmulatorProcess, connect: Connect) -> None:
    def breaks(session: Session) -> Iterator[Any]:
        raise KeyError("a secret perhaps")
        yield

    connect(emulator.connection())
    checks = [Check(breaks, ("group",)) if check.keys[:1] == ("group",) else check for check in CHECKS]
    report = examination.examine(SchedulerXHook(), Options(), may_start=lambda _: False, checks=checks)
    assert report.findings["group"].text == "not found out: the check 'breaks' failed: KeyError"
    assert report.findings["workflow"].verdict is Verdict.OK


def test_nothing_is_changed_without_start(emulator: EmulatorProcess, examined: Examine) -> None:
    examined(emulator.connection(), workflow_id=3)
    SchedulerXHook().execute_workflow(3)
    before = emulator.counters()
    examined(emulator.connection(), workflow_id=3)
    after = emulator.counters()
    assert after["starts"] == before["starts"]
    changing = ("ExecuteWorkflow", "StopInstance", "RetryJobInstance", "SetWfInstanceSuccess")
    assert all(after["calls"].get(name) == before["calls"].get(name) for name in changing)
    assert sum(after["calls"].values()) - sum(before["calls"].values()) <= 30


def test_a_disabled_workflow_would_not_work(emulator: EmulatorProcess, examined: Examine) -> None:
    report = examined(emulator.connection(), workflow_id=6)
    assert [finding.key for finding in report.problems] == ["enabled"]
    assert json.dumps(report.findings["enabled"].value) == '"disabled"'


def test_interrupted(emulator: EmulatorProcess, connect: Connect) -> None:
    """What was found out by then is said, and above all that a run was started."""
    connect(emulator.connection())
    pauses = iter(range(3))

    def sleep(seconds: float) -> None:
        if next(pauses, None) is None:
            raise KeyboardInterrupt

    before = emulator.starts(3)
    options = Options(workflow_id=3, start=True)
    report = examine(SchedulerXHook(), options, may_start=lambda _: True, sleep=sleep)
    assert emulator.starts(3) == before + 1
    assert report.findings["run"].value == "RUNNING"
    assert "left running" in report.findings["run"].text
    assert report.findings["workflow"].verdict is Verdict.OK
    assert report.findings["list_lag"].text == "not found out: it was interrupted"
    assert not report.would_work
