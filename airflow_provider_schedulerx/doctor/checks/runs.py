"""What the list of runs, and the runs and nodes in it, show without starting anything."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_provider_schedulerx.api.exceptions import SchedulerXForeignGroupError, SchedulerXNotFoundError
from airflow_provider_schedulerx.api.models import (
    JobInstanceStatus,
    WorkflowInstance,
    WorkflowInstanceStatus,
)
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.doctor.checks.service import log_service, why
from airflow_provider_schedulerx.doctor.client import Reply
from airflow_provider_schedulerx.doctor.findings import Finding, count, ok, unknown
from airflow_provider_schedulerx.doctor.session import Session

#: Runs in the list from which on its order means something: fewer may stand in order by chance.
_ENOUGH_FOR_ORDER = 5
#: Runs that are looked at, and job instances.
_LOOKED_AT = 3
_DOTS, _QUOTE_IN_HTML = ("...", "…"), "&quot;"
_LOG_WINDOW = 7 * 24 * 3600
_WAITING = str(int(WorkflowInstanceStatus.WAITING))


def listing(session: Session) -> Iterator[Finding]:
    """Order and length of the list, and whether runs that wait are in it."""
    runs = session.runs or []
    yield list_order(runs)
    yield unknown(
        "list_length",
        f"{count(len(runs), 'run')} listed; whether there are more is seen when a new run pushes the oldest out: "
        "add --start",
    )
    if any(str(run.get("Status")) == _WAITING for run in runs):
        yield ok("list_waiting", "listed", "a run that waits is in the list")


def list_order(runs: Sequence[Mapping[str, Any]]) -> Finding:
    """By the runs' ids, which are taken to grow."""
    ids = [number for run in runs if (number := _number(run.get("WfInstanceId"))) is not None]
    if len(ids) < _ENOUGH_FOR_ORDER:
        return unknown(
            "list_order", f"{count(len(ids), 'run')} listed, and it takes {_ENOUGH_FOR_ORDER} to tell"
        )
    if ids == sorted(ids, reverse=True):
        return ok("list_order", "newest_first", f"the ids of all {len(ids)} runs fall")
    if ids == sorted(ids):
        return ok("list_order", "oldest_first", f"the ids of all {len(ids)} runs rise")
    return ok("list_order", "unordered", f"the ids of the {len(ids)} runs neither rise nor fall")


def look_at_runs(session: Session) -> Iterator[Finding]:
    """Fetch a few of the listed runs: active ones first, since their nodes may wait."""
    assert session.workflow_id is not None  # noqa: S101 - checks say what they need
    ids = [
        (not is_active(run), -number)
        for run in session.runs or []
        if (number := _number(run.get("WfInstanceId"))) is not None
    ]
    problem = "no node of a run has a job instance"
    for _, number in sorted(ids)[:_LOOKED_AT]:
        reply = session.ask(calls.get_workflow_instance(session.scope, session.workflow_id, -number))
        if reply.value is None:
            problem = why(reply)
        else:
            session.instances.append(reply.value)
    if not any(node.job_instance_id for run in session.instances for node in run.nodes):
        session.lacking["nodes"] = problem
    yield from waiting_node_id(session)


def waiting_node_id(session: Session) -> Iterator[Finding]:
    """What nodes that wait for others have, in all runs that were looked at: an id, a status?"""
    assert session.client is not None  # noqa: S101 - checks say what they need
    waiting = [
        sent
        for reply in session.client.replies
        if isinstance(reply.value, WorkflowInstance)
        for node, sent in zip(reply.value.nodes, reply.data["WfInstanceDag"]["Nodes"], strict=True)
        if node.status is JobInstanceStatus.WAITING
    ]
    if not waiting:
        return
    have = {
        (node.get("JobInstanceId") not in (None, "", 0, "0"), node.get("Status") is not None)
        for node in waiting
    }
    key, nodes = "waiting_node_id", count(len(waiting), "waiting node")
    match [*have]:
        case [(True, _)]:
            yield ok(key, "present", f"{nodes}, with JobInstanceId")
        case [(False, True)]:
            yield ok(key, "absent", f"{nodes}, without JobInstanceId")
        case [(False, False)]:
            yield ok(key, "bare", f"{nodes}, without JobInstanceId and Status")
        case _:
            yield unknown(key, f"of {nodes}, some have a JobInstanceId or a Status, and some not")


def look_at_nodes(session: Session) -> Iterator[Finding]:
    """What GetJobInstance shows of the same job in several runs, and whether there is a log."""
    shown: dict[int, dict[int, str]] = {}
    types: set[str] = set()
    replies: list[Reply[Any]] = []
    for run in session.instances:
        for node in run.nodes:
            if node.job_instance_id is None or node.status is JobInstanceStatus.WAITING:
                continue
            reply = session.ask(calls.get_job_instance(session.scope, node.job_id, node.job_instance_id))
            replies.append(reply)
            if isinstance(reply.error, SchedulerXForeignGroupError | SchedulerXNotFoundError):
                continue
            if reply.says_success:
                detail = detail_of(reply)
                shown.setdefault(node.job_id, {})[run.wf_instance_id] = text_of(detail.get("Parameters"))
                types.add(str(detail.get("TriggerType", "absent")))
            break
    if shown:
        yield _parameters_of_past_runs(shown)
        yield unknown(
            "node_trigger_type",
            f"nodes of past runs have {', '.join(sorted(types))}, but what started those runs is not known; add --start",
        )
    elif replies:
        yield unknown("parameters_shown", why(replies[-1]))
        yield unknown("node_trigger_type", why(replies[-1]))
    yield from _log(session)


def _parameters_of_past_runs(shown: Mapping[int, Mapping[int, str]]) -> Finding:
    """Past runs tell something only if what they show differs from run to run: then it is not the job's."""
    key = "parameters_shown"
    for by_run in shown.values():
        texts = set(by_run.values())
        if len(texts) > 1:
            if any(text.endswith(_DOTS) for text in texts):
                return unknown(
                    key, "some of them end with dots, so they may be cut; add --start --parameters '{}'"
                )
            if any(map(is_html, texts)):
                return ok(key, "html", "they differ between runs of the same job, and are escaped for HTML")
            escaped = [is_escaped(text) for text in texts if text.strip("{} ")]
            if escaped and all(escaped):
                return ok(
                    key, "escaped", "they differ between runs of the same job, and their quotes are escaped"
                )
            if any(escaped):
                return unknown(key, "some of them are escaped, and some not")
            return ok(key, "run", "they differ between runs of the same job, so they are those of the run")
    if not any(text for by_run in shown.values() for text in by_run.values()):
        return unknown(
            key,
            "past runs show none: either they had none, or they are never shown; add --start --parameters '{}'",
        )
    return unknown(
        key,
        "past runs show the same ones, which may be those of the job; add --start --parameters '{}'",
    )


def _log(session: Session) -> Iterator[Finding]:
    """One line of a log, of any node that has run."""
    for run in session.instances:
        for node in run.nodes:
            if node.job_instance_id is None or node.status in (
                JobInstanceStatus.WAITING,
                JobInstanceStatus.READY,
            ):
                continue
            end_ms = round((time.time() + 3600) * 1000)
            reply = session.ask(
                calls.get_log(
                    session.scope,
                    node.job_id,
                    node.job_instance_id,
                    start_ms=end_ms - _LOG_WINDOW * 1000,
                    end_ms=end_ms,
                    lines=1,
                )
            )
            if reply.says_success:
                yield log_service("on", "GetLog answers")
                return
            if isinstance(reply.error, SchedulerXForeignGroupError):
                continue
            if reply.body.get("Success") is False and "log" in str(reply.body.get("Message")).lower():
                yield log_service("off", f"GetLog is refused ({reply.body.get('Message')})")
            else:
                yield unknown("log_service", why(reply))
            return


def time_zone_bound(session: Session) -> Iterator[Finding]:
    """A run that is listed has begun: its times are not in the future. That excludes some zones."""
    assert session.client is not None  # noqa: S101 - checks say what they need
    served = next(
        (reply.served_at for reply in reversed(session.client.replies) if reply.served_at is not None), None
    )
    latest = max(
        (
            at
            for run in session.runs or []
            for name in ("ScheduleTime", "StartTime", "EndTime")
            if (at := as_if_utc(run.get(name))) is not None
        ),
        default=None,
    )
    if served is None or latest is None:
        return
    ahead = latest - served
    if ahead > 15 * 60:
        why_not = (
            f"a run shows a time {_hours(ahead)} ahead of UTC's, so the zone is at least that far east of UTC"
        )
    else:
        why_not = f"the latest listed time is {_hours(-ahead)} behind UTC's, which fits any zone east of that"
    yield unknown("time_zone", f"{why_not}; add --start")


def time_zone(text: Any, served_at: float | None) -> Finding | None:
    """The zone of a time that is known to be that of ``served_at``, give or take two minutes."""
    at = as_if_utc(text)
    if at is None or served_at is None:
        return None
    quarters = round((at - served_at) / 900)
    if abs(at - served_at - quarters * 900) > 120:
        return unknown("time_zone", f"a new run's time ({text}) fits no zone")
    sign, minutes = "-" if quarters < 0 else "+", abs(quarters) * 15
    zone = f"{sign}{minutes // 60:02}:{minutes % 60:02}"
    return ok(
        "time_zone", zone, f"a new run shows {text}, when the service's Date was {_clock(served_at)} UTC"
    )


def as_if_utc(text: Any) -> float | None:
    """A time of the service, epoch seconds if it were UTC."""
    try:
        return datetime.strptime(str(text), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def detail_of(reply: Reply[Any]) -> Mapping[str, Any]:
    detail = reply.data.get("JobInstanceDetail")
    return detail if isinstance(detail, dict) else {}


def text_of(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value)


def is_html(text: str) -> bool:
    """Whether a text is JSON only once it is read as HTML."""
    return _QUOTE_IN_HTML in text


def is_cut(text: str, whole: str) -> bool:
    """Whether a text is the beginning of another, perhaps with dots behind it."""
    return text != whole and whole.startswith(text.rstrip(".…"))


def is_escaped(text: str) -> bool:
    r"""Whether a text is JSON only once ``\"`` is read as ``"``."""
    if '\\"' not in text:
        return False
    try:
        json.loads(text)
    except ValueError:
        return True
    return False


def is_active(run: Mapping[str, Any]) -> bool:
    """Return whether a run in a list may still change."""
    status = _number(run.get("Status"))
    return status is not None and WorkflowInstanceStatus(status).is_active


def _number(value: Any) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() else None


def _hours(seconds: float) -> str:
    minutes = round(abs(seconds) / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
