"""When a call is made again: only after an error whose class says that this is safe.

:class:`SchedulerXThrottledError` and :class:`SchedulerXUnavailableError` are raised only where the
call changed nothing, so one policy serves reads and starts alike, and an ambiguous start is never
repeated. No clock and no network: the transports do what :func:`pause_before_retry` says.
"""

from __future__ import annotations

import random

from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXError,
    SchedulerXMalformedAnswerError,
    SchedulerXThrottledError,
    SchedulerXUnavailableError,
)

#: Seconds after which a call that is still refused gives up: longer than the quota's window of a minute.
MAX_RETRY_SECONDS = 150.0
#: Tries of a call that meets passing faults. Throttling passes within a minute, so it has no such bound.
MAX_TRIES_UNAVAILABLE = 5
#: Tries of a read whose answer cannot be understood: waiting does not heal that.
MAX_TRIES_MALFORMED = 2

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 20.0


def pause_before_retry(
    error: SchedulerXError, tries: int, elapsed: float, max_seconds: float
) -> float | None:
    """Say how long to wait before a call is made again.

    :param error: what the last try met.
    :param tries: how many were made.
    :param elapsed: seconds since the first one began.
    :param max_seconds: seconds after which no further try begins; 0 means one try.
    :return: seconds: twice as long each time, at least what the service asked for, never the same for all.
        None to give up.
    """
    if tries >= _most_tries(error):
        return None
    ceiling = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(tries - 1, 20))
    pause: float = ceiling * random.uniform(0.5, 1.0)  # noqa: S311
    if isinstance(error, SchedulerXThrottledError) and error.retry_after is not None:
        pause += error.retry_after
    return pause if elapsed + pause < max_seconds else None


def _most_tries(error: SchedulerXError) -> float:
    if isinstance(error, SchedulerXThrottledError):
        return float("inf")
    if isinstance(error, SchedulerXMalformedAnswerError):
        return MAX_TRIES_MALFORMED
    return MAX_TRIES_UNAVAILABLE if isinstance(error, SchedulerXUnavailableError) else 1
