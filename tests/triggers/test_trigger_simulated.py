"""The trigger in simulated time, against a service that does what a test tells it to."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import re
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from airflow_provider_schedulerx.api import exceptions as errors
from airflow_provider_schedulerx.api.polling import poller
from airflow_provider_schedulerx.api.polling.reporting import Metric, set_reporter
from airflow_provider_schedulerx.api.runs import stopping as stop_recipes
from airflow_provider_schedulerx.api.runs import tracking
from airflow_provider_schedulerx.api.runs.events import Outcome, TerminalEvent
from airflow_provider_schedulerx.api.runs.kinds import WORKFLOW_RUNS
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.triggers import base, definitions, scheduled, stopping
from airflow_provider_schedulerx.triggers import run as triggers
from airflow_provider_schedulerx.triggers.scheduled import ScheduledRunTrigger
from airflow_provider_schedulerx.triggers.schedulerx import WorkflowInstanceTrigger
from airflow_provider_schedulerx.triggers.settings import read_settings
from airflow_provider_schedulerx.version_compat import deferrals
from dev.harness.scripted_service import (
    FAILED,
    GET,
    LIST,
    RUNNING,
    STOP,
    SUCCESS,
    ScriptedService,
    instead_of_the_network,
    settings_of,
)
from dev.harness.virtual_time import run_simulated

#: Epoch seconds at which the simulation begins.
EPOCH = 1_700_000_000.0


def now() -> float:
    return asyncio.get_running_loop().time()


class World:
    """A service, and a connection that can be edited."""

    def __init__(self, **service: Any) -> None:
        self.service = ScriptedService(**service)
        self.settings: Any = settings_of("old")
        self.lookups = 0
        self.services: dict[str, Any] = {}

    async def aget_settings(self, hook: Any = None) -> Any:
        self.lookups += 1
        await asyncio.sleep(0.01)
        if isinstance(self.settings, BaseException):
            raise self.settings
        return self.settings

    def service_of(self, settings: Any) -> Any:
        return self.services.get(settings.credential.values.get("access_key_id"), self.service)


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    def run(main: Callable[[World], Any], **service: Any) -> Any:
        async def outer() -> Any:
            world = World(**service)
            loop = asyncio.get_running_loop()
            clock = SimpleNamespace(time=lambda: EPOCH + loop.time(), monotonic=loop.time)
            for module in (triggers, base, scheduled, stopping, stop_recipes, deferrals):
                if hasattr(module, "time"):
                    monkeypatch.setattr(module, "time", clock)
            monkeypatch.setattr(SchedulerXHook, "aget_settings", lambda hook: world.aget_settings(hook))
            with instead_of_the_network(poller, world.service_of):
                result = await main(world)
                # Lookups are shared for some seconds.
                await asyncio.sleep(6)
                left = asyncio.all_tasks() - {asyncio.current_task()}
                assert not left, left
                assert not poller._pollers.get(loop)
            return result

        return run_simulated(outer)

    return run


def trigger(wf_instance_id: int, workflow_id: int = 1, **arguments: Any) -> WorkflowInstanceTrigger:
    return WorkflowInstanceTrigger(
        **{"workflow_id": workflow_id, "wf_instance_id": wf_instance_id, "poll_interval": 10, **arguments}
    )


async def fire(made: WorkflowInstanceTrigger) -> tuple[float, TerminalEvent]:
    """Run a trigger to its one event. :return: when it came, and the event."""
    events = [(now(), event.payload) async for event in made.run()]
    assert len(events) == 1
    at, payload = events[0]
    payload = json.loads(json.dumps(payload))
    return at, TerminalEvent.parse(
        payload, made.kind, definition_id=made.definition_id, instance_id=made.instance_id
    )


async def until_all_stops_end() -> None:
    if stopping._stopping:
        await asyncio.wait(set(stopping._stopping))


def failing(error: Callable[[], BaseException], since: float, until: float) -> Callable[[Any], None]:
    def fault(call: Any) -> None:
        if since <= now() < until:
            raise error()

    return fault


# 7. Credentials and connections.


def test_one_fault_of_the_connection_lookup_is_waited_out(simulate: Any) -> None:
    async def main(world: World) -> None:
        run = world.service.start(1, (30, SUCCESS))
        good, world.settings = world.settings, RuntimeError("the API server is away")
        asyncio.get_running_loop().call_later(12, setattr, world, "settings", good)
        at, event = await fire(trigger(run))
        assert event.outcome is Outcome.ENDED
        assert at <= 42

    simulate(main)


def test_a_connection_that_stays_away_ends_it_undecided_after_the_tolerance(simulate: Any) -> None:
    async def main(world: World) -> None:
        world.settings = RuntimeError("the API server is away")
        at, event = await fire(trigger(5, poll_failure_tolerance=120))
        assert event.outcome is Outcome.UNDECIDED
        assert "the API server is away" in event.message
        assert 120 <= at <= 140

    simulate(main)


def test_a_rotated_key_is_read_again(simulate: Any) -> None:
    async def main(world: World) -> None:
        runs = [world.service.start(number + 1, (300, SUCCESS)) for number in range(50)]
        revoked = ScriptedService(runs=world.service.runs)
        revoked._by_workflow = world.service._by_workflow
        revoked.faults.append(
            failing(lambda: errors.SchedulerXAuthenticationError("InvalidAccessKeyId.Inactive"), 100, 10_000)
        )
        world.services["old"] = revoked
        # Edited some time after the old key stopped working.
        asyncio.get_running_loop().call_later(140, setattr, world, "settings", settings_of("new"))
        ended = await asyncio.gather(
            *(fire(trigger(run, number + 1, poll_interval=30)) for number, run in enumerate(runs))
        )
        assert all(event.outcome is Outcome.ENDED for _, event in ended)
        assert max(at for at, _ in ended) <= 300 + 36
        # Not one for each trigger and poll.
        assert world.lookups <= 30

    simulate(main)


def test_a_key_that_stays_refused_ends_it_undecided(simulate: Any) -> None:
    async def main(world: World) -> None:
        run = world.service.start(1)
        world.service.faults.append(
            failing(lambda: errors.SchedulerXAuthenticationError("InvalidAccessKeyId"), 0, 1e9)
        )
        at, event = await fire(trigger(run, poll_failure_tolerance=60))
        assert event.outcome is Outcome.UNDECIDED
        assert "InvalidAccessKeyId" in event.message
        assert 60 <= at <= 80

    simulate(main)


# 8. The deadline.


def test_the_deadline_is_kept_though_the_quota_is_used_up(simulate: Any) -> None:
    async def main(world: World) -> None:
        world.settings = settings_of("old", calls_per_minute=1)
        runs = [world.service.start(number + 1) for number in range(20)]
        ended = await asyncio.gather(
            *(fire(trigger(run, number + 1, deadline=EPOCH + 3)) for number, run in enumerate(runs))
        )
        assert {event.outcome for _, event in ended} == {Outcome.TIMEOUT}
        assert max(at for at, _ in ended) <= 3 + 10

    simulate(main)


@pytest.mark.parametrize("workflows", [1, 200])
def test_two_hundred_that_expire_together_all_fire_in_time(simulate: Any, workflows: int) -> None:
    async def main(world: World) -> None:
        runs = [
            (1 + number % workflows, world.service.start(1 + number % workflows)) for number in range(200)
        ]
        ended = await asyncio.gather(
            *(fire(trigger(run, workflow, deadline=EPOCH + 100)) for workflow, run in runs)
        )
        assert {event.outcome for _, event in ended} == {Outcome.TIMEOUT}
        assert max(at for at, _ in ended) <= 100 + 10
        assert world.service.most_in_a_minute(GET) <= 100

    simulate(main, quota=100)


@pytest.mark.parametrize("hangs", ["service", "lookup"])
def test_the_deadline_is_kept_though_everything_hangs(simulate: Any, hangs: str) -> None:
    async def main(world: World) -> None:
        run = world.service.start(1)
        if hangs == "service":
            world.service.latency = 1000
        else:

            async def never(hook: Any = None) -> Any:
                await asyncio.sleep(50)
                raise RuntimeError("hung")

            world.aget_settings = never  # type: ignore[method-assign]
        at, event = await fire(trigger(run, deadline=EPOCH + 3))
        assert event.outcome is Outcome.TIMEOUT
        assert at <= 3 + 10
        await asyncio.sleep(60)

    simulate(main)


def test_a_run_that_has_ended_by_the_deadline_counts(simulate: Any) -> None:
    async def main(world: World) -> None:
        runs = [world.service.start(1, (99, SUCCESS)) for _ in range(200)]
        ended = await asyncio.gather(
            *(fire(trigger(run, deadline=EPOCH + 100, poll_interval=600)) for run in runs)
        )
        assert {event.outcome for _, event in ended} == {Outcome.ENDED}

    simulate(main, quota=100)


# 9. What counts as a sick run.


def test_throttling_without_end_ends_no_wait(simulate: Any) -> None:
    async def main(world: World) -> None:
        run = world.service.start(1, (5000, SUCCESS))
        world.service.faults.append(
            failing(lambda: errors.SchedulerXThrottledError("throttled", code="Throttling.User"), 10, 5000)
        )
        at, event = await fire(trigger(run, poll_failure_tolerance=60))
        assert event.outcome is Outcome.ENDED
        assert at <= 5100

    simulate(main)


def test_one_warning_for_each_change(simulate: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main(world: World) -> None:
        run = world.service.start(1, (200, SUCCESS))
        world.service.faults.append(failing(lambda: errors.SchedulerXUnavailableError("reset"), 50, 150))
        made = trigger(run)
        lines: list[str] = []
        made._log = SimpleNamespace(  # what BaseTrigger's log property gives
            warning=lambda *a: lines.append(a[0] % a[1:]),
            info=lambda *a: lines.append(a[0] % a[1:]),
            error=lambda *a: lines.append(a[0] % a[1:]),
        )
        await fire(made)
        assert sum("cannot be polled" in line for line in lines) == 1
        assert sum("can be polled again" in line for line in lines) == 1

    simulate(main)


# 6. Kills.


def test_a_hundred_and_fifty_kills_stop_every_run_inside_the_quota(simulate: Any) -> None:
    given_up: list[float] = []

    async def main(world: World) -> None:
        runs = [world.service.start(1 + number % 3) for number in range(150)]
        other = world.service.start(99, (400, SUCCESS))
        following = asyncio.create_task(fire(trigger(other, 99)))
        began = now()
        kills = [trigger(run, 1 + number % 3).on_kill() for number, run in enumerate(runs)]
        await asyncio.gather(*kills)
        assert now() - began <= 26, "Airflow waits 30 s"
        await until_all_stops_end()
        assert all(world.service.runs[run].status(now()) == FAILED for run in runs)
        assert now() - began <= 600
        for operation in (GET, LIST, STOP):
            assert world.service.most_in_a_minute(operation) <= 100
        assert not world.service.throttled
        at, event = await following
        # Polls are not shut out meanwhile.
        assert event.outcome is Outcome.ENDED
        assert at <= 412

    set_reporter(
        lambda metric, value, tags: given_up.append(value) if metric is Metric.STOPS_GIVEN_UP else None
    )
    try:
        simulate(main, quota=100)
    finally:
        set_reporter(None)
    assert not given_up


def test_a_stop_that_is_given_up_says_so_once(simulate: Any) -> None:
    lines: list[str] = []

    async def main(world: World) -> None:
        run = world.service.start(1)
        world.service.faults.append(
            lambda call: {} if call.operation.name == STOP else None  # accepted, and ignored
        )
        made = trigger(run)
        made._log = SimpleNamespace(
            warning=lambda *a: None, info=lambda *a: None, error=lambda *a: lines.append(a[0] % a[1:])
        )
        await made.on_kill()
        await asyncio.sleep(4000)

    simulate(main)
    assert sum("Gave up stopping workflow instance" in line for line in lines) == 1


# 16. Other versions.


def test_arguments_of_a_newer_version_are_ignored_with_a_warning(simulate: Any) -> None:
    lines: list[str] = []

    async def main(world: World) -> None:
        run = world.service.start(1, (5, SUCCESS))
        made = trigger(run, priority="high", shape=3)
        made._log = SimpleNamespace(warning=lambda *a: lines.append(a[0] % a[1:]), info=lambda *a: None)
        assert (await fire(made))[1].outcome is Outcome.ENDED
        assert "shape" not in made.serialize()[1]

    simulate(main)
    assert [line for line in lines if "newer version" in line] == [
        "Arguments of a newer version of this provider are ignored: priority, shape. Upgrade the triggerer"
    ]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("poll_interval", 0),
        ("poll_interval", float("nan")),
        ("poll_interval", True),
        ("workflow_id", "x"),
        ("wf_instance_id", 0),
        ("deadline", -5),
        ("poll_failure_tolerance", float("inf")),
    ],
)
def test_an_argument_that_cannot_be_used_is_named(argument: str, value: Any) -> None:
    with pytest.raises(errors.SchedulerXConfigurationError, match=re.escape(argument)):
        trigger(**{"wf_instance_id": 5, argument: value})


# 18. Red although green.


@pytest.mark.parametrize("ends", [1, 6, 30])
def test_the_event_is_held_back_until_the_deferral_is_known(
    simulate: Any, monkeypatch: pytest.MonkeyPatch, ends: float
) -> None:
    monkeypatch.setattr(deferrals, "seconds_until_a_deferral_is_known", lambda: 10.0)

    async def main(world: World) -> None:
        run = world.service.start(1, (ends, SUCCESS))
        at, event = await fire(trigger(run, poll_interval=1, deferred_at=EPOCH - 1))
        assert event.outcome is Outcome.ENDED
        assert at == pytest.approx(max(9, ends), abs=1.5)
        assert at > 8.99

    simulate(main)


def test_a_clock_that_is_ahead_holds_nothing_back_for_long(
    simulate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deferrals, "seconds_until_a_deferral_is_known", lambda: 10.0)

    async def main(world: World) -> None:
        run = world.service.start(1, (1, SUCCESS))
        at, _ = await fire(trigger(run, poll_interval=1, deferred_at=EPOCH + 86400))
        assert at <= 13

    simulate(main)


# 10. Lines of the process are no task's.


def test_lines_of_the_poller_are_not_written_in_the_context_of_a_trigger(simulate: Any) -> None:
    import contextvars

    whose = contextvars.ContextVar("whose", default="the process")
    lines: list[tuple[str, str]] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append((whose.get(), record.getMessage()))

    async def main(world: World) -> None:
        runs = [world.service.start(1, (60, SUCCESS)) for _ in range(400)]
        world.settings = settings_of("old", calls_per_minute=5)
        world.service.faults.append(
            lambda call: (
                (_ for _ in ()).throw(errors.SchedulerXAuthorizationError("denied"))
                if call.operation.name == LIST
                else None
            )
        )
        whose.set("a trigger")
        triggers_ = [asyncio.create_task(fire(trigger(run))) for run in runs]
        await asyncio.sleep(100)
        for task in triggers_:
            task.cancel()
        await asyncio.gather(*triggers_, return_exceptions=True)

    handler = Handler()
    polling = logging.getLogger("airflow_provider_schedulerx.api.polling")
    polling.addHandler(handler)
    try:
        simulate(main)
    finally:
        polling.removeHandler(handler)
    assert {who for who, _ in lines} == {"the process"}
    said = " ".join(line for _, line in lines)
    assert "cannot be listed" in said
    assert "polled later than poll_interval" in said


# Nodes of a run among many.


def test_the_log_of_a_run_among_many_reads_like_that_of_a_worker(simulate: Any) -> None:
    """A worker polls the run itself each time; the trigger sees it in lists, and its nodes in samples."""
    spans = {"load": (0, 150, 4), "wait": (150, 500, 4), "mail": (500, 600, 5)}

    async def main(world: World) -> None:
        run, *others = (
            world.service.start(1, (600, status)) for status in (FAILED, SUCCESS, SUCCESS, SUCCESS)
        )

        def nodes(call: Any) -> Any:
            if call.operation.name != GET or call.query["WfInstanceId"] != str(run):
                return None
            shown = [
                {
                    "JobId": number,
                    "JobInstanceId": 10 + number,
                    "JobName": name,
                    "Status": 1 if now() < begin else 3 if now() < end else ended,
                    "WorkAddr": "10.0.0.1:1" if now() >= begin else "",
                    "Result": "no relay" if now() >= end and ended == 5 else "",
                }
                for number, (name, (begin, end, ended)) in enumerate(spans.items(), 1)
            ]
            status = 3 if now() < 600 else FAILED
            return {"WfInstanceInfo": {"Status": status}, "WfInstanceDag": {"Nodes": shown, "Edges": []}}

        world.service.faults.append(nodes)

        async def of_a_worker() -> list[str]:
            tracker, said = tracking.RunTracker(600), []
            while True:
                call = WORKFLOW_RUNS.get_call(world.settings.scope, 1, run)
                verdict, lines = tracker.observe(await world.service.perform(call), now())
                said += lines
                if verdict is tracking.Verdict.FAILED:
                    return said
                await asyncio.sleep(10)

        async def of_the_trigger() -> list[str]:
            said: list[str] = []
            made = trigger(run)
            made._log = SimpleNamespace(info=lambda *a: said.append(a[0] % a[1:]), warning=lambda *a: None)
            await fire(made)
            return said

        (worker, triggerer), _ = await asyncio.gather(
            asyncio.gather(of_a_worker(), of_the_trigger()),
            asyncio.gather(*(fire(trigger(other)) for other in others)),
        )
        assert worker == triggerer
        assert worker[0] == "Workflow instance 1000 is RUNNING"
        assert worker[1] == "Node load (job 1) is RUNNING (worker: 10.0.0.1:1)"
        assert any("is still RUNNING; running: wait (job 2)" in line for line in worker)
        assert any("Node mail (job 3) is FAILED (result: no relay" in line for line in worker)
        assert world.service.calls[LIST] > 50

    simulate(main)


@pytest.mark.parametrize("fault", ["connection", "throttled", "unavailable"])
def test_a_crowd_that_searches_keeps_its_deadlines_whatever_fails(
    simulate: Callable[..., Any], fault: str
) -> None:
    """They share lookups and lists, so that a trigger may find that the next one has failed before it asks."""
    count, first, apart = 40, 12.0, 0.37

    async def main(world: World) -> list[tuple[str, float]]:
        if fault == "connection":
            world.settings = errors.SchedulerXUnavailableError("the secrets backend is away")
        else:
            error = {
                "throttled": lambda: errors.SchedulerXThrottledError("throttled", code="Throttling.User"),
                "unavailable": lambda: errors.SchedulerXUnavailableError("reset"),
            }[fault]
            world.service.faults.append(failing(error, 0, 5000))

        async def search(number: int) -> tuple[str, float]:
            deadline = first + apart * number
            trigger = ScheduledRunTrigger(
                kind_name="workflow",
                definition_id=1,
                field="data_time",
                beginning="2026-11-24",
                poll_interval=2,
                deadline=EPOCH + deadline,
            )
            (event,) = [each.payload async for each in trigger.run()]
            return event["outcome"], now() - deadline

        return await asyncio.gather(*map(search, range(count)))

    ends = simulate(main)
    assert {outcome for outcome, _ in ends} == {"timeout"}
    assert max(late for _, late in ends) <= 10


# Stops and last polls that meet a fault.


def test_a_stop_waits_for_a_run_that_the_service_does_not_show_yet(simulate: Any) -> None:
    async def main(world: World) -> None:
        run = world.service.start(1)
        world.service.faults.append(failing(lambda: errors.SchedulerXNotFoundError("not existed"), 0, 40))
        await trigger(run).on_kill()
        await until_all_stops_end()
        assert world.service.runs[run].status(now()) == FAILED

    simulate(main)


@pytest.mark.parametrize("runs", [1, 200])
@pytest.mark.parametrize(
    "fault",
    [
        errors.SchedulerXUnavailableError("reset"),
        errors.SchedulerXThrottledError("throttled", code="Throttling.User"),
    ],
    ids=["reset", "throttled"],
)
def test_a_fault_at_the_deadline_is_not_the_last_poll(simulate: Any, runs: int, fault: Any) -> None:
    async def main(world: World) -> None:
        started = [world.service.start(1, (99, SUCCESS)) for _ in range(runs)]
        world.service.faults.append(failing(lambda: fault, 99, 101))
        ended = await asyncio.gather(
            *(fire(trigger(run, deadline=EPOCH + 100, poll_interval=600)) for run in started)
        )
        assert {event.outcome for _, event in ended} == {Outcome.ENDED}
        assert max(at for at, _ in ended) <= 110

    simulate(main, quota=100)


def test_a_stop_goes_on_with_a_key_that_was_rotated(simulate: Any) -> None:
    async def main(world: World) -> None:
        run = world.service.start(1)
        revoked = ScriptedService(runs=world.service.runs)
        revoked.faults.append(
            failing(lambda: errors.SchedulerXAuthenticationError("InvalidAccessKeyId.Inactive"), 0, 1e9)
        )
        world.services["old"] = revoked
        asyncio.get_running_loop().call_later(100, setattr, world, "settings", settings_of("new"))
        await trigger(run).on_kill()
        await until_all_stops_end()
        assert world.service.runs[run].status(now()) == FAILED
        assert now() <= 130
        # Read again now and then, not at each poll of the hour.
        assert world.lookups <= 30

    simulate(main)


def test_a_stop_says_each_kind_of_fault_once(simulate: Any) -> None:
    lines: list[str] = []

    async def main(world: World) -> None:
        run = world.service.start(1)
        world.service.faults.append(failing(lambda: errors.SchedulerXUnavailableError("reset"), 0, 600))
        made = trigger(run)
        say = lambda *a: lines.append(a[0] % a[1:])  # noqa: E731
        made._log = SimpleNamespace(warning=say, info=say, error=say)
        await made.on_kill()
        await until_all_stops_end()
        assert world.service.runs[run].status(now()) == FAILED

    simulate(main)
    assert sum("reset" in line for line in lines) == 1
    assert not [line for line in lines if "Gave up" in line]


def test_a_crowd_that_cannot_be_stopped_leaves_calls_for_the_others(simulate: Any) -> None:
    async def main(world: World) -> None:
        world.service.faults.append(lambda call: {} if call.operation.name == STOP else None)
        runs = [world.service.start(1 + number % 3) for number in range(150)]
        others = [world.service.start(99 + number, (2400, SUCCESS)) for number in range(40)]
        world.service.unlisted.update(others)
        following = [
            asyncio.create_task(fire(trigger(run, 99 + n, poll_interval=60))) for n, run in enumerate(others)
        ]
        await asyncio.gather(*(trigger(run, 1 + n % 3).on_kill() for n, run in enumerate(runs)))
        ended = await asyncio.gather(*following)
        assert max(at for at, _ in ended) <= 2400 + 72
        await until_all_stops_end()

    simulate(main, quota=100)


@pytest.mark.parametrize("operation", [GET, STOP])
@pytest.mark.parametrize("fault", ["refused", "throttled", "reset", "hangs"])
def test_a_crowd_whose_stops_fail_for_ever_is_given_up_in_time_each_with_a_line(
    simulate: Any, operation: str, fault: str
) -> None:
    raised: dict[str, BaseException] = {
        "refused": errors.SchedulerXRejectedError("job status error", code="400"),
        "throttled": errors.SchedulerXThrottledError("throttled", code="Throttling.User"),
        "reset": errors.SchedulerXUnavailableError("reset"),
        "hangs": TimeoutError(),
    }
    given_up: list[str] = []
    reported: list[float] = []
    ended: list[float] = []

    class Log:
        def info(self, *line: Any) -> None: ...

        warning = info

        def error(self, message: str, *arguments: Any) -> None:
            if message.startswith("Gave up"):
                given_up.append(message % arguments)
                ended.append(now())

    async def main(world: World) -> None:
        def fail(call: Any) -> None:
            if call.operation.name == operation:
                raise raised[fault]

        world.service.faults.append(fail)
        runs = [world.service.start(1 + number % 3) for number in range(300)]
        made = [trigger(run, 1 + number % 3) for number, run in enumerate(runs)]
        for each in made:
            each._log = cast("Any", Log())
        await asyncio.gather(*(each.on_kill() for each in made))
        await until_all_stops_end()
        assert world.service.most_in_a_minute(operation) <= 100
        assert len(given_up) == len(runs)
        for run in runs:
            assert sum(f"instance {run} " in line for line in given_up) == 1

    set_reporter(
        lambda metric, value, tags: reported.append(value) if metric is Metric.STOPS_GIVEN_UP else None
    )
    try:
        simulate(main)
    finally:
        set_reporter(None)
    assert reported == [1] * 300
    assert min(ended) >= 3600
    assert max(ended) <= 3600 + 300 + 1


@pytest.mark.parametrize("fault", ["reset", "throttled", "key", "connection"])
@pytest.mark.parametrize("seconds", [0.5, 2])
def test_a_fault_at_the_deadline_is_not_the_last_list(simulate: Any, fault: str, seconds: float) -> None:
    raised: dict[str, Callable[[], BaseException]] = {
        "reset": lambda: errors.SchedulerXUnavailableError("reset"),
        "throttled": lambda: errors.SchedulerXThrottledError("throttled", retry_after=1),
        "key": lambda: errors.SchedulerXAuthenticationError("InvalidAccessKeyId.Inactive"),
    }

    async def main(world: World) -> None:
        loop = asyncio.get_running_loop()
        if fault == "connection":
            good, world.settings = world.settings, errors.SchedulerXUnavailableError("away")
            loop.call_at(96 + seconds, setattr, world, "settings", good)
        else:
            world.service.faults.append(failing(raised[fault], 99, 100 + seconds))
        run = {"WfInstanceId": 7, "WorkflowId": 1, "Status": RUNNING, "DataTime": "2026-11-24 02:00:00"}
        world.service.faults.append(lambda _: {"WfInstanceInfos": [run] if now() >= 99.5 else []})
        wanted: dict[str, Any] = {
            "kind_name": "workflow",
            "definition_id": 1,
            "field": "data_time",
            "beginning": "2026-11-24",
        }
        made = ScheduledRunTrigger(
            **wanted, poll_interval=600, deadline=EPOCH + 100, poll_failure_tolerance=3000
        )
        (event,) = [each.payload async for each in made.run()]
        assert event["outcome"] == "found", event
        assert now() <= 110

    simulate(main)


# What lookups leave behind.


@pytest.mark.parametrize("what", ["settings", "name"])
def test_a_loop_that_ends_soon_after_a_lookup_is_freed(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def aget_settings(hook: Any) -> Any:
        return settings_of()

    async def look_up(*_: Any) -> int:
        return 5

    monkeypatch.setattr(SchedulerXHook, "aget_settings", aget_settings)
    monkeypatch.setattr(definitions, "_look_up", look_up)

    async def main() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        if what == "settings":
            await read_settings(trigger(1))
        else:
            assert await definitions.find_definition(settings_of(), WORKFLOW_RUNS, "nightly") == 5

    run_simulated(main)
    gc.collect()
    assert loops[0]() is None


def test_a_lookup_that_fails_when_nobody_waits_any_more_leaves_no_complaint(
    simulate: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(world: World) -> None:
        world.settings = RuntimeError("the API server is away")
        waiting = [asyncio.create_task(read_settings(trigger(number))) for number in (1, 2)]
        await asyncio.sleep(0)
        for each in waiting:
            each.cancel()
        await asyncio.sleep(10)

    simulate(main)
    gc.collect()
    assert "never retrieved" not in caplog.text
