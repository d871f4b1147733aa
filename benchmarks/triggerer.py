"""Event-loop lag and CPU of a real triggerer process with 1,000 waiting runs of 20 workflows, over TLS.

Ours, inside the default quota of 100 calls a minute, against the usual design: a trigger per run
that asks for it with the official SDK's asynchronous call every 30 seconds, which would need 2,000
calls a minute. The emulator lists 300 runs of a workflow: with a list of 10, the other 40 of each workflow would be
polled one by one, which takes all of the quota.

    python -m benchmarks.triggerer
"""

from __future__ import annotations

import json
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.emulator.definitions import DEFAULT_GROUP, DEFAULT_NAMESPACE
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.triggers.schedulerx import WorkflowInstanceTrigger
from benchmarks.probe import LagProbe, SdkTrigger
from dev.experiments import crowd
from dev.experiments.experiment import service_of
from dev.harness.stack import AirflowStack
from dev.harness.waiting import wait_for

ROOT = Path(__file__).resolve().parent.parent
RUNS, WORKFLOWS, POLL_INTERVAL = 1000, 20, 30.0
#: How the emulator is to behave: see above.
PROFILE = "list_length=300"
WARM_UP, SECONDS = 45.0, 60.0


def workflows(duration: float = 100_000, failing: tuple[int, ...] = ()) -> dict[str, Any]:
    return {
        "namespaces": [{"id": DEFAULT_NAMESPACE, "groups": [DEFAULT_GROUP]}],
        "workflows": [
            {
                "id": 2000 + number,
                "namespace": DEFAULT_NAMESPACE,
                "group": DEFAULT_GROUP,
                "max_concurrency": 10**6,
                "nodes": [
                    {
                        "name": "only",
                        "duration": duration,
                        "outcome": "failed" if number in failing else "success",
                    }
                ],
            }
            for number in range(WORKFLOWS)
        ],
    }


def start_runs(emulator: EmulatorProcess, count: int) -> list[tuple[int, int]]:
    """:return: (workflow id, run id) of each."""
    transport, scope = service_of(emulator)

    def start(number: int) -> tuple[int, int]:
        workflow_id = 2000 + number % WORKFLOWS
        started = transport.perform(calls.execute_workflow(scope, workflow_id))
        return workflow_id, started.wf_instance_id

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(start, range(count)))


def triggers_for(
    runs: list[tuple[int, int]], poll_interval: float = POLL_INTERVAL
) -> list[tuple[str, dict[str, Any]]]:
    """Serialized triggers of ours. :param runs: as :func:`start_runs` gave them."""
    return [
        WorkflowInstanceTrigger(
            workflow_id=workflow_id, wf_instance_id=run, poll_interval=poll_interval
        ).serialize()
        for workflow_id, run in runs
    ]


def p99(lags: list[float]) -> float:
    return statistics.quantiles(lags, n=100)[98]


def stack_for(home: Path, emulator: EmulatorProcess, **extra: Any) -> AirflowStack:
    stack = AirflowStack(
        home,
        home / "dags",
        {"schedulerx_default": emulator.connection(**extra)},
        {"AIRFLOW__TRIGGERER__CAPACITY": "100000"},
    )
    stack.env["PYTHONPATH"] = str(ROOT)
    return stack


def measure(
    emulator: EmulatorProcess, triggers: list[tuple[str, dict[str, Any]]], warm_up: float = WARM_UP
) -> dict[str, Any]:
    """Run a triggerer with these triggers and a probe. :return: what the probe found, and calls made meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        stack = stack_for(home, emulator)
        file = home / "lag.json"
        probe = LagProbe(str(file), warm_up, SECONDS).serialize()
        crowd.defer_crowd(stack, home / "dags", [probe, *triggers])
        stack.start_component("triggerer")
        try:
            wait_for("the probe measures", Path(f"{file}.began").exists, warm_up + 240)
            before = sum(emulator.counters()["calls"].values())
            wait_for("the probe has measured", file.exists, SECONDS + 240)
            calls_made = sum(emulator.counters()["calls"].values()) - before
            found = json.loads(file.read_text())
        finally:
            stack.stop()
        found["calls_per_minute"] = calls_made / SECONDS * 60
    return dict(found)


def main() -> None:
    results = {}
    with EmulatorProcess("--tls", "--quota", "1000000", "--profile", PROFILE) as emulator:
        emulator.add_workflows(workflows())
        runs = start_runs(emulator, RUNS)
        usual = [
            SdkTrigger(emulator.endpoint, str(emulator.ca_file), workflow_id, run, POLL_INTERVAL).serialize()
            for workflow_id, run in runs
        ]
        for name, triggers in (("ours", triggers_for(runs)), ("one SDK call per run", usual)):
            results[name] = measure(emulator, triggers)
    print(
        f"{RUNS} waiting runs of {WORKFLOWS} workflows, poll_interval {POLL_INTERVAL:g} s, {SECONDS:g} s measured"
    )
    for name, found in results.items():
        lags = sorted(found["lags"])
        print(
            f"{name:21} event-loop lag median {statistics.median(lags) * 1000:.1f} ms, p99 {p99(lags) * 1000:.1f} ms, "
            f"max {lags[-1] * 1000:.0f} ms; CPU {found['cpu'] * 100:.1f} % of a core; "
            f"{found['calls_per_minute']:.0f} calls a minute"
        )
    mine, peer = results["ours"], results["one SDK call per run"]
    # A blocked loop gives few samples, so the longest block says more of the usual design than its p99.
    longest = [max(found["lags"]) for found in (peer, mine)]
    print(f"ratio: CPU {peer['cpu'] / mine['cpu']:.0f} times less")
    print(f"ratio: longest block {longest[0] / longest[1]:.0f} times less")
    print(f"p99 under 20 ms: {p99(mine['lags']) < 0.020}")


if __name__ == "__main__":
    main()
