"""The synchronous side: calls over pooled urllib3 connections.

urllib3 rather than requests, which is a layer over it: it follows no redirect and repeats nothing if configured so, and
a connection of our own class can say for certain whether a fault came before the request left.
"""

from __future__ import annotations

import time
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from airflow_provider_schedulerx.api.connection.redaction import queries_unlogged
from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
from airflow_provider_schedulerx.api.exceptions import SchedulerXAuthenticationError, SchedulerXError
from airflow_provider_schedulerx.api.wire import faults, retrying
from airflow_provider_schedulerx.api.wire.calls import Call
from airflow_provider_schedulerx.api.wire.credential_source import CredentialSource
from airflow_provider_schedulerx.api.wire.proxy import proxy_for
from airflow_provider_schedulerx.api.wire.responses import Response, interpret
from airflow_provider_schedulerx.api.wire.signing import SignedRequest, sign
from airflow_provider_schedulerx.api.wire.tls import tls_context

T = TypeVar("T")

#: Seconds after which an idle connection is not used again: less than servers and load balancers keep one.
KEEP_IDLE = 10.0
#: Connections that are kept, for callers in several threads.
_POOL_SIZE = 10
# Or urllib3 adds its own beside ours, in requests through a proxy.
_SPELLED = {"accept": "Accept", "host": "Host"}


class _NotConnected(Exception):
    """A connection could not be made, so nothing was sent. Not an error that urllib3 knows, so it passes unwrapped.

    Its cause says why.
    """


class _Certain:
    """What a connection of ours does besides: it tells a fault before the request, and it does not grow old."""

    _used_at = 0.0

    def connect(self) -> None:
        try:
            super().connect()  # type: ignore[misc]
        except Exception as error:
            raise _NotConnected from error

    def getresponse(self) -> Any:
        self._used_at = time.monotonic()
        return super().getresponse()  # type: ignore[misc]

    @property
    def is_connected(self) -> bool:
        """Asked by urllib3 before a kept connection is used again."""
        is_young = time.monotonic() - self._used_at < KEEP_IDLE
        return is_young and super().is_connected  # type: ignore[misc]


class _HTTPConnection(_Certain, HTTPConnection):
    pass


class _HTTPSConnection(_Certain, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class SyncTransport:
    """Carries out calls, with the retries of :mod:`.retrying`. Any number of threads may use it.

    :param max_retry_seconds: seconds after which no further try begins; 0 means one try.
    """

    def __init__(
        self, settings: SchedulerXSettings, max_retry_seconds: float = retrying.MAX_RETRY_SECONDS
    ) -> None:
        self._settings = settings
        self._max_retry_seconds = max_retry_seconds
        self._credentials = CredentialSource(settings)
        self._proxy = proxy_for(settings)
        self._kept = self._pool(_POOL_SIZE)

    def perform(self, call: Call[T]) -> T:
        """Carry out a call.

        :raises SchedulerXError: when no further try is allowed.
        """
        began = time.monotonic()
        tries = 1
        while True:
            try:
                return self._perform_once(call)
            except SchedulerXError as error:
                pause = retrying.pause_before_retry(
                    error, tries, time.monotonic() - began, self._max_retry_seconds
                )
                if pause is None:
                    raise
            time.sleep(pause)
            tries += 1

    def _perform_once(self, call: Call[T]) -> T:
        response = self.send(call)
        try:
            return interpret(call, response)
        except SchedulerXAuthenticationError as error:
            raise self._credentials.explain(error) from None

    def send(self, call: Call[Any]) -> Response:
        """Sign a call and send it, once.

        What changes something goes over a connection of its own: the server may close a kept one while the request
        is on its way, and then nobody knows whether it arrived.

        :return: whatever was answered, not interpreted; also a redirect.
        :raises SchedulerXUnavailableError: if the request did not leave, or a read was not answered.
        :raises SchedulerXAuthenticationError: if there is no credential to sign with.
        :raises SchedulerXAmbiguousError: if a request that changes something was not answered.
        """
        request = sign(call, self._settings.endpoint, self._credentials.get())
        pool = self._pool(1) if call.operation.changes else self._kept
        try:
            with queries_unlogged():
                return self._exchange(pool, request)
        except _NotConnected as error:
            # From None: the library's exceptions carry URLs, and those the caller's parameters.
            raise faults.unreachable(
                call.operation, faults.root(error), self._settings, self._proxy
            ) from None
        except Exception as error:
            raise faults.no_answer(call.operation, error, self._settings) from None
        finally:
            if pool is not self._kept:
                pool.clear()

    def _exchange(self, pool: urllib3.PoolManager, request: SignedRequest) -> Response:
        response = pool.urlopen(
            request.method,
            f"{self._settings.endpoint}{request.target}",
            headers={_SPELLED.get(name, name): value for name, value in request.headers.items()},
            redirect=False,
        )
        return Response(response.status, response.headers, response.data)

    def _pool(self, size: int) -> urllib3.PoolManager:
        """A pool of connections, none of which is made before it is needed."""
        settings = self._settings
        shared: dict[str, Any] = {
            "maxsize": size,
            "retries": False,
            "timeout": urllib3.Timeout(connect=settings.connect_timeout, read=settings.read_timeout),
        }
        if settings.endpoint.scheme == "https":
            shared["ssl_context"] = tls_context(settings.ca_file, "urllib3")
        pool = urllib3.PoolManager(**shared) if self._proxy is None else _proxied(self._proxy, **shared)
        pool.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        return pool


def _proxied(proxy: str, **shared: Any) -> urllib3.ProxyManager:
    parts = urlsplit(proxy)
    headers = None
    if parts.username:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = urllib3.make_headers(proxy_basic_auth=user)
    host = parts.netloc.rpartition("@")[2]
    context = tls_context(None, "urllib3") if parts.scheme == "https" else None
    return urllib3.ProxyManager(
        f"{parts.scheme}://{host}", proxy_headers=headers, proxy_ssl_context=context, **shared
    )
