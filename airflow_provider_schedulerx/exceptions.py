"""Every error this provider raises.

Those of the service itself (``SchedulerX...``) say what went wrong with a call; those below say
how a task ends, and whether Airflow may retry it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAmbiguousError,
    SchedulerXAuthenticationError,
    SchedulerXAuthorizationError,
    SchedulerXConfigurationError,
    SchedulerXError,
    SchedulerXForeignGroupError,
    SchedulerXMalformedAnswerError,
    SchedulerXNotFoundError,
    SchedulerXRejectedError,
    SchedulerXSameSecondError,
    SchedulerXThrottledError,
    SchedulerXUnavailableError,
)

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.kinds import Run

__all__ = [
    "ArgumentError",
    "RunAlreadyActiveError",
    "RunFailedError",
    "RunLostError",
    "RunNotFollowableError",
    "RunNotStartableError",
    "RunNotStartedError",
    "RunSensorError",
    "RunStoppedError",
    "RunUndecidedError",
    "SchedulerXAmbiguousError",
    "SchedulerXAuthenticationError",
    "SchedulerXAuthorizationError",
    "SchedulerXConfigurationError",
    "SchedulerXError",
    "SchedulerXForeignGroupError",
    "SchedulerXMalformedAnswerError",
    "SchedulerXNotFoundError",
    "SchedulerXRejectedError",
    "SchedulerXSameSecondError",
    "SchedulerXThrottledError",
    "SchedulerXUnavailableError",
    "raise_unless_successful",
]


class ArgumentError(SchedulerXConfigurationError, AirflowFailException):
    """An argument of an operator or a sensor cannot be used. It fails the DAG file or, if the argument is mapped, the
    task, without a retry, which would be given the same argument.
    """


class RunFailedError(AirflowException):
    """The run ended and failed. A retry of the task starts a new run."""


class RunStoppedError(AirflowException):
    """Waiting ended before the run did, and the run was stopped. A retry of the task starts a new run."""


class RunSensorError(AirflowException):
    """A sensor can no longer follow a run. A retry of the sensor looks again, and starts nothing."""


class RunNotFollowableError(RunSensorError, AirflowFailException):
    """A sensor cannot follow a run, and no retry can change that: a field of the connection or an argument is wrong,
    or the service does not know the run. Airflow does not retry the task.
    """


class RunLostError(AirflowException):
    """A run may be active, and this try cannot follow it to its end. A retry picks it up, and starts none
    beside it.
    """


class RunNotStartedError(AirflowException):
    """The service did not start a run. A retry of the task may."""


class RunAlreadyActiveError(AirflowException):
    """There is an active run already, and ``if_running`` is ``fail``. Nothing was started."""


class RunUndecidedError(AirflowFailException):
    """A run may exist and be active, and nobody but a person can tell how it ends.

    Airflow does not retry the task, because a retry could start a second run beside it.
    """


class RunNotStartableError(AirflowFailException):
    """Nothing was started, and no retry can change that: a field of the connection or an argument is wrong, or there
    is nothing with such an id. Airflow does not retry the task.
    """


def raise_unless_successful(run: Run) -> None:
    """Decide by a run that has ended; operators and sensors, deferred or not, all do it here.

    :raises RunFailedError: naming the bad nodes.
    """
    if not run.status.is_success:
        raise RunFailedError(api.tracking.failure_message(run))
