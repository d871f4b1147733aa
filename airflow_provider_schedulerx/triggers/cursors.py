"""What a watcher of ends knows, kept in the state store of its assets (Airflow 3.3), so that its successor resumes there.

Airflow does not tell a trigger that its event was stored. So our listener
(:mod:`airflow_provider_schedulerx.plugins.event_listener`) records it in the transaction that stores the event:
either both are there or neither is, whenever the triggerer is killed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_provider_schedulerx import version_compat
from airflow_provider_schedulerx.api.runs.ends import Cursor, delivered_key


class CursorStore:
    """The cursor of one watcher.

    :param trigger: has the stores.
    :param watcher: tells watchers of one asset apart.
    :param source: where the workflow is and which it is. A cursor of another one is not used.
    """

    def __init__(self, trigger: Any, watcher: str, source: str) -> None:
        self._stores = version_compat.asset_state_stores(trigger)
        self._watcher = watcher
        self._source = source
        self._saved: Cursor | None = None

    @property
    def is_durable(self) -> bool:
        """Whether there is a store at all."""
        return bool(self._stores)

    async def load(self) -> Cursor | None:
        """Return what any predecessor saved; None if nothing was."""
        found = [await store.aget(self._key) for store in self._stores]
        cursors = [
            cursor
            for data in found
            if isinstance(data, dict) and data.get("source") == self._source
            if (cursor := Cursor.from_data(data.get("cursor"))) is not None
        ]
        # An asset that has come to watch later has an older cursor, or none.
        self._saved = max(cursors, key=lambda cursor: len(cursor.settled) + len(cursor.pending), default=None)
        return self._saved

    async def delivered(self) -> dict[int, str]:
        """Return the runs of which an event was stored, with the mark of the last such end."""
        found: dict[int, str] = {}
        for store in self._stores:
            data = await store.aget(delivered_key(self._watcher))
            for item in data if isinstance(data, list) else ():
                if isinstance(item, list) and list(map(type, item)) == [int, str]:
                    found[item[0]] = item[1]
        return found

    async def save(self, cursor: Cursor) -> None:
        """Keep a cursor, if it is new."""
        if cursor == self._saved:
            return
        data = {"source": self._source, "cursor": cursor.to_data()}
        for store in self._stores:
            await store.aset(self._key, data)
        self._saved = cursor

    @property
    def _key(self) -> str:
        return f"schedulerx.cursor.{self._watcher}"


def source_of(parts: Iterable[Any]) -> str:
    """Return one text for where a workflow is and which it is."""
    return "/".join("" if part is None else str(part) for part in parts)
