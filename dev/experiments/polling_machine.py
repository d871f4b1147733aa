"""An adversary plays against the poller, in simulated time, for as long as you like.

Lists lie, lag, leave out, break, hang and are refused; calls are throttled, dropped and answered with nonsense; waits
for runs, and observers of lists, come, join, leave and are cancelled. Whatever happens:

- every run that is followed and not over has a next poll, within 1.2 times of what was promised, or of what the
  budget allows if it is divided evenly, and is seen in that time while the service behaves; every observer likewise
  has a next list, and hears of it or of why there is none;
- no minute has more calls of an operation than the budget, nor more than a fifth of it for the nodes of running runs;
- each wait has one end, and nothing after it;
- at the end every run has ended for all who waited, and no task, session or budget is left over.

    python -m dev.experiments.polling_machine 1000     # examples; tests/api/polling/test_machine.py runs fewer
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from airflow_provider_schedulerx.api import exceptions as errors
from airflow_provider_schedulerx.api.models import WorkflowInstance
from airflow_provider_schedulerx.api.polling import budgets, poller
from airflow_provider_schedulerx.api.polling.rate_limit import SPARE_SHARE, WINDOW, Permit
from airflow_provider_schedulerx.api.polling.sampling import Sampling
from airflow_provider_schedulerx.api.polling.schedule import Schedule
from airflow_provider_schedulerx.api.polling.subscriptions import FollowedRun, Place
from airflow_provider_schedulerx.api.runs.kinds import WORKFLOW_RUNS
from airflow_provider_schedulerx.api.wire.calls import Call
from dev.harness.scripted_service import (
    FAILED,
    GET,
    LIST,
    RUNNING,
    SUCCESS,
    ScriptedService,
    instead_of_the_network,
    settings_of,
)
from dev.harness.virtual_time import JumpingLoop

#: Seconds after a disturbance until the rate is the limit again, and what was in flight has timed out.
RECOVERY = 300.0
#: Seconds of a call, of the nodes of an ended run, and of the first poll.
GRACE = 13.0


class Wait:
    """One wait for a run, as a trigger makes it."""

    def __init__(self, run: int, workflow_id: int, poll_interval: float, limit: int) -> None:
        self.run, self.workflow_id, self.poll_interval = run, workflow_id, poll_interval
        self.settings = settings_of(calls_per_minute=limit)
        self.ends: list[int] = []
        self.seen_at = asyncio.get_running_loop().time()
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async with poller.shared_poller(self.settings, WORKFLOW_RUNS, self.workflow_id) as shared:
            subscription = shared.subscribe(self.run, poll_interval=self.poll_interval, age=0)
            try:
                while not self.ends:
                    seen = await subscription.next()
                    self.seen_at = asyncio.get_running_loop().time()
                    if isinstance(seen, WorkflowInstance) and seen.status.is_terminal:
                        self.ends.append(seen.status.value)
                assert subscription._published.empty(), "something came after the end"
            finally:
                shared.unsubscribe(subscription)


class Observer:
    """One observer of the lists of a workflow, as a sensor or trigger makes it."""

    def __init__(self, workflow_id: int, poll_interval: float, limit: int) -> None:
        self.workflow_id, self.poll_interval = workflow_id, poll_interval
        self.settings = settings_of(calls_per_minute=limit)
        self.began = self.seen_at = asyncio.get_running_loop().time()
        self.task = asyncio.create_task(self._observe())

    async def _observe(self) -> None:
        async with poller.shared_poller(self.settings, WORKFLOW_RUNS, self.workflow_id) as shared:
            observer = shared.observe_lists(poll_interval=self.poll_interval)
            try:
                while True:
                    seen = await observer.next()
                    self.seen_at = asyncio.get_running_loop().time()
                    if isinstance(seen, poller.ListedRuns):
                        assert self.began <= seen.asked_at <= self.seen_at
                        ids = [summary.instance_id for summary in seen.summaries]
                        assert ids == sorted(ids, reverse=True)
            finally:
                shared.unsubscribe(observer)


class PollingMachine(RuleBasedStateMachine):
    @initialize(
        limit=st.sampled_from([3, 10, 100]),
        list_size=st.sampled_from([0, 1, 10, 300]),
        lag=st.sampled_from([0, 0, 45]),
    )
    def begin(self, limit: int, list_size: int, lag: float) -> None:
        self.loop = JumpingLoop()
        self.limit = limit
        self.service = ScriptedService(list_size=list_size, list_lag=lag)
        self.waits: list[Wait] = []
        self.observers: list[Observer] = []
        self.disturbed_until = float("-inf")
        self.planned, self.planned_list = Schedule.plan, Schedule.plan_list
        self.network = instead_of_the_network(poller, lambda _: self.service)
        self.network.__enter__()
        machine = self
        self.sampled: list[float] = []
        self.sample = Sampling._sample

        async def sample(sampling: Sampling, run: FollowedRun, permit: Permit) -> None:
            machine.sampled.append(machine.loop.time())
            await machine.sample(sampling, run, permit)

        Sampling._sample = sample  # type: ignore[method-assign,assignment]

        def checked(schedule: Schedule, run: FollowedRun, latest: float = float("inf")) -> None:
            machine.planned(schedule, run, latest)
            machine.check_plan(schedule, run)

        def checked_list(schedule: Schedule) -> None:
            machine.planned_list(schedule)
            machine.check_list_plan(schedule)

        Schedule.plan, Schedule.plan_list = checked, checked_list  # type: ignore[method-assign, assignment]

    def do(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    # What the adversary does.

    @rule(
        workflow=st.integers(1, 3),
        count=st.integers(1, 12),
        poll_interval=st.sampled_from([0.5, 10, 60, 900]),
    )
    def follow_new_runs(self, workflow: int, count: int, poll_interval: float) -> None:
        async def begin() -> None:
            for _ in range(count):
                run = self.service.start(workflow)
                self.waits.append(Wait(run, workflow, poll_interval, self.limit))

        self.do(begin())

    @precondition(lambda self: bool(self.active))
    @rule(which=st.integers(0, 10**6), poll_interval=st.sampled_from([0.5, 10, 60]))
    def join_a_wait(self, which: int, poll_interval: float) -> None:
        async def join() -> None:
            other = self.active[which % len(self.active)]
            self.waits.append(Wait(other.run, other.workflow_id, poll_interval, self.limit))

        self.do(join())

    @precondition(lambda self: bool(self.active))
    @rule(which=st.integers(0, 10**6), count=st.integers(1, 5))
    def cancel_waits(self, which: int, count: int) -> None:
        async def cancel() -> None:
            for number in range(count):
                if self.active:
                    wait = self.active[(which + number) % len(self.active)]
                    wait.task.cancel()
                    self.waits.remove(wait)

        self.do(cancel())

    @rule(
        workflow=st.integers(1, 4),
        count=st.integers(1, 3),
        poll_interval=st.sampled_from([0.5, 10, 60, 900]),
    )
    def observe_lists(self, workflow: int, count: int, poll_interval: float) -> None:
        async def begin() -> None:
            for _ in range(count):
                self.observers.append(Observer(workflow, poll_interval, self.limit))

        self.do(begin())

    @precondition(lambda self: bool(self.observers))
    @rule(which=st.integers(0, 10**6), count=st.integers(1, 3))
    def cancel_observers(self, which: int, count: int) -> None:
        async def cancel() -> None:
            for number in range(count):
                if self.observers:
                    self.observers.pop((which + number) % len(self.observers)).task.cancel()

        self.do(cancel())

    @rule(
        which=st.integers(0, 10**6),
        count=st.integers(1, 20),
        status=st.sampled_from([SUCCESS, FAILED, RUNNING, 42]),
    )
    def change_runs(self, which: int, count: int, status: int) -> None:
        runs = list(self.service.runs.values())
        for number in range(min(count, len(runs))):
            run = runs[(which + number) % len(runs)]
            # A failed run can be rerun; a successful one stays so.
            if run.script[-1][1] != SUCCESS:
                run.script.append((self.loop.time(), status))

    @rule(seconds=st.sampled_from([0.01, 1, 7, 30, 90, 400]))
    def let_time_pass(self, seconds: float) -> None:
        self.do(asyncio.sleep(seconds))

    @rule(
        operation=st.sampled_from([LIST, GET]),
        seconds=st.sampled_from([1, 20, 200]),
        how=st.sampled_from(
            [
                "throttle",
                "throttle long",
                "drop",
                "deny",
                "reject",
                "not found",
                "bug",
                "nonsense",
                "hang",
                "lie",
            ]
        ),
    )
    def disturb(self, operation: str, seconds: float, how: str) -> None:
        until = self.loop.time() + seconds
        # A refused list is asked for again after an hour, and its runs are polled one by one, which is as good.
        self.disturbed_until = max(self.disturbed_until, until)

        def fault(call: Call[Any]) -> Any:
            if call.operation.name != operation or self.loop.time() >= until:
                return None
            return self.misbehave(call, how)

        self.service.faults = [*self.service.faults[-3:], fault]

    def misbehave(self, call: Call[Any], how: str) -> Any:
        name = call.operation.name
        match how:
            case "throttle":
                raise errors.SchedulerXThrottledError("throttled", operation=name, code="Throttling.User")
            case "throttle long":
                raise errors.SchedulerXThrottledError("throttled", retry_after=86400, code="Throttling.User")
            case "drop":
                raise errors.SchedulerXUnavailableError("connection reset", operation=name)
            case "deny":
                raise errors.SchedulerXAuthorizationError("denied", operation=name, code="NoPermission")
            case "reject":
                raise errors.SchedulerXRejectedError("edition", operation=name, code="400")
            case "not found":
                raise errors.SchedulerXNotFoundError("not existed", operation=name, code="404")
            case "bug":
                raise AttributeError("'str' object has no attribute 'get'")
            case "hang":
                raise TimeoutError
        if how == "nonsense":
            return "nonsense" if name == LIST else {"WfInstanceInfo": {"Status": 3}, "WfInstanceDag": "none"}
        if name == LIST:
            # Everything has failed, but for what is left out.
            workflow_id = int(call.query["WorkflowId"])
            return {
                "WfInstanceInfos": [
                    {"WfInstanceId": run.wf_instance_id, "WorkflowId": workflow_id, "Status": FAILED}
                    for run in self.service.runs.values()
                    if run.workflow_id == workflow_id and run.wf_instance_id % 3
                ]
            }
        return {"WfInstanceInfo": {"Status": RUNNING}, "WfInstanceDag": {"Nodes": [], "Edges": []}}

    # What holds, whatever it does.

    @property
    def active(self) -> list[Wait]:
        return [wait for wait in self.waits if not wait.task.done()]

    @property
    def even(self) -> float:
        """Seconds between two polls of a run, if the budget is divided evenly between all and each is polled alone."""
        return len({wait.run for wait in self.active}) * WINDOW / self.limit

    @property
    def even_lists(self) -> float:
        """Seconds between two lists of a workflow, if the budget is divided evenly between all workflows."""
        workflows = {each.workflow_id for each in self.active} | {each.workflow_id for each in self.observers}
        return len(workflows) * WINDOW / self.limit

    def check_plan(self, schedule: Schedule, run: FollowedRun) -> None:
        budget = schedule._list_budget if run.place is Place.LIST else schedule._get_budget
        even = len(budget.demands) * WINDOW / budget.rate
        allowed = 1.2 * max(run.poll_interval, even, 1.0)
        assert run.due_at <= self.loop.time() + allowed, (run, allowed)

    def check_list_plan(self, schedule: Schedule) -> None:
        if not schedule._observers:
            return
        budget = schedule._list_budget
        even = len(budget.demands) * WINDOW / budget.rate
        allowed = 1.2 * max(min(each.poll_interval for each in schedule._observers), even, 1.0)
        assert schedule.list_due_at <= self.loop.time() + allowed, (schedule.list_due_at, allowed)

    @invariant()
    def every_run_has_a_next_poll(self) -> None:
        if hasattr(self, "loop"):
            self.do(self.check_next_polls())

    async def check_next_polls(self) -> None:
        for made in poller._pollers.get(self.loop, {}).values():
            following = made._following
            if following is None:
                continue
            runs, schedule = following.runs, following.runs.schedule
            for run in runs.all:
                match run.place:
                    case Place.LIST:
                        assert schedule.list_due_at <= max(run.due_at, self.loop.time()) or self.is_listing(
                            following.listing
                        )
                    case Place.SINGLE:
                        assert schedule.singles.due_at <= max(run.due_at, self.loop.time())
                    case Place.ASKED:
                        assert len(following.singles._tasks) > 1
                    case Place.ENDING:
                        timer = following.details._endings[run].timer
                        assert run.due_at >= self.loop.time() or timer is not None
            if runs._observers:
                assert schedule.list_due_at < float("inf") or self.is_listing(following.listing)

    @staticmethod
    def is_listing(listing: Any) -> bool:
        return any(not task.done() for task in listing._tasks)

    @invariant()
    def every_wait_is_served(self) -> None:
        if not hasattr(self, "loop"):
            return
        for wait in self.waits:
            if wait.task.done():
                wait.task.result()
                assert len(wait.ends) == 1
                continue
            calm_since = self.disturbed_until + RECOVERY
            if self.loop.time() < calm_since:
                continue
            patience = 1.2 * max(wait.poll_interval, self.even_at_most) + GRACE
            silent = self.loop.time() - max(wait.seen_at, calm_since)
            assert silent <= patience, f"run {wait.run} was not seen for {silent} s, more than {patience} s"

    @invariant()
    def every_observer_is_served(self) -> None:
        if not hasattr(self, "loop"):
            return
        for observer in self.observers:
            if observer.task.done():
                observer.task.result()
            calm_since = self.disturbed_until + RECOVERY
            if self.loop.time() < calm_since:
                continue
            self._even_lists = max(getattr(self, "_even_lists", 0.0), self.even_lists)
            patience = 1.2 * max(observer.poll_interval, self._even_lists) + GRACE
            silent = self.loop.time() - max(observer.seen_at, calm_since)
            assert silent <= patience, f"no list was seen for {silent} s, more than {patience} s"

    @property
    def even_at_most(self) -> float:
        """:attr:`even`, when there were most."""
        self._even = max(getattr(self, "_even", 0.0), self.even)
        return self._even

    @invariant()
    def no_minute_has_more_calls_than_the_budget(self) -> None:
        if hasattr(self, "loop"):
            for operation in (LIST, GET):
                assert self.service.most_in_a_minute(operation) <= self.limit
            samples = self.sampled[-1000:]
            for first, at in enumerate(samples):
                in_a_minute = sum(1 for each in samples[first:] if each < at + 60)
                assert in_a_minute <= self.limit * SPARE_SHARE

    async def end_observers(self) -> None:
        for observer in self.observers:
            observer.task.cancel()
        await asyncio.gather(*(observer.task for observer in self.observers), return_exceptions=True)

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.service.faults.clear()
            for run in self.service.runs.values():
                if run.script[-1][1] not in (SUCCESS, FAILED):
                    run.script.append((self.loop.time(), SUCCESS))
            # A list that was refused an hour ago comes last.
            bound = RECOVERY + 1.2 * max(
                [self.even_at_most, *(wait.poll_interval for wait in self.waits)], default=0
            )
            self.do(asyncio.sleep(2 * bound + GRACE + self.service.list_lag))
            for wait in self.waits:
                assert wait.task.done(), f"run {wait.run} has ended, and nobody was told"
                wait.task.result()
            self.do(self.end_observers())
            left = asyncio.all_tasks(self.loop)
            assert not left, left
            assert not poller._pollers.get(self.loop)
            for budget in budgets._budgets.get(self.loop, {}).values():
                for limiter in budget._limiters.values():
                    assert not len(limiter.demands)
                    assert not any(limiter._waiting.values())
            self.network.__exit__(None, None, None)
        finally:
            Sampling._sample = self.sample  # type: ignore[method-assign]
            Schedule.plan, Schedule.plan_list = self.planned, self.planned_list  # type: ignore[method-assign]
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()
            del self.loop
            gc.collect()


def play(examples: int, steps: int = 30) -> None:
    """:param examples: games. :param steps: moves of each, at most."""
    run_state_machine_as_test(
        PollingMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


if __name__ == "__main__":
    logging.disable()
    play(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, 60)
