"""Runs the checks, one after the other. Whatever happens in one, the others run, and nothing is raised."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_schedulerx.api.exceptions import SchedulerXError
from airflow_provider_schedulerx.doctor.checks import (
    connection,
    network,
    rights,
    runs,
    service,
    started,
    waiting,
    workflow,
)
from airflow_provider_schedulerx.doctor.findings import (
    BY_KEY,
    ESSENTIAL,
    QUESTIONS,
    Finding,
    Verdict,
    unknown,
)
from airflow_provider_schedulerx.doctor.scrubbing import Scrubber
from airflow_provider_schedulerx.doctor.session import Options, Session

if TYPE_CHECKING:
    from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook

log: logging.Logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """A step of the examination.

    :ivar find: yields findings; a later finding replaces an earlier one of the same key.
    :ivar keys: what it may find. Those that are still open when it cannot run get the reason.
    :ivar needs: keys of ``Session.lacking`` that must not be there.
    """

    find: Callable[[Session], Iterator[Finding]]
    keys: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.find.__name__.replace("_", " ")


_SETTINGS = ("settings",)
_SENDS = (*_SETTINGS, "network", "credential")
_ANSWERS = (*_SENDS, "service")
_SCOPED = (*_ANSWERS, "scope")
_GROUP = (*_SCOPED, "group")
_WORKFLOW = (*_GROUP, "workflow")
_RUNS = (*_WORKFLOW, "runs")
_ALL_NEEDS = (*_RUNS, "nodes", "namespace")
_STARTED = (
    "run",
    "list_lag",
    "when_full",
    "disabled_workflow",
    "start_interval",
    "stopped_state",
    "late_refusal",
)

CHECKS: tuple[Check, ...] = (
    Check(connection.connection, ("connection",)),
    Check(connection.unknown_fields, ("unknown_fields",), _SETTINGS),
    Check(connection.scope, ("scope",), _SETTINGS),
    Check(network.endpoint, ("endpoint",), _SETTINGS),
    Check(network.proxy, ("proxy",), _SETTINGS),
    Check(network.dns, ("dns",), _SETTINGS),
    Check(network.tls, ("tls",), (*_SETTINGS, "network")),
    Check(connection.credential, ("credential",), _SETTINGS),
    Check(connection.open_client, (), _SENDS),
    Check(service.answers, ("answers", "clock"), _SENDS),
    Check(service.namespace, ("namespace",), _ANSWERS),
    Check(service.group, ("group", "edition", "log_service"), (*_ANSWERS, "namespace")),
    Check(service.first_workflows, ("list_workflows",), _SCOPED),
    Check(workflow.workflow, ("workflow", "max_concurrency"), _GROUP),
    Check(workflow.enabled, ("enabled",), _WORKFLOW),
    Check(workflow.name_filter, ("name_filter",), _WORKFLOW),
    Check(workflow.runs, ("runs",), _WORKFLOW),
    Check(runs.listing, ("list_order", "list_length"), _RUNS),
    Check(runs.look_at_runs, (), _RUNS),
    Check(runs.look_at_nodes, ("parameters_shown", "node_trigger_type", "log_service"), (*_RUNS, "nodes")),
    Check(runs.time_zone_bound, (), _RUNS),
    Check(service.business_status, ("business_status",), _SCOPED),
    Check(rights.harmless_reads, (), _SCOPED),
    Check(started.start, _STARTED, _WORKFLOW),
    Check(waiting.waiting, ("active_runs", "unlisted_runs", "poll_interval"), _WORKFLOW),
    Check(rights.actions, (), _ANSWERS),
    Check(service.unreadable_answers, (), _ANSWERS),
    Check(service.empty_data, ("empty_data",), _ANSWERS),
    Check(service.denial, (), _ANSWERS),
    Check(service.quota, ("quota",), _ANSWERS),
)


@dataclass(frozen=True)
class Report:
    """Everything that was found out, in the order of :data:`.findings.QUESTIONS`."""

    findings: Mapping[str, Finding]
    scrubber: Scrubber = field(repr=False)

    @property
    def problems(self) -> list[Finding]:
        return [finding for finding in self.findings.values() if finding.verdict is Verdict.FAIL]

    @property
    def open_essentials(self) -> list[Finding]:
        """What has to be known before anyone can say that the operator would work, and is not."""
        return [self.findings[key] for key in ESSENTIAL if self.findings[key].verdict is Verdict.UNKNOWN]

    @property
    def would_work(self) -> bool:
        """Whether the operator would work, as far as that can be seen without starting a run."""
        return not self.problems and not self.open_essentials


def examine(
    hook: SchedulerXHook,
    options: Options,
    *,
    may_start: Callable[[str], bool],
    progress: Callable[[str], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
    checks: Iterable[Check] = CHECKS,
) -> Report:
    """Find out everything that ``options`` allow.

    :param may_start: asks the person a question before anything is started.
    :param progress: is called with what is being examined.
    :param sleep: waits for so many seconds.
    """
    session = Session(hook, options, Scrubber(), may_start, sleep)
    found: dict[str, Finding] = {}
    for check in checks:
        reason = next((session.lacking[need] for need in check.needs if need in session.lacking), None)
        if reason is None:
            progress(check.name)
            try:
                _run(check, session, found)
            except KeyboardInterrupt:
                session.lacking = dict.fromkeys(_ALL_NEEDS, "it was interrupted")
            else:
                continue
            reason = "it was interrupted"
        for key in check.keys:
            found.setdefault(key, unknown(key, reason))
    for question in QUESTIONS:
        otherwise = question.otherwise or _first_reason(session)
        found.setdefault(question.key, unknown(question.key, otherwise))
    return Report({question.key: found[question.key] for question in QUESTIONS}, session.scrubber)


def _run(check: Check, session: Session, found: dict[str, Finding]) -> None:
    try:
        for finding in check.find(session):
            assert finding.key in BY_KEY, finding.key  # noqa: S101 - a new key needs its question
            known = found.get(finding.key)
            # What is known is not forgotten because another way to find it out leads nowhere.
            if known is None or known.value is None or finding.verdict is not Verdict.UNKNOWN:
                found[finding.key] = finding
    except Exception as error:
        # A mistake of ours, or an answer that nobody thought of. Its text may hold anything.
        log.debug("The check %r failed", check.name, exc_info=True)
        what = str(error) if isinstance(error, SchedulerXError) else type(error).__name__
        for key in check.keys:
            if key not in found:
                found[key] = unknown(key, f"the check {check.name!r} failed: {what}", _REPORT)


_REPORT = "Please report it with the block below."


def _first_reason(session: Session) -> str:
    return next(iter(session.lacking.values()), "no answer shows it")
