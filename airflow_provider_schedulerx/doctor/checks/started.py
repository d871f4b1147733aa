"""What only a run shows: starts one or more, follows them and perhaps stops them. Needs ``--start``."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAmbiguousError,
    SchedulerXAuthorizationError,
    SchedulerXConfigurationError,
    SchedulerXThrottledError,
)
from airflow_provider_schedulerx.api.models import (
    JobInstanceStatus,
    WorkflowInstance,
    WorkflowInstanceStatus,
)
from airflow_provider_schedulerx.api.parameters import with_run_marker
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.doctor.checks import runs
from airflow_provider_schedulerx.doctor.checks.service import why
from airflow_provider_schedulerx.doctor.checks.workflow import max_concurrency
from airflow_provider_schedulerx.doctor.client import Reply
from airflow_provider_schedulerx.doctor.findings import Finding, fail, ok, unknown, warn
from airflow_provider_schedulerx.doctor.session import Session

#: The key under which the marker is put into the parameters.
MARKER_KEY = "schedulerx_doctor"
#: Starts at most.
MAX_STARTS = 6
#: Seconds to look for a run although its start was refused, or its answer lost.
LATE_SECONDS = 8.0
#: Seconds to wait for a run to end once its nodes have been stopped.
STOP_SECONDS = 60.0
#: Seconds that a waiting run may be missing from the list, beyond those that another one was.
_HIDDEN_AFTER = 3.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
_NEXT_SECOND = 1.1


@dataclass
class _Run:
    """A run that was started here.

    :ivar sent_at: when its start was asked for, of our monotonic clock.
    :ivar served_at: ``Date`` of the answer, epoch seconds.
    :ivar absent_at, listed_at: when it was last missing from the list, and first in it.
    """

    wf_instance_id: int
    sent_at: float
    served_at: float | None
    seen: WorkflowInstance | None = None
    looks: list[WorkflowInstance] = field(default_factory=list)
    absent_at: float | None = None
    listed_at: float | None = None
    #: Whether it was still waiting when it had been missing from the list for too long.
    is_hidden: bool = False
    was_waiting_when_listed: bool = False

    @property
    def is_over(self) -> bool:
        return self.seen is not None and not self.seen.status.is_active

    @property
    def is_waiting(self) -> bool:
        return self.seen is not None and self.seen.status is WorkflowInstanceStatus.WAITING


def start(session: Session) -> Iterator[Finding]:
    """Start the workflow, after asking, and find out what its runs show."""
    if not session.options.start:
        return
    assert session.client is not None  # noqa: S101 - checks say what they need
    if session.options.workflow_id is None:
        yield fail("run", "not started", "--start needs --workflow-id", "Name the workflow to start.")
        return
    try:
        marker = f"{uuid.uuid4().hex[:12]}"
        parameters = _parameters(session, marker)
    except SchedulerXConfigurationError as error:
        yield fail("run", "not started", error.message)
        return
    if not session.may_start(_question(session)):
        yield unknown("run", "you said no, so nothing was started")
        return
    session.client.deadline = time.monotonic() + session.options.follow + STOP_SECONDS + session.options.limit
    yield from _Experiment(session, parameters, marker if parameters else None).findings()


def _parameters(session: Session, marker: str) -> str | None:
    if session.options.parameters is None:
        return None
    return with_run_marker(dict(session.options.parameters), MARKER_KEY, marker)


def _question(session: Session) -> str:
    scope, options = session.scope, session.options
    name = (session.workflow or {}).get("Name")
    limit = max_concurrency(session)
    what = f"up to {min(MAX_STARTS, (limit or 1) + 1)} runs" if options.fill else "one run"
    then = "and stop it" if options.stop else "and follow it"
    disabled = " It is disabled." if session.is_disabled else ""
    return (
        f"Start {what} of workflow {options.workflow_id} {name or ''} (region {scope.region_id}, namespace "
        f"{scope.namespace}, group {scope.group_id}) {then}? Its jobs really run.{disabled} [y/N] "
    )


class _Experiment:
    def __init__(self, session: Session, parameters: str | None, marker: str | None) -> None:
        assert session.workflow_id is not None  # noqa: S101 - start() has checked it
        self._session = session
        self._workflow_id = session.workflow_id
        self._parameters = parameters
        self._marker = marker
        self._runs: list[_Run] = []
        self._known: set[int] = set()
        self._active_before: set[int] = set()
        self._before: list[int] = []
        self._after: list[int] = []

    def findings(self) -> Iterator[Finding]:
        listed = self._list()
        if listed is None:
            yield unknown("run", "the runs of the workflow cannot be listed, so none was started")
            return
        self._before = [number for number, _ in listed]
        self._known = set(self._before)
        self._active_before = {number for number, is_active in listed if is_active}
        active = len(self._active_before)
        if self._session.options.fill:
            # Early in a second of a clock that is right: the next start then falls into the same one.
            self._session.sleep(1.15 - time.time() % 1)
        limit = max_concurrency(self._session)
        yield from self._first_start(limit is not None and active >= limit)
        if not self._runs:
            return
        if self._session.options.fill:
            yield from self._fill(active, limit)
        yield from self._follow()

    # Starting

    def _execute(self) -> tuple[Reply[Any], _Run | None]:
        sent_at = time.monotonic()
        reply = self._session.ask(
            calls.execute_workflow(self._session.scope, self._workflow_id, self._parameters)
        )
        if reply.value is None:
            return reply, None
        run = _Run(reply.value.wf_instance_id, sent_at, reply.served_at)
        self._runs.append(run)
        return reply, run

    def _first_start(self, is_full: bool) -> Iterator[Finding]:
        reply, run = self._execute()
        if run is not None:
            if self._session.is_disabled:
                yield ok("disabled_workflow", "run", "a start of this disabled workflow is accepted")
            if is_full:
                yield from self._beyond(reply, run)
            return
        if _is_skipped(reply):
            if is_full:
                yield _when_full("skip")
            yield warn(
                "run", "skipped", "the service answers success and WfInstanceId 0: nothing was started"
            )
            return
        if isinstance(reply.error, SchedulerXAuthorizationError | SchedulerXThrottledError):
            yield fail("run", "not started", why(reply))
            return
        late = self._late(reply)
        if late is not None:
            self._runs.append(late)
            yield _late_refusal(reply)
            if self._session.is_disabled:
                yield ok("disabled_workflow", "run", "a start of this disabled workflow is carried out")
            return
        yield from self._refused(reply, is_full)

    def _refused(self, reply: Reply[Any], is_full: bool) -> Iterator[Finding]:
        if isinstance(reply.error, SchedulerXAmbiguousError) and reply.body.get("Success") is not False:
            yield fail(
                "run",
                "lost",
                f"{reply.error}; no new run was listed within {LATE_SECONDS:g} s",
                "Look for a run in the console before you start another.",
            )
            return
        if self._session.is_disabled:
            yield ok("disabled_workflow", "refuse", f"a start is refused: {reply.body.get('Message')}")
        elif is_full:
            yield _when_full("refuse", reply)
        yield unknown(
            "late_refusal",
            f"the start was refused, and no new run was listed within {LATE_SECONDS:g} s; whether that holds for "
            "every refusal is not known",
        )
        yield fail("run", "refused", f"the service refuses the start: {reply.error}")

    def _late(self, reply: Reply[Any]) -> _Run | None:
        """The run that was started although the answer says otherwise."""
        sent_at, until = time.monotonic(), time.monotonic() + LATE_SECONDS
        while True:
            for number, _ in self._list() or ():
                if number not in self._known:
                    return _Run(number, sent_at, reply.served_at, listed_at=None)
            if time.monotonic() >= until:
                return None
            self._session.sleep(_FIRST_PAUSE)

    def _fill(self, active_before: int, limit: int | None) -> Iterator[Finding]:
        """Start until there is one more than may run at once."""
        if limit is None:
            yield unknown("when_full", "MaxConcurrency is not known")
            return
        needed = limit - active_before
        if needed + 1 > MAX_STARTS:
            yield unknown(
                "when_full",
                f"it takes {needed + 1} starts, more than the {MAX_STARTS} that this command makes",
                "Use a workflow with a MaxConcurrency of 1.",
            )
            return
        while len(self._runs) <= max(needed, 0):
            is_second = len(self._runs) == 1
            reply, run = self._execute()
            if is_second:
                interval, reply, run = self._interval(reply, run)
                if interval is not None:
                    yield interval
            else:
                self._session.sleep(_NEXT_SECOND)
            if run is None or len(self._runs) > needed:
                yield from self._beyond(reply, run)
                return

    def _interval(
        self, reply: Reply[Any], run: _Run | None
    ) -> tuple[Finding | None, Reply[Any], _Run | None]:
        """Whether two starts may come in the same second. A refusal is tried again in the next one."""
        if run is not None or _is_skipped(reply):
            first = self._runs[0].served_at
            if reply.served_at is not None and reply.served_at == first:
                return ok("start_interval", "0", "two starts in the same second are accepted"), reply, run
            return unknown("start_interval", "the two starts fell into different seconds"), reply, run
        self._session.sleep(_NEXT_SECOND)
        again, run = self._execute()
        if run is None and not _is_skipped(again) and _message(again) == _message(reply):
            why_not = f"the second start was refused, a second later as well: {_message(again)}"
        elif not self._nothing_has_ended():
            why_not = "the second start was refused, but a run has ended since, which may be why the next one was not"
        else:
            text = f"a second start in the same second is refused: {_message(reply)}"
            return ok("start_interval", "1", text), again, run
        return unknown("start_interval", why_not), again, run

    def _nothing_has_ended(self) -> bool:
        """Whether the workflow was as full all the time as it is now: all runs that were active still are."""
        listed = self._list()
        if listed is None or not self._active_before <= {number for number, is_active in listed if is_active}:
            return False
        return self._look(self._runs[0]) and not self._runs[0].is_over

    def _beyond(self, reply: Reply[Any], run: _Run | None) -> Iterator[Finding]:
        """What came of a start when as many runs as may be at once were active, if they still are."""
        if any(each.is_over for each in self._runs if each is not run and self._look(each)):
            yield unknown(
                "when_full", "runs end faster than others can be started; use a workflow that takes longer"
            )
        elif run is None:
            yield _when_full("skip" if _is_skipped(reply) else "refuse", reply)
        elif not self._look(run):
            yield unknown("when_full", "the run beyond MaxConcurrency could not be looked at")
        elif run.is_waiting:
            yield _when_full("queue")
        else:
            assert run.seen is not None  # noqa: S101 - it was looked at
            yield warn(
                "when_full", "run", f"the run is {run.seen.status.name}: MaxConcurrency holds nothing back"
            )

    # Following

    def _follow(self) -> Iterator[Finding]:
        options = self._session.options
        until = time.monotonic() + options.follow
        pause = _FIRST_PAUSE
        details: dict[str, Finding] = {}
        while True:
            self._observe_list()
            for run in self._runs:
                if not run.is_over:
                    self._look(run)
            for finding in self._details():
                details.setdefault(finding.key, finding)
            if options.stop and any(map(_has_running_node, self._runs)):
                details |= {finding.key: finding for finding in self._stop()}
                break
            waits_for_list = any(run.listed_at is None and not run.is_hidden for run in self._runs)
            is_over = all(run.is_over for run in self._runs)
            if time.monotonic() >= until or (is_over and not waits_for_list):
                break
            self._session.sleep(min(pause, max(0.0, until - time.monotonic())))
            # While something is still to be seen in the list, its time has to be known well.
            pause = _FIRST_PAUSE if waits_for_list else min(pause * 1.5, _LONGEST_PAUSE)
        yield from details.values()
        yield from self._list_findings()
        yield self._summary()

    def _look(self, run: _Run) -> bool:
        reply = self._session.ask(
            calls.get_workflow_instance(self._session.scope, self._workflow_id, run.wf_instance_id)
        )
        if reply.value is None:
            return False
        run.seen = reply.value
        run.looks.append(reply.value)
        return True

    def _list(self) -> list[tuple[int, bool]] | None:
        """Ids as they are listed, and whether the run is active."""
        reply = self._session.ask(calls.list_workflow_instances(self._session.scope, self._workflow_id))
        if reply.value is None:
            return None
        self._session.runs = [
            each for each in reply.data.get("WfInstanceInfos") or [] if isinstance(each, dict)
        ]
        return [(each.wf_instance_id, each.status.is_active) for each in reply.value]

    def _observe_list(self) -> None:
        asked_at = time.monotonic()
        listed = self._list()
        if listed is None:
            return
        self._after = [number for number, _ in listed]
        lag = max(
            (run.listed_at - run.sent_at for run in self._runs if run.listed_at is not None), default=None
        )
        for run in self._runs:
            if run.listed_at is not None:
                continue
            if run.wf_instance_id in self._after:
                run.listed_at = time.monotonic()
                run.was_waiting_when_listed = run.is_waiting and self._look(run) and run.is_waiting
                continue
            run.absent_at = asked_at
            # Only a run that certainly waits, and that would be listed by now if it did not.
            overdue = lag is not None and asked_at - run.sent_at > 2 * lag + _HIDDEN_AFTER
            if overdue and run.is_waiting and self._look(run) and run.is_waiting:
                run.is_hidden = True

    def _details(self) -> Iterator[Finding]:
        """What a run that was looked at shows, and its first node that has begun."""
        first = self._runs[0]
        if first.seen is None:
            return
        zone = runs.time_zone(first.seen.schedule_time or first.seen.start_time, first.served_at)
        if zone is not None:
            yield zone
        if found := runs.waiting_node_id([run.seen for run in self._runs if run.seen]):
            yield found
        yield from self._node()

    def _node(self) -> Iterator[Finding]:
        run = self._runs[0].seen
        for node in run.nodes if run else ():
            if node.job_instance_id is None or node.status in (
                JobInstanceStatus.WAITING,
                JobInstanceStatus.READY,
            ):
                continue
            reply = self._session.ask(
                calls.get_job_instance(self._session.scope, node.job_id, node.job_instance_id)
            )
            if not reply.says_success:
                return
            detail = runs.detail_of(reply)
            kind = detail.get("TriggerType")
            if kind is None:
                yield ok("node_trigger_type", "absent", "a node of a run that was started here has none")
            else:
                yield ok(
                    "node_trigger_type", str(kind), "of a node of a run that was started here through the API"
                )
            yield self._parameters_shown(detail)
            return

    def _parameters_shown(self, detail: Mapping[str, Any]) -> Finding:
        key, text = "parameters_shown", runs.text_of(detail.get("Parameters"))
        if self._marker is None:
            return unknown(key, "the run had no parameters; add --parameters '{}', which puts in a marker")
        hidden = {"run_is_shown": False}
        if detail.get("Parameters") is None:
            return ok(key, "none", "the run had parameters, and a node of it shows none", data=hidden)
        if not text:
            return unknown(
                key,
                "the run had parameters, and a node of it shows an empty text: those of the job, which has none, or "
                "never any; those of the run are not shown",
                data=hidden,
            )
        if self._marker not in text:
            return ok(key, "job", "a node of the run shows parameters that are not the run's", data=hidden)
        if runs.is_escaped(text):
            return ok(key, "escaped", "a node shows the run's parameters, with their quotes escaped")
        return ok(key, "run", "a node shows the run's parameters")

    def _list_findings(self) -> Iterator[Finding]:
        for run in self._runs:
            if run.is_hidden:
                yield ok(
                    "list_waiting",
                    "hidden",
                    "a run that waits is not in the list, though a later one would be",
                )
            elif run.was_waiting_when_listed:
                yield ok("list_waiting", "listed", "a run that waits is in the list")
        yield from self._list_lag()
        if self._session.runs is not None:
            yield runs.list_order(self._session.runs)
        yield self._list_length()

    def _list_lag(self) -> Iterator[Finding]:
        run = self._runs[0]
        if run.listed_at is None:
            if not run.is_waiting and run.absent_at is not None:
                seconds = run.absent_at - run.sent_at
                yield unknown("list_lag", f"the run was not listed within {seconds:.0f} s; raise --follow")
            return
        at_most = run.listed_at - run.sent_at
        if run.absent_at is None:
            yield ok(
                "list_lag", "0", "a new run is in the list at once", data={"above": None, "at_most": at_most}
            )
            return
        above = run.absent_at - run.sent_at
        yield ok(
            "list_lag",
            str(round(at_most)),
            f"a new run is not in the list after {above:.1f} s, and is after {at_most:.1f} s",
            data={"above": above, "at_most": at_most},
        )

    def _list_length(self) -> Finding:
        key, before, after = "list_length", set(self._before), set(self._after)
        gone = before - after
        if gone and after - before and len(self._before) == len(self._after):
            return ok(key, str(len(after)), f"{len(after)} runs: a new one pushes the oldest out")
        if gone:
            return unknown(key, f"runs have left the list, which has {len(after)} now and had {len(before)}")
        return unknown(
            key, f"{len(after)} runs are listed, and none was pushed out by a new one: the list may be longer"
        )

    # Stopping

    def _stop(self) -> Iterator[Finding]:
        """Stop all nodes that run, again and again, until all runs are over."""
        until = time.monotonic() + STOP_SECONDS
        refusal = ""
        was_stopped: set[int] = set()
        while not all(run.is_over for run in self._runs) and time.monotonic() < until:
            for run in self._runs:
                for node in run.seen.nodes if run.seen and not run.is_over else ():
                    if node.status is not JobInstanceStatus.RUNNING or node.job_instance_id is None:
                        continue
                    reply = self._session.ask(
                        calls.stop_job_instance(self._session.scope, node.job_id, node.job_instance_id)
                    )
                    if reply.error is None:
                        was_stopped.add(run.wf_instance_id)
                    else:
                        refusal = why(reply)
                self._look(run)
            self._session.sleep(_FIRST_PAUSE)
        yield self._stopped_state(was_stopped, refusal)

    def _stopped_state(self, was_stopped: set[int], refusal: str) -> Finding:
        for run in self._runs:
            if run.wf_instance_id in was_stopped and run.is_over and run.seen is not None:
                nodes = sorted({f"{node.status.name} ({int(node.status)})" for node in run.seen.nodes})
                results = sorted({node.result for node in run.seen.nodes if node.result})
                text = (
                    f"a run whose nodes were stopped has status {int(run.seen.status)}; its nodes: {', '.join(nodes)}"
                    + (f"; results: {', '.join(results)[:120]}" if results else "")
                )
                return ok("stopped_state", str(int(run.seen.status)), text)
        why_not = refusal or "the run did not end within the time"
        return unknown("stopped_state", f"{why_not}; look after the run in the console")

    def _summary(self) -> Finding:
        ids = ", ".join(str(run.wf_instance_id) for run in self._runs)
        left = [run for run in self._runs if not run.is_over]
        states = ", ".join(run.seen.status.name if run.seen else "not seen" for run in self._runs)
        link = self._session.hook.console_link(self._workflow_id, self._runs[0].wf_instance_id)
        if left:
            return warn("run", states, f"{ids}: {states}, left running", f"Follow it in the console: {link}")
        return ok("run", states, f"{ids}: {states}")


def _is_skipped(reply: Reply[Any]) -> bool:
    """Whether the service reports success but gives no id."""
    return reply.says_success and str(reply.data.get("WfInstanceId")) in ("0", "None")


def _message(reply: Reply[Any]) -> str:
    return str(reply.body.get("Message"))


def _has_running_node(run: _Run) -> bool:
    return run.seen is not None and any(
        node.status is JobInstanceStatus.RUNNING and node.job_instance_id is not None
        for node in run.seen.nodes
    )


def _when_full(value: str, reply: Reply[Any] | None = None) -> Finding:
    text = {
        "queue": "the run is made and waits for its turn",
        "refuse": f"the start is refused: {_message(reply) if reply else ''}",
        "skip": "the service answers success and WfInstanceId 0, and starts nothing",
    }[value]
    return ok("when_full", value, text)


def _late_refusal(reply: Reply[Any]) -> Finding:
    code = reply.body.get("Code")
    if reply.response is None:
        return unknown("late_refusal", f"the answer was lost ({reply.error}), and a run was started")
    if reply.body.get("Success") is not False:
        value = "timeout" if "Timeout" in str(code) else str(code)
    else:
        value = "no_code" if code in (None, "") else str(code)
    return warn(
        "late_refusal",
        value,
        f"HTTP {reply.response.status}, Code {code}, {_message(reply)}: a failure was answered, and a run was started",
        "Tasks must not take such an answer for a refusal: please report it with the block below.",
    )


def as_parameters(text: str) -> dict[str, Any]:
    """Read ``--parameters``. :raises SchedulerXConfigurationError: if it is not a JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise SchedulerXConfigurationError(f"--parameters is not JSON: {error}", field="parameters") from None
    if not isinstance(value, dict):
        raise SchedulerXConfigurationError(
            "--parameters has to be a JSON object, such as '{}'", field="parameters"
        )
    return value
