"""The runs of one workflow that are followed, and the one decision on when each is polled next."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_schedulerx.api.models import WorkflowInstance
from airflow_provider_schedulerx.api.polling.congestion import now
from airflow_provider_schedulerx.api.polling.due import DueRuns
from airflow_provider_schedulerx.api.polling.intervals import wished_interval
from airflow_provider_schedulerx.api.polling.reporting import Metric, count_followed, report
from airflow_provider_schedulerx.api.polling.subscriptions import (
    FollowedRun,
    Observation,
    Place,
    Subscription,
)

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.polling.rate_limit import RateLimiter

#: Seconds within which a run that is new here is polled, so that a crowd that arrives together is seen by one list.
_FIRST_POLL = 1.0
#: Seconds at least between two checks whether a shortage has become smaller.
_CATCH_UP = 5.0
#: Share of the budget of single polls from which on the list is used even for the only run of a workflow.
_MUCH = 0.5


class FollowedRuns:
    """All runs of one workflow that are followed.

    :param list_budget: of listing the workflow's runs.
    :param get_budget: of polling a run by itself.
    """

    def __init__(self, list_budget: RateLimiter, get_budget: RateLimiter) -> None:
        self._list_budget = list_budget
        self._get_budget = get_budget
        self._runs: dict[int, FollowedRun] = {}
        self.singles = DueRuns(self.follows)
        self._polls = itertools.count(1)
        self._last_poll = 0
        self.list_due_at = float("inf")
        self.list_refused_until = float("-inf")
        self.usual_duration: float | None = None
        self._listed_at = float("-inf")
        #: The longest time to which a shortage has stretched what is scheduled now.
        self._stretched: dict[Place, float] = {Place.LIST: 0.0, Place.SINGLE: 0.0}
        #: Called when the list is due earlier than before.
        self.on_list_due: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def all(self) -> list[FollowedRun]:
        """The runs as they are now; the list may be changed."""
        return list(self._runs.values())

    def follows(self, run: FollowedRun) -> bool:
        """Return whether anybody still waits for this run."""
        return self._runs.get(run.wf_instance_id) is run

    # Who waits.

    def subscribe(self, wf_instance_id: int, poll_interval: float, age: float) -> Subscription:
        """Begin to wait for a run.

        :param poll_interval: seconds by which its end may be noticed late, if the budget allows.
        :param age: seconds since it was started.
        """
        started_at = now() - age
        subscription = Subscription(wf_instance_id, poll_interval, started_at, self._last_poll)
        run = self._runs.get(wf_instance_id)
        if run is None:
            run = FollowedRun(wf_instance_id, started_at, self._last_poll, float("inf"))
            self._runs[wf_instance_id] = run
            count_followed(1)
            if len(self._runs) == 2:
                # The first one is no longer alone.
                for other in self.all:
                    if other.place is Place.SINGLE and self.uses_list(other):
                        self.schedule(other, other.due_at)
        run.subscriptions[subscription] = None
        if run.place in (Place.LIST, Place.SINGLE):
            # Those who join do not make polls come later, nor at once: else 20 waits for a run would cost 20 polls.
            self.schedule(run, run.due_at)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a wait, also one that has ended already."""
        run = self._runs.get(subscription.wf_instance_id)
        if run is not None and subscription in run.subscriptions:
            del run.subscriptions[subscription]
            if not run.subscriptions:
                self._drop(run)

    def next_poll(self) -> int:
        """Number a poll that is about to be made. Who joins later does not get its result: it may be older."""
        self._last_poll = next(self._polls)
        return self._last_poll

    def publish(self, run: FollowedRun, observation: Observation, poll: int) -> None:
        """Tell a poll to all who waited for the run when it was made, and schedule the next if it is not over."""
        if not self.follows(run):
            return
        before, run.seen_at = run.seen_at, now()
        is_over = isinstance(observation, WorkflowInstance) and observation.status.is_terminal
        if is_over and before is not None:
            report(Metric.END_DELAY, (run.seen_at - before) * 1000)
        run.was_active = run.was_active or (isinstance(observation, WorkflowInstance) and not is_over)
        for subscription in list(run.subscriptions):
            if subscription.joined < poll:
                subscription.put(observation)
                if is_over:
                    del run.subscriptions[subscription]
        if run.subscriptions:
            self.schedule(run)
        else:
            self._drop(run)

    def clear(self) -> None:
        """Forget all runs."""
        for run in self.all:
            self._drop(run)
        self._list_budget.leave(self)
        self.singles.clear()

    def _drop(self, run: FollowedRun) -> None:
        del self._runs[run.wf_instance_id]
        self._get_budget.leave(run)
        count_followed(-1)

    # When each is polled next.

    def schedule(self, run: FollowedRun, latest: float = float("inf")) -> None:
        """Decide where and when a run is polled next. Nothing else does.

        :param latest: in the event loop's time; not later than this.
        """
        at, promised = now(), run.poll_interval
        wished = wished_interval(at - run.started_at, promised, self.usual_duration)
        if self.uses_list(run):
            run.place, budget = Place.LIST, self._list_budget
            self._get_budget.leave(run)
            if len(self._runs) == 1:
                budget.demand(self, wished, promised)
        else:
            run.place, budget = Place.SINGLE, self._get_budget
            budget.demand(run, wished, promised)
            if len(self._runs) == 1:
                self._list_budget.leave(self)
        interval = budget.interval(wished, promised)
        shortest = budget.shortest_interval
        self._stretched[run.place] = max(self._stretched[run.place], shortest)
        if run.seen_at is None:
            # A crowd of new runs takes its turns among the others, if there is not enough for all.
            due_at = at + random.uniform(0, max(shortest, min(_FIRST_POLL, promised / 10)))  # noqa: S311
        else:
            # Only downwards, since poll_interval is a promise.
            spread = random.uniform(0.8 if interval <= promised else 0.95, 1.0)  # noqa: S311
            due_at = max(at, run.seen_at + interval * spread)
        self._set_due(run, min(due_at, latest))

    def catch_up(self, place: Place) -> float:
        """Have polls come sooner, if they were scheduled in a shortage that has become smaller.

        :return: seconds after which to ask again; infinite without a shortage.
        """
        before = self._stretched[place]
        if not before or (self.list_due_at if place is Place.LIST else self.singles.due_at) == float("inf"):
            return float("inf")
        shortest = (self._list_budget if place is Place.LIST else self._get_budget).shortest_interval
        if shortest < 0.9 * before:
            self._stretched[place] = shortest
            for run in self.all:
                if run.place is place:
                    self.schedule(run, run.due_at)
            if place is Place.LIST:
                self.schedule_list()
        return max(_CATCH_UP, before / 10)

    def hurry(self, subscription: Subscription) -> None:
        """Poll the run of a subscription before all others."""
        run = self._runs.get(subscription.wf_instance_id)
        if run is not None and run.place in (Place.LIST, Place.SINGLE):
            self._set_due(run, float("-inf"))

    def uses_list(self, run: FollowedRun) -> bool:
        """Return whether the list is to show a run."""
        return self.can_list and not run.is_unlisted and not run.is_doubted

    @property
    def can_list(self) -> bool:
        """Whether listing is worth a call.

        The only run of a workflow costs the same by itself, and brings its nodes; unless there are many such runs.
        """
        if now() < self.list_refused_until or not self._runs:
            return False
        return len(self._runs) > 1 or self._get_budget.load > max(_MUCH, self._list_budget.load)

    @property
    def wants_list(self) -> bool:
        """Whether the list, which is due, is still to be made."""
        if now() < self.list_refused_until:
            return False
        return len(self._runs) > 1 or any(run.place is Place.LIST for run in self._runs.values())

    def schedule_list(self) -> None:
        """Say how often the list is needed, and when it comes at the latest; also for runs that it did not show."""
        if not self.wants_list:
            self._list_budget.leave(self)
            return
        at = now()
        runs = self.all
        promised = min(run.poll_interval for run in runs)
        wished = min(
            (
                wished_interval(at - run.started_at, run.poll_interval, self.usual_duration)
                for run in runs
                if run.place is Place.LIST
            ),
            default=promised,
        )
        self._list_budget.demand(self, wished, promised)
        self.expect_list(max(at, self._listed_at + self._list_budget.interval(promised, promised)))

    def begin_list(self) -> int:
        """Note that the list is asked for.

        :return: the number of the poll.
        """
        self.list_due_at, self._listed_at = float("inf"), now()
        return self.next_poll()

    def expect_list(self, at: float) -> None:
        """Have the list made by this time."""
        if at < self.list_due_at:
            self.list_due_at = at
            self.on_list_due()

    def _set_due(self, run: FollowedRun, at: float) -> None:
        run.due_at = at
        if run.place is Place.LIST:
            self.expect_list(at)
        else:
            self.singles.add(run)
