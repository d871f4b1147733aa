"""Runs that are polled by themselves: which are due, and which of those was promised a poll first."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from airflow_provider_schedulerx.api.polling.congestion import now
from airflow_provider_schedulerx.api.polling.subscriptions import FollowedRun, Place

#: A time, which was the run's when it was added, the order in which it was, and the run.
_Entry = tuple[float, int, FollowedRun]


class DueRuns:
    """Two heaps: runs that are due later, by when, and those that are due, by when a poll was promised.

    A run that was scheduled again, placed elsewhere or dropped since it was added is passed over.

    :param follows: whether anybody still waits for a run.
    """

    def __init__(self, follows: Callable[[FollowedRun], bool]) -> None:
        self._follows = follows
        self._later: list[_Entry] = []
        self._due: list[_Entry] = []
        self._order = itertools.count()
        #: Called when a run is due before all others.
        self.on_earlier: Callable[[], None] = lambda: None

    def add(self, run: FollowedRun) -> None:
        """Add a run, which is due at its ``due_at``."""
        is_first = run.due_at < self.due_at
        heapq.heappush(self._later, (run.due_at, next(self._order), run))
        if is_first:
            self.on_earlier()

    @property
    def due_at(self) -> float:
        """When the next single poll is due, in the event loop's time; infinite if none is."""
        if (run := self._first_due()) is not None:
            return run.due_at
        return self._later[0][0] if self._later else float("inf")

    @property
    def promised_at(self) -> float:
        """By when one of those that are due was promised a poll; infinite if none is due."""
        run = self._first_due()
        return float("inf") if run is None else run.promised_at

    def pop(self) -> FollowedRun | None:
        """Take the run that was promised a poll first, to be asked for and then published; None if none is due."""
        if (run := self._first_due()) is None:
            return None
        heapq.heappop(self._due)
        run.place = Place.ASKED
        return run

    def clear(self) -> None:
        self._later.clear()
        self._due.clear()

    def _first_due(self) -> FollowedRun | None:
        while self._later and (not self._is_later(self._later[0]) or self._later[0][0] <= now()):
            due_at, order, run = heapq.heappop(self._later)
            if self._is_later((due_at, order, run)):
                heapq.heappush(self._due, (run.promised_at, order, run))
        while self._due and not self._is_due(self._due[0]):
            heapq.heappop(self._due)
        return self._due[0][2] if self._due else None

    def _is_later(self, entry: _Entry) -> bool:
        due_at, _, run = entry
        return run.place is Place.SINGLE and run.due_at == due_at and self._follows(run)

    def _is_due(self, entry: _Entry) -> bool:
        promised_at, _, run = entry
        return (
            run.place is Place.SINGLE
            and run.promised_at == promised_at
            and run.due_at <= now()
            and self._follows(run)
        )
