"""From a request to its answer: who calls, may it, does a fault strike, what does the operation say.

Without HTTP and without a clock of its own: a test can hand in a signed :class:`Request` and gets status,
headers and body. :mod:`.server` puts it on a socket.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_schedulerx.emulator.arguments import Arguments, OperationSpec
from airflow_provider_schedulerx.emulator.authentication import Authenticator, GatewayError, Request
from airflow_provider_schedulerx.emulator.definitions import Account, Definitions
from airflow_provider_schedulerx.emulator.engine import Engine, Refused
from airflow_provider_schedulerx.emulator.faults import Counters, Fault, Faults, Quota, Throttled
from airflow_provider_schedulerx.emulator.operations import OPERATIONS
from airflow_provider_schedulerx.emulator.profile import Profile

API_VERSION = "2019-04-30"
DEFAULT_QUOTA = 100

# Documented samples of successful answers carry an error text here. Clients must not mind.
_MESSAGE_ON_SUCCESS = "Your request is denied as lack of ssl protect."


@dataclass(frozen=True)
class Answer:
    """What goes back.

    :ivar sent: bytes of the body after which the connection is cut; None sends all and cuts nothing, and -1
        cuts it before the status.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    sent: int | None = None


class _Dropped(Exception):
    """The connection is to be cut without an answer."""


@dataclass
class Emulator:
    """Everything that one emulator knows; its parts do the work."""

    definitions: Definitions
    engine: Engine
    authenticator: Authenticator
    quota: Quota
    faults: Faults
    counters: Counters
    verbose: bool = False

    def __post_init__(self) -> None:
        self._at_start = (self.definitions, self.quota.per_minute, self.profile)

    def reset(self) -> None:
        """Be as at the start: without instances, faults and counts, and with what was given then."""
        self.definitions, self.quota.per_minute, self.profile = self._at_start
        self.engine.reset(self.definitions.workflows.values(), self.definitions.jobs.values())
        self.authenticator.accounts = dict(self.definitions.accounts)
        self.faults.pending.clear()
        for counted in (self.quota, self.counters):
            counted.clear()

    @property
    def profile(self) -> Profile:
        return self.engine.profile

    @profile.setter
    def profile(self, profile: Profile) -> None:
        self.engine.profile = profile

    def handle(self, request: Request) -> Generator[float, None, Answer]:
        """Answer a request.

        :return: a generator of seconds to wait, which returns the answer.
        """
        operation = request.headers.get("x-acs-action") or request.parameter("Action") or ""
        outcome = "ok"
        fault: Fault | None = None
        try:
            spec, account = self._admit(request, operation)
            fault = self.faults.take(operation, request.parameter("InstanceParameters"))
            if fault and fault.when == "before":
                yield from _apply(fault)
            status, headers, body = self._carry_out(spec, request, operation, account)
            if not body["Success"]:
                outcome = "refused"
            if fault and fault.when == "after":
                yield from _apply(fault)
        except GatewayError as error:
            outcome = error.code
            if isinstance(error, Throttled):
                error = error.shaped(self.profile)
            status, headers, body = error.status, error.headers, _gateway_body(error)
        except _Dropped:
            self._done(operation, "dropped")
            return Answer(sent=-1)
        self._done(operation, outcome)
        raw = (
            fault.body.encode(errors="replace")
            if fault and fault.effect == "error" and fault.body is not None
            else json.dumps(body, ensure_ascii=False).encode(errors="replace")
        )
        return Answer(status, headers, raw, len(raw) // 2 if fault and fault.effect == "truncate" else None)

    def _admit(self, request: Request, operation: str) -> tuple[OperationSpec, Account]:
        """Everything a gateway checks before the service is asked."""
        if request.path != "/":
            raise GatewayError(404, "InvalidAction.NotFound", "Specified api is not found.")
        account = self.authenticator.authenticate(request)
        version = request.headers.get("x-acs-version") or request.parameter("Version")
        spec = OPERATIONS.get(operation)
        if spec is None or (operation == "ListWorkFlows" and self.profile["list_workflows"] == "absent"):
            raise GatewayError(404, "InvalidAction.NotFound", f"Specified api is not found: {operation}.")
        if version != API_VERSION:
            raise GatewayError(400, "InvalidVersion", f"Specified parameter Version is not valid: {version}.")
        for name in spec.required:
            if not request.parameter(name):
                raise GatewayError(400, f"Missing{name}", f"{name} is mandatory for this action.")
        self.quota.use(account.owner if self.profile["quota_per"] == "account" else account.user, operation)
        if _denied(spec, account) and self.profile["denial"] == "gateway":
            raise GatewayError(
                403, "Forbidden.RAM", _DENIED, AccessDeniedDetail=_access_denied_detail(spec, account)
            )
        return spec, account

    def _carry_out(
        self, spec: OperationSpec, request: Request, operation: str, account: Account
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        body: dict[str, Any] = {"RequestId": _request_id()}
        try:
            if _denied(spec, account):
                raise Refused(_DENIED, code=403, AccessDeniedDetail=_access_denied_detail(spec, account))
            if spec.professional and self.profile["edition"] == "basic":
                raise Refused(f"{operation} is only supported by the professional edition")
            data = spec.handle(Arguments(request, self.definitions, self.engine))
        except Refused as refused:
            code = {} if refused.code is None else {"Code": refused.code}
            # A system error is no business failure: its status stays.
            status = int(self.profile["business_status"]) if refused.code in (400, 403) else 200
            return status, {}, body | code | {"Success": False, "Message": refused.message} | refused.details
        body |= {"Code": 200, "Success": True, "Message": _MESSAGE_ON_SUCCESS}
        if operation == "DescribeRegions":  # the one operation without Data
            return 200, {}, body | {"Regions": data}
        return 200, {}, body | self._data(data)

    def _data(self, data: Any) -> dict[str, Any]:
        """The data of an operation, if it has any."""
        if self.profile["empty_data"] == "null" and (data is None or _is_empty_list(data)):
            return {"Data": None}
        return {} if data is None else {"Data": data}

    def _done(self, operation: str, outcome: str) -> None:
        self.counters.count(operation, outcome)
        if self.verbose:
            print(f"{operation or '-'} {outcome}", file=sys.stderr, flush=True)


def make_emulator(
    known: Definitions,
    engine: Engine,
    *,
    quota: int = DEFAULT_QUOTA,
    verbose: bool = False,
    clock: Callable[[], float] = time.time,
) -> Emulator:
    """:param clock: tells the seconds by which signatures expire and calls count against the quota."""
    return Emulator(
        definitions=known,
        engine=engine,
        authenticator=Authenticator(known.accounts, clock),
        quota=Quota(quota, clock),
        faults=Faults(),
        counters=Counters(clock),
        verbose=verbose,
    )


def _apply(fault: Fault) -> Generator[float, None, None]:
    if fault.seconds:
        yield fault.seconds
    if fault.effect == "drop":
        raise _Dropped
    if fault.effect == "error":
        raise GatewayError(fault.status, fault.code, fault.message)
    if fault.effect == "throttle":
        raise Throttled(fault.retry_after_ms)


def _is_empty_list(data: Mapping[str, Any]) -> bool:
    lists = [value for value in data.values() if isinstance(value, list)]
    return bool(lists) and not any(lists)


_DENIED = "User not authorized to operate on the specified resource."


def _denied(spec: OperationSpec, account: Account) -> bool:
    return spec.ram_action in account.denied or "*" in account.denied


def _access_denied_detail(spec: OperationSpec, account: Account) -> dict[str, str]:
    return {
        "AuthAction": spec.ram_action,
        "AuthPrincipalType": "SubUser",
        "AuthPrincipalDisplayName": account.user,
        "AuthPrincipalOwnerId": account.owner,
        "NoPermissionType": "ImplicitDeny",
        "PolicyType": "AccountLevelIdentityBasedPolicy",
        "EncodedDiagnosticMessage": "emulator",
    }


def _gateway_body(error: GatewayError) -> dict[str, Any]:
    return {
        "RequestId": _request_id(),
        "HostId": "schedulerx.aliyuncs.com",
        "Code": error.code,
        "Message": error.message,
        "Recommend": f"https://next.api.aliyun.com/troubleshoot?q={error.code}",
        **error.body,
    }


def _request_id() -> str:
    return str(uuid.uuid4()).upper()
