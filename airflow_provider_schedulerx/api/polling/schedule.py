"""The one decision on when each run of a definition is polled next, and when its list is asked for."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from airflow_provider_schedulerx.api.polling.congestion import now
from airflow_provider_schedulerx.api.polling.due import DueRuns
from airflow_provider_schedulerx.api.polling.intervals import first_delay, wished_interval
from airflow_provider_schedulerx.api.polling.subscriptions import FollowedRun, ListSubscription, Place

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.polling.rate_limit import RateLimiter

#: Seconds at least between two checks whether a shortage has become smaller.
_CATCH_UP = 5.0
#: Share of the budget of single polls from which on the list is used even for the only run of a definition.
_MUCH = 0.5


class Schedule:
    """Times in this class are the event loop's.

    :param runs: that are followed, by their ids; changed by their owner.
    :param observers: of the lists; likewise.
    :param list_budget: of listing the definition's runs.
    :param get_budget: of polling a run by itself.
    :ivar singles: runs that are polled by themselves.
    :ivar list_due_at: from when the list is asked for next, if the budget has room; infinite if nobody wants it.
    :ivar list_promised_at: by when that was promised.
    :ivar list_refused_until: until then runs are polled by themselves. Observers have nothing but the list, so it is
        asked for nevertheless, as often as they want it.
    :ivar usual_duration: seconds that runs take, as lists show; None if they do not.
    """

    def __init__(
        self,
        runs: Mapping[int, FollowedRun],
        observers: Collection[ListSubscription],
        list_budget: RateLimiter,
        get_budget: RateLimiter,
    ) -> None:
        self._runs = runs
        self._observers = observers
        self._list_budget = list_budget
        self._get_budget = get_budget
        self.singles: DueRuns = DueRuns(self.follows)
        self.list_due_at: float = float("inf")
        self.list_promised_at: float = float("inf")
        self.list_refused_until: float = float("-inf")
        self.usual_duration: float | None = None
        self._listed_at: float | None = None
        #: The longest time to which a shortage has stretched what is planned now.
        self._stretched: dict[Place, float] = {Place.LIST: 0.0, Place.SINGLE: 0.0}
        #: Called when the list is due earlier than before.
        self.on_list_due: Callable[[], None] = lambda: None

    def follows(self, run: FollowedRun) -> bool:
        """Return whether anybody still waits for this run."""
        return self._runs.get(run.instance_id) is run

    # Where a run is polled.

    def uses_list(self, run: FollowedRun) -> bool:
        """Return whether the list is to show a run."""
        return self._can_list and not run.is_unlisted and not run.is_doubted

    @property
    def is_list_shared(self) -> bool:
        """Whether one list serves several: runs, or observers too."""
        return len(self._runs) > 1 or bool(self._observers)

    @property
    def is_list_refused(self) -> bool:
        """Whether listing was refused, or failed, a while ago."""
        return now() < self.list_refused_until

    @property
    def wants_list(self) -> bool:
        """Whether the list, which is due, is still to be made."""
        if self._observers:
            return True
        if self.is_list_refused:
            return False
        return len(self._runs) > 1 or any(run.place is Place.LIST for run in self._runs.values())

    @property
    def _can_list(self) -> bool:
        """Whether listing is worth a call.

        The only run of a definition costs the same by itself, and brings its nodes; unless there are many such runs.
        """
        if self.is_list_refused or not self._runs:
            return False
        return self.is_list_shared or self._get_budget.load > max(_MUCH, self._list_budget.load)

    # When a run is polled.

    def plan(self, run: FollowedRun, latest: float = float("inf")) -> None:
        """Decide where and when a run is polled next. Nothing else does.

        :param latest: not later than this.
        """
        at, promised = now(), run.poll_interval
        wished = wished_interval(at - run.started_at, promised, self.usual_duration)
        is_new = run.seen_at is None
        if self.uses_list(run):
            run.place, budget = Place.LIST, self._list_budget
            self._get_budget.leave(run)
            if not self.is_list_shared:
                budget.demand(self, wished, promised, is_new=is_new)
        else:
            run.place, budget = Place.SINGLE, self._get_budget
            budget.demand(run, wished, promised, is_new=is_new)
            if not self.is_list_shared:
                self._list_budget.leave(self)
        interval = budget.interval(wished, promised)
        shortest = self._note_stretch(run.place, budget)
        run.promised_at = (run.joined_at if run.seen_at is None else run.seen_at) + max(promised, shortest)
        if run.seen_at is None:
            due_at = at + first_delay(promised, shortest)
        else:
            # Only downwards, since poll_interval is a promise.
            spread = random.uniform(0.8 if interval <= promised else 0.95, 1.0)  # noqa: S311
            due_at = max(at, run.seen_at + interval * spread)
        self._set_due(run, min(due_at, latest))

    def share_list(self) -> None:
        """Have runs that were alone polled by the list, which is made for somebody else too."""
        for run in list(self._runs.values()):
            if run.place is Place.SINGLE and self.uses_list(run):
                self.plan(run, run.due_at)

    def hurry(self, run: FollowedRun) -> None:
        """Poll a run before all others."""
        if run.place in (Place.LIST, Place.SINGLE):
            run.promised_at = float("-inf")
            self._set_due(run, float("-inf"))

    def forget(self, run: FollowedRun) -> None:
        """Note that nobody waits for a run any more."""
        self._get_budget.leave(run)

    def catch_up(self, place: Place) -> float:
        """Have polls come sooner, if they were planned in a shortage that has become smaller.

        :return: seconds after which to ask again; infinite without a shortage.
        """
        before = self._stretched[place]
        if not before or (self.list_due_at if place is Place.LIST else self.singles.due_at) == float("inf"):
            return float("inf")
        shortest = (self._list_budget if place is Place.LIST else self._get_budget).shortest_interval
        if shortest < 0.9 * before:
            self._stretched[place] = shortest
            for run in list(self._runs.values()):
                if run.place is place:
                    self.plan(run, run.due_at)
            if place is Place.LIST:
                self.plan_list()
        return max(_CATCH_UP, before / 10)

    def clear(self) -> None:
        """Forget all; the runs are forgotten one by one."""
        self._list_budget.leave(self)
        self.singles.clear()

    # When the list is made.

    def plan_observer(self, observer: ListSubscription) -> None:
        """Have the list made for somebody who has just begun to observe it."""
        if len(self._observers) == 1:
            self.plan_list()
            self.share_list()
        shortest = self._note_stretch(Place.LIST, self._list_budget)
        at = now()
        delay = first_delay(observer.poll_interval, shortest)
        self.expect_list(at + delay, at + max(observer.poll_interval, shortest))

    def plan_list(self) -> None:
        """Say how often the list is needed, and when it comes at the latest; also for runs that it did not show."""
        if not self.wants_list:
            self._list_budget.leave(self)
            return
        at = now()
        promises = [observer.poll_interval for observer in self._observers]
        wishes = promises.copy()
        if not self.is_list_refused:
            for run in self._runs.values():
                promises.append(run.poll_interval)
                if run.place is Place.LIST:
                    age = at - run.started_at
                    wishes.append(wished_interval(age, run.poll_interval, self.usual_duration))
        promised = min(promises)
        wished = min(wishes, default=promised)
        self._list_budget.demand(self, wished, promised, is_new=self._listed_at is None)
        shortest = self._note_stretch(Place.LIST, self._list_budget)
        interval = max(promised, shortest)
        if self._listed_at is None:
            self.expect_list(at + first_delay(promised, shortest), at + interval)
        else:
            self.expect_list(max(at, self._listed_at + interval), self._listed_at + interval)

    def begin_list(self) -> None:
        """Note that the list is asked for now."""
        self.list_due_at = self.list_promised_at = float("inf")
        self._listed_at = now()

    def expect_list(self, at: float, promised_at: float) -> None:
        """Have the list made from this time on, if the budget has room.

        :param promised_at: by when somebody was promised it.
        """
        self.list_promised_at = min(self.list_promised_at, promised_at)
        if at < self.list_due_at:
            self.list_due_at = at
            self.on_list_due()

    def forget_list(self) -> None:
        """Take back the list, if nobody wants it any more."""
        if not self.wants_list:
            self.list_due_at = self.list_promised_at = float("inf")
            self._list_budget.leave(self)

    def leave_to_single_polls(self) -> None:
        """Poll by themselves the runs that the list was to show, as far as it is not to show them any more."""
        self.list_due_at = self.list_promised_at = float("inf")
        self.plan_list()
        for run in list(self._runs.values()):
            if run.place is Place.LIST:
                self.plan(run)

    def _note_stretch(self, place: Place, budget: RateLimiter) -> float:
        shortest = budget.shortest_interval
        self._stretched[place] = max(self._stretched[place], shortest)
        return shortest

    def _set_due(self, run: FollowedRun, at: float) -> None:
        run.due_at = at
        if run.place is Place.LIST:
            self.expect_list(at, run.promised_at)
        else:
            self.singles.add(run)
