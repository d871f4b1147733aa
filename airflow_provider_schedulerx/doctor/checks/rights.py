"""Which RAM actions the credential has, from what the calls of all other checks met."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_provider_schedulerx.api.exceptions import SchedulerXAuthorizationError
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.doctor.client import Reply
from airflow_provider_schedulerx.doctor.findings import (
    ACTIONS,
    FOLLOW_ACTION,
    START_ACTION,
    Finding,
    fail,
    ok,
    warn,
)
from airflow_provider_schedulerx.doctor.session import IMPOSSIBLE_ID, Session


def harmless_reads(session: Session) -> Iterator[Finding]:
    """Ask for what cannot exist, where no other check has used an action: whether it is allowed shows anyway."""
    assert session.client is not None  # noqa: S101 - checks say what they need
    asked = {reply.operation for reply in session.client.replies}
    for call in (
        calls.list_workflow_instances(session.scope, IMPOSSIBLE_ID),
        calls.get_job_instance(session.scope, IMPOSSIBLE_ID, IMPOSSIBLE_ID),
        calls.get_log(session.scope, IMPOSSIBLE_ID, IMPOSSIBLE_ID, start_ms=1, end_ms=2),
        calls.get_job_info(session.scope, IMPOSSIBLE_ID),
    ):
        if call.operation not in asked:
            session.ask(call)
    yield from ()


def actions(session: Session) -> Iterator[Finding]:
    """Say of each action whether it was allowed."""
    assert session.client is not None  # noqa: S101 - checks say what they need
    tried: dict[str, list[Reply[Any]]] = {action: [] for action in ACTIONS}
    for reply in session.client.replies:
        action = reply.operation.ram_action or ""
        if action in tried and _shows_rights(reply):
            tried[action].append(reply)
    for action, replies in tried.items():
        denied = [reply for reply in replies if isinstance(reply.error, SchedulerXAuthorizationError)]
        if denied:
            yield _denied(session, action, denied[0])
        elif replies:
            yield ok(action, "allowed", f"allowed; needed to {ACTIONS[action]}")


def _shows_rights(reply: Reply[Any]) -> bool:
    """Whether the call came as far as to the check of rights: then the service itself answered, or it was denied."""
    return isinstance(reply.error, SchedulerXAuthorizationError) or isinstance(
        reply.body.get("Success"), bool
    )


def _denied(session: Session, action: str, reply: Reply[Any]) -> Finding:
    error = reply.error
    assert isinstance(error, SchedulerXAuthorizationError)  # noqa: S101 - chosen so
    detail = error.access_denied_detail
    who = str(detail.get("AuthPrincipalDisplayName") or "")
    session.scrubber.add_name(who, "principal")
    session.scrubber.add_name(detail.get("AuthPrincipalOwnerId"), "account")
    named = error.action or action
    other = f" (the service names {named})" if named != action else ""
    kind = detail.get("NoPermissionType")
    text = (
        f"needed to {ACTIONS[action]}: {reply.operation.name} is denied{other}{f', {kind}' if kind else ''}"
    )
    remedy = f"Allow {named}{f' to {who}' if who else ''}; the policy is below."
    verdict = fail if action in (FOLLOW_ACTION, START_ACTION) else warn
    return verdict(action, "denied", text, remedy)
