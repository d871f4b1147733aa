"""Every error this provider raises.

Those of the service itself (``SchedulerX...``) say what went wrong with a call; those below say
how a task ends, and whether Airflow may retry it.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAmbiguousError,
    SchedulerXAuthenticationError,
    SchedulerXAuthorizationError,
    SchedulerXConfigurationError,
    SchedulerXError,
    SchedulerXForeignGroupError,
    SchedulerXNotFoundError,
    SchedulerXRejectedError,
    SchedulerXThrottledError,
    SchedulerXUnavailableError,
)

__all__ = [
    "SchedulerXAmbiguousError",
    "SchedulerXAuthenticationError",
    "SchedulerXAuthorizationError",
    "SchedulerXConfigurationError",
    "SchedulerXError",
    "SchedulerXForeignGroupError",
    "SchedulerXNotFoundError",
    "SchedulerXRejectedError",
    "SchedulerXThrottledError",
    "SchedulerXUnavailableError",
    "WorkflowInstanceFailedError",
    "WorkflowInstanceStoppedError",
    "WorkflowInstanceUndecidedError",
]


class WorkflowInstanceFailedError(AirflowException):
    """The run ended and failed. A retry of the task starts a new run."""


class WorkflowInstanceStoppedError(AirflowException):
    """Waiting ended before the run did, and the run was stopped. A retry of the task starts a new run."""


class WorkflowInstanceUndecidedError(AirflowFailException):
    """A run may exist and be active, and this task cannot know how it ends.

    Airflow does not retry the task, because a retry would start a second run beside it.
    """
