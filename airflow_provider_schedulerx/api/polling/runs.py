"""Who is interested in the runs of one definition: waits for single runs, and observers of its lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_schedulerx.api.exceptions import SchedulerXError
from airflow_provider_schedulerx.api.polling.congestion import now
from airflow_provider_schedulerx.api.polling.reporting import Metric, count_followed, report
from airflow_provider_schedulerx.api.polling.schedule import Schedule
from airflow_provider_schedulerx.api.polling.subscriptions import (
    FollowedRun,
    ListObservation,
    ListSubscription,
    Observation,
    Place,
    Subscription,
)

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.polling.rate_limit import RateLimiter


class FollowedRuns:
    """All runs of one definition that are followed, and all who observe its lists.

    :param list_budget: of listing the definition's runs.
    :param get_budget: of polling a run by itself.
    :ivar schedule: decides when each is polled next.
    """

    def __init__(self, list_budget: RateLimiter, get_budget: RateLimiter) -> None:
        self._runs: dict[int, FollowedRun] = {}
        self._observers: dict[ListSubscription, None] = {}
        self._last_poll = 0
        self.schedule: Schedule = Schedule(self._runs, self._observers, list_budget, get_budget)

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def all(self) -> list[FollowedRun]:
        """The runs as they are now; the list may be changed."""
        return list(self._runs.values())

    def follows(self, run: FollowedRun) -> bool:
        """Return whether anybody still waits for this run."""
        return self.schedule.follows(run)

    def next_poll(self) -> int:
        """Number a poll that is about to be made. Who joins later does not get its result: it may be older."""
        self._last_poll += 1
        return self._last_poll

    # Waits for a run.

    def subscribe(self, instance_id: int, poll_interval: float, age: float) -> Subscription:
        """Begin to wait for a run.

        :param poll_interval: seconds by which its end may be noticed late, if the budget allows.
        :param age: seconds since it was started.
        """
        started_at = now() - age
        subscription = Subscription(instance_id, poll_interval, started_at, self._last_poll)
        run = self._runs.get(instance_id)
        if run is None:
            run = FollowedRun(instance_id, started_at, self._last_poll, now())
            self._runs[instance_id] = run
            count_followed(1)
            if len(self._runs) == 2:
                # The first one is no longer alone.
                self.schedule.share_list()
        run.subscriptions[subscription] = None
        if run.place in (Place.LIST, Place.SINGLE):
            # Those who join do not make polls come later, nor at once: else 20 waits for a run would cost 20 polls.
            self.schedule.plan(run, run.due_at)
        return subscription

    def unsubscribe(self, subscription: Subscription | ListSubscription) -> None:
        """End a wait or an observation, also one that has ended already."""
        if isinstance(subscription, ListSubscription):
            if subscription in self._observers:
                del self._observers[subscription]
                self.schedule.forget_list()
            return
        run = self._runs.get(subscription.instance_id)
        if run is not None and subscription in run.subscriptions:
            del run.subscriptions[subscription]
            if not run.subscriptions:
                self._drop(run)

    def publish(self, run: FollowedRun, observation: Observation, poll: int) -> None:
        """Tell a poll to all who waited for the run when it was made, and plan the next if it is not over."""
        if not self.follows(run):
            return
        before, run.seen_at, run.last_poll = run.seen_at, now(), poll
        if not isinstance(observation, SchedulerXError) and observation.nodes:
            run.nodes_seen_at = run.seen_at
        status = None if isinstance(observation, SchedulerXError) else observation.status
        is_over = status is not None and status.is_terminal
        if is_over and before is not None:
            report(Metric.END_DELAY, (run.seen_at - before) * 1000)
        run.was_active = run.was_active or (status is not None and not is_over)
        for subscription in list(run.subscriptions):
            if subscription.joined < poll:
                subscription.put(observation)
                if is_over:
                    del run.subscriptions[subscription]
        if run.subscriptions:
            self.schedule.plan(run)
        else:
            self._drop(run)

    def hurry(self, subscription: Subscription | ListSubscription) -> None:
        """Poll the run of a subscription, or make the list, before all others."""
        if isinstance(subscription, ListSubscription):
            self.schedule.expect_list(float("-inf"), float("-inf"))
            return
        run = self._runs.get(subscription.instance_id)
        if run is not None:
            self.schedule.hurry(run)

    # Observers of lists.

    def observe_lists(self, poll_interval: float) -> ListSubscription:
        """Begin to observe the lists.

        :param poll_interval: seconds between two lists, at most, if the budget allows.
        """
        observer = ListSubscription(poll_interval, self._last_poll)
        self._observers[observer] = None
        self.schedule.plan_observer(observer)
        return observer

    def publish_list(self, observation: ListObservation, poll: int) -> None:
        """Tell a list to all who observed when it was asked for."""
        for observer in self._observers:
            if observer.joined < poll:
                observer.put(observation)

    def clear(self) -> None:
        """Forget all."""
        for run in self.all:
            self._drop(run)
        self._observers.clear()
        self.schedule.clear()

    def _drop(self, run: FollowedRun) -> None:
        del self._runs[run.instance_id]
        self.schedule.forget(run)
        count_followed(-1)
