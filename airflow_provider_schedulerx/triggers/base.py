"""Base of the triggers that a task defers to, whatever they wait for."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from typing import Any

from airflow.triggers.base import BaseTrigger

from airflow_provider_schedulerx.api.parameters import check_seconds, check_time
from airflow_provider_schedulerx.hooks.kinds import KindMixin
from airflow_provider_schedulerx.hooks.scoped import SCOPE_ARGUMENTS, ScopedMixin, scope_arguments
from airflow_provider_schedulerx.triggers.settings import warn_of_unknown_arguments
from airflow_provider_schedulerx.version_compat import deferrals

#: Seconds between two tries to read the connection or to open a session.
_PAUSE = 5.0


class TaskTrigger(KindMixin, ScopedMixin, BaseTrigger):
    """Takes the connection, the scope within it, and the arguments below.

    Arguments are JSON, and none is a secret.

    :param poll_interval: seconds between two polls.
    :param deadline: epoch seconds at which the wait ends; None is without limit.
    :param poll_failure_tolerance: seconds for which polls may fail in a row, if the fault is transient.
    :param deferred_at: epoch seconds at which the task has deferred.
    :param others: arguments of a newer version of this provider, which are ignored with a warning.
    :raises SchedulerXConfigurationError: if an argument cannot be used, naming it.
    """

    def __init__(
        self,
        *,
        poll_interval: float = 30.0,
        deadline: float | None = None,
        poll_failure_tolerance: float = 600.0,
        deferred_at: float | None = None,
        **others: Any,
    ) -> None:
        super().__init__(**{name: others.pop(name) for name in SCOPE_ARGUMENTS if name in others})
        self.poll_interval: float = check_seconds("poll_interval", poll_interval)
        self.deadline: float | None = check_time("deadline", deadline)
        self.poll_failure_tolerance: float = check_seconds("poll_failure_tolerance", poll_failure_tolerance)
        self.deferred_at: float | None = check_time("deferred_at", deferred_at)
        self._unknown = sorted(others)

    @property
    @abstractmethod
    def own_arguments(self) -> dict[str, Any]:
        """The arguments that only this class has."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                **self.own_arguments,
                **scope_arguments(self),
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "poll_failure_tolerance": self.poll_failure_tolerance,
                "deferred_at": self.deferred_at,
            },
        )

    def _seconds_left(self) -> float | None:
        return None if self.deadline is None else max(0.0, self.deadline - time.time())

    async def _pause(self) -> None:
        """Wait before the connection is read again, until just after the deadline at most."""
        left = self._seconds_left()
        await asyncio.sleep(_PAUSE if left is None else min(_PAUSE, left + 1.0))

    def _warn_of_unknown_arguments(self) -> None:
        warn_of_unknown_arguments(self.log, self._unknown)

    async def _hold_back(self) -> None:
        """Wait until an event may come."""
        await deferrals.until_a_deferral_is_known(self.deferred_at)


def arguments_of(task: Any) -> dict[str, Any]:
    """Return the arguments that a trigger takes over from the operator or sensor that is about to defer to it."""
    return {
        **scope_arguments(task),
        "poll_failure_tolerance": task.poll_failure_tolerance,
        "deferred_at": time.time(),
    }
