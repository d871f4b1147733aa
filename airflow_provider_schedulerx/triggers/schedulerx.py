"""Wait for a SchedulerX run in the triggerer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Self

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_schedulerx import api, version_compat
from airflow_provider_schedulerx.api.exceptions import SchedulerXError
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.run_page import writer

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.models import WorkflowInstance
    from airflow_provider_schedulerx.api.polling.poller import WorkflowPoller
    from airflow_provider_schedulerx.api.runs.events import Outcome, TerminalEvent

#: Seconds for stopping a run in :meth:`WorkflowInstanceTrigger.on_kill`: less than Airflow's
#: ``[triggerer] on_kill_timeout`` of 30.
_STOP_SECONDS = 25.0

#: Seconds by which Airflow's own timeout of a deferral comes after the deadline of the trigger.
DEFERRAL_MARGIN = 120.0

#: Stops under way. An event loop holds its tasks only weakly, and Airflow drops the trigger.
_stopping: set[asyncio.Task[None]] = set()


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
    :param region_id: region; beats the connection's, as do the next three.
    :param namespace: uid of the namespace.
    :param namespace_source: source of the namespace.
    :param group_id: application group.
    :param poll_interval: seconds by which the end may be noticed late, if the quota allows.
    :param deadline: epoch seconds at which waiting ends; None waits without limit.
    :param started_at: epoch seconds at which the run was started, if that is known.
    :param poll_failure_tolerance: seconds for which looks may fail in a row, if the fault is a passing one.
    :param cancel_on_kill: stop the run when a user ends the task (mark as failed, clear).
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
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.workflow_id = workflow_id
        self.wf_instance_id = wf_instance_id
        self.schedulerx_conn_id = schedulerx_conn_id
        self.region_id = region_id
        self.namespace = namespace
        self.namespace_source = namespace_source
        self.group_id = group_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.started_at = started_at
        self.poll_failure_tolerance = poll_failure_tolerance
        self.cancel_on_kill = cancel_on_kill

    @classmethod
    def from_task(cls, task: Any, **arguments: Any) -> Self:
        """The trigger of an operator or sensor, which have the connection and its scope as attributes.

        :param arguments: all the others.
        """
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
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the end of the run, and yield exactly one event."""
        try:
            event = await self._wait()
        except asyncio.CancelledError:
            # Airflow 3.3 calls on_kill by itself; before, only the task's state tells why we are ended.
            if (
                self.cancel_on_kill
                and not version_compat.triggers_are_told_of_kills()
                and await version_compat.user_acted_on(self.task_instance)
            ):
                await self.on_kill()
            raise
        yield TriggerEvent(event.to_payload())  # type: ignore[no-untyped-call]

    async def _wait(self) -> TerminalEvent:
        hook = SchedulerXHook.from_task(self)
        try:
            settings = await hook.aget_settings()
            async with api.poller.shared_poller(settings, self.workflow_id) as poller:
                return await self._follow(poller)
        except SchedulerXError as error:
            return self._event(api.events.Outcome.UNDECIDED, message=str(error))

    async def _follow(self, poller: WorkflowPoller) -> TerminalEvent:
        tracker = api.tracking.RunTracker(self.poll_failure_tolerance)
        snapshots = writer.for_trigger(self.task_instance)
        age = 0.0 if self.started_at is None else max(0.0, time.time() - self.started_at)
        watch = poller.watch(self.wf_instance_id, poll_interval=self.poll_interval, age=age)
        try:
            while True:
                try:
                    left = None if self.deadline is None else max(0.0, self.deadline - time.time())
                    look = await asyncio.wait_for(watch.next(), left)
                except TimeoutError:
                    return await self._time_is_up(poller)
                if isinstance(look, SchedulerXError):
                    if not tracker.observe_failure(look, time.monotonic()):
                        return self._event(api.events.Outcome.UNDECIDED, message=str(look))
                    self.log.warning("Cannot look at workflow instance %s: %s", self.wf_instance_id, look)
                    continue
                snapshots.observe(look)
                verdict, lines = tracker.observe(look, time.monotonic())
                for line in lines:
                    self.log.info("%s", line)
                if verdict in (api.tracking.Verdict.SUCCESS, api.tracking.Verdict.FAILED):
                    return self._event(api.events.Outcome.ENDED, look)
                if verdict is api.tracking.Verdict.UNDECIDED:
                    return self._event(
                        api.events.Outcome.UNDECIDED,
                        message=f"it shows the status {look.status.value}, which is not documented",
                    )
        finally:
            snapshots.close()
            poller.unwatch(watch)

    async def _time_is_up(self, poller: WorkflowPoller) -> TerminalEvent:
        """Look once more: a run that has ended meanwhile still counts."""
        try:
            look = await poller.look(self.wf_instance_id)
        except SchedulerXError as error:
            return self._event(api.events.Outcome.TIMEOUT, message=f"the last look at it failed: {error}")
        if look.status.is_terminal:
            return self._event(api.events.Outcome.ENDED, look)
        return self._event(api.events.Outcome.TIMEOUT, message=f"it was {look.status.name} then")

    def _event(
        self, outcome: Outcome, instance: WorkflowInstance | None = None, message: str = ""
    ) -> TerminalEvent:
        return api.events.TerminalEvent(outcome, self.workflow_id, self.wf_instance_id, instance, message)

    async def on_kill(self) -> None:
        """Stop the run, because a user ended the task.

        While this runs, Airflow's triggerer cancels it again about every second, also inside
        ``asyncio.shield``. So the stop is a task of its own, and cancellations are absorbed until it is done.
        """
        if not self.cancel_on_kill:
            self.log.warning("Workflow instance %s goes on, since cancel_on_kill is off", self.wf_instance_id)
            return
        self.log.info("Stopping workflow instance %s", self.wf_instance_id)
        stopping = asyncio.create_task(self._stop())
        _stopping.add(stopping)
        stopping.add_done_callback(_stopping.discard)
        until = time.monotonic() + _STOP_SECONDS
        while not stopping.done() and time.monotonic() < until:
            try:
                await asyncio.wait({stopping}, timeout=until - time.monotonic())
            except asyncio.CancelledError:
                continue

    async def _stop(self) -> None:
        try:
            await SchedulerXHook.from_task(self).astop_workflow_instance(
                self.workflow_id, self.wf_instance_id, timeout=_STOP_SECONDS
            )
        except Exception as error:
            self.log.warning("Workflow instance %s could not be stopped: %s", self.wf_instance_id, error)
