"""Turns lists of a definition's runs into their ends, each of which is reported once.

Without network, clock or Airflow. What it remembers is a :class:`Cursor`, small enough to be stored after each list.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from airflow_provider_schedulerx.api.runs.kinds import RunSummary

#: Ended runs that are remembered at least. They have to be known for as long as a list may show them.
_LEAST_REMEMBERED = 200

#: Runs of which a store says that the report of their end has arrived, at most.
MAX_DELIVERED = 1000

#: A list with fewer runs is not cut off: 10 is the least that the service is known to list.
_SHORTEST_CUT_LIST = 10

_VERSION = 1


def delivered_key(watcher: str) -> str:
    """Return the key under which a store says which reports of a watcher have arrived."""
    return f"schedulerx.delivered.{watcher}"


@dataclass(frozen=True)
class Cursor:
    """Which runs are known, so that whoever goes on reports neither too much nor too little.

    Ids decide nothing by their size: the service does not document that they rise.

    :ivar pending: runs whose end has still to be reported: active ones, and those whose report may be lost.
    :ivar settled: runs whose end is not reported (any more), the newest last.
    :ivar listed: runs that the last list showed.
    """

    pending: frozenset[int] = frozenset()
    settled: tuple[int, ...] = ()
    listed: frozenset[int] = frozenset()

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "version": _VERSION,
            "pending": sorted(self.pending),
            "settled": list(self.settled),
            "listed": sorted(self.listed),
        }

    @classmethod
    def from_data(cls, data: Any) -> Self | None:
        """Return the cursor of which :meth:`to_data` made this; None if it is something else."""
        try:
            if data["version"] != _VERSION:
                return None
            numbers = {
                name: [int(number) for number in data[name]] for name in ("pending", "settled", "listed")
            }
        except (TypeError, ValueError, LookupError):
            return None
        return cls(frozenset(numbers["pending"]), tuple(numbers["settled"]), frozenset(numbers["listed"]))


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
        self._pending = set(cursor.pending)
        self._settled = dict.fromkeys(cursor.settled)
        self._listed = cursor.listed
        #: Reported here, though nobody knows yet whether the report has arrived.
        self._reported: set[int] = set()

    @property
    def cursor(self) -> Cursor:
        """What to store **before** anything that :meth:`observe` gave is reported."""
        return Cursor(frozenset(self._pending), tuple(self._settled), self._listed)

    @property
    def unconfirmed(self) -> frozenset[int]:
        """Runs whose report has been made here, and is not known to have arrived."""
        return frozenset(self._reported)

    def observe(self, listed: Sequence[RunSummary]) -> Seen:
        """Take in a list.

        :param listed: the newest first.
        """
        ids = frozenset(summary.instance_id for summary in listed)
        gap = self._gap(ids)
        ended = []
        decided = set()
        for summary in reversed(listed):
            number = summary.instance_id
            if number in self._settled:
                continue
            if number not in self._pending:
                if self._is_first and summary.status.is_terminal:
                    self._settle(number)
                    continue
                self._pending.add(number)
            if summary.status.is_known:
                decided.add(number)
            if summary.status.is_terminal and number not in self._reported:
                ended.append(summary)
        self._is_first = False
        self._listed = ids
        self._forget()
        return Seen(tuple(ended), frozenset(self._pending - decided - self._reported), gap)

    def report(self, instance_id: int) -> None:
        """Note that the end of a run is reported now. It stays pending until :meth:`settle` says that it has arrived."""
        self._reported.add(instance_id)

    def settle(self, instance_ids: Iterable[int]) -> None:
        """Note runs whose end has arrived, or is not to be reported."""
        for number in instance_ids:
            self._settle(number)

    def _settle(self, number: int) -> None:
        self._pending.discard(number)
        self._reported.discard(number)
        self._settled[number] = None

    def _gap(self, ids: frozenset[int]) -> str:
        if self._is_first or ids & self._listed or len(ids) < (1 if self._listed else _SHORTEST_CUT_LIST):
            return ""
        before = (
            f"none of the {len(self._listed)} runs listed before is among the {len(ids)} listed now"
            if self._listed
            else f"no run was listed before, and all {len(ids)} runs listed now are new"
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
                spare -= 1
