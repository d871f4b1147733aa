"""Which refusals are known, what each one proves, and what to do about it.

For an operation that changes something, "nothing was carried out" is believed of documented refusals
only (:func:`proves_nothing_done`); the service may well fail after it has started a run. For a read it
does not matter, so :func:`kind_of_business_failure` is more generous there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXForeignGroupError,
    SchedulerXNotFoundError,
    SchedulerXRejectedError,
    SchedulerXSameSecondError,
)
from airflow_provider_schedulerx.api.wire.calls import EXECUTE_JOB, EXECUTE_WORKFLOW, Operation

_CLOCK = "correct this machine's clock: the service refuses a time that is off by over 15 minutes"
_CHECK_KEY = "check password (AccessKey secret) of the connection"

#: Gateway codes that mean "I do not know you" -> what to do about it.
AUTHENTICATION_CODES: Mapping[str, str] = {
    "InvalidAccessKeyId.NotFound": "check login (AccessKey id) of the connection",
    "InvalidAccessKeyId.Inactive": "enable this AccessKey in the RAM console, or use another one",
    "InvalidAccessKeyId": "check login (AccessKey id) of the connection",
    "SignatureDoesNotMatch": _CHECK_KEY,
    "IncompleteSignature": _CHECK_KEY,
    "InvalidTimeStamp.Expired": _CLOCK,
    "InvalidTimeStamp.Format": _CLOCK,
    "InvalidSecurityToken.Expired": "the security token has expired: issue a new one, or use a "
    "credential_type that refreshes by itself, such as ram_role_arn",
    "InvalidSecurityToken.Malformed": "check security_token of the connection",
    "InvalidSecurityToken.MismatchWithAccessKey": "security_token and login (AccessKey id) are of different "
    "credentials: copy all three parts anew",
    "InvalidBearerToken": "check bearer_token of the connection",
}
#: Gateway codes that mean "this is the wrong door" -> the connection field and what to do about it.
ENDPOINT_CODES: Mapping[str, tuple[str, str]] = {
    "InvalidProduct.NotFound": (
        "host",
        "this endpoint does not serve SchedulerX: check host, region_id and network of the connection",
    ),
    "InvalidProtocol.NeedSsl": ("host", "this endpoint requires TLS: put https:// before host"),
}
#: Beginnings of gateway codes of a denial.
DENIED = ("Forbidden", "NoPermission")
THROTTLED = "Throttling"

# What `Missing...` and `Invalid...` may name: the parameters of our operations and of every request.
_PARAMETERS = (
    *("RegionId", "Namespace", "NamespaceSource", "GroupId", "WorkflowId", "WfInstanceId", "JobId"),
    *("InstanceId", "JobInstanceId", "InstanceParameters", "PageNum", "PageSize", "WorkflowName", "Status"),
    *("StartTimestamp", "EndTimestamp", "Line", "Offset", "Keyword", "Reverse", "Parameter", "Action"),
    *("JobName", "CheckJobStatus", "DesignateType", "Worker", "Label"),
    *("Version", "Format", "Host", "Signature", "SignatureMethod", "SignatureVersion", "SignatureNonce"),
    *("AccessKeyId", "SecurityToken", "BearerToken", "TimeStamp", "Date", "Product", "Protocol"),
)
_PARAMETER_CODE = re.compile(rf"(Missing|Invalid)({'|'.join(_PARAMETERS)})(\..*)?", re.IGNORECASE)

# Gateway codes of faults behind the gateway, as opposed to refusals.
_PASSING_CODE = re.compile(r"InternalError|ServiceUnavailable|SystemError|Timeout|Unavailable", re.IGNORECASE)

# "workflowId=12 is not existed", "wofkflowId is not existed" (sic), "groupid not exist groupId: g namespace: n".
# "jobid: 92583 not match groupId: g".
_NAMES_A_THING = (
    r"\s*(the )?({subjects})\w*( instance| group)?(\s*[=:]?\s*\S+)?,? (is |was |does )?"
    r"not (exist|found|match group_?id)"
)
# Of a start only these: "workflow instance 12 is not existed" or "worker not found" may be said of a run that was started.
_OUTSIDE_A_RUN = re.compile(
    r"\s*(the )?(wo[a-z]{0,2}kflow(id)?(\s*[=:]\s*\S+|\s+\d+)?"
    r"|((app ?)?group|namespace)(id)?(\s*[=:]?\s*(?!worker|job|instance)\S+)?),? (is |was |does )?"
    r"not (exist|found|match group_?id)",
    re.IGNORECASE,
)
_ANY_THING = re.compile(
    _NAMES_A_THING.format(subjects="wo[a-z]{0,2}kflow|wf|group|app|namespace|job|instance"), re.IGNORECASE
)
# Of a start of a job these, too. A worker that is missing may be found out after the job instance was made.
_OUTSIDE_A_JOB_RUN = re.compile(
    r"\s*(the )?((job ?id|job)(\s*[=:]\s*\S+|\s+\d+)?"
    r"|((app ?)?group|namespace)(id)?(\s*[=:]?\s*(?!worker|job|instance)\S+)?),? (is |was |does |can )?"
    r"not (exist|find|found|match group_?id)",
    re.IGNORECASE,
)
# CheckJobStatus is documented to refuse a disabled job; in which words, is not.
_DISABLED_JOB = re.compile(
    r"\s*(the )?job(id)?(\s*[=:]?\s*(?!instance)\S+)?,? (is |was )?(disabled?|not enabled?)\b", re.IGNORECASE
)
# (job, schedule time in seconds) is documented to be a unique index; these are a database's words for a row that
# it did not take. Of a workflow they would prove nothing: its run may be there before those of its jobs.
_SAME_SECOND = re.compile(r"duplicate ?(entry|key)|unique (index|key|constraint)", re.IGNORECASE)
_NOT_FOUND = re.compile(r"not exist|not found|can not find", re.IGNORECASE)
_FOREIGN_GROUP = re.compile(r"not match group_?id", re.IGNORECASE)

_ADVICE = (
    (_SAME_SECOND, "the service takes one start of a job in a second"),
    (
        re.compile("disabled?|not enabled?", re.IGNORECASE),
        "enable it in the SchedulerX console; a disabled job also runs with check_job_status=False",
    ),
    (
        re.compile("concurren|already running|is running", re.IGNORECASE),
        "wait for the active run to end, or raise its maximum concurrency in the console",
    ),
    (
        re.compile("edition|professional|not support", re.IGNORECASE),
        "this operation may need the Professional edition, which is set for each application group",
    ),
    (
        re.compile("log ?service|logstore|sls", re.IGNORECASE),
        "switch the log service on for the application group in the console",
    ),
)
_CHECK_PARAMETER = "a parameter is missing or malformed: check namespace, group_id and the ids"
_LOOK_IT_UP = (
    "this refusal is not a documented one: look into the SchedulerX console, or give the RequestId to support"
)


def is_passing_code(code: str) -> bool:
    """Whether a gateway code names a fault behind the gateway."""
    return _PASSING_CODE.search(code) is not None


def is_parameter_code(code: str) -> bool:
    """Whether a gateway code is ``Missing<Parameter>`` or ``Invalid<Parameter>``, with a parameter we know."""
    return _PARAMETER_CODE.fullmatch(code) is not None


def is_unknown_operation(code: str | None) -> bool:
    """Whether a gateway code says that this edition of the service does not have the operation [I]."""
    return (code or "").startswith("InvalidAction")


def proves_nothing_done(operation: Operation, message: str) -> bool:
    """Whether a business failure is a documented refusal of an operation that changes something.

    A job that does not exist proves nothing about the start of a workflow, since its run comes first.
    """
    if operation is EXECUTE_WORKFLOW:
        return _OUTSIDE_A_RUN.match(message) is not None
    if operation is EXECUTE_JOB:
        return _is_same_second(operation, message) or any(
            known.match(message) for known in (_OUTSIDE_A_JOB_RUN, _DISABLED_JOB)
        )
    return _ANY_THING.match(message) is not None


def _is_same_second(operation: Operation, message: str) -> bool:
    return operation is EXECUTE_JOB and _SAME_SECOND.search(message) is not None


def kind_of_business_failure(operation: Operation, message: str) -> type[SchedulerXRejectedError]:
    """The class of a refusal that changed nothing."""
    if _is_same_second(operation, message):
        return SchedulerXSameSecondError
    if _FOREIGN_GROUP.search(message):
        return SchedulerXForeignGroupError
    if _NOT_FOUND.search(message):
        return SchedulerXNotFoundError
    return SchedulerXRejectedError


def advice_for(message: str, code: str | None) -> str:
    """What to do about a refusal."""
    if _FOREIGN_GROUP.search(message):
        return "it belongs to another application group, not to group_id of this request"
    if _NOT_FOUND.search(message):
        return "check the id, and region_id, namespace and group_id, within which it is looked for"
    if code and is_parameter_code(code):
        return _CHECK_PARAMETER
    return next((advice for words, advice in _ADVICE if words.search(message)), _LOOK_IT_UP)
