"""Turns lists of a definition's runs into their ends, each of which is reported once.

Without network, clock or Airflow. What it remembers is a :class:`Cursor`, small enough to be stored after each list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from airflow_provider_schedulerx.api.runs.kinds import RunSummary

#: Ended runs that are remembered at least. They have to be known for as long as a list may show them.
_LEAST_REMEMBERED = 200

#: Runs of which a store says that the report of their end has arrived, at most.
MAX_DELIVERED = 1000

#: A list with fewer runs is not cut off: 10 is the least that the service is known to list.
_SHORTEST_CUT_LIST = 10

_VERSION = 2

#: Characters of a mark at most.
_MARK_LENGTH = 40

#: What a mark begins with.
_SUCCEEDED, _FAILED = "S", "F"


def delivered_key(watcher: str) -> str:
    """Return the key under which a store says which reports of a watcher have arrived."""
    return f"schedulerx.delivered.{watcher}"


def mark_of(is_success: bool, end_time: str | None) -> str:
    """Return a text that tells one end of a run from its next one, since a run can be continued under its id.

    :param end_time: the service's ``EndTime``, which may be missing.
    """
    return f"{_SUCCEEDED if is_success else _FAILED}{end_time or ''}"[:_MARK_LENGTH]


def _is_another(mark: str, before: str, was_active: bool) -> bool:
    """Whether an end is a later one than that of before.

    A list may come from a replica that lags, so what it shows need not be newer than what was seen before. And nobody
    documents that ``EndTime`` stays as it is. So a later time is needed and, unless the run was seen at work in between,
    another outcome. Without a later time, only a success follows a failure, so that no order of lists leads back.

    :param was_active: whether the run was seen at work in between.
    """
    is_other = mark[:1] != before[:1]
    if mark[1:] and before[1:] and mark[1:] != before[1:]:
        return mark[1:] > before[1:] and (is_other or was_active)
    # They may have ended in the same second.
    return was_active and (before[:1], mark[:1]) == (_FAILED, _SUCCEEDED)


@dataclass(frozen=True)
class Cursor:
    """Which runs are known, so that whoever goes on reports neither too much nor too little.

    Ids decide nothing by their size: the service does not document that they rise.

    :ivar pending: runs whose end has still to be reported: active ones, and those whose report may be lost; with the mark
        (:func:`mark_of`) of their last end, None if it is their first.
    :ivar settled: runs whose end is not reported (any more), with its mark, the newest last.
    :ivar listed: runs that the last list showed.
    :ivar resumed: those of the settled ones that were seen at work after that end, before a list showed it again.
    """

    pending: Mapping[int, str | None] = field(default_factory=dict)
    settled: Mapping[int, str] = field(default_factory=dict)
    listed: frozenset[int] = frozenset()
    resumed: frozenset[int] = frozenset()

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "version": _VERSION,
            "pending": sorted(map(list, self.pending.items())),
            "settled": [list(item) for item in self.settled.items()],
            "listed": sorted(self.listed),
            "resumed": sorted(self.resumed),
        }

    @classmethod
    def from_data(cls, data: Any) -> Self | None:
        """Return the cursor of which :meth:`to_data` made this; None if it is something else."""
        try:
            if data["version"] != _VERSION:
                return None
            pending = {int(number): None if mark is None else str(mark) for number, mark in data["pending"]}
            settled = {int(number): str(mark) for number, mark in data["settled"]}
            listed, resumed = (frozenset(map(int, data[name])) for name in ("listed", "resumed"))
            return cls(pending, settled, listed, resumed)
        except (TypeError, ValueError, LookupError):
            return None


@dataclass(frozen=True)
class Seen:
    """What a list says that is new.

    :ivar ended: runs whose end is to be reported, the oldest first.
    :ivar undecided: runs that are pending, and of which the list does not say how they are: it does not show them, or with
        a status that is not documented.
    :ivar gap: why ends may have been missed, in a sentence; empty if none was.
    """

    ended: tuple[RunSummary, ...] = ()
    undecided: frozenset[int] = frozenset()
    gap: str = ""


class Ends:
    """The ends of all runs of one definition.

    :param cursor: of whoever was here before; None if nobody was. Then the runs that have ended before the first list are
        not reported, and those that are active are, once they have ended.
    """

    def __init__(self, cursor: Cursor | None) -> None:
        self._is_first = cursor is None
        cursor = cursor or Cursor()
        self._pending = dict(cursor.pending)
        self._settled = dict(cursor.settled)
        self._listed = cursor.listed
        self._resumed = set(cursor.resumed)
        #: Reported here, though nobody knows yet whether the report has arrived; with the mark.
        self._reported: dict[int, str] = {}
        #: Those of them that were seen at work since.
        self._continued: set[int] = set()

    @property
    def cursor(self) -> Cursor:
        """What to store **before** anything that :meth:`observe` gave is reported."""
        return Cursor(dict(self._pending), dict(self._settled), self._listed, frozenset(self._resumed))

    @property
    def unconfirmed(self) -> dict[int, str]:
        """Runs whose report has been made here, and is not known to have arrived; with the mark of that end."""
        return dict(self._reported)

    def observe(self, listed: Sequence[RunSummary]) -> Seen:
        """Take in a list.

        :param listed: the newest first.
        """
        ids = frozenset(summary.instance_id for summary in listed)
        gap = self._gap(ids)
        ended = []
        decided = set()
        for summary in reversed(listed):
            number, status = summary.instance_id, summary.status
            is_active = status.is_known and not status.is_terminal
            if number in self._reported:
                if is_active:
                    self._continued.add(number)
                continue
            if number in self._settled:
                if not self._goes_on(summary, is_active):
                    continue
            elif number not in self._pending:
                if self._is_first and status.is_terminal:
                    self._settled[number] = _mark(summary)
                    continue
                self._pending[number] = None
            if status.is_known:
                decided.add(number)
            if status.is_terminal and self.is_end(summary):
                ended.append(summary)
        self._is_first = False
        self._listed = ids
        self._forget()
        undecided = frozenset(self._pending.keys() - decided - self._reported.keys())
        return Seen(tuple(ended), undecided, gap)

    def is_end(self, run: RunSummary) -> bool:
        """Whether the end of a pending run is to be reported. If it is the one of before, the run is settled again."""
        before = self._pending.get(run.instance_id)
        if before is None or _is_another(_mark(run), before, was_active=True):
            return run.instance_id in self._pending
        del self._pending[run.instance_id]
        self._settled[run.instance_id] = before
        # The list may lag, and the next one show the end of what was seen at work.
        self._resumed.add(run.instance_id)
        return False

    def report(self, run: RunSummary) -> None:
        """Note that the end of a run is reported now. It stays pending until :meth:`settle` says that it has arrived."""
        self._reported[run.instance_id] = _mark(run)

    def settle(self, marks: Mapping[int, str]) -> None:
        """Note ends that have arrived, each by its run and its mark. What is not pending is left as it is."""
        for number, mark in marks.items():
            # A note of the end before says nothing of the one that is awaited.
            if number not in self._pending or mark == self._pending[number]:
                continue
            del self._pending[number]
            self._reported.pop(number, None)
            if number in self._continued:
                self._continued.discard(number)
                self._pending[number] = mark
            else:
                self._settled[number] = mark

    def dismiss(self, run: RunSummary) -> None:
        """Note that the end of a run is not to be reported."""
        self.settle({run.instance_id: _mark(run)})

    def give_up(self, number: int) -> None:
        """Note that nobody can tell how a run ends. Nothing of it is reported any more."""
        if number in self._pending:
            del self._pending[number]
            self._settled[number] = ""

    def _goes_on(self, summary: RunSummary, is_active: bool) -> bool:
        """Whether a run that was settled has to be looked at; then it is pending again."""
        number, before = summary.instance_id, self._settled[summary.instance_id]
        if not before:
            return False
        if summary.status.is_terminal:
            mark = _mark(summary)
            if not _is_another(mark, before, was_active=number in self._resumed):
                if mark[:1] == before:  # its time comes late
                    self._settled[number] = mark
                return False
        elif not is_active:
            return False
        del self._settled[number]
        self._resumed.discard(number)
        self._pending[number] = before
        return True

    def _gap(self, ids: frozenset[int]) -> str:
        # Any known run will do, not only those of the last list: the service may list nothing once, or a replica may lag.
        known = self._pending.keys() | self._settled.keys()
        if self._is_first or ids & known or len(ids) < (1 if known else _SHORTEST_CUT_LIST):
            return ""
        before = (
            f"none of the {len(known)} runs known before is among the {len(ids)} listed now"
            if known
            else f"no run was known before, and all {len(ids)} runs listed now are new"
        )
        return f"{before}, so runs that began and ended in between may be missing"

    def _forget(self) -> None:
        """Let go of ended runs that no list will show again."""
        spare = len(self._settled) - max(_LEAST_REMEMBERED, 2 * len(self._listed))
        for number in list(self._settled):
            if spare <= 0:
                return
            if number not in self._listed:
                del self._settled[number]
                self._resumed.discard(number)
                spare -= 1


def _mark(run: RunSummary) -> str:
    """What is known to be over and not good counts as failed, whatever its status is called."""
    return mark_of(run.status.is_success, run.end_time)
