"""Asks the service, one try a call, and keeps every reply."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXError,
    SchedulerXThrottledError,
    SchedulerXUnavailableError,
)

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
    from airflow_provider_schedulerx.api.wire.calls import Call, Operation
    from airflow_provider_schedulerx.api.wire.responses import Response

T = TypeVar("T")

#: Seconds to wait for a connection and for an answer, at most; the connection may say less.
CONNECT_TIMEOUT, READ_TIMEOUT = 5.0, 10.0
#: Seconds that all calls together may wait because the service throttles.
THROTTLED_SECONDS = 20.0
_FIRST_PAUSE = 2.0


@dataclass(frozen=True)
class Reply(Generic[T]):
    """What came of a call.

    :ivar value: what the call asks for; None if there is an error, or if it asks for nothing.
    :ivar error: None if the service reports success and its answer can be read.
    :ivar response: None if nothing came back.
    :ivar body: the answer as JSON, ``{}`` if it is no JSON object.
    :ivar sent_at, received_at: epoch seconds of our clock.
    """

    operation: Operation
    value: T | None
    error: SchedulerXError | None
    response: Response | None
    body: Mapping[str, Any] = field(repr=False)
    sent_at: float
    received_at: float

    @property
    def data(self) -> Mapping[str, Any]:
        data = self.body.get("Data")
        return data if isinstance(data, dict) else {}

    @property
    def says_success(self) -> bool:
        return self.body.get("Success") is True

    @property
    def is_unreadable(self) -> bool:
        """Whether the service reports success, but what it sends is not what its documentation says."""
        return self.says_success and self.error is not None

    @property
    def served_at(self) -> float | None:
        """``Date`` of the answer, epoch seconds, whole ones."""
        try:
            return parsedate_to_datetime(_headers(self.response).get("date", "")).timestamp()
        except ValueError:
            return None

    @property
    def is_html(self) -> bool:
        if self.response is None:
            return False
        kind = _headers(self.response).get("content-type", "").lower()
        return "html" in kind or self.response.body.lstrip()[:1] == b"<"

    @property
    def server(self) -> str:
        """What calls itself the server, for answers that are not the service's."""
        return " ".join(_headers(self.response).get("server", "").split())[:60]


@dataclass(frozen=True, slots=True)
class Throttle:
    """:ivar retry_after: seconds the service asked to wait; None if it did not say."""

    operation: str
    status: int | None
    code: str | None
    retry_after: float | None


class Client:
    """Makes calls with the worker's transport.

    :param deadline: of ``clock``; no call begins later.
    """

    def __init__(
        self,
        settings: SchedulerXSettings,
        deadline: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        from airflow_provider_schedulerx.api.wire.transport import SyncTransport

        quick = replace(
            settings,
            connect_timeout=min(settings.connect_timeout, CONNECT_TIMEOUT),
            read_timeout=min(settings.read_timeout, READ_TIMEOUT),
        )
        self._transport = SyncTransport(quick, max_retry_seconds=0)
        self._clock = clock
        self._sleep = sleep
        self._wait_left = THROTTLED_SECONDS
        self.deadline = deadline
        self.replies: list[Reply[Any]] = []
        self.throttles: list[Throttle] = []

    def ask(self, call: Call[T]) -> Reply[T]:
        """Make a call. If it is throttled, wait and make it again, as long as waiting is allowed. Never raises."""
        pause = _FIRST_PAUSE
        while True:
            reply = self._ask_once(call)
            self.replies.append(reply)
            error = reply.error
            if not isinstance(error, SchedulerXThrottledError):
                return reply
            self.throttles.append(
                Throttle(call.operation.name, error.http_status, error.code, error.retry_after)
            )
            wait = pause if error.retry_after is None else error.retry_after
            pause *= 2
            if call.operation.changes or wait > self._wait_left or self._clock() + wait > self.deadline:
                return reply
            self._wait_left -= wait
            self._sleep(wait)

    def _ask_once(self, call: Call[T]) -> Reply[T]:
        from airflow_provider_schedulerx.api.wire.responses import interpret

        sent_at = time.time()
        response: Response | None = None
        value: T | None = None
        problem: SchedulerXError | None = None
        try:
            if self._clock() > self.deadline:
                raise SchedulerXUnavailableError("the time for this examination is over")
            response = self._transport.send(call)
            value = interpret(call, response)
        except SchedulerXError as error:
            problem = error
        return Reply(call.operation, value, problem, response, _body(response), sent_at, time.time())


def _headers(response: Response | None) -> Mapping[str, str]:
    return {} if response is None else {name.lower(): value for name, value in response.headers.items()}


def _body(response: Response | None) -> Mapping[str, Any]:
    return {} if response is None else response.decoded() or {}
