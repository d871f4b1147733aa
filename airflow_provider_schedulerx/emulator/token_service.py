"""The security token service (STS, version 2015-04-01): AssumeRole and AssumeRoleWithOIDC, on a port of its own.

Written from the API pages "AssumeRole", "AssumeRoleWithOIDC" and "Common errors of STS"; where they name no HTTP
status, it is ours. It serves https only, as clients insist on it.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from aiohttp import web

from airflow_provider_schedulerx.emulator.authentication import Authenticator, GatewayError, Request
from airflow_provider_schedulerx.emulator.definitions import DEFAULT_OWNER, Account
from airflow_provider_schedulerx.emulator.issuing import Issuer, as_time
from airflow_provider_schedulerx.emulator.oidc import AUDIENCE, IdentityProvider
from airflow_provider_schedulerx.emulator.operations import OPERATIONS
from airflow_provider_schedulerx.emulator.server import read_request

API_VERSION = "2015-04-01"
MIN_SECONDS = 900

_ROLE_ARN = re.compile(r"acs:ram::(\d+):role/([A-Za-z0-9._-]+)")
_SESSION_NAME = re.compile(r"[A-Za-z0-9.@_-]{2,64}")
_MAX_POLICY = 2048
_NOT_AUTHORIZED = "You are not authorized to do this action. You should be authorized by RAM."


@dataclass(frozen=True)
class Role:
    """A RAM role.

    :ivar trusted: AccessKey ids that its trust policy lets assume it; ``*`` stands for all.
    :ivar external_id: that its trust policy wants, or None.
    :ivar oidc_provider_arn: whose tokens its trust policy takes.
    :ivar audience: ``aud`` that such a token must have.
    :ivar max_seconds: MaxSessionDuration.
    :ivar denied: RAM actions of the service that it may not use.
    """

    arn: str
    trusted: tuple[str, ...] = ("*",)
    external_id: str | None = None
    oidc_provider_arn: str | None = None
    audience: str = AUDIENCE
    max_seconds: int = 3600
    denied: tuple[str, ...] = ()


#: The role that is there from the start.
DEFAULT_ROLE = Role(
    f"acs:ram::{DEFAULT_OWNER}:role/airflow",
    oidc_provider_arn=f"acs:ram::{DEFAULT_OWNER}:oidc-provider/emulator",
)


class TokenService:
    """Checks who asks, and issues keys."""

    def __init__(self, authenticator: Authenticator, issuer: Issuer) -> None:
        self._authenticator = authenticator
        self._issuer = issuer
        self.identity_provider: IdentityProvider = IdentityProvider()
        self.roles: dict[str, Role] = {DEFAULT_ROLE.arn: DEFAULT_ROLE}

    def application(self) -> web.Application:
        """The application that plays STS."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        if self._issuer.away == "drop" and http.transport is not None:
            http.transport.abort()
            return web.Response()
        request_id = str(uuid.uuid4()).upper()
        try:
            if self._issuer.away:
                raise GatewayError(
                    503, "ServiceUnavailable", "The request has failed due to a temporary failure."
                )
            status, body = 200, self.answer(await read_request(http))
        except GatewayError as error:
            status = error.status
            body = {"HostId": http.host, "Code": error.code, "Message": error.message}
        return web.json_response({"RequestId": request_id, **body}, status=status)

    def answer(self, request: Request) -> dict[str, Any]:
        """Carry out a request.

        :raises GatewayError: as STS answers otherwise.
        """
        action = request.headers.get("x-acs-action") or request.parameter("Action")
        version = request.headers.get("x-acs-version") or request.parameter("Version")
        if version != API_VERSION:
            raise GatewayError(400, "InvalidVersion", f"Specified parameter Version is not valid: {version}.")
        if action == "AssumeRole":
            caller = self._authenticator.authenticate(request)
            role = self._role(request)
            self._check_trust(role, caller, request.parameter("ExternalId"))
        elif action == "AssumeRoleWithOIDC":
            role = self._role(request)
            self._check_oidc(role, request)
        else:
            raise GatewayError(404, "InvalidAction.NotFound", f"Specified api is not found: {action}.")
        return self._assume(role, request)

    def _role(self, request: Request) -> Role:
        arn = _needed(request, "RoleArn")
        if not _ROLE_ARN.fullmatch(arn):
            raise GatewayError(400, "InvalidParameter.RoleArn", "The parameter RoleArn is wrongly formed.")
        role = self.roles.get(arn)
        if role is None:
            raise GatewayError(404, "EntityNotExist.Role", f"The role not exists: {arn}.")
        return role

    @staticmethod
    def _check_trust(role: Role, caller: Account, external_id: str | None) -> None:
        trusted = "*" in role.trusted or caller.access_key_id in role.trusted
        allowed = not {"*", "sts:AssumeRole"} & set(caller.denied)
        if not (trusted and allowed and external_id == role.external_id):
            raise GatewayError(403, "NoPermission", _NOT_AUTHORIZED)

    def _check_oidc(self, role: Role, request: Request) -> None:
        provider = _needed(request, "OIDCProviderArn")
        token = _needed(request, "OIDCToken")
        claims = self.identity_provider.claims(token)
        if claims is None:
            raise GatewayError(400, "AuthenticationFail.OIDCToken.Invalid", "This JsonWebToken is invalid.")
        if claims["exp"] <= self._issuer.clock():
            raise GatewayError(400, "AuthenticationFail.OIDCToken.Expired", "This JsonWebToken is expired.")
        if provider != role.oidc_provider_arn or claims["aud"] != role.audience:
            raise GatewayError(403, "AuthenticationFail.NoPermission", _NOT_AUTHORIZED)

    def _assume(self, role: Role, request: Request) -> dict[str, Any]:
        session = _needed(request, "RoleSessionName")
        if not _SESSION_NAME.fullmatch(session):
            raise GatewayError(
                400, "InvalidParameter.RoleSessionName", "The parameter RoleSessionName is wrongly formed."
            )
        seconds = _seconds(request.parameter("DurationSeconds"), role.max_seconds)
        denied = (*role.denied, *_denied_by(request.parameter("Policy")))
        match = _ROLE_ARN.fullmatch(role.arn)
        assert match is not None  # noqa: S101 - checked by _role
        kind = "AssumeRoleWithOIDC" if request.parameter("OIDCToken") else "AssumeRole"
        account = self._issuer.issue(kind, seconds, denied=denied, owner=match[1])
        return {
            "AssumedRoleUser": {
                "Arn": f"acs:ram::{match[1]}:role/{match[2]}/{session}",
                "AssumedRoleId": f"{int(hashlib.sha256(role.arn.encode()).hexdigest()[:14], 16)}:{session}",
            },
            "Credentials": {
                "AccessKeyId": account.access_key_id,
                "AccessKeySecret": account.access_key_secret,
                "SecurityToken": account.security_token,
                "Expiration": as_time(account.expires),
            },
        }

    def add_routes(self, control: web.Application) -> None:
        """Add what tests ask of this service to the remote control."""

        async def add_role(http: web.Request) -> web.Response:
            fields: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in (await http.json()).items()
            }
            role = replace(DEFAULT_ROLE, **fields)
            self.roles[role.arn] = role
            return web.json_response({"arn": role.arn})

        async def make_token(http: web.Request) -> web.Response:
            wanted = await http.json()
            expires = self._issuer.clock() + wanted.get("seconds", 3600.0)
            token = self.identity_provider.token(expires, wanted.get("audience", AUDIENCE))
            return web.json_response({"token": token})

        control.router.add_post("/roles", add_role)
        control.router.add_post("/oidc-tokens", make_token)


def _needed(request: Request, name: str) -> str:
    value = request.parameter(name)
    if not value:
        raise GatewayError(400, f"Missing{name}", f"{name} is mandatory for this action.")
    return value


def _seconds(text: str | None, maximum: int) -> int:
    seconds = 3600 if text is None else int(text) if text.isdecimal() else 0
    if not MIN_SECONDS <= seconds <= maximum:
        raise GatewayError(
            400,
            "InvalidParameter.DurationSeconds",
            f"The Min/Max value of DurationSeconds is {MIN_SECONDS // 60}min/{maximum / 3600:g}hr.",
        )
    return seconds


def _denied_by(policy: str | None) -> tuple[str, ...]:
    """The RAM actions of the service that a session policy does not allow. Resources are not looked at."""
    if policy is None:
        return ()
    try:
        statements = json.loads(policy)["Statement"]
        rules = [
            (statement["Effect"], _listed(statement["Action"]))
            for statement in _listed(statements)
            if statement
        ]
    except (ValueError, TypeError, KeyError):
        rules = []
    if not rules or len(policy) > _MAX_POLICY:
        raise GatewayError(
            400, "InvalidParameter.PolicyGrammar", "The parameter Policy has not passed grammar check."
        )

    def named(action: str, effect: str) -> bool:
        return any(
            given == effect and any(fnmatchcase(action, pattern) for pattern in patterns)
            for given, patterns in rules
        )

    actions = {spec.ram_action for spec in OPERATIONS.values()}
    return tuple(it for it in sorted(actions) if not named(it, "Allow") or named(it, "Deny"))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
