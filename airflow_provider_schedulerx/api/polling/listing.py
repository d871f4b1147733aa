"""Lists of a workflow's runs, so that one call shows many of them."""

from __future__ import annotations

import logging

from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAuthorizationError,
    SchedulerXError,
    SchedulerXNotFoundError,
    SchedulerXRejectedError,
    SchedulerXThrottledError,
)
from airflow_provider_schedulerx.api.models import WorkflowInstanceStatus, WorkflowInstanceSummary
from airflow_provider_schedulerx.api.polling.congestion import now
from airflow_provider_schedulerx.api.polling.details import Details, without_nodes
from airflow_provider_schedulerx.api.polling.intervals import usual_duration
from airflow_provider_schedulerx.api.polling.loop import Loop, Workflow
from airflow_provider_schedulerx.api.polling.reporting import Metric, log_for_process, report
from airflow_provider_schedulerx.api.polling.subscriptions import FollowedRun, Place
from airflow_provider_schedulerx.api.wire import calls

log = logging.getLogger(__name__)

#: Seconds after which a refused listing is tried again.
_LIST_AGAIN = 3600.0
#: Listings in a row that fail, before runs are polled one by one for so many seconds.
_LIST_FAILURES = 3
_LIST_SOON = 60.0
#: Share of the rate up to which the nodes of a successful run are fetched too, for its log.
_SPARE_SHARE = 0.2


class Listing(Loop):
    """Lists the runs of the workflow, so that one call shows many of them."""

    def __init__(self, workflow: Workflow, details: Details) -> None:
        super().__init__(workflow)
        self._details = details
        self._call = calls.list_workflow_instances(workflow.scope, workflow.workflow_id)
        self._failures = 0

    async def step(self) -> None:
        self._wake.clear()
        runs, budget = self._workflow.runs, self._workflow.list_budget
        if runs.list_due_at > now():
            again = now() + runs.catch_up(Place.LIST)
            await self._sleep_until(min(runs.list_due_at, again))
            return
        if not runs.wants_list:
            self._leave_to_single_polls()
            return
        permit = await budget.acquire(due_at=runs.list_due_at)
        if not runs.wants_list:
            # Meanwhile others have gone. What is due is still due.
            budget.give_back(permit)
            return
        poll = runs.begin_list()
        try:
            summaries = await self._workflow.transport.perform_permitted(self._call, permit)
        except SchedulerXError as error:
            self._take_failure(error, poll)
        else:
            self._take(summaries, poll)
        finally:
            runs.schedule_list()

    def _leave_to_single_polls(self) -> None:
        runs = self._workflow.runs
        runs.list_due_at = float("inf")
        runs.schedule_list()
        for run in runs.all:
            if run.place is Place.LIST:
                runs.schedule(run)

    def _take_failure(self, error: SchedulerXError, poll: int) -> None:
        runs = self._workflow.runs
        if isinstance(error, SchedulerXAuthorizationError) or (
            isinstance(error, SchedulerXRejectedError) and not isinstance(error, SchedulerXNotFoundError)
        ):
            runs.list_refused_until = now() + _LIST_AGAIN
            report(Metric.LIST_REFUSED)
            log_for_process(
                log,
                logging.WARNING,
                "Workflow %s cannot be listed, so its runs are polled one by one, which needs more of the quota: %s",
                self._workflow.workflow_id,
                error,
            )
            self._leave_to_single_polls()
            return
        if not isinstance(error, SchedulerXThrottledError):
            self._failures += 1
            if self._failures % _LIST_FAILURES == 0:
                # Perhaps only listing is broken, or its answers lack what is needed.
                runs.list_refused_until = now() + _LIST_SOON
        for run in runs.all:
            if run.place is Place.LIST:
                runs.publish(run, error, poll)

    def _take(self, summaries: list[WorkflowInstanceSummary], poll: int) -> None:
        runs = self._workflow.runs
        self._failures = 0
        runs.usual_duration = usual_duration(summaries)
        listed = {summary.wf_instance_id: summary for summary in summaries}
        for run in runs.all:
            if run.joined >= poll:
                continue
            summary = listed.get(run.wf_instance_id)
            run.is_unlisted = summary is None
            if run.place not in (Place.LIST, Place.SINGLE):
                # A better answer is on its way.
                continue
            if summary is None:
                if run.place is Place.LIST:
                    runs.schedule(run)
            elif not summary.status.is_known:
                # What such a run is, its nodes may tell.
                run.is_doubted = True
                if run.place is Place.LIST:
                    runs.schedule(run)
            elif not summary.status.is_terminal:
                run.is_doubted = False
                runs.publish(run, without_nodes(summary), poll)
            elif not run.is_doubted:
                self._take_end(run, summary, poll)

    def _take_end(self, run: FollowedRun, summary: WorkflowInstanceSummary, poll: int) -> None:
        permit = self._workflow.get_budget.try_acquire(_SPARE_SHARE)
        if permit is not None or summary.status is WorkflowInstanceStatus.FAILED:
            # To name the bad nodes; those of a success for the log, as long as that is cheap.
            self._details.begin(run, summary, poll, permit)
        else:
            self._workflow.runs.publish(run, without_nodes(summary), poll)
