"""What a try of a task leaves for the next one, in Airflow's task state store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_schedulerx import api, version_compat
from airflow_provider_schedulerx.exceptions import WorkflowInstanceUndecidedError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_schedulerx.api.runs.intents import StartIntent

#: Key in the task state store.
STATE_KEY = "schedulerx_start"


class StartRecord:
    """The start of a task instance, kept over its retries.

    Airflow 3.3 has a task state store for each task instance: that of a DAG run, a task and a map index. It
    survives retries and, unlike XCom, also **clearing** the task, after which a new run is wanted. The two are
    told apart by ``max_tries`` of the task instance: a retry leaves it as it is, clearing sets it anew, to the
    number of tries so far plus the task's retries.

    :param context: of the task.
    :param durable: False keeps nothing; so does Airflow below 3.3.
    """

    def __init__(self, context: Context, *, durable: bool, log: Any) -> None:
        ti: Any = context["ti"]
        self._store = version_compat.task_state_store(context) if durable else None
        self._max_tries: int | None = getattr(ti, "max_tries", None)
        self._try_number: int = getattr(ti, "try_number", None) or 1
        self._log = log

    @property
    def is_kept(self) -> bool:
        """Whether the next try will know what this one has done."""
        return self._store is not None

    @property
    def is_retry_in_the_dark(self) -> bool:
        """Whether there was a try before, of which nothing can be known."""
        return self._store is None and self._try_number > 1

    def load(self) -> StartIntent | None:
        """What an earlier try has left, unless the task was cleared since.

        :raises WorkflowInstanceUndecidedError: if it cannot be read.
        """
        stored = None if self._store is None else self._store.get(STATE_KEY)
        if stored is None:
            return None
        try:
            intent = api.intents.StartIntent.from_json(stored["intent"])
            before = stored["max_tries"]
        except (api.intents.MalformedIntentError, KeyError, TypeError) as error:
            raise WorkflowInstanceUndecidedError(
                f"What an earlier try of this task has stored about its run cannot be read ({error}). A run may be "
                "active, so none is started: look at the workflow's instances in the SchedulerX console, then clear "
                "the task state of the task and the task"
            ) from None
        if before != self._max_tries:
            known = (
                f"was workflow instance {intent.wf_instance_id}" if intent.wf_instance_id else "is unknown"
            )
            self._log.info("The task was cleared, so a new run is started; the run before %s", known)
            return None
        return intent

    def save(self, intent: StartIntent) -> None:
        if self._store is None:
            return
        version_compat.store_for_good(
            self._store,
            STATE_KEY,
            {"intent": intent.to_json(), "max_tries": self._max_tries, "try_number": self._try_number},
        )

    def discard(self) -> None:
        """Nothing was started."""
        if self._store is not None:
            self._store.delete(STATE_KEY)
