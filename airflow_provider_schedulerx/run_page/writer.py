"""Stores the snapshot of a run while it is followed: on change, at most every few seconds, and with a heartbeat.

Storing never fails or delays what follows the run. A fault is logged once, and the next snapshot is tried later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_schedulerx import version_compat
from airflow_provider_schedulerx.api.models import WorkflowInstance
from airflow_provider_schedulerx.run_page import XCOM_RUN
from airflow_provider_schedulerx.run_page.snapshot import MalformedSnapshotError, Snapshot

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.kinds import Run

#: Seconds between two snapshots of a run at least.
MIN_PAUSE = 3.0
#: Seconds after which an unchanged run is stored again, so that the page shows how fresh it is.
HEARTBEAT = 60.0
#: A pause is at least this many times what storing takes: no more than a tenth of the time goes into it.
PAUSE_PER_WRITE = 10.0
#: Seconds after a fault until the next attempt.
PAUSE_AFTER_FAULT = 60.0


class SnapshotWriter(Protocol):
    """What a task or trigger tells of the run it follows."""

    def observe(self, run: Run) -> None:
        """Take note of what was observed; store it if it is time to. Only runs of workflows have a page."""

    def close(self) -> None:
        """Observe nothing more."""


def for_task(ti: Any, log: Any) -> SnapshotWriter:
    """Return the writer for a worker.

    :param ti: the task instance of the context.
    :param log: where a fault is logged, once.
    """
    key = _key_of(ti)
    return NullWriter() if key is None else TaskSnapshotWriter(key, log)


def for_trigger(ti: Any) -> SnapshotWriter:
    """Return the writer for a trigger, whose event loop it never blocks.

    :param ti: the trigger's ``task_instance``; None for a trigger without a task.
    """
    from airflow_provider_schedulerx.run_page.queue import TriggerSnapshotWriter

    key = _key_of(ti)
    return NullWriter() if key is None else TriggerSnapshotWriter(key)


def _key_of(ti: Any) -> dict[str, Any] | None:
    """Return what tells a task instance from others, or None where nothing can be stored for it."""
    if not version_compat.has_run_page() or not version_compat.has_supervisor():
        return None
    key = {name: getattr(ti, name, None) for name in ("dag_id", "task_id", "run_id", "map_index")}
    return None if None in key.values() else key


class NullWriter:
    """Stores nothing: before Airflow 3.1, and where no Airflow runs the task."""

    def observe(self, run: Run) -> None:
        pass

    def close(self) -> None:
        pass


class WriteTime:
    """How long writes take: the shorter of the last two, so that a slow one (the first, say) is not held against all."""

    def __init__(self) -> None:
        self._last = 0.0

    def pause_after(self, took: float) -> float:
        """Return the seconds to wait after a write that took so many."""
        pause = PAUSE_PER_WRITE * min(took, self._last)
        self._last = took
        return pause


class Cadence:
    """Decides when a snapshot is due. All times are seconds of one clock."""

    def __init__(self) -> None:
        self._stored: WorkflowInstance | None = None
        self._nodes: object = ()
        self._at = float("-inf")
        self._not_before = float("-inf")
        self._write_time = WriteTime()

    @property
    def has_stored(self) -> bool:
        return self._stored is not None

    def has_changed(self, instance: WorkflowInstance) -> bool:
        """Return whether an instance differs from what was stored last. One without nodes says nothing of them."""
        last = self._stored
        if last is None or (instance.status, instance.start_time, instance.end_time) != (
            last.status,
            last.start_time,
            last.end_time,
        ):
            return True
        return bool(instance.nodes) and instance.nodes != self._nodes

    def is_due(self, instance: WorkflowInstance, now: float) -> bool:
        if self.has_changed(instance):
            # How a run ended is stored in any case; a pause after a fault or a slow write is no reason to lose it.
            return instance.status.is_terminal or now >= self._not_before
        return now >= max(self._not_before, self._at + HEARTBEAT)

    def stored(self, instance: WorkflowInstance, now: float, took: float) -> None:
        """Take note of a write that has ended at ``now`` and took ``took`` seconds."""
        self._stored, self._nodes = instance, instance.nodes or self._nodes
        self._at = now
        self._not_before = now + max(MIN_PAUSE, self._write_time.pause_after(took))

    def failed(self, now: float) -> None:
        self._not_before = now + PAUSE_AFTER_FAULT


class TaskSnapshotWriter:
    """Stores from a worker, between two polls.

    :param ti_key: ``dag_id``, ``task_id``, ``run_id`` and ``map_index``.
    :param log: where a fault is logged, once.
    :param monotonic: gives the seconds by which writes are spaced.
    """

    def __init__(
        self, ti_key: dict[str, Any], log: Any, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._ti_key = ti_key
        self._log = log
        self._monotonic = monotonic
        self._cadence = Cadence()
        self._last: Snapshot | None = None
        self._has_failed = False

    def observe(self, run: Run) -> None:
        began = self._monotonic()
        if not isinstance(run, WorkflowInstance) or not self._cadence.is_due(run, began):
            return
        try:
            self._store(run)
        except Exception as error:
            self._cadence.failed(self._monotonic())
            if not self._has_failed:
                self._log.warning("The run's page in Airflow stays behind; storing it failed: %r", error)
            self._has_failed = True
        else:
            ended = self._monotonic()
            self._cadence.stored(run, ended, ended - began)

    def _store(self, instance: WorkflowInstance) -> None:
        snapshot = Snapshot.of(instance, time.time(), mask=masked)
        if not snapshot.nodes and self._last is None:
            # The trigger may have stored them.
            self._last = parsed(version_compat.load_xcom(self._ti_key, XCOM_RUN))
        snapshot = snapshot.with_nodes_of(self._last)
        version_compat.store_xcom(self._ti_key, XCOM_RUN, snapshot.to_json())
        self._last = snapshot

    def close(self) -> None:
        pass


def parsed(value: Any) -> Snapshot | None:
    """Return a stored snapshot, or None if there is none that can be used."""
    try:
        return Snapshot.parse(value)
    except MalformedSnapshotError:
        return None


def masked(text: str) -> str:
    """Return a text without the secrets that Airflow knows of."""
    from airflow.providers.common.compat.sdk import redact

    return str(redact(text))


logger = logging.getLogger(__name__)
