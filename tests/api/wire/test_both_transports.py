"""What holds on both sides alike: one request for each try, no redirect, the same proxies, the same causes."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import socket
import ssl
import struct
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_schedulerx.api import exceptions as errors
from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
from airflow_provider_schedulerx.api.wire import calls, sessions, tls, transport
from airflow_provider_schedulerx.api.wire.async_transport import AsyncTransport
from airflow_provider_schedulerx.api.wire.calls import Call
from airflow_provider_schedulerx.api.wire.responses import Response
from airflow_provider_schedulerx.api.wire.transport import SyncTransport
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.emulator.tls import make_certificate
from tests.api.wire.test_transport import SCOPE, Proxy, free_port, proxy, server, tls_server
from tests.recorder import Recorder

__all__ = ["proxy"]

READ = calls.list_workflow_instances(SCOPE, 1)
START = calls.execute_workflow(SCOPE, 1, {"password": "parameter-secret"})
STOP = calls.stop_job_instance(SCOPE, 1, 2)

GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\n{"Success":true,"Data":{"a":"b"}}'


def settings_for(
    host: str, login: str | None = "emulator", password: str | None = "emulator-secret", **extra: Any
) -> SchedulerXSettings:
    return SchedulerXSettings.from_connection(
        login=login,
        password=password,
        host=host,
        extra={"region_id": "cn-hangzhou", **extra},
    )


Send = Callable[..., list[Response]]


def sync_send(made: list[Call[Any]], host: str, **extra: Any) -> list[Response]:
    transport = SyncTransport(settings_for(host, **extra), 0)
    return [transport.send(call) for call in made]


def async_send(made: list[Call[Any]], host: str, **extra: Any) -> list[Response]:
    async def main() -> list[Response]:
        async with AsyncTransport(settings_for(host, **extra), 0) as transport:
            return [await transport.send(call) for call in made]

    return asyncio.run(main())


@pytest.fixture(params=[sync_send, async_send], ids=["sync", "async"])
def send(request: pytest.FixtureRequest) -> Send:
    found: Send = request.param
    return found


def read_request(peer: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        more = peer.recv(65536)
        if not more:
            return b""
        received += more
    return received


def test_send_returns_whatever_is_answered(send: Send) -> None:
    answer = b"HTTP/1.1 418 Teapot\r\nX-Odd: 1\r\nDate: Tue, 24 Nov 2026 22:00:00 GMT\r\nContent-Length: 2\r\n\r\nno"

    def handle(peer: socket.socket) -> None:
        read_request(peer)
        peer.sendall(answer)

    with server(handle) as authority:
        (response,) = send([START], f"http://{authority}")
    assert (response.status, response.body) == (418, b"no")
    assert response.headers["x-odd"] == "1"
    assert response.headers["date"].startswith("Tue")


# One request for each try.


@pytest.mark.parametrize("call", [READ, START, STOP], ids=["read", "start", "stop"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_request_whose_connection_breaks_is_sent_once(send: Send, call: Call[Any], how: str) -> None:
    """aiohttp sends a GET again by itself, and ExecuteWorkflow is one."""
    seen: list[bytes] = []

    def handle(peer: socket.socket) -> None:
        if received := read_request(peer):
            seen.append(received)
        if how == "reset":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    expected = (
        errors.SchedulerXAmbiguousError if call.operation.changes else errors.SchedulerXUnavailableError
    )
    with server(handle) as authority:
        with pytest.raises(expected) as caught:
            send([call], f"http://{authority}")
        time.sleep(0.1)
    assert len(seen) == 1
    assert "parameter-secret" not in f"{caught.value} {vars(caught.value)}"


class Keeping:
    """A server that keeps connections open, and counts them."""

    def __init__(self) -> None:
        self.connections: list[list[bytes]] = []

    def __call__(self, peer: socket.socket) -> None:
        received: list[bytes] = []
        self.connections.append(received)
        peer.settimeout(60)
        while request := read_request(peer):
            received.append(request)
            peer.sendall(GOOD)


@contextmanager
def keeping() -> Iterator[tuple[Keeping, str]]:
    import threading

    kept = Keeping()

    def handle(peer: socket.socket) -> None:
        own = socket.socket(fileno=socket.dup(peer.fileno()))

        def serve() -> None:
            try:
                with own:
                    kept(own)
            except OSError:
                pass

        threading.Thread(target=serve, daemon=True).start()

    with server(handle) as authority:
        yield kept, f"http://{authority}"


def test_reads_share_a_connection_and_what_changes_something_has_its_own(send: Send) -> None:
    """A kept connection may be closed by the server while a request is on its way: then nobody knows."""
    with keeping() as (kept, host):
        send([READ, READ, START, STOP, READ], host)
    assert [len(received) for received in kept.connections] == [3, 1, 1]


def test_a_connection_that_was_idle_for_long_is_not_used_again(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "KEEP_IDLE", 0.0)
    monkeypatch.setattr(sessions, "KEEP_IDLE", 1e-9)
    with keeping() as (kept, host):
        send([READ, READ], host)
    assert [len(received) for received in kept.connections] == [1, 1]


# Redirects.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(send: Send, status: int) -> None:
    """It would take the credentials to another host."""
    with Recorder() as elsewhere:

        def handle(peer: socket.socket) -> None:
            read_request(peer)
            location = f"http://{elsewhere.authority}/?a=b"
            peer.sendall(
                f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
            )

        with server(handle) as authority:
            for call in (READ, START):
                assert send([call], f"http://{authority}")[0].status == status
        assert elsewhere.requests == []


# Proxies.


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize(
    ("no_proxy", "is_used"),
    [("", True), ("other.example", True), ("127.0.0.1", False), ("127.0.0.0/8", False), ("*", False)],
)
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_the_environments_proxies_are_honoured(
    send: Send,
    emulator: EmulatorProcess,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    no_proxy: str,
    is_used: bool,
) -> None:
    monkeypatch.setenv(variable, f"http://user:pa%20ss@127.0.0.1:{proxy.port}")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert send([READ], emulator.endpoint)[0].status == 200
    assert len(proxy.seen) == is_used
    if is_used:
        assert proxy.seen == ["Basic dXNlcjpwYSBzcw=="]


@pytest.mark.usefixtures("no_proxies")
def test_the_connections_own_proxy_overrides_the_environment(
    send: Send, emulator: EmulatorProcess, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "*")
    send([READ, START], emulator.endpoint, proxy=f"http://127.0.0.1:{proxy.port}")
    assert len(proxy.seen) == 2


@pytest.mark.usefixtures("no_proxies")
def test_an_environments_proxy_of_another_kind_is_said(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:proxy-secret@127.0.0.1:1080")
    with pytest.raises(errors.SchedulerXConfigurationError, match="ALL_PROXY") as caught:
        send([READ], "http://127.0.0.1:1")
    assert "proxy-secret" not in str(caught.value)


@pytest.mark.usefixtures("no_proxies")
def test_an_environments_proxy_that_is_away_is_named_as_such(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{free_port()}")
    with pytest.raises(
        errors.SchedulerXUnavailableError, match="check HTTPS_PROXY.*NO_PROXY of the environment"
    ):
        send([START], "https://schedulerx.aliyuncs.com")


# Faults before the request left, for a start.


@pytest.mark.usefixtures("no_proxies")
def test_a_handshake_that_breaks_started_nothing(send: Send) -> None:
    """A firewall that resets TLS, for example."""

    def handle(peer: socket.socket) -> None:
        peer.recv(10)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with server(handle) as authority, pytest.raises(errors.SchedulerXUnavailableError, match="cannot reach"):
        send([START], f"https://{authority}")


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize(
    ("host", "advice"),
    [
        ("no-such-host.invalid", "check host, region_id and network"),
        ("schedulerx-vpc.cn-nowhere.invalid", "VPC endpoints resolve only inside"),
        ("http://127.0.0.1:{port}", "check host and network"),
    ],
)
def test_both_sides_give_the_same_advice(send: Send, host: str, advice: str) -> None:
    with pytest.raises(errors.SchedulerXUnavailableError, match=advice) as caught:
        send([START], host.format(port=free_port()))
    assert caught.value.operation == "ExecuteWorkflow"
    assert caught.value.__suppress_context__


@pytest.mark.usefixtures("no_proxies")
def test_tls_faults_started_nothing(send: Send) -> None:
    with tls_server() as (authority, _):
        with pytest.raises(errors.SchedulerXUnavailableError, match="set ca_file"):
            send([START], f"https://{authority}")
    with tls_server("127.0.0.2") as (authority, ca_file):
        with pytest.raises(errors.SchedulerXUnavailableError, match="127.0.0.2"):
            send([START], f"https://{authority}", ca_file=ca_file)
    with tls_server() as (authority, ca_file):
        with pytest.raises(errors.SchedulerXAmbiguousError):
            send([START], f"https://{authority}", ca_file=ca_file)


@pytest.mark.usefixtures("no_proxies")
def test_a_handshake_that_never_ends_started_nothing(send: Send) -> None:
    def handle(peer: socket.socket) -> None:
        peer.recv(65536)
        time.sleep(2)

    with server(handle) as authority:
        with pytest.raises(errors.SchedulerXUnavailableError, match="cannot reach.*timed out"):
            send([START], f"https://{authority}", connect_timeout=1)


@pytest.mark.usefixtures("no_proxies")
def test_what_the_caller_is_handling_is_not_taken_for_the_cause(send: Send) -> None:
    try:
        raise ssl.SSLCertVerificationError("another certificate")
    except ssl.SSLError:
        with pytest.raises(errors.SchedulerXUnavailableError, match="check host and network") as caught:
            send([START], f"http://127.0.0.1:{free_port()}")
    assert "ca_file" not in str(caught.value)


@pytest.mark.usefixtures("no_proxies")
def test_an_answer_that_cannot_be_unpacked_is_no_answer(send: Send) -> None:
    def handle(peer: socket.socket) -> None:
        read_request(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope")

    with server(handle) as authority, pytest.raises(errors.SchedulerXAmbiguousError, match="no answer"):
        send([START], f"http://{authority}")


# Certificate authorities.


def test_authorities_are_read_once_for_a_thousand_users(monkeypatch: pytest.MonkeyPatch) -> None:
    ca_file = str(make_certificate("127.0.0.1").ca_file)
    settings = settings_for("https://127.0.0.1:1", ca_file=ca_file)
    read: list[Any] = []
    original = ssl.SSLContext.load_verify_locations

    def load(self: ssl.SSLContext, *arguments: Any, **named: Any) -> None:
        read.append(arguments)
        original(self, *arguments, **named)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", load)

    async def use() -> None:
        async with AsyncTransport(settings):
            pass

    async def crowd() -> None:
        await asyncio.gather(*(use() for _ in range(1000)))

    for _ in range(2):
        asyncio.run(crowd())
        for _ in range(5):
            SyncTransport(settings)
    assert read == [(ca_file,)] * 2, "once for each HTTP library"


def test_a_file_of_authorities_that_changes_is_read_again(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    first, second = (make_certificate("127.0.0.1").ca_file.read_bytes() for _ in range(2))
    ca_file.write_bytes(first)
    context = tls.tls_context(str(ca_file), "test")
    assert tls.tls_context(str(ca_file), "test") is context
    ca_file.write_bytes(second)
    assert tls.tls_context(str(ca_file), "test") is not context


@pytest.mark.usefixtures("no_proxies")
def test_a_file_of_authorities_that_is_gone_is_said_and_started_nothing(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(make_certificate("127.0.0.1").ca_file.read_bytes())
    made = settings_for("https://127.0.0.1:1", ca_file=str(ca_file))
    ca_file.unlink()
    with pytest.raises(errors.SchedulerXConfigurationError, match="is it still there"):
        SyncTransport(made, 0).send(START)

    async def main() -> None:
        async with AsyncTransport(made, 0):
            pass

    with pytest.raises(errors.SchedulerXConfigurationError, match="is it still there"):
        asyncio.run(main())


# Sessions of an event loop.


@pytest.fixture
def strict() -> Iterator[None]:
    """What is left open is an error, and the garbage collector finds it."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    left = [str(warning.message) for warning in found if issubclass(warning.category, ResourceWarning)]
    assert left == []


async def one_call(host: str) -> None:
    async with AsyncTransport(settings_for(host), 0) as made:
        await made.send(READ)


def open_sessions() -> int:
    return sum(map(len, sessions._by_loop.values()))


@pytest.mark.usefixtures("strict")
def test_calls_one_by_one_share_a_session_that_ends_with_its_loop() -> None:
    async def main(host: str) -> Any:
        for _ in range(20):
            await one_call(host)
        assert open_sessions() == 1
        async with AsyncTransport(settings_for(host)) as made:
            return made.session.kept

    with keeping() as (kept, host):
        session = asyncio.run(main(host))
    assert [len(received) for received in kept.connections] == [20]
    assert session.closed
    assert not sessions._by_loop


@pytest.mark.usefixtures("strict", "no_proxies")
def test_over_tls_nothing_is_left_open() -> None:
    async def main(host: str, ca_file: str) -> None:
        async with AsyncTransport(settings_for(host, ca_file=ca_file), 0) as made:
            await asyncio.gather(*(made.send(call) for call in [READ, STOP] * 5))

    with EmulatorProcess("--tls") as emulator:
        assert emulator.ca_file is not None
        asyncio.run(main(emulator.endpoint, emulator.ca_file))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("strict")
def test_a_session_without_users_is_closed_after_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(host: str) -> None:
        await one_call(host)
        async with AsyncTransport(settings_for(host)) as made:
            session = made.session
        session._check_idle()
        assert not session.kept.closed, "it was used lately"
        monkeypatch.setattr(sessions, "IDLE_SECONDS", 0.05)
        async with AsyncTransport(settings_for(host)) as made:
            assert made.session is session
            session._check_idle()
            await asyncio.sleep(0.2)
            assert not session.kept.closed, "it has a user"
        await until(lambda: open_sessions() == 0)
        await until(lambda: len(asyncio.all_tasks()) == 1)

    with keeping() as (_, host):
        asyncio.run(main(host))


@pytest.mark.usefixtures("strict")
def test_a_session_of_an_earlier_transport_is_used_again_while_it_is_open() -> None:
    async def session_of(host: str, previous: sessions.SharedSession | None) -> sessions.SharedSession:
        async with AsyncTransport(settings_for(host), 0, previous) as made:
            assert (await made.send(READ)).status == 200
            return made.session

    async def main(host: str, previous: sessions.SharedSession | None) -> sessions.SharedSession:
        first = await session_of(host, previous)
        assert first is not previous
        assert await session_of(host, first) is first
        first._idle_since -= 2 * sessions.IDLE_SECONDS
        first._check_idle()
        await until(lambda: open_sessions() == 0 and not first._users)
        second = await session_of(host, first)
        assert second is not first
        assert open_sessions() == 1
        return second

    with keeping() as (_, host):
        of_another_loop = asyncio.run(main(host, None))
        asyncio.run(main(host, of_another_loop))
    assert not sessions._by_loop


@pytest.mark.usefixtures("strict")
def test_identities_do_not_share_a_session() -> None:
    async def main(host: str) -> None:
        async with (
            AsyncTransport(settings_for(host)) as one,
            AsyncTransport(settings_for(host)) as same,
            AsyncTransport(settings_for(host, read_timeout=2)) as other,
        ):
            assert one.session is same.session
            assert one.session is not other.session

    asyncio.run(main("http://127.0.0.1:1"))


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("cancel_after", [0.0, 0.01, 0.05])
def test_an_opening_that_is_cancelled_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, cancel_after: float
) -> None:
    monkeypatch.setattr(sessions, "IDLE_SECONDS", 0.1)
    slow = sessions.proxy_for

    def prepare_slowly(settings: SchedulerXSettings) -> Any:
        time.sleep(0.2)
        return slow(settings)

    monkeypatch.setattr(sessions, "proxy_for", prepare_slowly)

    async def main(host: str) -> None:
        opening = asyncio.create_task(one_call(host))
        await asyncio.sleep(cancel_after)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await until(lambda: open_sessions() == 0)
        # Also where the loop ends meanwhile.
        left = asyncio.create_task(one_call(host))
        await asyncio.sleep(cancel_after)
        assert not left.cancelled()

    with keeping() as (_, host):
        asyncio.run(main(host))
    assert not sessions._by_loop


@pytest.mark.usefixtures("strict")
def test_cancelling_one_user_does_not_disturb_the_others() -> None:
    async def main(host: str) -> None:
        users = [asyncio.create_task(one_call(host)) for _ in range(10)]
        await asyncio.sleep(0)
        users[0].cancel()
        done = await asyncio.gather(*users, return_exceptions=True)
        assert isinstance(done[0], asyncio.CancelledError)
        assert done[1:] == [None] * 9

    with keeping() as (_, host):
        asyncio.run(main(host))


@pytest.mark.usefixtures("strict")
def test_an_opening_that_fails_can_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = itertools.chain([errors.SchedulerXConfigurationError("not now")], itertools.repeat(None))

    def sometimes(settings: SchedulerXSettings) -> None:
        problem = next(answers)
        if problem is not None:
            raise problem

    monkeypatch.setattr(sessions, "proxy_for", sometimes)

    async def main(host: str) -> None:
        with pytest.raises(errors.SchedulerXConfigurationError, match="not now"):
            await one_call(host)
        await one_call(host)

    with keeping() as (_, host):
        asyncio.run(main(host))


def test_what_is_logged_while_a_session_opens_is_in_nobodys_context(caplog: pytest.LogCaptureFixture) -> None:
    import contextvars

    task = contextvars.ContextVar("task", default="nobody")
    seen: list[str] = []
    original = sessions.proxy_for

    def looking(settings: SchedulerXSettings) -> Any:
        seen.append(task.get())
        return original(settings)

    async def main() -> None:
        task.set("the first trigger")
        async with AsyncTransport(settings_for("http://127.0.0.1:1")):
            pass

    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.DEBUG):
        patch.setattr(sessions, "proxy_for", looking)
        asyncio.run(main())
    assert seen == ["nobody"]
