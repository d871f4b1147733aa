"""The two HTTP servers of the emulator: the service itself, and its remote control on another port."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from aiohttp import web

from airflow_provider_schedulerx.emulator import console, definitions
from airflow_provider_schedulerx.emulator.authentication import Authenticator, GatewayError, Request
from airflow_provider_schedulerx.emulator.definitions import DefinitionError, Definitions
from airflow_provider_schedulerx.emulator.engine import Engine, Refused
from airflow_provider_schedulerx.emulator.faults import Counters, Fault, Faults, Quota, throttled
from airflow_provider_schedulerx.emulator.operations import OPERATIONS, Arguments, OperationSpec

API_VERSION = "2019-04-30"
DEFAULT_QUOTA = 100

# Documented samples of successful answers carry an error text here. Clients must not mind.
_MESSAGE_ON_SUCCESS = "Your request is denied as lack of ssl protect."


class _Dropped(Exception):
    """The connection is to be cut without an answer."""


@dataclass
class Emulator:
    """Everything that one emulator knows; its parts do the work."""

    definitions: Definitions
    engine: Engine
    authenticator: Authenticator
    quota: Quota
    faults: Faults
    counters: Counters
    verbose: bool = False

    def service(self) -> web.Application:
        """The application that plays SchedulerX, and its console."""
        app = web.Application()
        console.routes(app, self.engine)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        request = await _request(http)
        operation = request.headers.get("x-acs-action") or request.parameter("Action") or ""
        outcome = "ok"
        fault: Fault | None = None
        try:
            spec = self._admit(request, operation)
            fault = self.faults.take(operation, request.parameter("InstanceParameters"))
            if fault and fault.when == "before":
                await _apply(fault)
            status, headers, body = 200, {}, self._carry_out(spec, request, operation)
            if not body["Success"]:
                outcome = "refused"
            if fault and fault.when == "after":
                await _apply(fault)
        except GatewayError as error:
            outcome = error.code
            status, headers, body = error.status, error.headers, _gateway_body(error)
        except _Dropped:
            self._done(operation, "dropped")
            return _cut(http)
        self._done(operation, outcome)
        raw = (
            fault.body.encode()
            if fault and fault.effect == "error" and fault.body is not None
            else json.dumps(body, ensure_ascii=False).encode()
        )
        if fault and fault.effect == "truncate":
            return await _truncated(http, status, raw)
        return web.Response(
            status=status, body=raw, headers=headers, content_type="application/json", charset="utf-8"
        )

    def _admit(self, request: Request, operation: str) -> OperationSpec:
        """Everything a gateway checks before the service is asked."""
        if request.path != "/":
            raise GatewayError(404, "InvalidAction.NotFound", "Specified api is not found.")
        account = self.authenticator.authenticate(request)
        version = request.headers.get("x-acs-version") or request.parameter("Version")
        spec = OPERATIONS.get(operation)
        if spec is None:
            raise GatewayError(404, "InvalidAction.NotFound", f"Specified api is not found: {operation}.")
        if version != API_VERSION:
            raise GatewayError(400, "InvalidVersion", f"Specified parameter Version is not valid: {version}.")
        for name in spec.required:
            if not request.parameter(name):
                raise GatewayError(400, f"Missing{name}", f"{name} is mandatory for this action.")
        self.quota.use(account.access_key_id, operation)
        if spec.ram_action in account.denied or "*" in account.denied:
            raise GatewayError(
                403,
                "Forbidden.RAM",
                "User not authorized to operate on the specified resource.",
                AccessDeniedDetail={
                    "AuthAction": spec.ram_action,
                    "AuthPrincipalType": "SubUser",
                    "AuthPrincipalDisplayName": account.access_key_id,
                    "NoPermissionType": "ImplicitDeny",
                    "PolicyType": "AccountLevelIdentityBasedPolicy",
                    "EncodedDiagnosticMessage": "emulator",
                },
            )
        return spec

    def _carry_out(self, spec: OperationSpec, request: Request, operation: str) -> dict[str, Any]:
        body: dict[str, Any] = {"RequestId": _request_id()}
        try:
            data = spec.handle(Arguments(request, self.definitions, self.engine))
        except Refused as refused:
            return body | {"Code": refused.code, "Success": False, "Message": refused.message}
        body |= {"Code": 200, "Success": True, "Message": _MESSAGE_ON_SUCCESS}
        if operation == "DescribeRegions":  # the one operation without Data
            return body | {"Regions": data}
        return body | ({} if data is None else {"Data": data})

    def _done(self, operation: str, outcome: str) -> None:
        self.counters.count(operation, outcome)
        if self.verbose:
            print(f"{operation or '-'} {outcome}", file=sys.stderr, flush=True)

    def remote_control(self) -> web.Application:
        """The admin application: JSON in and out, no authentication, for tests."""
        app = web.Application(middlewares=[_bad_request])
        app.router.add_get("/counters", self._get_counters)
        app.router.add_get("/faults", self._get_faults)
        app.router.add_post("/faults", self._add_fault)
        app.router.add_delete("/faults", self._clear_faults)
        app.router.add_put("/quota", self._set_quota)
        app.router.add_post("/accounts", self._add_account)
        app.router.add_post("/workflows", self._add_workflows)
        app.router.add_get("/instances", self._get_instances)
        return app

    async def _get_counters(self, http: web.Request) -> web.Response:
        return web.json_response(
            {
                "calls": self.counters.calls,
                "outcomes": self.counters.outcomes,
                "busiest_minute": self.counters.busiest_minute,
                "starts": self.engine.starts,
            }
        )

    async def _get_faults(self, http: web.Request) -> web.Response:
        return web.json_response(self.faults.to_json())

    async def _add_fault(self, http: web.Request) -> web.Response:
        fault = Fault(**await http.json())
        if fault.operation not in ("*", *OPERATIONS):
            raise ValueError(f"operation must be * or one of {', '.join(OPERATIONS)}")
        self.faults.pending.append(fault)
        return web.json_response(asdict(fault))

    async def _clear_faults(self, http: web.Request) -> web.Response:
        self.faults.pending.clear()
        return web.json_response([])

    async def _set_quota(self, http: web.Request) -> web.Response:
        self.quota.per_minute = int((await http.json())["per_minute"])
        return web.json_response({"per_minute": self.quota.per_minute})

    async def _add_account(self, http: web.Request) -> web.Response:
        account = definitions.parse_account(await http.json())
        self.authenticator.accounts[account.access_key_id] = account
        return web.json_response({"access_key_id": account.access_key_id})

    async def _add_workflows(self, http: web.Request) -> web.Response:
        """Add or replace workflows: a body like the file's, without accounts."""
        added = definitions.parse(await http.json())
        self.definitions = replace(
            self.definitions, namespaces={**self.definitions.namespaces, **added.namespaces}
        )
        self.engine.workflows |= added.workflows
        return web.json_response(sorted(added.workflows))

    async def _get_instances(self, http: web.Request) -> web.Response:
        for workflow in self.engine.workflows.values():
            self.engine.advance(workflow)
        wanted = http.query.get("workflow_id")
        return web.json_response(
            [
                run.to_json()
                for run in self.engine.instances.values()
                if wanted in (None, str(run.workflow_id))
            ]
        )


def make_emulator(
    known: Definitions, engine: Engine, *, quota: int = DEFAULT_QUOTA, verbose: bool = False
) -> Emulator:
    return Emulator(
        definitions=known,
        engine=engine,
        authenticator=Authenticator(known.accounts),
        quota=Quota(quota),
        faults=Faults(),
        counters=Counters(),
        verbose=verbose,
    )


async def listen(
    app: web.Application, host: str, port: int, tls: ssl.SSLContext | None = None
) -> tuple[web.AppRunner, int]:
    """Serve an application. :return: its runner, and the port it listens on."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, host, port, ssl_context=tls, backlog=1024)
    await site.start()
    return runner, runner.addresses[0][1]


async def _request(http: web.Request) -> Request:
    body = await http.read()
    form: Mapping[str, str] = {}
    if http.content_type == "application/x-www-form-urlencoded":
        form = {name: str(value) for name, value in (await http.post()).items()}
    return Request(
        method=http.method,
        path=http.path,
        query=dict(http.query),
        headers={name.lower(): value for name, value in http.headers.items()},
        body=body,
        form=form,
    )


async def _apply(fault: Fault) -> None:
    if fault.seconds:
        await asyncio.sleep(fault.seconds)
    if fault.effect == "drop":
        raise _Dropped
    if fault.effect == "error":
        raise GatewayError(fault.status, fault.code, fault.message)
    if fault.effect == "throttle":
        raise throttled(fault.retry_after_ms)


def _cut(http: web.Request) -> web.StreamResponse:
    if http.transport is not None:
        http.transport.abort()
    return web.Response()


async def _truncated(http: web.Request, status: int, raw: bytes) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers={"Content-Type": "application/json"})
    response.content_length = len(raw)
    await response.prepare(http)
    await response.write(raw[: len(raw) // 2])
    return _cut(http)


def _gateway_body(error: GatewayError) -> dict[str, Any]:
    return {
        "RequestId": _request_id(),
        "HostId": "schedulerx.emulator",
        "Code": error.code,
        "Message": error.message,
        **error.body,
    }


def _request_id() -> str:
    return str(uuid.uuid4()).upper()


@web.middleware
async def _bad_request(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except (DefinitionError, ValueError, TypeError, KeyError) as error:
        return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)
