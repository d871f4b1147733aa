"""From an HTTP answer to a value or an error of :mod:`.exceptions`. No network code.

HTTP statuses vary between Alibaba Cloud products, so errors are told apart by ``Code`` first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAmbiguousError,
    SchedulerXAuthenticationError,
    SchedulerXAuthorizationError,
    SchedulerXConfigurationError,
    SchedulerXError,
    SchedulerXForeignGroupError,
    SchedulerXNotFoundError,
    SchedulerXRejectedError,
    SchedulerXThrottledError,
    SchedulerXUnavailableError,
)
from airflow_provider_schedulerx.api.models import MalformedAnswerError
from airflow_provider_schedulerx.api.wire.calls import Call, Operation

T = TypeVar("T")

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
    "InvalidProtocol.NeedSsl": ("host", "this endpoint wants TLS: put https:// before host"),
}
_DENIED = ("Forbidden", "NoPermission")
_FOREIGN_GROUP = re.compile(r"not match group_?id", re.IGNORECASE)
_NOT_FOUND = re.compile(r"is not existed|not exist|not found", re.IGNORECASE)
_SHOWN_OF_BODY = 200


@dataclass(frozen=True, slots=True)
class Response:
    """:ivar headers: with lower-case names; :ivar body: as received."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def interpret(call: Call[T], answer: Response) -> T:
    """Return what a call asked for.

    ``Success: true`` decides; its ``Message`` is ignored, since documented samples carry an error
    text there. ``Success: false`` with HTTP 200 is a failure.

    :raises SchedulerXError: the class says whether the call may be repeated.
    """
    operation = call.operation
    body = _decoded(answer)
    if body is None:
        shown = answer.body[:_SHOWN_OF_BODY].decode("utf-8", "replace").strip()
        _raise_undecided(
            operation,
            f"HTTP {answer.status} with a body that is not a JSON object: {shown!r}",
            http_status=answer.status,
        )
    if 200 <= answer.status < 300 and body.get("Success") is True:
        try:
            return call.parse(body)
        except MalformedAnswerError as error:
            _raise_undecided(
                operation,
                f"the service reports success, but {error}",
                request_id=_text(body, "RequestId"),
                http_status=answer.status,
            )
    raise _error(operation, answer, body)


def _decoded(answer: Response) -> dict[str, Any] | None:
    try:
        body = json.loads(answer.body)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name, body.get(name[0].lower() + name[1:]))
    return None if value is None or value == "" else str(value)


def _error(operation: Operation, answer: Response, body: Mapping[str, Any]) -> SchedulerXError:
    code = _text(body, "Code")
    # The gateway's code may stand in a body that looks like the service's own, and with any status.
    gateway_code = code if code and not code.lstrip("-").isdecimal() else ""
    message = _text(body, "Message") or "the service gives no reason"
    facts: dict[str, Any] = {
        "operation": operation.name,
        "code": code,
        "request_id": _text(body, "RequestId"),
        "http_status": answer.status,
    }
    detail = body.get("AccessDeniedDetail")
    if gateway_code.startswith("Throttling") or answer.status == 429:
        wait = _retry_after(answer.headers)
        asked = f"; the service asks to wait {wait:g} s" if wait is not None else ""
        return SchedulerXThrottledError(
            f"{message}; the quota is 100 calls a minute per operation and account{asked}",
            retry_after=wait,
            **facts,
        )
    if gateway_code.startswith(_DENIED) or isinstance(detail, dict):
        return _denied(operation, message, detail if isinstance(detail, dict) else {}, facts)
    if gateway_code in AUTHENTICATION_CODES:
        return SchedulerXAuthenticationError(f"{message}; {AUTHENTICATION_CODES[gateway_code]}", **facts)
    if gateway_code in ENDPOINT_CODES:
        name, advice = ENDPOINT_CODES[gateway_code]
        return SchedulerXConfigurationError(f"{message}; {advice}", field=name, **facts)
    if gateway_code == "SignatureNonceUsed":
        # Every call of ours has its own nonce: something between repeated the request, and the first
        # copy may have been carried out.
        return undecided(
            operation, f"{message}; something between us and the service repeats requests", **facts
        )
    if answer.status >= 500 or gateway_code in ("InternalError", "ServiceUnavailable"):
        return undecided(operation, message, **facts)
    if 200 <= answer.status < 300 and not isinstance(body.get("Success"), bool):
        return undecided(operation, f"the answer says neither success nor failure: {message}", **facts)
    if _FOREIGN_GROUP.search(message):
        return SchedulerXForeignGroupError(
            f"{message}; the job belongs to another application group", **facts
        )
    if not gateway_code and _NOT_FOUND.search(message):
        return SchedulerXNotFoundError(
            f"{message}; check the id, and region_id, namespace and group_id, within which it is looked for",
            **facts,
        )
    return SchedulerXRejectedError(message, **facts)


def _denied(
    operation: Operation, message: str, detail: Mapping[str, Any], facts: dict[str, Any]
) -> SchedulerXAuthorizationError:
    action = str(detail.get("AuthAction") or operation.ram_action or "") or None
    who = detail.get("AuthPrincipalDisplayName")
    kind = detail.get("NoPermissionType")
    return SchedulerXAuthorizationError(
        f"{message}; allow the RAM action {action or f'for {operation.name}'}"
        + (f" to {detail.get('AuthPrincipalType') or 'principal'} {who}" if who else "")
        + (f" ({kind} by a {detail.get('PolicyType') or 'RAM'} policy)" if kind else ""),
        action=action,
        access_denied_detail=detail,
        **facts,
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; the header is in milliseconds, and may be missing."""
    value = headers.get("x-acs-retry-after", "")
    return int(value) / 1000 if value.isdecimal() and int(value) > 0 else None


def undecided(operation: Operation, message: str, /, **facts: Any) -> SchedulerXError:
    """The error for "nobody can say whether it was carried out", which for a read does not matter."""
    facts = {"operation": operation.name, **facts}
    if operation.changes:
        return SchedulerXAmbiguousError(f"{message}; {operation.name} may have been carried out", **facts)
    return SchedulerXUnavailableError(message, **facts)


def _raise_undecided(operation: Operation, message: str, **facts: Any) -> NoReturn:
    raise undecided(operation, message, **facts) from None
