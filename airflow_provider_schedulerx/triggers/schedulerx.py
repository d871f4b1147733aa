"""Wait for a SchedulerX run in the triggerer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Self, cast

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_schedulerx import api, metrics, version_compat
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAuthenticationError,
    SchedulerXConfigurationError,
    SchedulerXError,
    SchedulerXUnavailableError,
)
from airflow_provider_schedulerx.api.parameters import check_id, check_seconds
from airflow_provider_schedulerx.hooks.report import FaultLog
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.run_page.writer import NullWriter, SnapshotWriter, for_trigger
from airflow_provider_schedulerx.triggers.settings import read_settings
from airflow_provider_schedulerx.triggers.stopping import stop_in_background

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
    from airflow_provider_schedulerx.api.models import WorkflowInstance
    from airflow_provider_schedulerx.api.polling.poller import Observation, RunPoller, Subscription
    from airflow_provider_schedulerx.api.runs.events import Outcome, TerminalEvent
    from airflow_provider_schedulerx.api.runs.tracking import RunTracker

#: Seconds for which :meth:`WorkflowInstanceTrigger.on_kill` waits for the run to stop: less than Airflow's
#: ``[triggerer] on_kill_timeout`` of 30. The stop continues after them.
_STOP_SECONDS = 25.0

#: Seconds by which Airflow's own timeout of a deferral comes after the deadline of the trigger.
DEFERRAL_MARGIN = 120.0

#: Seconds after the deadline for the last poll: first with all others that are due, then by itself.
_LAST_POLL_SHARED, _LAST_POLL_SECONDS = 3.0, 8.0
#: Seconds after the deadline at which the trigger fires, whatever hangs.
_LATEST = 9.0
#: Seconds between two tries to read the connection or to open a session.
_PAUSE = 5.0


class WorkflowInstanceTrigger(BaseTrigger):
    """Wait until a run of a workflow has ended, and fire one event
    (:class:`~airflow_provider_schedulerx.api.runs.events.TerminalEvent`).

    All triggers of a process that wait for runs of the same workflow share one poller, which asks for
    all of these runs with one call and keeps to the account's quota.

    Its arguments are JSON, and none is a secret. A stopped, killed or redistributed triggerer neither
    stops nor loses a run: the trigger starts again with the same arguments.

    :param workflow_id: id of the workflow.
    :param wf_instance_id: id of the run.
    :param schedulerx_conn_id: the connection.
    :param region_id: region; overrides the connection's, as do the next three.
    :param namespace: uid of the namespace.
    :param namespace_source: source of the namespace.
    :param group_id: application group.
    :param poll_interval: seconds by which the end may be noticed late, if the quota allows.
    :param deadline: epoch seconds at which waiting ends; None waits without limit. The event comes at most 10 s later.
    :param started_at: epoch seconds at which the run was started, if that is known.
    :param poll_failure_tolerance: seconds for which polls may fail in a row, if the fault is a passing one; at least
        three of them have to fail, and throttled ones do not count.
    :param cancel_on_kill: stop the run when a user ends the task (mark as failed, clear).
    :param deferred_at: epoch seconds at which the task was deferred. On Airflow 3 the event is held back until
        Airflow has certainly heard that the deferring process has ended; an earlier one can make a task fail whose
        run succeeded.
    :param unknown: arguments of a newer version of this provider, which are ignored with a warning.
    :raises SchedulerXConfigurationError: if an argument cannot be used, naming it.
    """

    def __init__(
        self,
        *,
        workflow_id: int,
        wf_instance_id: int,
        schedulerx_conn_id: str = SchedulerXHook.default_conn_name,
        region_id: str | None = None,
        namespace: str | None = None,
        namespace_source: str | None = None,
        group_id: str | None = None,
        poll_interval: float = 30.0,
        deadline: float | None = None,
        started_at: float | None = None,
        poll_failure_tolerance: float = 600.0,
        cancel_on_kill: bool = True,
        deferred_at: float | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.workflow_id = check_id("workflow_id", workflow_id)
        self.wf_instance_id = check_id("wf_instance_id", wf_instance_id)
        self.schedulerx_conn_id = schedulerx_conn_id
        self.region_id = region_id
        self.namespace = namespace
        self.namespace_source = namespace_source
        self.group_id = group_id
        self.poll_interval = check_seconds("poll_interval", poll_interval)
        self.deadline = _check_time("deadline", deadline)
        self.started_at = _check_time("started_at", started_at)
        self.poll_failure_tolerance = check_seconds("poll_failure_tolerance", poll_failure_tolerance)
        self.cancel_on_kill = cancel_on_kill
        self.deferred_at = _check_time("deferred_at", deferred_at)
        self._unknown = sorted(unknown)
        self._snapshots: SnapshotWriter = NullWriter()

    @classmethod
    def from_task(cls, task: Any, **arguments: Any) -> Self:
        """The trigger of an operator or sensor that is about to defer; it has the connection and its scope as attributes.

        :param arguments: all the others.
        """
        arguments.setdefault("deferred_at", time.time())
        return cls(
            schedulerx_conn_id=task.schedulerx_conn_id,
            region_id=task.region_id,
            namespace=task.namespace,
            namespace_source=task.namespace_source,
            group_id=task.group_id,
            poll_failure_tolerance=task.poll_failure_tolerance,
            **arguments,
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "workflow_id": self.workflow_id,
                "wf_instance_id": self.wf_instance_id,
                "schedulerx_conn_id": self.schedulerx_conn_id,
                "region_id": self.region_id,
                "namespace": self.namespace,
                "namespace_source": self.namespace_source,
                "group_id": self.group_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "started_at": self.started_at,
                "poll_failure_tolerance": self.poll_failure_tolerance,
                "cancel_on_kill": self.cancel_on_kill,
                "deferred_at": self.deferred_at,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the end of the run, and yield exactly one event."""
        if self._unknown:
            self.log.warning(
                "Arguments of a newer version of this provider are ignored: %s. Upgrade the triggerer",
                ", ".join(self._unknown),
            )
        metrics.report_polling()
        self._snapshots = for_trigger(self.task_instance)
        try:
            event = await self._wait()
            await self._hold_back()
        except asyncio.CancelledError:
            # Airflow 3.3 calls on_kill by itself; before, only the task's state tells why we are ended.
            if (
                self.cancel_on_kill
                and not version_compat.triggers_are_told_of_kills()
                and await version_compat.user_acted_on(self.task_instance)
            ):
                await self.on_kill()
            raise
        finally:
            self._snapshots.close()
        yield TriggerEvent(event.to_payload())  # type: ignore[no-untyped-call]

    async def _wait(self) -> TerminalEvent:
        if self.deadline is None:
            return await self._follow()
        try:
            async with asyncio.timeout(max(0.0, self.deadline - time.time()) + _LATEST):
                return await self._follow()
        except TimeoutError:
            return self._event(api.events.Outcome.TIMEOUT, message="it could not be polled once more in time")

    async def _hold_back(self) -> None:
        if self.deferred_at is None:
            return
        settled = version_compat.seconds_until_a_deferral_is_known()
        # At most so long: the clock of the worker may be ahead of ours.
        if (seconds := min(settled, self.deferred_at + settled - time.time())) > 0:
            await asyncio.sleep(seconds)

    async def _follow(self) -> TerminalEvent:
        tracker = api.tracking.RunTracker(self.poll_failure_tolerance)
        faults = FaultLog(self.log, self.wf_instance_id)
        settings: SchedulerXSettings | None = None
        while True:
            try:
                settings = await read_settings(self)
                async with api.poller.shared_poller(
                    settings, api.kinds.WORKFLOW_RUNS, self.workflow_id
                ) as poller:
                    if (event := await self._poll(poller, settings, tracker, faults)) is not None:
                        return event
                # The connection has changed.
                continue
            except SchedulerXConfigurationError as error:
                return self._event(api.events.Outcome.UNDECIDED, message=str(error))
            except SchedulerXError as error:
                if not tracker.observe_failure(_as_passing(error), time.monotonic()):
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
        subscription = poller.subscribe(self.wf_instance_id, poll_interval=self.poll_interval, age=age)
        try:
            while True:
                try:
                    async with asyncio.timeout(self._seconds_left()):
                        seen = await subscription.next()
                except TimeoutError:
                    return await self._time_is_up(poller, subscription)
                if isinstance(seen, SchedulerXError):
                    if not tracker.observe_failure(_as_passing(seen), time.monotonic()):
                        return self._event(api.events.Outcome.UNDECIDED, message=str(seen))
                    faults.failed(seen)
                    if isinstance(seen, SchedulerXAuthenticationError) and await self._has_changed(settings):
                        return None
                    continue
                faults.succeeded()
                instance = cast("WorkflowInstance", seen)
                self._snapshots.observe(instance)
                verdict, lines = tracker.observe(instance, time.monotonic())
                for line in lines:
                    self.log.info("%s", line)
                if verdict in (api.tracking.Verdict.SUCCESS, api.tracking.Verdict.FAILED):
                    return self._event(api.events.Outcome.ENDED, instance)
                if verdict is api.tracking.Verdict.UNDECIDED:
                    return self._event(
                        api.events.Outcome.UNDECIDED,
                        message=f"it shows the status {seen.status.value}, which is not documented",
                    )
        finally:
            poller.unsubscribe(subscription)

    async def _has_changed(self, settings: SchedulerXSettings) -> bool:
        """Return whether the connection differs from these settings now, as after its key was rotated."""
        try:
            return await read_settings(self) != settings
        except SchedulerXError as error:
            self.log.warning("%s", error)
            return False

    async def _time_is_up(self, poller: RunPoller, subscription: Subscription) -> TerminalEvent:
        """Poll once more, for some seconds: a run that has ended meanwhile still counts."""
        seen: Observation
        poller.hurry(subscription)
        try:
            try:
                # With all others whose time is up: one list may show them all.
                async with asyncio.timeout(_LAST_POLL_SHARED):
                    seen = await subscription.next()
            except TimeoutError:
                async with asyncio.timeout(_LAST_POLL_SECONDS - _LAST_POLL_SHARED):
                    seen = await poller.poll(self.wf_instance_id)
        except TimeoutError:
            return self._event(
                api.events.Outcome.TIMEOUT,
                message="the quota left no room for a last poll within some seconds",
            )
        except SchedulerXError as error:
            seen = error
        if isinstance(seen, SchedulerXError):
            return self._event(api.events.Outcome.TIMEOUT, message=f"the last poll failed: {seen}")
        if seen.status.is_terminal:
            return self._event(api.events.Outcome.ENDED, cast("WorkflowInstance", seen))
        return self._event(api.events.Outcome.TIMEOUT, message=f"it was {seen.status.name} then")

    def _seconds_left(self) -> float | None:
        return None if self.deadline is None else max(0.0, self.deadline - time.time())

    async def _pause(self) -> None:
        left = self._seconds_left()
        await asyncio.sleep(_PAUSE if left is None else min(_PAUSE, left + 1.0))

    def _event(
        self, outcome: Outcome, instance: WorkflowInstance | None = None, message: str = ""
    ) -> TerminalEvent:
        return api.events.TerminalEvent(outcome, self.workflow_id, self.wf_instance_id, instance, message)

    async def on_kill(self) -> None:
        """Stop the run, because a user ended the task.

        While this runs, Airflow's triggerer cancels it again about every second, also inside
        ``asyncio.shield``. So the stop is a task of its own, and cancellations are absorbed until it is done. If that
        takes too long, as for a crowd of tasks that are ended together, it continues while the triggerer lives.
        """
        if not self.cancel_on_kill:
            self.log.warning(
                "Workflow instance %s keeps running because cancel_on_kill is off", self.wf_instance_id
            )
            return
        self.log.info("Stopping workflow instance %s", self.wf_instance_id)
        stopping = stop_in_background(self)
        until = time.monotonic() + _STOP_SECONDS
        while not stopping.done() and time.monotonic() < until:
            try:
                await asyncio.wait({stopping}, timeout=until - time.monotonic())
            except asyncio.CancelledError:
                continue
        if not stopping.done():
            self.log.warning(
                "Workflow instance %s has not ended yet; the triggerer keeps trying to stop it",
                self.wf_instance_id,
            )


def _check_time(name: str, value: float | None) -> float | None:
    """Return epoch seconds.

    :raises SchedulerXConfigurationError: if they are none.
    """
    return None if value is None else check_seconds(name, value)


def _as_passing(error: SchedulerXError) -> SchedulerXError:
    """A key that is not accepted may have been rotated: the connection is read again, and may have the new one soon."""
    if isinstance(error, SchedulerXAuthenticationError):
        return SchedulerXUnavailableError(error.message, operation=error.operation, code=error.code)
    return error
