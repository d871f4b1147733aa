"""Starts runs, and finds out what the service makes of a start: refused, skipped, queued, or started after all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from airflow_provider_schedulerx.api.exceptions import SchedulerXAuthorizationError, SchedulerXThrottledError
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.doctor.checks import runs
from airflow_provider_schedulerx.doctor.checks.experiment import Experiment, StartedRun, now
from airflow_provider_schedulerx.doctor.checks.service import why
from airflow_provider_schedulerx.doctor.client import Reply
from airflow_provider_schedulerx.doctor.findings import Finding, fail, ok, unknown, warn

#: Starts at most.
MAX_STARTS = 6
#: Seconds to look for a run although its start was refused, or its answer lost.
LATE_SECONDS = 25.0
_NEXT_SECOND = 1.1
_LOOK_IN_CONSOLE = "Look for a run in the console before you start another. With --parameters '{}' this command recognizes its run."


class Outcome(Enum):
    """What came of a start."""

    STARTED = auto()
    #: A failure was answered, or nothing, and a run was started.
    STARTED_LATE = auto()
    #: Success was answered, with no id.
    SKIPPED = auto()
    #: Success was answered, with the id of a run that was there before.
    JOINED = auto()
    REFUSED = auto()
    #: Denied or throttled: the service did not get to it.
    KEPT_OUT = auto()
    #: Not answered, or answered with a fault, or refused while there are new runs of whoever.
    UNCLEAR = auto()


@dataclass(frozen=True)
class Attempt:
    """:ivar run: what was started, if anything was."""

    outcome: Outcome
    reply: Reply[Any]
    run: StartedRun | None = None

    @property
    def message(self) -> str:
        return str(self.reply.body.get("Message"))

    @property
    def is_in_same_second(self) -> bool:
        return self.outcome in (Outcome.STARTED, Outcome.SKIPPED, Outcome.JOINED)


def start_first(it: Experiment) -> Iterator[Finding]:
    """Start one run. Afterwards ``it.runs`` is empty if there is none to follow."""
    if it.session.options.fill:
        # Early in a second of a clock that is right: the next start then falls into the same one.
        it.pause(1.15 - time.time() % 1)
    is_full = it.limit is not None and len(it.active_before) >= it.limit
    attempt = _attempt(it)
    yield from _late_refusal(attempt)
    if it.session.is_disabled:
        yield from _disabled_workflow(attempt)
    elif is_full:
        yield from _when_full(it, attempt)
    yield from _not_started(attempt)


def fill(it: Experiment) -> Iterator[Finding]:
    """Start runs until there is one more than may run at once. One was started by :func:`start_first`."""
    if it.limit is None:
        yield unknown("when_full", "MaxConcurrency is not known")
        return
    needed = it.limit - len(it.active_before)
    if needed <= 0:
        return  # the first start was beyond it
    if needed + 1 > MAX_STARTS:
        yield unknown(
            "when_full",
            f"it takes {needed + 1} starts, more than the {MAX_STARTS} that this command makes",
            "Use a workflow with a MaxConcurrency of 1.",
        )
        return
    for number in range(2, needed + 2):
        attempt = _attempt(it)
        yield from _late_refusal(attempt)
        if number == 2:
            finding, attempt = _start_interval(it, attempt)
            yield finding
        if number > needed or attempt.run is None:
            yield from _when_full(it, attempt)
            return
        it.pause(_NEXT_SECOND)


def _attempt(it: Experiment) -> Attempt:
    sent_at = now()
    reply = it.session.ask(calls.execute_workflow(it.session.scope, it.workflow_id, it.parameters))
    if reply.value is not None:
        if reply.value.wf_instance_id in it.known:
            return Attempt(Outcome.JOINED, reply)
        run = StartedRun(reply.value.wf_instance_id, sent_at, reply.served_at)
        it.runs.append(run)
        return Attempt(Outcome.STARTED, reply, run)
    if reply.says_success and str(reply.data.get("WfInstanceId")) in ("0", "None"):
        return Attempt(Outcome.SKIPPED, reply)
    if isinstance(reply.error, SchedulerXAuthorizationError | SchedulerXThrottledError):
        return Attempt(Outcome.KEPT_OUT, reply)
    candidates = _new_runs(it, sent_at, reply)
    ours = _ours(it, candidates)
    if ours is not None:
        it.runs.append(ours)
        return Attempt(Outcome.STARTED_LATE, reply, ours)
    is_refused = not candidates and _is_refusal(reply)
    return Attempt(Outcome.REFUSED if is_refused else Outcome.UNCLEAR, reply)


def _new_runs(it: Experiment, sent_at: float, reply: Reply[Any]) -> list[StartedRun]:
    """Runs that are listed now and were not before. Some may be another's, started before and listed late."""
    until = now() + LATE_SECONDS
    found: dict[int, StartedRun] = {}
    absent_at = None
    while True:
        asked_at = now()
        listed = it.list_runs()
        for number in listed or ():
            if number not in it.known and number not in found:
                found[number] = StartedRun(
                    number, sent_at, reply.served_at, absent_at=absent_at, listed_at=now()
                )
        if listed is not None:
            absent_at = asked_at
        if now() >= until:
            return list(found.values())
        it.pause()


def _ours(it: Experiment, candidates: list[StartedRun]) -> StartedRun | None:
    """The one that carries our marker. Without that, a new run may be anybody's."""
    for run in candidates:
        detail = it.node_detail(run) if it.marker and it.look(run) else None
        if detail and it.marker and it.marker in runs.text_of(detail.get("Parameters")):
            return run
    return None


def _is_refusal(reply: Reply[Any]) -> bool:
    """Whether the service says clearly that it will not, as opposed to that it has a fault."""
    code = str(reply.body.get("Code") or "")
    return reply.body.get("Success") is False and code.isdecimal() and not code.startswith("5")


def _late_refusal(attempt: Attempt) -> Iterator[Finding]:
    reply, code = attempt.reply, attempt.reply.body.get("Code")
    if attempt.outcome is Outcome.REFUSED:
        yield unknown(
            "late_refusal",
            f"a start was refused ({attempt.message}), and no new run was listed within {LATE_SECONDS:g} s; whether that "
            "holds for every refusal is not known",
        )
    if attempt.outcome is not Outcome.STARTED_LATE:
        return
    if reply.response is None:
        yield unknown("late_refusal", f"an answer was lost ({reply.error}), and a run was started")
        return
    if reply.body.get("Success") is not False:
        value = "timeout" if "Timeout" in str(code) else str(code)
    else:
        value = "no_code" if code in (None, "") else str(code)
    yield warn(
        "late_refusal",
        value,
        f"HTTP {reply.response.status}, Code {code}, {attempt.message}: a failure was answered, and a run was started",
        "Tasks look for the run after such an answer; please report it with the block below.",
    )


def _disabled_workflow(attempt: Attempt) -> Iterator[Finding]:
    if attempt.run is not None:
        yield ok("disabled_workflow", "run", "a start of this disabled workflow is carried out")
        yield warn("enabled", "disabled", "it is disabled, and the service starts it anyway")
    elif attempt.outcome is Outcome.REFUSED:
        yield ok("disabled_workflow", "refuse", f"a start is refused: {attempt.message}")


def _when_full(it: Experiment, attempt: Attempt) -> Iterator[Finding]:
    """What came of a start when as many runs as may be at once were active, if they still are."""
    key, run = "when_full", attempt.run
    others = [each for each in it.runs if each is not run]
    if any(not it.look(each) or each.is_over for each in others):
        yield unknown(key, "runs end faster than others can be started; use a workflow that takes longer")
    elif attempt.outcome is Outcome.SKIPPED:
        yield ok(key, "skip", "the service answers success and WfInstanceId 0, and starts nothing")
    elif attempt.outcome is Outcome.JOINED:
        yield ok(
            key, "join", "the service answers success and the id of a run that was there, and starts nothing"
        )
    elif attempt.outcome is Outcome.REFUSED:
        yield ok(key, "refuse", f"the start is refused: {attempt.message}")
    elif run is None:
        yield unknown(key, f"the outcome of the start is not clear: {why(attempt.reply)}")
    elif not it.look(run):
        yield unknown(key, "the run beyond MaxConcurrency could not be polled")
    elif run.is_waiting:
        yield ok(key, "queue", "the run is made and waits for its turn")
    else:
        yield unknown(key, f"the run is {run.state}: a place was free, or MaxConcurrency holds nothing back")


def _start_interval(it: Experiment, second: Attempt) -> tuple[Finding, Attempt]:
    """Whether two starts may come in the same second. A refusal is tried again in another one.

    :return: the finding, and the attempt that counts.
    """
    key, first = "start_interval", it.runs[0]
    if second.is_in_same_second:
        if second.reply.served_at is not None and second.reply.served_at == first.served_at:
            return ok(key, "0", "two starts in the same second are accepted"), second
        return unknown(key, "the two starts fell into different seconds"), second
    if second.outcome is not Outcome.REFUSED:
        return unknown(key, f"the outcome of the second start is not clear: {why(second.reply)}"), second
    it.pause(_NEXT_SECOND)
    again = _attempt(it)
    if (
        again.outcome in (Outcome.REFUSED, Outcome.UNCLEAR, Outcome.KEPT_OUT)
        and again.message == second.message
    ):
        return unknown(key, f"the second start was refused, and later as well: {again.message}"), again
    if not it.nothing_has_ended():
        return (
            unknown(key, "the second start was refused, but a run has ended since, which may be why"),
            again,
        )
    return ok(key, "1", f"a second start in the same second is refused: {second.message}"), again


def _not_started(attempt: Attempt) -> Iterator[Finding]:
    if attempt.outcome is Outcome.SKIPPED:
        yield warn("run", "skipped", "the service answers success and WfInstanceId 0: nothing was started")
    elif attempt.outcome is Outcome.JOINED:
        yield warn("run", "joined", "the service answers the id of a run that was there: nothing was started")
    elif attempt.outcome is Outcome.KEPT_OUT:
        yield fail("run", "not started", why(attempt.reply))
    elif attempt.outcome is Outcome.REFUSED:
        yield fail("run", "refused", f"the service refuses the start: {why(attempt.reply)}")
    elif attempt.outcome is Outcome.UNCLEAR:
        yield fail(
            "run",
            "unclear",
            f"whether a run was started is not clear: {why(attempt.reply)}",
            _LOOK_IN_CONSOLE,
        )
