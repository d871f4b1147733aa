"""A service inside the process, in the event loop's time, that does what a test or benchmark tells it to.

It answers the calls of polling and stopping. Runs follow a script; lists can be short, late, wrong or refused; a
quota throttles; any call can be given a fault.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Self, TypeVar

from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
from airflow_provider_schedulerx.api.exceptions import SchedulerXThrottledError, SchedulerXUnavailableError
from airflow_provider_schedulerx.api.models import MalformedAnswerError
from airflow_provider_schedulerx.api.wire.calls import Call

T = TypeVar("T")

LIST, GET, STOP = "ListWorkflowInstance", "GetWorkflowInstance", "StopInstance"
RUNNING, SUCCESS, FAILED = 3, 4, 5


@dataclass
class Run:
    """:ivar script: (time, status), in order of time; the status holds from then on."""

    wf_instance_id: int
    workflow_id: int
    script: list[tuple[float, int]]

    def status(self, at: float) -> int:
        found = self.script[0][1]
        for since, status in self.script:
            if since <= at:
                found = status
        return found

    @property
    def ends_at(self) -> float:
        return next((since for since, status in self.script if status in (SUCCESS, FAILED)), float("inf"))


@dataclass
class ScriptedService:
    """:ivar list_size: runs that a list shows, the newest first.

    :ivar list_lag: seconds by which a list is late.
    :ivar unlisted: ids that a list never shows.
    :ivar quota: calls a minute and operation, counted over any 60 seconds; None is unlimited.
    :ivar faults: called with each call before it is answered; what they raise is the answer, and what they return,
        unless None, is the ``Data``.
    """

    list_size: int = 300
    list_lag: float = 0.0
    latency: float = 0.05
    quota: int | None = None
    runs: dict[int, Run] = field(default_factory=dict)
    unlisted: set[int] = field(default_factory=set)
    faults: list[Callable[[Call[Any]], Any]] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    throttled: Counter[str] = field(default_factory=Counter)
    times: dict[str, list[float]] = field(default_factory=dict)
    sent: list[tuple[float, Call[Any]]] = field(default_factory=list)
    _accepted: dict[str, deque[float]] = field(default_factory=dict)
    _by_workflow: dict[int, list[Run]] = field(default_factory=dict)

    def start(self, workflow_id: int, *script: tuple[float, int]) -> int:
        """Start a run. :return: its id. :param script: from RUNNING now on."""
        now = asyncio.get_running_loop().time()
        wf_instance_id = 1000 + len(self.runs)
        run = Run(wf_instance_id, workflow_id, [(now, RUNNING), *script])
        self.runs[wf_instance_id] = run
        self._by_workflow.setdefault(workflow_id, []).append(run)
        return wf_instance_id

    def use_up_quota(self) -> None:
        """As if others had just used all of it."""
        now = asyncio.get_running_loop().time()
        for operation in (LIST, GET, STOP):
            self._accepted[operation] = deque([now] * (self.quota or 0))

    async def perform(self, call: Call[T]) -> T:
        now = asyncio.get_running_loop().time()
        name = call.operation.name
        self.calls[name] += 1
        self.times.setdefault(name, []).append(now)
        self.sent.append((now, call))
        await asyncio.sleep(self.latency)
        for fault in list(self.faults):
            if (data := fault(call)) is not None:
                return self._parsed(call, data)
        self._count(name)
        return self._parsed(call, self._data(name, call.query))

    def most_in_a_minute(self, operation: str) -> int:
        """The most calls of an operation in any 60 seconds."""
        times, most, first = self.times.get(operation, []), 0, 0
        for last, at in enumerate(times):
            while times[first] <= at - 60:
                first += 1
            most = max(most, last - first + 1)
        return most

    @staticmethod
    def _parsed(call: Call[T], data: Any) -> T:
        try:
            return call.parse({"Success": True, "Data": data})
        except MalformedAnswerError as error:  # as api.wire does
            raise SchedulerXUnavailableError(str(error), operation=call.operation.name) from None

    def _count(self, name: str) -> None:
        if self.quota is None:
            return
        now = asyncio.get_running_loop().time()
        accepted = self._accepted.setdefault(name, deque())
        while accepted and accepted[0] <= now - 60:
            accepted.popleft()
        if len(accepted) >= self.quota:
            self.throttled[name] += 1
            raise SchedulerXThrottledError("the quota is used up", operation=name, code="Throttling.User")
        accepted.append(now)

    def _data(self, name: str, query: Mapping[str, str]) -> Any:
        now = asyncio.get_running_loop().time()
        if name == STOP:
            run = self.runs[int(query["JobId"])]
            run.script.append((now, FAILED))
            return {}
        if name == LIST:
            at = now - self.list_lag
            known = self._by_workflow.get(int(query["WorkflowId"]), [])
            shown: list[dict[str, Any]] = []
            for run in reversed(known):
                if len(shown) == self.list_size:
                    break
                if run.wf_instance_id not in self.unlisted:
                    shown.append(
                        {
                            "WfInstanceId": run.wf_instance_id,
                            "WorkflowId": run.workflow_id,
                            "Status": run.status(at),
                        }
                    )
            return {"WfInstanceInfos": shown}
        run = self.runs[int(query["WfInstanceId"])]
        status = run.status(now)
        # The job of a node is named like its run, so that a stop finds it.
        node = {"JobId": run.wf_instance_id, "JobInstanceId": run.wf_instance_id, "Status": status}
        return {"WfInstanceInfo": {"Status": status}, "WfInstanceDag": {"Nodes": [node], "Edges": []}}


def settings_of(access_key_id: str = "k", **extra: Any) -> SchedulerXSettings:
    """Settings of a connection for an account of its own."""
    place = {"region_id": "cn-hangzhou", "namespace": "n", "group_id": "g"}
    return SchedulerXSettings.from_connection(login=access_key_id, password="s", extra={**place, **extra})


@contextlib.contextmanager
def instead_of_the_network(
    module: ModuleType, service_of: Callable[[SchedulerXSettings], Any]
) -> Iterator[None]:
    """Have the calls of a poller's module carried out by a service in this process.

    :param service_of: gives the service for a connection.
    """

    class Transport:
        opened = 0

        def __init__(self, settings: SchedulerXSettings, *arguments: Any, **keywords: Any) -> None:
            self._service = service_of(settings)

        async def __aenter__(self) -> Self:
            Transport.opened += 1
            return self

        async def __aexit__(self, *exception: object) -> None:
            Transport.opened -= 1

        async def perform(self, call: Call[T]) -> T:
            result: T = await self._service.perform(call)
            return result

    real = module.AsyncTransport
    module.AsyncTransport = Transport  # type: ignore[attr-defined]
    try:
        yield
        assert Transport.opened == 0, "a session is left open"
    finally:
        module.AsyncTransport = real  # type: ignore[attr-defined]
