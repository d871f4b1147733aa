"""Lists of a definition's runs: one call shows many of them, and those that nobody follows."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAuthorizationError,
    SchedulerXError,
    SchedulerXNotFoundError,
    SchedulerXRejectedError,
    SchedulerXThrottledError,
)
from airflow_provider_schedulerx.api.polling.congestion import now
from airflow_provider_schedulerx.api.polling.definition import PolledDefinition
from airflow_provider_schedulerx.api.polling.details import Details
from airflow_provider_schedulerx.api.polling.intervals import usual_duration
from airflow_provider_schedulerx.api.polling.loop import Loop
from airflow_provider_schedulerx.api.polling.rate_limit import SPARE_SHARE
from airflow_provider_schedulerx.api.polling.reporting import Metric, log_for_process, report
from airflow_provider_schedulerx.api.polling.sampling import Sampling
from airflow_provider_schedulerx.api.polling.subscriptions import FollowedRun, ListedRuns, Place
from airflow_provider_schedulerx.api.runs.kinds import RunSummary

log: logging.Logger = logging.getLogger(__name__)

#: Seconds after which a refused listing is tried again.
_LIST_AGAIN = 3600.0
#: Listings in a row that fail, before runs are polled one by one for so many seconds.
_LIST_FAILURES = 3
_LIST_SOON = 60.0


class Listing(Loop):
    """Lists the runs of the definition, so that one call shows many of them."""

    def __init__(self, definition: PolledDefinition, details: Details, sampling: Sampling) -> None:
        super().__init__(definition)
        self._details = details
        self._sampling = sampling
        self._call = definition.kind.list_call(definition.scope, definition.definition_id)
        self._failures = 0
        #: A refusal has been reported, and is not again until then.
        self._silent_until = float("-inf")

    async def step(self) -> None:
        self._wake.clear()
        runs, budget = self._definition.runs, self._definition.list_budget
        schedule = runs.schedule
        if schedule.list_due_at > now():
            again = now() + schedule.catch_up(Place.LIST)
            await self._sleep_until(min(schedule.list_due_at, again))
            return
        if not schedule.wants_list:
            schedule.leave_to_single_polls()
            return
        permit = await budget.acquire(promised_at=lambda: schedule.list_promised_at)
        if not schedule.wants_list:
            # Meanwhile others have gone. What is due is still due.
            budget.give_back(permit)
            return
        poll, asked_at = runs.next_poll(), now()
        schedule.begin_list()
        try:
            summaries = await self._definition.transport.perform_permitted(self._call, permit)
        except SchedulerXError as error:
            runs.publish_list(error, poll)
            self._take_failure(error, poll)
        else:
            runs.publish_list(ListedRuns(tuple(summaries), asked_at), poll)
            self._take(summaries, poll)
            self._sampling.wake()
        finally:
            schedule.plan_list()

    def _take_failure(self, error: SchedulerXError, poll: int) -> None:
        runs, schedule = self._definition.runs, self._definition.runs.schedule
        if isinstance(error, SchedulerXAuthorizationError) or (
            isinstance(error, SchedulerXRejectedError) and not isinstance(error, SchedulerXNotFoundError)
        ):
            self._report_refusal(error)
            schedule.list_refused_until = now() + _LIST_AGAIN
            schedule.leave_to_single_polls()
            return
        if not isinstance(error, SchedulerXThrottledError):
            self._failures += 1
            if self._failures % _LIST_FAILURES == 0:
                # Perhaps only listing is broken, or its answers lack what is needed.
                schedule.list_refused_until = max(schedule.list_refused_until, now() + _LIST_SOON)
        for run in runs.all:
            if run.place is Place.LIST:
                runs.publish(run, error, poll)

    def _report_refusal(self, error: SchedulerXError) -> None:
        if now() < self._silent_until:
            return
        self._silent_until = now() + _LIST_AGAIN
        report(Metric.LIST_REFUSED)
        log_for_process(
            log,
            logging.WARNING,
            "The runs of %s cannot be listed, so they are polled one by one, which needs more of the quota: %s",
            self._definition.label,
            error,
        )

    def _take(self, summaries: Sequence[RunSummary], poll: int) -> None:
        runs, schedule = self._definition.runs, self._definition.runs.schedule
        self._failures = 0
        schedule.list_refused_until = self._silent_until = float("-inf")
        schedule.usual_duration = usual_duration(summaries)
        listed = {summary.instance_id: summary for summary in summaries}
        for run in runs.all:
            if run.joined >= poll:
                continue
            summary = listed.get(run.instance_id)
            run.is_unlisted = summary is None
            if run.place not in (Place.LIST, Place.SINGLE):
                # A better answer is on its way.
                continue
            if summary is None:
                if run.place is Place.LIST:
                    schedule.plan(run)
            elif not summary.status.is_known:
                # What such a run is, its nodes may tell.
                run.is_doubted = True
                if run.place is Place.LIST:
                    schedule.plan(run)
            elif not summary.status.is_terminal:
                run.is_doubted = False
                seen = self._definition.kind.from_summary(summary)
                run.lacks_nodes = not seen.nodes and not seen.status.is_waiting
                runs.publish(run, seen, poll)
            elif not run.is_doubted:
                self._take_end(run, summary, poll)

    def _take_end(self, run: FollowedRun, summary: RunSummary, poll: int) -> None:
        permit = self._definition.get_budget.try_acquire(SPARE_SHARE)
        if permit is not None or not summary.status.is_success:
            # To name the bad nodes; those of a success for the log, as long as that is cheap.
            self._details.begin(run, summary, poll, permit)
        else:
            self._definition.runs.publish(run, self._definition.kind.from_summary(summary), poll)
