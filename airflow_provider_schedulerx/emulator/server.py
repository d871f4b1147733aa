"""Puts the emulator on sockets: the service with its console, over HTTP."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from urllib.parse import parse_qsl

from aiohttp import web

from airflow_provider_schedulerx.emulator import console
from airflow_provider_schedulerx.emulator.authentication import Request
from airflow_provider_schedulerx.emulator.service import Answer, Emulator


def service(emulator: Emulator) -> web.Application:
    """The application that plays SchedulerX, and its console."""

    async def serve(http: web.Request) -> web.StreamResponse:
        steps = emulator.handle(await read_request(http))
        while True:
            try:
                seconds = next(steps)
            except StopIteration as stop:
                return await _response(http, stop.value)
            await asyncio.sleep(seconds)

    app = web.Application()
    console.routes(app, emulator.engine)
    app.router.add_route("*", "/{path:.*}", serve)
    return app


async def listen(
    app: web.Application, host: str, port: int, tls: ssl.SSLContext | None = None
) -> tuple[web.AppRunner, int]:
    """Serve an application.

    :return: its runner, and the port it listens on.
    """
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, host, port, ssl_context=tls, backlog=1024)
    await site.start()
    return runner, runner.addresses[0][1]


async def read_request(http: web.Request) -> Request:
    body = await http.read()
    form: Mapping[str, str] = {}
    if http.content_type == "application/x-www-form-urlencoded":
        # By hand: what is no UTF-8 shall end in a wrong signature, not in an error of ours.
        form = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True, errors="replace"))
    return Request(
        method=http.method,
        path=http.path,
        query=dict(http.query),
        headers={name.lower(): value for name, value in http.headers.items()},
        body=body,
        form=form,
    )


async def _response(http: web.Request, answer: Answer) -> web.StreamResponse:
    if answer.sent == -1:
        return _cut(http)
    response = web.StreamResponse(
        status=answer.status, headers={"Content-Type": "application/json; charset=utf-8", **answer.headers}
    )
    response.content_length = len(answer.body)
    try:
        await response.prepare(http)
        await response.write(answer.body[: answer.sent])
    except ConnectionError:  # nobody waits for the answer any more
        return _cut(http)
    return response if answer.sent is None else _cut(http)


def _cut(http: web.Request) -> web.StreamResponse:
    if http.transport is not None:
        http.transport.abort()
    return web.Response()
