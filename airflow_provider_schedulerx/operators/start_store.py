"""What a try of a task leaves for the next one, in Airflow's task state store."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.exceptions import RunUndecidedError
from airflow_provider_schedulerx.version_compat import stores

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_schedulerx.api.runs.intents import StartIntent

#: Key in the task state store.
STATE_KEY = "schedulerx_start"


class StoredStart(NamedTuple):
    """:ivar was_cleared: whether the task was cleared since, so that another run is wanted."""

    intent: StartIntent
    was_cleared: bool


class StartStore:
    """The start of a task instance, kept over its retries.

    Airflow 3.3 has a task state store for each task instance: that of a DAG run, a task and a map index. It
    survives retries and, unlike XCom, also **clearing** the task, after which a new run is wanted. The two are
    told apart by ``max_tries`` of the task instance: a retry leaves it as it is, clearing sets it anew, to the
    number of tries so far plus the task's retries.

    :param context: of the task.
    :param durable: False keeps nothing; so does Airflow below 3.3.
    :param log: a logger.
    """

    def __init__(self, context: Context, *, durable: bool, log: Any) -> None:
        ti: Any = context["ti"]
        self._store = stores.task_state_store(context) if durable else None
        self._max_tries: int | None = getattr(ti, "max_tries", None)
        self._try_number: int = getattr(ti, "try_number", None) or 1
        self._log = log

    @property
    def is_kept(self) -> bool:
        """Whether the next try will know what this one has done."""
        return self._store is not None

    def load(self) -> StoredStart | None:
        """Return what an earlier try has left.

        :raises RunUndecidedError: if it cannot be read.
        """
        stored = None if self._store is None else self._store.get(STATE_KEY)
        if stored is None:
            return None
        try:
            intent = api.intents.StartIntent.from_json(stored["intent"])
            _ = api.kinds.kind_named(intent.kind)
            max_tries = stored["max_tries"]
        except (api.intents.MalformedIntentError, KeyError, TypeError) as error:
            raise RunUndecidedError(
                f"What an earlier try of this task stored about its run cannot be read ({error}). A run may be "
                "active, so none is started: look at its instances in the SchedulerX console, then clear the "
                "task's stored state, and the task"
            ) from None
        return StoredStart(intent, was_cleared=max_tries != self._max_tries)

    def save(self, intent: StartIntent, *, of_this_life: bool = True) -> None:
        """Write down a start. Airflow refuses this if the try is no longer the current one.

        :param of_this_life: False for a start from before the task was cleared, which remains one.
        """
        if self._store is None:
            return
        stores.store_for_good(
            self._store,
            STATE_KEY,
            {
                "intent": intent.to_json(),
                "max_tries": self._max_tries if of_this_life else None,
                "try_number": self._try_number,
            },
        )

    def keep(self, intent: StartIntent) -> None:
        """Write down which run it is. Never raises: this try knows it anyway, and its start is written down."""
        try:
            self.save(intent)
        except Exception as error:
            self._log.warning(
                "Instance %s could not be written to the task state store (%s: %s); a retry would look for it",
                intent.instance_id,
                type(error).__name__,
                error,
            )

    def is_current(self) -> bool:
        """Whether this try, which has written down a start, is the task's current one. In doubt it is.

        Airflow gives a task to another try if its worker was frozen for too long, say. To the one before, it then shows
        nothing of the store.
        """
        if self._store is None:
            return True
        try:
            # Twice: if Airflow's timeout struck while an answer was awaited, that comes as the answer to the next question.
            return any(self._store.get(STATE_KEY) is not None for _ in range(2))
        except Exception:
            return True

    def discard(self) -> None:
        """Forget the start: nothing was started."""
        if self._store is not None:
            self._store.delete(STATE_KEY)

    def mark_over(self, instance_id: int) -> None:
        """Note that the task has stopped a run and seen its end, whatever status it shows. Never raises."""
        with contextlib.suppress(Exception):
            stored = self.load()
            if stored and not stored.was_cleared and stored.intent.instance_id == instance_id:
                self.save(replace(stored.intent, is_over=True))
