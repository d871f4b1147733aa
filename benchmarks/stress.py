"""How late ends are noticed under stress, against the poller as it was before it was keyed on the run.

    python -m benchmarks.stress            # everything: about a quarter of an hour
    python -m benchmarks.stress 1000       # only with so many runs

Simulated: the real pollers, budgets and intervals in an event loop whose clock jumps, against a service in the same
process with a quota of 100 calls a minute and operation. ``poll_interval`` is 30 s. Runs end one after the other over
ten minutes. Something happens after five:

quiet
    nothing;
failures
    290 runs fail at the same moment;
throttling
    the service throttles every call for three seconds;
restart
    the triggerer restarts, and others have just used up the quota.

A run is listed if it is among the newest of its workflow, as many as a list shows. Promised is that listed ends are
noticed within 1.2 times of ``poll_interval``, and others within 1.2 times of their number divided by the quota, in
minutes; from when the quota has room again, if it had none.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
import time
from types import ModuleType
from typing import Any, NamedTuple

from airflow_provider_schedulerx.api.exceptions import SchedulerXThrottledError
from airflow_provider_schedulerx.api.models import WorkflowInstance
from airflow_provider_schedulerx.api.polling import poller
from airflow_provider_schedulerx.api.runs.kinds import WORKFLOW_RUNS
from benchmarks import previous_poller
from dev.harness.scripted_service import FAILED, SUCCESS, ScriptedService, instead_of_the_network, settings_of
from dev.harness.virtual_time import StandstillError, run_simulated

POLL_INTERVAL, QUOTA = 30.0, 100
BEGIN, HAPPENS, END = 60.0, 300.0, 660.0
SETTINGS = settings_of()
#: Seconds until the quota has room again: for what others have used up, and for the rate to grow back.
FREE = {"restart": 60.0 + 60.0, "throttling": 10.0 + 60.0}


class Case(NamedTuple):
    list_size: int
    runs: int
    workflows: int
    what: str


class Delays(NamedTuple):
    """Seconds from the end of each run until it was noticed."""

    listed: list[float]
    unlisted: list[float]
    busiest_minute: int
    lost: int


CASES = [
    Case(list_size, runs, workflows, what)
    for runs in (300, 1000, 5000)
    for list_size in (300, 10)
    for workflows in (1, 20, 50)
    for what in ("quiet", "failures", "throttling", "restart")
]


def simulate(module: ModuleType, case: Case) -> Delays:
    results: list[Delays] = []

    async def main() -> None:
        service = ScriptedService(list_size=case.list_size, quota=QUOTA)
        with instead_of_the_network(module, lambda _: service):
            results.append(await _follow_all(module, service, case))

    try:
        run_simulated(main)
    except StandstillError:
        # On Python 3.11 the previous one leaves tasks behind that swallow their cancellation.
        if module is poller:
            raise
    return results[0]


async def _follow_all(module: ModuleType, service: ScriptedService, case: Case) -> Delays:
    loop = asyncio.get_running_loop()
    for number in range(case.runs):
        ends = BEGIN + (END - BEGIN) * (number * 7919 % case.runs) / case.runs
        status = SUCCESS
        if case.what == "failures" and number < 290:
            ends, status = HAPPENS, FAILED
        service.start(1 + number % case.workflows, (ends, status))
    if case.what == "throttling":
        service.faults.append(lambda call: _throttle(loop.time()))
    seen: dict[int, float] = {}

    async def follow(run: int) -> None:
        workflow_id = service.runs[run].workflow_id
        of_what = (WORKFLOW_RUNS, workflow_id) if module is poller else (workflow_id,)
        async with module.shared_poller(SETTINGS, *of_what) as shared:
            begin = shared.subscribe if module is poller else shared.watch
            wait = begin(run, poll_interval=POLL_INTERVAL, age=loop.time())
            try:
                while run not in seen:
                    observation = await wait.next()
                    if isinstance(observation, WorkflowInstance) and observation.status.is_terminal:
                        seen[run] = loop.time()
            finally:
                (shared.unsubscribe if module is poller else shared.unwatch)(wait)

    waits = [asyncio.create_task(follow(run)) for run in service.runs]
    if case.what == "restart":
        await asyncio.sleep(HAPPENS)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        service.use_up_quota()
        waits = [asyncio.create_task(follow(run)) for run in service.runs if run not in seen]
    # The previous one can lose a run for ever.
    await asyncio.wait(waits, timeout=3 * 3600)
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    listed: list[Any] = []
    unlisted: list[Any] = []
    for of_workflow in service._by_workflow.values():
        for place, run in enumerate(reversed(of_workflow)):
            if run.wf_instance_id in seen:
                # What was not noticed before counts from when the quota has room again.
                since = run.ends_at
                if seen[run.wf_instance_id] >= HAPPENS:
                    since = max(since, HAPPENS + FREE.get(case.what, float("-inf")))
                delay = max(0.0, seen[run.wf_instance_id] - since)
                (listed if place < case.list_size else unlisted).append(delay)
    busiest = max(service.most_in_a_minute(operation) for operation in service.times)
    return Delays(listed, unlisted, busiest, case.runs - len(seen))


def _throttle(now: float) -> None:
    if HAPPENS <= now < HAPPENS + 3:
        raise SchedulerXThrottledError("throttled", code="Throttling.User")


def _shown(delays: list[float]) -> str:
    return f"{statistics.median(delays):>5.0f} {max(delays):>5.0f}" if delays else f"{'-':>5} {'-':>5}"


def main(sizes: list[int]) -> bool:
    logging.disable()
    print("Seconds until an end is noticed (median, longest): listed and unlisted runs; previously and now")
    print(
        f"{'list':>4} {'runs':>5} {'workflows':>9} {'what':<10} | {'previously: listed':>18} {'unlisted':>11} lost | "
        f"{'now: listed':>11} {'unlisted':>11} lost busiest minute"
    )
    all_kept = True
    for case in CASES:
        if sizes and case.runs not in sizes:
            continue
        began = time.process_time()
        before, now = simulate(previous_poller, case), simulate(poller, case)
        each = case.workflows * case.list_size
        promised = 1.2 * max(POLL_INTERVAL, max(0, case.runs - each) / QUOTA * 60)
        kept = (
            not now.lost
            and now.busiest_minute <= QUOTA
            and max(now.listed, default=0.0) <= 1.2 * POLL_INTERVAL
            and max(now.unlisted, default=0.0) <= promised
        )
        all_kept = all_kept and kept
        print(
            f"{case.list_size:>4} {case.runs:>5} {case.workflows:>9} {case.what:<10} | {_shown(before.listed):>18} "
            f"{_shown(before.unlisted):>11} {before.lost:>4} | {_shown(now.listed):>11} {_shown(now.unlisted):>11} "
            f"{now.lost:>4} {now.busiest_minute:>14} {'kept' if kept else 'NOT KEPT'}"
            f"   ({time.process_time() - began:.0f} s)",
            flush=True,
        )
    print(f"every promise kept: {all_kept}")
    return all_kept


if __name__ == "__main__":
    sys.exit(not main([int(each) for each in sys.argv[1:]]))
