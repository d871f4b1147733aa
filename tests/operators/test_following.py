"""How a run is followed to its end, on a worker or in the triggerer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAuthorizationError,
    SchedulerXNotFoundError,
    SchedulerXThrottledError,
    SchedulerXUnavailableError,
)
from airflow_provider_schedulerx.api.runs.tracking import MAX_UNKNOWN_STATUS_POLLS, MIN_FAILED_POLLS
from airflow_provider_schedulerx.exceptions import RunLostError, RunUndecidedError
from airflow_provider_schedulerx.operators import following as module
from airflow_provider_schedulerx.operators.following import (
    after_trigger_gave_up,
    defer_until_end,
    ended_meanwhile,
    poll_until_end,
)
from airflow_provider_schedulerx.operators.interrupts import Killed, TimeIsUp
from airflow_provider_schedulerx.operators.task_run import TaskRun
from airflow_provider_schedulerx.triggers.run import DEFERRAL_MARGIN
from tests.operators.played import Try, needs_store, run

pytestmark = needs_store

SUCCESS, FAILED, RUNNING, UNKNOWN = 4, 5, 3, 42
AWAY = SchedulerXUnavailableError("away")


class One(Try):
    """A try that follows run 6.

    :ivar paused: seconds of its pauses, each of which takes so long.
    :ivar seen: what goes to the run's page.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **more: Any) -> None:
        self.now = 1000.0
        clock = SimpleNamespace(monotonic=lambda: self.now, time=lambda: self.now + 1e6)
        monkeypatch.setattr(module, "time", clock)
        monkeypatch.setattr("airflow_provider_schedulerx.operators.interrupts.time", clock)
        is_own, is_new = more.pop("is_own", True), more.pop("is_new", True)
        self.poll_interval, self.cancel_on_kill = 30.0, more.pop("cancel", True)
        super().__init__(**more)
        self.seen: list[Any] = []
        self.owner.snapshots = cast(Any, SimpleNamespace(observe=self.seen.append))
        cast(Any, self.owner.interrupts).pause = self._pause
        self.followed: TaskRun = self.owner.follow(self.start.run(6, is_own=is_own, is_new=is_new))
        self.is_polling: list[bool] = []
        get = self.calls.get

        def look(*ids: int) -> Any:
            assert ids == (1, 6)
            self.is_polling.append(self.owner.interrupts._is_polling)
            return get(*ids)

        self.calls.get = look

    def _pause(self, seconds: float) -> None:
        self.paused.append(seconds)
        self.now += seconds

    @property
    def task(self) -> Any:
        """The operator."""
        return SimpleNamespace(
            poll_failure_tolerance=600.0,
            settling_time=60.0,
            poll_interval=self.poll_interval,
            cancel_on_kill=self.cancel_on_kill,
            log=self.log,
        )

    def poll(self) -> Any:
        return poll_until_end(self.task, self.owner, self.followed)


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> One:
    return One(monkeypatch)


# On a worker.


@pytest.mark.parametrize("status", [SUCCESS, FAILED])
def test_a_run_is_polled_until_it_has_ended(one: One, status: int) -> None:
    polls = [run(RUNNING, 6), run(RUNNING, 6), run(status, 6)]
    one.answers(get=list(polls))
    assert one.poll() == polls[-1]
    assert one.paused == [30.0, 30.0]
    assert one.seen == polls
    assert one.log == [
        "Workflow instance 6 is RUNNING",
        f"Workflow instance 6 is {run(status, 6).status.name}",
    ]
    assert one.is_polling == [True] * 3, "a kill may interrupt it"
    assert not one.owner.interrupts._is_polling


def test_time_that_is_up_allows_one_more_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    one = One(monkeypatch, timeout=40)
    one.answers(get=[run(RUNNING, 6)] * 3)
    with pytest.raises(TimeIsUp):
        one.poll()
    assert one.paused == [30.0, 10.0]
    one = One(monkeypatch, timeout=30.5)
    one.answers(get=[run(RUNNING, 6), run(RUNNING, 6), run(SUCCESS, 6)])
    assert one.poll().status.is_success, "a run that has ended meanwhile counts"


def test_a_poll_that_fails_is_made_again(one: One) -> None:
    one.answers(get=[AWAY, SchedulerXThrottledError("slow"), run(SUCCESS, 6)])
    assert one.poll() == run(SUCCESS, 6)
    assert one.log[:2] == [
        "Could not poll workflow instance 6: away",
        "Could not poll workflow instance 6: slow",
    ]
    assert one.seen == [run(SUCCESS, 6)]


def test_a_run_that_is_not_there_yet_is_reported_once(one: One) -> None:
    missing = SchedulerXNotFoundError("not existed")
    one.answers(get=[missing, missing, run(SUCCESS, 6)])
    one.poll()
    assert sum("Could not poll" in line for line in one.log) == 1


def test_polls_that_keep_failing_lose_the_run(one: One) -> None:
    one.poll_interval = 601.0
    one.answers(get=[AWAY] * MIN_FAILED_POLLS)
    text = "^Workflow instance 6 can no longer be followed: away. It may be active. A retry picks it up$"
    with pytest.raises(RunLostError, match=text) as lost:
        one.poll()
    assert lost.value.__suppress_context__
    one.answers(get=SchedulerXAuthorizationError("no"))
    with pytest.raises(RunLostError, match="followed: no"):
        one.poll()


def test_a_run_that_stays_unknown_to_the_service_is_not_retried(one: One) -> None:
    one.poll_interval = 61.0
    one.answers(get=[SchedulerXNotFoundError("not existed")] * 2)
    text = (
        "^Workflow instance 6 can no longer be followed: not existed. The task is not retried, because the service would "
        "not know the run in a retry either$"
    )
    with pytest.raises(RunUndecidedError, match=text):
        one.poll()


def test_a_status_that_nobody_knows_loses_the_run(one: One) -> None:
    one.answers(get=[run(UNKNOWN, 6)] * MAX_UNKNOWN_STATUS_POLLS)
    text = "followed: it shows the status 42, which is not documented. It may be active. A retry"
    with pytest.raises(RunLostError, match=text):
        one.poll()


# In the triggerer.


class Deferred(Exception):
    pass


def deferral(one: One, deadline: float | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the trigger and Airflow are given; both empty if the run has ended.

    :param deadline: of an earlier deferral.
    """
    given: list[dict[str, Any]] = []
    one.ti.xcom_push = lambda key, value: given.append({"xcom": (key, value)})

    def defer(**arguments: Any) -> None:
        given.append(arguments)
        raise Deferred

    task = one.task
    task.defer = defer
    task.trigger_class = lambda: SimpleNamespace(from_task=lambda made_of, **more: (made_of is task, more))
    try:
        defer_until_end(task, one.context, one.owner, one.followed, deadline)
    except Deferred:
        pushed, arguments = given
        assert pushed == {
            "xcom": ("schedulerx_followed", [1, 6, one.followed.is_own, one.ti.try_number]),
        }
        is_of_the_task, trigger = arguments.pop("trigger")
        assert is_of_the_task
        return trigger, arguments
    assert given == []
    return {}, {}


@pytest.mark.parametrize("status", [SUCCESS, FAILED])
def test_a_run_that_has_ended_is_not_deferred_for(one: One, status: int) -> None:
    one.answers(get=run(status, 6))
    assert deferral(one) == ({}, {})
    assert one.seen == [run(status, 6)]


def test_a_trigger_and_the_second_part_of_the_task_know_the_run(one: One) -> None:
    one.answers(get=run(RUNNING, 6))
    trigger, airflow = deferral(one)
    assert trigger == {
        "definition_id": 1,
        "instance_id": 6,
        "poll_interval": 30.0,
        "deadline": None,
        "started_at": 1_001_000.0,
        "settling_time": 60.0,
        "cancel_on_kill": True,
    }
    assert airflow == {
        "method_name": "execute_complete",
        "kwargs": {"definition_id": 1, "instance_id": 6, "is_own": True, "try_number": 1, "deadline": None},
        "timeout": None,
    }
    assert one.seen == [run(RUNNING, 6)]


def test_a_first_poll_that_fails_is_left_to_the_trigger(one: One) -> None:
    one.answers(get=AWAY)
    assert deferral(one)[0]["instance_id"] == 6
    assert one.log == ["Could not poll workflow instance 6: away"]


def test_a_limit_becomes_a_deadline_and_airflow_enforces_it_a_little_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = One(monkeypatch, timeout=40)
    one.answers(get=run(RUNNING, 6))
    trigger, airflow = deferral(one)
    assert trigger["deadline"] == airflow["kwargs"]["deadline"] == 1_001_040.0
    assert airflow["timeout"].total_seconds() == 40 + DEFERRAL_MARGIN


@pytest.mark.parametrize(("deadline", "left"), [(1_001_015.0, 15), (1_000_990.0, 0)])
def test_who_defers_again_gets_no_more_time(
    monkeypatch: pytest.MonkeyPatch, deadline: float, left: float
) -> None:
    one = One(monkeypatch, timeout=40)
    one.answers(get=run(RUNNING, 6))
    trigger, airflow = deferral(one, deadline)
    assert trigger["deadline"] == airflow["kwargs"]["deadline"] == deadline
    assert airflow["timeout"].total_seconds() == left + DEFERRAL_MARGIN


@pytest.mark.parametrize(
    ("more", "stops", "is_new"),
    [({"is_new": False}, True, False), ({"is_own": False}, False, True), ({"cancel": False}, False, True)],
)
def test_the_trigger_stops_only_what_is_to_be_stopped(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], stops: bool, is_new: bool
) -> None:
    one = One(monkeypatch, **more)
    one.answers(get=run(RUNNING, 6))
    trigger, airflow = deferral(one)
    assert trigger["cancel_on_kill"] is stops
    assert (trigger["started_at"] is not None) is is_new
    assert airflow["kwargs"]["is_own"] is more.get("is_own", True)


def test_who_was_killed_does_not_defer(one: One) -> None:
    one.answers(get=run(RUNNING, 6))
    one.owner.interrupts.was_killed = True
    with pytest.raises(Killed):
        deferral(one)


# After it.


@pytest.mark.parametrize("status", [SUCCESS, FAILED])
def test_a_run_may_have_ended_while_the_task_waited_for_a_worker(one: One, status: int) -> None:
    one.answers(get=[run(status, 6), run(RUNNING, 6), AWAY])
    assert ended_meanwhile(one.task, one.owner, one.followed) == run(status, 6)
    assert ended_meanwhile(one.task, one.owner, one.followed) is None
    assert one.log == []
    assert ended_meanwhile(one.task, one.owner, one.followed) is None
    assert one.log == ["Could not poll workflow instance 6: away"]


def test_what_a_trigger_gave_up_is_lost_unless_the_service_does_not_know_it(one: One) -> None:
    one.answers(get=[run(RUNNING, 6), AWAY, SchedulerXNotFoundError("not existed")])
    text = "Workflow instance 6 can no longer be followed: it was too much. It may be active. A retry picks it up"
    for _ in range(2):
        error = after_trigger_gave_up(one.task, one.owner, one.followed, "it was too much")
        assert (type(error), str(error)) == (RunLostError, text)
    assert one.log == ["Could not poll workflow instance 6: away"]
    error = after_trigger_gave_up(one.task, one.owner, one.followed, "it was too much")
    assert type(error) is RunUndecidedError
    assert "followed: not existed. The task is not retried" in str(error)
