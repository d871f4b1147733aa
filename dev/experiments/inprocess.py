"""The emulator inside this process: the provider's own hooks, signing and retries, without sockets.

One seam: where a transport hands a call's bytes to the network (``send`` of both transports). There the signed
request goes to the emulator as it is, and what the emulator answers comes back, after some virtual time.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_schedulerx.api.wire.async_transport import AsyncTransport
from airflow_provider_schedulerx.api.wire.calls import Call
from airflow_provider_schedulerx.api.wire.responses import Response, undecided
from airflow_provider_schedulerx.api.wire.signing import RequestSigner
from airflow_provider_schedulerx.api.wire.transport import SyncTransport
from airflow_provider_schedulerx.emulator import definitions
from airflow_provider_schedulerx.emulator.authentication import Authenticator, Request
from airflow_provider_schedulerx.emulator.connection import connection_to
from airflow_provider_schedulerx.emulator.definitions import Job, Workflow
from airflow_provider_schedulerx.emulator.engine import Engine
from airflow_provider_schedulerx.emulator.faults import Fault
from airflow_provider_schedulerx.emulator.instances import InstanceRun
from airflow_provider_schedulerx.emulator.profile import Profile
from airflow_provider_schedulerx.emulator.service import Answer, make_emulator
from dev.experiments.virtual import VirtualClock, real_time

ENDPOINT = "http://schedulerx.test"
CONN_ID = "schedulerx_default"
START = "ExecuteWorkflow"
#: Kind of run -> the operation that starts one.
STARTS = {"workflow": START, "job": "ExecuteJob"}


class LocalService:
    """An emulator with a virtual clock.

    :param known: accounts, namespaces and workflows, as in the emulator's YAML file.
    :ivar at: called with the operation and ``before``, ``after`` (it was carried out) or ``answered``.
    :ivar edit: called with the operation and the body of each answer, which it may change, for what no profile shows.
    :ivar kind: ``workflow`` or ``job``: what the task and strangers run.
    :ivar starts: how many requests to start a run the provider has made.
    :ivar own: runs that the provider has started, in their order; others were started by strangers.
    """

    def __init__(self, known: dict[str, Any], profile: Profile, clock: VirtualClock, seed: int) -> None:
        self.clock = clock
        self._known = definitions.parse(known)
        self.engine = Engine(
            self._known.workflows.values(),
            jobs=self._known.jobs.values(),
            profile=profile,
            clock=clock.time,
        )
        self.emulator = make_emulator(self._known, self.engine, clock=clock.time)
        # Requests are dated by the C library, which no patch reaches.
        self.emulator.authenticator = Authenticator(self._known.accounts, real_time)
        self.own: list[InstanceRun] = []
        self.kind = "workflow"
        self.starts = 0
        self.at: Callable[[str, str], None] = lambda operation, stage: None
        self.edit: Callable[[str, dict[str, Any]], None] | None = None
        self._chance = random.Random(seed)
        self._lock = threading.Lock()

    @property
    def start_operation(self) -> str:
        """What starts a run."""
        return STARTS[self.kind]

    def start_as_a_stranger(self, definition_id: int, parameters: str | None = None) -> InstanceRun:
        return self.start(self.definition(definition_id), parameters)

    def definition(self, definition_id: int) -> Workflow | Job:
        """The workflow or the job of an id."""
        known: Mapping[int, Workflow | Job] = (
            self.engine.jobs if self.kind == "job" else self.engine.workflows
        )
        return known[definition_id]

    def start(self, definition: Workflow | Job, parameters: str | None) -> InstanceRun:
        """Start a run without a call."""
        if isinstance(definition, Job):
            return self.engine.execute_job(definition, parameters, check_status=False)
        return self.engine.execute(definition, parameters)

    def add_fault(self, effect: str, **details: Any) -> None:
        self.emulator.faults.pending.append(Fault(self.start_operation, effect, **details))

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Let all calls of this process come here, over the Airflow connection ``schedulerx_default``."""
        connection = json.dumps(connection_to(ENDPOINT, self._known))
        service = self

        def send(transport: SyncTransport, call: Call[Any]) -> Response:
            steps = service._steps(transport, call)
            while True:
                try:
                    seconds = next(steps)
                except StopIteration as stop:
                    answer: Response = stop.value
                    return answer
                service.clock.sleep(seconds)

        async def asend(transport: AsyncTransport, call: Call[Any]) -> Response:
            steps = service._steps(transport, call)
            while True:
                try:
                    seconds = next(steps)
                except StopIteration as stop:
                    answer: Response = stop.value
                    return answer
                await asyncio.sleep(seconds)

        with (
            mock.patch.object(SyncTransport, "send", send),
            mock.patch.object(AsyncTransport, "send", asend),
            mock.patch.dict(os.environ, {f"AIRFLOW_CONN_{CONN_ID.upper()}": connection}),
            self.clock.in_force(),
        ):
            yield

    def _steps(
        self, transport: SyncTransport | AsyncTransport, call: Call[Any]
    ) -> Generator[float, None, Response]:
        settings = transport._settings
        credential = settings.credential_client().get_credential()
        signed = RequestSigner(settings.endpoint).sign(call, credential)
        url = urlsplit(f"{settings.endpoint}{call.target}")
        request = Request(
            signed.method,
            url.path,
            dict(parse_qsl(url.query, keep_blank_values=True)),
            {name.lower(): value for name, value in signed.headers.items()},
            b"",
            {},
        )
        name = call.operation.name
        self.starts += name == self.start_operation
        self.at(name, "before")
        yield self._chance.uniform(0.01, 0.2)
        answer = yield from self._handle(request, name)
        self.at(name, "after")
        yield self._chance.uniform(0.01, 0.2)
        if answer.sent is not None:
            raise undecided(call.operation, f"no answer from {settings.endpoint}: the connection was cut")
        self.at(name, "answered")
        return Response(answer.status, dict(answer.headers), self._edited(name, answer.body))

    def _edited(self, operation: str, body: bytes) -> bytes:
        if self.edit is None:
            return body
        edited = json.loads(body)
        self.edit(operation, edited)
        return json.dumps(edited).encode()

    def _handle(self, request: Request, operation: str) -> Generator[float, None, Answer]:
        steps = self.emulator.handle(request)
        while True:
            with self._lock:  # calls may come from several threads
                before = set(self.engine.instances)
                try:
                    seconds = next(steps)
                except StopIteration as stop:
                    answer: Answer = stop.value
                    return answer
                finally:
                    if operation == self.start_operation:
                        runs = self.engine.instances.items()
                        self.own += [run for run_id, run in runs if run_id not in before]
            yield seconds
