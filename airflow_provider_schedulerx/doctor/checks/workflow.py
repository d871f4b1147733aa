"""The workflow: whether it exists, is enabled, and how often it may run at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_schedulerx.api.exceptions import SchedulerXError, SchedulerXNotFoundError
from airflow_provider_schedulerx.api.parameters import check_id
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.doctor.checks.runs import is_active
from airflow_provider_schedulerx.doctor.checks.service import edition, why
from airflow_provider_schedulerx.doctor.client import Reply
from airflow_provider_schedulerx.doctor.findings import Finding, Verdict, count, fail, ok, unknown, warn
from airflow_provider_schedulerx.doctor.session import Listed, Session

#: Workflows whose runs are listed to find one with many, where none is named.
_TRIED = 5


def workflow(session: Session) -> Iterator[Finding]:
    """Find the workflow, or choose the one with the most runs listed."""
    for record in session.workflows:
        session.scrubber.add_name(record.get("Name"), "workflow")
    wanted = session.options.workflow_id
    if wanted is None:
        yield from _chosen(session)
        return
    reply = session.ask(calls.get_workflow(session.scope, wanted))
    if reply.says_success:
        session.workflow_id = wanted
        session.workflow = _info(reply)
        session.scrubber.add_name(session.workflow.get("Name"), "workflow")
        yield ok("workflow", wanted, f"{wanted} {session.workflow.get('Name') or ''} exists")
        yield from _max_concurrency(session)
        return
    session.lacking["workflow"] = "the workflow could not be read"
    if isinstance(reply.error, SchedulerXNotFoundError):
        yield fail(
            "workflow",
            "not found",
            f"there is no workflow {wanted} in this region, namespace and group: {reply.body.get('Message')}",
            "Check the id (airflow schedulerx workflows), and region_id, namespace and group_id.",
        )
    else:
        yield unknown("workflow", why(reply))


def _chosen(session: Session) -> Iterator[Finding]:
    best: tuple[int, int] | None = None
    for record in session.workflows[:_TRIED]:
        try:
            workflow_id = check_id("WorkflowId", record.get("WorkflowId"))
        except SchedulerXError:
            continue
        reply = session.ask(calls.list_workflow_instances(session.scope, workflow_id))
        _note_list(session, workflow_id, reply)
        found = len(reply.value or [])
        if best is None or found > best[0]:
            best = (found, workflow_id)
        if reply.error is not None:
            break  # the others would meet the same
    if best is None:
        session.lacking["workflow"] = "no workflow is named or listed"
        yield unknown(
            "workflow",
            "none was named, and the group lists none",
            "Name one with --workflow-id, or create one in the console.",
        )
        return
    most, session.workflow_id = best
    session.workflow = {}
    reply = session.ask(calls.get_workflow(session.scope, session.workflow_id))
    if reply.says_success:
        session.workflow = _info(reply)
        session.scrubber.add_name(session.workflow.get("Name"), "workflow")
    yield ok(
        "workflow",
        session.workflow_id,
        f"none was named: {session.workflow_id} {session.workflow.get('Name') or ''} was chosen, "
        f"which lists the most runs ({most})",
    )
    yield from _max_concurrency(session)


def _info(reply: Reply[Any]) -> Mapping[str, Any]:
    info = reply.data.get("WorkFlowInfo")
    return info if isinstance(info, dict) else {}


def _max_concurrency(session: Session) -> Iterator[Finding]:
    limit = max_concurrency(session)
    if limit is None:
        yield unknown("max_concurrency", "GetWorkFlow does not show it")
    else:
        yield ok("max_concurrency", limit, f"{count(limit, 'run')} at once")


def max_concurrency(session: Session) -> int | None:
    text = str((session.workflow or {}).get("MaxConcurrency") or "")
    return int(text) if text.isdecimal() and int(text) > 0 else None


def enabled(session: Session) -> Iterator[Finding]:
    """Whether the workflow is enabled: GetWorkFlow does not say it, but ListWorkFlows can filter by it."""
    name = (session.workflow or {}).get("Name")
    reply = None
    for status, value in (("0", "disabled"), ("1", "enabled")):
        reply = session.ask(calls.list_workflows(session.scope, 1, str(name) if name else None, status))
        if not reply.says_success:
            break
        records = [each for each in reply.data.get("Records") or [] if isinstance(each, dict)]
        if any(str(each.get("WorkflowId")) == str(session.workflow_id) for each in records):
            session.is_disabled = value == "disabled"
            yield _enabled(session, value)
            return
    yield unknown(
        "enabled",
        why(reply) if reply is not None and not reply.says_success else "ListWorkFlows shows it neither way",
        "Look in the console: a workflow is created disabled.",
    )


def _enabled(session: Session, value: str) -> Finding:
    if value == "enabled":
        return ok("enabled", value, "it is enabled")
    return Finding(
        "enabled",
        value,
        Verdict.FAIL if session.options.workflow_id else Verdict.WARN,
        "it is disabled; whether the service starts it anyway is not documented",
        "Enable it in the console.",
    )


def name_filter(session: Session) -> Iterator[Finding]:
    """Whether the filter by name takes a part of a name, and another case of its letters."""
    key, name = "name_filter", str((session.workflow or {}).get("Name") or "")
    if len(name) < 2 or name.swapcase() == name:
        yield unknown(key, "the workflow's name is too short, or has no letters of two cases")
        return
    shown = []
    for part in (name[:-1], name.swapcase()):
        reply = session.ask(calls.list_workflows(session.scope, 1, part))
        if reply.value is None:
            yield unknown(key, why(reply))
            return
        found, total = reply.value
        is_shown = any(each.workflow_id == session.workflow_id for each in found)
        if not is_shown and total > len(found):
            yield unknown(key, "ListWorkFlows shows more workflows than one page holds")
            return
        shown.append(is_shown)
    if not shown[0]:
        yield ok(key, "exact", "a part of a name finds nothing")
    elif shown[1]:
        yield ok(key, "any_case", "a part of a name is enough, in any case")
    else:
        yield ok(key, "part", "a part of a name is enough, in the same case")


def runs(session: Session) -> Iterator[Finding]:
    """List the runs of the workflow."""
    assert session.workflow_id is not None  # noqa: S101 - checks say what they need
    reply = session.ask(calls.list_workflow_instances(session.scope, session.workflow_id))
    if not reply.says_success:
        session.lacking["runs"] = why(reply)
        yield unknown("runs", why(reply))
        if _needs_professional(reply):
            yield edition("basic", f"ListWorkflowInstance is refused ({reply.error})")
        return
    # Which operation needs which edition is documented on its page.
    yield edition("professional", "ListWorkflowInstance works, which needs the Professional edition")
    session.runs = _note_list(session, session.workflow_id, reply)
    if not session.runs:
        session.lacking["runs"] = "no run is listed"
        yield warn("runs", 0, "none: what the list shows can only be seen when there are runs")
        return
    yield ok("runs", len(session.runs), f"{len(session.runs)}: {_states(session.runs)}")


def _note_list(session: Session, workflow_id: int, reply: Reply[Any]) -> list[Mapping[str, Any]]:
    """Remember how many runs are listed.

    :return: these.
    """
    listed: list[Mapping[str, Any]] = [
        each for each in reply.data.get("WfInstanceInfos") or [] if isinstance(each, dict)
    ]
    if reply.says_success:
        session.listed[workflow_id] = Listed(sum(map(is_active, listed)), len(listed))
    return listed


def _needs_professional(reply: Reply[Any]) -> bool:
    return "edition" in str(reply.body.get("Message")).lower() or "professional" in str(reply.body).lower()


def _states(listed: list[Mapping[str, Any]]) -> str:
    from collections import Counter

    from airflow_provider_schedulerx.api.models import WorkflowInstanceStatus

    counted = Counter(str(each.get("Status")) for each in listed)
    return ", ".join(
        f"{found} {WorkflowInstanceStatus(int(status)).name if status.isdecimal() else status}"
        for status, found in counted.most_common()
    )
