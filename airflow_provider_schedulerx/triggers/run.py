"""Base of the triggers that wait for the end of a run, whatever kind of run it is."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Self

from airflow.triggers.base import TriggerEvent

from airflow_provider_schedulerx import api, metrics
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAuthenticationError,
    SchedulerXConfigurationError,
    SchedulerXError,
)
from airflow_provider_schedulerx.api.parameters import check_id, check_seconds, check_time
from airflow_provider_schedulerx.hooks.report import FaultLog
from airflow_provider_schedulerx.run_page.writer import NullWriter, SnapshotWriter, for_trigger
from airflow_provider_schedulerx.triggers.base import TaskTrigger, arguments_of
from airflow_provider_schedulerx.triggers.last_poll import LastPoll
from airflow_provider_schedulerx.triggers.settings import as_passing, has_changed, read_settings
from airflow_provider_schedulerx.triggers.stopping import stop_in_background, task_waits
from airflow_provider_schedulerx.version_compat import kills, supervisors

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
    from airflow_provider_schedulerx.api.polling.poller import RunPoller, Subscription
    from airflow_provider_schedulerx.api.runs.events import Outcome, TerminalEvent
    from airflow_provider_schedulerx.api.runs.kinds import Run
    from airflow_provider_schedulerx.api.runs.tracking import RunTracker

#: Seconds for which :meth:`RunTrigger.on_kill` waits for the run to stop: less than Airflow's
#: ``[triggerer] on_kill_timeout`` of 30. The stop continues after them.
_STOP_SECONDS = 25.0

#: Seconds by which Airflow's own timeout of a deferral comes after the deadline of the trigger.
DEFERRAL_MARGIN = 120.0

#: Seconds after the deadline at which the trigger fires, whatever hangs.
_LATEST = 9.0
#: Seconds for a note to Airflow that the task sees to its run again.
_NOTE_SECONDS = 2.0


class RunTrigger(TaskTrigger):
    """Wait until a run has ended, and fire one event
    (:class:`~airflow_provider_schedulerx.api.runs.events.TerminalEvent`).

    All triggers of a process that wait for runs of the same workflow or job share one poller, which asks for
    all of these runs with one call and keeps to the account's quota.

    Its arguments are JSON, and none is a secret. A stopped, killed or redistributed triggerer neither
    stops nor loses a run: the trigger starts again with the same arguments.

    Subclasses name the ids as the service does, and document the arguments.
    """

    def __init__(
        self,
        *,
        definition_id: int,
        instance_id: int,
        started_at: float | None = None,
        settling_time: float = api.tracking.SETTLING_SECONDS,
        cancel_on_kill: bool = True,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        self.definition_id: int = check_id(self.kind.definition_argument, definition_id)
        self.instance_id: int = check_id(self.kind.instance_argument, instance_id)
        self.started_at: float | None = check_time("started_at", started_at)
        self.settling_time: float = check_seconds("settling_time", settling_time)
        self.cancel_on_kill = cancel_on_kill
        #: Whether it has said that the task has to see to its run.
        self.has_given_back: bool = False
        self._snapshots: SnapshotWriter = NullWriter()

    @property
    def label(self) -> str:
        """What a sentence calls the run."""
        return f"{self.kind.instance_noun} {self.instance_id}"

    @classmethod
    def from_task(cls, task: Any, *, definition_id: int, instance_id: int, **arguments: Any) -> Self:
        """The trigger of an operator or sensor that is about to defer; it has the connection and its scope as attributes.

        :param arguments: all the others.
        """
        kind = api.kinds.kind_named(cls.kind_name)
        given: dict[str, Any] = {
            kind.definition_argument: definition_id,
            kind.instance_argument: instance_id,
            **arguments_of(task),
            **arguments,
        }
        return cls(**given)

    @property
    def own_arguments(self) -> dict[str, Any]:
        """Which run is followed, and how."""
        return {
            self.kind.definition_argument: self.definition_id,
            self.kind.instance_argument: self.instance_id,
            "started_at": self.started_at,
            "settling_time": self.settling_time,
            "cancel_on_kill": self.cancel_on_kill,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the end of the run, and yield exactly one event."""
        self._warn_of_unknown_arguments()
        metrics.report_polling()
        self._snapshots = for_trigger(self.task_instance)
        try:
            # Closed before on_kill, during which the next try may begin.
            with contextlib.closing(self._snapshots):
                event = await self._wait()
                await self._hold_back()
            if event.run is None and self.cancel_on_kill:
                await self._give_back()
        except asyncio.CancelledError:
            # Airflow 3.3 calls on_kill by itself. Before, only the state of the task tells why we are ended.
            if (
                self.cancel_on_kill
                and self.task_instance is not None
                and not kills.triggers_are_told_of_kills()
                and supervisors.supervisor_answers()
                and not await task_waits(self)
            ):
                await self.on_kill()
            raise
        yield TriggerEvent(event.to_payload())  # type: ignore[no-untyped-call]

    async def _wait(self) -> TerminalEvent:
        if self.deadline is None:
            return await self._follow()
        try:
            async with asyncio.timeout(max(0.0, self.deadline - time.time()) + _LATEST):
                return await self._follow()
        except TimeoutError:
            return self._event(api.events.Outcome.TIMEOUT, message="it could not be polled once more in time")

    async def _give_back(self) -> None:
        """Note that the task has to see to its run from now on. Never raises, and takes little time."""
        self.has_given_back = True
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_NOTE_SECONDS):
                await kills.give_back(self.task_instance, self.deferred_at)

    async def _follow(self) -> TerminalEvent:
        tracker = api.tracking.RunTracker(self.poll_failure_tolerance, self.settling_time)
        faults = FaultLog(self.log, self.label)
        settings: SchedulerXSettings | None = None
        while True:
            try:
                settings = await read_settings(self)
                async with api.poller.shared_poller(settings, self.kind, self.definition_id) as poller:
                    if (event := await self._poll(poller, settings, tracker, faults)) is not None:
                        return event
                # The connection has changed.
                continue
            except SchedulerXConfigurationError as error:
                return self._event(api.events.Outcome.UNDECIDED, message=str(error))
            except SchedulerXError as error:
                if not tracker.observe_failure(as_passing(error), time.monotonic()):
                    return self._event(api.events.Outcome.UNDECIDED, message=str(error))
                faults.failed(error)
                await self._pause()

    async def _poll(
        self, poller: RunPoller, settings: SchedulerXSettings, tracker: RunTracker, faults: FaultLog
    ) -> TerminalEvent | None:
        """Follow the run with these settings.

        :return: the end; None if the connection has other settings now.
        """
        age = 0.0 if self.started_at is None else max(0.0, time.time() - self.started_at)
        subscription = poller.subscribe(self.instance_id, poll_interval=self.poll_interval, age=age)
        try:
            while True:
                try:
                    async with asyncio.timeout(self._seconds_left()):
                        seen = await subscription.next()
                except TimeoutError:
                    return await self._time_is_up(poller, subscription)
                if isinstance(seen, SchedulerXError):
                    if not tracker.observe_failure(as_passing(seen), time.monotonic()):
                        return self._event(api.events.Outcome.UNDECIDED, message=str(seen))
                    faults.failed(seen)
                    if isinstance(seen, SchedulerXAuthenticationError) and await has_changed(self, settings):
                        return None
                    continue
                faults.succeeded()
                self._snapshots.observe(seen)
                verdict, lines = tracker.observe(seen, time.monotonic())
                for line in lines:
                    self.log.info("%s", line)
                if verdict in (api.tracking.Verdict.SUCCESS, api.tracking.Verdict.FAILED):
                    return self._event(api.events.Outcome.ENDED, seen)
                if verdict is api.tracking.Verdict.UNDECIDED:
                    return self._event(
                        api.events.Outcome.UNDECIDED,
                        message=f"it shows the status {seen.status.value}, which is not documented",
                    )
        finally:
            poller.unsubscribe(subscription)

    async def _time_is_up(self, poller: RunPoller, subscription: Subscription) -> TerminalEvent:
        last = LastPoll(poller, subscription)
        seen = await last.make()
        if seen is None:
            return self._event(api.events.Outcome.TIMEOUT, message=last.problem)
        if seen.status.is_terminal:
            return self._event(api.events.Outcome.ENDED, seen)
        return self._event(api.events.Outcome.TIMEOUT, message=f"it was {seen.status.name} then")

    def _event(self, outcome: Outcome, run: Run | None = None, message: str = "") -> TerminalEvent:
        return api.events.TerminalEvent(outcome, self.definition_id, self.instance_id, run, message)

    async def on_kill(self) -> None:
        """Stop the run, if a user ended the task.

        Not if the task still waits: then another triggerer has taken this trigger, or this one is shutting down.
        While this runs, Airflow's triggerer cancels it again about every second, also inside
        ``asyncio.shield``. So the stop is a task of its own, and cancellations are absorbed until it is done. If that
        takes too long, as for a crowd of tasks that are ended together, it continues while the triggerer lives.
        """
        if not self.cancel_on_kill:
            self.log.info("%s keeps running: this task does not stop it", api.tracking.sentence(self.label))
            return
        stopping = stop_in_background(self)
        until = time.monotonic() + _STOP_SECONDS
        while not stopping.done() and time.monotonic() < until:
            try:
                await asyncio.wait({stopping}, timeout=until - time.monotonic())
            except asyncio.CancelledError:
                continue
        if not stopping.done():
            self.log.warning(
                "%s has not ended yet; the triggerer keeps trying to stop it",
                api.tracking.sentence(self.label),
            )
