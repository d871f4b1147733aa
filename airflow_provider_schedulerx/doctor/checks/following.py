"""Follows the runs that were started here, stops them if asked to, and says what they and the list have shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_schedulerx.api.models import JobInstanceStatus
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.doctor.checks import runs
from airflow_provider_schedulerx.doctor.checks.experiment import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Experiment,
    now,
)
from airflow_provider_schedulerx.doctor.checks.service import why
from airflow_provider_schedulerx.doctor.findings import Finding, count, ok, unknown, warn

#: Seconds to wait for runs to end once their nodes have been stopped.
STOP_SECONDS = 60.0
#: Seconds that a waiting run may be missing from the list, beyond twice those that another one was.
HIDDEN_AFTER = 3.0


def follow(it: Experiment) -> Iterator[Finding]:
    """Follow the runs until they are over, time is up, or they have been stopped."""
    options = it.session.options
    until = now() + options.follow
    pause = FIRST_PAUSE
    details: dict[str, Finding] = {}
    while True:
        _observe_list(it)
        for run in it.runs:
            if not run.is_over:
                it.look(run)
        for finding in _details(it):
            if details.get(finding.key) is None or details[finding.key].value is None:
                details[finding.key] = finding
        waits_for_list = any(run.listed_at is None and not run.is_hidden for run in it.runs)
        if all(run.is_over for run in it.runs) and not waits_for_list:
            break
        # A run that is stopped shows nothing more, so what the list shows comes first, for a while.
        may_stop = not waits_for_list or now() >= until - options.follow / 2
        if options.stop and may_stop and any(run.has_running_node for run in it.runs):
            break
        if now() >= until:
            break
        it.pause(min(pause, until - now()))
        # While something is still to be seen in the list, its time has to be known well.
        pause = FIRST_PAUSE if waits_for_list else min(pause * 1.5, LONGEST_PAUSE)
    if options.stop:
        details["stopped_state"] = _stop(it)
    yield from details.values()
    yield from _list_findings(it)
    yield summary(it)


def _observe_list(it: Experiment) -> None:
    asked_at = now()
    if it.list_runs() is None:
        return
    lag = max((run.listed_at - run.sent_at for run in it.runs if run.listed_at is not None), default=None)
    for run in it.runs:
        if run.listed_at is not None:
            continue
        if run.wf_instance_id in it.listed:
            run.listed_at = now()
            # If it waits now, it did so when it was listed.
            run.was_listed_waiting = it.look(run) and run.is_waiting
            continue
        run.absent_at = asked_at
        # Only a run that certainly waited, and that would have been listed if it did not.
        if (
            lag is not None
            and asked_at - run.sent_at > 2 * lag + HIDDEN_AFTER
            and it.look(run)
            and run.is_waiting
        ):
            run.is_hidden = True


def _details(it: Experiment) -> Iterator[Finding]:
    """What the first run shows, and its first node that has begun."""
    first = it.runs[0]
    if first.seen is None:
        return
    zone = runs.time_zone(first.seen.schedule_time or first.seen.start_time, first.served_at)
    if zone is not None:
        yield zone
    if first.seen.data_time is not None:
        yield ok("api_data_time", "present", f"a run that was started here has one: {first.seen.data_time}")
    elif first.seen.schedule_time is not None:
        yield ok("api_data_time", "absent", "a run that was started here has a ScheduleTime, and no DataTime")
    yield from runs.waiting_node_id(it.session)
    detail = it.node_detail(first)
    if detail is None:
        return
    kind = detail.get("TriggerType")
    if kind is None:
        yield ok("node_trigger_type", "absent", "a node of a run that was started here has none")
    else:
        yield ok(
            "node_trigger_type", str(kind), f"{kind}: a node of a run that was started here through the API"
        )
    yield _parameters_shown(detail, it.marker, it.parameters or "")


def _parameters_shown(detail: Mapping[str, Any], marker: str | None, given: str) -> Finding:
    key, text = "parameters_shown", runs.text_of(detail.get("Parameters"))
    if marker is None:
        return unknown(key, "the run had no parameters; add --parameters '{}', which adds a marker")
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
    if runs.is_cut(text, given):
        return ok(key, "cut", "a node shows the beginning of the run's parameters", data=hidden)
    if marker not in text:
        return ok(key, "job", "a node of the run shows parameters that are not the run's", data=hidden)
    if runs.is_escaped(text):
        return ok(key, "escaped", "a node shows the run's parameters, with their quotes escaped")
    if runs.is_html(text):
        return ok(key, "html", "a node shows the run's parameters, escaped for HTML")
    return ok(key, "run", "a node shows the run's parameters")


def _list_findings(it: Experiment) -> Iterator[Finding]:
    for run in it.runs:
        if run.is_hidden:
            yield ok(
                "list_waiting",
                "hidden",
                "a run that waits is not in the list, although others have long been",
            )
        elif run.was_listed_waiting:
            yield ok("list_waiting", "listed", "a run that waits is in the list")
        elif run.is_waiting:
            yield unknown(
                "list_waiting", "the run that waits was not followed for long enough; raise --follow"
            )
    yield from _list_lag(it)
    if it.session.runs is not None:
        yield runs.list_order(it.session.runs)
    yield _list_length(it)


def _list_lag(it: Experiment) -> Iterator[Finding]:
    key, run = "list_lag", it.runs[0]
    if run.listed_at is None:
        if run.absent_at is not None and not run.is_waiting:
            seconds = run.absent_at - run.sent_at
            yield unknown(key, f"the run was not listed within {seconds:.0f} s; raise --follow")
        return
    at_most = run.listed_at - run.sent_at
    if run.absent_at is None:
        yield ok(key, "0", "a new run is in the list at once", data={"above": None, "at_most": at_most})
        return
    above = run.absent_at - run.sent_at
    yield ok(
        key,
        f"{at_most:.1f}",
        f"a new run is not in the list after {above:.1f} s, and is after {at_most:.1f} s",
        data={"above": above, "at_most": at_most},
    )


def _list_length(it: Experiment) -> Finding:
    key, before, after = "list_length", set(it.before), set(it.listed)
    gone = before - after
    if gone and after - before and len(before) == len(after):
        it.session.list_length = len(after)
        return ok(key, str(len(after)), f"{count(len(after), 'run')}: a new one pushes the oldest out")
    if gone:
        return unknown(key, f"runs have left the list, which has {len(after)} now and had {len(before)}")
    return unknown(
        key,
        f"{count(len(after), 'run')} listed, and none was pushed out by a new one: the list may be longer",
    )


def _stop(it: Experiment) -> Finding:
    """Stop all nodes that run, again and again, until all runs are over."""
    if all(run.is_over for run in it.runs):
        return unknown("stopped_state", "the runs ended by themselves; use a workflow that takes longer")
    until = now() + STOP_SECONDS
    refusal = ""
    stopped: set[int] = set()
    while not all(run.is_over for run in it.runs) and now() < until:
        for run in it.runs:
            for node in run.seen.nodes if run.seen and not run.is_over else ():
                if node.status is not JobInstanceStatus.RUNNING or node.job_instance_id is None:
                    continue
                reply = it.session.ask(
                    calls.stop_job_instance(it.session.scope, node.job_id, node.job_instance_id)
                )
                if reply.error is None:
                    stopped.add(run.wf_instance_id)
                else:
                    refusal = why(reply)
            it.look(run)
        it.pause()
    for run in it.runs:
        if run.wf_instance_id in stopped and run.is_over and run.seen is not None:
            nodes = sorted({f"{node.status.name} ({int(node.status)})" for node in run.seen.nodes})
            results = sorted({node.result for node in run.seen.nodes if node.result})
            text = (
                f"a run whose nodes were stopped has status {int(run.seen.status)}; its nodes: {', '.join(nodes)}"
                + (f"; results: {', '.join(results)[:120]}" if results else "")
            )
            return ok("stopped_state", str(int(run.seen.status)), text)
    return unknown(
        "stopped_state",
        refusal or f"no run ended within {STOP_SECONDS:g} s",
        "Check the runs in the console.",
    )


def summary(it: Experiment) -> Finding:
    """Which runs there are, and whether someone has to look after them."""
    ids = ", ".join(str(run.wf_instance_id) for run in it.runs)
    states = ", ".join(run.state for run in it.runs)
    if all(run.is_over for run in it.runs):
        return ok("run", states, f"{ids}: {states}")
    link = it.session.hook.console_link(it.workflow_id, it.runs[0].wf_instance_id)
    return warn("run", states, f"{ids}: {states}, left running", f"Follow it in the console: {link}")
