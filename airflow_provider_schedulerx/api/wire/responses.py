"""From an HTTP answer to a value or an error of :mod:`..exceptions`. No network code.

HTTP statuses vary between Alibaba Cloud products, so ``Code`` distinguishes errors first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from airflow_provider_schedulerx.api.connection.redaction import without_request
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAmbiguousError,
    SchedulerXAuthenticationError,
    SchedulerXAuthorizationError,
    SchedulerXConfigurationError,
    SchedulerXError,
    SchedulerXMalformedAnswerError,
    SchedulerXRejectedError,
    SchedulerXThrottledError,
    SchedulerXUnavailableError,
)
from airflow_provider_schedulerx.api.models import MalformedAnswerError
from airflow_provider_schedulerx.api.wire import refusals
from airflow_provider_schedulerx.api.wire.calls import Call, Operation

T = TypeVar("T")

#: Seconds of waiting that the service may ask for; its quota is counted by the minute.
MAX_RETRY_AFTER = 60.0

_SHOWN_OF_BODY = 200
_READ_OF_BODY = 20_000


@dataclass(frozen=True, slots=True)
class Response:
    """:ivar headers: looked up with lower-case names; the HTTP libraries' own mappings ignore case.
    :ivar body: as received.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def decoded(self) -> dict[str, Any] | None:
        """The body, if it is a JSON object."""
        try:
            body = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return body if isinstance(body, dict) else None


def interpret(call: Call[T], response: Response) -> T:
    """Return what a call asked for.

    ``Success: true`` decides; its ``Message`` is ignored, since documented samples carry an error
    text there. ``Success: false`` with HTTP 200 is a failure.

    :raises SchedulerXError: the class says whether the call may be repeated.
    """
    operation = call.operation
    body = response.decoded()
    if body is None:
        raise _not_json(operation, response)
    if 200 <= response.status < 300 and body.get("Success") is True:
        try:
            return call.parse(body)
        except MalformedAnswerError as error:
            problem = str(error)
        raise undecided(
            operation,
            f"the service reports success, but {problem}; please report this with the RequestId",
            kind=SchedulerXMalformedAnswerError,
            request_id=_text(body, "RequestId"),
            http_status=response.status,
        )
    raise _error(operation, response, body)


def _not_json(operation: Operation, response: Response) -> SchedulerXError:
    status = response.status
    # Cut at last, so that no half of a secret is left.
    shown = without_request(response.body[:_READ_OF_BODY].decode("utf-8", "replace")).strip()[:_SHOWN_OF_BODY]
    message = f"HTTP {status} with a body that is not a JSON object: {shown!r}"
    if status == 429:
        return _throttled(message, response, {"operation": operation.name, "http_status": status})
    return undecided(operation, f"{message}; {_advice_for_status(status)}", http_status=status)


def _advice_for_status(status: int) -> str:
    if 300 <= status < 400:
        return "redirects are not followed: check host, and proxies on the way"
    if status == 407:
        return "the proxy requires a password: check proxy and proxy_password"
    if 400 <= status < 500:
        return "this does not look like SchedulerX: check host, region_id, network and any proxy on the way"
    if status >= 500:
        return "the service, or a proxy on the way, has a fault that may be temporary"
    return "something on the way answers instead of SchedulerX: check host and proxies"


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name, body.get(name[0].lower() + name[1:]))
    return None if value is None or value == "" else without_request(str(value))[:1000]


def _error(operation: Operation, response: Response, body: Mapping[str, Any]) -> SchedulerXError:
    code = _text(body, "Code")
    # The gateway's code may stand in a body that looks like the service's own, and with any status.
    gateway_code = code if code and not _is_number(code) else ""
    told = _text(body, "Message")
    message = told or "the service gives no reason"
    facts: dict[str, Any] = {
        "operation": operation.name,
        "code": code,
        "request_id": _text(body, "RequestId"),
        "http_status": response.status,
        "service_message": told,
    }
    detail = body.get("AccessDeniedDetail")
    if gateway_code.startswith(refusals.THROTTLED) or response.status == 429:
        return _throttled(message, response, facts)
    if gateway_code.startswith(refusals.DENIED) or (isinstance(detail, dict) and detail):
        return _denied(operation, message, detail if isinstance(detail, dict) else {}, facts)
    if gateway_code in refusals.AUTHENTICATION_CODES:
        advice = refusals.AUTHENTICATION_CODES[gateway_code]
        return SchedulerXAuthenticationError(f"{message}; {advice}", **facts)
    if gateway_code in refusals.ENDPOINT_CODES:
        name, advice = refusals.ENDPOINT_CODES[gateway_code]
        return SchedulerXConfigurationError(f"{message}; {advice}", field=name, **facts)
    if gateway_code == "SignatureNonceUsed":
        # Every request of ours has its own nonce: something between repeated it, and the first
        # copy may have been carried out.
        return undecided(
            operation, f"{message}; something between us and the service repeats requests: a proxy?", **facts
        )
    if refusals.is_passing_code(gateway_code) or (
        response.status >= 500 and not refusals.is_parameter_code(gateway_code)
    ):
        return undecided(operation, f"{message}; {_advice_for_status(500)}", **facts)
    if 300 <= response.status < 400:
        return undecided(operation, f"{message}; {_advice_for_status(response.status)}", **facts)
    is_failure = body.get("Success") is False or response.status >= 400
    return _refused(operation, is_failure, message, facts)


def _refused(operation: Operation, is_failure: bool, message: str, facts: dict[str, Any]) -> SchedulerXError:
    """An answer that is none of the known errors.

    :param is_failure: whether the answer says at least that it is one.
    """
    code: str | None = facts["code"]
    advice = refusals.advice_for(message, code)
    if code and not _is_number(code):
        is_known = refusals.is_parameter_code(code)
        kind: type[SchedulerXRejectedError] = SchedulerXRejectedError
    else:
        is_known = refusals.proves_nothing_done(operation, message)
        kind = refusals.kind_of_business_failure(operation, message)
        if not is_failure:
            message = f"the answer says neither success nor failure: {message}"
            return undecided(operation, f"{message}; {advice}", **facts)
        if kind is SchedulerXRejectedError and _is_passing_failure(code):
            return undecided(operation, f"{message}; {advice}", **facts)
    if operation.changes and not is_known:
        return undecided(operation, f"{message}; {advice}", **facts)
    return kind(f"{message}; {advice}", **facts)


def _is_number(code: str) -> bool:
    return code.removeprefix("-").isdecimal()


def _is_passing_failure(code: str | None) -> bool:
    """Whether a business failure is the service's own trouble: it has no code, or one like HTTP's 5xx."""
    return code is None or code.startswith("5")


def _throttled(message: str, response: Response, facts: dict[str, Any]) -> SchedulerXThrottledError:
    wait = _retry_after(response.headers)
    asked = f"; the service asks to wait {wait:g} s" if wait is not None else ""
    return SchedulerXThrottledError(
        f"{message}; the quota is 100 calls a minute per operation and account{asked}",
        retry_after=wait,
        **facts,
    )


def _denied(
    operation: Operation, message: str, detail: Mapping[str, Any], facts: dict[str, Any]
) -> SchedulerXAuthorizationError:
    action = str(detail.get("AuthAction") or operation.ram_action or "") or None
    who = detail.get("AuthPrincipalDisplayName")
    owner = detail.get("AuthPrincipalOwnerId")
    kind = detail.get("NoPermissionType")
    return SchedulerXAuthorizationError(
        f"{message}; allow the RAM action {action or f'for {operation.name}'}"
        + (f" to {detail.get('AuthPrincipalType') or 'principal'} {who}" if who else "")
        + (f" of account {owner}" if owner else "")
        + (f" ({kind} by a {detail.get('PolicyType') or 'RAM'} policy)" if kind else ""),
        action=action,
        access_denied_detail=detail,
        **facts,
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; the header is in milliseconds, and may be missing."""
    value = headers.get("x-acs-retry-after", "").strip()
    if not (value.isascii() and value.isdecimal()) or not value.strip("0"):
        return None
    # A text of any length may come: more digits than a minute needs are a minute.
    return MAX_RETRY_AFTER if len(value) > 9 else min(int(value) / 1000, MAX_RETRY_AFTER)


def undecided(
    operation: Operation,
    message: str,
    /,
    kind: type[SchedulerXUnavailableError] = SchedulerXUnavailableError,
    **facts: Any,
) -> SchedulerXError:
    """The error for "nobody can say whether it was carried out", which for a read does not matter.

    :param kind: the class for a read.
    """
    facts = {"operation": operation.name, **facts}
    if operation.changes:
        return SchedulerXAmbiguousError(
            f"{message}; {operation.name} may have been carried out: check before you repeat it", **facts
        )
    return kind(message, **facts)
