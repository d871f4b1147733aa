"""What each operation answers: shapes and error texts as the API pages give them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from airflow_provider_schedulerx.emulator.authentication import GatewayError, Request
from airflow_provider_schedulerx.emulator.definitions import DEFAULT_OWNER, Definitions, Node, Workflow
from airflow_provider_schedulerx.emulator.engine import WAITING, Engine, InstanceRun, NodeRun, Refused
from airflow_provider_schedulerx.emulator.profile import Profile

#: ``TriggerType`` of a run that a schedule has started (API page "GetJobInstance").
_TIMED = 1

WORKER = "127.0.0.1:34567"
_MAX_LOG_LINES = 200
_LOG_WINDOW = 30 * 60
_READ = "edas:ReadSchedulerx"


@dataclass(frozen=True)
class Arguments:
    """The parameters of a request, within a namespace and group that exist."""

    request: Request
    definitions: Definitions
    engine: Engine

    @property
    def profile(self) -> Profile:
        return self.engine.profile

    @property
    def zone(self) -> tzinfo:
        """The zone of the times in answers."""
        return self.engine.zone

    def text(self, name: str) -> str | None:
        return self.request.parameter(name)

    def number(self, name: str, default: int | None = None) -> int:
        value = self.text(name)
        if value is None and default is not None:
            return default
        try:
            number = int(value or "")
        except ValueError:
            number = 2**63
        if not -(2**63) <= number < 2**63:
            raise GatewayError(400, f"Invalid{name}", f"The specified {name} is not valid: {value}.")
        return number

    @property
    def group(self) -> str:
        """:raises Refused: if the group does not exist in the namespace."""
        namespace, group = self.text("Namespace") or "", self.text("GroupId") or ""
        known = self.definitions.namespaces.get(namespace)
        if known is None or group not in known.groups:
            raise Refused(f"groupid not exist groupId: {group} namespace: {namespace}")
        return group

    @property
    def workflow(self) -> Workflow:
        group = self.group
        workflow_id = self.number("WorkflowId")
        workflow = self.engine.workflows.get(workflow_id)
        if workflow is None or (workflow.namespace, workflow.group) != (self.text("Namespace"), group):
            raise Refused(f"workflowId={workflow_id} is not existed")
        return workflow

    def job(self, instance_parameter: str) -> tuple[InstanceRun, NodeRun]:
        group = self.group
        job_id = self.number("JobId")
        run, node = self.engine.job(job_id, self.number(instance_parameter))
        if (node.definition.group or run.group) != group:
            raise Refused(f"jobid: {job_id} not match groupId: {group}")
        return run, node


@dataclass(frozen=True)
class OperationSpec:
    """An operation.

    :ivar required: parameters without which the gateway answers ``Missing<Parameter>``.
    :ivar professional: whether only the Professional edition has it.
    """

    handle: Callable[[Arguments], Any]
    ram_action: str
    required: tuple[str, ...]
    professional: bool = False


def _execute(args: Arguments) -> dict[str, Any]:
    workflow = args.workflow
    parameters = args.text("InstanceParameters")
    if len((parameters or "").encode()) > 1000:
        raise Refused("instanceParameters is larger than 1000 bytes")
    run = args.engine.execute(workflow, parameters)
    if run is not None:
        _refuse_late(args.profile["late_refusal"])
    return {"WfInstanceId": run.wf_instance_id if run else 0}


def _refuse_late(how: str) -> None:
    """Answer a failure although the run was started."""
    match how:
        case "500":
            raise Refused("system error", code=500)
        case "timeout":
            raise GatewayError(400, "InternalError.Timeout", "The request timed out on the server.")
        case "no_code":
            raise Refused("system error", code=None)


def _get_instance(args: Arguments) -> dict[str, Any]:
    workflow = args.workflow
    run = args.engine.instance(workflow, args.number("WfInstanceId"))
    nodes = []
    for job_id, node in run.nodes.items():
        shown: dict[str, Any] = {
            "JobId": job_id,
            "JobName": node.definition.name,
            "Status": node.status,
            "Attempt": node.attempt,
            **_times(args, run, node.starts if node.status not in (1, 2) else None, node.ends, node.status),
        }
        if (job_instance_id := _shown_id(args, node)) is not None:
            shown["JobInstanceId"] = job_instance_id
            shown["Result"] = node.result
        if node.status not in (1, 2):
            shown["WorkAddr"] = WORKER
        nodes.append(shown)
    return {
        "WfInstanceInfo": {"Status": run.status, **_times(args, run, run.started, run.ended, run.status)},
        "WfInstanceDag": {"Nodes": nodes, "Edges": _instance_edges(args, run)},
    }


def _shown_id(args: Arguments, node: NodeRun) -> int | None:
    if node.status == WAITING and args.profile["waiting_node_id"] == "absent":
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
                **_times(args, run, run.started, run.ended, run.status),
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
    group = args.group
    name = args.text("WorkflowName") or ""
    status = args.text("Status")
    found = [
        workflow
        for workflow in args.engine.workflows.values()
        if (workflow.namespace, workflow.group) == (args.text("Namespace"), group)
        and _passes(args.profile["name_filter"], name, workflow.name)
        and status in (None, "", "1" if workflow.enabled else "0")
    ]
    page, size = max(1, args.number("PageNum", 1)), max(1, args.number("PageSize", 10))
    return {
        "PageNumber": page,
        "PageSize": size,
        "Total": len(found),
        "Records": [
            _workflow_record(workflow) | {"Calendar": "", "Creator": DEFAULT_OWNER, "Updater": DEFAULT_OWNER}
            for workflow in found[(page - 1) * size : page * size]
        ],
    }


def _passes(how: str, wanted: str, name: str) -> bool:
    """Whether a filter by name lets a name through; an empty one lets all."""
    match how:
        case "exact":
            return wanted in ("", name)
        case "any_case":
            return wanted.casefold() in name.casefold()
    return wanted in name


def _stop(args: Arguments) -> None:
    args.engine.stop(*args.job("InstanceId"))


def _get_job(args: Arguments) -> dict[str, Any]:
    run, node = args.job("JobInstanceId")
    detail: dict[str, Any] = {
        "JobId": node.job_id,
        "InstanceId": node.job_instance_id,
        "JobName": node.definition.name,
        "Status": node.status,
        "Result": node.result,
        "Progress": "",
        "TimeType": 100,
        "TraceId": f"{node.job_instance_id:030x}",
        "Executor": "emulator",
        "WorkAddr": WORKER,
        **_times(args, run, node.starts, node.ends, node.status),
    }
    match args.profile["parameters_shown"]:
        case "run":
            detail["Parameters"] = run.parameters or ""
        case "escaped":
            detail["Parameters"] = (run.parameters or "").replace("\\", "\\\\").replace('"', '\\"')
        case "job":
            detail["Parameters"] = node.definition.parameters
    if (trigger_type := args.profile["node_trigger_type"]) != "absent":
        detail["TriggerType"] = _TIMED if run.is_scheduled else int(trigger_type)
    return {"JobInstanceDetail": detail}


def _get_log(args: Arguments) -> dict[str, Any]:
    if args.profile["log_service"] == "off":
        raise Refused("log service is not enabled")
    now = args.engine.now()
    start = args.number("StartTimestamp", int((now - _LOG_WINDOW) * 1000)) / 1000
    end = min(now, args.number("EndTimestamp", int(now * 1000)) / 1000)
    keyword = args.text("Keyword") or ""
    lines = [
        f"{datetime.fromtimestamp(at, args.zone):%Y-%m-%d %H:%M:%S} {line}"
        for at, line in _log_of(args)
        if start <= at <= end and keyword in line
    ]
    if (args.text("Reverse") or "true").lower() != "false":
        lines.reverse()
    offset = args.number("Offset", 0)
    return {"Logs": lines[offset : offset + min(_MAX_LOG_LINES, args.number("Line", _MAX_LOG_LINES))]}


def _log_of(args: Arguments) -> list[tuple[float, str]]:
    """The lines of one job instance, one job or a whole group: neither id is required."""
    if args.text("JobId") and args.text("JobInstanceId"):
        return args.job("JobInstanceId")[1].log
    ids = [args.number(name) if args.text(name) else None for name in ("JobId", "JobInstanceId")]
    return args.engine.log(args.group, *ids)


def _retry_job(args: Arguments) -> None:
    args.engine.retry(*args.job("JobInstanceId"))


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
_JOB = (*_GROUP, "JobId", "JobInstanceId")
_WORKFLOW_QUERY = f"{_READ}WorkflowQuery"

OPERATIONS: Mapping[str, OperationSpec] = {
    "ExecuteWorkflow": OperationSpec(_execute, "edas:ManageSchedulerxWorkflowRun", (*_GROUP, "WorkflowId")),
    "GetWorkflowInstance": OperationSpec(
        _get_instance, _WORKFLOW_QUERY, (*_GROUP, "WorkflowId", "WfInstanceId"), professional=True
    ),
    "ListWorkflowInstance": OperationSpec(
        _list_instances, _WORKFLOW_QUERY, (*_GROUP, "WorkflowId"), professional=True
    ),
    "GetWorkFlow": OperationSpec(_get_workflow, _WORKFLOW_QUERY, (*_GROUP, "WorkflowId")),
    "ListWorkFlows": OperationSpec(_list_workflows, _WORKFLOW_QUERY, _GROUP),
    "StopInstance": OperationSpec(
        _stop, "edas:ManageSchedulerxJobInstStop", (*_GROUP, "JobId", "InstanceId")
    ),
    "GetJobInstance": OperationSpec(_get_job, f"{_READ}JobInstanceQuery", _JOB),
    "GetLog": OperationSpec(_get_log, f"{_READ}LogQuery", _GROUP, professional=True),
    "RetryJobInstance": OperationSpec(_retry_job, "edas:ManageSchedulerxJobInstRun", _JOB, professional=True),
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


def _times(
    args: Arguments, run: InstanceRun, start: float | None, end: float | None, status: int
) -> dict[str, str]:
    """Times as the service writes them; those that have not come yet are left out."""
    given = {
        "ScheduleTime": run.schedule_time,
        "DataTime": run.data_time,
        "StartTime": start,
        # A running node knows its end already, but nobody else may.
        "EndTime": end if status not in (1, 2, 3) else None,
    }
    return {
        name: datetime.fromtimestamp(at, args.zone).strftime("%Y-%m-%d %H:%M:%S")
        for name, at in given.items()
        if at is not None
    }
