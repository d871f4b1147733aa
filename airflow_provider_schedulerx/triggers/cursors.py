"""What a watcher of ends knows, kept in the state store of its assets (Airflow 3.3), so that its successor resumes there.

Airflow does not tell a trigger that its event was stored. So our listener
(:mod:`airflow_provider_schedulerx.plugins.event_listener`) records it in the transaction that stores the event:
either both are there or neither is, whenever the triggerer is killed.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from operator import itemgetter
from typing import Any

from airflow_provider_schedulerx.api.runs.ends import Cursor, delivered_key
from airflow_provider_schedulerx.version_compat import stores


class CursorStore:
    """The cursor of one watcher.

    :param trigger: has the stores.
    :param watcher: tells watchers of one asset apart.
    :param source: where the workflow is and which it is. A cursor of another one is not used.
    """

    def __init__(self, trigger: Any, watcher: str, source: str) -> None:
        self._stores = stores.asset_state_stores(trigger)
        self._watcher = watcher
        self._source = source
        self._saved: Cursor | None = None
        self._token = uuid.uuid4().hex

    @property
    def is_durable(self) -> bool:
        """Whether there is a store at all."""
        return bool(self._stores)

    async def load(self) -> Cursor | None:
        """Return what a predecessor saved last; None if nothing was."""
        found = [await store.aget(self._key) for store in self._stores]
        cursors = [
            (data.get("saved_at", 0.0), cursor)
            for data in found
            if isinstance(data, dict) and data.get("source") == self._source
            if (cursor := Cursor.from_data(data.get("cursor"))) is not None
        ]
        # An asset that was not watched for a while has an older cursor, or none.
        _, self._saved = max(cursors, key=itemgetter(0), default=(0.0, None))
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
        """Keep a cursor, if it is new.

        :raises Exception: if no store takes it. One that does not, while another does, may be of an asset that no DAG uses any
            more: that must not hold up the others.
        """
        if cursor == self._saved:
            return
        await self._set(
            self._key, {"source": self._source, "saved_at": time.time(), "cursor": cursor.to_data()}
        )
        self._saved = cursor

    async def take(self) -> None:
        """Note that this is the one that watches.

        :raises Exception: if no store takes it.
        """
        await self._set(self._taken_key, self._token)

    async def is_taken(self) -> bool:
        """Whether another triggerer has begun to watch since: Airflow has given the trigger to it."""
        tokens = [await store.aget(self._taken_key) for store in self._stores]
        return any(token not in (None, self._token) for token in tokens)

    async def _set(self, key: str, data: Any) -> None:
        faults = []
        for store in self._stores:
            try:
                await store.aset(key, data)
            except Exception as fault:
                faults.append(fault)
        if faults and len(faults) == len(self._stores):
            raise faults[0]

    @property
    def _key(self) -> str:
        return f"schedulerx.cursor.{self._watcher}"

    @property
    def _taken_key(self) -> str:
        return f"schedulerx.taken.{self._watcher}"


def source_of(parts: Iterable[Any]) -> str:
    """Return one text for where a workflow is and which it is."""
    return "/".join("" if part is None else str(part) for part in parts)
