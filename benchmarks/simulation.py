"""Hours in seconds: an event loop whose clock jumps to the next timer, and a service inside the process.

The poller, its budgets and intervals are the real ones; only the network is replaced, by the
emulator's own engine and handlers.
"""

from __future__ import annotations

import asyncio
import random
import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypeVar

from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
from airflow_provider_schedulerx.api.models import WorkflowInstance
from airflow_provider_schedulerx.api.polling import poller
from airflow_provider_schedulerx.api.polling.poller import shared_poller
from airflow_provider_schedulerx.api.runs.kinds import WORKFLOW_RUNS
from airflow_provider_schedulerx.api.wire.calls import Call
from airflow_provider_schedulerx.emulator import definitions, profile
from airflow_provider_schedulerx.emulator.arguments import Arguments
from airflow_provider_schedulerx.emulator.authentication import Request
from airflow_provider_schedulerx.emulator.engine import Engine
from airflow_provider_schedulerx.emulator.operations import OPERATIONS
from dev.harness.virtual_time import run_simulated

__all__ = ["run_simulated"]

T = TypeVar("T")

#: How the emulator's engine is to behave: how many runs the service lists is not documented.
PROFILE = profile.parse("list_length=300")
#: Seconds that a call takes.
LATENCY = 0.05


@dataclass
class Service:
    """The emulator's engine in simulated time; counts calls by operation and minute."""

    durations: list[list[float]]
    calls: Counter[str] = field(default_factory=Counter)
    times: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start a run for each duration (seconds), in as many workflows as there are lists. One in ten fails."""
        loop = asyncio.get_running_loop()
        nodes = [{"name": "only", "duration": 1, "outcome": ["success", "failed"]}]
        self.definitions = definitions.parse(
            {
                "namespaces": [{"id": "n", "groups": ["g"]}],
                "workflows": [
                    {"id": number, "namespace": "n", "group": "g", "max_concurrency": 10**6, "nodes": nodes}
                    for number in range(1, len(self.durations) + 1)
                ],
            }
        )
        self.engine = Engine(self.definitions.workflows.values(), profile=PROFILE, clock=loop.time)
        self.ends: dict[int, float] = {}
        self.workflow_of: dict[int, int] = {}
        for workflow_id, durations in enumerate(self.durations, 1):
            workflow = self.engine.workflows[workflow_id]
            for number, duration in enumerate(durations):
                run = self.engine.execute(workflow, None)
                assert run is not None
                # The engine plans the end of a node when it starts it: give each run an end of its own.
                (node,) = run.nodes.values()
                node.ends = self.ends[run.wf_instance_id] = loop.time() + duration
                node.attempt = 1 if number % 10 == 0 else 0  # the second attempt is the one that fails
                self.workflow_of[run.wf_instance_id] = workflow_id
            self.engine._look_again(workflow.key)

    def perform(self, call: Call[T]) -> T:
        name = call.operation.name
        self.calls[name] += 1
        self.times.setdefault(name, []).append(asyncio.get_running_loop().time())
        request = Request(call.operation.method, "/", call.query, {}, b"", {})
        data = OPERATIONS[name].handle(Arguments(request, self.definitions, self.engine))
        return call.parse({"Success": True, "Data": data})

    def busiest_minute(self) -> int:
        """The most calls of one operation in any 60 seconds."""
        busiest = 0
        for times in self.times.values():
            start = 0
            for end, at in enumerate(times):
                while times[start] <= at - 60:
                    start += 1
                busiest = max(busiest, end - start + 1)
        return busiest


def settings_of(access_key_id: str, calls_per_minute: int | None = None) -> SchedulerXSettings:
    place = {"region_id": "cn-hangzhou", "namespace": "n", "group_id": "g"}
    return SchedulerXSettings.from_connection(
        login=access_key_id, password="s", extra={**place, "calls_per_minute": calls_per_minute}
    )


SETTINGS = settings_of("k")


@dataclass
class Result:
    """:ivar delays: seconds between the end of a run and its being noticed."""

    calls: Counter[str]
    busiest_minute: int
    delays: list[float]

    @property
    def total(self) -> int:
        return sum(self.calls.values())

    @property
    def median_delay(self) -> float:
        return statistics.median(self.delays)

    @property
    def p95_delay(self) -> float:
        return statistics.quantiles(self.delays, n=20)[-1]


async def follow_with_poller(service: Service, poll_interval: float) -> Result:
    """All runs, each as one trigger would follow it, over the shared pollers of one triggerer."""
    (result,) = await follow_across([service], [[SETTINGS]], poll_interval)
    return result


async def follow_across(
    services: list[Service], triggerers: list[list[SchedulerXSettings]], poll_interval: float
) -> list[Result]:
    """All runs of several accounts, over the pollers of several triggerers, among which they are dealt out.

    :param triggerers: of each account, one settings for each triggerer that its runs wait in. Different ones have
        different access keys here, and so pollers and budgets of their own, as different processes have.
    """
    served = {
        settings.identity: service
        for service, of_account in zip(services, triggerers, strict=True)
        for settings in of_account
    }

    class Transport:
        def __init__(self, settings: SchedulerXSettings, **keywords: Any) -> None:
            self._service = served[settings.identity]

        async def __aenter__(self) -> Transport:
            return self

        async def __aexit__(self, *exception: object) -> None:
            pass

        async def perform(self, call: Call[T]) -> T:
            await asyncio.sleep(LATENCY)
            return self._service.perform(call)

    real, poller.AsyncTransport = poller.AsyncTransport, Transport  # type: ignore[misc,assignment]
    loop = asyncio.get_running_loop()
    delays: list[list[float]] = [[] for _ in services]

    async def follow(account: int, settings: SchedulerXSettings, wf_instance_id: int) -> None:
        service = services[account]
        async with shared_poller(settings, WORKFLOW_RUNS, service.workflow_of[wf_instance_id]) as shared:
            subscription = shared.subscribe(wf_instance_id, poll_interval=poll_interval, age=0)
            while True:
                seen = await subscription.next()
                if isinstance(seen, WorkflowInstance) and seen.status.is_terminal:
                    delays[account].append(loop.time() - service.ends[wf_instance_id])
                    shared.unsubscribe(subscription)
                    return

    try:
        await asyncio.gather(
            *(
                follow(account, triggerers[account][number % len(triggerers[account])], wf_instance_id)
                for account, service in enumerate(services)
                for number, wf_instance_id in enumerate(service.ends)
            )
        )
    finally:
        poller.AsyncTransport = real  # type: ignore[misc]
    return [
        Result(service.calls, service.busiest_minute(), found)
        for service, found in zip(services, delays, strict=True)
    ]


async def follow_one_by_one(service: Service, interval: float) -> Result:
    """The usual design: one GetWorkflowInstance per run and interval, without any quota."""
    from airflow_provider_schedulerx.api.wire import calls

    loop = asyncio.get_running_loop()
    delays: list[float] = []
    rng = random.Random(3)

    async def follow(wf_instance_id: int) -> None:
        await asyncio.sleep(rng.uniform(0, interval))
        call = calls.get_workflow_instance(
            SETTINGS.scope, service.workflow_of[wf_instance_id], wf_instance_id
        )
        while True:
            await asyncio.sleep(LATENCY)
            if service.perform(call).status.is_terminal:
                delays.append(loop.time() - service.ends[wf_instance_id])
                return
            await asyncio.sleep(interval)

    await asyncio.gather(*map(follow, service.ends))
    return Result(service.calls, service.busiest_minute(), delays)
