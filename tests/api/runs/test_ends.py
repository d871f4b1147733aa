"""Each end is reported once, whatever the lists show and whoever goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_schedulerx.api.models import WorkflowInstanceStatus, WorkflowInstanceSummary
from airflow_provider_schedulerx.api.runs.ends import Cursor, Ends, Seen, delivered_key, mark_of
from airflow_provider_schedulerx.api.runs.kinds import RunSummary

GOOD = mark_of(True, None)
RUNNING, SUCCESS, FAILED, STRANGE = (WorkflowInstanceStatus(number) for number in (3, 4, 5, 7))


def listed(*runs: tuple[int, WorkflowInstanceStatus]) -> list[WorkflowInstanceSummary]:
    return [WorkflowInstanceSummary(101, number, status) for number, status in runs]


def reported(ends: Ends, *runs: tuple[int, WorkflowInstanceStatus]) -> list[int]:
    """Take in a list and report what has ended."""
    seen = ends.observe(listed(*runs))
    for summary in seen.ended:
        ends.report(summary)
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
    first.settle({2: mark_of(True, None)})
    second = Ends(Cursor.from_data(json.loads(json.dumps(first.cursor.to_data()))))
    assert reported(second, (4, FAILED), (3, SUCCESS), (2, SUCCESS), (1, SUCCESS)) == [3, 4]


def test_an_end_that_was_reported_and_not_confirmed_stays_pending() -> None:
    ends = Ends(Cursor(listed=frozenset({1}), settled={1: GOOD}))
    assert reported(ends, (2, SUCCESS), (1, SUCCESS)) == [2]
    assert ends.unconfirmed == {2: GOOD}
    assert ends.cursor.pending == {2: None}
    ends.settle(ends.unconfirmed)
    assert not ends.unconfirmed
    assert ends.cursor.pending == {}
    assert reported(ends, (2, SUCCESS), (1, SUCCESS)) == []


def test_an_active_run_that_is_pushed_out_is_undecided_and_no_gap() -> None:
    ends = Ends(Cursor(listed=frozenset({1, 2}), settled={1: GOOD}, pending={2: None}))
    seen = ends.observe(listed((4, RUNNING), (3, SUCCESS), (2, RUNNING)))
    assert seen.undecided == frozenset()
    seen = ends.observe(listed((5, RUNNING), (4, RUNNING), (3, SUCCESS)))
    assert (seen.undecided, seen.gap) == ({2}, "")


def test_a_status_that_is_not_documented_decides_nothing() -> None:
    ends = Ends(Cursor())
    seen = ends.observe(listed((1, STRANGE)))
    assert (seen.ended, seen.undecided) == ((), {1})


def test_lists_that_have_nothing_in_common_leave_a_gap() -> None:
    ends = Ends(Cursor(listed=frozenset({1, 2}), settled={1: GOOD, 2: GOOD}))
    seen = ends.observe(listed((9, SUCCESS), (8, SUCCESS), (7, SUCCESS)))
    assert [summary.instance_id for summary in seen.ended] == [7, 8, 9]
    assert seen.gap.startswith("none of the 2 runs known before is among the 3 listed now")
    assert ends.observe(listed((10, SUCCESS), (9, SUCCESS))).gap == ""


def test_a_list_that_may_be_cut_off_and_shows_nothing_known_leaves_a_gap() -> None:
    ends = Ends(None)
    assert ends.observe([]).gap == ""
    full = listed(*((number, SUCCESS) for number in range(10, 0, -1)))
    assert ends.observe(full).gap.startswith("no run was known before, and all 10 runs listed now are")
    assert Ends(Cursor()).observe(full[1:]).gap == ""


def test_an_empty_list_is_no_gap() -> None:
    ends = Ends(Cursor(listed=frozenset({1}), settled={1: GOOD}))
    assert ends.observe([]).gap == ""


def test_a_list_that_shows_any_known_run_leaves_no_gap() -> None:
    """The service once listed nothing, or a replica that lags showed older runs."""
    full = listed(*((number, SUCCESS) for number in range(30, 0, -1)))
    ends = Ends(None)
    for runs in (full[20:], full[15:25], full[6:16], [], full[6:16], full[20:], full[6:16]):
        seen = ends.observe(runs)
        assert seen.gap == ""
        for run in seen.ended:
            ends.dismiss(run)


def test_the_cursor_stays_small() -> None:
    ends = Ends(None)
    for number in range(3000):
        runs = [(each, SUCCESS) for each in range(number, max(-1, number - 300), -1)]
        for summary in ends.observe(listed(*runs)).ended:
            ends.settle({summary.instance_id: mark_of(True, "2026-11-24 01:00:00")})
    assert len(json.dumps(ends.cursor.to_data())) < 65535 / 2
    assert len(ends.cursor.settled) <= 601


@pytest.mark.parametrize(
    "data",
    [
        *(None, {}, [], "x", {"version": 1, "pending": [], "settled": [], "listed": []}),
        *({"version": 2, "pending": [], "settled": None, "listed": []}, {"version": 2, "pending": ["x"]}),
        {"version": 2, "pending": [[1]], "settled": [], "listed": []},
    ],
)
def test_what_is_no_cursor_is_none(data: Any) -> None:
    assert Cursor.from_data(data) is None


def shown(*ends: tuple[WorkflowInstanceStatus, str | None]) -> list[list[WorkflowInstanceSummary]]:
    """Lists that show one run, with its status and EndTime."""
    return [[WorkflowInstanceSummary(101, 1, status, end_time=at)] for status, at in ends]


FIRST, SECOND, THIRD = (f"2026-11-24 0{hour}:00:00" for hour in (1, 2, 3))


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        # Failed, continued in the console under the same id, succeeded: two ends, whether it is seen running or not.
        (shown((RUNNING, None), (FAILED, FIRST), (RUNNING, None), (SUCCESS, SECOND)), [FIRST, SECOND]),
        (shown((RUNNING, None), (FAILED, FIRST), (SUCCESS, SECOND)), [FIRST, SECOND]),
        (shown((RUNNING, None), (FAILED, None), (RUNNING, None), (SUCCESS, None)), [None, None]),
        # Failed again.
        (shown((RUNNING, None), (FAILED, FIRST), (RUNNING, None), (FAILED, SECOND)), [FIRST, SECOND]),
        # The first look reports no end of before, and does one of a run that is continued.
        (shown((FAILED, FIRST), (FAILED, FIRST), (RUNNING, None), (SUCCESS, SECOND)), [SECOND]),
        # Thrice.
        (
            shown((RUNNING, None), (FAILED, FIRST), (FAILED, SECOND), (RUNNING, None), (FAILED, THIRD)),
            [FIRST, THIRD],
        ),
        # It was seen at work, and then a replica that lags showed its first end again.
        (
            shown((RUNNING, None), (FAILED, FIRST), (RUNNING, None), (FAILED, FIRST), (FAILED, SECOND)),
            [FIRST, SECOND],
        ),
        # A replica that lags shows the run as it was before its end, or before its last end.
        (
            shown((RUNNING, None), (SUCCESS, FIRST), (RUNNING, None), (SUCCESS, FIRST), (RUNNING, None)),
            [FIRST],
        ),
        (
            shown((FAILED, FIRST), (SUCCESS, SECOND), (FAILED, FIRST), (RUNNING, None), (SUCCESS, SECOND)),
            [SECOND],
        ),
        (shown((RUNNING, None), (SUCCESS, None), (RUNNING, None), (SUCCESS, None)), [None]),
        # A failure and a success in the same second, or without times, in replicas that lag by more than one change.
        *(
            (
                shown((RUNNING, None), *2 * [(FAILED, at), (RUNNING, None), (SUCCESS, at), (RUNNING, None)]),
                [at, at],
            )
            for at in (FIRST, None)
        ),
        (shown((RUNNING, None), *2 * [(FAILED, FIRST), (SUCCESS, FIRST)]), [FIRST]),
        # EndTime comes late, or is corrected: the same end.
        (shown((RUNNING, None), (FAILED, None), (FAILED, FIRST)), [None]),
        (shown((RUNNING, None), (FAILED, FIRST), (FAILED, SECOND)), [FIRST]),
        # Another status without any sign that the run was continued, and no times: no second event.
        (shown((RUNNING, None), (FAILED, None), (SUCCESS, None)), [None]),
    ],
)
@pytest.mark.parametrize("restarts", [False, True])
def test_a_run_that_is_continued_under_its_id_ends_again(
    lists: list[list[WorkflowInstanceSummary]], expected: list[str | None], restarts: bool
) -> None:
    ends, ended = Ends(None), []
    for each in lists:
        seen = ends.observe(each)
        stored = json.loads(json.dumps(ends.cursor.to_data()))
        for summary in seen.ended:
            ends.report(summary)
            ended.append(summary.end_time)
        arrived = ends.unconfirmed
        if restarts:
            ends = Ends(Cursor.from_data(stored))
        ends.settle(arrived)
    assert ended == expected


def test_a_run_that_goes_on_before_it_is_known_that_its_end_has_arrived() -> None:
    running, failed, again = shown((RUNNING, None), (FAILED, FIRST), (FAILED, SECOND))
    ends = Ends(None)
    ends.observe(running)
    (first,) = ends.observe(failed).ended
    ends.report(first)
    assert ends.observe(running) == ends.observe(again) == Seen()
    ends.settle(ends.unconfirmed)
    assert [summary.end_time for summary in ends.observe(again).ended] == [SECOND]


def test_a_note_of_an_earlier_end_is_none_of_the_next() -> None:
    running, failed, good = shown((RUNNING, None), (FAILED, FIRST), (SUCCESS, SECOND))
    ends = Ends(None)
    ends.observe(failed)
    ends.observe(running)
    (end,) = ends.observe(good).ended
    ends.report(end)
    stored = ends.cursor.to_data()
    # Killed before the second event was stored: of the first there may be a note.
    ends = Ends(Cursor.from_data(stored))
    ends.settle({1: mark_of(False, FIRST)})
    assert ends.observe(good).ended == (end,)
    ends = Ends(Cursor.from_data(stored))
    ends.settle({1: mark_of(True, SECOND)})
    assert ends.observe(good).ended == ()


def test_a_run_that_is_seen_ended_twice_before_its_report_has_arrived_has_not_gone_on() -> None:
    for again in (SUCCESS, STRANGE):
        ends = Ends(Cursor(listed=frozenset({1})))
        assert reported(ends, (1, SUCCESS)) == [1]
        assert reported(ends, (1, again)) == []
        ends.settle(ends.unconfirmed)
        assert (ends.cursor.pending, ends.cursor.settled) == ({}, {1: GOOD})


def test_a_run_that_goes_on_is_awaited_with_the_mark_of_its_end_and_once() -> None:
    running, failed, good = shown((RUNNING, None), (FAILED, FIRST), (SUCCESS, SECOND))
    ends = Ends(Cursor())
    for summary in ends.observe(failed).ended:
        ends.report(summary)
    ends.observe(running)
    ends.settle(ends.unconfirmed)
    assert ends.cursor.pending == {1: mark_of(False, FIRST)}
    assert ends.is_end(failed[0]) is False
    assert (ends.cursor.pending, ends.cursor.settled) == ({}, {1: mark_of(False, FIRST)})
    (end,) = ends.observe(good).ended
    ends.report(end)
    ends.settle(ends.unconfirmed)
    assert (ends.cursor.pending, ends.cursor.settled) == ({}, {1: mark_of(True, SECOND)})


def test_what_is_dismissed_is_settled() -> None:
    ends = Ends(Cursor())
    (end,) = ends.observe(listed((1, SUCCESS))).ended
    ends.dismiss(end)
    assert (ends.cursor.pending, ends.cursor.settled) == ({}, {1: GOOD})
    assert ends.observe(listed((1, SUCCESS))).ended == ()


def test_a_time_that_comes_late_is_remembered() -> None:
    without, late = shown((FAILED, None), (FAILED, FIRST))
    ends = Ends(None)
    ends.observe(without)
    assert ends.observe(late).ended == ()
    assert ends.cursor.settled == {1: mark_of(False, FIRST)}


def test_one_new_run_where_others_were_listed_is_a_gap() -> None:
    ends = Ends(Cursor(listed=frozenset({1, 2}), settled={1: GOOD, 2: GOOD}))
    assert ends.observe(listed((9, SUCCESS))).gap


def test_the_oldest_ends_that_no_list_shows_are_forgotten() -> None:
    ends = Ends(Cursor(settled=dict.fromkeys(range(1, 211), GOOD)))
    ends.observe(listed((2, SUCCESS), (1, SUCCESS)))
    assert list(ends.cursor.settled) == [1, 2, *range(13, 211)]


def test_a_cursor_begins_empty_and_its_notes_have_a_key_of_their_own() -> None:
    assert Cursor() == Cursor({}, {}, frozenset())
    assert delivered_key("watcher") == "schedulerx.delivered.watcher", "where a later version looks"


def test_who_is_given_up_is_never_reported() -> None:
    ends = Ends(Cursor())
    ends.observe(listed((1, RUNNING)))
    ends.give_up(1)
    assert ends.observe(listed((1, RUNNING))) == ends.observe(listed((1, SUCCESS))) == Seen()
    assert (ends.cursor.pending, ends.cursor.settled) == ({}, {1: ""})


class Service(RuleBasedStateMachine):
    """Runs begin and end; lists show the newest; whoever looks is killed at any moment and followed by another.

    A report arrives with its event, or neither does; that it has arrived is learnt sooner or later.
    """

    length = 4

    @initialize(are_rising=st.booleans())
    def begin(self, are_rising: bool) -> None:
        self.are_rising = are_rising
        self.runs: list[WorkflowInstanceSummary] = []
        self.seconds = 0
        self.ended: set[tuple[int, str]] = set()
        #: Continued since the last look, so that the list has to show it at work.
        self.to_be_seen: set[int] = set()
        self.events: list[tuple[int, str]] = []
        self.stored: Any = None
        self.on_the_way: list[tuple[int, str]] = []
        self.arrived: dict[int, str] = {}
        self.undecided: frozenset[int] = frozenset()
        self.unseen = 0
        self.looks: list[list[WorkflowInstanceSummary]] = []
        self.ends = Ends(None)
        self.look()

    def shown(self) -> list[WorkflowInstanceSummary]:
        return sorted(self.runs[-self.length :], key=lambda run: -run.instance_id)

    def change(self, index: int, status: WorkflowInstanceStatus) -> None:
        self.seconds += 1
        at = f"2026-11-24 01:{self.seconds // 60:02}:{self.seconds % 60:02}" if status.is_terminal else None
        run = self.runs[index] = replace(self.runs[index], status=status, end_time=at)
        if at is not None:
            self.ended.add((run.instance_id, mark_of(status is SUCCESS, at)))

    def draw(self, data: st.DataObject, statuses: set[WorkflowInstanceStatus]) -> int | None:
        indexes = [index for index, run in enumerate(self.runs) if run.status in statuses]
        return data.draw(st.sampled_from(indexes)) if indexes else None

    # At most as many between two looks as a list shows, less one; and none pushes out what has just been continued.
    @precondition(lambda self: self.unseen < self.length - 1 and not self.to_be_seen)
    @rule(has_ended=st.booleans())
    def start(self, has_ended: bool) -> None:
        number = len(self.runs) + 1 if self.are_rising else (len(self.runs) * 7919) % 10007 + 1
        self.runs += listed((number, RUNNING))
        if has_ended:
            self.change(-1, SUCCESS)
        self.unseen += 1

    @rule(data=st.data(), status=st.sampled_from([SUCCESS, FAILED]))
    def end(self, data: st.DataObject, status: WorkflowInstanceStatus) -> None:
        index = self.draw(data, {RUNNING})
        if index is not None and self.runs[index].instance_id not in self.to_be_seen:
            self.change(index, status)

    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        """Continue a run that a list still shows, and whose event has arrived; it is seen at work."""
        index = self.draw(data, {SUCCESS, FAILED})
        seen = dict(self.events)
        if index is not None and index >= len(self.runs) - self.length + self.unseen:
            run = self.runs[index]
            if seen.get(run.instance_id, "")[1:] == run.end_time:
                self.change(index, RUNNING)
                self.to_be_seen.add(run.instance_id)

    @rule()
    def look(self) -> None:
        self.looks.append(self.shown())
        self.observe(self.looks[-1])
        self.unseen = 0
        self.to_be_seen.clear()

    def observe(self, runs: list[WorkflowInstanceSummary]) -> None:
        self.ends.settle(self.arrived)
        seen = self.ends.observe(runs)
        assert not seen.gap
        self.undecided = seen.undecided
        self.stored = json.loads(json.dumps(self.ends.cursor.to_data()))
        for summary in seen.ended:
            self.report(summary)

    def report(self, summary: RunSummary) -> None:
        self.ends.report(summary)
        self.on_the_way.append((summary.instance_id, mark_of(summary.status is SUCCESS, summary.end_time)))

    @rule(data=st.data())
    def look_at_a_replica_that_lags(self, data: st.DataObject) -> None:
        """By any number of looks; or it shows nothing at all."""
        self.observe(data.draw(st.sampled_from([[], *self.looks])))

    @rule()
    def look_at_the_undecided(self) -> None:
        for run in self.runs:
            if run.instance_id in self.undecided and run.status.is_terminal and self.ends.is_end(run):
                self.report(run)
        self.undecided = frozenset()

    @rule()
    def arrive(self) -> None:
        self.events += self.on_the_way
        self.arrived.update(self.on_the_way)
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
        self.look()
        self.look_at_the_undecided()
        self.arrive()
        assert set(self.events) == self.ended


Service.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestService = Service.TestCase
