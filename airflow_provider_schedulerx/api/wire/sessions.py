"""The aiohttp sessions of each event loop: one for all who call as the same identity, kept while it is used.

A session outlives its last user by :data:`IDLE_SECONDS`, so that single calls do not build one each, and ends with
its event loop at the latest. What takes long to build is built in threads.
"""

from __future__ import annotations

import asyncio
import ssl
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

import aiohttp

from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
from airflow_provider_schedulerx.api.wire.credential_source import CredentialSource
from airflow_provider_schedulerx.api.wire.proxy import proxy_for
from airflow_provider_schedulerx.api.wire.signing import RequestSigner
from airflow_provider_schedulerx.api.wire.tls import fingerprint, tls_context

if TYPE_CHECKING:
    from alibabacloud_credentials.models import CredentialModel

#: Seconds for which a session stays open without a user.
IDLE_SECONDS = 60.0
#: Seconds after which an idle connection is not used again: less than servers and load balancers keep one.
KEEP_IDLE = 10.0
#: Connections that one session keeps: far more than the quota can use at once.
_POOL_SIZE = 32


class NoAnswer(Exception):
    """A connection broke under a request. Not an error that aiohttp knows, so it does not send the request again.

    Its cause says how.
    """


async def _send_once(
    request: aiohttp.ClientRequest,
    handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
) -> aiohttp.ClientResponse:
    """A middleware: aiohttp repeats a GET by itself when a connection breaks, and starting a run is a GET."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise NoAnswer from error


class SharedSession:
    """A session of the running event loop, and the credential that its requests are signed with."""

    def __init__(self, settings: SchedulerXSettings, on_idle: Callable[[], None]) -> None:
        # Weakly: whoever keeps this for later does not keep the loop.
        self._loop = weakref.ref(asyncio.get_running_loop())
        self._settings = settings
        self._on_idle = on_idle
        self._users = 0
        self._opening: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[CredentialModel] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        self._is_over = False
        self._tls: ssl.SSLContext | bool = True
        self._session: aiohttp.ClientSession | None = None
        self.proxy: str | None = None
        self.credentials: CredentialSource | None = None
        self.signer: RequestSigner = RequestSigner(settings.endpoint)

    def rejoin(self) -> bool:
        """Become a user once more.

        :return: whether that can be: it is still open, and of the running event loop.
        """
        if self._is_over or self._session is None or self._loop() is not asyncio.get_running_loop():
            return False
        self._users += 1
        return True

    async def open(self) -> None:
        """Become a user, of a session that is open then.

        :raises SchedulerXConfigurationError: if the credential or the proxy cannot be used.
        """
        self._users += 1
        try:
            if self._session is None:
                if self._opening is None or self._opening.done():
                    self._opening = _apart(self._open())
                await asyncio.shield(self._opening)
        except BaseException:
            self.release()
            raise

    async def _open(self) -> None:
        settings = self._settings

        def prepare() -> None:
            # Reading certificates and importing an SDK take long enough to be noticed.
            if settings.endpoint.scheme == "https":
                self._tls = tls_context(settings.ca_file, "aiohttp")
            self.proxy = proxy_for(settings)
            self.credentials = CredentialSource(settings)

        await asyncio.to_thread(prepare)
        self._session = self._make(
            aiohttp.TCPConnector(limit=_POOL_SIZE, ssl=self._tls, keepalive_timeout=KEEP_IDLE)
        )

    def _make(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        settings = self._settings
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(
                sock_connect=settings.connect_timeout,
                connect=settings.connect_timeout + settings.read_timeout,  # includes the wait for a free one
                sock_read=settings.read_timeout,
            ),
            # Not trust_env, with which aiohttp reads the environment and .netrc again for every request.
            proxy=self.proxy,
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_send_once,),
        )

    @property
    def kept(self) -> aiohttp.ClientSession:
        """The session whose connections are kept. Only after :meth:`open`."""
        if self._session is None:
            raise RuntimeError("the session is not open")
        return self._session

    def fresh(self) -> aiohttp.ClientSession:
        """A session for one request, whose connection is not kept. Whoever takes it closes it."""
        return self._make(aiohttp.TCPConnector(limit=1, ssl=self._tls, force_close=True))

    async def credential(self) -> CredentialModel:
        """The credential, without blocking the event loop. All who ask at the same time share one answer."""
        source = self.credentials
        assert source is not None  # noqa: S101 - set by open()
        at_hand = source.at_hand
        if at_hand is not None:
            return at_hand
        if self._asking is None or self._asking.done():
            # In a thread: most providers refresh with blocking calls.
            self._asking = _apart(asyncio.to_thread(source.get))
        return await asyncio.shield(self._asking)

    def release(self) -> None:
        """Stop being a user."""
        self._users -= 1
        if self._users == 0:
            self._idle_since = asyncio.get_running_loop().time()
            if self._timer is None:
                self._wait_idle(IDLE_SECONDS)

    def _wait_idle(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._check_idle, context=Context())

    def _check_idle(self) -> None:
        self._timer = None
        if self._users:
            return
        left = self._idle_since + IDLE_SECONDS - asyncio.get_running_loop().time()
        if left > 0:
            self._wait_idle(left)
        else:
            self._is_over = True
            self._on_idle()

    async def close(self) -> None:
        """Close what is open."""
        if self._timer is not None:
            self._timer.cancel()
        for task in (self._opening, self._asking):
            if task is not None and not task.done():
                task.cancel()
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class _LoopSessions:
    """The sessions of one event loop."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[Any, ...], SharedSession] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._end = self._close_at_the_end()

    async def begin(self) -> None:
        # From here on the event loop knows this generator, and ends it before it closes.
        await anext(self._end)

    async def _close_at_the_end(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            _by_loop.pop(asyncio.get_running_loop(), None)
            sessions, self._sessions = list(self._sessions.values()), {}
            for session in sessions:
                await session.close()
            if self._closing:
                await asyncio.gather(*self._closing, return_exceptions=True)

    def get(self, settings: SchedulerXSettings) -> SharedSession:
        key = (settings.identity, fingerprint(settings.ca_file))
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = SharedSession(settings, lambda: self._close(key))
        return session

    def _close(self, key: tuple[Any, ...]) -> None:
        session = self._sessions.pop(key, None)
        if session is not None:
            task = _apart(session.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def __len__(self) -> int:
        return len(self._sessions)


_by_loop: dict[asyncio.AbstractEventLoop, _LoopSessions] = {}


async def shared_session(
    settings: SchedulerXSettings, previous: SharedSession | None = None
) -> SharedSession:
    """The session of this event loop for this identity, open, with its caller as a user.

    :param previous: what was returned for the same settings before, which spares a lookup if it is still open.
    :raises SchedulerXConfigurationError: if the credential or the proxy cannot be used.
    """
    if previous is not None and previous.rejoin():
        return previous
    loop = asyncio.get_running_loop()
    sessions = _by_loop.get(loop)
    if sessions is None:
        for gone in [other for other in _by_loop if other.is_closed()]:
            # It was closed without asyncio's own ending, by which its sessions would have been closed.
            del _by_loop[gone]
        sessions = _by_loop[loop] = _LoopSessions()
        await sessions.begin()
    session = sessions.get(settings)
    await session.open()
    return session


def _apart(work: Any) -> asyncio.Task[Any]:
    """Do what belongs to the process in a task whose log lines are not those of whoever came first."""
    return asyncio.get_running_loop().create_task(work, context=Context())
