"""What an adversary found beside the matrix: answers that come late, and runs that end in between."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_schedulerx.emulator.engine import Refused
from airflow_provider_schedulerx.operators import start
from airflow_provider_schedulerx.operators.run_owner import RunOwner
from dev.experiments.airflow_stand_in import Task
from dev.experiments.inprocess import START
from dev.experiments.scenarios import GOOD, OFF, SLOW, World
from tests.matrix.conftest import SHORT

pytest.importorskip("airflow.sdk.execution_time.context", reason="of Airflow 3")

SUCCESS = 4


def lose_the_answer_late(world: World, seconds: float, meanwhile: Callable[[], object] | None = None) -> None:
    """Let the first start's answer be given up after so many seconds, as a read timeout does."""
    world.service.add_fault("drop", when="after")

    def at(operation: str, stage: str) -> None:
        if operation == START and stage == "after":
            world.service.at = world.alive
            if meanwhile is not None:
                world.clock.now += 5
                meanwhile()
            world.clock.now += seconds

    world.service.at = at


@pytest.mark.parametrize("profile", ["documented", "hostile,late_refusal=never"])
@pytest.mark.parametrize("marker", [False, True])
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_run_that_ends_before_its_answer_is_given_up_is_found(
    make: Callable[..., World], deferrable: bool, marker: bool, profile: str
) -> None:
    world = make(deferrable=deferrable, marker=marker, profile=profile)
    with world.service.in_force():
        world.define(SHORT, retries=2)
        lose_the_answer_late(world, 30)
        world.task.run()
    assert [run.status for run in world.service.own] == [SUCCESS]
    assert world.task.state == "success"


@pytest.mark.parametrize("marker", [False, True])
def test_a_run_of_somebody_else_meanwhile_makes_ours_no_older(
    make: Callable[..., World], marker: bool
) -> None:
    world = make(marker=marker)
    with world.service.in_force():
        world.define(GOOD, retries=2)
        lose_the_answer_late(
            world, 10, lambda: world.service.start_as_a_stranger(GOOD, '{"day":99}') and None
        )
        world.task.run()
    assert len(world.service.own) == 1
    assert world.task.state == "success"


@pytest.mark.parametrize("behind", [-14_400, 14_400])
def test_clocks_of_two_workers_that_differ_by_hours_start_no_second_run(
    make: Callable[..., World], monkeypatch: pytest.MonkeyPatch, behind: int
) -> None:
    """By the clock of the second worker, the first run in sight would be older than the request that started it."""
    world = make()
    with world.service.in_force():
        world.define(SLOW, retries=1)
        world.task._retry_delay = 3600
        world.die_at("after")
        one_try = world.task._try

        def try_elsewhere() -> None:
            if world.task.ti.try_number == 2:
                elsewhere = SimpleNamespace(time=lambda: world.clock.time() - behind)
                monkeypatch.setattr(start, "time", elsewhere)
                world.service.start_as_a_stranger(SLOW, '{"day":99}')
                world.clock.sleep(10)
            one_try()

        monkeypatch.setattr(world.task, "_try", try_elsewhere)
        world.task.run()
    assert [run.status for run in world.service.own] == [SUCCESS]
    assert world.task.state == "success"


def test_a_run_that_succeeds_just_before_its_stop_is_returned(
    make: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make()
    stop = RunOwner.stop

    def late(self: RunOwner, run: Any) -> Any:
        world.clock.now += 60
        return stop(self, run)

    monkeypatch.setattr(RunOwner, "stop", late)
    with world.service.in_force():
        world.define(GOOD, retries=1, timeout=40)
        world.task.run()
    assert [run.status for run in world.service.own] == [SUCCESS]
    assert world.task.state == "success"


def test_a_run_that_succeeds_while_its_task_waits_for_a_worker_is_a_success(
    make: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make(deferrable=True)
    deferred = Task._deferred

    def queued(self: Task, deferral: Any) -> Any:
        event = deferred(self, deferral)
        self._clock.sleep(60)
        return event

    monkeypatch.setattr(Task, "_deferred", queued)
    with world.service.in_force():
        world.define(GOOD, retries=0, timeout=50)
        world.task.run()
    assert [run.status for run in world.service.own] == [SUCCESS]
    assert world.task.state == "success"


def test_retries_that_were_lowered_hide_no_earlier_try(
    make: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below Airflow 3.3, where only the marker shows the run of an earlier try."""
    world = make(marker=True)
    monkeypatch.setattr(Task, "context", property(lambda self: {"ti": self.ti, "outlet_events": {}}))
    with world.service.in_force():
        world.define(GOOD, retries=3)
        make_operator = world.task._make

        def with_fewer() -> Any:
            operator = make_operator()
            if world.task.ti.try_number >= 2:
                operator.retries = 2
            return operator

        monkeypatch.setattr(world.task, "_make", with_fewer)
        world.die_at("after")
        world.task.run()
    assert [run.status for run in world.service.own] == [SUCCESS]


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_cleared_task_whose_run_the_service_has_forgotten_starts(
    make: Callable[..., World], deferrable: bool
) -> None:
    world = make(deferrable=deferrable, marker=True)
    with world.service.in_force():
        world.define(GOOD, retries=2)
        world.task.run()
        (old,) = world.service.own
        world.clock.sleep(40 * 86_400)
        world.service.engine._runs.remove(old)
        world.task.clear()
        world.task.run()
    assert world.task.state == "success"
    assert len({run.wf_instance_id for run in world.service.own} - {old.wf_instance_id}) == 1


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("marker", [False, True])
def test_a_start_in_the_same_second_as_another_is_made_again_within_the_try(
    make: Callable[..., World], deferrable: bool, marker: bool
) -> None:
    """As mapped tasks do that start the same workflow: the service may take one start in a second."""
    world = make(deferrable=deferrable, marker=marker, profile="documented,start_interval=1")
    with world.service.in_force():
        world.define(GOOD, retries=0)

        def at(operation: str, stage: str) -> None:
            world.task.process.check()
            if operation == START and stage == "before":
                world.service.at = world.alive
                world.service.start_as_a_stranger(GOOD, '{"day":99}')

        world.service.at = at
        world.task.run()
    assert [run.status for run in world.service.own] == [SUCCESS]
    assert world.task.state == "success"


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("lag", ["0", "2", "20"])
def test_a_start_that_a_gateway_repeats_is_made_once_however_late_the_list(
    make: Callable[..., World], lag: str, deferrable: bool
) -> None:
    """The answer is that to the repetition: the start is a duplicate, namely of the task's own."""
    profile = f"documented,list_lag={lag},same_second=duplicate"
    world = make(deferrable=deferrable, marker=True, job=True, profile=profile)
    engine = world.service.engine
    refusals: list[Refused] = []
    start = engine.execute_job

    def twice(*given: Any, **more: Any) -> Any:
        run = start(*given, **more)
        if not refusals:
            with pytest.raises(Refused, match="Duplicate entry") as refused:
                start(*given, **more)
            refusals.append(refused.value)
            raise refused.value
        return run

    with world.service.in_force():
        world.define(GOOD, retries=0)
        engine.execute_job = twice  # type: ignore[method-assign]
        world.task.run()
    assert refusals
    assert [run.status for run in world.service.own] == [SUCCESS]
    assert world.task.state == "success"


def test_a_start_that_is_refused_while_nobody_else_starts_is_left_to_the_retry(
    make: Callable[..., World],
) -> None:
    """The service means it: to ask again at once would be refused again."""
    world = make()
    with world.service.in_force():
        world.define(OFF, retries=0)
        world.task.run()
    assert world.task.state == "failed"
    assert world.service.own == []
    assert world.service.starts == 1
