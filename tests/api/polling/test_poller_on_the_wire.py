"""The poller over real sockets, against the emulator."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from airflow_provider_schedulerx.api import exceptions as errors
from airflow_provider_schedulerx.api.models import WorkflowInstance, WorkflowInstanceStatus
from airflow_provider_schedulerx.api.polling import poller
from airflow_provider_schedulerx.api.polling.poller import RunPoller, Subscription, shared_poller
from airflow_provider_schedulerx.api.runs.kinds import WORKFLOW_RUNS
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.api.wire.transport import SyncTransport
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from tests.test_async import settings_for


@asynccontextmanager
async def polling(emulator: EmulatorProcess, workflow_id: int, **extra: Any) -> AsyncIterator[RunPoller]:
    async with shared_poller(
        settings_for(emulator.endpoint, read_timeout=5, **extra), WORKFLOW_RUNS, workflow_id
    ) as made:
        yield made


async def ended(subscription: Subscription, timeout: float = 20) -> WorkflowInstance:
    async with asyncio.timeout(timeout):
        while True:
            seen = await subscription.next()
            if isinstance(seen, WorkflowInstance) and seen.status.is_terminal:
                return seen


def start_many(emulator: EmulatorProcess, workflow_id: int, count: int) -> list[int]:
    settings = settings_for(emulator.endpoint)
    transport = SyncTransport(settings)
    return [
        transport.perform(calls.execute_workflow(settings.scope, workflow_id)).wf_instance_id
        for _ in range(count)
    ]


def test_many_runs_are_followed_by_one_list(emulator: EmulatorProcess) -> None:
    async def main() -> None:
        emulator.set_profile("list_length=300")
        async with polling(emulator, 1) as made:
            ids = await asyncio.to_thread(start_many, emulator, 1, 60)
            lists, gets = emulator.calls("ListWorkflowInstance"), emulator.calls("GetWorkflowInstance")
            began = time.monotonic()
            waits = [made.subscribe(each, poll_interval=1, age=0) for each in ids]
            seen = await asyncio.gather(*map(ended, waits))
            assert {each.status for each in seen} == {WorkflowInstanceStatus.SUCCESS}
            assert [each.wf_instance_id for each in seen] == ids
            # One for all in each interval, however long a busy machine takes.
            intervals = (time.monotonic() - began) / 0.8
            assert emulator.calls("ListWorkflowInstance") - lists <= 2 + intervals
            # The nodes of a few, from what the budget has to spare.
            assert emulator.calls("GetWorkflowInstance") - gets <= 22

    asyncio.run(main())


def test_a_failed_run_is_reported_with_its_nodes(emulator: EmulatorProcess) -> None:
    async def main() -> None:
        async with polling(emulator, 2) as made:
            ids = await asyncio.to_thread(start_many, emulator, 2, 3)
            waits = [made.subscribe(each, poll_interval=1, age=0) for each in ids]
            for seen in await asyncio.gather(*map(ended, waits)):
                assert seen.status is WorkflowInstanceStatus.FAILED
                assert [node.job_name for node in seen.nodes if node.status.is_bad] == ["breaks"]

    asyncio.run(main())


def test_the_nodes_of_a_failed_run_are_asked_for_once(emulator: EmulatorProcess) -> None:
    async def main() -> None:
        async with polling(emulator, 2) as made:
            ids = await asyncio.to_thread(start_many, emulator, 2, 3)
            await asyncio.sleep(0.5)
            # While the nodes are on their way, the runs are listed again because of another one.
            other = await asyncio.to_thread(start_many, emulator, 2, 1)
            gets = emulator.calls("GetWorkflowInstance")
            emulator.add_fault("GetWorkflowInstance", "delay", seconds=0.4, count=3)
            waits = [
                made.subscribe(each, poll_interval=0.3 if each in other else 5, age=0) for each in ids + other
            ]
            await asyncio.gather(*map(ended, waits))
            # But for a sample of those that still run.
            assert emulator.calls("GetWorkflowInstance") - gets in (4, 5)

    asyncio.run(main())


def test_rather_without_nodes_than_late(emulator: EmulatorProcess) -> None:
    async def main() -> None:
        async with polling(emulator, 2) as made:
            ids = await asyncio.to_thread(start_many, emulator, 2, 2)
            emulator.add_fault("GetWorkflowInstance", "error", status=500, count=100)
            waits = [made.subscribe(each, poll_interval=1, age=0) for each in ids]
            for seen in await asyncio.gather(*map(ended, waits)):
                assert seen.status is WorkflowInstanceStatus.FAILED
                assert seen.nodes == ()

    asyncio.run(main())


def test_the_only_run_of_a_workflow_is_asked_for_itself(emulator: EmulatorProcess) -> None:
    async def main() -> None:
        async with polling(emulator, 1) as made:
            (only,) = await asyncio.to_thread(start_many, emulator, 1, 1)
            lists = emulator.calls("ListWorkflowInstance")
            seen = await ended(made.subscribe(only, poll_interval=2, age=0))
            assert len(seen.nodes) == 4
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
            waits = [made.subscribe(each, poll_interval=0.3, age=0) for each in ids]
            seen = await asyncio.gather(*map(ended, waits))
            assert {each.status for each in seen} == {WorkflowInstanceStatus.SUCCESS}

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
            waits = [made.subscribe(each, poll_interval=0.3, age=0) for each in ids]
            seen = await asyncio.gather(*map(ended, waits))
            assert {each.status for each in seen} == {WorkflowInstanceStatus.SUCCESS}
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
            waits = [made.subscribe(each, poll_interval=0.2, age=0) for each in ids]
            seen = await asyncio.gather(*map(ended, waits))
            assert {each.status for each in seen} == {WorkflowInstanceStatus.SUCCESS}
            assert emulator.calls("ListWorkflowInstance") == lists + 3

    asyncio.run(main())


def test_a_run_is_never_told_by_a_list_older_than_its_wait(emulator: EmulatorProcess) -> None:
    """A list that was asked for before a run was retried would still call it failed."""

    async def main() -> None:
        async with polling(emulator, 2) as made:
            ids = await asyncio.to_thread(start_many, emulator, 2, 3)
            await asyncio.gather(*(ended(made.subscribe(each, poll_interval=0.2, age=0)) for each in ids[:2]))
            failed = await made.poll(ids[2])
            assert failed.status is WorkflowInstanceStatus.FAILED
            broken = failed.nodes[1]
            other = await asyncio.to_thread(start_many, emulator, 2, 2)
            # A slow list is on its way, and shows ids[2] as failed ...
            emulator.add_fault("ListWorkflowInstance", "delay", seconds=0.6, when="after")
            before = [made.subscribe(each, poll_interval=0.5, age=0) for each in other]
            await asyncio.sleep(0.4)
            # ... when it is retried and waited.
            await asyncio.to_thread(retry, emulator, broken.job_id, broken.job_instance_id)
            wait = made.subscribe(ids[2], poll_interval=0.5, age=0)
            assert (await ended(wait)).status is WorkflowInstanceStatus.SUCCESS
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
            waits = [made.subscribe(each, poll_interval=0.2, age=0) for each in ids]
            seen = await asyncio.gather(*map(ended, waits))
            assert {each.status for each in seen} == {WorkflowInstanceStatus.SUCCESS}
            assert time.monotonic() - began >= 1.2
            assert emulator.calls("ListWorkflowInstance") - lists <= 8
            assert made._budget.of("ListWorkflowInstance").rate < 100

    asyncio.run(main())


def test_the_budget_is_kept(emulator: EmulatorProcess) -> None:
    async def main() -> None:
        async with polling(emulator, 3, calls_per_minute=6) as made:
            ids = await asyncio.to_thread(start_many, emulator, 3, 4)
            lists, gets = emulator.calls("ListWorkflowInstance"), emulator.calls("GetWorkflowInstance")
            for each in ids:
                made.subscribe(each, poll_interval=0.1, age=0)
            await asyncio.sleep(3)
            assert emulator.calls("ListWorkflowInstance") - lists <= 6
            assert emulator.calls("GetWorkflowInstance") - gets <= 6

    asyncio.run(main())


def test_faults_are_told_to_everybody_and_the_poller_goes_on(emulator: EmulatorProcess) -> None:
    async def main() -> None:
        async with polling(emulator, 1) as made:
            ids = await asyncio.to_thread(start_many, emulator, 1, 2)
            emulator.add_fault("ListWorkflowInstance", "drop")
            waits = [made.subscribe(each, poll_interval=0.3, age=0) for each in ids]
            for wait in waits:
                assert isinstance(await wait.next(), errors.SchedulerXUnavailableError)
            await asyncio.gather(*map(ended, waits))

    asyncio.run(main())


def test_pollers_are_shared_by_what_they_ask_for_and_leave_nothing_behind(emulator: EmulatorProcess) -> None:
    async def main() -> None:
        async with polling(emulator, 1) as one, polling(emulator, 1) as same, polling(emulator, 2) as other:
            assert one is same
            assert one is not other
            wait = one.subscribe(5, poll_interval=1, age=0)
            assert isinstance(await wait.next(), errors.SchedulerXNotFoundError)
        await asyncio.sleep(0.05)
        assert not poller._pollers[asyncio.get_running_loop()]
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    asyncio.run(main())
    gc.collect()
