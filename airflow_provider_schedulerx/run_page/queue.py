"""Stores snapshots from a triggerer: one at a time for all of its triggers, and not more than one a second.

Each write is a request to the triggerer's supervisor, which also delivers events. So what a thousand waiting runs store
is bounded: changes go first, heartbeats come as seldom as they have to, and slow writes are followed by long pauses.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import time
import weakref
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from airflow_provider_schedulerx.run_page import XCOM_RUN
from airflow_provider_schedulerx.run_page.cadence import Cadence, WriteTime
from airflow_provider_schedulerx.run_page.encoding import encode
from airflow_provider_schedulerx.run_page.snapshot import Snapshot
from airflow_provider_schedulerx.run_page.writer import logger, masked, parsed
from airflow_provider_schedulerx.version_compat import xcoms

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.kinds import Run

#: Seconds between two writes of a triggerer at least. Each takes its processes some 27 ms (benchmarks.run_page).
MIN_PAUSE_OF_ALL = 1.0
_MAX_PAUSE_OF_ALL = 30.0
#: Seconds for which the end of a run may still be stored after its trigger has ended. Then the worker does it, and
#: what is stored later must not replace what the worker stored.
_GRACE = 0.5
#: Nodes that are masked and encoded in the event loop. With 300 secrets to look for, 20 with results as long as may be
#: take 13 ms, and 500 would take 330 ms (benchmarks.run_page).
_MAX_NODES_IN_LOOP = 20

T = TypeVar("T")


async def _in_thread_if_long(what: Run | Snapshot, function: Callable[..., T], *arguments: Any) -> T:
    if len(what.nodes) <= _MAX_NODES_IN_LOOP:
        return function(*arguments)
    return await asyncio.to_thread(function, *arguments)


def _now() -> float:
    return asyncio.get_running_loop().time()


class Priority(IntEnum):
    """What is stored before what."""

    CHANGE = 0
    #: The first snapshot of a trigger. After a restart all triggers have one, and the worker has stored one before.
    FIRST = 1
    HEARTBEAT = 2


class _Observed(NamedTuple):
    """:ivar at: epoch seconds."""

    run: Run
    at: float


class TriggerSnapshotWriter:
    """Hands the newest observation of a trigger's run to the queue of its event loop.

    :param ti_key: ``dag_id``, ``task_id``, ``run_id`` and ``map_index``.
    :param try_number: of the task instance.
    :ivar priority: of what waits.
    """

    def __init__(self, ti_key: dict[str, Any], try_number: int | None = None) -> None:
        self._ti_key = ti_key
        self._try_number = try_number
        self._cadence = Cadence()
        self._last: Snapshot | None = None
        self._pending: _Observed | None = None
        #: The newest observation with nodes, until they are stored. Most polls bring none.
        self._with_nodes: _Observed | None = None
        self._is_over = False
        self.priority: Priority = Priority.HEARTBEAT
        self._expires = float("inf")
        self._has_failed = False

    def observe(self, run: Run) -> None:
        self._is_over = run.status.is_terminal
        observed = _Observed(run, time.time())
        if run.nodes:
            self._with_nodes = observed
        newest = [observed] if self._with_nodes is None else [observed, self._with_nodes]
        if not any(self._cadence.is_due(each, _now()) for each, _ in newest):
            return
        self._pending = observed
        self.priority = Priority.HEARTBEAT
        if any(self._cadence.has_changed(each) for each, _ in newest):
            is_change = self._cadence.has_stored or run.status.is_terminal
            self.priority = Priority.CHANGE if is_change else Priority.FIRST
        SnapshotQueue.of_this_loop().put(self)

    def close(self) -> None:
        self._expires = _now() + (_GRACE if self._is_over else 0.0)

    @property
    def _has_expired(self) -> bool:
        return _now() >= self._expires

    async def write(self) -> bool:
        """Store the newest observation.

        :return: whether there was one.
        """
        pending, self._pending = self._pending, None
        if pending is None or self._has_expired:
            return False
        instance = pending.run
        with_nodes = pending if instance.nodes else self._with_nodes
        began = _now()
        try:
            snapshot = await self._snapshot(pending, with_nodes)
            text = await _in_thread_if_long(snapshot, encode, snapshot)
            if self._has_expired:
                return True
            await xcoms.astore_xcom(self._ti_key, XCOM_RUN, text)
        except Exception as error:
            self._cadence.failed(_now())
            if not self._has_failed:
                logger.warning("No snapshot of %s: %r", instance.label, error)
            self._has_failed = True
        else:
            self._last = snapshot
            if self._with_nodes is with_nodes:
                self._with_nodes = None
            ended = _now()
            nodes = () if with_nodes is None else with_nodes.run.nodes
            self._cadence.stored(instance, ended, ended - began, nodes)
        return True

    async def _snapshot(self, observed: _Observed, with_nodes: _Observed | None) -> Snapshot:
        snapshot = await self._taken(observed)
        if not snapshot.is_partial:
            return snapshot
        older = self._last
        if with_nodes is not None and with_nodes is not observed:
            older = await self._taken(with_nodes)
        elif older is None:
            # Stored by the worker before it deferred, or by the triggerer that had this trigger before.
            older = parsed(await xcoms.aload_xcom(self._ti_key, XCOM_RUN))
        return snapshot.with_nodes_of(older)

    async def _taken(self, observed: _Observed) -> Snapshot:
        take = functools.partial(Snapshot.of, mask=masked, try_number=self._try_number)
        return await _in_thread_if_long(observed.run, take, *observed)


class SnapshotQueue:
    """The writers of one event loop that have something to store."""

    _of_loop: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, SnapshotQueue]] = (
        weakref.WeakKeyDictionary()
    )

    def __init__(self) -> None:
        self._waiting: dict[TriggerSnapshotWriter, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._write_time = WriteTime()

    @classmethod
    def of_this_loop(cls) -> SnapshotQueue:
        return cls._of_loop.setdefault(asyncio.get_running_loop(), cls())

    def put(self, writer: TriggerSnapshotWriter) -> None:
        self._waiting[writer] = None
        if self._task is None or self._task.done():
            # A task of its own, which no trigger's end cancels, and whose lines are in no trigger's log.
            self._task = asyncio.create_task(self._drain(), context=contextvars.Context())

    async def _drain(self) -> None:
        while self._waiting:
            writer = min(self._waiting, key=lambda each: each.priority)
            del self._waiting[writer]
            began = _now()
            if await writer.write():
                pause = self._write_time.pause_after(_now() - began)
                await asyncio.sleep(min(_MAX_PAUSE_OF_ALL, max(MIN_PAUSE_OF_ALL, pause)))
