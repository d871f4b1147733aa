"""What the doctor finds out: one :class:`Finding` for each :class:`Question`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Verdict(Enum):
    """What a finding means for a task."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to a question.

    :ivar key: of a :class:`Question`.
    :ivar value: the answer in a word; None if it is unknown. Never a secret.
    :ivar text: the answer, or why there is none, in a sentence.
    :ivar remedy: what to do; None if nothing needs doing.
    :ivar data: numbers behind the answer.
    """

    key: str
    value: str | int | None
    verdict: Verdict
    text: str
    remedy: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def ok(key: str, value: str | int, text: str, **more: Any) -> Finding:
    return Finding(key, value, Verdict.OK, text, **more)


def warn(key: str, value: str | int | None, text: str, remedy: str | None = None, **more: Any) -> Finding:
    return Finding(key, value, Verdict.WARN, text, remedy, **more)


def fail(key: str, value: str | int | None, text: str, remedy: str | None = None, **more: Any) -> Finding:
    return Finding(key, value, Verdict.FAIL, text, remedy, **more)


def unknown(key: str, why: str, remedy: str | None = None, **more: Any) -> Finding:
    return Finding(key, None, Verdict.UNKNOWN, f"not found out: {why}", remedy, **more)


@dataclass(frozen=True, slots=True)
class Question:
    """Something to find out.

    :ivar section: the heading in the report.
    :ivar label: the name in the report.
    :ivar otherwise: why there is no answer, where no check gives a better reason.
    """

    key: str
    section: str
    label: str
    otherwise: str


CONNECTION, NETWORK, RIGHTS = "Connection", "Network", "RAM actions"
SERVICE, WORKFLOW, WAITING = "Service", "Workflow", "Waiting for runs"
OPEN = "What the documentation leaves open"

_START = "only a new run shows it; add --start"
_FILL = "only a start beyond MaxConcurrency shows it; add --start --fill"
_STOP = "only a run that is stopped shows it; add --start --stop"

#: RAM actions and what they are for. The first two are needed by every task.
ACTIONS: Mapping[str, str] = {
    "edas:ReadSchedulerxWorkflowQuery": "follow runs",
    "edas:ManageSchedulerxWorkflowRun": "start runs",
    "edas:ManageSchedulerxJobInstStop": "stop a run on kill and timeout",
    "edas:ReadSchedulerxLogQuery": "show the logs of failed nodes",
    "edas:ReadSchedulerxJobInstanceQuery": "recognize a run by its parameters after a lost answer",
    "edas:ManageSchedulerxJobInstRun": 'rerun failed nodes (on_retry="rerun_failed")',
    "edas:ManageSchedulerxJobTrigger": "start runs of jobs",
    "edas:ReadSchedulerxJobQuery": "find a job by its name",
    "edas:ReadSchedulerxNamespaceQuery": "list namespaces (this command and Test Connection only)",
    "edas:ReadSchedulerxAppGroupQuery": "list groups and their edition (this command only)",
}
#: What a task cannot do without.
FOLLOW_ACTION, START_ACTION = list(ACTIONS)[:2]

_NOT_TRIED = "not tried: it changes something"
_NO_CALL = "no call that needs it was answered"

QUESTIONS: tuple[Question, ...] = (
    Question("connection", CONNECTION, "connection", ""),
    Question("unknown_fields", CONNECTION, "unknown fields", ""),
    Question("scope", CONNECTION, "region, namespace, group", ""),
    Question("credential", CONNECTION, "credential", ""),
    Question("endpoint", NETWORK, "endpoint", ""),
    Question("proxy", NETWORK, "proxy", ""),
    Question("dns", NETWORK, "name resolution", ""),
    Question("tls", NETWORK, "TLS", ""),
    Question("answers", NETWORK, "answers", ""),
    Question("clock", NETWORK, "clock", "no answer had a Date"),
    *(
        Question(
            action,
            RIGHTS,
            action.removeprefix("edas:"),
            _NO_CALL if action.startswith("edas:Read") else _NOT_TRIED,
        )
        for action in ACTIONS
    ),
    Question("namespace", SERVICE, "namespace", ""),
    Question("group", SERVICE, "group", ""),
    Question("edition", SERVICE, "edition", "ListGroups does not show AppVersion"),
    Question("log_service", SERVICE, "log service", "no run is listed whose log could be read"),
    Question("list_workflows", SERVICE, "ListWorkFlows", ""),
    Question("quota", SERVICE, "quota", ""),
    Question("workflow", WORKFLOW, "workflow", ""),
    Question("enabled", WORKFLOW, "enabled", ""),
    Question("max_concurrency", WORKFLOW, "MaxConcurrency", ""),
    Question("runs", WORKFLOW, "runs listed", ""),
    Question("run", WORKFLOW, "the run started here", "none was started; --start starts one"),
    Question("active_runs", WAITING, "active runs", "no runs were listed"),
    Question("unlisted_runs", WAITING, "runs beyond the list", ""),
    Question("poll_interval", WAITING, "poll_interval", ""),
    Question("list_length", OPEN, "length of the list of runs", _START),
    Question("list_order", OPEN, "order of the list of runs", "fewer than 5 runs are listed"),
    Question("list_waiting", OPEN, "waiting runs are listed", "no run waits now; --start --fill makes one"),
    Question("list_lag", OPEN, "seconds until a run is listed", _START),
    Question("when_full", OPEN, "start beyond MaxConcurrency", _FILL),
    Question("disabled_workflow", OPEN, "start of a disabled workflow", "this workflow is not disabled"),
    Question("start_interval", OPEN, "seconds between two starts", _FILL),
    Question("parameters_shown", OPEN, "parameters GetJobInstance shows", _START),
    Question("waiting_node_id", OPEN, "a waiting node has its id", "no node waits now; --start may show one"),
    Question("empty_data", OPEN, "Data of an empty answer", "no answer was empty"),
    Question("node_trigger_type", OPEN, "TriggerType of a node", _START),
    Question("api_data_time", OPEN, "DataTime of a run started here", _START),
    Question("name_filter", OPEN, "filter by name of ListWorkFlows", "no workflow's name is known"),
    Question("time_zone", OPEN, "time zone of answers", _START),
    Question("business_status", OPEN, "HTTP status of a failure", "no answer said Success false"),
    Question("denial", OPEN, "form of a denial", "nothing was denied"),
    Question("throttling", OPEN, "HTTP status when throttled", "no call was throttled"),
    Question("retry_after", OPEN, "a throttled answer says how long", "no call was throttled"),
    Question("stopped_state", OPEN, "status of a stopped run", _STOP),
    Question("late_refusal", OPEN, "a refused start that ran", "no start was refused"),
    Question(
        "retry_ids", OPEN, "ids after RetryJobInstance", "it would run a job again, so it is never tried"
    ),
    Question(
        "quota_per", OPEN, "who shares the quota", "it would use up the quota of others, so it is never tried"
    ),
)

BY_KEY: Mapping[str, Question] = {question.key: question for question in QUESTIONS}

#: Findings that have to be good before anyone can say that the operator would work.
ESSENTIAL = ("connection", "scope", "credential", "answers", FOLLOW_ACTION, "edition", "workflow", "runs")


def count(number: int, noun: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
