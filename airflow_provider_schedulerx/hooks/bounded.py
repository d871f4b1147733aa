"""Repeats calls within the caller's time limit and with its sleep: for a task that can run out of time or be killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import SchedulerXError

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.wire.calls import Call

T = TypeVar("T")


class Transport(Protocol):
    """What carries out calls."""

    def perform(self, call: Call[T]) -> T:
        """Carry out a call.

        :raises SchedulerXError: if it failed.
        """
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
        began = time.monotonic()
        max_seconds = min(api.retrying.MAX_RETRY_SECONDS, max(0.0, self._left()))
        tries = 1
        while True:
            try:
                return self._once.perform(call)
            except SchedulerXError as error:
                pause = api.retrying.pause_before_retry(error, tries, time.monotonic() - began, max_seconds)
                if pause is None:
                    raise
            self._sleep(pause)
            tries += 1
