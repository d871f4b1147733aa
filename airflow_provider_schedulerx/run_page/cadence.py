"""When a snapshot is due: on change, at most every few seconds, and with a heartbeat; seldom where writes are slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_schedulerx.api.models import JobInstance

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
        self._stored: Run | None = None
        self._nodes: object = ()
        self._at = float("-inf")
        self._not_before = float("-inf")
        self._write_time = WriteTime()

    @property
    def has_stored(self) -> bool:
        return self._stored is not None

    def has_changed(self, instance: Run) -> bool:
        """Return whether an instance differs from what was stored last. One without nodes says nothing of them."""
        last = self._stored
        if last is None or (instance.status, instance.start_time, instance.end_time) != (
            last.status,
            last.start_time,
            last.end_time,
        ):
            return True
        # What is new of a job instance shows above; its only node lacks the name where a list shows it.
        is_job = isinstance(instance, JobInstance)
        return bool(instance.nodes) and not is_job and instance.nodes != self._nodes

    def is_due(self, instance: Run, now: float) -> bool:
        if self.has_changed(instance):
            # How a run ended is stored in any case; a pause after a fault or a slow write is no reason to lose it.
            return instance.status.is_terminal or now >= self._not_before
        return now >= max(self._not_before, self._at + HEARTBEAT)

    def stored(self, instance: Run, now: float, took: float, nodes: object = ()) -> None:
        """Take note of a write that has ended at ``now`` and took ``took`` seconds.

        :param nodes: what was stored with an instance that has none itself.
        """
        self._stored, self._nodes = instance, instance.nodes or nodes or self._nodes
        self._at = now
        self._not_before = now + max(MIN_PAUSE, self._write_time.pause_after(took))

    def failed(self, now: float) -> None:
        self._not_before = now + PAUSE_AFTER_FAULT
