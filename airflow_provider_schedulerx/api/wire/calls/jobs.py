"""The operations on jobs and their instances, which nodes of workflow instances are, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_schedulerx.api import models
from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError
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

#: The service's limit of lines that one ``GetLog`` returns.
MAX_LOG_LINES = 200
#: Our page size for ``ListJobs`` and ``GetJobInstanceList``; the service's limits are not documented.
JOBS_PAGE_SIZE = 50

# The RAM action is that of the Chinese API page "ExecuteJob" (help.aliyun.com/document_detail/176513).
EXECUTE_JOB = Operation("ExecuteJob", "GET", "edas:ManageSchedulerxJobTrigger", changes=True)
GET_JOB_INSTANCE_LIST = Operation("GetJobInstanceList", "GET", "edas:ReadSchedulerxJobInstanceQuery")
GET_JOB_INFO = Operation("GetJobInfo", "GET", "edas:ReadSchedulerxJobQuery")
LIST_JOBS = Operation("ListJobs", "GET", "edas:ReadSchedulerxJobQuery")
STOP_INSTANCE = Operation("StopInstance", "GET", "edas:ManageSchedulerxJobInstStop", changes=True)
GET_JOB_INSTANCE = Operation("GetJobInstance", "GET", "edas:ReadSchedulerxJobInstanceQuery")
GET_LOG = Operation("GetLog", "GET", "edas:ReadSchedulerxLogQuery")
RETRY_JOB_INSTANCE = Operation("RetryJobInstance", "POST", "edas:ManageSchedulerxJobInstRun", changes=True)


@dataclass(frozen=True, slots=True)
class Designation:
    """Which worker has to run a job instance (API page "ExecuteJob").

    :ivar kind: 1 for a worker, 2 for a label.
    :ivar worker: the worker's address, such as ``...@127.0.0.1:222``.
    :ivar label: label of the workers.
    """

    kind: int
    worker: str | None = None
    label: str | None = None


def execute_job(
    scope: Scope,
    job_id: Any,
    instance_parameters: Any = None,
    *,
    check_job_status: bool | None = None,
    designation: Designation | None = None,
) -> Call[models.StartedJobInstance]:
    """Start a run of a job.

    :param check_job_status: True refuses a disabled job, which is also the service's default; False runs it.
    """
    job_id = check_id("job_id", job_id)

    def parse(body: Mapping[str, Any]) -> models.StartedJobInstance:
        job_instance_id = models.id_field(data_of(body), "JobInstanceId", "Data")
        return models.StartedJobInstance(job_instance_id, models.text_field(body, "RequestId"))

    return Call(
        EXECUTE_JOB,
        scoped(
            scope,
            JobId=job_id,
            InstanceParameters=encode_instance_parameters(instance_parameters),
            CheckJobStatus=check_job_status,
            DesignateType=None if designation is None else designation.kind,
            Worker=None if designation is None else designation.worker,
            Label=None if designation is None else designation.label,
        ),
        parse,
    )


def get_job_instance_list(
    scope: Scope,
    job_id: Any,
    page_num: int = 1,
    *,
    page_size: int = JOBS_PAGE_SIZE,
    status: int | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> Call[list[models.JobInstance]]:
    """One page of the runs of a job, in the service's order, which is not documented.

    A page that is not full need not be the last: the service may give less than was asked for, and before 2024
    it gave the 10 newest runs as every page.

    :param start_ms: start of a time range, epoch milliseconds as in the example of the Chinese API page. Neither says
        which time of a run it is held against: that such a filter leaves a run out proves nothing.
    :param end_ms: end of the time range, likewise.
    """
    job_id = check_id("job_id", job_id)

    def parse(body: Mapping[str, Any]) -> list[models.JobInstance]:
        records = models.records_field(data_of_list(body), "JobInstanceDetails", "Data")
        return [models.JobInstance.parse_record(job_id, record) for record in records]

    return Call(
        GET_JOB_INSTANCE_LIST,
        scoped(
            scope,
            JobId=job_id,
            PageNum=page_num,
            PageSize=page_size,
            Status=status,
            StartTimestamp=start_ms,
            EndTimestamp=end_ms,
        ),
        parse,
    )


def get_job_info(scope: Scope, job_id: Any) -> Call[models.Job]:
    job_id = check_id("job_id", job_id)
    return Call(
        GET_JOB_INFO,
        scoped(scope, JobId=job_id),
        lambda body: models.Job.parse(job_id, models.mapping_field(data_of(body), "JobConfigInfo", "Data")),
    )


def list_jobs(
    scope: Scope,
    page_num: int = 1,
    job_name: str | None = None,
    status: str | None = None,
    page_size: int = JOBS_PAGE_SIZE,
) -> Call[tuple[list[models.Job], int]]:
    """One page of jobs, and the total number of them, as :func:`total_of` says.

    :param job_name: passed on as ``JobName``, which may match parts of names.
    :param status: ``"0"`` for disabled jobs, ``"1"`` for enabled ones.
    """

    def parse(body: Mapping[str, Any]) -> tuple[list[models.Job], int]:
        data = data_of_list(body)
        jobs = [
            models.Job.parse(models.id_field(record, "JobId", "Jobs[]"), record)
            for record in models.records_field(data, "Jobs", "Data")
        ]
        return jobs, total_of(data, page_num, page_size, len(jobs))

    return Call(
        LIST_JOBS,
        scoped(scope, PageNum=page_num, PageSize=page_size, Status=status, JobName=job_name),
        parse,
    )


def stop_job_instance(scope: Scope, job_id: Any, job_instance_id: Any) -> Call[None]:
    return Call(
        STOP_INSTANCE,
        scoped(
            scope,
            JobId=check_id("job_id", job_id),
            InstanceId=check_id("job_instance_id", job_instance_id),
        ),
        nothing,
    )


def get_job_instance(scope: Scope, job_id: Any, job_instance_id: Any) -> Call[models.JobInstance]:
    job_id = check_id("job_id", job_id)
    job_instance_id = check_id("job_instance_id", job_instance_id)
    return Call(
        GET_JOB_INSTANCE,
        scoped(scope, JobId=job_id, JobInstanceId=job_instance_id),
        lambda body: models.JobInstance.parse(job_id, job_instance_id, data_of(body)),
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
        logs = data_of_list(body).get("Logs")
        if not isinstance(logs, list | None):
            raise models.MalformedAnswerError("Data.Logs is malformed")
        return [models.text_of(line) or "" for line in logs or []]

    return Call(
        GET_LOG,
        scoped(
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
        scoped(
            scope,
            JobId=check_id("job_id", job_id),
            JobInstanceId=check_id("job_instance_id", job_instance_id),
        ),
        nothing,
    )
