"""Runs that are polled by themselves, in the order in which they are due."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from airflow_provider_schedulerx.api.polling.congestion import now
from airflow_provider_schedulerx.api.polling.subscriptions import FollowedRun, Place


class DueRuns:
    """A heap. A run that was scheduled again, placed elsewhere or dropped since it was added is passed over.

    :param follows: whether anybody still waits for a run.
    """

    def __init__(self, follows: Callable[[FollowedRun], bool]) -> None:
        self._follows = follows
        self._heap: list[tuple[float, int, FollowedRun]] = []
        self._order = itertools.count()
        #: Called when a run is due before all others.
        self.on_earlier: Callable[[], None] = lambda: None

    def add(self, run: FollowedRun) -> None:
        """Add a run, which is due at its ``due_at``."""
        is_first = run.due_at < self.due_at
        heapq.heappush(self._heap, (run.due_at, next(self._order), run))
        if is_first:
            self.on_earlier()

    @property
    def due_at(self) -> float:
        """When the next single poll is due, in the event loop's time; infinite if none is."""
        while self._heap and not self._is_current(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else float("inf")

    def pop(self) -> FollowedRun | None:
        """Take the run that is most overdue, to be asked for and then published; None if none is due."""
        if self.due_at > now():
            return None
        run = heapq.heappop(self._heap)[2]
        run.place = Place.ASKED
        return run

    def clear(self) -> None:
        self._heap.clear()

    def _is_current(self, entry: tuple[float, int, FollowedRun]) -> bool:
        due_at, _, run = entry
        return run.place is Place.SINGLE and run.due_at == due_at and self._follows(run)
