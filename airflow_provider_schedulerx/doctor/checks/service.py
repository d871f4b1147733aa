"""Whether the service answers, and what it says about namespace, group and edition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAuthenticationError,
    SchedulerXAuthorizationError,
    SchedulerXConfigurationError,
    SchedulerXNotFoundError,
    SchedulerXThrottledError,
)
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.api.wire.refusals import is_unknown_operation
from airflow_provider_schedulerx.doctor.client import Reply
from airflow_provider_schedulerx.doctor.findings import Finding, count, fail, ok, unknown, warn
from airflow_provider_schedulerx.doctor.session import IMPOSSIBLE_ID, Session

_CLOCK_WARN, _CLOCK_FAIL = 60, 15 * 60
_SHOWN_NAMES = 10
_EDITIONS = {"1": "basic", "2": "professional"}


def why(reply: Reply[Any]) -> str:
    """Why a reply does not tell what it was to tell."""
    error = reply.error
    if isinstance(error, SchedulerXAuthorizationError):
        return f"{error.action or reply.operation.ram_action or reply.operation.name} is denied"
    if isinstance(error, SchedulerXThrottledError):
        return f"the service throttles {reply.operation.name}"
    if reply.is_html:
        return f"{reply.operation.name} was answered with an HTML page"
    if error is None:
        return f"{reply.operation.name} does not show it"
    if reply.body.get("Message"):
        return f"{reply.operation.name} is refused: {reply.body['Message']} (Code {reply.body.get('Code')})"
    return str(error)


def answers(session: Session) -> Iterator[Finding]:
    """Make the first call, and see whether it is the service that answers and whether it knows us."""
    reply = session.ask(calls.list_namespaces(session.scope))
    problem = _problem_of(reply)
    if problem is not None:
        session.lacking["service"] = {
            "credential": "the service does not accept the credential",
            "endpoint": "this is not an endpoint of SchedulerX",
        }.get(str(problem.value), "the service does not answer")
        yield problem
    elif reply.response is not None and reply.response.status >= 500:
        yield warn("answers", f"HTTP {reply.response.status}", f"the first call failed: {reply.error}")
    else:
        yield ok("answers", "good", "the service answers, and accepts the credential")
    if reply.served_at is not None:
        yield _clock(reply, reply.served_at)


def _problem_of(reply: Reply[Any]) -> Finding | None:
    error = reply.error
    if reply.response is None:
        return fail("answers", "none", error.message if error else "no answer")
    if reply.is_html:
        by = f" by {reply.server}" if reply.server else ""
        return fail(
            "answers",
            "HTML",
            f"HTTP {reply.response.status} with an HTML page{by}: not the service, but something in between",
            "Look for a proxy, a login page of the network or a load balancer; check proxy, host and network.",
        )
    if not reply.body:
        return fail(
            "answers",
            "not JSON",
            f"HTTP {reply.response.status} with a body that is no JSON object: this is not SchedulerX",
            "Check host, port, proxy and network.",
        )
    if isinstance(error, SchedulerXAuthenticationError):
        return fail("answers", "credential", f"the service does not accept the credential: {error}")
    if isinstance(error, SchedulerXConfigurationError):
        return fail("answers", "endpoint", str(error))
    return None


def _clock(reply: Reply[Any], served_at: float) -> Finding:
    """``Date`` has whole seconds, so half a second is added to it; the way there and back is halved."""
    offset = round((reply.sent_at + reply.received_at) / 2 - served_at - 0.5)
    if abs(offset) <= 2:
        return ok("clock", offset, "this machine's clock agrees with the service's")
    text = f"this machine's clock is {abs(offset)} s {'ahead of' if offset > 0 else 'behind'} the service's"
    if abs(offset) >= _CLOCK_FAIL:
        return fail(
            "clock", offset, f"{text}; it refuses 15 minutes and more", "Set the clock (NTP) of every worker."
        )
    if abs(offset) >= _CLOCK_WARN:
        return warn(
            "clock", offset, f"{text}; it refuses 15 minutes and more", "Set the clock (NTP) of every worker."
        )
    return ok("clock", offset, f"{text}; up to 15 minutes are accepted")


def unreadable_answers(session: Session) -> Iterator[Finding]:
    """Look back at all answers: one that this version cannot read would fail tasks as well."""
    assert session.client is not None  # noqa: S101 - checks say what they need
    replies = session.client.replies
    # A start that was skipped says so in its own way.
    bad = {
        reply.operation.name: reply
        for reply in replies
        if reply.is_unreadable and not reply.operation.changes
    }
    if bad:
        yield fail(
            "answers",
            "unreadable",
            "; ".join(str(reply.error) for reply in bad.values()),
            "The service's answers differ from its documentation: please report it with the block below.",
        )
    pages = [reply for reply in replies[1:] if reply.is_html]
    if pages and not bad and not replies[0].is_html:
        yield fail(
            "answers",
            "HTML",
            f"{len(pages)} of {len(replies)} calls were answered with an HTML page, by something in between",
            "Look for a proxy or load balancer that answers now and then; tasks repeat such calls for a while.",
        )


def empty_data(session: Session) -> Iterator[Finding]:
    """Look back at all answers for those that have nothing to tell."""
    assert session.client is not None  # noqa: S101 - checks say what they need
    seen: dict[str, str] = {}
    for reply in session.client.replies:
        if reply.says_success and "Data" in reply.body:
            lists = [value for value in reply.data.values() if isinstance(value, list)]
            if reply.body["Data"] is None:
                seen.setdefault("null", reply.operation.name)
            elif lists and not any(lists):
                seen.setdefault("absent", reply.operation.name)
    match [*seen.items()]:
        case [("null", operation)]:
            yield ok("empty_data", "null", f"Data is null in an answer of {operation}")
        case [("absent", operation)]:
            yield ok("empty_data", "absent", f"an empty list of {operation} is in an object")
        case [_, _]:
            yield unknown("empty_data", f"{seen['null']} answers null, and {seen['absent']} an empty list")


def namespace(session: Session) -> Iterator[Finding]:
    """Whether the namespace exists."""
    assert session.client is not None  # noqa: S101 - checks say what they need
    reply = session.client.replies[-1]
    wanted = session.scope.namespace
    if reply.error is not None:
        yield unknown("namespace", why(reply))
        return
    found = reply.value or []
    for each in found:
        session.scrubber.add_name(each.uid, "namespace")
        session.scrubber.add_name(each.name, "namespace")
    if wanted is None:
        listed = ", ".join(f"{each.uid} ({each.name})" for each in found[:_SHOWN_NAMES]) or "none"
        yield unknown(
            "namespace", f"none is set; the region has: {listed}", "Set namespace to one of these uids."
        )
    elif any(each.uid == wanted for each in found):
        yield ok(
            "namespace",
            "exists",
            f"{wanted}; {session.scope.region_id} has {count(len(found), 'namespace')}",
        )
    else:
        by_name = [each.uid for each in found if each.name == wanted]
        yield warn(
            "namespace",
            "not listed",
            f"{wanted} is not among the {len(found)} namespaces of {session.scope.region_id}",
            f"That is its name; set namespace to its uid {by_name[0]}."
            if by_name
            else "Check namespace (its uid, not its name), region_id and namespace_source.",
        )


def group(session: Session) -> Iterator[Finding]:
    """Whether the group exists, which edition it has, and whether its log service is on."""
    reply = session.ask(calls.list_groups(session.scope))
    wanted = session.scope.group_id
    if not reply.says_success:
        yield unknown("group", why(reply))
        yield unknown("edition", why(reply))
        return
    records = [each for each in reply.data.get("AppGroups") or [] if isinstance(each, dict)]
    for each in records:
        session.scrubber.add_name(each.get("GroupId"), "group")
        session.scrubber.add_name(each.get("AppName"), "group")
        session.scrubber.add_secret(str(each.get("AppKey") or ""))
    names = [str(each.get("GroupId")) for each in records]
    if wanted is None:
        listed = ", ".join(names[:_SHOWN_NAMES]) or "none"
        yield unknown("group", f"none is set; the namespace has: {listed}", "Set group_id to one of these.")
        return
    record = next((each for each in records if each.get("GroupId") == wanted), None)
    if record is None:
        yield warn(
            "group",
            "not listed",
            f"{wanted} is not among the {len(names)} groups of the namespace",
            "Check group_id, namespace and region_id.",
        )
        yield unknown("edition", "ListGroups does not list the group")
        return
    yield ok("group", "exists", f"{wanted}; the namespace has {count(len(names), 'group')}")
    version = str(record.get("AppVersion"))
    if version in _EDITIONS:
        yield edition(_EDITIONS[version], f"AppVersion of ListGroups is {version}")
    log = str(record.get("EnableLog")).lower()
    if log in ("true", "false"):
        yield log_service("on" if log == "true" else "off", f"EnableLog of ListGroups is {log}")


def edition(value: str, because: str) -> Finding:
    if value == "basic":
        return fail(
            "edition",
            value,
            f"{because}; in the Basic edition runs cannot be followed",
            "Upgrade the application to the Professional edition: GetWorkflowInstance and ListWorkflowInstance need it.",
        )
    return ok("edition", value, f"{because}")


def log_service(value: str, because: str) -> Finding:
    if value == "on":
        return ok("log_service", value, because)
    return warn(
        "log_service",
        value,
        f"{because}: tasks show no logs of failed nodes",
        "Turn the log service on in the console, if you want them.",
    )


def first_workflows(session: Session) -> Iterator[Finding]:
    """List workflows, an operation that exists since 2025-12 only, and see whether the group is known."""
    reply = session.ask(calls.list_workflows(session.scope, 1))
    if reply.says_success:
        session.workflows = [each for each in reply.data.get("Records") or [] if isinstance(each, dict)]
        session.workflows_in_all = int(reply.value[1]) if reply.value else 0
        yield ok(
            "list_workflows",
            "present",
            f"the group has {count(int(reply.value[1]), 'workflow')}" if reply.value else "it answers",
        )
        return
    session.workflows = []
    error = reply.error
    if error is not None and is_unknown_operation(error.code):
        yield warn(
            "list_workflows",
            "absent",
            "this edition of the service does not have it: `airflow schedulerx workflows` cannot work, tasks can",
        )
        return
    yield unknown("list_workflows", why(reply))
    if isinstance(error, SchedulerXNotFoundError):
        session.lacking["group"] = "the group was not found"
        yield fail(
            "group",
            "not found",
            str(reply.body.get("Message")),
            "Check group_id, namespace and region_id.",
        )


def business_status(session: Session) -> Iterator[Finding]:
    """Ask for a workflow that cannot exist."""
    reply = session.ask(calls.get_workflow(session.scope, IMPOSSIBLE_ID))
    if (
        reply.response is None
        or reply.body.get("Success") is not False
        or isinstance(reply.error, SchedulerXAuthorizationError | SchedulerXThrottledError)
    ):
        yield unknown("business_status", why(reply))
        return
    yield ok(
        "business_status",
        str(reply.response.status),
        f"HTTP {reply.response.status}, Code {reply.body.get('Code')}, for a workflow that does not exist: "
        f"{reply.body.get('Message')}",
    )


def quota(session: Session) -> Iterator[Finding]:
    """Whether calls were throttled, and how that looks."""
    assert session.client is not None  # noqa: S101 - checks say what they need
    throttles, made = session.client.throttles, len(session.client.replies)
    if not throttles:
        yield ok(
            "quota",
            "free",
            f"none of {made} calls was throttled; 100 a minute are allowed for each operation",
        )
        return
    first = throttles[0]
    yield warn(
        "quota",
        "throttled",
        f"{len(throttles)} of {made} calls were throttled ({first.operation}: {first.code}); this command makes few, so "
        "something else uses the account's 100 calls a minute",
        "Find out what else calls SchedulerX with this account, and lower calls_per_minute.",
    )
    yield ok("throttling", str(first.status), f"HTTP {first.status}, Code {first.code}")
    told = [each.retry_after for each in throttles if each.retry_after is not None]
    if told:
        yield ok("retry_after", "sent", f"x-acs-retry-after says {told[0]:g} s")
    else:
        yield ok("retry_after", "absent", "there is no x-acs-retry-after")


def denial(session: Session) -> Iterator[Finding]:
    """How a denial looks, if there was one."""
    assert session.client is not None  # noqa: S101 - checks say what they need
    for reply in session.client.replies:
        if isinstance(reply.error, SchedulerXAuthorizationError) and reply.response is not None:
            form = "body" if isinstance(reply.body.get("Success"), bool) else "gateway"
            yield ok(
                "denial",
                form,
                f"HTTP {reply.response.status}, Code {reply.body.get('Code')}, "
                f"{'with' if reply.error.access_denied_detail else 'without'} AccessDeniedDetail",
            )
            return
