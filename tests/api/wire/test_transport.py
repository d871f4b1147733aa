"""What breaks on the way, broken for real: sockets that refuse, hang, reset, lie or speak TLS badly."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_schedulerx.api import exceptions as errors
from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings, Scope
from airflow_provider_schedulerx.api.wire import calls, retrying
from airflow_provider_schedulerx.api.wire.transport import SyncTransport
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.emulator.tls import make_certificate

SCOPE = Scope("cn-hangzhou", "demo", None, "etl")
START = calls.execute_workflow(SCOPE, 1, {"password": "parameter-secret"})
READ = calls.list_workflow_instances(SCOPE, 1)


def transport(host: str, *, max_retry_seconds: float = 0, **extra: Any) -> SyncTransport:
    settings = SchedulerXSettings.from_connection(
        login="emulator",
        password="emulator-secret",
        host=host,
        extra={"region_id": "cn-hangzhou", **extra},
    )
    return SyncTransport(settings, max_retry_seconds=max_retry_seconds)


@contextlib.contextmanager
def server(handle: Callable[[socket.socket], None], address: str = "127.0.0.1") -> Iterator[str]:
    """A TCP server that does ``handle`` to each connection. :return: its ``host:port``."""
    listener = socket.create_server((address, 0))

    def accept() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), peer:
                handle(peer)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"{address}:{listener.getsockname()[1]}"
    finally:
        # close() alone would leave the thread in accept().
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def reset(peer: socket.socket) -> None:
    peer.recv(65536)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang(peer: socket.socket) -> None:
    peer.recv(65536)
    time.sleep(1.5)


def say(text: bytes) -> Callable[[socket.socket], None]:
    def handle(peer: socket.socket) -> None:
        peer.recv(65536)
        peer.sendall(text)

    return handle


def assert_clean(error: BaseException) -> None:
    """No secret, and no chained exception that could print one."""
    text = f"{error} {error!r} {vars(error)}"
    assert "parameter-secret" not in text
    assert "emulator-secret" not in text
    assert "InstanceParameters" not in text
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("handle", "says"),
    [
        (reset, "reset by peer"),
        (hang, "timed out"),
        (lambda peer: peer.recv(65536), "closed connection without response"),
        (say(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"), "IncompleteRead"),
        (say(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>"), "HTTP 502"),
        (say(b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n"), "HTTP 504"),
        (
            say(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
            "redirects are not followed",
        ),
        (say(b"SSH-2.0-OpenSSH_9.2\r\n"), "SSH"),
    ],
    ids=["reset", "read timeout", "closed", "truncated", "502", "504", "redirect", "not http"],
)
def test_a_fault_after_sending_is_ambiguous_for_a_start_and_harmless_for_a_read(
    handle: Callable[[socket.socket], None], says: str
) -> None:
    brief = {"read_timeout": 1} if handle is hang else {}
    with server(handle) as authority:
        with pytest.raises(errors.SchedulerXAmbiguousError, match=says) as caught:
            transport(f"http://{authority}", **brief).perform(START)
        assert_clean(caught.value)
        with pytest.raises(errors.SchedulerXUnavailableError):
            transport(f"http://{authority}", **brief).perform(READ)


def test_a_refused_connection_surely_started_nothing() -> None:
    with pytest.raises(errors.SchedulerXUnavailableError, match="Connection refused") as caught:
        transport(f"http://127.0.0.1:{free_port()}").perform(START)
    assert_clean(caught.value)


def test_an_unknown_host_surely_started_nothing() -> None:
    with pytest.raises(
        errors.SchedulerXUnavailableError, match="check host, region_id and network"
    ) as caught:
        transport("no-such-host.invalid").perform(START)
    assert_clean(caught.value)


def test_a_vpc_endpoint_outside_the_vpc_points_at_network() -> None:
    settings = SchedulerXSettings.from_connection(
        login="k", password="s", extra={"region_id": "no-where-1", "network": "vpc", "connect_timeout": 1}
    )
    with pytest.raises(errors.SchedulerXUnavailableError, match="check network"):
        SyncTransport(settings, 0).perform(START)


def test_a_connection_that_is_never_accepted_surely_started_nothing() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = listener.getsockname()[1]
    fillers = []
    try:
        for _ in range(4):  # fill the queue of connections nobody accepts
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        with pytest.raises(errors.SchedulerXUnavailableError, match="timed out"):
            transport(f"http://127.0.0.1:{port}", connect_timeout=1).perform(START)
    finally:
        for filler in (*fillers, listener):
            filler.close()


@contextlib.contextmanager
def tls_server(address: str = "127.0.0.1") -> Iterator[tuple[str, str]]:
    """:return: ``host:port``, and the file of its certificate authority."""
    certificate = make_certificate("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain_file)

    def handle(peer: socket.socket) -> None:
        with context.wrap_socket(peer, server_side=True) as secure:
            secure.recv(65536)

    with server(handle, address) as authority:
        yield authority, str(certificate.ca_file)


def test_an_untrusted_certificate_surely_started_nothing_and_points_at_ca_file() -> None:
    with tls_server() as (authority, _):
        with pytest.raises(errors.SchedulerXUnavailableError, match="set ca_file") as caught:
            transport(f"https://{authority}").perform(START)
        assert_clean(caught.value)


def test_a_certificate_for_another_name_surely_started_nothing() -> None:
    with tls_server("127.0.0.2") as (authority, ca_file):  # the certificate is for 127.0.0.1
        with pytest.raises(errors.SchedulerXUnavailableError, match="127.0.0.2"):
            transport(f"https://{authority}", ca_file=ca_file).perform(START)


def test_over_tls_a_close_after_the_handshake_is_ambiguous() -> None:
    with tls_server() as (authority, ca_file), pytest.raises(errors.SchedulerXAmbiguousError):
        transport(f"https://{authority}", ca_file=ca_file).perform(START)


def test_https_to_a_plain_port_points_at_the_scheme() -> None:
    with server(say(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as authority:
        with pytest.raises(errors.SchedulerXUnavailableError, match="host may begin with http://"):
            transport(f"https://{authority}").perform(START)


def test_a_private_authority_is_trusted_through_ca_file() -> None:
    with EmulatorProcess("--tls") as emulator:
        assert transport(emulator.endpoint, ca_file=emulator.ca_file).perform(calls.list_namespaces(SCOPE))


class Proxy:
    """A forward proxy for plain requests, that counts them; for CONNECT it answers 403."""

    def __init__(self) -> None:
        proxy = self
        self.seen: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                proxy.seen.append(self.headers.get("Proxy-Authorization", ""))
                host = self.path.split("/")[2]
                upstream = http.client.HTTPConnection(host, timeout=5)
                upstream.request("GET", self.path.split(host, 1)[1], headers=dict(self.headers))
                answer = upstream.getresponse()
                body = answer.read()
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_CONNECT(self) -> None:
                self.send_error(403)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    running = Proxy()
    yield running
    running.close()


def test_calls_go_through_the_proxy(emulator: EmulatorProcess, proxy: Proxy) -> None:
    url = f"http://user@127.0.0.1:{proxy.port}"
    assert transport(emulator.endpoint, proxy=url, proxy_password="proxy-secret").perform(READ) is not None
    assert proxy.seen[0].startswith("Basic ")


def test_a_proxy_that_refuses_surely_started_nothing(proxy: Proxy) -> None:
    url = f"http://user@127.0.0.1:{proxy.port}"
    with pytest.raises(errors.SchedulerXUnavailableError, match="check proxy") as caught:
        transport("https://schedulerx.aliyuncs.com", proxy=url, proxy_password="proxy-secret").perform(START)
    assert "proxy-secret" not in str(caught.value)


def test_a_proxy_that_is_not_there_surely_started_nothing() -> None:
    url = f"http://user@127.0.0.1:{free_port()}"
    with pytest.raises(errors.SchedulerXUnavailableError, match="check proxy") as caught:
        transport("https://schedulerx.aliyuncs.com", proxy=url, proxy_password="proxy-secret").perform(START)
    assert "proxy-secret" not in str(caught.value)


# Retries.


def test_an_ambiguous_start_is_never_repeated(emulator: EmulatorProcess, no_waiting: None) -> None:
    before = emulator.calls("ExecuteWorkflow")
    for effect in (
        {"effect": "drop", "when": "after"},
        {"effect": "error", "status": 502},
        {"effect": "truncate"},
    ):
        emulator.add_fault("ExecuteWorkflow", **effect)
        with pytest.raises(errors.SchedulerXAmbiguousError):
            transport(emulator.endpoint, max_retry_seconds=60).perform(START)
    assert emulator.calls("ExecuteWorkflow") == before + 3


def test_a_throttled_start_is_repeated_because_it_was_not_carried_out(
    emulator: EmulatorProcess, no_waiting: None
) -> None:
    starts, made = emulator.starts(1), emulator.calls("ExecuteWorkflow")
    emulator.add_fault("ExecuteWorkflow", "throttle", count=3)
    transport(emulator.endpoint, max_retry_seconds=60).perform(START)
    assert emulator.starts(1) == starts + 1
    assert emulator.calls("ExecuteWorkflow") == made + 4


def test_the_wait_that_the_service_asks_for_is_kept(emulator: EmulatorProcess, no_waiting: None) -> None:
    emulator.add_fault("ListWorkflowInstance", "throttle", retry_after_ms=700)
    began = time.monotonic()
    transport(emulator.endpoint, max_retry_seconds=60).perform(READ)
    assert time.monotonic() - began >= 0.7


def test_reads_are_repeated_a_bounded_number_of_times(emulator: EmulatorProcess, no_waiting: None) -> None:
    before = emulator.calls("ListWorkflowInstance")
    emulator.add_fault("ListWorkflowInstance", "drop", count=retrying.MAX_TRIES_UNAVAILABLE - 1)
    transport(emulator.endpoint, max_retry_seconds=60).perform(READ)
    assert emulator.calls("ListWorkflowInstance") == before + retrying.MAX_TRIES_UNAVAILABLE
    emulator.add_fault("ListWorkflowInstance", "drop", count=100)
    with pytest.raises(errors.SchedulerXUnavailableError):
        transport(emulator.endpoint, max_retry_seconds=60).perform(READ)
    assert emulator.calls("ListWorkflowInstance") == before + 2 * retrying.MAX_TRIES_UNAVAILABLE


def test_throttling_is_given_up_after_a_time(emulator: EmulatorProcess, no_waiting: None) -> None:
    emulator.add_fault("ListWorkflowInstance", "throttle", count=1_000_000)
    began = time.monotonic()
    with pytest.raises(errors.SchedulerXThrottledError):
        transport(emulator.endpoint, max_retry_seconds=0.5).perform(READ)
    assert time.monotonic() - began < 5


def test_a_refusal_is_not_repeated(emulator: EmulatorProcess, no_waiting: None) -> None:
    before = emulator.calls("GetWorkFlow")
    with pytest.raises(errors.SchedulerXNotFoundError):
        transport(emulator.endpoint, max_retry_seconds=60).perform(calls.get_workflow(SCOPE, 99))
    assert emulator.calls("GetWorkFlow") == before + 1


def test_an_answer_that_is_not_understood_is_asked_for_once_more(
    emulator: EmulatorProcess, no_waiting: None
) -> None:
    body = '{"Success": true, "Code": 200, "Data": {"WfInstanceInfos": [{"WfInstanceId": "soon"}]}}'
    before = emulator.calls("ListWorkflowInstance")
    emulator.add_fault("ListWorkflowInstance", "error", status=200, body=body)
    assert transport(emulator.endpoint, max_retry_seconds=60).perform(READ) is not None
    assert emulator.calls("ListWorkflowInstance") == before + 2
    emulator.add_fault("ListWorkflowInstance", "error", status=200, body=body, count=100)
    with pytest.raises(errors.SchedulerXMalformedAnswerError):
        transport(emulator.endpoint, max_retry_seconds=60).perform(READ)
    assert emulator.calls("ListWorkflowInstance") == before + 4


def test_waits_grow_are_jittered_and_bounded() -> None:
    def wait(error: errors.SchedulerXError, tries: int) -> float | None:
        return retrying.pause_before_retry(error, tries, elapsed=0, max_seconds=150)

    throttled = errors.SchedulerXThrottledError("slow down")
    waits = [[wait(throttled, tries) or 0 for _ in range(200)] for tries in (1, 3, 5000)]
    assert all(len(set(same)) > 100 for same in waits), "not jittered"
    assert 0.25 <= min(waits[0]) <= max(waits[0]) <= 0.5
    assert 1.0 <= min(waits[1]) <= max(waits[1]) <= 2.0
    assert max(waits[2]) <= retrying._LONGEST_WAIT
    asked = errors.SchedulerXThrottledError("slow down", retry_after=30)
    assert 30 < (wait(asked, 1) or 0) < 31


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (errors.SchedulerXUnavailableError("m"), retrying.MAX_TRIES_UNAVAILABLE),
        (errors.SchedulerXMalformedAnswerError("m"), retrying.MAX_TRIES_MALFORMED),
        (errors.SchedulerXThrottledError("m"), 1_000_000),
        (errors.SchedulerXAmbiguousError("m"), 1),
        (errors.SchedulerXRejectedError("m"), 1),
        (errors.SchedulerXAuthenticationError("m"), 1),
        (errors.SchedulerXAuthorizationError("m"), 1),
        (errors.SchedulerXConfigurationError("m"), 1),
    ],
)
def test_what_is_repeated_and_how_often(error: errors.SchedulerXError, tries: int) -> None:
    if tries > 1:
        assert retrying.pause_before_retry(error, tries - 1, elapsed=0, max_seconds=150)
        assert retrying.pause_before_retry(error, tries - 1, elapsed=150, max_seconds=150) is None
        assert retrying.pause_before_retry(error, 1, elapsed=0, max_seconds=0) is None
    if tries < 1_000_000:
        assert retrying.pause_before_retry(error, tries, elapsed=0, max_seconds=150) is None
