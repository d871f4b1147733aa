"""Repeats calls within a time limit of the caller, who also sleeps: for a task that can run out of time or be killed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow_provider_schedulerx import api

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.wire.calls import Call

T = TypeVar("T")


class Transport(Protocol):
    """What carries out calls."""

    def perform(self, call: Call[T]) -> T:
        """Carry out a call. :raises SchedulerXError: if it failed."""
        ...


class BoundTransport:
    """Carries out calls by another transport, with the policy of :mod:`~airflow_provider_schedulerx.api.wire.retrying`.

    :param once: makes one try of a call.
    :param left: gives the seconds that are left.
    :param sleep: waits for so many seconds between two tries.
    """

    def __init__(self, once: Transport, left: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._once = once
        self._left = left
        self._sleep = sleep

    def perform(self, call: Call[T]) -> T:
        """Carry out a call; no try begins after the time is up, but one is always made."""
        import tenacity

        seconds = min(api.retrying.MAX_RETRY_SECONDS, max(0.0, self._left()))
        policy: dict[str, Any] = api.retrying.policy(seconds)
        result: T = tenacity.Retrying(**policy, sleep=self._sleep)(self._once.perform, call)
        return result
