"""Triggers for benchmarks.triggerer: one measures the event loop that it runs in, one is the usual design."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
from airflow.triggers.base import BaseTrigger, TriggerEvent

BEAT = 0.01


class LagProbe(BaseTrigger):
    """Sleeps for a moment again and again, and writes down how much too late it woke up.

    When it begins to, after ``warm_up`` seconds, it makes a file ``FILE.began``.
    """

    def __init__(self, file: str, warm_up: float, seconds: float) -> None:
        super().__init__()
        self.file, self.warm_up, self.seconds = file, warm_up, seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "benchmarks.probe.LagProbe", {
            "file": self.file,
            "warm_up": self.warm_up,
            "seconds": self.seconds,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(self.warm_up)
        await asyncio.to_thread(Path(f"{self.file}.began").touch)
        lags = []
        cpu = time.process_time()
        began = time.monotonic()
        while time.monotonic() - began < self.seconds:
            before = time.monotonic()
            await asyncio.sleep(BEAT)
            lags.append(time.monotonic() - before - BEAT)
        # Of the process that runs all triggers.
        result = {
            "lags": lags,
            "cpu": (time.process_time() - cpu) / (time.monotonic() - began),
            "memory": psutil.Process().memory_info().rss,
        }
        await asyncio.to_thread(Path(self.file).write_text, json.dumps(result))
        yield TriggerEvent({})


class SdkTrigger(BaseTrigger):
    """The usual design: every trigger asks for its own run, with the official SDK's asynchronous call."""

    def __init__(
        self, endpoint: str, ca: str, workflow_id: int, wf_instance_id: int, poll_interval: float
    ) -> None:
        super().__init__()
        self.arguments = {
            "endpoint": endpoint,
            "ca": ca,
            "workflow_id": workflow_id,
            "wf_instance_id": wf_instance_id,
            "poll_interval": poll_interval,
        }

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "benchmarks.probe.SdkTrigger", self.arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from alibabacloud_schedulerx220190430 import models as sdk
        from alibabacloud_schedulerx220190430.client import Client
        from alibabacloud_tea_openapi.utils_models import Config

        from airflow_provider_schedulerx.emulator.definitions import DEFAULT_GROUP, DEFAULT_NAMESPACE

        it = self.arguments
        client = Client(
            Config(
                access_key_id="emulator",
                access_key_secret="emulator-secret",
                endpoint=str(it["endpoint"]).removeprefix("https://"),
                region_id="cn-hangzhou",
                ca=it["ca"],
            )
        )
        request = sdk.GetWorkflowInstanceRequest(
            region_id="cn-hangzhou",
            namespace=DEFAULT_NAMESPACE,
            group_id=DEFAULT_GROUP,
            workflow_id=it["workflow_id"],
            wf_instance_id=it["wf_instance_id"],
        )
        while True:
            try:
                body = (await client.get_workflow_instance_async(request)).body
            except Exception as error:
                self.log.warning("%s", error)
            else:
                if body.data.wf_instance_info.status in (4, 5):
                    yield TriggerEvent({"status": body.data.wf_instance_info.status})
                    return
            await asyncio.sleep(float(str(it["poll_interval"])))
