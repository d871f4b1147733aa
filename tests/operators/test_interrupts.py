"""What can interrupt a try wherever it is."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from airflow_provider_schedulerx.operators import interrupts
from airflow_provider_schedulerx.operators.interrupts import Interrupts, Killed, TimeIsUp, TimeLimit


class Clock:
    """:ivar slept: seconds of each sleep. :ivar after: called after each."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        self.after: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.after()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(interrupts, "time", clock)
    return clock


def test_of_several_limits_the_shortest_counts_and_is_named(clock: Clock) -> None:
    limit = TimeLimit(timeout=50, other=None, execution_timeout=20.5)
    assert (limit.seconds, str(limit)) == (20.5, "execution_timeout=20.5 s")
    clock.now += 20
    assert limit.left == 0.5


def test_without_a_limit_time_never_ends(clock: Clock) -> None:
    limit = TimeLimit(timeout=None)
    clock.now += 1e9
    assert (limit.left, limit.seconds, str(limit)) == (float("inf"), float("inf"), "its time")


@pytest.mark.parametrize(("passed", "left"), [(0.998, 0.002), (0.9995, 0.0), (1, 0.0), (5, 0.0)])
def test_a_limit_passes_a_millisecond_before_its_end(clock: Clock, passed: float, left: float) -> None:
    limit = TimeLimit(timeout=1)
    clock.now += passed
    assert limit.left == pytest.approx(left, abs=1e-6)
    assert Interrupts(limit).left() == limit.left
    assert (limit.left == 0) is (left == 0)


def test_a_millisecond_is_no_time(clock: Clock) -> None:
    clock.now = 0.0
    assert TimeLimit(timeout=0.001).left == 0


# Sleeping.


def test_a_pause_is_short_pieces_that_last_as_long(clock: Clock) -> None:
    Interrupts(TimeLimit()).pause(1.1)
    assert sum(clock.slept) == pytest.approx(1.1)
    assert max(clock.slept) == 0.2


def test_a_kill_ends_a_pause_after_a_piece(clock: Clock) -> None:
    one = Interrupts(TimeLimit())

    def kill() -> None:
        one.was_killed = len(clock.slept) == 2

    clock.after = kill
    with pytest.raises(Killed):
        one.pause(10)
    assert len(clock.slept) == 2


@pytest.mark.parametrize("seconds", [0, 10])
def test_who_was_killed_does_not_sleep(clock: Clock, seconds: float) -> None:
    one = Interrupts(TimeLimit())
    assert one.was_killed is False
    one.was_killed = True
    with pytest.raises(Killed):
        one.pause(seconds)
    with pytest.raises(Killed):
        one.check_killed()
    assert clock.slept == []


def test_a_kill_in_the_last_piece_is_noticed(clock: Clock) -> None:
    one = Interrupts(TimeLimit())
    clock.after = lambda: setattr(one, "was_killed", True)
    with pytest.raises(Killed):
        one.pause(0.1)


def test_a_bounded_pause_lasts_no_longer_than_the_limit(clock: Clock) -> None:
    one = Interrupts(TimeLimit(timeout=1))
    one.bounded_pause(0.1)
    assert clock.now == pytest.approx(100.1)
    one.bounded_pause(5)
    assert clock.now == pytest.approx(101)
    with pytest.raises(TimeIsUp):
        one.bounded_pause(5)
    assert clock.now == pytest.approx(101)


# A poll.


def test_only_a_poll_is_interrupted() -> None:
    one = Interrupts(TimeLimit())
    one.interrupt_poll()
    with pytest.raises(Killed), one.polling():
        one.interrupt_poll()
    one.interrupt_poll()
    with pytest.raises(ValueError, match="x"), one.polling():
        raise ValueError("x")
    one.interrupt_poll()


def test_only_the_main_thread_is_interrupted() -> None:
    one = Interrupts(TimeLimit())
    ended: list[bool] = []

    def elsewhere() -> None:
        one.interrupt_poll()
        ended.append(True)

    with one.polling():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert ended
