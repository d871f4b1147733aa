"""What one poke found out, for the next one: in mode ``reschedule`` each is a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_schedulerx.version_compat import stores

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_KEY = "schedulerx_sensor"


class PokeMemory:
    """The ids that the pokes of one try have found, so that each is looked up once.

    Airflow clears XComs before each poke, so they are in the task state store. Below Airflow 3.3 there is none, and
    each poke begins anew; so does one that cannot reach the store.

    :param asked: what the ids are the answer to. That of other questions, and of other tries, is not used.
    :ivar definition_id: of the workflow or job, once it was found.
    :ivar instance_id: of its run, likewise.
    """

    def __init__(self, context: Context, asked: Sequence[Any], log: Any) -> None:
        self._store = stores.task_state_store(context)
        self._log = log
        self._asked = [getattr(context["ti"], "try_number", None), *asked]
        self.definition_id: int | None = None
        self.instance_id: int | None = None
        self._load()

    def save(self, definition_id: int, instance_id: int | None = None) -> None:
        """Keep what was found, if that is new. Never raises."""
        if self._store is None or (definition_id, instance_id) == (self.definition_id, self.instance_id):
            return
        self.definition_id, self.instance_id = definition_id, instance_id
        try:
            self._store.set(_KEY, {"asked": self._asked, "found": [definition_id, instance_id]})
        except Exception as error:
            self._log.info("What was found could not be kept: %s: %s", type(error).__name__, error)

    def _load(self) -> None:
        if self._store is None:
            return
        try:
            kept = self._store.get(_KEY)
        except Exception as error:
            self._log.info("What was found before could not be read: %s: %s", type(error).__name__, error)
            return
        if isinstance(kept, dict) and kept.get("asked") == self._asked:
            self.definition_id, self.instance_id = kept["found"]
