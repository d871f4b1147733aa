"""CPU of one poll over TLS: in the poller, through the hook alone, the official SDK's, and a bare pooled aiohttp GET.

All four ask the same local TLS server, in a process of its own, for the same bytes. Only this
process's CPU counts; the four take turns, each for some hundredths of a second, so that what else the machine does
slows them all down, and the median of the rounds is shown, also of the ratios in a round. "In the poller" is a call that is
encoded once and made by a transport that stays open; "through the hook" is `hook.aget_workflow_instance`, which
checks its arguments, opens a transport and repeats after faults.

    python -m benchmarks.cpu_per_poll
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import ssl
import statistics
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any

import aiohttp
from aiohttp import web
from alibabacloud_schedulerx220190430 import models as sdk
from alibabacloud_schedulerx220190430.client import Client as SdkClient
from alibabacloud_tea_openapi.utils_models import Config

from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.api.wire.async_transport import AsyncTransport
from airflow_provider_schedulerx.emulator.tls import make_certificate
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook

ROUNDS, POLLS, SDK_POLLS = 100, 60, 3
MOST_OF_BARE, LEAST_OF_SDK = 1.6, 60

NODES = [
    {
        "JobId": 1000 + number,
        "JobInstanceId": 36508287844 + number,
        "JobName": f"job-{number}",
        "Status": 3,
        "Attempt": 0,
        "StartTime": "2023-01-03 18:00:01",
        "ScheduleTime": "2023-01-03 18:00:00",
        "WorkAddr": "10.0.0.1:34567",
        "Result": "",
    }
    for number in range(3)
]
BODY = json.dumps(
    {
        "Code": 200,
        "Success": True,
        "Message": "",
        "RequestId": "4F68ABED-AC31-4412-9297-D9A8F0401108",
        "Data": {
            "WfInstanceInfo": {"Status": 3, "StartTime": "2023-01-03 18:00:01"},
            "WfInstanceDag": {"Nodes": NODES, "Edges": [{"Source": 0, "Target": 1000}]},
        },
    }
).encode()


def serve(chain_file: str, ready: Connection) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=BODY, content_type="application/json")

    async def main() -> None:
        app = web.Application()
        app.router.add_route("*", "/", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(chain_file)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        ready.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(main())


async def cpu(poll: Callable[[], Awaitable[object]], count: int) -> float:
    """Seconds of CPU per poll."""
    began = time.process_time()
    for _ in range(count):
        await poll()
    return (time.process_time() - began) / count


async def measure(port: int, ca_file: str) -> dict[str, list[float]]:
    """Seconds of CPU per poll, by what makes it, in each round."""
    authority = f"127.0.0.1:{port}"
    extra = {"region_id": "cn-hangzhou", "namespace": "n", "group_id": "g", "ca_file": ca_file}
    connection: dict[str, Any] = {
        "login": "key",
        "password": "secret",
        "host": f"https://{authority}",
        "extra": extra,
    }
    settings = SchedulerXSettings.from_connection(**connection)
    os.environ["AIRFLOW_CONN_SCHEDULERX_DEFAULT"] = json.dumps({"conn_type": "schedulerx", **connection})
    hook = SchedulerXHook()
    client = SdkClient(
        Config(
            access_key_id="key",
            access_key_secret="secret",
            endpoint=authority,
            region_id="cn-hangzhou",
            ca=ca_file,
        )
    )
    scope = {"region_id": "cn-hangzhou", "namespace": "n", "group_id": "g"}
    call = calls.get_workflow_instance(settings.scope, 1, 2)
    tls = ssl.create_default_context(cafile=ca_file)
    async with (
        AsyncTransport(settings, max_retry_seconds=0) as transport,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session,
    ):

        async def bare() -> bytes:
            async with session.get(f"https://{authority}{call.target}") as response:
                return await response.read()

        async def official() -> object:
            request = sdk.GetWorkflowInstanceRequest(**scope, workflow_id=1, wf_instance_id=2)
            return await client.get_workflow_instance_async(request)

        polls = {
            "in the poller": (lambda: transport.perform(call), POLLS),
            "through the hook": (lambda: hook.aget_workflow_instance(1, 2), POLLS),
            "bare aiohttp GET": (bare, POLLS),
            "official SDK": (official, SDK_POLLS),
        }
        for poll, _ in polls.values():
            await cpu(poll, 3)
        rounds: dict[str, list[float]] = {name: [] for name in polls}
        for _ in range(ROUNDS):
            for name, (poll, count) in polls.items():
                rounds[name].append(await cpu(poll, count))
        return rounds


def main() -> None:
    certificate = make_certificate("127.0.0.1")
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(str(certificate.chain_file), theirs), daemon=True)
    server.start()
    result = asyncio.run(measure(ours.recv(), str(certificate.ca_file)))
    server.terminate()
    for name, rounds in result.items():
        print(f"{name:18} {statistics.median(rounds) * 1000:8.3f} ms of CPU per poll")

    def ratio(of: str, to: str) -> float:
        return statistics.median(one / other for one, other in zip(result[of], result[to], strict=True))

    for name in ("in the poller", "through the hook"):
        print(
            f"{name}: {ratio(name, 'bare aiohttp GET'):.2f} times a bare GET (target: at most {MOST_OF_BARE}), "
            f"{ratio('official SDK', name):.0f} times less than the official SDK (target: at least {LEAST_OF_SDK})"
        )


if __name__ == "__main__":
    main()
