"""Wait until there is a run for a service time, such as the one that the service's own schedule starts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Self

from airflow.triggers.base import TriggerEvent

from airflow_provider_schedulerx import api, metrics
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXConfigurationError,
    SchedulerXError,
    SchedulerXNotFoundError,
)
from airflow_provider_schedulerx.api.parameters import check_id
from airflow_provider_schedulerx.hooks.report import FaultLog
from airflow_provider_schedulerx.triggers.base import TaskTrigger, arguments_of
from airflow_provider_schedulerx.triggers.lists import RunLists
from airflow_provider_schedulerx.triggers.settings import as_passing

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
    from airflow_provider_schedulerx.api.polling.poller import ListedRuns
    from airflow_provider_schedulerx.api.runs.scheduled import (
        SearchEvent,
        SearchOutcome,
        TimeField,
        WantedTime,
    )

#: Seconds after the deadline for a last list, and between two tries.
_LAST_LIST_SECONDS, _LAST_PAUSE = 8.0, 1.0


class ScheduledRunTrigger(TaskTrigger):
    """Wait until a list shows a run for a service time, and fire one event
    (:class:`~airflow_provider_schedulerx.api.runs.scheduled.SearchEvent`).

    It costs no call of its own: all that wait for runs of the same workflow share its lists.

    :param kind_name: name of the kind of run.
    :param definition_id: id of the workflow.
    :param field: ``data_time`` or ``schedule_time``.
    :param beginning: of the service's text.
    :param others: see :class:`~airflow_provider_schedulerx.triggers.base.TaskTrigger`.
    """

    def __init__(
        self,
        *,
        kind_name: str,
        definition_id: int,
        field: TimeField,
        beginning: str,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        self.kind_name = kind_name
        self.definition_id: int = check_id(self.kind.definition_argument, definition_id)
        self.field = field
        self.beginning: str = api.scheduled.check_time(field, beginning)

    @classmethod
    def from_task(cls, task: Any, *, definition_id: int, wanted: WantedTime, deadline: float) -> Self:
        """The trigger of a sensor that is about to defer."""
        return cls(
            kind_name=task.kind.name,
            definition_id=definition_id,
            field=wanted.field,
            beginning=wanted.beginning,
            poll_interval=max(1.0, float(task.poke_interval)),
            deadline=deadline,
            **arguments_of(task),
        )

    @property
    def own_arguments(self) -> dict[str, Any]:
        """Which run is waited for."""
        return {
            "kind_name": self.kind_name,
            "definition_id": self.definition_id,
            "field": self.field,
            "beginning": self.beginning,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the run to be listed, and yield exactly one event."""
        self._warn_of_unknown_arguments()
        metrics.report_polling()
        async with RunLists(self, self.kind, self._identify, self.poll_interval) as lists:
            event = await self._search(lists)
        await self._hold_back()
        yield TriggerEvent(event.to_payload())  # type: ignore[no-untyped-call]

    async def _identify(self, settings: SchedulerXSettings) -> int:
        return self.definition_id

    async def _search(self, lists: RunLists) -> SearchEvent:
        search = _Search(self)
        last_until: float | None = None
        while True:
            # Asked here, too: what fails at once, such as a lookup that has failed for others, runs into no timeout.
            if last_until is None and self._seconds_left() == 0.0:
                # One list more: the run may have appeared meanwhile. It gets its seconds even if the triggerer was
                # away at the deadline.
                last_until = time.monotonic() + _LAST_LIST_SECONDS
                lists.hurry()
            left = self._seconds_left() if last_until is None else max(0.0, last_until - time.monotonic())
            try:
                async with asyncio.timeout(left):
                    listed = await lists.next()
            except TimeoutError:
                if last_until is not None:
                    return search.time_is_up()
                continue
            except SchedulerXError as error:
                if (event := search.observe_failure(error)) is not None:
                    return event
                if last_until is not None:
                    # An error is no look at the list.
                    if time.monotonic() + _LAST_PAUSE >= last_until:
                        return search.time_is_up()
                    await asyncio.sleep(_LAST_PAUSE)
                    lists.hurry()
                elif not lists.is_open:
                    await self._pause()
                continue
            if (event := search.observe(listed)) is not None:
                return event
            if last_until is not None:
                return search.time_is_up()


class _Search:
    """What the lists, one after the other, mean for a trigger."""

    def __init__(self, trigger: ScheduledRunTrigger) -> None:
        self._log = trigger.log
        self._kind = trigger.kind
        self._definition_id = trigger.definition_id
        self._wanted = api.scheduled.WantedTime(trigger.field, trigger.beginning)
        self._tracker = api.tracking.RunTracker(trigger.poll_failure_tolerance)
        self._faults = FaultLog(
            trigger.log, f"the list of runs of {self._kind.definition_noun} {self._definition_id}"
        )
        self._began = time.monotonic()
        self._reach = "its runs were never listed"

    def observe(self, listed: ListedRuns) -> SearchEvent | None:
        """Take in a list.

        :return: the event, if it ends the search.
        """
        self._faults.succeeded()
        self._tracker.observe_answer()
        seen = api.scheduled.search(self._wanted, listed.summaries)
        if seen.found is not None:
            message = api.scheduled.found_message(self._wanted, seen, self._kind.instance_noun)
            self._log.info("%s", message)
            return self._event(api.scheduled.SearchOutcome.FOUND, message, seen.found.instance_id)
        if seen.reach != self._reach:
            self._reach = seen.reach
            self._log.info("There is no run with %s yet: %s", self._wanted, self._reach)
        # It may be listed late.
        if seen.is_beyond and time.monotonic() - self._began > api.tracking.SETTLING_SECONDS:
            return self._event(api.scheduled.SearchOutcome.BEYOND, self._reach)
        return None

    def observe_failure(self, error: SchedulerXError) -> SearchEvent | None:
        """Take in that there was no list.

        :return: the event, if that ends the search.
        """
        # Unlike a run, a workflow that does not exist will not appear later.
        final = isinstance(error, SchedulerXConfigurationError | SchedulerXNotFoundError)
        if final or not self._tracker.observe_failure(as_passing(error), time.monotonic()):
            return self._event(api.scheduled.SearchOutcome.UNDECIDED, str(error))
        self._faults.failed(error)
        self._reach = f"its runs cannot be listed: {error}"
        return None

    def time_is_up(self) -> SearchEvent:
        return self._event(api.scheduled.SearchOutcome.TIMEOUT, self._reach)

    def _event(self, outcome: SearchOutcome, message: str, instance_id: int | None = None) -> SearchEvent:
        return api.scheduled.SearchEvent(outcome, self._definition_id, instance_id, message)
