"""Faults on demand, quota and counters: what tests ask of the emulator besides being right."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_schedulerx.emulator.authentication import GatewayError
from airflow_provider_schedulerx.emulator.profile import Profile

EFFECTS = ("delay", "drop", "truncate", "error", "throttle")


_OPTIONAL_TEXT = (str, type(None))
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "operation": str,
    "effect": str,
    "when": str,
    "count": int,
    "skip": int,
    "seconds": (int, float),
    "status": int,
    "code": str,
    "message": str,
    "body": _OPTIONAL_TEXT,
    "retry_after_ms": (int, type(None)),
    "parameters": _OPTIONAL_TEXT,
}


@dataclass
class Fault:
    """Something that goes wrong.

    :ivar operation: API operation, or ``*``.
    :ivar effect: ``delay`` by ``seconds``; ``drop`` the connection; ``truncate`` the body of the
        answer; ``error``: answer ``status`` with ``body``, or ``code`` and ``message``; ``throttle``.
    :ivar when: ``before`` or ``after`` the request is carried out. A truncated answer is always
        after, a throttled request never carried out.
    :ivar count: how often it still happens.
    :ivar skip: how many calls pass before that.
    :ivar parameters: only calls whose ``InstanceParameters`` contain this text; None means all.
    :ivar retry_after_ms: for ``throttle``: value of ``x-acs-retry-after``; None leaves it out.
    """

    operation: str
    effect: str
    when: str = "before"
    count: int = 1
    skip: int = 0
    seconds: float = 0.0
    status: int = 502
    code: str = "ServiceUnavailable"
    message: str = "The request has failed due to a temporary failure of the server."
    body: str | None = None
    retry_after_ms: int | None = None
    parameters: str | None = None

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            value = getattr(self, name)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ValueError(f"{name}: {value!r} is of the wrong type")
        if not 100 <= self.status <= 599 or self.seconds < 0:
            raise ValueError("status must be one of HTTP, and seconds not negative")
        if self.effect not in EFFECTS:
            raise ValueError(f"effect must be one of {', '.join(EFFECTS)}")
        if self.when not in ("before", "after"):
            raise ValueError("when must be before or after")
        if self.effect == "truncate":
            self.when = "after"
        if self.effect == "throttle":
            self.when = "before"


class Faults:
    """The faults that are still to come, in the order in which they were asked for."""

    def __init__(self) -> None:
        self.pending: list[Fault] = []

    def take(self, operation: str, parameters: str | None = None) -> Fault | None:
        """The fault, if any, that this call of an operation meets."""
        for fault in self.pending:
            if fault.operation not in (operation, "*"):
                continue
            if fault.parameters is not None and fault.parameters not in (parameters or ""):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.count -= 1
            if fault.count <= 0:
                self.pending.remove(fault)
            return fault
        return None

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in self.pending]


class Quota:
    """Calls a minute per operation and account (API page "OpenAPI issues": 100).

    How the service counts is not documented; here any 60 seconds count.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._calls: dict[tuple[str, str], deque[float]] = defaultdict(deque)

    def clear(self) -> None:
        self._calls.clear()

    def use(self, account: str, operation: str) -> None:
        """:raises GatewayError: if the quota is used up."""
        now = self._clock()
        calls = self._calls[account, operation]
        while calls and calls[0] <= now - 60:
            calls.popleft()
        if len(calls) >= self.per_minute:
            free_at = calls[0] + 60 if calls else now + 60
            raise Throttled(round((free_at - now) * 1000))
        calls.append(now)


class Throttled(GatewayError):
    """:param retry_after_ms: milliseconds after which to come back; None if nobody knows."""

    def __init__(self, retry_after_ms: int | None) -> None:
        headers = {} if retry_after_ms is None else {"x-acs-retry-after": str(max(1, retry_after_ms))}
        super().__init__(400, "Throttling.User", "Request was denied due to user flow control.", headers)

    def shaped(self, profile: Profile) -> GatewayError:
        """The same as the profile has it."""
        self.status: int = int(profile["throttling"])
        if profile["retry_after"] == "absent":
            self.headers.clear()
        return self


class Counters:
    """Calls by operation, and how they ended: ``ok``, ``refused`` or the gateway's code."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.calls: Counter[str] = Counter()
        self.outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        self.busiest_minute: Counter[str] = Counter()
        self._recent: dict[str, deque[float]] = defaultdict(deque)

    def clear(self) -> None:
        for counted in (self.calls, self.outcomes, self.busiest_minute, self._recent):
            counted.clear()

    def count(self, operation: str, outcome: str) -> None:
        self.calls[operation] += 1
        self.outcomes[operation][outcome] += 1
        now = self._clock()
        recent = self._recent[operation]
        recent.append(now)
        while recent[0] <= now - 60:
            recent.popleft()
        self.busiest_minute[operation] = max(self.busiest_minute[operation], len(recent))
