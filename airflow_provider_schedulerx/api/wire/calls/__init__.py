"""Every operation this provider uses: what goes into its query and what its ``Data`` means.

A function here checks its arguments, sends nothing and returns a :class:`Call`, which the
synchronous and the asynchronous side carry out alike. Facts about an operation come from the
API page of the operation's name; methods are those of the official SDK 2.2.3.
"""

from __future__ import annotations

from airflow_provider_schedulerx.api.wire.calls.call import Call, Operation
from airflow_provider_schedulerx.api.wire.calls.jobs import (
    EXECUTE_JOB,
    GET_JOB_INFO,
    GET_JOB_INSTANCE,
    GET_JOB_INSTANCE_LIST,
    GET_LOG,
    JOBS_PAGE_SIZE,
    LIST_JOBS,
    MAX_LOG_LINES,
    RETRY_JOB_INSTANCE,
    STOP_INSTANCE,
    Designation,
    execute_job,
    get_job_info,
    get_job_instance,
    get_job_instance_list,
    get_log,
    list_jobs,
    retry_job_instance,
    stop_job_instance,
)
from airflow_provider_schedulerx.api.wire.calls.places import (
    DESCRIBE_REGIONS,
    LIST_GROUPS,
    LIST_NAMESPACES,
    describe_regions,
    list_groups,
    list_namespaces,
)
from airflow_provider_schedulerx.api.wire.calls.workflows import (
    EXECUTE_WORKFLOW,
    GET_WORKFLOW,
    GET_WORKFLOW_INSTANCE,
    LIST_WORKFLOW_INSTANCE,
    LIST_WORKFLOWS,
    SET_WF_INSTANCE_SUCCESS,
    WORKFLOWS_PAGE_SIZE,
    execute_workflow,
    get_workflow,
    get_workflow_instance,
    list_workflow_instances,
    list_workflows,
    set_workflow_instance_success,
)

__all__ = [
    "DESCRIBE_REGIONS",
    "EXECUTE_JOB",
    "EXECUTE_WORKFLOW",
    "GET_JOB_INFO",
    "GET_JOB_INSTANCE",
    "GET_JOB_INSTANCE_LIST",
    "GET_LOG",
    "GET_WORKFLOW",
    "GET_WORKFLOW_INSTANCE",
    "JOBS_PAGE_SIZE",
    "LIST_GROUPS",
    "LIST_JOBS",
    "LIST_NAMESPACES",
    "LIST_WORKFLOWS",
    "LIST_WORKFLOW_INSTANCE",
    "MAX_LOG_LINES",
    "RETRY_JOB_INSTANCE",
    "SET_WF_INSTANCE_SUCCESS",
    "STOP_INSTANCE",
    "WORKFLOWS_PAGE_SIZE",
    "Call",
    "Designation",
    "Operation",
    "describe_regions",
    "execute_job",
    "execute_workflow",
    "get_job_info",
    "get_job_instance",
    "get_job_instance_list",
    "get_log",
    "get_workflow",
    "get_workflow_instance",
    "list_groups",
    "list_jobs",
    "list_namespaces",
    "list_workflow_instances",
    "list_workflows",
    "retry_job_instance",
    "set_workflow_instance_success",
    "stop_job_instance",
]
