"""The asynchronous side against the emulator and broken servers: transport, hook twins, poller, trigger."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_schedulerx.api import exceptions as errors
from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings, Scope
from airflow_provider_schedulerx.api.models import WorkflowInstanceStatus
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.api.wire.async_transport import AsyncTransport
from airflow_provider_schedulerx.api.wire.transport import SyncTransport
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from tests.api.wire.test_transport import SCOPE, free_port, hang, proxy, reset, say, server, tls_server
from tests.recorder import Recorder

__all__ = ["proxy"]

READ = calls.list_workflow_instances(SCOPE, 1)
STOP = calls.stop_job_instance(SCOPE, 1, 2)


def settings_for(host: str, **extra: Any) -> SchedulerXSettings:
    return SchedulerXSettings.from_connection(
        login="emulator",
        password="emulator-secret",
        host=host,
        extra={
            "region_id": "cn-hangzhou",
            "namespace": "demo",
            "group_id": "etl",
            **extra,
        },
    )


def perform(call: calls.Call[Any], host: str, max_retry_seconds: float = 0, **extra: Any) -> Any:
    async def main() -> Any:
        async with AsyncTransport(settings_for(host, **extra), max_retry_seconds) as transport:
            return await transport.perform(call)

    return asyncio.run(main())


# The transport.


def test_both_sides_send_the_same(emulator: EmulatorProcess) -> None:
    volatile = {"x-acs-date", "x-acs-signature-nonce", "authorization"}
    scope = Scope("cn-hangzhou", "é ~*'", "+/%", "g&=")
    for call in (
        calls.get_log(scope, 1, 2, start_ms=1, end_ms=2, keyword="a b'天"),
        calls.retry_job_instance(scope, 1, 2),
    ):
        with Recorder(b'{"Success": false, "Code": 400, "Message": "recorded"}') as recorder:
            host = f"http://{recorder.authority}"
            with pytest.raises(errors.SchedulerXError, match="recorded"):
                SyncTransport(settings_for(host), 0).perform(call)
            with pytest.raises(errors.SchedulerXError, match="recorded"):
                perform(call, host)
            sent = [
                (
                    request.method,
                    request.target,
                    {
                        name.lower(): value
                        for name, value in request.headers
                        if name.lower().startswith(("x-acs", "host", "accept", "user-agent"))
                        and name.lower() not in volatile | {"accept-encoding"}
                    },
                    request.body,
                )
                for request in recorder.requests
            ]
            assert sent[0] == sent[1]


@pytest.mark.parametrize(
    ("handle", "says"),
    [
        (reset, "no answer"),
        (hang, "timed out"),
        (lambda peer: peer.recv(65536), "disconnected"),
        (say(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"), "no answer"),
        (say(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>"), "HTTP 502"),
        (say(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"), "HTTP 302"),
        (say(b"SSH-2.0-OpenSSH_9.2\r\n"), "no answer"),
    ],
    ids=["reset", "read timeout", "closed", "truncated", "502", "redirect", "not http"],
)
def test_a_fault_after_sending_is_told_from_one_before(handle: Any, says: str) -> None:
    brief = {"read_timeout": 1} if handle is hang else {}
    with server(handle) as authority:
        with pytest.raises(errors.SchedulerXAmbiguousError, match=says) as caught:
            perform(STOP, f"http://{authority}", **brief)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        with pytest.raises(errors.SchedulerXUnavailableError):
            perform(READ, f"http://{authority}", **brief)


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("http://127.0.0.1:{port}", "Connect call failed|Connection refused"),
        ("no-such-host.invalid", "check host"),
    ],
)
def test_a_connection_that_was_never_made_surely_changed_nothing(host: str, says: str) -> None:
    with pytest.raises(errors.SchedulerXUnavailableError, match=says):
        perform(STOP, host.format(port=free_port()))


def test_tls_faults_surely_changed_nothing() -> None:
    with tls_server() as (authority, _):
        with pytest.raises(errors.SchedulerXUnavailableError, match="set ca_file"):
            perform(STOP, f"https://{authority}")
    with tls_server("127.0.0.2") as (authority, ca_file):
        with pytest.raises(errors.SchedulerXUnavailableError):
            perform(STOP, f"https://{authority}", ca_file=ca_file)
    with server(say(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as authority:
        with pytest.raises(errors.SchedulerXUnavailableError, match="http://"):
            perform(STOP, f"https://{authority}")


def test_a_private_authority_and_a_proxy(emulator: EmulatorProcess, proxy: Any) -> None:
    with EmulatorProcess("--tls") as secure:
        assert perform(calls.list_namespaces(SCOPE), secure.endpoint, ca_file=secure.ca_file)
    url = f"http://user@127.0.0.1:{proxy.port}"
    assert perform(READ, emulator.endpoint, proxy=url, proxy_password="proxy-secret") is not None
    assert proxy.seen[0].startswith("Basic ")
    with pytest.raises(errors.SchedulerXUnavailableError, match="check proxy") as caught:
        perform(STOP, "https://schedulerx.aliyuncs.com", proxy=url, proxy_password="proxy-secret")
    assert "proxy-secret" not in str(caught.value)


def test_no_proxy_of_the_environment_is_honoured(
    emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(errors.SchedulerXUnavailableError):
        perform(READ, emulator.endpoint)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert perform(READ, emulator.endpoint) is not None


def test_reads_are_retried_without_blocking(emulator: EmulatorProcess, no_waiting: None) -> None:
    before = emulator.calls("ListWorkflowInstance")
    emulator.add_fault("ListWorkflowInstance", "error", status=500, count=2)
    assert perform(READ, emulator.endpoint, max_retry_seconds=30) is not None
    assert emulator.calls("ListWorkflowInstance") == before + 3


def test_a_credential_that_cannot_be_had_is_told(emulator: EmulatorProcess) -> None:
    settings = SchedulerXSettings.from_connection(
        host=emulator.endpoint,
        extra={
            "region_id": "cn-hangzhou",
            "credential_type": "oidc_role_arn",
            "role_arn": "a",
            "oidc_provider_arn": "p",
            "oidc_token_file_path": "/no/such/token",
        },
    )

    async def main() -> None:
        async with AsyncTransport(settings, 0) as transport:
            await transport.perform(READ)

    with pytest.raises(errors.SchedulerXUnavailableError, match="/no/such/token"):
        asyncio.run(main())


# The hook's twins.


def test_the_hooks_twins(hook: SchedulerXHook) -> None:
    started = hook.execute_workflow(3)

    async def main() -> None:
        twin = SchedulerXHook()
        assert (await twin.aget_workflow(3)).name == "endless"
        instance = await twin.aget_workflow_instance(3, started)
        assert instance.status is WorkflowInstanceStatus.RUNNING
        assert (await twin.alist_workflow_instances(3))[0].wf_instance_id == started
        node = instance.nodes[0]
        assert node.job_instance_id is not None
        assert (await twin.aget_job_instance(node.job_id, node.job_instance_id)).job_name == "left"
        await twin.astop_job_instance(node.job_id, node.job_instance_id)
        last = await twin.astop_workflow_instance(3, started)
        assert last is not None
        assert last.status is WorkflowInstanceStatus.FAILED

    asyncio.run(main())
