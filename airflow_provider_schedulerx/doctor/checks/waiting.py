"""How often the quota lets runs be polled that are waited for, and what would help where that is too seldom."""

from __future__ import annotations

import math
from collections.abc import Iterator

from airflow_provider_schedulerx.doctor.checks.workflow import max_concurrency
from airflow_provider_schedulerx.doctor.findings import Finding, count, ok, unknown, warn
from airflow_provider_schedulerx.doctor.session import Session

#: Default of operators and sensors, in seconds.
POLL_INTERVAL = 30


def waiting(session: Session) -> Iterator[Finding]:
    """Count what is active now, and what has to be polled one by one. Makes no call."""
    if session.listed:
        yield _active_runs(session)
    unlisted = _unlisted_runs(session)
    yield unlisted
    yield _poll_interval(session, int(unlisted.value or 0))


def _active_runs(session: Session) -> Finding:
    active = sum(each.active for each in session.listed.values())
    listed = sum(each.listed for each in session.listed.values())
    of = "the workflow" if len(session.listed) == 1 else f"{len(session.listed)} workflows"
    if not listed:
        return ok("active_runs", 0, f"0: no run of {of} is listed")
    return ok(
        "active_runs", active, f"{active} of {count(listed, 'listed run')} of {of} {_are(active)} active"
    )


def _unlisted_runs(session: Session) -> Finding:
    """Runs that may be active and are not in the list: as many as MaxConcurrency allows beyond its length."""
    key, limit = "unlisted_runs", max_concurrency(session)
    seen = session.listed.get(session.workflow_id or 0)
    if limit is None:
        return unknown(key, "GetWorkFlow does not show MaxConcurrency")
    shown = session.list_length or (seen.listed if seen is not None else 0)
    if limit <= shown:
        return ok(key, 0, f"the list shows {shown} runs, and {count(limit, 'run')} may be active at once")
    if session.list_length is not None:
        why = f"the list shows {count(shown, 'run')}"
    elif seen is not None and 0 < seen.listed == seen.active:
        why = f"all of the {count(shown, 'listed run')} are active, so the list may be too short"
    else:
        return unknown(
            key,
            f"{count(limit, 'run')} may be active at once, and whether the list shows as many is not known",
        )
    return warn(
        key,
        limit - shown,
        f"{why}, and MaxConcurrency allows {limit}: up to {limit - shown} have to be polled one by one",
    )


def _poll_interval(session: Session, unlisted: int) -> Finding:
    """The interval that can be kept for what was seen, by one triggerer."""
    key = "poll_interval"
    assert session.settings is not None  # noqa: S101 - checks say what they need
    calls = session.settings.calls_per_minute
    busy = sum(each.active > 0 for each in session.listed.values())
    by_lists, by_themselves = seconds_between_polls(busy, calls), seconds_between_polls(unlisted, calls)
    seconds = max(by_lists, by_themselves)
    if seconds <= POLL_INTERVAL:
        room = calls * POLL_INTERVAL // 60
        text = (
            f"{POLL_INTERVAL} s, the default, is kept by one triggerer with calls_per_minute={calls} for runs of "
            f"{count(room, 'workflow')}, and for {count(room, 'run')} that the list does not show"
        )
        if session.workflows_in_all > room:
            text += (
                f"; the group has {session.workflows_in_all}: if runs of all are waited for at once, set "
                f"poll_interval={seconds_between_polls(session.workflows_in_all, calls)}"
            )
        return ok(key, POLL_INTERVAL, text)
    who = (
        f"{count(unlisted, 'run')} that the list does not show" if by_themselves >= by_lists else "workflows"
    )
    return warn(
        key,
        seconds,
        f"with calls_per_minute={calls} one triggerer polls {who} every {seconds} s, not every {POLL_INTERVAL} "
        "(the default): an end is noticed that much later",
        f"Set poll_interval={seconds} or more, so that nobody expects more; or let fewer runs be active at once "
        "(MaxConcurrency), have fewer triggerers, or raise calls_per_minute as far as the account's quota goes "
        "(100 for all triggerers together).",
    )


def seconds_between_polls(polled: int, calls_per_minute: int) -> int:
    """Seconds between two polls of each, if the calls are divided evenly."""
    return math.ceil(polled * 60 / calls_per_minute)


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
