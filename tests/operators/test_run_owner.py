"""Whatever ends a try, the answer is right for its run: retryable and resumable, final, or as it came."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException, AirflowTaskTimeout, TaskDeferred

from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXConfigurationError,
    SchedulerXNotFoundError,
    SchedulerXUnavailableError,
)
from airflow_provider_schedulerx.exceptions import (
    RunAlreadyActiveError,
    RunFailedError,
    RunLostError,
    RunNotStartableError,
    RunNotStartedError,
    RunStoppedError,
    RunUndecidedError,
)
from airflow_provider_schedulerx.operators import run_owner
from airflow_provider_schedulerx.operators.interrupts import Killed, TimeIsUp
from airflow_provider_schedulerx.operators.run_owner import RunOwner
from airflow_provider_schedulerx.operators.task_run import Phase
from airflow_provider_schedulerx.version_compat import kills
from tests.operators.played import Kept, Try, intent, left_by, needs_store, run

pytestmark = needs_store

SUCCESS, FAILED, RUNNING = 4, 5, 3
RETRYABLE, FINAL = RunLostError, RunUndecidedError


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What Airflow says about the task; it resumes after ``on_kill``, as 3.3 does."""
    state = SimpleNamespace(name="failed", asked=[])

    def asked(ti: Any) -> str:
        state.asked.append(ti)
        return str(state.name)

    monkeypatch.setattr(kills, "_state", asked)
    monkeypatch.setattr(kills, "resumes_after_on_kill", lambda: True)
    return state


def end(one: Try, error: BaseException) -> BaseException:
    """What the try ends with, if this ends it."""

    def fail() -> None:
        raise error

    return answer(one, fail)


def answer(one: Try, work: Callable[[], None]) -> BaseException:
    """What a try ends with that does this."""
    try:
        with one.owner.guard():
            work()
    except BaseException as error:
        return error
    raise AssertionError("it ended well")


def following(one: Try, *, is_own: bool = True) -> Try:
    one.owner.follow(one.start.run(6, is_own=is_own))
    return one


def starting(one: Try, found: int | BaseException | None = None) -> Try:
    def find() -> int | None:
        if isinstance(found, BaseException):
            raise found
        return found

    one.owner.starting(find)
    return one


def ended(one: Try, status: int) -> Try:
    following(one).owner.ended(run(status, 6))
    return one


def is_answer(error: BaseException, kind: type[BaseException], text: str) -> bool:
    assert type(error) is kind
    assert str(error) == text
    return True


# How far it is.


def test_the_owner_knows_how_far_the_try_is() -> None:
    one = Try()
    owner = one.owner
    assert (owner.phase, owner.run, owner.has_succeeded, owner.what) == (
        Phase.IDLE,
        None,
        False,
        "workflow 1",
    )
    owner.definition_id = 0
    assert owner.what == "the workflow"
    starting(one)
    assert (owner.phase, owner.run) == (Phase.STARTING, None)
    assert owner.follow(one.start.run(6)) == owner.run == one.start.run(6)
    assert owner.phase is Phase.FOLLOWING
    starting(one)
    assert owner.run is None
    following(one)
    owner.nothing_started()
    assert (owner.phase, owner.run) == (Phase.IDLE, None)
    ended(one, FAILED)
    assert (owner.phase, owner.has_succeeded) == (Phase.ENDED, False)
    ended(one, SUCCESS)
    assert owner.has_succeeded


@pytest.mark.parametrize(
    ("try_number", "max_tries", "is_last"),
    [(2, 2, False), (3, 2, True), (None, 2, False), (1, None, False), (0, 0, False), (1, 0, True)],
)
def test_the_last_try_is_known(try_number: Any, max_tries: Any, is_last: bool) -> None:
    assert Try(try_number=try_number, max_tries=max_tries).owner.is_last_try is is_last


def test_what_is_lost_for_now_says_who_takes_it_up() -> None:
    assert is_answer(Try().owner.lost("It is away"), RETRYABLE, "It is away. A retry picks it up")


def made_of(one: Try, **arguments: Any) -> RunOwner:
    """The owner that an operator makes for its try."""
    task: Any = SimpleNamespace(
        run_calls=one.calls,
        timeout=50,
        execution_timeout=None,
        deferrable=False,
        durable=True,
        run_marker=False,
        cancel_on_kill=True,
        log=one.log,
    )
    task.__dict__.update(arguments)
    one.calls.limit_to = lambda *given: one.calls.asked.append(("limit", *given))
    return RunOwner.from_task(task, one.context, one.store)


def test_the_calls_of_an_operator_end_with_its_try() -> None:
    one = Try()
    owner = made_of(one)
    ((_, left, pause),) = one.calls.asked
    assert 0 < left() <= 50
    owner.interrupts.was_killed = True
    with pytest.raises(Killed):
        pause(1)
    assert (owner.calls, owner.what, owner.is_last_try) == (one.calls, "the workflow", False)
    assert (owner.definition_id, owner.stopper.cancel_on_kill) == (0, True)
    assert made_of(Try(try_number=3)).is_last_try


def test_the_page_and_the_log_are_those_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_owner, "for_task", lambda *given: given)
    one = Try()
    owner = made_of(one)
    assert owner.snapshots == (one.ti, one.log)
    owner.starting()
    owner.look_for_started()
    assert owner.run is None
    owner.on_kill()
    assert one.log == [
        "The task was interrupted while it started the workflow: a run that nothing follows may have been started. A retry "
        "looks for it."
    ]


def test_airflows_own_limit_is_ours_to_enforce_only_while_the_task_is_deferred() -> None:
    minute = timedelta(minutes=1)
    for arguments, limit, seconds in [
        ({}, "timeout=50 s", 50),
        ({"timeout": None, "execution_timeout": minute}, "its time", float("inf")),
        ({"timeout": None, "execution_timeout": minute, "deferrable": True}, "execution_timeout=60 s", 60),
        ({"timeout": 30, "execution_timeout": minute, "deferrable": True}, "timeout=30 s", 30),
    ]:
        owner = made_of(Try(), **arguments)  # type: ignore[arg-type]
        assert (str(owner.limit), owner.limit.seconds) == (limit, seconds)
    owner = made_of(Try(), execution_timeout=minute)
    assert str(owner._end._execution_limit) == "execution_timeout=60 s"


@pytest.mark.parametrize(
    ("has_store", "durable", "run_marker", "is_kept"),
    [
        (True, True, False, True),
        (False, True, False, False),
        (False, True, True, True),
        (False, False, True, False),
        (True, False, True, False),
    ],
)
def test_the_next_try_knows_the_run_by_a_store_or_a_marker(
    has_store: bool, durable: bool, run_marker: bool, is_kept: bool
) -> None:
    one = Try(is_kept=has_store, durable=durable)
    assert made_of(one, durable=durable, run_marker=run_marker).is_kept is is_kept


def test_what_an_operator_stops_is_marked_as_over() -> None:
    one = Try(kept=left_by(intent(instance_id=6)))
    one.answers(stop=run(FAILED, 6))
    owner = made_of(one)
    assert owner.is_current()
    assert owner.stop(one.start.run(6)) == run(FAILED, 6)
    assert one.intent == intent(instance_id=6, is_over=True)
    assert one.kept is not None
    one.kept.clear()
    assert not owner.is_current()
    assert not made_of(one, cancel_on_kill=False).stopper.cancel_on_kill


# Nothing ends it.


def test_a_try_that_ends_well_raises_nothing() -> None:
    for one in (Try(), following(Try()), ended(Try(), SUCCESS)):
        with one.owner.guard():
            pass


# An accident.


def test_an_accident_before_anything_was_asked_comes_as_it_is() -> None:
    accident = ValueError("x")
    assert end(Try(), accident) is accident


@pytest.mark.parametrize(
    ("more", "kind", "tail"),
    [
        ({}, RETRYABLE, ". A retry picks it up"),
        (
            {"try_number": 3},
            RETRYABLE,
            ". This was the last try, so nothing follows the run now: stop it in the SchedulerX console, or clear the task, "
            "which stops it and starts another",
        ),
        (
            {"try_number": 3, "cancel_on_kill": False},
            RETRYABLE,
            ". This was the last try, so nothing follows the run now: stop it in the SchedulerX console",
        ),
        ({"is_kept": False}, FINAL, ". The task is not retried, because that would start a second run"),
    ],
)
def test_after_an_accident_only_a_retry_that_knows_the_run_may_come(
    more: dict[str, Any], kind: type[BaseException], tail: str
) -> None:
    accident = ValueError("x")
    error = end(starting(Try(**more)), accident)
    assert is_answer(
        error, kind, f"A run of workflow 1 may have been started, but this try failed: ValueError: x{tail}"
    )
    assert error.__cause__ is accident
    error = end(following(Try(**more)), AirflowBackendError())
    text = f"Workflow instance 6 may be active, but this try failed: AirflowBackendError{tail}"
    assert is_answer(error, kind, text)


class AirflowBackendError(BaseException):
    """Of an XCom backend, say; without a text."""


def test_an_accident_after_a_success_is_retried_only_where_the_success_is_kept() -> None:
    accident = ValueError("x")
    assert end(ended(Try(), SUCCESS), accident) is accident
    assert end(ended(Try(is_kept=False), FAILED), accident) is accident
    assert is_answer(
        end(ended(Try(is_kept=False), SUCCESS), accident),
        FINAL,
        "Workflow instance 6 succeeded, but this try failed: ValueError: x. The task is not retried, because that would start "
        "another run: mark it as success if its run is all that matters",
    )


@pytest.mark.parametrize(
    "error", [SchedulerXConfigurationError("no region"), SchedulerXNotFoundError("no 1")]
)
def test_what_cannot_heal_is_final(error: Exception) -> None:
    final = end(Try(), error)
    assert is_answer(final, RunNotStartableError, str(error))
    assert final.__cause__ is error


@pytest.mark.parametrize(
    "given",
    [
        AirflowSkipException("x"),
        RunAlreadyActiveError("x"),
        RunFailedError("x"),
        RunLostError("x"),
        RunNotStartableError("x"),
        RunNotStartedError("x"),
        RunStoppedError("x"),
        RunUndecidedError("x"),
    ],
)
def test_an_answer_stays_what_it_is(given: BaseException) -> None:
    assert end(following(Try()), given) is given


# A limit.


def limited(**more: Any) -> Try:
    return Try(**{"timeout": 50, "kept": left_by(intent(instance_id=6)), **more})


def test_before_the_start_a_limit_has_started_nothing() -> None:
    text = "No run of workflow 1 was started within timeout=50 s; nothing was started"
    assert is_answer(end(limited(), TimeIsUp()), RunNotStartedError, text)
    timeout = AirflowTaskTimeout("x")
    assert end(limited(), timeout) is timeout, "which Airflow retries"


@pytest.mark.parametrize(
    ("error", "limit"),
    [(TimeIsUp(), "timeout=50 s"), (AirflowTaskTimeout("x"), "execution_timeout=77 s")],
)
def test_after_its_limit_a_run_is_stopped(error: BaseException, limit: str) -> None:
    one = following(limited(kept=left_by(intent(instance_id=6))))
    one.answers(stop=run(FAILED, 6))
    stopped = end(one, error)
    text = f"Workflow instance 6 has not ended within {limit}; it was stopped and is FAILED"
    assert is_answer(stopped, RunStoppedError, text)
    assert stopped.__cause__ is None
    assert one.intent == intent(instance_id=6, is_over=True), "so that a retry starts another"
    assert f"Workflow instance 6 has not ended within {limit}; stopping it" in one.log


def test_a_run_in_sight_while_the_limit_passes_is_stopped_too() -> None:
    one = starting(limited(), 6)
    one.answers(stop=run(FAILED, 6))
    assert type(end(one, TimeIsUp())) is RunStoppedError
    assert one.calls.asked == [("stop", 6)]


@pytest.mark.parametrize("found", [None, SchedulerXUnavailableError("away"), Killed()])
def test_a_start_that_is_not_known_when_the_limit_passes_is_left_to_a_retry(found: Any) -> None:
    one = starting(limited(), found)
    text = "It could not be determined within timeout=50 s whether a run of workflow 1 was started. A retry picks it up"
    assert is_answer(end(one, TimeIsUp()), RETRYABLE, text)
    assert bool(one.log) is (found is not None)
    one = starting(limited(cancel_on_kill=False), 6)
    assert is_answer(end(one, TimeIsUp()), RETRYABLE, text), (
        "it is not looked for, since it would not be stopped"
    )


@pytest.mark.parametrize("error", [TimeIsUp(), AirflowTaskTimeout("x")])
def test_a_limit_of_a_try_that_another_has_followed_stops_nothing(error: BaseException) -> None:
    """Of a worker that was frozen, say: the other try follows the run, and has a limit of its own."""
    one = following(limited(kept=Kept()))
    text = "has not ended within .*; it keeps running because Airflow has given the task to another try. A retry picks it up"
    with pytest.raises(RETRYABLE, match=text):
        raise end(one, error)
    assert one.asked == []


def test_what_does_not_end_after_a_limit_is_left_to_a_retry() -> None:
    for last in (None, run(RUNNING, 6), SchedulerXUnavailableError("away")):
        one = following(limited())
        one.answers(stop=last)
        text = "Workflow instance 6 has not ended within timeout=50 s; its stop was requested, but it had not ended at the last check. A retry picks it up"
        assert is_answer(end(one, TimeIsUp()), RETRYABLE, text)


@pytest.mark.parametrize(
    ("more", "is_own", "reason"),
    [({"cancel_on_kill": False}, True, "cancel_on_kill is off"), ({}, False, "this task did not start it")],
)
def test_after_a_limit_a_run_that_is_not_to_be_stopped_keeps_running(
    more: dict[str, Any], is_own: bool, reason: str
) -> None:
    one = following(limited(**more), is_own=is_own)
    text = f"Workflow instance 6 has not ended within timeout=50 s; it keeps running because {reason}. A retry picks it up"
    assert is_answer(end(one, TimeIsUp()), RETRYABLE, text)
    assert one.asked == []


SUCCEEDED = "but it succeeded before it was stopped"


@pytest.mark.parametrize(
    ("more", "kind", "tail"),
    [
        ({}, RETRYABLE, "A retry returns it and starts none"),
        (
            {"try_number": 3},
            FINAL,
            "The task is not retried, because that would start another run: mark it as success if its run is all that matters",
        ),
        (
            {"is_kept": False},
            FINAL,
            "The task is not retried, because that would start another run: mark it as success if its run is all that matters",
        ),
    ],
)
def test_a_run_that_succeeds_while_it_is_stopped_is_not_run_again(
    more: dict[str, Any], kind: type[BaseException], tail: str, state: SimpleNamespace
) -> None:
    one = following(limited(**more))
    one.answers(stop=run(SUCCESS, 6))
    text = f"Workflow instance 6 has not ended within timeout=50 s, {SUCCEEDED}. {tail}"
    assert is_answer(end(one, TimeIsUp()), kind, text)
    one = following(Try(**more))
    one.answers(stop=run(SUCCESS, 6))
    text = f"The task was killed while workflow instance 6 ran, {SUCCEEDED}. {tail}"
    assert is_answer(end(one, Killed()), kind, text)


def test_a_limit_after_the_end_is_an_accident() -> None:
    error = end(ended(limited(), FAILED), TimeIsUp())
    assert is_answer(error, TimeoutError, "timeout=50 s passed")
    assert type(end(ended(limited(is_kept=False), SUCCESS), TimeIsUp())) is FINAL


def test_a_limit_may_have_a_reason() -> None:
    one = following(limited())
    one.answers(stop=run(FAILED, 6))
    text = "Workflow instance 6 has not ended within timeout=50 s (it waits); it was stopped and is FAILED"
    assert is_answer(one.owner.time_is_up("it waits"), RunStoppedError, text)


def test_without_a_run_no_time_is_up() -> None:
    with pytest.raises(RuntimeError, match="no run is followed"):
        Try().owner.time_is_up("x")


# A kill.


def killed(one: Try) -> BaseException:
    """A signal comes while the try is guarded, and the main flow goes on until its end."""

    def work() -> None:
        one.owner.on_kill()
        assert one.asked == [], "the handler only notes it"

    return answer(one, work)


def test_a_kill_of_a_user_stops_the_run(state: SimpleNamespace) -> None:
    one = following(Try(kept=left_by(intent(instance_id=6))))
    one.answers(stop=run(FAILED, 6))
    text = "The task was killed while workflow instance 6 ran, and it was stopped"
    stopped = killed(one)
    assert is_answer(stopped, RunStoppedError, text)
    assert stopped.__cause__ is None
    assert state.asked == [one.ti]
    assert one.intent == intent(instance_id=6, is_over=True)
    assert "Stopping workflow instance 6" in one.log


def test_a_worker_that_goes_away_leaves_the_run_to_a_retry(state: SimpleNamespace) -> None:
    state.name = "running"
    text = "The task was asked to stop, but Airflow does not say that anyone has ended it, so workflow instance 6 keeps running. A retry picks it up"
    assert is_answer(killed(following(Try())), RETRYABLE, text)
    one = following(Try(try_number=3))
    one.answers(stop=run(FAILED, 6))
    assert type(killed(one)) is RunStoppedError, "there is no retry"
    assert len(state.asked) == 1, "nor is Airflow asked then"


def test_airflow_has_two_of_the_five_seconds_after_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(kills, "someone_has_ended", lambda *what: given.append(what))
    one = following(Try())
    assert type(killed(one)) is RETRYABLE
    assert given == [(one.ti, 2.0)]


def test_an_error_after_a_kill_is_the_kills() -> None:
    one = following(Try())
    one.answers(stop=run(FAILED, 6))
    one.owner.interrupts.was_killed = True
    assert type(end(one, ValueError("the call was cut"))) is RunStoppedError
    one = Try()
    one.owner.interrupts.was_killed = True
    accident = ValueError("x")
    assert end(one, accident) is accident, "nothing was asked"
    one = ended(Try(), SUCCESS)
    one.owner.interrupts.was_killed = True
    assert end(one, accident) is accident


def test_a_kill_while_the_start_is_under_way_stops_what_is_found(state: SimpleNamespace) -> None:
    one = starting(Try(), 6)
    one.answers(stop=run(FAILED, 6))
    one.owner.interrupts.was_killed = True
    assert type(end(one, Killed())) is RunStoppedError
    one = starting(Try())
    text = "The task was killed while it looked for a run of workflow 1. A retry picks it up"
    assert is_answer(end(one, Killed()), RETRYABLE, text)
    assert one.log == [
        "The task was interrupted while it started workflow 1: a run that nothing follows may have been started. A retry "
        "looks for it."
    ]
    for not_looked_for in (starting(Try(cancel_on_kill=False), 6), starting(Try(), 6)):
        state.name = "running"
        not_looked_for.owner.interrupts.was_killed = True
        assert is_answer(end(not_looked_for, Killed()), RETRYABLE, text)


@pytest.mark.parametrize("more", [{"is_kept": False}, {"try_number": 3}])
def test_without_a_retry_that_looks_for_it_a_person_has_to(more: dict[str, Any]) -> None:
    one = starting(Try(**more))
    end(one, Killed())
    assert one.text.endswith("Look at its instances in the SchedulerX console.")


def test_a_kill_before_the_start_has_started_nothing() -> None:
    text = "The task was killed while it was about to start a run of workflow 1; nothing was started"
    one = Try()
    assert is_answer(end(one, Killed()), RunNotStartedError, text)
    assert one.log == []


def test_a_run_that_is_not_to_be_stopped_survives_a_kill() -> None:
    text = "The task was killed while workflow instance 6 ran; it keeps running because cancel_on_kill is off. A retry picks it up"
    assert is_answer(killed(following(Try(cancel_on_kill=False))), RETRYABLE, text)


def test_a_stop_is_tried_once() -> None:
    text = "The task was killed while workflow instance 6 ran; its stop was requested, but it had not ended at the last check. A retry picks it up"
    one = following(Try())
    one.answers(stop=None)
    assert is_answer(killed(one), RETRYABLE, text)
    one = following(Try())
    one.owner.stopper.was_tried = True
    assert is_answer(killed(one), RETRYABLE, text)
    assert one.asked == []


def test_a_kill_after_the_stop_of_a_run_tells_how_it_ended() -> None:
    text = "The task was killed while workflow instance 6 ran"
    assert is_answer(end(ended(Try(), FAILED), Killed()), RunStoppedError, f"{text}, and it was stopped")
    error = end(ended(Try(), SUCCESS), Killed())
    assert is_answer(error, RETRYABLE, f"{text}, {SUCCEEDED}. A retry returns it and starts none")


# A kill of which the main flow hears nothing: below Airflow 3, or where nothing outlives the try.


def test_where_the_main_flow_does_not_continue_the_handler_stops_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kills, "resumes_after_on_kill", lambda: False)
    for one in (following(Try(is_kept=False)), following(Try())):
        one.answers(stop=run(FAILED, 6))
        with one.owner.guard():
            pass
        one.owner.on_kill()
        assert one.calls.asked == [("stop", 6)]
        assert one.owner.phase is Phase.ENDED
        assert one.owner.interrupts.was_killed
        one.owner.on_kill()
        assert one.calls.asked == [("stop", 6)], "once"


def test_where_no_later_try_would_know_the_run_the_handler_stops_it() -> None:
    one = following(Try(is_kept=False))
    one.answers(stop=run(FAILED, 6))
    with one.owner.guard():
        one.owner.on_kill()
        assert one.calls.asked == [("stop", 6)]


@pytest.mark.parametrize("is_kept", [True, False])
@pytest.mark.parametrize("error", [None, TaskDeferred(trigger=None, method_name="x"), RunLostError("x")])
def test_a_kill_after_the_try_has_answered_changes_nothing(error: Exception | None, is_kept: bool) -> None:
    """The process that has started the run, or has left it to the triggerer or to a retry, is evicted as it ends."""
    one = following(Try(is_kept=is_kept))
    with contextlib.suppress(TaskDeferred, RunLostError), one.owner.guard():
        if error is not None:
            raise error
    one.owner.on_kill()
    assert one.asked == []


def test_a_kill_stops_the_run_if_the_answer_was_interrupted() -> None:
    """By Airflow's timeout, say, after which it calls the handler itself."""
    one = following(Try())

    def interrupted(error: BaseException) -> BaseException:
        raise AirflowTaskTimeout("x")

    one.owner._end.answer = interrupted  # type: ignore[method-assign]
    one.answers(stop=run(FAILED, 6))
    assert type(end(one, ValueError("x"))) is AirflowTaskTimeout
    one.owner.on_kill()
    assert one.asked == ["stop"]


def test_the_handler_stops_no_run_that_is_not_to_be_stopped() -> None:
    one = following(Try(cancel_on_kill=False))
    one.owner.on_kill()
    assert one.asked == []
    assert one.log == ["Workflow instance 6 keeps running because cancel_on_kill is off"]


def test_the_handler_says_that_a_run_may_have_been_started() -> None:
    one = starting(Try())
    one.owner.on_kill()
    assert one.text.endswith("A retry looks for it.")
    one = Try()
    one.owner.on_kill()
    assert one.log == []


def test_a_kill_is_noted_only_where_the_main_flow_continues_and_the_start_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Try().owner.kill_is_noted
    assert not Try(is_kept=False).owner.kill_is_noted
    monkeypatch.setattr(kills, "resumes_after_on_kill", lambda: False)
    assert not Try().owner.kill_is_noted


def test_a_kill_interrupts_a_poll_of_the_main_flow() -> None:
    one = following(Try())
    one.answers(stop=run(FAILED, 6))
    after: list[str] = []

    def poll() -> None:
        with one.owner.interrupts.polling():
            one.owner.on_kill()
            after.append("polled")

    assert type(answer(one, poll)) is RunStoppedError
    assert after == []
    with pytest.raises(Killed):
        one.owner.check_killed()


def test_what_is_seen_of_a_run_that_was_stopped_goes_to_its_page() -> None:
    for error in (TimeIsUp(), Killed()):
        one = following(limited())
        seen: list[Any] = []
        one.owner.snapshots = SimpleNamespace(observe=seen.append)
        one.answers(stop=run(FAILED, 6))
        end(one, error)
        assert seen == [run(FAILED, 6)]
