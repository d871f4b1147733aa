"""The asynchronous side against the emulator and broken servers: transport, hook twins, poller, trigger."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from airflow_provider_schedulerx.api import exceptions as errors
from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings, Scope
from airflow_provider_schedulerx.api.models import WorkflowInstance, WorkflowInstanceStatus
from airflow_provider_schedulerx.api.polling import poller
from airflow_provider_schedulerx.api.polling.poller import Watch, WorkflowPoller, shared_poller
from airflow_provider_schedulerx.api.runs.events import Outcome, TerminalEvent
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.api.wire.async_transport import AsyncTransport
from airflow_provider_schedulerx.api.wire.transport import SyncTransport
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.triggers.schedulerx import WorkflowInstanceTrigger
from tests.recorder import Recorder
from tests.test_transport import SCOPE, free_port, hang, proxy, reset, say, server, tls_server

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
            "connect_timeout": 1,
            "read_timeout": 1,
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
    with server(handle) as authority:
        with pytest.raises(errors.SchedulerXAmbiguousError, match=says) as caught:
            perform(STOP, f"http://{authority}")
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        with pytest.raises(errors.SchedulerXUnavailableError):
            perform(READ, f"http://{authority}")


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
        assert (await twin.aget_job_instance(node.job_id, node.job_instance_id)).job_name == "left"
        await twin.astop_job_instance(node.job_id, node.job_instance_id)
        last = await twin.astop_workflow_instance(3, started)
        assert last is not None
        assert last.status is WorkflowInstanceStatus.FAILED

    asyncio.run(main())


# The poller.


@asynccontextmanager
async def polling(emulator: EmulatorProcess, workflow_id: int, **extra: Any) -> AsyncIterator[WorkflowPoller]:
    async with shared_poller(settings_for(emulator.endpoint, read_timeout=5, **extra), workflow_id) as made:
        yield made


async def last_look(watch: Watch, timeout: float = 20) -> WorkflowInstance:
    async def ended() -> WorkflowInstance:
        while True:
            look = await watch.next()
            if isinstance(look, WorkflowInstance) and look.status.is_terminal:
                return look

    return await asyncio.wait_for(ended(), timeout)


def start_many(emulator: EmulatorProcess, workflow_id: int, count: int) -> list[int]:
    settings = settings_for(emulator.endpoint)
    transport = SyncTransport(settings)
    return [
        transport.perform(calls.execute_workflow(settings.scope, workflow_id)).wf_instance_id
        for _ in range(count)
    ]


def test_many_runs_are_followed_by_one_list(emulator: EmulatorProcess) -> None:
    async def main() -> None:
        async with polling(emulator, 1) as made:
            ids = await asyncio.to_thread(start_many, emulator, 1, 60)
            lists, gets = emulator.calls("ListWorkflowInstance"), emulator.calls("GetWorkflowInstance")
            watches = [made.watch(each, poll_interval=1, age=0) for each in ids]
            looks = await asyncio.gather(*map(last_look, watches))
            assert {look.status for look in looks} == {WorkflowInstanceStatus.SUCCESS}
            assert [look.wf_instance_id for look in looks] == ids
            assert emulator.calls("ListWorkflowInstance") - lists <= 5
            # The nodes of a few, from what the budget has to spare.
            assert emulator.calls("GetWorkflowInstance") - gets <= 22

    asyncio.run(main())


def test_a_failed_run_is_reported_with_its_nodes(emulator: EmulatorProcess) -> None:
    async def main() -> None:
        async with polling(emulator, 2) as made:
            ids = await asyncio.to_thread(start_many, emulator, 2, 3)
            watches = [made.watch(each, poll_interval=1, age=0) for each in ids]
            for look in await asyncio.gather(*map(last_look, watches)):
                assert look.status is WorkflowInstanceStatus.FAILED
                assert [node.job_name for node in look.nodes if node.status.is_bad] == ["breaks"]

    asyncio.run(main())


def test_the_nodes_of_a_failed_run_are_asked_for_once(emulator: EmulatorProcess) -> None:
    async def main() -> None:
        async with polling(emulator, 2) as made:
            ids = await asyncio.to_thread(start_many, emulator, 2, 3)
            await asyncio.sleep(0.5)
            # While the nodes are on their way, the runs are listed again because of another one.
            other = await asyncio.to_thread(start_many, emulator, 2, 1)
            gets = emulator.calls("GetWorkflowInstance")
            emulator.add_fault("GetWorkflowInstance", "delay", seconds=1, count=3)
            watches = [
                made.watch(each, poll_interval=0.3 if each in other else 5, age=0) for each in ids + other
            ]
            await asyncio.gather(*map(last_look, watches))
            assert emulator.calls("GetWorkflowInstance") - gets == 4

    asyncio.run(main())


def test_rather_without_nodes_than_late(emulator: EmulatorProcess) -> None:
    async def main() -> None:
        async with polling(emulator, 2) as made:
            ids = await asyncio.to_thread(start_many, emulator, 2, 2)
            emulator.add_fault("GetWorkflowInstance", "error", status=500, count=100)
            watches = [made.watch(each, poll_interval=1, age=0) for each in ids]
            for look in await asyncio.gather(*map(last_look, watches)):
                assert look.status is WorkflowInstanceStatus.FAILED
                assert look.nodes == ()

    asyncio.run(main())


def test_the_only_run_of_a_workflow_is_asked_for_itself(emulator: EmulatorProcess) -> None:
    async def main() -> None:
        async with polling(emulator, 1) as made:
            (only,) = await asyncio.to_thread(start_many, emulator, 1, 1)
            lists = emulator.calls("ListWorkflowInstance")
            look = await last_look(made.watch(only, poll_interval=0.2, age=0))
            assert len(look.nodes) == 4
            assert emulator.calls("ListWorkflowInstance") == lists

    asyncio.run(main())


def hidden(workflow_id: int) -> dict[str, Any]:
    return {
        "namespaces": [{"id": "demo", "groups": ["etl", "reporting"]}],
        "workflows": [
            {
                "id": workflow_id,
                "namespace": "demo",
                "group": "etl",
                "max_concurrency": 100,
                "nodes": [{"name": "a", "duration": 3}],
            }
        ],
    }


def test_runs_that_the_list_does_not_show_are_asked_for(emulator: EmulatorProcess) -> None:
    async def main() -> None:
        emulator.add_workflows(hidden(61))
        emulator.set_profile("list_lag=20")
        async with polling(emulator, 61) as made:
            ids = await asyncio.to_thread(start_many, emulator, 61, 3)
            watches = [made.watch(each, poll_interval=0.3, age=0) for each in ids]
            looks = await asyncio.gather(*map(last_look, watches))
            assert {look.status for look in looks} == {WorkflowInstanceStatus.SUCCESS}

    asyncio.run(main())


@pytest.mark.parametrize(
    "refusal",
    [
        {"status": 403, "code": "Forbidden.RAM"},
        {"status": 200, "body": '{"Success": false, "Code": 400, "Message": "edition"}'},
    ],
    ids=["permission", "edition"],
)
def test_where_listing_is_refused_runs_are_asked_for_and_it_is_said_once(
    emulator: EmulatorProcess, refusal: dict, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with polling(emulator, 1) as made:
            ids = await asyncio.to_thread(start_many, emulator, 1, 3)
            emulator.add_fault("ListWorkflowInstance", "error", count=100, **refusal)
            lists = emulator.calls("ListWorkflowInstance")
            watches = [made.watch(each, poll_interval=0.3, age=0) for each in ids]
            looks = await asyncio.gather(*map(last_look, watches))
            assert {look.status for look in looks} == {WorkflowInstanceStatus.SUCCESS}
            assert emulator.calls("ListWorkflowInstance") == lists + 1

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert caplog.text.count("cannot be listed") == 1


def test_where_lists_lack_what_is_needed_runs_are_asked_for(emulator: EmulatorProcess) -> None:
    body = '{"Success": true, "Code": 200, "Data": {"WfInstanceInfos": [{"WorkflowId": 1}]}}'

    async def main() -> None:
        async with polling(emulator, 1) as made:
            ids = await asyncio.to_thread(start_many, emulator, 1, 2)
            emulator.add_fault("ListWorkflowInstance", "error", status=200, body=body, count=1000)
            lists = emulator.calls("ListWorkflowInstance")
            watches = [made.watch(each, poll_interval=0.2, age=0) for each in ids]
            looks = await asyncio.gather(*map(last_look, watches))
            assert {look.status for look in looks} == {WorkflowInstanceStatus.SUCCESS}
            assert emulator.calls("ListWorkflowInstance") == lists + 3

    asyncio.run(main())


def test_a_run_is_never_told_by_a_list_older_than_its_watch(emulator: EmulatorProcess) -> None:
    """A list that was asked for before a run was retried would still call it failed."""

    async def main() -> None:
        async with polling(emulator, 2) as made:
            ids = await asyncio.to_thread(start_many, emulator, 2, 3)
            await asyncio.gather(*(last_look(made.watch(each, poll_interval=0.2, age=0)) for each in ids[:2]))
            for watch in list(made._watches):
                made.unwatch(watch)
            failed = await made.look(ids[2])
            assert failed.status is WorkflowInstanceStatus.FAILED
            broken = failed.nodes[1]
            other = await asyncio.to_thread(start_many, emulator, 2, 2)
            # A slow list is on its way, and shows ids[2] as failed ...
            emulator.add_fault("ListWorkflowInstance", "delay", seconds=0.6, when="after")
            before = [made.watch(each, poll_interval=0.5, age=0) for each in other]
            await asyncio.sleep(0.4)
            # ... when it is retried and watched.
            await asyncio.to_thread(retry, emulator, broken.job_id, broken.job_instance_id)
            watch = made.watch(ids[2], poll_interval=0.5, age=0)
            assert (await last_look(watch)).status is WorkflowInstanceStatus.SUCCESS
            assert len(before) == 2

    asyncio.run(main())


def retry(emulator: EmulatorProcess, job_id: int, job_instance_id: int | None) -> None:
    settings = settings_for(emulator.endpoint)
    SyncTransport(settings).perform(calls.retry_job_instance(settings.scope, job_id, job_instance_id))


def test_a_throttling_storm_slows_down_and_ends_well(emulator: EmulatorProcess) -> None:
    async def main() -> None:
        async with polling(emulator, 1) as made:
            ids = await asyncio.to_thread(start_many, emulator, 1, 5)
            lists = emulator.calls("ListWorkflowInstance")
            emulator.add_fault("ListWorkflowInstance", "throttle", count=3, retry_after_ms=400)
            began = time.monotonic()
            watches = [made.watch(each, poll_interval=0.2, age=0) for each in ids]
            looks = await asyncio.gather(*map(last_look, watches))
            assert {look.status for look in looks} == {WorkflowInstanceStatus.SUCCESS}
            assert time.monotonic() - began >= 1.2
            assert emulator.calls("ListWorkflowInstance") - lists <= 8
            assert made._list_budget._rate < 100

    asyncio.run(main())


def test_the_budget_is_kept(emulator: EmulatorProcess) -> None:
    async def main() -> None:
        async with polling(emulator, 3, calls_per_minute=6) as made:
            ids = await asyncio.to_thread(start_many, emulator, 3, 4)
            lists, gets = emulator.calls("ListWorkflowInstance"), emulator.calls("GetWorkflowInstance")
            for each in ids:
                made.watch(each, poll_interval=0.1, age=0)
            await asyncio.sleep(3)
            assert emulator.calls("ListWorkflowInstance") - lists <= 6
            assert emulator.calls("GetWorkflowInstance") - gets <= 6

    asyncio.run(main())


def test_faults_are_told_to_everybody_and_the_poller_goes_on(emulator: EmulatorProcess) -> None:
    async def main() -> None:
        async with polling(emulator, 1) as made:
            ids = await asyncio.to_thread(start_many, emulator, 1, 2)
            emulator.add_fault("ListWorkflowInstance", "drop")
            watches = [made.watch(each, poll_interval=0.3, age=0) for each in ids]
            for watch in watches:
                assert isinstance(await watch.next(), errors.SchedulerXUnavailableError)
            await asyncio.gather(*map(last_look, watches))

    asyncio.run(main())


def test_pollers_are_shared_by_what_they_ask_for_and_leave_nothing_behind(emulator: EmulatorProcess) -> None:
    async def main() -> None:
        async with polling(emulator, 1) as one, polling(emulator, 1) as same, polling(emulator, 2) as other:
            assert one is same
            assert one is not other
            watch = one.watch(5, poll_interval=1, age=0)
            assert isinstance(await watch.next(), errors.SchedulerXNotFoundError)
        await asyncio.sleep(0.05)
        assert not poller._pollers[asyncio.get_running_loop()]
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    asyncio.run(main())
    gc.collect()


# The trigger.


def trigger(wf_instance_id: int, workflow_id: int = 1, **arguments: Any) -> WorkflowInstanceTrigger:
    return WorkflowInstanceTrigger(
        **{"workflow_id": workflow_id, "wf_instance_id": wf_instance_id, "poll_interval": 0.2, **arguments}
    )


async def fire(made: WorkflowInstanceTrigger) -> TerminalEvent:
    """Run a trigger as a triggerer does: through its serialized form; exactly one event must come."""
    path, arguments = made.serialize()
    assert path == "airflow_provider_schedulerx.triggers.schedulerx.WorkflowInstanceTrigger"
    again = WorkflowInstanceTrigger(**json.loads(json.dumps(arguments)))
    events = [event.payload async for event in again.run()]
    assert len(events) == 1
    return TerminalEvent.parse(
        json.loads(json.dumps(events[0])), workflow_id=made.workflow_id, wf_instance_id=made.wf_instance_id
    )


def test_the_trigger_fires_for_success_and_failure(hook: SchedulerXHook) -> None:
    good, bad = hook.execute_workflow(1), hook.execute_workflow(2)

    async def main() -> list[TerminalEvent]:
        return list(await asyncio.gather(fire(trigger(good)), fire(trigger(bad, 2))))

    ended = asyncio.run(main())
    assert [event.outcome for event in ended] == [Outcome.ENDED, Outcome.ENDED]
    assert [event.instance.status for event in ended if event.instance] == [4, 5]


def test_the_trigger_times_out_after_a_last_look(hook: SchedulerXHook) -> None:
    endless = hook.execute_workflow(3)
    event = asyncio.run(fire(trigger(endless, 3, deadline=time.time() + 0.7)))
    assert event.outcome is Outcome.TIMEOUT
    # Long past the deadline, as after a triggerer was away: a run that has ended still counts.
    over = hook.execute_workflow(1)
    time.sleep(1)
    event = asyncio.run(fire(trigger(over, deadline=time.time() - 100)))
    assert event.outcome is Outcome.ENDED


def test_the_trigger_ends_undecided_on_lasting_faults(
    hook: SchedulerXHook, emulator: EmulatorProcess, connect: Callable[..., None]
) -> None:
    emulator.add_fault("GetWorkflowInstance", "error", status=403, code="Forbidden.RAM")
    event = asyncio.run(fire(trigger(hook.execute_workflow(3), 3)))
    assert event.outcome is Outcome.UNDECIDED
    assert "edas:ReadSchedulerxWorkflowQuery" in event.message
    emulator.add_fault("GetWorkflowInstance", "drop", count=1000)
    event = asyncio.run(fire(trigger(hook.execute_workflow(3), 3, poll_failure_tolerance=0.5)))
    assert event.outcome is Outcome.UNDECIDED
    connect({"conn_type": "schedulerx", "extra": {"region_id": "cn-hangzhou", "network": "lan"}})
    event = asyncio.run(fire(trigger(5)))
    assert event.outcome is Outcome.UNDECIDED
    assert "network 'lan'" in event.message


def test_passing_faults_do_not_end_the_trigger(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    emulator.add_fault("GetWorkflowInstance", "drop", count=3)
    event = asyncio.run(fire(trigger(hook.execute_workflow(1))))
    assert event.outcome is Outcome.ENDED


def test_an_unknown_status_ends_it_undecided(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    body = '{"Code": 200, "Success": true, "RequestId": "R", "Data": {"WfInstanceInfo": {"Status": 42}}}'
    emulator.add_fault("GetWorkflowInstance", "error", status=200, body=body, count=1000)
    event = asyncio.run(fire(trigger(hook.execute_workflow(3), 3, poll_interval=0.02)))
    assert event.outcome is Outcome.UNDECIDED
    assert "42" in event.message


def test_its_repr_and_arguments_hold_ids_and_numbers_only(hook: SchedulerXHook) -> None:
    shown = repr(trigger(5))
    assert "emulator-secret" not in shown
    assert all(
        value is None or isinstance(value, str | int | float) for value in trigger(5).serialize()[1].values()
    )


def test_cancelling_a_trigger_stops_nothing(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    """As when a triggerer shuts down or hands its triggers over."""
    endless = hook.execute_workflow(3)

    async def main() -> None:
        task = asyncio.create_task(fire(trigger(endless, 3)))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert emulator.instances(3)[-1]["status"] == 3


def test_on_kill_stops_the_run_though_it_is_cancelled_again_and_again(
    hook: SchedulerXHook, emulator: EmulatorProcess
) -> None:
    """Airflow's triggerer cancels a trigger about every second while its on_kill runs."""
    endless = hook.execute_workflow(3)
    emulator.add_fault("StopInstance", "delay", seconds=2, count=2)

    async def main() -> None:
        task = asyncio.create_task(trigger(endless, 3).on_kill())
        for _ in range(12):
            await asyncio.sleep(0.3)
            task.cancel("__airflow_user_action__")
        await task

    asyncio.run(main())
    assert emulator.instances(3)[-1]["status"] == 5


def test_on_kill_without_cancel_leaves_the_run(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    endless = hook.execute_workflow(3)
    asyncio.run(trigger(endless, 3, cancel_on_kill=False).on_kill())
    assert emulator.instances(3)[-1]["status"] == 3
