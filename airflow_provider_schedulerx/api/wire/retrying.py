"""When a call is made again: only after an error whose class says that this is safe.

:class:`SchedulerXThrottledError` and :class:`SchedulerXUnavailableError` are raised only where the
call surely changed nothing, so one policy serves reads and starts alike, and an ambiguous start is
never repeated.
"""

from __future__ import annotations

import random
from typing import Any

import tenacity
from tenacity.stop import stop_base

from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXMalformedAnswerError,
    SchedulerXThrottledError,
    SchedulerXUnavailableError,
)

#: Seconds after which a call that is still refused gives up: longer than the quota's window of a minute.
MAX_RETRY_SECONDS = 150.0
#: Tries of a call that meets passing faults.
MAX_TRIES_UNAVAILABLE = 5
#: Tries of a read whose answer cannot be understood: waiting does not heal that.
MAX_TRIES_MALFORMED = 2

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 20.0


def policy(max_seconds: float = MAX_RETRY_SECONDS) -> dict[str, Any]:
    """Arguments for :class:`tenacity.Retrying` or :class:`tenacity.AsyncRetrying`.

    :param max_seconds: no new try begins later than this; 0 means one try.
    """
    return {
        "retry": tenacity.retry_if_exception_type((SchedulerXThrottledError, SchedulerXUnavailableError)),
        "wait": _wait,
        "stop": tenacity.stop_before_delay(max_seconds) | _StopUnavailable(),
        "reraise": True,
    }


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _wait(state: tenacity.RetryCallState) -> float:
    """Seconds: twice as long each time, at least what the service asked for, never all at once."""
    ceiling = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (state.attempt_number - 1))
    jittered: float = ceiling * random.uniform(0.5, 1.0)  # noqa: S311
    error = _error(state)
    if isinstance(error, SchedulerXThrottledError) and error.retry_after is not None:
        return float(error.retry_after) + jittered
    return jittered


class _StopUnavailable(stop_base):
    """Throttling passes within a minute, so only other faults have a bound on tries."""

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        error = _error(retry_state)
        if isinstance(error, SchedulerXMalformedAnswerError):
            return retry_state.attempt_number >= MAX_TRIES_MALFORMED
        unavailable = isinstance(error, SchedulerXUnavailableError)
        return unavailable and retry_state.attempt_number >= MAX_TRIES_UNAVAILABLE
