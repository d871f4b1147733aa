"""Find the workflow or job that has a name, where a worker could not at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Self

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import SchedulerXError, SchedulerXNotFoundError
from airflow_provider_schedulerx.api.parameters import check_name, check_seconds
from airflow_provider_schedulerx.hooks.report import FaultLog
from airflow_provider_schedulerx.hooks.scoped import SCOPE_ARGUMENTS, ScopedMixin, scope_arguments
from airflow_provider_schedulerx.triggers import definitions
from airflow_provider_schedulerx.triggers.settings import (
    as_passing,
    read_settings,
    warn_of_unknown_arguments,
)
from airflow_provider_schedulerx.version_compat import deferrals

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.kinds import RunKind

#: Seconds between two tries, at least.
_PAUSE = 5.0


class DefinitionTrigger(ScopedMixin, BaseTrigger):
    """Look a name up until that succeeds, and fire one event: the id, or why there is none.

    :param kind_name: name of the kind of run.
    :param name: of the workflow or job.
    :param poll_interval: seconds between two tries.
    :param deadline: epoch seconds at which the wait ends.
    :param poll_failure_tolerance: seconds for which lookups may fail, if the fault is a passing one.
    :param deferred_at: epoch seconds at which the task has deferred.
    :param others: arguments of a newer version of this provider, which are ignored with a warning.
    """

    def __init__(
        self,
        *,
        kind_name: str,
        name: str,
        deadline: float,
        poll_interval: float = 30.0,
        poll_failure_tolerance: float = 600.0,
        deferred_at: float | None = None,
        **others: Any,
    ) -> None:
        super().__init__(**{name: others.pop(name) for name in SCOPE_ARGUMENTS if name in others})
        self.kind_name = kind_name
        self.name: str = check_name(self.kind.name_argument, name)
        self.deadline = deadline
        self.poll_interval: float = check_seconds("poll_interval", poll_interval)
        self.poll_failure_tolerance: float = check_seconds("poll_failure_tolerance", poll_failure_tolerance)
        self.deferred_at = deferred_at
        self._unknown = sorted(others)

    @classmethod
    def from_task(cls, task: Any, *, name: str, deadline: float) -> Self:
        """Return the trigger of a sensor that is about to defer."""
        return cls(
            kind_name=task.kind.name,
            name=name,
            deadline=deadline,
            poll_interval=max(_PAUSE, float(task.poke_interval)),
            poll_failure_tolerance=task.poll_failure_tolerance,
            deferred_at=time.time(),
            **scope_arguments(task),
        )

    @property
    def kind(self) -> RunKind:
        """Whether this looks for a workflow or a job."""
        return api.kinds.kind_named(self.kind_name)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "kind_name": self.kind_name,
                "name": self.name,
                **scope_arguments(self),
                "deadline": self.deadline,
                "poll_interval": self.poll_interval,
                "poll_failure_tolerance": self.poll_failure_tolerance,
                "deferred_at": self.deferred_at,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look the name up, and yield exactly one event."""
        warn_of_unknown_arguments(self.log, self._unknown)
        definition_id: int | None = None
        message = "time was up"
        try:
            async with asyncio.timeout(max(0.0, self.deadline - time.time())):
                definition_id, message = await self._find()
        except TimeoutError:
            pass
        await deferrals.until_a_deferral_is_known(self.deferred_at)
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
