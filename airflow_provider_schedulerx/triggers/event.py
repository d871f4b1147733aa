"""Start DAGs when a run of a SchedulerX workflow ends, whoever has started it. Needs Airflow 3.0."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from airflow_provider_schedulerx import api, metrics
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXConfigurationError,
    SchedulerXError,
    SchedulerXUnavailableError,
)
from airflow_provider_schedulerx.api.parameters import (
    MIN_POLL_INTERVAL,
    check_choice,
    check_id,
    check_name,
    check_seconds,
)
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.triggers import definitions
from airflow_provider_schedulerx.triggers.cursors import CursorStore, source_of
from airflow_provider_schedulerx.triggers.lists import RunLists

try:
    from airflow.triggers.base import BaseEventTrigger, TriggerEvent
except ImportError:
    raise ImportError(
        "WorkflowEventTrigger needs Airflow 3.0 or later, which has event-driven scheduling (AssetWatcher). With Airflow 2, "
        "schedule the DAG by time and wait with WorkflowInstanceSensor(data_time=...)"
    ) from None

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
    from airflow_provider_schedulerx.api.polling.poller import RunPoller
    from airflow_provider_schedulerx.api.runs.ends import Ends
    from airflow_provider_schedulerx.api.runs.kinds import Run, RunSummary

Status = Literal["success", "failed"]

#: Seconds between two tries after a fault that may pass soon, and after one that somebody has to mend.
_PAUSE, _LONG_PAUSE = 5.0, 60.0
#: Seconds after which an event that the triggerer was given is taken for stored, where no listener says so.
_STORED_AFTER = 60.0
#: Seconds between two events of a trigger, if there are few. Airflow makes one DAG run of events that its scheduler sees
#: together, but gives it only those up to the time of the first: the others wait for the next event (seen on 3.3.2).
_SPACING = 5.0
#: Seconds that the spaces between events that come together take at most.
_SPACE = 60.0


class WorkflowEventTrigger(BaseEventTrigger):
    """Fire whenever a run of a SchedulerX workflow ends, whoever has started it: SchedulerX's own schedule, say.

    For an ``AssetWatcher``::

        asset = Asset(
            "schedulerx://cn-hangzhou/<namespace>/<group>/101",
            watchers=[AssetWatcher(name="nightly", trigger=WorkflowEventTrigger(workflow_id=101))],
        )

        with DAG("after_nightly", schedule=[asset]): ...

    The payload of an event, which a task finds in ``triggering_asset_events`` as ``extra["payload"]``, has
    ``WfInstanceId``, ``workflow_id``, ``workflow_name``, ``status`` (``SUCCESS`` or ``FAILED``), the service's own
    ``ScheduleTime``, ``DataTime``, ``StartTime`` and ``EndTime`` as text, ``console_url``, and ``watcher``, a text that is
    the same for all events of this trigger.

    **Each end gives one event.** From Airflow 3.3 on that holds over restarts of the triggerer, too, also after
    ``kill -9``: a cursor is kept in the state store of the asset. Below 3.3 a triggerer that starts begins anew. In both
    cases the first look at a workflow reports nothing that has ended before. A run that has ended, and is then continued
    under the same id (its failed nodes run again), ends again, and gives another event.

    Events of one trigger are 5 seconds apart, if there are few: Airflow hands those that come closer together than its
    scheduler makes DAG runs to the DAG run of the next event.

    Runs are found in ``ListWorkflowInstance`` (Professional edition), of which nobody documents how many it lists: 10,
    perhaps. If more runs begin and end between two looks than it lists, some are missed, and the triggerer's log says so;
    then lower ``poll_interval``.

    :param workflow_id: id of the workflow.
    :param workflow_name: its exact name instead.
    :param statuses: which ends fire: ``success``, ``failed`` or both.
    :param schedulerx_conn_id: the connection.
    :param region_id: region; overrides the connection's, as do the next three.
    :param namespace: uid of the namespace.
    :param namespace_source: source of the namespace.
    :param group_id: application group.
    :param poll_interval: seconds by which an end may be noticed late, at least 0.1. All watchers and deferred tasks of a
        triggerer that look at the same workflow share one call.
    :raises SchedulerXConfigurationError: if an argument cannot be used, naming it.
    """

    def __init__(
        self,
        *,
        workflow_id: int | str | None = None,
        workflow_name: str | None = None,
        statuses: Sequence[Status] = ("success",),
        schedulerx_conn_id: str = SchedulerXHook.default_conn_name,
        region_id: str | None = None,
        namespace: str | None = None,
        namespace_source: str | None = None,
        group_id: str | None = None,
        poll_interval: float = 30,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if (workflow_id is None) == (workflow_name is None):
            raise SchedulerXConfigurationError(
                "WorkflowEventTrigger needs either workflow_id or workflow_name, "
                + ("and got neither" if workflow_id is None else "and got both: remove one"),
                field="workflow_id",
            )
        self.workflow_id: int | None = None if workflow_id is None else check_id("workflow_id", workflow_id)
        self.workflow_name: str | None = (
            None if workflow_name is None else check_name("workflow_name", workflow_name)
        )
        self.statuses: list[Status] = _check_statuses(statuses)
        self.schedulerx_conn_id = schedulerx_conn_id
        self.region_id = region_id
        self.namespace = namespace
        self.namespace_source = namespace_source
        self.group_id = group_id
        self.poll_interval: float = check_seconds("poll_interval", poll_interval, minimum=MIN_POLL_INTERVAL)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of this class, and the arguments that make an equal trigger."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "workflow_id": self.workflow_id,
                "workflow_name": self.workflow_name,
                "statuses": self.statuses,
                "schedulerx_conn_id": self.schedulerx_conn_id,
                "region_id": self.region_id,
                "namespace": self.namespace,
                "namespace_source": self.namespace_source,
                "group_id": self.group_id,
                "poll_interval": self.poll_interval,
            },
        )

    @property
    def watcher(self) -> str:
        """A text that tells watchers of one asset apart, and stays as it is when only ``poll_interval`` changes."""
        arguments = self.serialize()[1]
        del arguments["poll_interval"]
        return hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def _label(self) -> str:
        return f"workflow {self.workflow_id if self.workflow_name is None else repr(self.workflow_name)}"

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each end, for as long as the trigger lives. It never ends by itself."""
        metrics.report_polling()
        fault: str | None = None
        async with AsyncExitStack() as stack:
            lists = await stack.enter_async_context(
                RunLists(self, api.kinds.WORKFLOW_RUNS, self._identify, self.poll_interval)
            )
            watch: _Watch | None = None
            stack.push_async_callback(lambda: _end(watch))
            spaced_until = 0.0
            while True:
                try:
                    listed = await lists.next()
                    if watch is None or watch.source != self._source(lists):
                        await _end(watch)
                        watch = await _Watch.begin(self, lists, self._source(lists))
                    summaries = await watch.observe(listed.summaries, lists.poller)
                except SchedulerXError as error:
                    if (kind := type(error).__name__) != fault:
                        fault = kind
                        self.log.warning("The runs of %s cannot be listed: %s", self._label, error)
                    if not lists.is_open:
                        is_passing = isinstance(error, SchedulerXUnavailableError)
                        await asyncio.sleep(_PAUSE if is_passing else _LONG_PAUSE)
                    continue
                if fault is not None:
                    fault = None
                    self.log.info("The runs of %s can be listed again", self._label)
                spacing = min(_SPACING, _SPACE / max(1, len(summaries)))
                for summary in summaries:
                    await asyncio.sleep(spaced_until - time.monotonic())
                    spaced_until = time.monotonic() + spacing
                    payload = watch.payload(summary)
                    watch.report(summary)
                    self.log.info(
                        "Workflow instance %s has ended: %s", summary.instance_id, payload["status"]
                    )
                    yield TriggerEvent(payload)  # type: ignore[no-untyped-call]

    async def _identify(self, settings: SchedulerXSettings) -> int:
        if self.workflow_name is not None:
            return await definitions.find_definition(settings, api.kinds.WORKFLOW_RUNS, self.workflow_name)
        assert self.workflow_id is not None  # noqa: S101 - one of them is given
        return self.workflow_id

    @staticmethod
    def _source(lists: RunLists) -> str:
        scope = lists.settings.scope
        return source_of((scope.region_id, scope.namespace, scope.group_id, lists.definition_id))


class _Watch:
    """One workflow that is watched, from the moment its id is known.

    :ivar source: where it is, and which it is.
    """

    def __init__(
        self, trigger: WorkflowEventTrigger, lists: RunLists, source: str, store: CursorStore, ends: Ends
    ) -> None:
        self.source = source
        self._trigger = trigger
        self._log = trigger.log
        self._settings = lists.settings
        self._workflow_id = lists.definition_id or 0
        self._name = trigger.workflow_name
        self._store = store
        self._ends = ends
        self._reported_at: dict[int, float] = {}
        self._poller: RunPoller | None = None
        self._asked: dict[int, asyncio.Task[Run | None]] = {}
        self._is_new = True

    @classmethod
    async def begin(cls, trigger: WorkflowEventTrigger, lists: RunLists, source: str) -> _Watch:
        """Go on where the last one was."""
        store = CursorStore(trigger, trigger.watcher, source)
        cursor = await _persistently(trigger.log, store.load)
        watch = cls(trigger, lists, source, store, api.ends.Ends(cursor))
        await watch._learn_name()
        trigger.log.info(
            "Watching %s: %s",
            trigger._label,
            "only what ends from now on, since there is no cursor"
            if cursor is None
            else f"from the cursor on, {len(cursor.pending)} runs pending",
        )
        return watch

    async def observe(self, listed: Sequence[RunSummary], poller: RunPoller) -> list[RunSummary]:
        """Take in a list.

        :return: the runs to report. When this returns, it is stored that they are to be.
        """
        if poller is not self._poller:
            # The connection has changed: the one before serves nobody any more.
            await self.end()
            self._poller = poller
        self._ends.settle(await self._delivered())
        seen = self._ends.observe(listed)
        if seen.gap:
            self._log.warning(
                "Ends of %s may have been missed: %s. Lower poll_interval (%g s)",
                self._trigger._label,
                seen.gap,
                self._trigger.poll_interval,
            )
        ended = [*seen.ended, *self._ask(seen.undecided, poller)]
        unwanted = [run for run in ended if _status_of(run) not in self._trigger.statuses]
        for run in unwanted:
            self._ends.dismiss(run)
        if self._store.is_durable:
            cursor = self._ends.cursor
            await _persistently(self._log, lambda: self._store.save(cursor))
        return [run for run in ended if run not in unwanted]

    def report(self, run: RunSummary) -> None:
        """Note that an event is made now."""
        self._ends.report(run)
        self._reported_at[run.instance_id] = time.monotonic()

    def payload(self, run: RunSummary) -> dict[str, Any]:
        """Return what an event says of a run."""
        return {
            "WfInstanceId": run.instance_id,
            "workflow_id": self._workflow_id,
            "workflow_name": self._name,
            "status": "SUCCESS" if run.status.is_success else "FAILED",
            "ScheduleTime": run.schedule_time,
            "DataTime": run.data_time,
            "StartTime": run.start_time,
            "EndTime": run.end_time,
            "console_url": self._settings.console_link(self._workflow_id, run.instance_id),
            "watcher": self._trigger.watcher,
        }

    async def end(self) -> None:
        """Ask for no run any more."""
        asked = list(self._asked.values())
        for task in asked:
            task.cancel()
        self._asked.clear()
        if asked:
            await asyncio.wait(asked)

    async def _delivered(self) -> dict[int, str]:
        """Ends whose event was stored, by run, of those that are not known yet to be so."""
        reported = self._ends.unconfirmed
        if not self._store.is_durable:
            return reported
        if not reported and not self._is_new:
            return {}
        found: dict[int, str] = await _persistently(self._log, self._store.delivered)
        if self._is_new:
            # Those that the one before has reported.
            self._is_new = False
            return found
        # Without the listener (plugins can be switched off), a triggerer that is still here has stored it long since.
        before = time.monotonic() - _STORED_AFTER
        stored = {
            number: mark
            for number, mark in reported.items()
            if found.get(number) == mark or self._reported_at[number] < before
        }
        for number in stored:
            self._reported_at.pop(number, None)
        return stored

    def _ask(self, undecided: frozenset[int], poller: RunPoller) -> list[RunSummary]:
        """Have the runs polled by themselves of which the list does not say how they are.

        :return: those that have ended.
        """
        ended: list[RunSummary] = []
        for number in undecided - self._asked.keys():
            self._asked[number] = asyncio.create_task(self._follow(number, poller))
        for number, task in list(self._asked.items()):
            if number not in undecided:
                task.cancel()
            elif not task.done():
                continue
            del self._asked[number]
            if number in undecided:
                run = task.result()
                if run is None:
                    self._ends.give_up(number)
                elif self._ends.is_end(run):
                    ended.append(run)
        return ended

    async def _follow(self, number: int, poller: RunPoller) -> Run | None:
        """Wait for the end of a run that the list does not show, or with a status that is not documented.

        :return: None if nobody can tell how it has ended.
        """
        tracker = api.tracking.RunTracker(float("inf"))
        subscription = poller.subscribe(number, poll_interval=self._trigger.poll_interval, age=3600.0)
        try:
            while True:
                seen = await subscription.next()
                if isinstance(seen, SchedulerXError):
                    if not tracker.observe_failure(seen, time.monotonic()):
                        self._log.warning("Workflow instance %s is no longer watched: %s", number, seen)
                        return None
                    continue
                verdict, _ = tracker.observe(cast("Any", seen), time.monotonic())
                if verdict is api.tracking.Verdict.UNDECIDED:
                    self._log.warning(
                        "Workflow instance %s is no longer watched: it shows the status %s, which is not documented",
                        number,
                        seen.status.value,
                    )
                    return None
                if verdict is not api.tracking.Verdict.ACTIVE:
                    return seen
        finally:
            poller.unsubscribe(subscription)

    async def _learn_name(self) -> None:
        if self._name is None:
            try:
                self._name = await definitions.workflow_name(self._settings, self._workflow_id)
            except SchedulerXError as error:
                self._log.info("The name of %s is not known: %s", self._trigger._label, error)


async def _end(watch: _Watch | None) -> None:
    if watch is not None:
        await watch.end()


async def _persistently(log: Any, ask: Any) -> Any:
    """Ask the store until it answers: without it, ends would be reported twice or never."""
    said = False
    while True:
        try:
            return await ask()
        except Exception as error:
            if not said:
                said = True
                log.warning(
                    "The state of the asset cannot be read or written: %s: %s", type(error).__name__, error
                )
            await asyncio.sleep(_PAUSE)


def _status_of(run: RunSummary) -> Status:
    """How an ended run counts: what is not documented, and known to be over, is not good."""
    return "success" if run.status.is_success else "failed"


def _check_statuses(statuses: Any) -> list[Status]:
    if isinstance(statuses, str) or not statuses:
        raise SchedulerXConfigurationError(
            f"statuses must be a list of some of {', '.join(map(repr, get_args(Status)))}, not {statuses!r:.80}",
            field="statuses",
        )
    return sorted({check_choice("statuses", status, Status) for status in statuses})
