"""The remote control: what tests ask of the emulator, on a port of its own. JSON in and out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from urllib.parse import urlsplit

from aiohttp import web

from airflow_provider_schedulerx.emulator import definitions, profile, schedules
from airflow_provider_schedulerx.emulator.faults import Fault
from airflow_provider_schedulerx.emulator.operations import OPERATIONS
from airflow_provider_schedulerx.emulator.service import Emulator
from airflow_provider_schedulerx.emulator.yaml_file import DefinitionError


class RemoteControl:
    """Changes an emulator while it runs, and tells what it has counted."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def application(self) -> web.Application:
        """The application, without authentication: it is for this machine's tests."""
        app = web.Application(middlewares=[_only_local, _bad_request])
        app.router.add_get("/counters", self._get_counters)
        app.router.add_get("/faults", self._get_faults)
        app.router.add_post("/faults", self._add_fault)
        app.router.add_delete("/faults", self._clear_faults)
        app.router.add_put("/quota", self._set_quota)
        app.router.add_get("/profile", self._get_profile)
        app.router.add_put("/profile", self._set_profile)
        app.router.add_post("/accounts", self._add_account)
        app.router.add_post("/workflows", self._add_workflows)
        app.router.add_put("/schedules", self._set_schedule)
        app.router.add_get("/instances", self._get_instances)
        app.router.add_post("/instances", self._rerun)
        app.router.add_post("/reset", self._reset)
        return app

    async def _get_counters(self, http: web.Request) -> web.Response:
        counters = self._emulator.counters
        return web.json_response(
            {
                "calls": counters.calls,
                "outcomes": counters.outcomes,
                "busiest_minute": counters.busiest_minute,
                "starts": self._emulator.engine.starts,
                "job_starts": self._emulator.engine.job_starts,
            }
        )

    async def _get_faults(self, http: web.Request) -> web.Response:
        return web.json_response(self._emulator.faults.to_json())

    async def _add_fault(self, http: web.Request) -> web.Response:
        fault = Fault(**await http.json())
        if fault.operation not in ("*", *OPERATIONS):
            raise ValueError(f"operation must be * or one of {', '.join(OPERATIONS)}")
        self._emulator.faults.pending.append(fault)
        return web.json_response(asdict(fault))

    async def _clear_faults(self, http: web.Request) -> web.Response:
        self._emulator.faults.pending.clear()
        return web.json_response([])

    async def _set_quota(self, http: web.Request) -> web.Response:
        per_minute = int((await http.json())["per_minute"])
        if per_minute < 0:
            raise ValueError("per_minute must not be negative")
        self._emulator.quota.per_minute = per_minute
        return web.json_response({"per_minute": self._emulator.quota.per_minute})

    async def _get_profile(self, http: web.Request) -> web.Response:
        """What was chosen, in short, and the value of every behaviour."""
        chosen = self._emulator.profile
        return web.json_response({"profile": str(chosen), "values": dict(chosen)})

    async def _set_profile(self, http: web.Request) -> web.Response:
        self._emulator.profile = profile.parse(str((await http.json())["profile"]))
        return await self._get_profile(http)

    async def _add_account(self, http: web.Request) -> web.Response:
        account = definitions.parse_account(await http.json())
        self._emulator.authenticator.accounts[account.access_key_id] = account
        return web.json_response({"access_key_id": account.access_key_id})

    async def _add_workflows(self, http: web.Request) -> web.Response:
        """Add or replace workflows and jobs: a body like the file's, without accounts."""
        added = definitions.parse(await http.json())
        known = self._emulator.definitions
        self._emulator.definitions = replace(known, namespaces={**known.namespaces, **added.namespaces})
        self._emulator.engine.add_workflows(added.workflows.values())
        self._emulator.engine.jobs |= added.jobs
        return web.json_response(sorted([*added.workflows, *added.jobs]))

    async def _set_schedule(self, http: web.Request) -> web.Response:
        """Give a workflow another schedule, until the emulator ends or is reset."""
        wanted = await http.json()
        workflow = replace(
            self._emulator.engine.workflows[int(wanted["workflow_id"])],
            time_type=str(wanted["time_type"]),
            time_expression=str(wanted.get("time_expression", "")),
            data_offset=float(wanted.get("data_offset", 0)),
        )
        schedules.parse(workflow.time_type, workflow.time_expression)
        runs = wanted.get("runs")
        self._emulator.engine.set_schedule(workflow, None if runs is None else int(runs))
        return web.json_response({"workflow_id": workflow.workflow_id})

    async def _rerun(self, http: web.Request) -> web.Response:
        """Start a run for another time, as people do in the console."""
        wanted, engine = await http.json(), self._emulator.engine
        times = (
            None if (text := wanted.get(name)) is None else schedules.parse_time(text, engine.zone)
            for name in ("schedule_time", "data_time")
        )
        run = engine.rerun(engine.workflows[int(wanted["workflow_id"])], *times)
        return web.json_response({"wf_instance_id": run.wf_instance_id})

    async def _reset(self, http: web.Request) -> web.Response:
        self._emulator.reset()
        return await self._get_profile(http)

    async def _get_instances(self, http: web.Request) -> web.Response:
        engine = self._emulator.engine
        engine.advance_all()
        workflow_id, job_id = http.query.get("workflow_id"), http.query.get("job_id")
        return web.json_response(
            [
                run.to_json()
                for run in engine.instances.values()
                if workflow_id in (None, str(run.workflow_id)) and job_id in (None, str(run.job_id))
            ]
        )


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _only_local(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Refuse what a page in a browser may send here: nothing else protects this port.

    A page of another site names its origin, or, with a name that it lets point to this machine, has that
    name as host. And it cannot send JSON as such without asking first, which nobody answers.
    """
    host = urlsplit(f"//{request.host}").hostname
    if host not in ("127.0.0.1", "localhost", "::1"):
        reason = f"host {request.host!r} is not this machine"
    elif "Origin" in request.headers:
        reason = "pages in a browser may not call this"
    elif request.method in ("POST", "PUT") and request.content_type != "application/json":
        reason = "the content type must be application/json"
    else:
        return await handler(request)
    return web.json_response({"error": f"refused: {reason}"}, status=403)


@web.middleware
async def _bad_request(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except (DefinitionError, ValueError, TypeError, KeyError) as error:
        return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)
