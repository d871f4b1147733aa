"""Every operation this provider uses: what goes into its query and what its ``Data`` means.

A function here checks its arguments, sends nothing and returns a :class:`Call`, which the
synchronous and the asynchronous side carry out alike. Facts about an operation come from the
API page of the operation's name; methods are those of the official SDK 2.2.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

from airflow_provider_schedulerx.api import models
from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError
from airflow_provider_schedulerx.api.parameters import (
    canonical_query,
    check_id,
    encode_instance_parameters,
)

T_co = TypeVar("T_co", covariant=True)

#: The service's limit of lines that one ``GetLog`` returns.
MAX_LOG_LINES = 200
#: Our page size for ``ListWorkFlows``; the service's limit is not documented.
WORKFLOWS_PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Operation:
    """:ivar changes: whether carrying it out changes something, so that a lost answer matters."""

    name: str
    method: str
    ram_action: str | None
    changes: bool = False


EXECUTE_WORKFLOW = Operation("ExecuteWorkflow", "GET", "edas:ManageSchedulerxWorkflowRun", changes=True)
GET_WORKFLOW_INSTANCE = Operation("GetWorkflowInstance", "GET", "edas:ReadSchedulerxWorkflowQuery")
LIST_WORKFLOW_INSTANCE = Operation("ListWorkflowInstance", "GET", "edas:ReadSchedulerxWorkflowQuery")
GET_WORKFLOW = Operation("GetWorkFlow", "GET", "edas:ReadSchedulerxWorkflowQuery")
LIST_WORKFLOWS = Operation("ListWorkFlows", "POST", "edas:ReadSchedulerxWorkflowQuery")
STOP_INSTANCE = Operation("StopInstance", "GET", "edas:ManageSchedulerxJobInstStop", changes=True)
GET_JOB_INSTANCE = Operation("GetJobInstance", "GET", "edas:ReadSchedulerxJobInstanceQuery")
GET_LOG = Operation("GetLog", "GET", "edas:ReadSchedulerxLogQuery")
RETRY_JOB_INSTANCE = Operation("RetryJobInstance", "POST", "edas:ManageSchedulerxJobInstRun", changes=True)
SET_WF_INSTANCE_SUCCESS = Operation(
    "SetWfInstanceSuccess", "POST", "edas:ManageSchedulerxWfInstanceMarkSuccess", changes=True
)
LIST_NAMESPACES = Operation("ListNamespaces", "POST", "edas:ReadSchedulerxNamespaceQuery")
LIST_GROUPS = Operation("ListGroups", "POST", "edas:ReadSchedulerxAppGroupQuery")
# Its RAM action is not documented; the service names the action when it refuses.
DESCRIBE_REGIONS = Operation("DescribeRegions", "POST", None)


@dataclass(frozen=True)
class Call(Generic[T_co]):
    """A request that is ready to be signed, as often as it is to be made.

    :ivar query: the parameters, as text, in the order of their names.
    :ivar parse: makes the result from the decoded body; raises
        :class:`~airflow_provider_schedulerx.api.models.MalformedAnswerError`.
    """

    operation: Operation
    query: Mapping[str, str]
    parse: Callable[[Mapping[str, Any]], T_co]

    @cached_property
    def canonical_query(self) -> str:
        """The query as it is signed: sorted by name, and percent-encoded by RFC 3986."""
        return canonical_query(self.query)

    def with_query(self, query: Mapping[str, str]) -> Call[T_co]:
        """The same call with another query."""
        return replace(self, query=query)

    @cached_property
    def target(self) -> str:
        """Path and query as they are sent: the official SDK writes spaces as plus signs, and all else as it signs it."""
        # A percent sign in a value is %25 there, so that %20 is always a space.
        return f"/?{self.canonical_query.replace('%20', '+')}"


def execute_workflow(
    scope: Scope, workflow_id: Any, instance_parameters: Any = None
) -> Call[models.StartedWorkflowInstance]:
    workflow_id = check_id("workflow_id", workflow_id)

    def parse(body: Mapping[str, Any]) -> models.StartedWorkflowInstance:
        wf_instance_id = models.id_field(_data(body), "WfInstanceId", "Data")
        return models.StartedWorkflowInstance(wf_instance_id, models.text_field(body, "RequestId"))

    return Call(
        EXECUTE_WORKFLOW,
        _scoped(
            scope,
            WorkflowId=workflow_id,
            InstanceParameters=encode_instance_parameters(instance_parameters),
        ),
        parse,
    )


def get_workflow_instance(
    scope: Scope, workflow_id: Any, wf_instance_id: Any
) -> Call[models.WorkflowInstance]:
    workflow_id = check_id("workflow_id", workflow_id)
    wf_instance_id = check_id("wf_instance_id", wf_instance_id)
    return Call(
        GET_WORKFLOW_INSTANCE,
        _scoped(scope, WorkflowId=workflow_id, WfInstanceId=wf_instance_id),
        lambda body: models.WorkflowInstance.parse(workflow_id, wf_instance_id, _data(body)),
    )


def list_workflow_instances(scope: Scope, workflow_id: Any) -> Call[list[models.WorkflowInstanceSummary]]:
    """Newest first: the service documents neither the order nor how many it lists."""
    workflow_id = check_id("workflow_id", workflow_id)

    def parse(body: Mapping[str, Any]) -> list[models.WorkflowInstanceSummary]:
        records = models.records_field(_data(body), "WfInstanceInfos", "Data")
        summaries = [models.WorkflowInstanceSummary.parse(workflow_id, record) for record in records]
        return sorted(summaries, key=lambda summary: summary.wf_instance_id, reverse=True)

    return Call(LIST_WORKFLOW_INSTANCE, _scoped(scope, WorkflowId=workflow_id), parse)


def get_workflow(scope: Scope, workflow_id: Any) -> Call[models.Workflow]:
    workflow_id = check_id("workflow_id", workflow_id)

    def parse(body: Mapping[str, Any]) -> models.Workflow:
        data = _data(body)
        info = models.mapping_field(data, "WorkFlowInfo", "Data")
        return models.Workflow.parse(workflow_id, info, data.get("WorkFlowNodeInfo"))

    return Call(GET_WORKFLOW, _scoped(scope, WorkflowId=workflow_id), parse)


def list_workflows(
    scope: Scope,
    page_num: int,
    workflow_name: str | None = None,
    status: str | None = None,
    page_size: int = WORKFLOWS_PAGE_SIZE,
) -> Call[tuple[list[models.Workflow], int]]:
    """One page of workflows, and the total number of them.

    Where the service does not say the total, it is one more than is known as long as pages are full.
    """

    def parse(body: Mapping[str, Any]) -> tuple[list[models.Workflow], int]:
        data = _data(body)
        workflows = [
            models.Workflow.parse(models.id_field(record, "WorkflowId", "Records[]"), record)
            for record in models.records_field(data, "Records", "Data")
        ]
        total = models.optional_int(data, "Total")
        if total is None:
            total = (page_num - 1) * page_size + len(workflows) + (len(workflows) >= page_size)
        return workflows, total

    return Call(
        LIST_WORKFLOWS,
        _scoped(scope, PageNum=page_num, PageSize=page_size, Status=status, WorkflowName=workflow_name),
        parse,
    )


def stop_job_instance(scope: Scope, job_id: Any, job_instance_id: Any) -> Call[None]:
    return Call(
        STOP_INSTANCE,
        _scoped(
            scope,
            JobId=check_id("job_id", job_id),
            InstanceId=check_id("job_instance_id", job_instance_id),
        ),
        _nothing,
    )


def get_job_instance(scope: Scope, job_id: Any, job_instance_id: Any) -> Call[models.JobInstance]:
    job_id = check_id("job_id", job_id)
    job_instance_id = check_id("job_instance_id", job_instance_id)
    return Call(
        GET_JOB_INSTANCE,
        _scoped(scope, JobId=job_id, JobInstanceId=job_instance_id),
        lambda body: models.JobInstance.parse(job_id, job_instance_id, _data(body)),
    )


def get_log(
    scope: Scope,
    job_id: Any,
    job_instance_id: Any,
    *,
    start_ms: int,
    end_ms: int,
    offset: int = 0,
    lines: int = MAX_LOG_LINES,
    keyword: str | None = None,
    reverse: bool = False,
) -> Call[list[str]]:
    """Lines of a job instance's log.

    The window is always sent: without it the service looks only at the last 30 minutes.

    :param start_ms: start of the window, epoch milliseconds.
    :param end_ms: end of the window, epoch milliseconds.
    """
    if start_ms >= end_ms:
        raise SchedulerXConfigurationError("start of the log window must lie before its end", field="start")

    def parse(body: Mapping[str, Any]) -> list[str]:
        logs = _data(body).get("Logs")
        if not isinstance(logs, list | None):
            raise models.MalformedAnswerError("Data.Logs is malformed")
        return [models.text_of(line) or "" for line in logs or []]

    return Call(
        GET_LOG,
        _scoped(
            scope,
            JobId=check_id("job_id", job_id),
            JobInstanceId=check_id("job_instance_id", job_instance_id),
            StartTimestamp=start_ms,
            EndTimestamp=end_ms,
            Line=lines,
            Offset=offset,
            Keyword=keyword,
            Reverse=reverse,
        ),
        parse,
    )


def retry_job_instance(scope: Scope, job_id: Any, job_instance_id: Any) -> Call[None]:
    return Call(
        RETRY_JOB_INSTANCE,
        _scoped(
            scope,
            JobId=check_id("job_id", job_id),
            JobInstanceId=check_id("job_instance_id", job_instance_id),
        ),
        _nothing,
    )


def set_workflow_instance_success(scope: Scope, workflow_id: Any, wf_instance_id: Any) -> Call[None]:
    return Call(
        SET_WF_INSTANCE_SUCCESS,
        _scoped(
            scope,
            WorkflowId=check_id("workflow_id", workflow_id),
            WfInstanceId=check_id("wf_instance_id", wf_instance_id),
        ),
        _nothing,
    )


def list_namespaces(scope: Scope) -> Call[list[models.Namespace]]:
    def parse(body: Mapping[str, Any]) -> list[models.Namespace]:
        records = models.records_field(_data(body), "Namespaces", "Data")
        return [
            models.Namespace(
                uid=models.text_field(record, "UId") or "", name=models.text_field(record, "Name")
            )
            for record in records
        ]

    return Call(LIST_NAMESPACES, _query(RegionId=scope.region_id), parse)


def list_groups(scope: Scope) -> Call[list[models.AppGroup]]:
    def parse(body: Mapping[str, Any]) -> list[models.AppGroup]:
        records = models.records_field(_data(body), "AppGroups", "Data")
        return [
            models.AppGroup(
                group_id=models.text_field(record, "GroupId") or "",
                name=models.text_field(record, "AppName"),
                app_version=models.optional_int(record, "AppVersion"),
            )
            for record in records
        ]

    scope.require("namespace")
    return Call(
        LIST_GROUPS,
        _query(RegionId=scope.region_id, Namespace=scope.namespace, NamespaceSource=scope.namespace_source),
        parse,
    )


def describe_regions(scope: Scope) -> Call[list[str]]:
    """Ids of the regions in which the service can be used."""

    def parse(body: Mapping[str, Any]) -> list[str]:
        records = models.records_field(body, "Regions", "answer")
        return [models.text_field(record, "RegionId") or "" for record in records]

    return Call(DESCRIBE_REGIONS, _query(RegionId=scope.region_id), parse)


def _data(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return models.mapping_field(body, "Data", "answer")


def _nothing(body: Mapping[str, Any]) -> None:
    return None


def _scoped(scope: Scope, **parameters: str | int | bool | None) -> dict[str, str]:
    scope.require("namespace", "group_id")
    return _query(
        RegionId=scope.region_id,
        Namespace=scope.namespace,
        NamespaceSource=scope.namespace_source,
        GroupId=scope.group_id,
        **parameters,
    )


def _query(**parameters: str | int | bool | None) -> dict[str, str]:
    # str also for booleans: the official SDK sends "True" and "False".
    return {name: str(value) for name, value in sorted(parameters.items()) if value is not None}
