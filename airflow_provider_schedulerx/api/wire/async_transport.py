"""The asynchronous side: calls over the pooled aiohttp sessions of :mod:`.sessions`.

Requests are signed, faults told apart and answers understood by the same code as on the synchronous side.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any, Self, TypeVar

import aiohttp
from yarl import URL

from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
from airflow_provider_schedulerx.api.exceptions import SchedulerXAuthenticationError, SchedulerXError
from airflow_provider_schedulerx.api.wire import faults, retrying
from airflow_provider_schedulerx.api.wire.calls import Call
from airflow_provider_schedulerx.api.wire.responses import Response, interpret
from airflow_provider_schedulerx.api.wire.sessions import NoAnswer, SharedSession, shared_session
from airflow_provider_schedulerx.api.wire.signing import SignedRequest

T = TypeVar("T")


class AsyncTransport:
    """Carries out calls. Use as ``async with``; its session is shared, and stays open for a while afterwards.

    :param max_retry_seconds: seconds after which no further try begins; 0 means one try.
    :param session: that of another transport with the same settings; it is used again if it is still open.
    """

    def __init__(
        self,
        settings: SchedulerXSettings,
        max_retry_seconds: float = retrying.MAX_RETRY_SECONDS,
        session: SharedSession | None = None,
    ) -> None:
        self._settings = settings
        self._max_retry_seconds = max_retry_seconds
        self._previous = session
        self._session: SharedSession | None = None

    async def __aenter__(self) -> Self:
        self._session = await shared_session(self._settings, self._previous)
        return self

    async def __aexit__(self, *exception: object) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.release()

    async def perform(self, call: Call[T]) -> T:
        """Carry out a call.

        :raises SchedulerXError: when no further try is allowed.
        """
        began = time.monotonic()
        tries = 1
        while True:
            try:
                return await self._perform_once(call)
            except SchedulerXError as error:
                pause = retrying.pause_before_retry(
                    error, tries, time.monotonic() - began, self._max_retry_seconds
                )
                if pause is None:
                    raise
            await asyncio.sleep(pause)
            tries += 1

    async def _perform_once(self, call: Call[T]) -> T:
        response = await self.send(call)
        try:
            return interpret(call, response)
        except SchedulerXAuthenticationError as error:
            source = self.session.credentials
            raise (source.explain(error) if source is not None else error) from None

    @property
    def session(self) -> SharedSession:
        """What carries its calls, between entering and leaving."""
        if self._session is None:
            raise RuntimeError("use this transport inside 'async with'")
        return self._session

    async def send(self, call: Call[Any]) -> Response:
        """Sign a call and send it, once.

        What changes something goes over a connection of its own: the server may close a kept one while the request
        is on its way, and then nobody knows whether it arrived.

        :return: whatever was answered, not interpreted; also a redirect.
        :raises SchedulerXUnavailableError: if the request did not leave, or a read was not answered.
        :raises SchedulerXAuthenticationError: if there is no credential to sign with.
        :raises SchedulerXAmbiguousError: if a request that changes something was not answered.
        """
        session = self.session
        request = session.signer.sign(call, await session.credential())
        try:
            if not call.operation.changes:
                return await self._exchange(session.kept, request)
            async with session.fresh() as fresh:
                return await self._exchange(fresh, request)
        except (
            aiohttp.ClientConnectorError,
            aiohttp.ConnectionTimeoutError,
            aiohttp.ClientHttpProxyError,
        ) as error:
            # From None: such exceptions carry URLs, and those the caller's parameters.
            raise faults.unreachable(call.operation, _cause(error), self._settings, session.proxy) from None
        except Exception as error:
            cause = error.__cause__ if isinstance(error, NoAnswer) and error.__cause__ else error
            raise faults.no_answer(call.operation, cause, self._settings) from None

    async def _exchange(self, session: aiohttp.ClientSession, request: SignedRequest) -> Response:
        async with session.request(
            request.method,
            URL(f"{self._settings.endpoint}{request.target}", encoded=True),
            headers=request.headers,
            allow_redirects=False,
        ) as response:
            body = await response.read()
            return Response(response.status, response.headers, body)


def _cause(error: BaseException) -> BaseException:
    """What the operating system or the TLS library raised."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error
    if isinstance(error, aiohttp.ClientConnectorDNSError) and not isinstance(error.os_error, socket.gaierror):
        # Another resolver than the system's, if aiodns is installed.
        return socket.gaierror(str(error.os_error))
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return OSError(f"the proxy answers {error.status} {error.message}")
    return error
