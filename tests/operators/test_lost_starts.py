"""What a task does about a start whose answer was lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_schedulerx.api.exceptions import SchedulerXAmbiguousError
from airflow_provider_schedulerx.api.runs.reconciling import Age, Reconciled
from airflow_provider_schedulerx.exceptions import RunLostError, RunUndecidedError
from airflow_provider_schedulerx.operators import lost_starts
from airflow_provider_schedulerx.operators.lost_starts import LostStarts, is_refusal
from airflow_provider_schedulerx.operators.task_run import Phase
from tests.operators.played import Try, intent, needs_store

pytestmark = needs_store

LOST = SchedulerXAmbiguousError("no answer")
REFUSED = SchedulerXAmbiguousError("full", code="500")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    counted: list[str] = []
    monkeypatch.setattr(lost_starts, "count_reconciliation", counted.append)
    return counted


def test_a_run_that_is_found_is_written_down(counted: list[str]) -> None:
    one = Try()
    one.answers(reconcile=Reconciled(7, others=3))
    age = Age(at_least=5.0)
    assert LostStarts(one.start).find(intent(), age=age, may_be_several=True) == (intent(instance_id=7), 3)
    how = {"settling_time": 60.0, "patience": 600.0, "age": age, "may_be_several": True}
    assert one.calls.asked == [("reconcile", intent(), how)]
    assert one.intent == intent(instance_id=7)
    assert counted == ["found"]
    assert "Workflow instance 7 is the one that was started" in one.text


def test_no_run_leaves_the_intent_as_it_is(counted: list[str]) -> None:
    one = Try()
    one.answers(reconcile=Reconciled(others=2))
    assert LostStarts(one.start).find(intent()) == (intent(), 2)
    assert one.calls.asked == [("reconcile", intent(), {"settling_time": 60.0, "patience": 600.0})]
    assert counted == ["not_started"]
    assert not one.kept


@pytest.mark.parametrize(
    ("cause", "is_kept", "patience"),
    [(REFUSED, True, 0.0), (REFUSED, False, 600.0), (LOST, True, 600.0), (None, True, 600.0)],
)
def test_a_refusal_is_most_likely_true_and_a_retry_may_look_again(
    cause: SchedulerXAmbiguousError | None, is_kept: bool, patience: float
) -> None:
    one = Try(is_kept=is_kept)
    one.answers(reconcile=Reconciled())
    LostStarts(one.start).find(intent(), cause=cause)
    assert one.calls.asked[0][2]["patience"] == patience


def test_what_a_retry_may_learn_is_left_to_it(counted: list[str]) -> None:
    one = Try()
    one.answers(reconcile=Reconciled(ambiguity="it waits", may_resolve=True))
    why = "^A run of workflow 1 may have been started: no answer; it waits. A retry picks it up$"
    with pytest.raises(RunLostError, match=why):
        LostStarts(one.start).find(intent(), cause=LOST)
    assert counted == ["ambiguous"]
    assert not one.kept, "nobody was asked"


@pytest.mark.parametrize(("may_resolve", "is_kept"), [(False, True), (True, False), (False, False)])
def test_a_person_is_asked_where_nobody_else_can_tell(may_resolve: bool, is_kept: bool) -> None:
    one = Try(is_kept=is_kept)
    one.answers(reconcile=Reconciled(ambiguity="two are alike", may_resolve=may_resolve))
    why = r"^A run of workflow 1 may have been started: two are alike\. .*SchedulerX console.*run_marker=True"
    with pytest.raises(RunUndecidedError, match=why):
        LostStarts(one.start).find(intent())
    if is_kept:
        assert one.intent == intent(is_told=True), "the next try knows that a person has looked"


def test_while_it_is_looked_for_a_kill_can_still_find_it() -> None:
    one = Try()
    phases: list[Any] = []
    found = Reconciled(7)

    def reconcile(asked: Any, **how: Any) -> Reconciled:
        phases.append((one.owner.phase, how))
        if len(phases) == 1:
            one.owner.look_for_started()  # as after a kill
        return found

    one.calls.reconcile = reconcile
    age = Age(at_least=5.0)
    LostStarts(one.start).find(intent(), age=age)
    at_once = {"settling_time": 0.0, "patience": 0.0, "age": age}
    assert phases[0][0] is Phase.STARTING
    assert phases[1] == (Phase.STARTING, at_once)
    assert one.owner.run == one.start.run(7)
    assert one.intent == intent(instance_id=7)


@pytest.mark.parametrize("instance_id", [7, None])
def test_a_start_is_announced_with_the_way_to_find_it(instance_id: int | None) -> None:
    one = Try()
    one.answers(reconcile=Reconciled(instance_id))
    LostStarts(one.start).announce(intent())
    assert one.owner.phase is Phase.STARTING
    assert one.calls.asked == []
    one.owner.look_for_started()
    assert one.calls.asked == [("reconcile", intent(), {"settling_time": 0.0, "patience": 0.0})]
    assert one.intent == (replace(intent(), instance_id=7) if instance_id else None)
    assert one.owner.run == (one.start.run(7) if instance_id else None)


@pytest.mark.parametrize(
    ("code", "expected"),
    [("500", True), ("-1", True), ("InternalError", False), (None, False), ("1-", False), ("X-1", False)],
)
def test_the_service_itself_refuses_with_a_number(code: str | None, expected: bool) -> None:
    assert is_refusal(SchedulerXAmbiguousError("x", code=code)) is expected
