"""Where temporary keys come from, put on sockets: the token service, the metadata server, and their remote control."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from airflow_provider_schedulerx.emulator.authentication import Authenticator
from airflow_provider_schedulerx.emulator.issuing import Issuer
from airflow_provider_schedulerx.emulator.metadata import MetadataServer
from airflow_provider_schedulerx.emulator.server import listen
from airflow_provider_schedulerx.emulator.tls import make_certificate

AWAY = (None, "drop", "error")


@dataclass(frozen=True)
class Places:
    """Where to listen; a port of None leaves that server out, and 0 takes a free one."""

    host: str
    token_port: int | None
    metadata_port: int | None
    metadata_host: str


class Identities:
    """The servers of one emulator that issue keys."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._issuer = Issuer(authenticator.accounts)
        self._runners: list[web.AppRunner] = []

    async def start(
        self, places: Places, control: web.Application, folder: Path | None = None
    ) -> dict[str, str]:
        """Listen.

        :param control: the remote control, which learns what can be asked of these servers.
        :param folder: where the certificate is kept; None takes a new one.
        :return: URLs and the certificate authority's file, by the names of the emulator's line of JSON.
        """
        control.router.add_put("/issuer", self._change)
        control.router.add_get("/issuer", self._show)
        control.router.add_delete("/issuer/keys", self._revoke)
        facts: dict[str, str] = {}
        if places.token_port is not None:
            from airflow_provider_schedulerx.emulator.token_service import TokenService

            service = TokenService(self._authenticator, self._issuer)
            service.add_routes(control)
            certificate = make_certificate(places.host, folder)
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate.chain_file)
            port = await self._listen(service.application(), places.host, places.token_port, tls)
            facts |= {
                "token_service": f"https://{places.host}:{port}",
                "token_ca_file": str(certificate.ca_file),
            }
        if places.metadata_port is not None:
            server = MetadataServer(self._issuer)
            server.add_routes(control)
            port = await self._listen(server.application(), places.metadata_host, places.metadata_port)
            facts["metadata"] = f"http://{places.metadata_host}:{port}"
        return facts

    async def stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()

    async def _listen(
        self, app: web.Application, host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> int:
        runner, port = await listen(app, host, port, tls)
        self._runners.append(runner)
        return port

    async def _change(self, http: web.Request) -> web.Response:
        wanted = await http.json()
        if unknown := wanted.keys() - {"lifetime", "away"}:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        if wanted.get("away") not in AWAY:
            raise ValueError("away must be null, drop or error")
        for name, value in wanted.items():
            setattr(self._issuer, name, value)
        return await self._show(http)

    async def _revoke(self, http: web.Request) -> web.Response:
        self._issuer.revoke()
        return await self._show(http)

    async def _show(self, http: web.Request) -> web.Response:
        issuer = self._issuer
        return web.json_response({"lifetime": issuer.lifetime, "away": issuer.away, "issued": issuer.issued})
