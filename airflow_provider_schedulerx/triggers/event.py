"""Start DAGs when a run of a SchedulerX workflow ends, whoever has started it. Needs Airflow 3.0."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, get_args

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
    is_literal,
)
from airflow_provider_schedulerx.hooks.definitions import check_one_definition
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.triggers import definitions
from airflow_provider_schedulerx.triggers.cursors import source_of
from airflow_provider_schedulerx.triggers.lists import RunLists
from airflow_provider_schedulerx.triggers.settings import warn_of_unknown_arguments
from airflow_provider_schedulerx.triggers.watching import Status, Watch

try:
    from airflow.triggers.base import BaseEventTrigger, TriggerEvent
except ImportError:
    raise ImportError(
        "WorkflowEventTrigger needs Airflow 3.0 or later, which has event-driven scheduling (AssetWatcher). With Airflow 2, "
        "schedule the DAG by time and wait with WorkflowInstanceSensor(data_time=...)"
    ) from None

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
    from airflow_provider_schedulerx.api.runs.kinds import RunSummary

    #: Ends that wait for their event, and None after the last.
    _Due = asyncio.Queue[tuple[Watch, RunSummary] | None]

#: Seconds between two tries after a fault that may pass soon, and after one that somebody has to fix.
_PAUSE, _LONG_PAUSE = 5.0, 60.0
#: Seconds after which a name is looked up again: it may have moved to another workflow.
_NAME_SECONDS = 600.0
#: Seconds between two events of a trigger, if there are few. Airflow makes one DAG run of events that its scheduler sees
#: together, but gives it only those up to the time of the first: the others wait for the next event (seen on 3.3.2).
_SPACING = 5.0
#: Seconds for which an event waits for those before it, at most, however many there are.
_SPACE = 60.0
#: Of the arguments; to be raised with each new one, so that an older triggerer takes it for no misspelt one.
_VERSION = 1


class WorkflowEventTrigger(BaseEventTrigger):
    """Fire whenever a run of a SchedulerX workflow ends, whoever has started it: SchedulerX's own schedule, say.

    For an ``AssetWatcher``::

        asset = Asset(
            name="nightly",
            uri="schedulerx://cn-hangzhou/<namespace>/<group>/101",
            watchers=[AssetWatcher(name="nightly", trigger=WorkflowEventTrigger(workflow_id=101))],
        )

        with DAG("after_nightly", schedule=[asset]): ...

    The payload of an event, which a task finds in ``triggering_asset_events`` as ``extra["payload"]``, has
    ``WfInstanceId``, ``workflow_id``, ``workflow_name``, ``status`` (``SUCCESS`` or ``FAILED``), the service's own
    ``ScheduleTime``, ``DataTime``, ``StartTime`` and ``EndTime`` as text, ``console_url``, and ``watcher``, a text that is
    the same for all events of this trigger.

    **Each end gives one event.** From Airflow 3.3 on that holds over restarts of the triggerer, too, also after
    ``kill -9``: a cursor is kept in the state store of the asset. Below 3.3 a triggerer that starts begins anew. In both
    cases the first poll of a workflow reports nothing that ended earlier. A run that has ended, and is then continued
    under the same id (its failed nodes run again), ends again, and gives another event.

    Events of one trigger are 5 seconds apart, if there are few: Airflow hands those that come closer together than its
    scheduler makes DAG runs to the DAG run of the next event.

    Runs are found in ``ListWorkflowInstance`` (Professional edition), whose length is not documented:
    perhaps 10. If more runs begin and end between two polls than it lists, some are missed, and the triggerer's log says
    so; then lower ``poll_interval``.

    :param workflow_id: id of the workflow.
    :param workflow_name: its exact name instead. It is looked up again every 10 minutes, so that a workflow that takes over the
        name is watched from then on.
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
        **others: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._version: int = others.pop("version", _VERSION)
        # Serialized by a newer version. A person who misspells an argument gives no version.
        if others and self._version <= _VERSION:
            raise TypeError(
                f"{type(self).__name__}() got an unexpected keyword argument {next(iter(others))!r}"
            )
        self._unknown = others
        for name, value in {
            "workflow_id": workflow_id,
            "workflow_name": workflow_name,
            "schedulerx_conn_id": schedulerx_conn_id,
            "region_id": region_id,
            "namespace": namespace,
            "namespace_source": namespace_source,
            "group_id": group_id,
        }.items():
            _check_no_template(name, value)
        check_one_definition(api.kinds.WORKFLOW_RUNS, workflow_id, workflow_name)
        self.workflow_id: int | None = None if workflow_id is None else check_id("workflow_id", workflow_id)
        self.workflow_name: str | None = (
            None if workflow_name is None else check_name("workflow_name", workflow_name)
        )
        self._named_until = 0.0
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
                "version": self._version,
                **self._unknown,
            },
        )

    @property
    def watcher(self) -> str:
        """A text that tells watchers of one asset apart. It stays as it is when only ``poll_interval`` changes, and with a
        version that has more arguments, of which none is given: the cursor is kept under it.
        """
        given = {name: value for name, value in self.serialize()[1].items() if value is not None}
        arguments = {name: value for name, value in given.items() if name not in ("poll_interval", "version")}
        return hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        return f"workflow {self.workflow_id if self.workflow_name is None else repr(self.workflow_name)}"

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each end, as long as the trigger lives; this never returns."""
        warn_of_unknown_arguments(self.log, sorted(self._unknown))
        metrics.report_polling()
        due: _Due = asyncio.Queue()
        # On its own: lists are not to wait for the spaces between events.
        watching = asyncio.create_task(self._watch(due))
        watching.add_done_callback(lambda _: due.put_nowait(None))
        try:
            while (found := await due.get()) is not None:
                watch, summary = found
                if await watch.is_stored(summary):
                    continue
                payload = watch.payload(summary)
                watch.emitted(summary)
                self.log.info("Workflow instance %s has ended: %s", summary.instance_id, payload["status"])
                yield TriggerEvent(payload)  # type: ignore[no-untyped-call]
                await asyncio.sleep(spacing(due.qsize()))
            await watching
        finally:
            watching.cancel()
            await asyncio.wait({watching})

    async def _watch(self, due: _Due) -> None:
        """Find ends, as long as nobody cancels this."""
        fault: str | None = None
        async with AsyncExitStack() as stack:
            lists = await stack.enter_async_context(
                RunLists(self, api.kinds.WORKFLOW_RUNS, self._identify, self.poll_interval)
            )
            watch: Watch | None = None
            stack.push_async_callback(lambda: _end(watch))
            while True:
                if self.workflow_name is not None and time.monotonic() > self._named_until:
                    await lists.close()
                try:
                    listed = await lists.next()
                    if watch is None or watch.source != self._source(lists):
                        await _end(watch)
                        watch = await Watch.begin(self, lists, self._source(lists))
                    for summary in await watch.observe(listed.summaries, lists.poller):
                        due.put_nowait((watch, summary))
                except SchedulerXError as error:
                    if (kind := type(error).__name__) != fault:
                        fault = kind
                        self.log.warning("The runs of %s cannot be listed: %s", self.label, error)
                    if not lists.is_open:
                        is_passing = isinstance(error, SchedulerXUnavailableError)
                        await asyncio.sleep(_PAUSE if is_passing else _LONG_PAUSE)
                    continue
                if fault is not None:
                    fault = None
                    self.log.info("The runs of %s can be listed again", self.label)

    async def _identify(self, settings: SchedulerXSettings) -> int:
        if self.workflow_name is not None:
            self._named_until = time.monotonic() + _NAME_SECONDS
            return await definitions.find_definition(settings, api.kinds.WORKFLOW_RUNS, self.workflow_name)
        assert self.workflow_id is not None  # noqa: S101 - one of them is given
        return self.workflow_id

    @staticmethod
    def _source(lists: RunLists) -> str:
        scope = lists.settings.scope
        return source_of((scope.region_id, scope.namespace, scope.group_id, lists.definition_id))


def spacing(waiting: int) -> float:
    """Return the seconds between an event and the next one, while so many wait."""
    return min(_SPACING, _SPACE / max(1, waiting))


async def _end(watch: Watch | None) -> None:
    if watch is not None:
        await watch.end()


def _check_no_template(name: str, value: Any) -> None:
    if not is_literal(value):
        raise SchedulerXConfigurationError(
            f"{name} is a template: {value!r:.80}. An event trigger is made when the DAG file is parsed, and Airflow renders none "
            "of its arguments: give the value itself",
            field=name,
        )


def _check_statuses(statuses: Any) -> list[Status]:
    if isinstance(statuses, str) or not isinstance(statuses, Iterable) or not statuses:
        raise SchedulerXConfigurationError(
            f"statuses must be a list of some of {', '.join(map(repr, get_args(Status)))}, not {statuses!r:.80}",
            field="statuses",
        )
    return sorted({check_choice("statuses", status, Status) for status in statuses})
