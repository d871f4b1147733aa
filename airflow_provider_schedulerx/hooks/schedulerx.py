"""The connection to SchedulerX 2.0."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeVar

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.hooks.bounded import BoundTransport
from airflow_provider_schedulerx.hooks.connection import ConnectionMixin

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import Scope
    from airflow_provider_schedulerx.api.models import (
        AppGroup,
        JobInstance,
        Namespace,
        Workflow,
        WorkflowInstance,
        WorkflowInstanceSummary,
    )
    from airflow_provider_schedulerx.api.runs.intents import StartIntent
    from airflow_provider_schedulerx.api.runs.kinds import RunKind
    from airflow_provider_schedulerx.api.runs.reconciling import Age, Candidate, Reconciled
    from airflow_provider_schedulerx.api.runs.rerunning import Rerun
    from airflow_provider_schedulerx.api.wire.calls import Call
    from airflow_provider_schedulerx.api.wire.transport import SyncTransport
    from airflow_provider_schedulerx.hooks.bounded import Transport

T = TypeVar("T")

#: Seconds of history that :meth:`SchedulerXHook.get_job_instance_log` reads by default.
_LOG_HISTORY = 7 * 24 * 3600


class SchedulerXHook(ConnectionMixin, BaseHook):
    """Signed calls to SchedulerX 2.0 (OpenAPI version 2019-04-30) with an Airflow connection.

    Every call may raise a :class:`~airflow_provider_schedulerx.exceptions.SchedulerXError`; its
    class says whether the call may be repeated. Calls that certainly changed nothing are repeated by
    the hook itself after passing faults and throttling, a limited time and with jitter.

    :param schedulerx_conn_id: connection of type ``schedulerx``, or ``alibaba_cloud`` of the official provider.
    :param region_id: region, such as ``cn-hangzhou``; overrides the connection's, as do the next three.
    :param namespace: uid of the namespace.
    :param namespace_source: source of the namespace, "only for special third parties".
    :param group_id: application group.
    """

    conn_name_attr = "schedulerx_conn_id"
    default_conn_name = "schedulerx_default"
    conn_type = "schedulerx"
    hook_name = "Alibaba Cloud SchedulerX"

    def __init__(
        self,
        schedulerx_conn_id: str = default_conn_name,
        *,
        region_id: str | None = None,
        namespace: str | None = None,
        namespace_source: str | None = None,
        group_id: str | None = None,
    ) -> None:
        super().__init__()
        self.schedulerx_conn_id = schedulerx_conn_id
        self.region_id = region_id
        self.namespace = namespace
        self.namespace_source = namespace_source
        self.group_id = group_id
        self._bound: tuple[Callable[[], float], Callable[[float], None]] | None = None

    @classmethod
    def from_task(cls, task: Any) -> Self:
        """The hook of an operator, sensor or trigger, which have its arguments as attributes."""
        return cls(
            task.schedulerx_conn_id,
            region_id=task.region_id,
            namespace=task.namespace,
            namespace_source=task.namespace_source,
            group_id=task.group_id,
        )

    @cached_property
    def _transport(self) -> Transport:
        """What repeats calls after passing faults: for as long as usual, or as :meth:`bound_by` says."""
        if self._bound is not None:
            return BoundTransport(self._single_try_transport, *self._bound)
        return api.transport.SyncTransport(self.settings)

    def bound_by(self, left: Callable[[], float], sleep: Callable[[float], None]) -> None:
        """Bound the time for which calls are repeated, for a caller that has a limit of its own.

        :param left: gives the seconds that are left.
        :param sleep: waits for so many seconds between two tries of a call.
        """
        self._bound = (left, sleep)
        self.__dict__.pop("_transport", None)

    def at(self, scope: Scope) -> Self:
        """The hook for the same connection within another scope."""
        return type(self)(
            self.schedulerx_conn_id,
            region_id=scope.region_id,
            namespace=scope.namespace,
            namespace_source=scope.namespace_source,
            group_id=scope.group_id,
        )

    @cached_property
    def _single_try_transport(self) -> SyncTransport:
        """For callers that repeat by themselves, or that a person waits for."""
        return api.transport.SyncTransport(self.settings, max_retry_seconds=0)

    def get_conn(self) -> Transport:
        """Return what carries out calls."""
        return self._transport

    def execute_workflow(self, workflow_id: int | str, instance_parameters: Any = None) -> int:
        """Start a run of a workflow (``ExecuteWorkflow``).

        There is no idempotency token: after a
        :class:`~airflow_provider_schedulerx.exceptions.SchedulerXAmbiguousError` a run may exist, so
        look (:meth:`list_workflow_instances`) before starting another. What the service does with a
        disabled workflow, or beyond its ``MaxConcurrency``, is not documented; its answer is passed on.

        :param workflow_id: id of the workflow.
        :param instance_parameters: dynamic parameters: a str, or a dict or list that becomes compact JSON; at
            most 1,000 bytes of UTF-8.
        :return: the ``WfInstanceId``.
        """
        started = self._transport.perform(
            api.calls.execute_workflow(self.scope, workflow_id, instance_parameters)
        )
        self.log.info(
            "Started workflow %s: WfInstanceId=%s, RequestId=%s",
            workflow_id,
            started.wf_instance_id,
            started.request_id,
        )
        return started.wf_instance_id

    def get_workflow_instance(self, workflow_id: int | str, wf_instance_id: int | str) -> WorkflowInstance:
        """Look at a run and its nodes (``GetWorkflowInstance``; Professional edition)."""
        return self._transport.perform(
            api.calls.get_workflow_instance(self.scope, workflow_id, wf_instance_id)
        )

    def list_workflow_instances(self, workflow_id: int | str) -> list[WorkflowInstanceSummary]:
        """List runs of a workflow, newest first (``ListWorkflowInstance``; Professional edition).

        How many runs the service lists, and whether waiting ones are among them, is not documented:
        ask for one that is missing with :meth:`get_workflow_instance`.
        """
        return self._transport.perform(api.calls.list_workflow_instances(self.scope, workflow_id))

    def get_workflow(self, workflow_id: int | str) -> Workflow:
        """Look at the definition of a workflow (``GetWorkFlow``)."""
        return self._transport.perform(api.calls.get_workflow(self.scope, workflow_id))

    def list_workflows(self, workflow_name: str | None = None, status: str | None = None) -> list[Workflow]:
        """List all workflows of the group, through all pages (``ListWorkFlows``).

        :param workflow_name: pass on as ``WorkflowName``.
        :param status: pass on as ``Status``, whose values are not documented.
        """
        recipe = api.names.list_all(
            lambda page_num: api.calls.list_workflows(self.scope, page_num, workflow_name, status)
        )
        return api.recipes.drive(recipe, self._transport.perform)

    def find_definition(self, kind: RunKind, name: str) -> int:
        """Find a workflow or a job by its name.

        :param kind: what to find, such as :data:`~airflow_provider_schedulerx.api.runs.kinds.WORKFLOW_RUNS`.
        :param name: exactly as the service has it.
        :return: its id.
        :raises SchedulerXNotFoundError: if there is none; it lists the nearest names with their ids.
        :raises SchedulerXConfigurationError: if there are several, with their ids; or if this edition of the service
            does not list workflows.
        """
        recipe = api.names.resolve_recipe(kind, self.scope, name)
        definition_id = api.recipes.drive(recipe, self._transport.perform)
        self.log.info("The %s named %r is %s", kind.definition_noun, name, definition_id)
        return definition_id

    def stop_job_instance(self, job_id: int | str, job_instance_id: int | str) -> None:
        """Stop a job instance, such as a node of a run (``StopInstance``).

        :raises SchedulerXForeignGroupError: if the job belongs to another application group.
        """
        self._transport.perform(api.calls.stop_job_instance(self.scope, job_id, job_instance_id))

    def get_job_instance(self, job_id: int | str, job_instance_id: int | str) -> JobInstance:
        """Look at a job instance (``GetJobInstance``)."""
        return self._transport.perform(api.calls.get_job_instance(self.scope, job_id, job_instance_id))

    def get_job_instance_log(
        self,
        job_id: int | str,
        job_instance_id: int | str,
        *,
        start: float | None = None,
        end: float | None = None,
        keyword: str | None = None,
    ) -> Iterator[str]:
        """Iterate over the lines of a job instance's log, oldest first (``GetLog``).

        Needs the Professional edition with its log service. Pages through more than the 200 lines
        that one call returns, and always sends the time window, whose default would be the last 30
        minutes.

        :param start: start of the window, epoch seconds; None means seven days before its end.
        :param end: end of the window, epoch seconds; None means now.
        :param keyword: only lines with this text.
        """
        end_ms = round((time.time() if end is None else end) * 1000)
        start_ms = end_ms - _LOG_HISTORY * 1000 if start is None else round(start * 1000)
        offset = 0
        while True:
            lines = self._transport.perform(
                api.calls.get_log(
                    self.scope,
                    job_id,
                    job_instance_id,
                    start_ms=start_ms,
                    end_ms=end_ms,
                    offset=offset,
                    keyword=keyword,
                )
            )
            yield from lines
            if len(lines) < api.calls.MAX_LOG_LINES:
                return
            offset += len(lines)

    def tail_job_instance_log(self, job_id: int | str, job_instance_id: int | str, lines: int) -> list[str]:
        """Return the last lines of a job instance's log, oldest first (``GetLog``). One try, for each 200 lines.

        :param lines: how many at most, of the last seven days.
        """
        # An hour more, since the service's clock may be ahead of ours.
        end_ms = round((time.time() + 3600) * 1000)
        found: list[str] = []
        while len(found) < lines:
            wanted = min(lines - len(found), api.calls.MAX_LOG_LINES)
            page = self._single_try_transport.perform(
                api.calls.get_log(
                    self.scope,
                    job_id,
                    job_instance_id,
                    start_ms=end_ms - (_LOG_HISTORY + 3600) * 1000,
                    end_ms=end_ms,
                    offset=len(found),
                    lines=wanted,
                    reverse=True,
                )
            )
            found += page
            if len(page) < wanted:
                break
        return found[::-1]

    def retry_job_instance(self, job_id: int | str, job_instance_id: int | str) -> None:
        """Run a failed node again, and what comes after it (``RetryJobInstance``; Professional edition)."""
        self._transport.perform(api.calls.retry_job_instance(self.scope, job_id, job_instance_id))

    def set_workflow_instance_success(self, workflow_id: int | str, wf_instance_id: int | str) -> None:
        """Mark a run as successful (``SetWfInstanceSuccess``; Professional edition)."""
        self._transport.perform(
            api.calls.set_workflow_instance_success(self.scope, workflow_id, wf_instance_id)
        )

    def list_namespaces(self) -> list[Namespace]:
        """List the namespaces of the region (``ListNamespaces``)."""
        return self._transport.perform(api.calls.list_namespaces(self.scope))

    def list_groups(self) -> list[AppGroup]:
        """List the application groups of the namespace (``ListGroups``)."""
        return self._transport.perform(api.calls.list_groups(self.scope))

    def describe_regions(self) -> list[str]:
        """List the ids of the regions in which the service can be used (``DescribeRegions``)."""
        return self._transport.perform(api.calls.describe_regions(self.scope))

    def stop_workflow_instance(
        self, workflow_id: int | str, wf_instance_id: int | str, *, timeout: float = 60.0
    ) -> WorkflowInstance | None:
        """Stop a run, as far as that is possible.

        No operation of the service stops a run. So all its active nodes are stopped, again and again,
        since others can start meanwhile, until the run has ended or ``timeout`` is over. A node of
        another application group cannot be stopped; that is logged. Faults are logged, not raised.
        Code of a job that does not react to a kill may still run after that.

        :param timeout: seconds; the first round is always made.
        :return: the run as it was seen last, or None if it could not be polled. Whether it has ended says
            :func:`~airflow_provider_schedulerx.api.runs.tracking.is_over`.
        """
        recipe = api.stopping.stop_recipe(self.scope, workflow_id, wf_instance_id, timeout, self.log)
        return api.recipes.drive(recipe, self._single_try_transport.perform)

    def rerun_workflow_instance(
        self,
        instance: WorkflowInstance,
        *,
        settling_time: float,
        sleep: Callable[[float], None] | None = None,
    ) -> Rerun:
        """Run the failed nodes of a run again, and wait until it shows that (``RetryJobInstance``).

        :param instance: the run as it was seen last, with its nodes.
        :param settling_time: seconds to wait.
        :param sleep: waits for so many seconds.
        """
        recipe = api.rerunning.rerun_recipe(self.scope, instance, settling_time, self.log)
        return api.recipes.drive(recipe, self._transport.perform, sleep=sleep)

    def reconcile(
        self,
        intent: StartIntent,
        *,
        settling_time: float,
        patience: float,
        age: Age | None = None,
        may_be_several: bool = False,
        sleep: Callable[[float], None] | None = None,
    ) -> Reconciled:
        """Find the run that a start whose answer was lost may have started.

        :param intent: what was written down before the start.
        :param settling_time: seconds after which a run that was started is listed.
        :param patience: seconds to wait beyond that for what will show by itself.
        :param age: of the request; by default it has just been made.
        :param may_be_several: whether several runs may carry the marker of the intent, one started after the other.
        :param sleep: waits for so many seconds.
        :return: the run, or an ambiguity, or neither: then nothing was started.
        """
        recipe = api.reconciling.reconcile_recipe(
            self.scope,
            intent,
            settling_time=settling_time,
            patience=patience,
            age=age,
            may_be_several=may_be_several,
            log=self.log,
        )
        return api.recipes.drive(recipe, self._transport.perform, sleep=sleep)

    def find_suspects(self, intent: StartIntent, *, age: Age) -> list[Candidate]:
        """Find the active runs of a workflow that an earlier start may have started, of which nothing was kept.

        :param intent: what such a start would have written down; its marker is not looked at.
        :param age: how long ago it may have been.
        """
        recipe = api.reconciling.suspects_recipe(self.scope, intent, age)
        return api.recipes.drive(recipe, self._transport.perform)

    # The asynchronous side: the same calls for triggers and other coroutines. ExecuteWorkflow has no twin: runs are
    # started on workers, where what is known of a start outlives the try.

    async def _aperform(self, call: Call[T]) -> T:
        async with api.async_transport.AsyncTransport(await self.aget_settings()) as transport:
            return await transport.perform(call)

    async def aget_workflow_instance(
        self, workflow_id: int | str, wf_instance_id: int | str
    ) -> WorkflowInstance:
        """:meth:`get_workflow_instance` as a coroutine."""
        scope = (await self.aget_settings()).scope
        return await self._aperform(api.calls.get_workflow_instance(scope, workflow_id, wf_instance_id))

    async def alist_workflow_instances(self, workflow_id: int | str) -> list[WorkflowInstanceSummary]:
        """:meth:`list_workflow_instances` as a coroutine."""
        scope = (await self.aget_settings()).scope
        return await self._aperform(api.calls.list_workflow_instances(scope, workflow_id))

    async def aget_workflow(self, workflow_id: int | str) -> Workflow:
        """:meth:`get_workflow` as a coroutine."""
        return await self._aperform(api.calls.get_workflow((await self.aget_settings()).scope, workflow_id))

    async def astop_job_instance(self, job_id: int | str, job_instance_id: int | str) -> None:
        """:meth:`stop_job_instance` as a coroutine."""
        scope = (await self.aget_settings()).scope
        await self._aperform(api.calls.stop_job_instance(scope, job_id, job_instance_id))

    async def aget_job_instance(self, job_id: int | str, job_instance_id: int | str) -> JobInstance:
        """:meth:`get_job_instance` as a coroutine."""
        scope = (await self.aget_settings()).scope
        return await self._aperform(api.calls.get_job_instance(scope, job_id, job_instance_id))

    async def astop_workflow_instance(
        self, workflow_id: int | str, wf_instance_id: int | str, *, timeout: float = 60.0
    ) -> WorkflowInstance | None:
        """:meth:`stop_workflow_instance` as a coroutine."""
        settings = await self.aget_settings()
        recipe = api.stopping.stop_recipe(settings.scope, workflow_id, wf_instance_id, timeout, self.log)
        async with api.async_transport.AsyncTransport(settings, max_retry_seconds=0) as transport:
            return await api.recipes.adrive(recipe, transport.perform)

    def console_link(self, workflow_id: int | str, wf_instance_id: int) -> str:
        """Return the URL of a run in the console, after the connection's ``console_url``."""
        return self.settings.console_link(int(workflow_id), wf_instance_id)
