"""A wait for a run, and a run with all who wait for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum

from airflow_provider_schedulerx.api.exceptions import SchedulerXError
from airflow_provider_schedulerx.api.models import WorkflowInstance
from airflow_provider_schedulerx.api.wire.calls import Call

#: What a poll shows: how the run is, or why that could not be seen.
Observation = WorkflowInstance | SchedulerXError


@dataclass(eq=False)
class Subscription:
    """One wait for one run.

    :ivar poll_interval: seconds by which the end may be noticed late, if the budget allows.
    :ivar started_at: when the run was started, in the event loop's time.
    :ivar joined: number of the last poll that was asked for before.
    """

    wf_instance_id: int
    poll_interval: float
    started_at: float
    joined: int
    _observations: asyncio.Queue[Observation] = field(default_factory=asyncio.Queue)

    async def next(self) -> Observation:
        """Wait for the next observation. Nothing comes after one of a run that has ended."""
        return await self._observations.get()

    def put(self, observation: Observation) -> None:
        self._observations.put_nowait(observation)


class Place(Enum):
    """Where the next observation of a run comes from. Each has a time by which it comes or is tried again."""

    #: The next list of its workflow's runs.
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

    :ivar due_at: when it is polled next, in the event loop's time.
    :ivar seen_at: when it was polled last; None before the first time.
    :ivar is_unlisted: the last list did not show it.
    :ivar is_doubted: what the list says of it is not enough: its own poll says that it has not ended, or its status is
        not documented.
    :ivar was_active: it was seen active.
    """

    wf_instance_id: int
    started_at: float
    joined: int
    due_at: float
    place: Place = Place.LIST
    subscriptions: dict[Subscription, None] = field(default_factory=dict)
    seen_at: float | None = None
    is_unlisted: bool = False
    is_doubted: bool = False
    was_active: bool = False
    call: Call[WorkflowInstance] | None = None

    @property
    def poll_interval(self) -> float:
        """Seconds that everybody who waits for it agrees with."""
        return min(subscription.poll_interval for subscription in self.subscriptions)
