"""Connections: looked up in an event loop, and kept out of logs."""

from __future__ import annotations

import contextlib
import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection


# 3.3.2: a connection can be looked up in an event loop. Before, that masks its secrets with a blocking call to the
# supervisor, which Airflow refuses when another call is under way; so it is done in a thread.


async def aget_connection(conn_id: str) -> tuple[Connection, dict[str, Any]]:
    """Look up a connection and its extra without blocking the event loop.

    ``common-compat`` has the same from 1.21 on, which is newer than what the constraints of Airflow 3.3.2 hold.
    """
    from airflow.providers.common.compat.sdk import BaseHook, Connection

    if hasattr(Connection, "aextra_dejson"):
        connection = await BaseHook.aget_connection(conn_id)
        return connection, await connection.aextra_dejson()

    from asgiref.sync import sync_to_async

    def look_up() -> tuple[Connection, dict[str, Any]]:
        found = BaseHook.get_connection(conn_id)
        return found, found.extra_dejson

    return await sync_to_async(look_up)()


# What keeps secrets out of logs was moved in 3.0 and in 3.1.
_MASKERS = (
    "airflow.sdk.log",
    "airflow.sdk.execution_time.secrets_masker",
    "airflow.utils.log.secrets_masker",
)


def mask_secret(secret: str) -> None:
    """Keep a text out of all logs. ``common-compat`` has the same from 1.22 on."""
    _masker("mask_secret")(secret)


async def amask_secret(secret: str) -> None:
    """Keep a text out of all logs, without blocking the event loop: Airflow 3 tells its supervisor, too."""
    try:
        mask = _masker("amask_secret")
    except ImportError:
        from asgiref.sync import sync_to_async

        await sync_to_async(mask_secret)(secret)
    else:
        await mask(secret)


def _masker(function: str) -> Any:
    for name in _MASKERS:
        with contextlib.suppress(ImportError, AttributeError):
            return getattr(importlib.import_module(name), function)
    raise ImportError(f"no {function} in {', '.join(_MASKERS)}")


# 3.0: a connection that Airflow cannot parse is not logged. In 2.11 it is, with a traceback that may quote its password.


class _WithoutTraceback(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        return True


_WITHOUT_TRACEBACK = _WithoutTraceback()


def quote_no_connection() -> None:
    """Keep what a connection holds out of what this process prints if Airflow cannot parse it."""
    logging.getLogger("airflow.models.connection").addFilter(_WITHOUT_TRACEBACK)
