"""Wait until there is a run for a service time, such as the one that the service's own schedule starts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Self

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_schedulerx import api, metrics, version_compat
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXConfigurationError,
    SchedulerXError,
    SchedulerXNotFoundError,
)
from airflow_provider_schedulerx.api.parameters import check_id, check_seconds
from airflow_provider_schedulerx.hooks.report import FaultLog
from airflow_provider_schedulerx.hooks.scoped import SCOPE_ARGUMENTS, ScopedMixin, scope_arguments
from airflow_provider_schedulerx.triggers.lists import RunLists
from airflow_provider_schedulerx.triggers.settings import as_passing, warn_of_unknown_arguments

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
    from airflow_provider_schedulerx.api.runs.kinds import RunKind
    from airflow_provider_schedulerx.api.runs.scheduled import SearchEvent, TimeField, WantedTime

#: Seconds between two tries to read the connection or to open a session.
_PAUSE = 5.0
#: Seconds after the deadline for a last list.
_LAST_LIST_SECONDS = 5.0


class ScheduledRunTrigger(ScopedMixin, BaseTrigger):
    """Wait until a list shows a run for a service time, and fire one event
    (:class:`~airflow_provider_schedulerx.api.runs.scheduled.SearchEvent`).

    It costs no call of its own: all that wait for runs of the same workflow share its lists.

    :param kind_name: name of the kind of run.
    :param definition_id: id of the workflow.
    :param field: ``data_time`` or ``schedule_time``.
    :param beginning: of the service's text.
    :param poll_interval: seconds between two lists, at most, if the budget allows.
    :param deadline: epoch seconds at which the wait ends; None is without limit.
    :param poll_failure_tolerance: seconds for which lists may fail in a row, if the fault is transient.
    :param deferred_at: epoch seconds at which the task has deferred.
    :param others: arguments of a newer version of this provider, which are ignored with a warning.
    """

    def __init__(
        self,
        *,
        kind_name: str,
        definition_id: int,
        field: TimeField,
        beginning: str,
        poll_interval: float = 30.0,
        deadline: float | None = None,
        poll_failure_tolerance: float = 600.0,
        deferred_at: float | None = None,
        **others: Any,
    ) -> None:
        super().__init__(**{name: others.pop(name) for name in SCOPE_ARGUMENTS if name in others})
        self.kind_name = kind_name
        self.definition_id: int = check_id(self.kind.definition_argument, definition_id)
        self.field = field
        self.beginning: str = api.scheduled.check_time(field, beginning)
        self.poll_interval: float = check_seconds("poll_interval", poll_interval)
        self.deadline = deadline
        self.poll_failure_tolerance: float = check_seconds("poll_failure_tolerance", poll_failure_tolerance)
        self.deferred_at = deferred_at
        self._unknown = sorted(others)

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
            poll_failure_tolerance=task.poll_failure_tolerance,
            deferred_at=time.time(),
            **scope_arguments(task),
        )

    @property
    def kind(self) -> RunKind:
        """Whether this waits for a run of a workflow or of a job."""
        return api.kinds.kind_named(self.kind_name)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "kind_name": self.kind_name,
                "definition_id": self.definition_id,
                "field": self.field,
                "beginning": self.beginning,
                **scope_arguments(self),
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "poll_failure_tolerance": self.poll_failure_tolerance,
                "deferred_at": self.deferred_at,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the run to be listed, and yield exactly one event."""
        warn_of_unknown_arguments(self.log, self._unknown)
        metrics.report_polling()
        async with RunLists(self, self.kind, self._identify, self.poll_interval) as lists:
            event = await self._search(lists)
        await version_compat.until_a_deferral_is_known(self.deferred_at)
        yield TriggerEvent(event.to_payload())  # type: ignore[no-untyped-call]

    async def _identify(self, settings: SchedulerXSettings) -> int:
        return self.definition_id

    async def _search(self, lists: RunLists) -> SearchEvent:
        wanted = api.scheduled.WantedTime(self.field, self.beginning)
        outcomes = api.scheduled.SearchOutcome
        tracker = api.tracking.RunTracker(self.poll_failure_tolerance)
        faults = FaultLog(self.log, f"the list of runs of {self.kind.definition_noun} {self.definition_id}")
        began, reach, is_last = time.monotonic(), "its runs were never listed", False
        while True:
            # Asked here, too: what fails at once, such as a lookup that has failed for others, runs into no timeout.
            is_last = is_last or self._hurry_if_time_is_up(lists)
            try:
                # The last list gets its seconds even if the triggerer was away at the deadline.
                async with asyncio.timeout(_LAST_LIST_SECONDS if is_last else self._seconds_left(0.0)):
                    listed = await lists.next()
            except TimeoutError:
                if is_last:
                    return self._event(outcomes.TIMEOUT, reach)
                continue
            except SchedulerXConfigurationError as error:
                return self._event(outcomes.UNDECIDED, str(error))
            except SchedulerXError as error:
                # Unlike a run, a workflow that does not exist will not appear later.
                final = isinstance(error, SchedulerXNotFoundError)
                if final or not tracker.observe_failure(as_passing(error), time.monotonic()):
                    return self._event(outcomes.UNDECIDED, str(error))
                faults.failed(error)
                reach = f"its runs cannot be listed: {error}"
                if is_last:
                    return self._event(outcomes.TIMEOUT, reach)
                if not lists.is_open:
                    await asyncio.sleep(min(_PAUSE, (self._seconds_left(1.0) or _PAUSE)))
                continue
            faults.succeeded()
            tracker.observe_answer()
            seen = api.scheduled.search(wanted, listed.summaries)
            if seen.found is not None:
                message = api.scheduled.found_message(wanted, seen, self.kind.instance_noun)
                self.log.info("%s", message)
                return self._event(outcomes.FOUND, message, seen.found.instance_id)
            if seen.reach != reach:
                reach = seen.reach
                self.log.info("There is no run with %s yet: %s", wanted, reach)
            # It may be listed late.
            if seen.is_beyond and time.monotonic() - began > api.tracking.SETTLING_SECONDS:
                return self._event(outcomes.BEYOND, reach)
            if is_last:
                return self._event(outcomes.TIMEOUT, reach)

    def _hurry_if_time_is_up(self, lists: RunLists) -> bool:
        """Whether the next list is the last one: the run may have appeared meanwhile."""
        if self._seconds_left(0.0) != 0.0:
            return False
        lists.hurry()
        return True

    def _seconds_left(self, more: float) -> float | None:
        return None if self.deadline is None else max(0.0, self.deadline + more - time.time())

    def _event(self, outcome: Any, message: str, instance_id: int | None = None) -> SearchEvent:
        return api.scheduled.SearchEvent(outcome, self.definition_id, instance_id, message)
