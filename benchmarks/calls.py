"""Calls to the service for 1,000 deferred runs of 20 workflows in 10 simulated minutes.

Ours, inside the quota, against one GetWorkflowInstance per run and interval at equal median
detection delay (which would need many times the quota).

    python -m benchmarks.calls
"""

from __future__ import annotations

import random

from benchmarks.simulation import Result, Service, follow_one_by_one, follow_with_poller, run_simulated

RUNS, WORKFLOWS, MINUTES, POLL_INTERVAL, QUOTA = 1000, 20, 10, 30.0, 100


def durations(runs: int = RUNS, workflows: int = WORKFLOWS) -> list[list[float]]:
    """Seconds, by workflow: each has its usual duration, from 4 to 9 minutes, give or take."""
    rng = random.Random(2)
    result = []
    for number in range(workflows):
        usual = 240 + 300 * number / max(1, workflows - 1)
        count = len(range(number, runs, workflows))
        result.append([min(MINUTES * 60, max(1.0, rng.gauss(usual, usual / 8))) for _ in range(count)])
    return result


def ours(runs: int = RUNS, workflows: int = WORKFLOWS) -> Result:
    async def main() -> Result:
        return await follow_with_poller(Service(durations(runs, workflows)), POLL_INTERVAL)

    return run_simulated(main)


def usual(interval: float) -> Result:
    async def main() -> Result:
        return await follow_one_by_one(Service(durations()), interval)

    return run_simulated(main)


def main() -> None:
    mine = ours()
    # The median delay of a fixed interval is half of it.
    peer = usual(2 * mine.median_delay)
    print(
        f"{RUNS} runs of {WORKFLOWS} workflows, {MINUTES} simulated minutes, poll_interval {POLL_INTERVAL:g} s"
    )
    for name, result in (("ours", mine), ("one Get per run", peer)):
        print(
            f"{name:16} {result.total:6} calls {dict(result.calls)}, busiest minute of an operation "
            f"{result.busiest_minute}, delay median {result.median_delay:.1f} s, p95 {result.p95_delay:.1f} s"
        )
    print(f"ratio: {peer.total / mine.total:.1f} times fewer calls (target: at least 25)")
    print(f"quota kept: {mine.busiest_minute <= QUOTA} (at most {QUOTA} a minute and operation)")
    print(f"p95 within poll_interval: {mine.p95_delay <= POLL_INTERVAL}")


if __name__ == "__main__":
    main()
