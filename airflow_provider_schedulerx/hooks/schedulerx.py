"""The connection to SchedulerX 2.0."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.parameters import check_id
from airflow_provider_schedulerx.hooks.connection import ConnectionMixin
from airflow_provider_schedulerx.hooks.jobs import JobsMixin
from airflow_provider_schedulerx.hooks.scoped import DEFAULT_CONN_ID, scope_arguments
from airflow_provider_schedulerx.version_compat import forms

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
    from airflow_provider_schedulerx.api.runs.kinds import RunKind
    from airflow_provider_schedulerx.api.wire.calls import Call
    from airflow_provider_schedulerx.api.wire.sessions import SharedSession
    from airflow_provider_schedulerx.api.wire.transport import SyncTransport

T = TypeVar("T")

#: Seconds of history that :meth:`SchedulerXHook.get_job_instance_log` reads by default.
_LOG_HISTORY = 7 * 24 * 3600


class SchedulerXHook(ConnectionMixin, JobsMixin, BaseHook):
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
    default_conn_name = DEFAULT_CONN_ID
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
        super().__init__(
            schedulerx_conn_id=schedulerx_conn_id,
            region_id=region_id,
            namespace=namespace,
            namespace_source=namespace_source,
            group_id=group_id,
        )
        #: Of the last asynchronous call.
        self._session: SharedSession | None = None

    # Airflow asks the class itself for these two: what it inherits does not count.

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the fields of the connection form, for Airflow below 3.2; later it reads the provider's metadata."""
        from airflow_provider_schedulerx.connection_form import CONNECTION_FIELDS

        return forms.form_widgets(CONNECTION_FIELDS)

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return what is hidden and relabelled in the connection form, for Airflow below 3.2."""
        from airflow_provider_schedulerx.connection_form import HIDDEN_FIELDS, PLACEHOLDERS, RELABELING

        return {"hidden_fields": HIDDEN_FIELDS, "relabeling": RELABELING, "placeholders": PLACEHOLDERS}

    @classmethod
    def from_task(cls, task: Any) -> Self:
        """The hook of an operator, sensor or trigger, which have its arguments as attributes."""
        return cls(**scope_arguments(task))

    @cached_property
    def _transport(self) -> SyncTransport:
        return api.transport.SyncTransport(self.settings)

    @cached_property
    def single_try_transport(self) -> SyncTransport:
        """Carries out calls without repeating them: for callers that do so by themselves, or that a person waits for."""
        return api.transport.SyncTransport(self.settings, max_retry_seconds=0)

    def get_conn(self) -> SyncTransport:
        """Return what carries out calls, and repeats them after passing faults."""
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
        from airflow_provider_schedulerx.hooks.runs import RunCalls

        return RunCalls(self, kind).find_definition(name)

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
            page = self.single_try_transport.perform(
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
        :return: the run as it was seen last, or None if it could not be polled. Ask
            :func:`~airflow_provider_schedulerx.api.runs.tracking.is_over` whether it has ended.
        """
        ids = check_id("workflow_id", workflow_id), check_id("wf_instance_id", wf_instance_id)
        recipe = api.stopping.stop_recipe(
            api.kinds.WORKFLOW_RUNS, self.scope, *ids, timeout=timeout, log=self.log
        )
        return cast("WorkflowInstance | None", api.recipes.drive(recipe, self.single_try_transport.perform))

    # The asynchronous side: the same calls for triggers and other coroutines. ExecuteWorkflow has no twin: runs are
    # started on workers, where what is known of a start outlives the try.

    async def _aperform(self, make: Callable[[Scope], Call[T]]) -> T:
        settings = await self.aget_settings()
        call = make(settings.scope)
        async with api.async_transport.AsyncTransport(settings, session=self._session) as transport:
            self._session = transport.session
            return await transport.perform(call)

    async def aget_workflow_instance(
        self, workflow_id: int | str, wf_instance_id: int | str
    ) -> WorkflowInstance:
        """:meth:`get_workflow_instance` as a coroutine."""
        return await self._aperform(
            lambda scope: api.calls.get_workflow_instance(scope, workflow_id, wf_instance_id)
        )

    async def alist_workflow_instances(self, workflow_id: int | str) -> list[WorkflowInstanceSummary]:
        """:meth:`list_workflow_instances` as a coroutine."""
        return await self._aperform(lambda scope: api.calls.list_workflow_instances(scope, workflow_id))

    async def aget_workflow(self, workflow_id: int | str) -> Workflow:
        """:meth:`get_workflow` as a coroutine."""
        return await self._aperform(lambda scope: api.calls.get_workflow(scope, workflow_id))

    async def astop_job_instance(self, job_id: int | str, job_instance_id: int | str) -> None:
        """:meth:`stop_job_instance` as a coroutine."""
        await self._aperform(lambda scope: api.calls.stop_job_instance(scope, job_id, job_instance_id))

    async def aget_job_instance(self, job_id: int | str, job_instance_id: int | str) -> JobInstance:
        """:meth:`get_job_instance` as a coroutine."""
        return await self._aperform(lambda scope: api.calls.get_job_instance(scope, job_id, job_instance_id))

    async def astop_workflow_instance(
        self, workflow_id: int | str, wf_instance_id: int | str, *, timeout: float = 60.0
    ) -> WorkflowInstance | None:
        """:meth:`stop_workflow_instance` as a coroutine."""
        settings = await self.aget_settings()
        ids = check_id("workflow_id", workflow_id), check_id("wf_instance_id", wf_instance_id)
        recipe = api.stopping.stop_recipe(
            api.kinds.WORKFLOW_RUNS, settings.scope, *ids, timeout=timeout, log=self.log
        )
        async with api.async_transport.AsyncTransport(settings, max_retry_seconds=0) as transport:
            return cast("WorkflowInstance | None", await api.recipes.adrive(recipe, transport.perform))

    def console_link(self, definition_id: int | str, instance_id: int, kind: str = "workflow") -> str:
        """Return the URL of a run in the console, after the connection's ``console_url``.

        :param definition_id: of the workflow or the job.
        :param instance_id: of its run.
        :param kind: ``workflow`` or ``job``.
        """
        return self.settings.console_link(int(definition_id), instance_id, kind)
