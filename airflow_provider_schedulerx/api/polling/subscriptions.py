"""What a poll publishes and to whom: a wait for one run, an observer of lists, and a run with all who wait for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from airflow_provider_schedulerx.api.exceptions import SchedulerXError
from airflow_provider_schedulerx.api.runs.kinds import Run, RunSummary
from airflow_provider_schedulerx.api.wire.calls import Call

T = TypeVar("T")

#: Polls that wait for somebody to read them, at most: half an hour of lists at the usual interval, some 8 MB if each
#: shows 300 runs.
MOST_WAITING = 60

#: What a poll of a run shows: how the run is, or why that could not be seen.
Observation = Run | SchedulerXError


@dataclass(frozen=True, slots=True)
class ListedRuns:
    """A list of the runs of a workflow or job.

    :ivar summaries: of the runs, the newest first. How far back they reach is not documented.
    :ivar asked_at: when it was asked for, in the event loop's time: what happened later may not be in it.
    """

    summaries: tuple[RunSummary, ...]
    asked_at: float


#: What asking for a list shows: the runs, or why they could not be listed.
ListObservation = ListedRuns | SchedulerXError


class _Subscriber(Generic[T]):
    """Somebody to whom polls are published. If he does not read them, as while Airflow's database is away, the oldest go.

    :ivar poll_interval: seconds between two polls, at most, if the budget allows.
    :ivar joined: number of the last poll that was asked for before.
    """

    def __init__(self, poll_interval: float, joined: int) -> None:
        self.poll_interval = poll_interval
        self.joined = joined
        self._published: asyncio.Queue[T] = asyncio.Queue(MOST_WAITING)

    async def next(self) -> T:
        """Wait for what is published next."""
        return await self._published.get()

    def put(self, seen: T) -> None:
        if self._published.full():
            self._published.get_nowait()
        self._published.put_nowait(seen)


class Subscription(_Subscriber[Observation]):
    """One wait for one run. Nothing is published after an observation of a run that has ended.

    :ivar started_at: when the run was started, in the event loop's time.
    """

    def __init__(self, instance_id: int, poll_interval: float, started_at: float, joined: int) -> None:
        super().__init__(poll_interval, joined)
        self.instance_id = instance_id
        self.started_at = started_at


class ListSubscription(_Subscriber[ListObservation]):
    """One observer of the lists of a workflow or job."""


class Place(Enum):
    """Where the next observation of a run comes from. Each has a time by which it comes or is tried again."""

    #: The next list of its definition's runs.
    LIST = "list"
    #: A poll of its own.
    SINGLE = "single"
    #: A poll of its own that is under way, which ends by its timeout.
    ASKED = "asked"
    #: The list shows that it has ended, and its nodes are fetched, which ends by the deadline.
    ENDING = "ending"


@dataclass(eq=False)
class FollowedRun:
    """A run that somebody waits for.

    :ivar joined: number of the last poll that was asked for before it was followed, and ``joined_at`` the time of that.
    :ivar due_at: from when it is polled next, in the event loop's time, if the budget has room.
    :ivar promised_at: by when that was promised: of all that are due, the earliest is polled first.
    :ivar seen_at: when it was polled last; None before the first time.
    :ivar is_unlisted: the last list did not show it.
    :ivar is_doubted: what the list says of it is not enough: its own poll says that it has not ended, or its status is
        not documented.
    :ivar was_active: it was seen active.
    :ivar lacks_nodes: the last list showed it active, and nothing of its nodes.
    :ivar nodes_seen_at: when its nodes were seen last.
    :ivar last_poll: number of the last poll that was published.
    """

    instance_id: int
    started_at: float
    joined: int
    joined_at: float
    due_at: float = float("inf")
    promised_at: float = float("inf")
    place: Place = Place.LIST
    subscriptions: dict[Subscription, None] = field(default_factory=dict)
    seen_at: float | None = None
    is_unlisted: bool = False
    is_doubted: bool = False
    was_active: bool = False
    lacks_nodes: bool = False
    nodes_seen_at: float = float("-inf")
    last_poll: int = 0
    call: Call[Run] | None = None

    @property
    def poll_interval(self) -> float:
        """Seconds that everybody who waits for it agrees with."""
        return min(subscription.poll_interval for subscription in self.subscriptions)
