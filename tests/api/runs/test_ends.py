"""Each end is reported once, whatever the lists show and whoever goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_schedulerx.api.models import WorkflowInstanceStatus, WorkflowInstanceSummary
from airflow_provider_schedulerx.api.runs.ends import Cursor, Ends

RUNNING, SUCCESS, FAILED, STRANGE = (WorkflowInstanceStatus(number) for number in (3, 4, 5, 7))


def listed(*runs: tuple[int, WorkflowInstanceStatus]) -> list[WorkflowInstanceSummary]:
    return [WorkflowInstanceSummary(101, number, status) for number, status in runs]


def reported(ends: Ends, *runs: tuple[int, WorkflowInstanceStatus]) -> list[int]:
    """Take in a list and report what has ended."""
    seen = ends.observe(listed(*runs))
    for summary in seen.ended:
        ends.report(summary.instance_id)
    return [summary.instance_id for summary in seen.ended]


def test_the_first_list_only_sets_the_cursor() -> None:
    ends = Ends(None)
    assert reported(ends, (3, RUNNING), (2, FAILED), (1, SUCCESS)) == []
    assert reported(ends, (4, SUCCESS), (3, SUCCESS), (2, FAILED), (1, SUCCESS)) == [3, 4]
    assert reported(ends, (4, SUCCESS), (3, SUCCESS), (2, FAILED), (1, SUCCESS)) == []


def test_who_goes_on_reports_what_nobody_did() -> None:
    first = Ends(None)
    reported(first, (2, RUNNING), (1, SUCCESS))
    assert reported(first, (3, SUCCESS), (2, SUCCESS), (1, SUCCESS)) == [2, 3]
    first.settle([2])
    second = Ends(Cursor.from_data(json.loads(json.dumps(first.cursor.to_data()))))
    assert reported(second, (4, FAILED), (3, SUCCESS), (2, SUCCESS), (1, SUCCESS)) == [3, 4]


def test_an_end_that_was_reported_and_not_confirmed_stays_pending() -> None:
    ends = Ends(Cursor(listed=frozenset({1}), settled=(1,)))
    assert reported(ends, (2, SUCCESS), (1, SUCCESS)) == [2]
    assert ends.unconfirmed == {2}
    assert ends.cursor.pending == {2}
    ends.settle([2])
    assert not ends.unconfirmed
    assert ends.cursor.pending == set()
    assert reported(ends, (2, SUCCESS), (1, SUCCESS)) == []


def test_an_active_run_that_is_pushed_out_is_undecided_and_no_gap() -> None:
    ends = Ends(Cursor(listed=frozenset({1, 2}), settled=(1,), pending=frozenset({2})))
    seen = ends.observe(listed((4, RUNNING), (3, SUCCESS), (2, RUNNING)))
    assert seen.undecided == frozenset()
    seen = ends.observe(listed((5, RUNNING), (4, RUNNING), (3, SUCCESS)))
    assert (seen.undecided, seen.gap) == ({2}, "")


def test_a_status_that_is_not_documented_decides_nothing() -> None:
    ends = Ends(Cursor())
    seen = ends.observe(listed((1, STRANGE)))
    assert (seen.ended, seen.undecided) == ((), {1})


def test_lists_that_have_nothing_in_common_leave_a_gap() -> None:
    ends = Ends(Cursor(listed=frozenset({1, 2}), settled=(1, 2)))
    seen = ends.observe(listed((9, SUCCESS), (8, SUCCESS), (7, SUCCESS)))
    assert [summary.instance_id for summary in seen.ended] == [7, 8, 9]
    assert seen.gap.startswith("none of the 2 runs listed before is among the 3 listed now")
    assert ends.observe(listed((10, SUCCESS), (9, SUCCESS))).gap == ""


def test_a_list_that_may_be_cut_off_and_shows_nothing_known_leaves_a_gap() -> None:
    ends = Ends(None)
    assert ends.observe([]).gap == ""
    full = listed(*((number, SUCCESS) for number in range(10, 0, -1)))
    assert ends.observe(full).gap.startswith("no run was listed before, and all 10 runs listed now are")
    assert Ends(Cursor()).observe(full[1:]).gap == ""


def test_an_empty_list_is_no_gap() -> None:
    ends = Ends(Cursor(listed=frozenset({1}), settled=(1,)))
    assert ends.observe([]).gap == ""


def test_the_cursor_stays_small() -> None:
    ends = Ends(None)
    for number in range(3000):
        runs = [(each, SUCCESS) for each in range(number, max(-1, number - 300), -1)]
        for summary in ends.observe(listed(*runs)).ended:
            ends.settle([summary.instance_id])
    assert len(json.dumps(ends.cursor.to_data())) < 65535 / 4
    assert len(ends.cursor.settled) <= 601


@pytest.mark.parametrize(
    "data",
    [
        *(None, {}, [], "x", {"version": 2, "pending": [], "settled": [], "listed": []}),
        *({"version": 1, "pending": [], "settled": None, "listed": []}, {"version": 1, "pending": ["x"]}),
    ],
)
def test_what_is_no_cursor_is_none(data: Any) -> None:
    assert Cursor.from_data(data) is None


class Service(RuleBasedStateMachine):
    """Runs begin and end; lists show the newest; whoever looks is killed at any moment and followed by another.

    A report arrives with its event, or neither does; that it has arrived is learnt sooner or later.
    """

    length = 4

    @initialize(are_rising=st.booleans())
    def begin(self, are_rising: bool) -> None:
        self.are_rising = are_rising
        self.runs: list[tuple[int, WorkflowInstanceStatus]] = []
        self.events: list[int] = []
        self.stored: Any = None
        self.on_the_way: list[int] = []
        self.arrived: set[int] = set()
        self.undecided: frozenset[int] = frozenset()
        self.unseen = 0
        self.old: set[int] = set()
        self.ends = Ends(None)
        self.look()

    def shown(self) -> list[WorkflowInstanceSummary]:
        return sorted(listed(*self.runs[-self.length :]), key=lambda run: -run.instance_id)

    # At most as many between two looks as a list shows, less one.
    @precondition(lambda self: self.unseen < self.length - 1)
    @rule(has_ended=st.booleans())
    def start(self, has_ended: bool) -> None:
        number = len(self.runs) + 1 if self.are_rising else (len(self.runs) * 7919) % 10007 + 1
        self.runs.append((number, SUCCESS if has_ended else RUNNING))
        self.unseen += 1

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        active = [index for index, (_, status) in enumerate(self.runs) if status is RUNNING]
        if active:
            index = data.draw(st.sampled_from(active))
            self.runs[index] = (self.runs[index][0], FAILED)

    @rule()
    def look(self) -> None:
        self.ends.settle(self.arrived & (self.ends.unconfirmed | self.ends.cursor.pending))
        seen = self.ends.observe(self.shown())
        assert not seen.gap
        self.unseen = 0
        self.undecided = seen.undecided
        self.stored = json.loads(json.dumps(self.ends.cursor.to_data()))
        for summary in seen.ended:
            self.ends.report(summary.instance_id)
            self.on_the_way.append(summary.instance_id)

    @rule()
    def look_at_the_undecided(self) -> None:
        for number in self.undecided:
            if dict(self.runs)[number].is_terminal and number not in self.ends.unconfirmed:
                self.ends.report(number)
                self.on_the_way.append(number)
        self.undecided = frozenset()

    @rule()
    def arrive(self) -> None:
        self.events += self.on_the_way
        self.arrived |= set(self.on_the_way)
        self.on_the_way.clear()

    @rule()
    def be_killed(self) -> None:
        self.on_the_way.clear()
        self.ends = Ends(Cursor.from_data(self.stored))
        self.undecided = frozenset()
        self.look()

    @invariant()
    def no_end_is_reported_twice(self) -> None:
        reports = self.events + self.on_the_way
        assert len(reports) == len(set(reports))

    def teardown(self) -> None:
        if not hasattr(self, "ends"):
            return
        self.look()
        self.look_at_the_undecided()
        self.arrive()
        ended = {number for number, status in self.runs if status.is_terminal}
        assert set(self.events) == ended


Service.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestService = Service.TestCase
