"""What the operations on jobs and their instances answer, nodes of workflow instances among them."""

from __future__ import annotations

import html
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_provider_schedulerx.emulator.arguments import WORKER, Arguments, OperationSpec
from airflow_provider_schedulerx.emulator.definitions import Job
from airflow_provider_schedulerx.emulator.engine import Refused
from airflow_provider_schedulerx.emulator.instances import InstanceRun, NodeRun

#: ``TriggerType`` of a run that a schedule has started (API page "GetJobInstance").
_TIMED = 1
_MAX_LOG_LINES = 200
_LOG_WINDOW = 30 * 60
#: Characters of parameters that are shown where they are cut.
_CUT = 12


def _execute(args: Arguments) -> dict[str, Any]:
    job = args.job
    worker = {1: args.text("Worker"), 2: args.text("Label")}.get(args.number("DesignateType", 0))
    check_status = args.flag("CheckJobStatus", default=True)
    parameters = args.instance_parameters
    return {
        "JobInstanceId": args.started(
            lambda: args.engine.execute_job(job, parameters, check_status=check_status, worker=worker or "")
        )
    }


def _get_info(args: Arguments) -> dict[str, Any]:
    return {"JobConfigInfo": _job_record(args.job)}


def _list(args: Arguments) -> dict[str, Any]:
    found = args.of_group(args.engine.jobs.values(), args.text("JobName"))
    page, size, shown = args.page(found)
    return {
        "PageNumber": page,
        "PageSize": size,
        "Total": len(found),
        "Jobs": [_job_record(job) for job in shown],
    }


def _job_record(job: Job) -> dict[str, Any]:
    return {
        "JobId": job.job_id,
        "Name": job.name,
        "Description": "",
        "Status": int(job.enabled),
        "MaxConcurrency": str(job.max_concurrency),
        "MaxAttempt": 0,
        "AttemptInterval": 30,
        "JobType": "java",
        "ClassName": "com.example.Emulated",
        "JarUrl": "",
        "Content": "",
        "ExecuteMode": "standalone",
        "Parameters": job.node.parameters,
        "MapTaskXAttrs": {
            "TaskMaxAttempt": 0,
            "TaskAttemptInterval": 0,
            "ConsumerSize": 5,
            "QueueSize": 10000,
            "DispatcherSize": 5,
            "PageSize": 100,
        },
        "TimeConfig": {
            "Calendar": "",
            "TimeType": job.time_type,
            "TimeExpression": job.time_expression,
            "DataOffset": 0,
        },
    }


def _list_instances(args: Arguments) -> dict[str, Any]:
    status = args.text("Status")
    start, end = (
        args.number(name) if args.text(name) else None for name in ("StartTimestamp", "EndTimestamp")
    )
    found = [
        (run, node)
        for run in args.engine.listed(args.job)
        for node in run.nodes.values()
        if status in (None, "", str(node.status)) and _is_within(args, run, node, start, end)
    ]
    # Before 2024, every page was the same.
    is_old = args.profile["job_list_length"] != "all"
    shown = found if is_old else args.page(found)[2]
    return {"JobInstanceDetails": [_detail(args, run, node) for run, node in shown]}


def _is_within(args: Arguments, run: InstanceRun, node: NodeRun, start: int | None, end: int | None) -> bool:
    """Whether an instance is within a time range of epoch milliseconds."""
    which = args.profile["job_list_time"]
    if which == "ignored" or start is end is None:
        return True
    at = run.schedule_time if which == "schedule" else None if node.status in (1, 2) else node.starts
    return at is not None and (start or 0) <= at * 1000 <= (end or float("inf"))


def _detail(args: Arguments, run: InstanceRun, node: NodeRun) -> dict[str, Any]:
    """What a job instance shows in a list, and by itself."""
    detail: dict[str, Any] = {
        "JobId": node.job_id,
        "InstanceId": node.job_instance_id,
        "Status": node.status,
        "Result": node.result,
        "Progress": "",
        "TimeType": 100,
        "Executor": "emulator",
        "WorkAddr": run.worker or WORKER,
        **args.times(run, node.starts, node.ends, node.status),
    }
    trigger_type = "3" if run.job_id else args.profile["node_trigger_type"]
    if trigger_type != "absent":
        detail["TriggerType"] = _TIMED if run.is_scheduled else int(trigger_type)
    return detail


def _stop(args: Arguments) -> None:
    args.engine.stop(*args.job_instance("InstanceId"))


def _get_instance(args: Arguments) -> dict[str, Any]:
    run, node = args.job_instance("JobInstanceId")
    detail = _detail(args, run, node) | {
        "JobName": node.definition.name,
        "TraceId": f"{node.job_instance_id:030x}",
    }
    if (shown := _shown_parameters(args, run, node)) is not None:
        detail["Parameters"] = shown
    return {"JobInstanceDetail": detail}


def _shown_parameters(args: Arguments, run: InstanceRun, node: NodeRun) -> str | None:
    text = run.parameters or ""
    match args.profile["parameters_shown"]:
        case "run":
            return text
        case "escaped":
            return text.replace("\\", "\\\\").replace('"', '\\"')
        case "html":
            return html.escape(text)
        case "cut":
            return text if len(text) <= _CUT else f"{text[:_CUT]}..."
        case "job":
            return node.definition.parameters
    return None


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
        return args.job_instance("JobInstanceId")[1].log
    ids = [args.number(name) if args.text(name) else None for name in ("JobId", "JobInstanceId")]
    return args.engine.log(args.group, *ids)


def _retry_job(args: Arguments) -> None:
    args.engine.retry(*args.job_instance("JobInstanceId"))


_GROUP = ("RegionId", "Namespace", "GroupId")
_INSTANCE = (*_GROUP, "JobId", "JobInstanceId")
_QUERY, _INSTANCE_QUERY = "edas:ReadSchedulerxJobQuery", "edas:ReadSchedulerxJobInstanceQuery"

JOB_OPERATIONS: Mapping[str, OperationSpec] = {
    "ExecuteJob": OperationSpec(_execute, "edas:ManageSchedulerxJobTrigger", (*_GROUP, "JobId")),
    "GetJobInfo": OperationSpec(_get_info, _QUERY, (*_GROUP, "JobId")),
    "ListJobs": OperationSpec(_list, _QUERY, _GROUP),
    "GetJobInstanceList": OperationSpec(_list_instances, _INSTANCE_QUERY, (*_GROUP, "JobId")),
    "GetJobInstance": OperationSpec(_get_instance, _INSTANCE_QUERY, _INSTANCE),
    "StopInstance": OperationSpec(
        _stop, "edas:ManageSchedulerxJobInstStop", (*_GROUP, "JobId", "InstanceId")
    ),
    "GetLog": OperationSpec(_get_log, "edas:ReadSchedulerxLogQuery", _GROUP, professional=True),
    "RetryJobInstance": OperationSpec(
        _retry_job, "edas:ManageSchedulerxJobInstRun", _INSTANCE, professional=True
    ),
}
