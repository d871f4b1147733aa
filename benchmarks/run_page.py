"""What a snapshot of a run costs: building it in the event loop, and all of them with many waiting runs.

python -m benchmarks.run_page
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from airflow_provider_schedulerx.api.models import (
    Edge,
    JobInstanceStatus,
    WorkflowInstance,
    WorkflowInstanceNode,
    WorkflowInstanceStatus,
)
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.run_page import XCOM_RUN
from airflow_provider_schedulerx.run_page.encoding import encode
from airflow_provider_schedulerx.run_page.snapshot import Snapshot
from airflow_provider_schedulerx.run_page.writer import NullWriter, masked
from airflow_provider_schedulerx.triggers.schedulerx import WorkflowInstanceTrigger
from airflow_provider_schedulerx.version_compat.connections import mask_secret
from benchmarks.probe import LagProbe
from benchmarks.triggerer import RUNS, p99, stack_for, start_runs, triggers_for, workflows
from dev.experiments import crowd
from dev.harness.waiting import wait_for

_REPEAT = 20
#: The first snapshots of 1,000 runs take 1,000 s, so what is measured is the most there ever is.
_WARM_UP, _SECONDS = 60.0, 60.0


class WithoutPage(WorkflowInstanceTrigger):
    """Stores nothing."""

    async def _follow(self) -> Any:
        self._snapshots = NullWriter()
        return await super()._follow()


#: Results of jobs; the service cuts them at 1,000 bytes (API page "GetJobInstance").
SHORT, LONG = "1188 rows loaded, 12 dropped", ("2f9c " * 200)[:1000]


def instance(nodes: int, result: str = SHORT) -> WorkflowInstance:
    return WorkflowInstance(
        101,
        36508287844,
        WorkflowInstanceStatus.RUNNING,
        start_time="2026-11-25 05:41:38",
        nodes=tuple(
            WorkflowInstanceNode(
                job_id=number,
                job_instance_id=number + 9_000,
                job_name=f"node number {number}",
                status=JobInstanceStatus.SUCCESS,
                start_time="2026-11-25 05:41:38",
                end_time="2026-11-25 05:42:38",
                result=result,
            )
            for number in range(1, nodes + 1)
        ),
        edges=tuple(Edge(number + 9_000, number + 9_001) for number in range(1, nodes)),
    )


def build() -> None:
    """Print what it takes to mask and encode a snapshot, with few secrets to look for and with hundreds."""
    print("secrets  nodes  bytes of a result  built in     stored bytes")
    known = 0
    for count, result in ((20, SHORT), (300, LONG)):
        for number in range(known, count):
            mask_secret(f"{secrets.token_hex(16)}{number}")
        known = count
        for nodes in (4, 20, 100, 500):
            run = instance(nodes, result)
            masked("warm")
            began = time.process_time()
            for _ in range(_REPEAT):
                text = encode(Snapshot.of(run, time.time(), mask=masked))
            took = (time.process_time() - began) / _REPEAT
            print(f"{count:7}  {nodes:5}  {len(result):17}  {took * 1000:7.2f} ms  {len(text):12,}")


def written(home: Path) -> int:
    """How many tasks have their first snapshot. Until all have, each write makes one more."""
    with contextlib.closing(sqlite3.connect(home / "airflow.db", timeout=30)) as database:
        (count,) = database.execute("SELECT count(*) FROM xcom WHERE key = ?", (XCOM_RUN,)).fetchone()
    return int(count)


def measure(emulator: EmulatorProcess, triggers: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Run a triggerer with these triggers. :return: what the probe found, and the CPU of all of its processes."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        stack = stack_for(home, emulator)
        file = home / "lag.json"
        probe = LagProbe(str(file), _WARM_UP, _SECONDS).serialize()
        crowd.defer_crowd(stack, home / "dags", [probe, *triggers])
        stack.start_component("triggerer")
        try:
            wait_for("the probe measures", Path(f"{file}.began").exists, _WARM_UP + 240)
            triggerer = psutil.Process(stack._processes["triggerer"].pid)
            processes = [triggerer, *triggerer.children(recursive=True)]
            before, stored = [sum(process.cpu_times()[:2]) for process in processes], written(home)
            wait_for("the probe has measured", file.exists, _SECONDS + 240)
            used = [sum(process.cpu_times()[:2]) for process in processes]
            found = {**json.loads(file.read_text()), "writes": (written(home) - stored) / _SECONDS}
        finally:
            stack.stop()
        found["all"] = (sum(used) - sum(before)) / _SECONDS
        found["faults"] = (home / "triggerer.log").read_text(errors="replace").count("No snapshot")
        return found


def main() -> None:
    build()
    with EmulatorProcess("--tls", "--quota", "1000000") as emulator:
        emulator.add_workflows(workflows())
        ours = triggers_for(start_runs(emulator, RUNS))
        quiet = [("benchmarks.run_page.WithoutPage", arguments) for _, arguments in ours]
        for name, triggers in (("without", quiet), ("with", ours)):
            found = measure(emulator, triggers)
            lags = sorted(found["lags"])
            print(
                f"{RUNS} waiting runs {name:7} the page: loop {found['cpu']:.1%} of a core, all processes of the "
                f"triggerer {found['all']:.1%}; lag median {statistics.median(lags) * 1000:.1f} ms, "
                f"p99 {p99(lags) * 1000:.1f} ms, max {lags[-1] * 1000:.0f} ms; faults {found['faults']}; "
                f"{found['writes']:.2f} writes a second"
            )


if __name__ == "__main__":
    main()
