"""What can go wrong in a call to SchedulerX, distinguished by what the caller may do next.

The class answers one question above all: *may the call be repeated?* ``ExecuteWorkflow``
has no idempotency token, so a call that was perhaps carried out must never be repeated
blindly. :class:`SchedulerXThrottledError` and :class:`SchedulerXUnavailableError` are raised
only where repeating is safe; :class:`SchedulerXAmbiguousError` is everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class SchedulerXError(Exception):
    """Base of every error of the service.

    :ivar operation: name of the API operation, such as ``ExecuteWorkflow``; None if no call was made.
    :ivar code: the service's ``Code`` as text, where an answer had one.
    :ivar request_id: the service's ``RequestId``, which Alibaba Cloud support asks for.
    :ivar http_status: status of the HTTP answer, where there was one.
    :ivar service_message: the service's ``Message``, in its own words, where an answer had one.
    """

    def __init__(
        self,
        message: str,
        *,
        operation: str | None = None,
        code: str | None = None,
        request_id: str | None = None,
        http_status: int | None = None,
        service_message: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.operation = operation
        self.code = code
        self.request_id = request_id
        self.http_status = http_status
        self.service_message = service_message

    def __str__(self) -> str:
        facts = [
            f"{name}={value}"
            for name, value in (
                ("Code", self.code),
                ("HTTP status", self.http_status),
                ("RequestId", self.request_id),
            )
            if value is not None
        ]
        prefix = f"{self.operation}: " if self.operation else ""
        suffix = f" ({', '.join(facts)})" if facts else ""
        return f"{prefix}{self.message}{suffix}"


class SchedulerXConfigurationError(SchedulerXError, ValueError, TypeError):
    """A connection field or an argument is missing, malformed or contradicts another. Nothing was sent.

    A ``TypeError`` as well, because Airflow's triggerer outlives no other error of a trigger's constructor: it would end,
    with all its triggers, where a newer worker has serialized what this version refuses.

    :ivar field: name of the field or argument to correct.
    """

    def __init__(self, message: str, *, field: str | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.field = field


class SchedulerXAuthenticationError(SchedulerXError):
    """The service does not accept who we say we are: key, signature, token or clock."""


class SchedulerXAuthorizationError(SchedulerXError):
    """The identity is known but may not do this.

    :ivar action: the RAM action to allow, such as ``edas:ManageSchedulerxWorkflowRun``.
    :ivar access_denied_detail: the service's ``AccessDeniedDetail``, ``{}`` if it gave none.
    """

    def __init__(
        self,
        message: str,
        *,
        action: str | None = None,
        access_denied_detail: Mapping[str, Any] | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message, **facts)
        self.action = action
        self.access_denied_detail: dict[str, Any] = dict(access_denied_detail or {})


class SchedulerXRejectedError(SchedulerXError):
    """The service understood the request and refused it. Repeating it unchanged does not help.

    For an operation that changes something, only a documented refusal has this class (or one of its
    subclasses): it proves that nothing was carried out. Any other is a :class:`SchedulerXAmbiguousError`.
    """


class SchedulerXNotFoundError(SchedulerXRejectedError):
    """The workflow, instance, job, group or namespace does not exist (in this region)."""


class SchedulerXForeignGroupError(SchedulerXRejectedError):
    """The job belongs to another application group than the request's ``GroupId``.

    A workflow may span groups and its nodes do not say which (API page "StopInstance").
    """


class SchedulerXSameSecondError(SchedulerXRejectedError):
    """The job was started in this second already: the service takes one start in a second, and started nothing.

    (Job, schedule time in seconds) is a unique index (API page "ExecuteJob"). The same start may be made again a
    second later.
    """


class SchedulerXThrottledError(SchedulerXError):
    """The quota (100 calls a minute per operation and account) is used up; nothing was carried out.

    :ivar retry_after: seconds the service asks to wait, at most 60; None if it did not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.retry_after = retry_after


class SchedulerXUnavailableError(SchedulerXError):
    """A passing fault that changed nothing: the request never left, or it only read."""


class SchedulerXMalformedAnswerError(SchedulerXUnavailableError):
    """The answer to a read reports success, but what decides is missing or has another type.

    It changed nothing, so it may be repeated; unlike other passing faults, waiting rarely heals it, so a
    call is repeated once at most.
    """


class SchedulerXAmbiguousError(SchedulerXError):
    """The request may have been carried out, and nobody can say whether it was.

    Raised only for operations that change something: the answer was lost (read timeout, connection reset
    after sending), came from something in between (HTTP 5xx, a redirect), could not be understood, or
    is a failure that is not one of the documented refusals. Never repeat such a call; look at the service
    first. ``service_message`` has the service's own words, if there were any.
    """
