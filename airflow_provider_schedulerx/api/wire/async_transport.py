"""The asynchronous side: calls over one pooled aiohttp session per event loop and endpoint.

Requests are signed and answers understood by the same code as on the synchronous side. Only the
network is different, and so is what :func:`_fault` has to tell apart.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import urllib.request
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakKeyDictionary

import aiohttp
import tenacity
from yarl import URL

from airflow_provider_schedulerx.api.connection.redaction import without_secrets
from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAuthenticationError,
    SchedulerXError,
    SchedulerXUnavailableError,
)
from airflow_provider_schedulerx.api.wire import retrying
from airflow_provider_schedulerx.api.wire.calls import EXECUTE_WORKFLOW, Call, Operation
from airflow_provider_schedulerx.api.wire.responses import Response, interpret, undecided
from airflow_provider_schedulerx.api.wire.signing import sign

if TYPE_CHECKING:
    from alibabacloud_credentials.client import Client as CredentialClient
    from alibabacloud_credentials.models import CredentialModel

T = TypeVar("T")

#: Connections that one session keeps: far more than the quota can use at once.
_POOL_SIZE = 32

#: Their credential never changes, so asking for it once is enough.
_STATIC_CREDENTIALS = ("access_key", "sts", "bearer")


class _Shared:
    """What all users of the same endpoint in one event loop share."""

    def __init__(self, settings: SchedulerXSettings) -> None:
        self.settings = settings
        self.users = 0
        self._opening: asyncio.Task[None] | None = None
        self.session: aiohttp.ClientSession | None = None
        self.credential_client: CredentialClient | None = None
        self.static_credential: CredentialModel | None = None

    async def open(self) -> None:
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._open())
        try:
            await asyncio.shield(self._opening)
        except SchedulerXError:
            self._opening = None
            raise

    async def _open(self) -> None:
        settings = self.settings
        # In a thread: reading certificates and importing an SDK take long enough to be noticed.
        tls, client = await asyncio.to_thread(_prepare, settings)
        self.credential_client = client
        if settings.credential.credential_type in _STATIC_CREDENTIALS:
            self.static_credential = client.get_credential()
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_POOL_SIZE, ssl=tls),
            timeout=aiohttp.ClientTimeout(
                sock_connect=settings.connect_timeout,
                connect=settings.connect_timeout + settings.read_timeout,  # includes the wait for a free one
                sock_read=settings.read_timeout,
            ),
            # Not trust_env, with which aiohttp reads the environment and .netrc again for every request.
            proxy=settings.proxy or _environment_proxy(settings),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        if self.session is not None:
            await self.session.close()

    async def credential(self) -> CredentialModel:
        if self.static_credential is not None:
            return self.static_credential
        assert self.credential_client is not None  # noqa: S101 - set by open()
        # In a thread: most providers refresh with blocking calls.
        return await asyncio.to_thread(self.credential_client.get_credential)


def _environment_proxy(settings: SchedulerXSettings) -> str | None:
    """What HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the environment say."""
    if urllib.request.proxy_bypass(settings.endpoint.authority):
        return None
    return urllib.request.getproxies().get(settings.endpoint.scheme)


def _prepare(settings: SchedulerXSettings) -> tuple[ssl.SSLContext | bool, CredentialClient]:
    tls: ssl.SSLContext | bool = True
    if settings.endpoint.scheme == "https":
        tls = ssl.create_default_context()
        if settings.ca_file:
            tls.load_verify_locations(settings.ca_file)
    return tls, settings.credential_client()


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[Any, ...], _Shared]] = WeakKeyDictionary()


class AsyncTransport:
    """Carries out calls. Use as ``async with``; the last user of an endpoint closes its session.

    :param max_retry_seconds: seconds after which no further try begins; 0 means one try.
    """

    def __init__(
        self, settings: SchedulerXSettings, max_retry_seconds: float = retrying.MAX_RETRY_SECONDS
    ) -> None:
        self._settings = settings
        self._policy = retrying.policy(max_retry_seconds) if max_retry_seconds else None
        self._part: _Shared | None = None

    async def __aenter__(self) -> Self:
        parts = _shared.setdefault(asyncio.get_running_loop(), {})
        part = parts.setdefault(self._settings.identity, _Shared(self._settings))
        part.users += 1
        self._part = part
        try:
            await part.open()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._leave()

    async def _leave(self) -> None:
        part, self._part = self._part, None
        if part is None:
            return
        part.users -= 1
        if part.users == 0:
            _shared[asyncio.get_running_loop()].pop(self._settings.identity, None)
            await part.close()

    async def perform(self, call: Call[T]) -> T:
        """Carry out a call.

        :raises SchedulerXError: when no further try is allowed.
        """
        if self._policy is None:
            return await self._perform_once(call)
        retry = tenacity.AsyncRetrying(**self._policy, sleep=asyncio.sleep)
        result: T = await retry(self._perform_once, call)
        return result

    async def _perform_once(self, call: Call[T]) -> T:
        return interpret(call, await self.send(call))

    async def send(self, call: Call[Any]) -> Response:
        """Sign a call and send it, once.

        :return: whatever was answered, not interpreted.
        :raises SchedulerXUnavailableError: if the request did not leave, or a read was not answered.
        :raises SchedulerXAmbiguousError: if a request that changes something was not answered.
        """
        if call.operation is EXECUTE_WORKFLOW:
            # aiohttp sends a GET again by itself when a connection breaks, and this is a GET.
            raise NotImplementedError("ExecuteWorkflow is started from the synchronous side only")
        part = self._part
        if part is None or part.session is None:
            raise RuntimeError("use this transport inside 'async with'")
        try:
            credential = await part.credential()
        except Exception as error:
            raise _credential_fault(call.operation, error, self._settings) from None
        endpoint = self._settings.endpoint
        request = sign(call, endpoint, credential)
        target = call.target if request.query is call.query else call.with_query(request.query).target
        try:
            async with part.session.request(
                request.method,
                URL(f"{endpoint}{target}", encoded=True),
                headers=request.headers,
                allow_redirects=False,
            ) as response:
                body = await response.read()
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Response(response.status, headers, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # From None: such exceptions carry URLs, and those the caller's parameters.
            raise _fault(call.operation, error, self._settings) from None


def _fault(operation: Operation, error: BaseException, settings: SchedulerXSettings) -> SchedulerXError:
    """Tell apart what failed on the way: surely before the request left, or perhaps after."""
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        advice = "; check proxy of the connection, and HTTPS_PROXY of the environment"
    elif isinstance(error, aiohttp.ClientConnectorCertificateError):
        advice = "; if the certificate is of a private authority, set ca_file"
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        advice = "; check host, region_id and network"
    elif isinstance(error, aiohttp.ClientConnectorSSLError):
        advice = "; is this port really https? host may begin with http://"
    elif isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        advice = "; check host and network, and that this machine may connect to it"
    else:
        return undecided(operation, f"no answer from {settings.endpoint}: {_plain(error)}")
    return SchedulerXUnavailableError(
        f"cannot reach {settings.endpoint}: {_plain(error)}{advice}", operation=operation.name
    )


def _credential_fault(
    operation: Operation, error: Exception, settings: SchedulerXSettings
) -> SchedulerXError:
    kind = settings.credential.credential_type
    told = without_secrets(error, settings.secrets)
    message = f"the credential (credential_type {kind!r}) cannot be had: {told}"
    if type(error).__name__ == "CredentialException":
        return SchedulerXAuthenticationError(
            f"{message}; check the credential fields of the connection", operation=operation.name
        )
    return SchedulerXUnavailableError(message, operation=operation.name)


def _plain(error: BaseException) -> str:
    """One line of text without the URL, which carries the caller's parameters."""
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{error.status} {error.message}"
    return re.sub(r"/\?\S*", "/?...", re.sub(r"\s+", " ", str(inner)))[:300] or type(error).__name__
