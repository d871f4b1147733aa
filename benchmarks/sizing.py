"""How many triggerers, and what to set: the figures behind docs/scale.md, which are in docs/figures.md.

    python -m benchmarks.sizing measure     # a real triggerer process with up to 4,000 waiting runs: 10 minutes
    python -m benchmarks.sizing simulate    # up to 100,000 waiting runs of ten accounts: 12 minutes

Measured are CPU, memory, lag of the event loop and calls of one triggerer, inside the quota of 100 calls a minute and
operation. The simulation runs the real pollers, budgets and intervals of all triggerers in one event loop whose clock
jumps (see benchmarks/simulation.py), with the runs dealt out evenly, as Airflow does. It leaves out what a machine
takes to do it, which the measurements tell; the calls that workers make to start runs; and throttling by others.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from typing import NamedTuple

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from benchmarks import triggerer
from benchmarks.simulation import Result, Service, follow_across, run_simulated, settings_of

QUOTA = 100
WAITING = (0, 1000, 4000)


def measure() -> None:
    print(f"{triggerer.WORKFLOWS} workflows, poll_interval {triggerer.POLL_INTERVAL:g} s, over TLS")
    print(
        f"{'waiting':>8} {'CPU of a core':>14} {'memory':>9} {'lag p99':>9} {'lag max':>9} {'calls a minute':>15}"
    )
    for waiting in WAITING:
        with EmulatorProcess("--tls", "--quota", "1000000", "--profile", triggerer.PROFILE) as emulator:
            emulator.add_workflows(triggerer.workflows())
            triggers = triggerer.triggers_for(triggerer.start_runs(emulator, waiting))
            # Airflow takes up to 50 triggers a second.
            found = triggerer.measure(emulator, triggers, triggerer.WARM_UP + waiting / 40)
        print(
            f"{waiting:>8,} {found['cpu']:>14.1%} {found['memory'] / 2**20:>5.0f} MiB {triggerer.p99(found['lags']) * 1000:>6.1f} ms "
            f"{max(found['lags']) * 1000:>6.0f} ms {found['calls_per_minute']:>15.0f}",
            flush=True,
        )


class Shape(NamedTuple):
    """:ivar workflows: and :ivar runs: of each account; :ivar shares: triggerers among which its runs are dealt out."""

    accounts: int
    workflows: int
    runs: int
    shares: int


SHAPES = (
    Shape(1, 20, 1_000, 1),
    Shape(1, 50, 1_000, 1),
    Shape(1, 50, 10_000, 1),
    Shape(1, 50, 10_000, 2),
    Shape(1, 50, 10_000, 5),
    Shape(1, 50, 10_000, 10),
    Shape(10, 50, 10_000, 1),
    Shape(10, 50, 10_000, 2),
    Shape(10, 50, 10_000, 10),
)
POLL_INTERVAL = 60.0


def simulated(shape: Shape) -> list[Result]:
    """Runs of 10 to 25 minutes, each workflow with its own usual duration."""
    chance = random.Random(5)

    def durations() -> list[list[float]]:
        usual = [chance.uniform(700, 1200) for _ in range(shape.workflows)]
        each = shape.runs // shape.workflows
        return [[max(1.0, chance.gauss(mean, mean / 8)) for _ in range(each)] for mean in usual]

    async def main() -> list[Result]:
        services = [Service(durations()) for _ in range(shape.accounts)]
        triggerers = [
            [settings_of(f"{account}-{share}", QUOTA // shape.shares) for share in range(shape.shares)]
            for account in range(shape.accounts)
        ]
        return await follow_across(services, triggerers, POLL_INTERVAL)

    return run_simulated(main)


def simulate() -> None:
    print(f"poll_interval {POLL_INTERVAL:g} s, quota {QUOTA} calls a minute and operation of each account")
    print(
        f"{'runs':>8} {'accounts':>9} {'workflows each':>15} {'triggerers that share an account':>33} "
        f"{'busiest minute':>15} {'delay median':>13} {'p95':>7}"
    )
    for shape in SHAPES:
        began = time.process_time()
        results = simulated(shape)
        delays = [delay for result in results for delay in result.delays]
        assert len(delays) == shape.accounts * shape.runs
        print(
            f"{len(delays):>8,} {shape.accounts:>9} {shape.workflows:>15} {shape.shares:>33} "
            f"{max(result.busiest_minute for result in results):>15} {statistics.median(delays):>11.0f} s "
            f"{statistics.quantiles(delays, n=20)[-1]:>5.0f} s   ({time.process_time() - began:.0f} s to simulate)",
            flush=True,
        )


if __name__ == "__main__":
    {"measure": measure, "simulate": simulate}[sys.argv[1]]()
