"""The operations on workflows and their instances."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from airflow_provider_schedulerx.api import models
from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.parameters import check_id, encode_instance_parameters
from airflow_provider_schedulerx.api.wire.calls.call import (
    Call,
    Operation,
    data_of,
    data_of_list,
    nothing,
    scoped,
    total_of,
)

#: Our page size for ``ListWorkFlows``; the service's limit is not documented.
WORKFLOWS_PAGE_SIZE = 50

EXECUTE_WORKFLOW = Operation("ExecuteWorkflow", "GET", "edas:ManageSchedulerxWorkflowRun", changes=True)
GET_WORKFLOW_INSTANCE = Operation("GetWorkflowInstance", "GET", "edas:ReadSchedulerxWorkflowQuery")
LIST_WORKFLOW_INSTANCE = Operation("ListWorkflowInstance", "GET", "edas:ReadSchedulerxWorkflowQuery")
GET_WORKFLOW = Operation("GetWorkFlow", "GET", "edas:ReadSchedulerxWorkflowQuery")
LIST_WORKFLOWS = Operation("ListWorkFlows", "POST", "edas:ReadSchedulerxWorkflowQuery")
SET_WF_INSTANCE_SUCCESS = Operation(
    "SetWfInstanceSuccess", "POST", "edas:ManageSchedulerxWfInstanceMarkSuccess", changes=True
)


def execute_workflow(
    scope: Scope, workflow_id: Any, instance_parameters: Any = None
) -> Call[models.StartedWorkflowInstance]:
    workflow_id = check_id("workflow_id", workflow_id)

    def parse(body: Mapping[str, Any]) -> models.StartedWorkflowInstance:
        wf_instance_id = models.id_field(data_of(body), "WfInstanceId", "Data")
        return models.StartedWorkflowInstance(wf_instance_id, models.text_field(body, "RequestId"))

    return Call(
        EXECUTE_WORKFLOW,
        scoped(
            scope,
            WorkflowId=workflow_id,
            InstanceParameters=encode_instance_parameters(instance_parameters),
        ),
        parse,
    )


def get_workflow_instance(
    scope: Scope, workflow_id: Any, wf_instance_id: Any
) -> Call[models.WorkflowInstance]:
    return _get_workflow_instance(
        scope, check_id("workflow_id", workflow_id), check_id("wf_instance_id", wf_instance_id)
    )


# Whoever polls a run does so again and again, and a call is encoded only once.
@functools.lru_cache(maxsize=1024)
def _get_workflow_instance(
    scope: Scope, workflow_id: int, wf_instance_id: int
) -> Call[models.WorkflowInstance]:
    return Call(
        GET_WORKFLOW_INSTANCE,
        scoped(scope, WorkflowId=workflow_id, WfInstanceId=wf_instance_id),
        lambda body: models.WorkflowInstance.parse(workflow_id, wf_instance_id, data_of(body)),
    )


def list_workflow_instances(scope: Scope, workflow_id: Any) -> Call[list[models.WorkflowInstanceSummary]]:
    """Newest first: the service documents neither the order nor how many it lists."""
    workflow_id = check_id("workflow_id", workflow_id)

    def parse(body: Mapping[str, Any]) -> list[models.WorkflowInstanceSummary]:
        records = models.records_field(data_of_list(body), "WfInstanceInfos", "Data")
        summaries = [models.WorkflowInstanceSummary.parse(workflow_id, record) for record in records]
        return sorted(summaries, key=lambda summary: summary.wf_instance_id, reverse=True)

    return Call(LIST_WORKFLOW_INSTANCE, scoped(scope, WorkflowId=workflow_id), parse)


def get_workflow(scope: Scope, workflow_id: Any) -> Call[models.Workflow]:
    workflow_id = check_id("workflow_id", workflow_id)

    def parse(body: Mapping[str, Any]) -> models.Workflow:
        data = data_of(body)
        info = models.mapping_field(data, "WorkFlowInfo", "Data")
        return models.Workflow.parse(workflow_id, info, data.get("WorkFlowNodeInfo"))

    return Call(GET_WORKFLOW, scoped(scope, WorkflowId=workflow_id), parse)


def list_workflows(
    scope: Scope,
    page_num: int,
    workflow_name: str | None = None,
    status: str | None = None,
    page_size: int = WORKFLOWS_PAGE_SIZE,
) -> Call[tuple[list[models.Workflow], int]]:
    """One page of workflows, and the total number of them, as :func:`total_of` says."""

    def parse(body: Mapping[str, Any]) -> tuple[list[models.Workflow], int]:
        data = data_of_list(body)
        workflows = [
            models.Workflow.parse(models.id_field(record, "WorkflowId", "Records[]"), record)
            for record in models.records_field(data, "Records", "Data")
        ]
        return workflows, total_of(data, page_num, page_size, len(workflows))

    return Call(
        LIST_WORKFLOWS,
        scoped(scope, PageNum=page_num, PageSize=page_size, Status=status, WorkflowName=workflow_name),
        parse,
    )


def set_workflow_instance_success(scope: Scope, workflow_id: Any, wf_instance_id: Any) -> Call[None]:
    return Call(
        SET_WF_INSTANCE_SUCCESS,
        scoped(
            scope,
            WorkflowId=check_id("workflow_id", workflow_id),
            WfInstanceId=check_id("wf_instance_id", wf_instance_id),
        ),
        nothing,
    )
