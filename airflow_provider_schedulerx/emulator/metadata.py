"""The metadata server of an ECS instance, as far as its RAM role goes: normal mode, and with tokens (IMDSv2).

Written from the ECS pages "Instance metadata" and "Instance RAM roles". On a real instance it is at
``http://100.100.100.200``. The same answer is what a credentials URI gives, so such a URL serves for that, too.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web

from airflow_provider_schedulerx.emulator.definitions import Account
from airflow_provider_schedulerx.emulator.issuing import Issuer, as_time

CREDENTIALS_PATH = "/latest/meta-data/ram/security-credentials/"
MODES = ("normal", "both", "tokens")

_TOKEN_HEADER = "X-aliyun-ecs-metadata-token"  # noqa: S105 - a name
_LIFETIME = 6 * 3600.0
_MAX_TOKEN_SECONDS = 21600


class MetadataServer:
    """Gives the keys of one role.

    :ivar role_name: empty for an instance without a role.
    :ivar mode: ``normal`` knows no tokens, ``both`` takes requests with and without one, ``tokens`` wants one
        (security hardening mode).
    """

    def __init__(self, issuer: Issuer, role_name: str = "airflow", mode: str = "both") -> None:
        self._issuer = issuer
        self.role_name = role_name
        self.mode = mode
        self._tokens: dict[str, float] = {}
        self._current: Account | None = None

    def application(self) -> web.Application:
        """The application that plays the metadata server."""

        @web.middleware
        async def answer_or_not(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            return self._unavailable(request) or await handler(request)

        app = web.Application(middlewares=[answer_or_not])
        app.router.add_put("/latest/api/token", self._make_token)
        app.router.add_get(CREDENTIALS_PATH, self._list_roles)
        app.router.add_get(CREDENTIALS_PATH + "{role}", self._give_credentials)
        return app

    def _unavailable(self, http: web.Request) -> web.Response | None:
        if self._issuer.away == "drop" and http.transport is not None:
            http.transport.abort()
            return web.Response()
        if self._issuer.away:
            return web.Response(status=503)
        refused = self._refusal(http.headers.get(_TOKEN_HEADER)) if http.method == "GET" else None
        return web.Response(status=refused) if refused else None

    def _refusal(self, token: str | None) -> int | None:
        if self.mode == "normal":
            return None
        if token is None:
            return 403 if self.mode == "tokens" else None
        return None if self._tokens.get(token, 0.0) > self._issuer.clock() else 401

    async def _make_token(self, http: web.Request) -> web.Response:
        if self.mode == "normal":
            return web.Response(status=404)
        seconds = http.headers.get(f"{_TOKEN_HEADER}-ttl-seconds", "")
        if not seconds.isdecimal() or not 1 <= int(seconds) <= _MAX_TOKEN_SECONDS:
            return web.Response(status=400)
        token = secrets.token_urlsafe(40)
        self._tokens[token] = self._issuer.clock() + int(seconds)
        return web.Response(text=token)

    async def _list_roles(self, http: web.Request) -> web.Response:
        return web.Response(text=self.role_name) if self.role_name else web.Response(status=404)

    async def _give_credentials(self, http: web.Request) -> web.Response:
        if not self.role_name or http.match_info["role"] != self.role_name:
            return web.Response(status=404)
        account = self._account()
        return web.json_response(
            {
                "AccessKeyId": account.access_key_id,
                "AccessKeySecret": account.access_key_secret,
                "SecurityToken": account.security_token,
                "Expiration": as_time(account.expires),
                "LastUpdated": as_time(self._issuer.clock()),
                "Code": "Success",
            }
        )

    def _account(self) -> Account:
        """The same for all who ask, until half of its life is over."""
        lifetime = self._issuer.lifetime or _LIFETIME
        current = self._current
        left = 0.0 if current is None else (current.expires or 0.0) - self._issuer.clock()
        if current is None or not lifetime / 2 < left <= lifetime:
            current = self._current = self._issuer.issue("metadata", _LIFETIME)
        return current

    def add_routes(self, control: web.Application) -> None:
        """Add what tests ask of this server to the remote control."""

        async def change(http: web.Request) -> web.Response:
            wanted = await http.json()
            mode = wanted.get("mode", self.mode)
            if mode not in MODES:
                raise ValueError(f"mode must be one of {', '.join(MODES)}")
            self.mode, self.role_name = mode, wanted.get("role_name", self.role_name)
            return web.json_response({"mode": self.mode, "role_name": self.role_name})

        control.router.add_put("/metadata", change)
