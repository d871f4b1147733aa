"""How a try comes to its run."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAmbiguousError,
    SchedulerXAuthorizationError,
    SchedulerXError,
    SchedulerXMalformedAnswerError,
    SchedulerXRejectedError,
    SchedulerXSameSecondError,
    SchedulerXThrottledError,
    SchedulerXUnavailableError,
)
from airflow_provider_schedulerx.api.runs.intents import MAX_KNOWN, parameters_digest
from airflow_provider_schedulerx.api.runs.job_runs import JOB_RUNS
from airflow_provider_schedulerx.api.runs.reconciling import Age, Reconciled
from airflow_provider_schedulerx.api.wire.retrying import MAX_RETRY_SECONDS
from airflow_provider_schedulerx.exceptions import (
    RunAlreadyActiveError,
    RunLostError,
    RunNotStartedError,
    RunUndecidedError,
)
from airflow_provider_schedulerx.operators import launching
from airflow_provider_schedulerx.operators import start as start_module
from airflow_provider_schedulerx.operators.interrupts import Killed, TimeIsUp
from airflow_provider_schedulerx.operators.start import Start
from airflow_provider_schedulerx.operators.start_policy import StartPolicy, run_marker
from airflow_provider_schedulerx.operators.task_run import Phase, TaskRun
from tests.operators.played import Try, intent, left_by, listed, needs_store, run

pytestmark = needs_store

LOST = SchedulerXAmbiguousError("no answer")
REFUSED = SchedulerXAmbiguousError("full", code="500")


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the second 1,000."""
    monkeypatch.setattr(start_module.time, "time", lambda: 1000.0)


def follows(one: Try, instance_id: int, **more: Any) -> bool:
    """Whether the try has found or started this run, and its owner knows."""
    found = one.launcher.find_or_start()
    assert one.owner.run == found
    assert one.owner.phase is Phase.FOLLOWING
    return found == TaskRun(one.calls.kind, 1, instance_id, **more)


# A new run.


def test_a_start_is_written_down_before_the_request_and_its_run_after_it() -> None:
    one = Try(parameters={"a": 1})
    before: list[Any] = []

    def begin(_: int, parameters: Any) -> int:
        before.append((one.intent, one.owner.phase, parameters))
        one.answers(reconcile=Reconciled())
        one.owner.look_for_started()
        return 7

    one.calls.start = begin
    one.answers(list=[listed(_5=4, _4=4)])
    assert follows(one, 7)
    written = intent(parameters=parameters_digest('{"a":1}'), began=1000.0)
    assert before == [(written, Phase.STARTING, {"a": 1})]
    once = {"settling_time": 0.0, "patience": 0.0}
    assert one.calls.asked[1:] == [("reconcile", written, once)], "a kill meanwhile finds it"
    assert one.intent == intent(parameters=parameters_digest('{"a":1}'), began=1000.0, instance_id=7)


def test_only_a_part_of_a_long_list_is_written_down() -> None:
    one = Try()
    one.answers(list=[listed(**{f"_{number}": 4 for number in range(2 * MAX_KNOWN, 0, -1)})], start=7)
    one.launcher.find_or_start()
    assert one.intent is not None
    assert one.intent.known == tuple(range(2 * MAX_KNOWN, MAX_KNOWN, -1))


def test_a_marker_is_sent_and_written_down() -> None:
    one = Try(marker_key="airflow_run", parameters={"a": 1})
    marker = run_marker(one.ti, "airflow_run")
    one.answers(list=[[]], start=7)
    assert follows(one, 7)
    assert ("start", f'{{"a":1,"airflow_run":"{marker}"}}') in one.calls.asked
    assert one.intent is not None
    assert (one.intent.marker, one.intent.parameters) == (marker, parameters_digest('{"a":1}'))


def test_without_a_wish_to_be_durable_nothing_is_listed_or_written() -> None:
    one = Try(durable=False, kept=None)
    one.answers(start=7)
    assert follows(one, 7)
    assert one.asked == ["start"]
    assert not one.kept


def test_a_task_that_was_killed_meanwhile_starts_nothing() -> None:
    one = Try()
    one.answers(list=[[]])
    one.owner.interrupts.was_killed = True
    with pytest.raises(Killed):
        one.launcher.find_or_start()
    assert one.asked == ["list"]


@pytest.mark.parametrize(
    "error",
    [
        SchedulerXAuthorizationError("no"),
        SchedulerXRejectedError("no"),
        SchedulerXMalformedAnswerError("no Data"),
    ],
)
def test_a_list_that_is_not_allowed_or_cannot_be_read_is_done_without(error: SchedulerXError) -> None:
    one = Try()
    one.answers(list=error, start=7)
    assert follows(one, 7)
    assert one.intent is not None
    assert one.intent.known is None
    assert "The runs of workflow 1 cannot be listed" in one.text
    one = Try(if_running="fail", durable=False)
    one.answers(list=error)
    with pytest.raises(type(error)):
        one.launcher.find_or_start()


def test_a_list_that_cannot_be_had_starts_nothing() -> None:
    one = Try()
    one.answers(list=SchedulerXUnavailableError("away"))
    with pytest.raises(SchedulerXUnavailableError):
        one.launcher.find_or_start()
    assert one.asked == ["list"]
    assert not one.kept


# What the service says to a start.


def test_a_lost_start_that_is_found_is_followed() -> None:
    one = Try()
    one.answers(list=[[]], start=LOST, reconcile=Reconciled(7))
    assert follows(one, 7)
    assert one.intent == intent(known=(), began=1000.0, instance_id=7)
    assert "no answer. Looking for the run" in one.text


@pytest.mark.parametrize("earlier", [(), (5,)])
def test_an_answer_that_names_a_run_of_before_leaves_open_what_was_started(earlier: tuple[int, ...]) -> None:
    one = Try()
    one.start.earlier = earlier
    one.answers(list=[[] if earlier else listed(_5=3)], start=5, reconcile=Reconciled(7))
    assert follows(one, 7)
    assert "the service answered with workflow instance 5, which was there before. Looking" in one.text


def test_a_lost_start_that_was_not_carried_out_is_made_again() -> None:
    one = Try()
    one.answers(list=[listed(_5=4), listed(_6=4)], start=[LOST, 7], reconcile=Reconciled())
    assert follows(one, 7)
    assert one.asked == ["list", "start", "reconcile", "list", "start"]
    assert one.intent == intent(known=(6,), began=1000.0, instance_id=7)
    assert one.paused == []


def test_three_starts_that_were_not_carried_out_are_enough() -> None:
    one = Try()
    one.answers(list=[[], [], []], start=[LOST] * 3, reconcile=[Reconciled()] * 3)
    why = "^Workflow 1 was not started in 3 attempts: no answer. No run was found afterwards, so a retry may start one$"
    with pytest.raises(RunNotStartedError, match=why):
        one.launcher.find_or_start()
    assert one.owner.phase is Phase.IDLE
    assert not one.kept


@pytest.mark.parametrize("known", [{"list": [listed(_5=4)] * 3}, {"list": [[]] * 3}])
def test_an_answer_that_names_a_run_of_before_is_no_start(known: dict[str, Any]) -> None:
    one = Try()
    one.start.earlier = () if known["list"][0] else (5,)
    one.answers(**known, start=[5] * 3, reconcile=[Reconciled()] * 3)
    why = "attempts: ExecuteWorkflow: the service answered with workflow instance 5, which was there before. No run"
    with pytest.raises(RunNotStartedError, match=why):
        one.launcher.find_or_start()


def test_a_lost_start_is_for_a_person_where_it_is_not_to_be_durable() -> None:
    one = Try(durable=False)
    one.answers(start=LOST)
    with pytest.raises(
        RunUndecidedError, match="^A run of workflow 1 may have been started: no answer. The task"
    ):
        one.launcher.find_or_start()


def test_a_refusal_without_a_run_is_believed() -> None:
    one = Try()
    one.answers(list=[[]], start=REFUSED, reconcile=Reconciled())
    why = r"^Workflow 1 was not started: full \(Code=500\). No run was found afterwards, so a retry may start one$"
    with pytest.raises(RunNotStartedError, match=why):
        one.launcher.find_or_start()
    assert one.calls.asked[-1][2]["patience"] == 0.0, "most likely it is true"
    assert one.owner.phase is Phase.IDLE
    assert not one.kept


def test_a_refusal_beside_the_runs_of_others_may_be_meant_for_the_moment() -> None:
    one = Try()
    one.answers(list=[[], []], start=[REFUSED, 7], reconcile=Reconciled(others=1))
    assert follows(one, 7)
    (seconds,) = one.paused
    assert 1 < seconds <= 15


def test_a_start_in_the_second_of_another_is_made_again_later() -> None:
    """Such a refusal is certain, so there may be more of them than of lost starts."""
    one = Try()
    same_second = SchedulerXSameSecondError("one a second")
    one.answers(list=[[]] * 20, start=[same_second] * 20)
    with pytest.raises(RunNotStartedError, match="in 20 attempts: one a second"):
        one.launcher.find_or_start()
    assert len(one.paused) == len(set(one.paused)) == 20, "at random moments"
    assert all(1 < seconds <= min(15 * times, 60) for times, seconds in enumerate(one.paused, 1))
    assert one.owner.phase is Phase.IDLE
    assert not one.kept
    assert "one a second\nAnother start came at about the same time" in one.text
    one = Try()
    one.answers(list=[[]] * 22, start=[LOST, same_second, LOST, same_second, 7], reconcile=[Reconciled()] * 2)
    assert follows(one, 7), "each of the two has its own limit"


def test_a_start_that_is_refused_as_a_duplicate_of_our_own_is_the_run() -> None:
    """A gateway that repeats a request gives the second answer: the row that is in the way is ours."""
    same_second = SchedulerXSameSecondError("Duplicate entry")
    one = Try(marker_key="airflow_run")
    one.answers(list=[[]], start=same_second, reconcile=Reconciled(7))
    assert follows(one, 7)
    assert one.asked == ["list", "start", "reconcile"]
    (seconds,) = one.paused
    assert seconds > one.policy.settling_time, "only then a list shows it, or there is none"
    _, sought, how = one.calls.asked[-1]
    assert (sought.marker, how) == (
        run_marker(one.ti, "airflow_run"),
        {"settling_time": 0.0, "patience": 0.0},
    )
    assert one.intent is not None
    assert one.intent.instance_id == 7


def test_a_duplicate_of_the_run_of_another_is_started_again() -> None:
    same_second = SchedulerXSameSecondError("Duplicate entry")
    one = Try(marker_key="airflow_run")
    one.answers(list=[[]] * 2, start=[same_second, 7], reconcile=Reconciled(others=1))
    assert follows(one, 7)
    assert one.asked == ["list", "start", "reconcile", "list", "start"]
    # Equal parameters prove nothing: the start that came in the same second may carry the same.
    one = Try(parameters={"a": 1})
    one.answers(list=[[]] * 2, start=[same_second, 7])
    assert follows(one, 7)
    assert one.asked == ["list", "start", "list", "start"]
    assert one.paused[0] <= 15, "so there is nothing to wait for"


def test_where_a_duplicate_cannot_be_looked_for_a_retry_looks_and_none_is_started_beside_it() -> None:
    same_second = SchedulerXSameSecondError("Duplicate entry")
    one = Try(marker_key="airflow_run")
    unseen = Reconciled(ambiguity="the runs of the job cannot be listed: away", may_resolve=True)
    one.answers(list=[[]] * 2, start=[same_second, 8], reconcile=unseen)
    with pytest.raises(
        RunLostError, match=r"may have been started: Duplicate entry; .* away\. A retry picks it up"
    ):
        one.launcher.find_or_start()
    assert one.asked == ["list", "start", "reconcile"]
    assert one.owner.phase is Phase.STARTING
    assert one.intent is not None
    assert one.intent.instance_id is None, "the next try looks for it"
    # Where the service shows nobody's parameters, the marker tells no more than none.
    one = Try(marker_key="airflow_run")
    one.answers(list=[[]] * 2, start=[same_second, 8], reconcile=Reconciled(ambiguity="hidden"))
    assert follows(one, 8)


def test_a_crowd_spreads_over_more_and_more_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    spreads: list[tuple[float, ...]] = []

    def uniform(*spread: float) -> float:
        spreads.append(spread)
        return 2.0

    monkeypatch.setattr(launching.random, "uniform", uniform)
    one = Try()
    one.answers(list=[[]] * 6, start=[SchedulerXSameSecondError("x")] * 5 + [7])
    assert follows(one, 7)
    assert spreads == [(1.1, 15.0), (1.1, 30.0), (1.1, 45.0), (1.1, 60.0), (1.1, 60.0)]
    assert one.paused == [2.0] * 5


@pytest.mark.parametrize(("code", "may_have_collided"), [("500", True), ("-1", False)])
def test_where_a_second_takes_one_start_a_general_refusal_may_be_a_collision(
    code: str, may_have_collided: bool
) -> None:
    one = Try()
    one.calls.kind = JOB_RUNS
    one.answers(list=[[], []], start=[SchedulerXAmbiguousError("x", code=code), 7], reconcile=Reconciled())
    if may_have_collided:
        assert follows(one, 7)
    else:
        with pytest.raises(RunNotStartedError, match="^Job 1 was not started: x"):
            one.launcher.find_or_start()


@pytest.mark.parametrize("error", [SchedulerXSameSecondError("x"), LOST])
@pytest.mark.parametrize("marker_key", [None, "airflow_run"])
def test_no_other_start_is_made_after_the_limit(error: SchedulerXError, marker_key: str | None) -> None:
    """It would be stopped at once."""
    one = Try(timeout=50, marker_key=marker_key)

    def pass_the_limit(*_: Any, **__: Any) -> Reconciled:
        one.owner.limit._end = 0.0
        return Reconciled()

    one.owner.interrupts.bounded_pause = pass_the_limit  # type: ignore[method-assign, assignment]
    one.calls.reconcile = pass_the_limit
    one.answers(list=[[]] * 2, start=[error, 7])
    with pytest.raises(TimeIsUp):
        one.launcher.find_or_start()
    assert one.asked == ["list", "start", "list"]
    assert one.owner.phase is Phase.IDLE
    assert not one.kept
    one.answers(list=[[]], start=7)
    assert follows(one, 7), "one is always made"


@pytest.mark.parametrize(
    "error",
    [SchedulerXRejectedError("no"), SchedulerXThrottledError("slow"), SchedulerXUnavailableError("x")],
)
def test_a_start_that_was_not_made_is_forgotten(error: SchedulerXError) -> None:
    one = Try()
    one.answers(list=[[]], start=error)
    with pytest.raises(type(error)):
        one.launcher.find_or_start()
    assert one.owner.phase is Phase.IDLE
    assert not one.kept


@pytest.mark.parametrize(
    ("timeout", "error", "expected"),
    [
        (MAX_RETRY_SECONDS - 1, SchedulerXThrottledError("slow"), RunNotStartedError),
        (MAX_RETRY_SECONDS, SchedulerXThrottledError("slow"), SchedulerXThrottledError),
        (MAX_RETRY_SECONDS - 1, SchedulerXRejectedError("no"), SchedulerXRejectedError),
    ],
)
def test_a_limit_that_ends_the_repetition_is_named(
    timeout: float, error: SchedulerXError, expected: type[Exception]
) -> None:
    one = Try(timeout=timeout)
    one.answers(list=[[]], start=error)
    named = rf"^Workflow 1 was not started within timeout={timeout:g} s: slow$"
    with pytest.raises(expected, match=named if expected is RunNotStartedError else None):
        one.launcher.find_or_start()


# if_running.


def test_another_run_that_is_active_does_not_matter_by_default() -> None:
    one = Try()
    one.answers(list=[listed(_6=3)], start=7)
    assert follows(one, 7)


@pytest.mark.parametrize("durable", [True, False])
def test_if_running_skip(durable: bool) -> None:
    one = Try(if_running="skip", durable=durable)
    one.answers(list=[listed(_8=1, _7=5, _6=3)])
    text = r"^Workflow 1 has active workflow instances: 8 \(WAITING\), 6 \(RUNNING\); if_running is 'skip'$"
    with pytest.raises(AirflowSkipException, match=text):
        one.launcher.find_or_start()


def test_if_running_fail() -> None:
    one = Try(if_running="fail")
    one.answers(list=[listed(_8=3)])
    text = r"8 \(RUNNING\); if_running is 'fail'\. Wait until they end"
    with pytest.raises(RunAlreadyActiveError, match=text):
        one.launcher.find_or_start()
    one = Try(if_running="fail")
    one.answers(list=[listed(_8=4)], start=9)
    assert follows(one, 9), "one that has ended is not active"


def test_if_running_reattach_follows_the_newest_and_writes_down_that_it_is_no_own() -> None:
    one = Try(if_running="reattach", marker_key="airflow_run")
    one.answers(list=[listed(_9=4, _8=3, _6=3)])
    assert follows(one, 8, is_own=False, is_new=False)
    assert one.asked == ["list"]
    assert one.intent == intent(known=None, began=1000.0, instance_id=8, marker=None, is_own=False)
    assert "following 8, because if_running is 'reattach'" in one.text


@pytest.mark.parametrize("mode", ["skip", "fail", "reattach"])
def test_the_tasks_own_earlier_run_is_not_another(mode: str) -> None:
    one = Try(
        kept=left_by(intent(instance_id=6, earlier=(3,)), max_tries=0), if_running=mode, cancel_on_kill=False
    )
    one.answers(get=run(3, 6), list=[listed(_6=3, _3=3)], start=7)
    assert follows(one, 7)
    assert one.intent is not None
    assert one.intent.earlier == (6, 3)


# What an earlier try has left.


def test_a_retry_follows_the_run_that_is_written_down() -> None:
    one = Try(kept=left_by(intent(instance_id=6)), try_number=2)
    one.answers(get=run(3, 6))
    assert follows(one, 6, is_new=False)
    assert one.asked == ["get"]


def test_after_a_clear_another_is_started() -> None:
    one = Try(kept=left_by(intent(instance_id=6), max_tries=0), try_number=2)
    one.answers(get=run(4, 6), list=[[]], start=7)
    assert follows(one, 7)


@pytest.mark.parametrize(("max_tries", "was_cleared"), [(2, False), (0, True)])
def test_where_a_new_start_was_not_made_the_earlier_run_stays_written_down(
    max_tries: int, was_cleared: bool
) -> None:
    earlier = intent(instance_id=6)
    one = Try(kept=left_by(earlier, max_tries=max_tries), try_number=2)
    one.answers(get=run(5, 6), list=[[]], start=SchedulerXRejectedError("no"))
    with pytest.raises(SchedulerXRejectedError):
        one.launcher.find_or_start()
    assert one.store.load() == (earlier, was_cleared)


def test_an_earlier_start_without_a_run_is_forgotten_with_the_new_one() -> None:
    one = Try(kept=left_by(intent()), try_number=2)
    one.answers(reconcile=Reconciled(), list=[[]], start=SchedulerXRejectedError("no"))
    with pytest.raises(SchedulerXRejectedError):
        one.launcher.find_or_start()
    assert not one.kept


# A retry for which nothing was kept, as below Airflow 3.3.


def retry(**more: Any) -> Try:
    return Try(**{"is_kept": False, "try_number": 2, "dag_run_began": 400.0, **more})


MARKED = {"marker_key": "airflow_run"}


def test_a_marker_finds_the_run_of_an_earlier_try() -> None:
    one = retry(**MARKED)
    one.answers(reconcile=Reconciled(6), get=run(3, 6))
    assert follows(one, 6, is_new=False)
    name, asked, how = one.calls.asked[0]
    assert (name, asked.known, asked.marker) == ("reconcile", None, run_marker(one.ti, "airflow_run"))
    assert how == {
        "settling_time": 60.0,
        "patience": 600.0,
        "age": Age(at_most=600.0 + 1800.0),
        "may_be_several": True,
    }


def test_without_a_run_that_carries_the_marker_one_is_started() -> None:
    one = retry(**MARKED, dag_run_began=None)
    one.answers(reconcile=Reconciled(), list=[[]], start=7)
    assert follows(one, 7)
    assert one.calls.asked[0][2]["age"] == Age(at_most=None)
    one = retry(**MARKED)
    one.answers(reconcile=Reconciled(), list=SchedulerXUnavailableError("away"))
    with pytest.raises(SchedulerXUnavailableError):
        one.launcher.find_or_start()
    assert one.owner.phase is Phase.IDLE, "for certain"


def test_a_dag_run_that_begins_later_by_another_clock_has_just_begun() -> None:
    one = retry(**MARKED, dag_run_began=2000.0)
    one.answers(reconcile=Reconciled(), list=[[]], start=7)
    one.launcher.find_or_start()
    assert one.calls.asked[0][2]["age"] == Age(at_most=1800.0)


def test_after_a_clear_only_a_run_that_carries_the_new_marker_counts() -> None:
    """Then ``max_tries`` is the number of tries so far plus ``retries``; it errs where ``retries`` was lowered."""
    one = retry(**MARKED, try_number=3, max_tries=4)
    one.answers(reconcile=Reconciled(ambiguity="who knows"), list=[[]], start=7)
    assert follows(one, 7)
    how = {"settling_time": 0.0, "patience": 0.0, "age": Age(at_most=2400.0), "may_be_several": True}
    assert one.calls.asked[0][2] == how
    assert one.calls.asked[0][1].marker == run_marker(one.ti, "airflow_run")
    one = retry(**MARKED, try_number=3, max_tries=4)
    one.answers(reconcile=Reconciled(6), get=run(3, 6))
    assert follows(one, 6, is_new=False)


def test_without_a_marker_a_retry_starts_nothing_beside_what_may_be_its_own() -> None:
    one = retry()
    one.answers(suspects=[["6 (RUNNING; its parameters are the same)", "5 (WAITING)"]])
    text = (
        r"workflow 1 that is active: 6 \(RUNNING; its parameters are the same\); 5 \(WAITING\)\. Airflow below 3\.3 .*"
        "run_marker=True lets a retry find its run"
    )
    with pytest.raises(RunUndecidedError, match=text):
        one.launcher.find_or_start()
    _, asked, age = one.calls.asked[0]
    assert asked == intent(known=(), began=1000.0)
    assert age == Age(at_most=2400.0)
    one = retry()
    one.answers(suspects=SchedulerXUnavailableError("away"))
    with pytest.raises(RunUndecidedError, match="active: its runs cannot be listed: away"):
        one.launcher.find_or_start()
    one = retry()
    one.answers(suspects=[[]], list=[[]], start=7)
    assert follows(one, 7)


@pytest.mark.parametrize(
    "more",
    [
        {"try_number": 1},
        {"try_number": None},
        {"try_number": 3, "max_tries": 4},  # the first try after a clear
        {"durable": False},
        {"is_kept": True},
    ],
)
def test_a_first_try_and_one_that_is_not_to_be_durable_look_for_nothing(more: dict[str, Any]) -> None:
    one = retry(**more)
    one.answers(list=[[]], start=7)
    assert follows(one, 7)
    assert one.asked in (["list", "start"], ["start"])


def test_where_airflow_does_not_say_how_many_tries_there_are_a_later_one_is_a_retry() -> None:
    one = retry(max_tries=None)
    one.answers(suspects=[[]], list=[[]], start=7)
    assert follows(one, 7)
    assert one.asked[0] == "suspects"


# What a start says of itself.


def test_a_start_takes_what_the_operator_says() -> None:
    one = Try()
    task = SimpleNamespace(
        instance_parameters={"a": 1},
        log=one.log,
        definition_name="nightly",
        on_retry="restart",
        if_running="skip",
        run_marker="key",
        settling_time=1.0,
        poll_failure_tolerance=2.0,
        durable=False,
        wait_for_completion=False,
        cancel_on_kill=False,
        retries=None,
        retry_delay=timedelta(seconds=9),
    )
    policy = StartPolicy("restart", "skip", "key", 1.0, 2.0, False, False, False, 0, 9.0)
    start = Start.from_task(task, one.context, one.owner, one.store)
    assert start == Start(
        one.calls, 1, {"a": 1}, policy, one.owner, one.store, one.context, one.log, (), "nightly"
    )
    assert start.intent(None).definition_name == "nightly"


def test_the_age_of_an_earlier_request_is_in_doubt_small() -> None:
    """By the clocks of two machines."""
    one = Try(retry_delay=300.0)
    assert one.start.age_of(intent(began=900.0)) == Age(at_least=100.0)
    assert one.start.age_of(intent(began=100.0)) == Age(at_least=300.0)
    assert one.start.age_of(intent(began=2000.0)) == Age(at_least=0.0)


def test_the_tasks_own_runs_are_remembered_within_bounds() -> None:
    one = Try()
    one.start.remember(intent(instance_id=6, earlier=(5, 4)))
    assert one.start.earlier == (6, 5, 4)
    one.start.remember(intent(instance_id=8, is_own=False))
    one.start.remember(intent(instance_id=None))
    assert one.start.earlier == (6, 5, 4)
    one.start.remember(intent(instance_id=9, earlier=tuple(range(100, 120))))
    assert one.start.earlier == (9, *range(100, 119))
