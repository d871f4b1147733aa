"""Stores the snapshots of a run while it is followed. This never fails the task, and a slow write does not hold it up.

A fault is logged once, and the next snapshot is tried later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_schedulerx.run_page import XCOM_RUN
from airflow_provider_schedulerx.version_compat import supervisors, versions, xcoms

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.kinds import Run
    from airflow_provider_schedulerx.run_page.snapshot import Snapshot

#: Seconds that a task waits at a poll, whatever is being written: usually that takes a few hundredths. How a run ended is
#: worth more.
PATIENCE, PATIENCE_AT_THE_END = 1.0, 5.0


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
    return NullWriter() if key is None else TaskSnapshotWriter(key, log, try_number=_try_of(ti))


def for_trigger(ti: Any) -> SnapshotWriter:
    """Return the writer for a trigger. It takes its event loop some milliseconds, and only at a write.

    :param ti: the trigger's ``task_instance``; None for a trigger without a task.
    """
    from airflow_provider_schedulerx.run_page.queue import TriggerSnapshotWriter

    key = _key_of(ti)
    return NullWriter() if key is None else TriggerSnapshotWriter(key, try_number=_try_of(ti))


def _key_of(ti: Any) -> dict[str, Any] | None:
    """Return what tells a task instance from others, or None where nothing can be stored for it."""
    if not versions.has_run_page() or not supervisors.has_supervisor():
        return None
    key = {name: getattr(ti, name, None) for name in ("dag_id", "task_id", "run_id", "map_index")}
    return None if None in key.values() else key


def _try_of(ti: Any) -> int | None:
    number = getattr(ti, "try_number", None)
    return number if isinstance(number, int) else None


class NullWriter:
    """Stores nothing: before Airflow 3.1, and where no Airflow runs the task."""

    def observe(self, run: Run) -> None:
        pass

    def close(self) -> None:
        pass


class TaskSnapshotWriter:
    """Stores from a worker, between two polls, of which no write delays the next for longer than :data:`PATIENCE`. The end
    of a task waits for :data:`PATIENCE_AT_THE_END` at most.

    A write is a request to the task's supervisor, which may take minutes while Airflow's API is away. So it is made in a
    thread; one that is late is left alone, and meanwhile none is begun. Airflow 3.1 takes requests from one thread only,
    and ``dag.test()`` has no supervisor: there, the task waits, and nothing is begun while the API is away.

    :param ti_key: ``dag_id``, ``task_id``, ``run_id`` and ``map_index``.
    :param log: where a fault is logged, once.
    :param monotonic: gives the seconds by which writes are spaced.
    :param try_number: of the task instance.
    """

    def __init__(
        self,
        ti_key: dict[str, Any],
        log: Any,
        monotonic: Callable[[], float] = time.monotonic,
        try_number: int | None = None,
    ) -> None:
        # Imported here, since every DAG file imports this module and few of its tasks run.
        from airflow_provider_schedulerx.run_page.cadence import Cadence

        self._ti_key = ti_key
        self._log = log
        self._monotonic = monotonic
        self._try_number = try_number
        self._cadence = Cadence()
        self._last: Snapshot | None = None
        self._has_failed = False
        self._write: _Write | None = None

    def observe(self, instance: Run) -> None:
        is_end = instance.status.is_terminal
        began = self._monotonic()
        until = began + (PATIENCE_AT_THE_END if is_end else PATIENCE)
        if self._write is not None and not self._is_done(self._write, until if is_end else began):
            return
        if not self._cadence.is_due(instance, self._monotonic()):
            return
        self._write = _Write(instance, time.time(), self._store, self._monotonic)
        if supervisors.takes_requests_from_threads():
            self._write.start()
        else:
            self._write.run()
        self._is_done(self._write, until)

    def _is_done(self, write: _Write, until: float) -> bool:
        """Wait for a write, and take note of how it ended.

        :param until: for how long to wait, in the seconds of our clock.
        :return: whether it has.
        """
        if not write.wait(max(0.0, until - self._monotonic())):
            return False
        self._write = None
        if write.error is None:
            self._cadence.stored(write.instance, write.ended, write.ended - write.began)
        else:
            self._cadence.failed(write.ended)
            if not self._has_failed:
                self._log.warning(
                    "The run's page in Airflow is out of date, because storing it failed: %r", write.error
                )
            self._has_failed = True
        return True

    def _store(self, instance: Run, observed_at: float) -> None:
        from airflow_provider_schedulerx.run_page.encoding import encode
        from airflow_provider_schedulerx.run_page.snapshot import Snapshot

        supervisors.check_api(PATIENCE)
        snapshot = Snapshot.of(instance, observed_at, mask=masked, try_number=self._try_number)
        if snapshot.is_partial and self._last is None:
            # The trigger may have stored them.
            self._last = parsed(xcoms.load_xcom(self._ti_key, XCOM_RUN))
        snapshot = snapshot.with_nodes_of(self._last)
        xcoms.store_xcom(self._ti_key, XCOM_RUN, encode(snapshot))
        self._last = snapshot

    def close(self) -> None:
        pass


class _Write:
    """One write of a worker.

    :ivar error: why it failed.
    :ivar ended: when, by the same clock as ``began``.
    """

    def __init__(
        self,
        instance: Run,
        observed_at: float,
        store: Callable[[Run, float], None],
        monotonic: Callable[[], float],
    ) -> None:
        self.instance = instance
        self.began = self.ended = monotonic()
        self.error: BaseException | None = None
        self._observed_at = observed_at
        self._store = store
        self._monotonic = monotonic
        self._done = threading.Event()

    def start(self) -> None:
        # A daemon, because no task waits for its page.
        threading.Thread(target=self.run, name="schedulerx-run-page", daemon=True).start()

    def run(self) -> None:
        try:
            self._store(self.instance, self._observed_at)
        except BaseException as error:
            self.error = error
            # In the task's own thread, its time limit may strike here.
            if not isinstance(error, Exception):
                raise
        finally:
            self.ended = self._monotonic()
            self._done.set()

    def wait(self, seconds: float) -> bool:
        return self._done.wait(seconds)


def parsed(value: Any) -> Snapshot | None:
    """Return a stored snapshot, or None if there is none that can be used."""
    from airflow_provider_schedulerx.run_page.encoding import MalformedSnapshotError, decode

    try:
        return decode(value)
    except MalformedSnapshotError:
        return None


def masked(text: str) -> str:
    """Return a text without the secrets that Airflow knows of."""
    from airflow.providers.common.compat.sdk import redact

    return str(redact(text))


logger: logging.Logger = logging.getLogger(__name__)
