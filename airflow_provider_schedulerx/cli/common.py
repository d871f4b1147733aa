"""What the commands share: the hook that their arguments lead to, and how they end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.kinds import RunKind
    from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook

T = TypeVar("T")


def hook_of(args: Any) -> SchedulerXHook:
    """Make the hook for the connection and the scope of the arguments."""
    # As Airflow's own commands do: connections may be in its database.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
    from airflow_provider_schedulerx.version_compat import connections

    connections.quote_no_connection()
    return SchedulerXHook.from_task(args)


def definition_id(hook: SchedulerXHook, kind: RunKind, given: str) -> int:
    """Return the id of a workflow or job that is given by its id or by its exact name.

    :raises SchedulerXError: if it cannot be found.
    """
    if given.isascii() and given.isdecimal():
        from airflow_provider_schedulerx.api.parameters import check_id

        return check_id(kind.definition_argument, given)
    return hook.find_definition(kind, given)


def show(text: str) -> None:
    """Print a text; what the terminal's encoding lacks, as escapes."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))  # noqa: T201


def fail(message: str, status: int = 1) -> NoReturn:
    """End the command with a line on standard error."""
    print(message, file=sys.stderr)  # noqa: T201
    raise SystemExit(status)


def result_of(call: Callable[[], T]) -> T:
    """Return what a call returns; if it fails, end the command with a line that says why."""
    from airflow.providers.common.compat.sdk import AirflowException

    from airflow_provider_schedulerx.api.exceptions import SchedulerXError

    try:
        return call()
    except (SchedulerXError, AirflowException) as error:
        fail(str(error))
    except Exception as error:
        # A connection that Airflow cannot parse, say. The text may quote it, and that holds secrets.
        fail(
            f"{type(error).__name__}; `airflow schedulerx doctor CONN_ID` says what is wrong with the connection"
        )
