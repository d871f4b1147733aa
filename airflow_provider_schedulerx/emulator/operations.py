"""What each operation answers: shapes and error texts as the API pages give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_schedulerx.emulator.arguments import WORKER, Arguments, OperationSpec
from airflow_provider_schedulerx.emulator.definitions import DEFAULT_OWNER, Node, Workflow
from airflow_provider_schedulerx.emulator.instances import WAITING, InstanceRun, NodeRun
from airflow_provider_schedulerx.emulator.job_operations import JOB_OPERATIONS

_READ = "edas:ReadSchedulerx"


def _execute(args: Arguments) -> dict[str, Any]:
    workflow = args.workflow
    return {"WfInstanceId": args.started(lambda: args.engine.execute(workflow, args.instance_parameters))}


def _get_instance(args: Arguments) -> dict[str, Any]:
    workflow = args.workflow
    run = args.engine.instance(workflow, args.number("WfInstanceId"))
    nodes = []
    for job_id, node in run.nodes.items():
        shown: dict[str, Any] = {
            "JobId": job_id,
            "JobName": node.definition.name,
            "Attempt": node.attempt,
            **args.times(run, node.starts if node.status not in (1, 2) else None, node.ends, node.status),
        }
        if (job_instance_id := _shown_id(args, node)) is not None:
            shown["JobInstanceId"] = job_instance_id
            shown["Result"] = node.result
        if node.status != WAITING or args.profile["waiting_node_id"] != "bare":
            shown["Status"] = node.status
        if node.status not in (1, 2):
            shown["WorkAddr"] = WORKER
        nodes.append(shown)
    return {
        "WfInstanceInfo": {"Status": run.status, **args.times(run, run.started, run.ended, run.status)},
        "WfInstanceDag": {"Nodes": nodes, "Edges": _instance_edges(args, run)},
    }


def _shown_id(args: Arguments, node: NodeRun) -> int | None:
    if node.status == WAITING and args.profile["waiting_node_id"] != "present":
        return None
    return node.job_instance_id


def _instance_edges(args: Arguments, run: InstanceRun) -> list[dict[str, int]]:
    """Edges between job instances, unlike those of the workflow; the root is 0."""
    ids = {0: 0, **{job_id: _shown_id(args, node) for job_id, node in run.nodes.items()}}
    pairs = [
        (ids[edge["Source"]], ids[edge["Target"]])
        for edge in _edges(node.definition for node in run.nodes.values())
    ]
    return [
        {"Source": source, "Target": target}
        for source, target in pairs
        if source is not None and target is not None
    ]


def _list_instances(args: Arguments) -> dict[str, Any]:
    workflow = args.workflow
    return {
        "WfInstanceInfos": [
            {
                "WfInstanceId": run.wf_instance_id,
                "WorkflowId": run.workflow_id,
                "Status": run.status,
                **args.times(run, run.started, run.ended, run.status),
            }
            for run in args.engine.listed(workflow)
        ]
    }


def _get_workflow(args: Arguments) -> dict[str, Any]:
    workflow = args.workflow
    return {
        "WorkFlowInfo": _workflow_record(workflow) | {"Status": "Successful"},
        "WorkFlowNodeInfo": {
            "Nodes": [
                {"Id": node.job_id, "Label": node.name, "Status": 1} for node in workflow.nodes.values()
            ],
            "Edges": _edges(workflow.nodes.values()),
        },
    }


def _list_workflows(args: Arguments) -> dict[str, Any]:
    found = args.of_group(args.engine.workflows.values(), args.text("WorkflowName"))
    page, size, shown = args.page(found)
    return {
        "PageNumber": page,
        "PageSize": size,
        "Total": len(found),
        "Records": [
            _workflow_record(workflow) | {"Calendar": "", "Creator": DEFAULT_OWNER, "Updater": DEFAULT_OWNER}
            for workflow in shown
        ],
    }


def _set_success(args: Arguments) -> None:
    args.engine.set_success(args.engine.instance(args.workflow, args.number("WfInstanceId")))


def _list_namespaces(args: Arguments) -> dict[str, Any]:
    return {
        "Namespaces": [
            {"UId": namespace.uid, "Name": namespace.name, "Description": ""}
            for namespace in args.definitions.namespaces.values()
            if args.text("Namespace") in (None, "", namespace.uid)
            and (args.text("NamespaceName") or "") in namespace.name
        ]
    }


def _list_groups(args: Arguments) -> dict[str, Any]:
    namespace = args.definitions.namespaces.get(args.text("Namespace") or "")
    return {
        "AppGroups": [
            {
                "AppGroupId": index + 1,
                "AppName": group.partition(".")[0],
                "AppKey": "emulator-app-key-secret==",
                "AppVersion": 1 if args.profile["edition"] == "basic" else 2,
                "EnableLog": args.profile["log_service"] == "on",
                "GroupId": group,
                "Namespace": namespace.uid,
                "Description": "",
            }
            for index, group in enumerate(namespace.groups)
            if (args.text("AppGroupName") or "") in group
        ]
        if namespace
        else []
    }


def _describe_regions(args: Arguments) -> list[dict[str, Any]]:
    return [
        {
            "RegionId": "cn-hangzhou",
            "LocalName": "China (Hangzhou)",
            "RegionEndpoint": "schedulerx.cn-hangzhou.aliyuncs.com",
        }
    ]


_GROUP = ("RegionId", "Namespace", "GroupId")
_WORKFLOW_QUERY = f"{_READ}WorkflowQuery"

OPERATIONS: Mapping[str, OperationSpec] = {
    **JOB_OPERATIONS,
    "ExecuteWorkflow": OperationSpec(_execute, "edas:ManageSchedulerxWorkflowRun", (*_GROUP, "WorkflowId")),
    "GetWorkflowInstance": OperationSpec(
        _get_instance, _WORKFLOW_QUERY, (*_GROUP, "WorkflowId", "WfInstanceId"), professional=True
    ),
    "ListWorkflowInstance": OperationSpec(
        _list_instances, _WORKFLOW_QUERY, (*_GROUP, "WorkflowId"), professional=True
    ),
    "GetWorkFlow": OperationSpec(_get_workflow, _WORKFLOW_QUERY, (*_GROUP, "WorkflowId")),
    "ListWorkFlows": OperationSpec(_list_workflows, _WORKFLOW_QUERY, _GROUP),
    "SetWfInstanceSuccess": OperationSpec(
        _set_success,
        "edas:ManageSchedulerxWfInstanceMarkSuccess",
        (*_GROUP, "WorkflowId", "WfInstanceId"),
        professional=True,
    ),
    "ListNamespaces": OperationSpec(_list_namespaces, f"{_READ}NamespaceQuery", ("RegionId",)),
    "ListGroups": OperationSpec(_list_groups, f"{_READ}AppGroupQuery", ("Namespace",)),
    "DescribeRegions": OperationSpec(_describe_regions, f"{_READ}RegionQuery", ()),
}


def _workflow_record(workflow: Workflow) -> dict[str, Any]:
    return {
        "WorkflowId": workflow.workflow_id,
        "Name": workflow.name,
        "Description": "",
        "Namespace": workflow.namespace,
        "GroupId": workflow.group,
        "MaxConcurrency": str(workflow.max_concurrency),
        "TimeType": workflow.time_type,
        "TimeExpression": workflow.time_expression,
    }


def _edges(nodes: Iterable[Node]) -> list[dict[str, int]]:
    """Edges between jobs; the root is 0."""
    return [{"Source": source, "Target": node.job_id} for node in nodes for source in (node.after or (0,))]
