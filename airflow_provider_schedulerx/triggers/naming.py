"""Find the workflow or job that has a name, where a worker could not at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Self

from airflow.triggers.base import TriggerEvent

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import SchedulerXError, SchedulerXNotFoundError
from airflow_provider_schedulerx.api.parameters import check_name
from airflow_provider_schedulerx.hooks.report import FaultLog
from airflow_provider_schedulerx.triggers import definitions
from airflow_provider_schedulerx.triggers.base import TaskTrigger, arguments_of
from airflow_provider_schedulerx.triggers.settings import as_passing, read_settings

#: Seconds between two tries, at least.
_PAUSE = 5.0


class DefinitionTrigger(TaskTrigger):
    """Look a name up until that succeeds, and fire one event: the id, or why there is none.

    :param kind_name: name of the kind of run.
    :param name: of the workflow or job.
    :param others: see :class:`~airflow_provider_schedulerx.triggers.base.TaskTrigger`.
    """

    def __init__(self, *, kind_name: str, name: str, **others: Any) -> None:
        super().__init__(**others)
        self.kind_name = kind_name
        self.name: str = check_name(self.kind.name_argument, name)

    @classmethod
    def from_task(cls, task: Any, *, name: str, deadline: float) -> Self:
        """Return the trigger of a sensor that is about to defer."""
        return cls(
            kind_name=task.kind.name,
            name=name,
            deadline=deadline,
            poll_interval=max(_PAUSE, float(task.poke_interval)),
            **arguments_of(task),
        )

    @property
    def own_arguments(self) -> dict[str, Any]:
        """What is looked up."""
        return {"kind_name": self.kind_name, "name": self.name}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look the name up, and yield exactly one event."""
        self._warn_of_unknown_arguments()
        definition_id: int | None = None
        message = "time was up"
        try:
            async with asyncio.timeout(self._seconds_left()):
                definition_id, message = await self._find()
        except TimeoutError:
            pass
        await self._hold_back()
        payload = {"version": 1, "definition_id": definition_id, "message": message}
        yield TriggerEvent(payload)  # type: ignore[no-untyped-call]

    async def _find(self) -> tuple[int | None, str]:
        tracker = api.tracking.RunTracker(self.poll_failure_tolerance)
        faults = FaultLog(self.log, f"the {self.kind.definition_noun} named {self.name!r}")
        while True:
            try:
                settings = await read_settings(self)
                return await definitions.find_definition(settings, self.kind, self.name), ""
            except SchedulerXError as error:
                # A name that nothing has is not awaited.
                final = isinstance(error, SchedulerXNotFoundError)
                if final or not tracker.observe_failure(as_passing(error), time.monotonic()):
                    return None, str(error)
                faults.failed(error)
            await asyncio.sleep(self.poll_interval)
