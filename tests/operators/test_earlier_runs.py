"""What becomes of the run of an earlier try."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_schedulerx.api.exceptions import SchedulerXNotFoundError, SchedulerXUnavailableError
from airflow_provider_schedulerx.api.runs.intents import StartIntent, parameters_digest
from airflow_provider_schedulerx.api.runs.reconciling import Age, Reconciled
from airflow_provider_schedulerx.api.runs.rerunning import Rerun
from airflow_provider_schedulerx.exceptions import RunFailedError, RunLostError, RunUndecidedError
from airflow_provider_schedulerx.operators import start as start_module
from airflow_provider_schedulerx.operators.earlier_runs import CLOCK_MARGIN, EarlierRuns
from airflow_provider_schedulerx.operators.lost_starts import LostStarts
from airflow_provider_schedulerx.operators.task_run import Phase
from tests.operators.played import ELSEWHERE, Kept, Try, intent, left_by, needs_store, run

pytestmark = needs_store

SUCCESS, FAILED, RUNNING = 4, 5, 3
OURS = intent(instance_id=6)
AWAY = SchedulerXUnavailableError("away")


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the second 10,000."""
    monkeypatch.setattr(start_module.time, "time", lambda: 10_000.0)


def earlier_runs(one: Try) -> EarlierRuns:
    return EarlierRuns(one.start, LostStarts(one.start))


def reattach(one: Try, earlier: StartIntent = OURS) -> Any:
    """What a retry follows: the id of the run, or None."""
    found = earlier_runs(one).reattach(earlier)
    assert one.owner.run == found
    assert one.owner.phase is (Phase.FOLLOWING if found else Phase.IDLE)
    if found:
        assert found == one.start.run(found.instance_id, is_own=earlier.is_own, is_new=False)
    return found and found.instance_id


# A retry.


@pytest.mark.parametrize("status", [1, 2, RUNNING, SUCCESS, 17])
@pytest.mark.parametrize("is_own", [True, False])
def test_a_run_that_has_not_failed_is_followed(status: int, is_own: bool) -> None:
    one = Try()
    one.answers(get=run(status, 6))
    assert reattach(one, intent(instance_id=6, is_own=is_own)) == 6
    assert one.start.earlier == ((6,) if is_own else ())
    what = "nothing is left to do" if status == SUCCESS else "following it"
    assert one.log == [f"Workflow instance 6 of the previous try is {run(status).status.name}: {what}"]


@pytest.mark.parametrize("seen", [run(FAILED, 6), run(17, 6, 5)])
def test_a_run_that_has_failed_is_followed_by_another(seen: Any) -> None:
    one = Try()
    one.answers(get=seen)
    assert reattach(one) is None
    assert one.text.endswith("starting a new run")


def test_a_run_that_cannot_be_polled_now_is_followed() -> None:
    one = Try()
    one.answers(get=AWAY)
    assert reattach(one) == 6
    assert one.log == ["Could not poll workflow instance 6: away"]


@pytest.mark.parametrize("seen", [run(FAILED, 6), run(17, 6), run(17, 6, 6), AWAY])
def test_a_run_that_was_stopped_is_followed_by_another_even_if_its_status_says_nothing(seen: Any) -> None:
    one = Try()
    one.answers(get=seen)
    assert reattach(one, intent(instance_id=6, is_over=True)) is None
    assert one.asked == ["get"]
    assert one.start.earlier == (6,)


@pytest.mark.parametrize("seen", [run(RUNNING, 6), run(SUCCESS, 6), run(17, 6, 3)])
def test_a_run_that_was_stopped_and_then_continued_is_followed(seen: Any) -> None:
    one = Try(kept=Kept())
    one.answers(get=[seen, seen])
    assert reattach(one, intent(instance_id=6, is_over=True)) == 6
    assert one.log[0] == "Workflow instance 6 was continued after the previous try had stopped it"
    assert one.intent is not None
    assert not one.intent.is_over


def test_where_nothing_is_waited_for_to_have_started_it_is_all() -> None:
    one = Try(waits=False)
    assert reattach(one) == 6
    assert one.asked == []
    assert one.log == ["Workflow instance 6 was started by the previous try"]


def test_other_parameters_start_no_other_run() -> None:
    one = Try(parameters={"a": 2})
    one.answers(get=run(RUNNING, 6))
    assert reattach(one, intent(instance_id=6, parameters=parameters_digest('{"a":1}'))) == 6
    assert one.log[0].startswith("The instance parameters differ from those of the previous try")
    one = Try(parameters={"a": 2})
    one.answers(get=run(RUNNING, 6))
    reattach(one, intent(instance_id=6, parameters=parameters_digest('{"a":2}')))
    assert len(one.log) == 1


def test_a_start_of_which_no_run_is_known_is_looked_for() -> None:
    one = Try()
    one.answers(reconcile=Reconciled(6), get=run(RUNNING, 6))
    assert reattach(one, intent(began=9_900.0)) == 6
    how = {"settling_time": 60.0, "patience": 600.0, "age": Age(at_least=100.0)}
    assert one.calls.asked[0] == ("reconcile", intent(began=9_900.0), how)
    assert one.log[0] == "The previous try ended while it started workflow 1; looking for its run"
    assert one.intent == intent(began=9_900.0, instance_id=6)
    one = Try()
    one.answers(reconcile=Reconciled())
    assert reattach(one, intent(earlier=(3,))) is None
    assert one.start.earlier == (3,)


# on_retry.


def test_restart_stops_the_run_and_starts_another() -> None:
    one = Try(on_retry="restart", kept=left_by(OURS))
    one.answers(get=run(RUNNING, 6), stop=run(FAILED, 6))
    assert reattach(one) is None
    assert one.calls.asked == [("get", 6), ("stop", 6)]
    assert one.log == [
        "Workflow instance 6 of the previous try is RUNNING: stopping it, because on_retry is 'restart'"
    ]


def test_restart_returns_a_run_that_succeeds_before_it_is_stopped() -> None:
    one = Try(on_retry="restart")
    one.answers(get=run(RUNNING, 6), stop=run(SUCCESS, 6))
    assert reattach(one) == 6
    assert one.log[-1] == "It succeeded before it was stopped: nothing is left to do"


@pytest.mark.parametrize("last", [None, run(RUNNING, 6)])
@pytest.mark.parametrize(
    ("try_number", "advice"),
    [
        (2, "A retry tries again$"),
        (3, "This was the last try: stop that run in the SchedulerX console, then clear"),
    ],
)
def test_restart_starts_nothing_beside_a_run_that_does_not_end(
    last: Any, try_number: int, advice: str
) -> None:
    one = Try(on_retry="restart", try_number=try_number)
    one.answers(get=run(RUNNING, 6), stop=last)
    with pytest.raises(
        RunLostError, match=f"^Stop of the earlier workflow instance 6 was requested.*{advice}"
    ):
        reattach(one)


@pytest.mark.parametrize("mode", ["restart", "rerun_failed"])
@pytest.mark.parametrize("status", [RUNNING, FAILED])
def test_what_the_task_has_not_started_is_neither_stopped_nor_run_again(mode: str, status: int) -> None:
    one = Try(on_retry=mode)
    one.answers(get=run(status, 6))
    assert reattach(one, intent(instance_id=6, is_own=False)) == (6 if status == RUNNING else None)
    assert one.asked == ["get"]


@pytest.mark.parametrize(
    ("mode", "status"), [("restart", FAILED), ("rerun_failed", RUNNING), ("reattach", FAILED)]
)
def test_each_mode_does_its_own_only(mode: str, status: int) -> None:
    one = Try(on_retry=mode)
    one.answers(get=run(status, 6))
    assert reattach(one) == (6 if status == RUNNING else None)
    assert one.asked == ["get"]


def test_failed_nodes_run_again() -> None:
    one = Try(on_retry="rerun_failed")
    one.answers(get=run(FAILED, 6), rerun=Rerun.SEEN)
    assert reattach(one) == 6
    assert one.calls.asked[-1] == ("rerun", 6, 60.0)


def test_a_failed_run_without_a_failed_node_is_followed_by_another() -> None:
    one = Try(on_retry="rerun_failed")
    one.answers(get=run(FAILED, 6), rerun=Rerun.NO_NODE)
    assert reattach(one) is None
    assert one.log[0] == "The service shows no failed node to rerun"


def test_failed_nodes_that_cannot_run_again_are_final() -> None:
    one = Try(on_retry="rerun_failed")
    one.answers(get=run(FAILED, 6, 5), rerun=Rerun.REFUSED)
    why = r"^Workflow instance 6 .*job1 .*FAILED; none of the failed nodes can be rerun \(on_retry is 'rerun_failed'\)"
    with pytest.raises(RunFailedError, match=why):
        earlier_runs(one).reattach(OURS)
    assert one.owner.phase is Phase.ENDED


def test_a_rerun_that_does_not_show_may_have_happened() -> None:
    one = Try(on_retry="rerun_failed")
    one.answers(get=run(FAILED, 6), rerun=Rerun.UNSEEN)
    why = "^A rerun of the failed nodes of workflow instance 6 was requested, but the run shows no change after 60 s. A retry"
    with pytest.raises(RunLostError, match=why):
        earlier_runs(one).reattach(OURS)


# A retry that is to run something else.

OTHER = [{"definition_id": 9}, {"scope": ELSEWHERE}]


@pytest.mark.parametrize("other", OTHER)
@pytest.mark.parametrize(
    ("seen", "is_over"),
    [(run(SUCCESS, 6), False), (run(FAILED, 6), False), (run(17, 6, 5), False), (run(17, 6), True)],
)
def test_a_run_of_something_else_that_is_over_is_left_behind(
    other: dict[str, Any], seen: Any, is_over: bool
) -> None:
    one = Try()
    one.answers(get=seen)
    earlier = intent(instance_id=6, is_over=is_over, **other)
    assert reattach(one, earlier) is None
    assert ("within" in one.asked) is ("scope" in other)
    assert one.calls.asked[-1] == ("get", 6)
    known = f"workflow instance 6 of workflow {earlier.definition_id}, which is {seen.status.name}"
    assert one.log == [
        f"The previous try started {known}. This try is for workflow 1, or for another region, namespace or group: "
        "starting a run there"
    ]


@pytest.mark.parametrize("other", OTHER)
@pytest.mark.parametrize(
    ("seen", "state"), [(run(RUNNING, 6), "it is RUNNING"), (AWAY, "it could not be polled there: away")]
)
def test_nothing_is_started_while_a_run_of_something_else_may_be_active(
    other: dict[str, Any], seen: Any, state: str
) -> None:
    one = Try()
    one.answers(get=seen)
    earlier = intent(instance_id=6, **other)
    why = (
        f"^The previous try started workflow instance 6 of workflow {earlier.definition_id}, and {state}. This try is for "
        "workflow 1, or for another region, namespace or group, and starts none beside it: look at that run"
    )
    with pytest.raises(RunUndecidedError, match=why):
        reattach(one, earlier)


def test_a_lost_start_of_something_else_is_looked_for_there() -> None:
    one = Try()
    one.answers(reconcile=Reconciled())
    earlier = intent(definition_id=9, began=9_900.0)
    assert reattach(one, earlier) is None
    how = {"settling_time": 60.0, "patience": 600.0, "age": Age(at_least=100.0)}
    assert one.calls.asked == [("reconcile", earlier, how)]
    assert one.log == ["The previous try was for workflow 9 and started no run"]
    one = Try()
    one.answers(reconcile=Reconciled(6), get=run(SUCCESS, 6))
    assert reattach(one, earlier) is None
    one = Try()
    one.answers(reconcile=Reconciled(ambiguity="two are alike"))
    why = "^The previous try may have started a run of workflow 9, and two are alike. This try .* starts none"
    with pytest.raises(RunUndecidedError, match=why):
        reattach(one, earlier)


# A cleared task.


def stop_before(one: Try, earlier: StartIntent = OURS) -> None:
    earlier_runs(one).stop_before_new_start(earlier)


def test_after_a_clear_the_run_is_stopped_first() -> None:
    one = Try()
    one.answers(get=run(RUNNING, 6), stop=run(FAILED, 6))
    stop_before(one)
    assert one.calls.asked == [("get", 6), ("stop", 6)]
    assert one.start.earlier == (6,)
    assert one.log == [
        "The task was cleared, so a new run is started; the earlier one was workflow instance 6",
        "Stopping workflow instance 6 first",
    ]


def test_after_a_clear_nothing_is_started_beside_a_run_that_does_not_end() -> None:
    one = Try()
    one.answers(get=run(RUNNING, 6), stop=run(RUNNING, 6))
    with pytest.raises(RunLostError, match="Stop of the earlier workflow instance 6"):
        stop_before(one)


@pytest.mark.parametrize("seen", [run(SUCCESS, 6), run(FAILED, 6), run(17, 6, 5)])
def test_after_a_clear_a_run_that_is_over_is_left_alone(seen: Any) -> None:
    one = Try()
    one.answers(get=seen)
    stop_before(one)
    assert one.asked == ["get"]


def test_after_a_clear_what_is_not_the_tasks_is_not_asked_for() -> None:
    one = Try()
    stop_before(one, intent(instance_id=6, is_own=False))
    assert one.asked == []


@pytest.mark.parametrize(
    ("seen", "asked"), [(run(17, 6), ["get"]), (AWAY, ["get"]), (run(RUNNING, 6), ["get", "stop"])]
)
def test_after_a_clear_what_was_stopped_is_stopped_again_only_if_it_was_continued(
    seen: Any, asked: list[str]
) -> None:
    one = Try()
    one.answers(get=seen, stop=run(FAILED, 6))
    stop_before(one, intent(instance_id=6, is_over=True))
    assert one.asked == asked


def test_after_a_clear_a_run_keeps_running_where_it_is_not_to_be_cancelled() -> None:
    one = Try(cancel_on_kill=False)
    one.answers(get=run(RUNNING, 6))
    stop_before(one)
    assert one.asked == ["get"]
    assert one.log[-1] == (
        "Workflow instance 6 is RUNNING and keeps running beside the new one because cancel_on_kill is off"
    )
    one = Try(cancel_on_kill=False)
    one.answers(get=AWAY)
    stop_before(one)
    assert one.asked == ["get"]


def test_after_a_clear_a_run_that_cannot_be_polled_is_stopped() -> None:
    one = Try()
    one.answers(get=AWAY, stop=run(FAILED, 6))
    stop_before(one)
    assert one.asked == ["get", "stop"]
    assert "Could not poll workflow instance 6: away" in one.log


@pytest.mark.parametrize(
    ("error", "age", "is_forgotten"),
    [
        (SchedulerXNotFoundError("not existed"), 60 + CLOCK_MARGIN + 1, True),
        (SchedulerXNotFoundError("not existed"), 60 + CLOCK_MARGIN, False),
        (AWAY, 9_000, False),
    ],
)
def test_after_a_clear_an_old_run_that_is_not_existed_is_over(
    error: Exception, age: float, is_forgotten: bool
) -> None:
    one = Try()
    one.answers(get=error, stop=run(FAILED, 6))
    stop_before(one, intent(instance_id=6, began=10_000.0 - age))
    assert one.asked == (["get"] if is_forgotten else ["get", "stop"])


def test_after_a_clear_the_run_of_something_else_is_stopped_there() -> None:
    one = Try()
    one.answers(get=run(RUNNING, 6), stop=run(FAILED, 6))
    stop_before(one, intent(instance_id=6, scope=ELSEWHERE, definition_id=9))
    assert one.calls.asked == [("within", ELSEWHERE), ("get", 6), ("stop", 6)]


UNKNOWN = intent(began=9_900.0)


def test_after_a_clear_a_lost_start_is_looked_for() -> None:
    how = {"settling_time": 60.0, "patience": 600.0, "age": Age(at_least=100.0)}
    one = Try()
    one.answers(reconcile=Reconciled(6), get=run(RUNNING, 6), stop=run(FAILED, 6))
    stop_before(one, UNKNOWN)
    assert one.calls.asked == [("reconcile", UNKNOWN, how), ("get", 6), ("stop", 6)]
    assert one.start.earlier == (6,)
    one = Try()
    one.answers(reconcile=Reconciled())
    stop_before(one, UNKNOWN)
    assert one.asked == ["reconcile"]
    assert one.log[-1].endswith("the earlier one is unknown")


def test_after_a_clear_a_person_is_asked_once() -> None:
    one = Try()
    one.answers(reconcile=Reconciled(ambiguity="two are alike", may_resolve=True))
    with pytest.raises(RunUndecidedError, match="may have been started: two are alike"):
        stop_before(one, UNKNOWN)
    assert one.store.load() == (intent(began=9_900.0, is_told=True), True), (
        "it remains one from before the clear"
    )


def test_after_a_person_was_asked_only_what_is_seen_to_be_active_counts() -> None:
    told = intent(began=9_900.0, is_told=True)
    age = Age(at_least=100.0)
    one = Try()
    one.answers(reconcile=Reconciled(ambiguity="two are alike"), suspects=[[]])
    stop_before(one, told)
    how = {"settling_time": 0.0, "patience": 0.0, "age": age}
    assert one.calls.asked == [("reconcile", told, how), ("suspects", told, age)]
    one = Try()
    one.answers(reconcile=Reconciled(ambiguity="two are alike"), suspects=AWAY)
    stop_before(one, told)
    assert "The runs of workflow 1 cannot be listed: away" in one.log
    one = Try()
    one.answers(reconcile=Reconciled(ambiguity="two are alike"), suspects=[["6 (RUNNING)", "5 (WAITING)"]])
    why = r"^Workflow 1 has a run that this task may have started .*: 6 \(RUNNING\); 5 \(WAITING\)\. So none is started"
    with pytest.raises(RunUndecidedError, match=why):
        stop_before(one, told)
