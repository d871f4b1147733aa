"""What triggers share. Above all, the connection as they read it: one lookup for all that ask within some seconds.

A triggerer that restarts asks for the same connection a thousand times at once, and so do a thousand triggers whose
key was rotated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAuthenticationError,
    SchedulerXError,
    SchedulerXUnavailableError,
)
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.hooks.scoped import scope_arguments
from airflow_provider_schedulerx.triggers.sharing import shared

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings

#: Seconds for which a lookup is shared. An edited connection is seen after them.
_SHARED_SECONDS = 5.0


async def read_settings(trigger: Any) -> SchedulerXSettings:
    """Read the connection of a trigger, as it is now.

    :raises SchedulerXConfigurationError: naming the field that is wrong, and the remedy.
    :raises SchedulerXUnavailableError: if the lookup fails, which may pass: a secrets backend that is away often
        shows as a connection that does not exist.
    """
    key = ("connection", *scope_arguments(trigger).values())
    try:
        return await shared(
            key, _SHARED_SECONDS, SchedulerXHook.from_task(trigger).aget_settings, keeps_faults=True
        )
    except SchedulerXError:
        raise
    except Exception as error:
        raise SchedulerXUnavailableError(
            f"connection {trigger.schedulerx_conn_id!r} could not be read: {type(error).__name__}: {error}"
        ) from None


async def has_changed(trigger: Any, settings: SchedulerXSettings) -> bool:
    """Return whether the connection of a trigger differs from these settings now, as after its key was rotated."""
    try:
        return await read_settings(trigger) != settings
    except SchedulerXError as error:
        trigger.log.warning("%s", error)
        return False


def as_passing(error: SchedulerXError) -> SchedulerXError:
    """A key that is not accepted may have been rotated: the connection is read again, and may have the new one soon."""
    if isinstance(error, SchedulerXAuthenticationError):
        return SchedulerXUnavailableError(error.message, operation=error.operation, code=error.code)
    return error


def warn_of_unknown_arguments(log: Any, names: Sequence[str]) -> None:
    """Say that a task of a newer version has deferred to a triggerer of this one."""
    if names:
        log.warning(
            "Arguments of a newer version of this provider are ignored: %s. Upgrade the triggerer",
            ", ".join(names),
        )
