"""Jobs and their instances, as the service answers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from airflow_provider_schedulerx.api.models.fields import (
    id_field,
    int_field,
    mapping_field,
    optional_int,
    text_field,
    times_data,
    times_of,
)
from airflow_provider_schedulerx.api.models.statuses import JobInstanceStatus, JobTimeType, TriggerType
from airflow_provider_schedulerx.api.models.workflows import WorkflowInstanceNode


@dataclass(frozen=True, slots=True)
class StartedJobInstance:
    """What ``ExecuteJob`` started."""

    job_instance_id: int
    request_id: str | None

    @property
    def instance_id(self) -> int:
        return self.job_instance_id


@dataclass(frozen=True, slots=True)
class JobInstance:
    """``GetJobInstance``, or a record of ``GetJobInstanceList``, which has neither name nor parameters.

    :ivar parameters: the service's text. Whether they are those of the run or of the job, and whether the
        service escapes them, is not documented.
    :ivar time_type: what schedules it; None if the service does not say.
    :ivar trigger_type: what started it; None if the service does not say.
    :ivar work_addr: ``ip:port`` of the worker that runs or ran it.
    :ivar result: what the job returned, or why it failed.
    """

    job_id: int
    job_instance_id: int
    status: JobInstanceStatus
    job_name: str | None = None
    parameters: str | None = field(default=None, repr=False)
    result: str | None = None
    progress: str | None = None
    time_type: JobTimeType | None = None
    trigger_type: TriggerType | None = None
    executor: str | None = None
    work_addr: str | None = None
    schedule_time: str | None = None
    data_time: str | None = None
    start_time: str | None = None
    end_time: str | None = None

    @property
    def definition_id(self) -> int:
        return self.job_id

    @property
    def instance_id(self) -> int:
        return self.job_instance_id

    @property
    def label(self) -> str:
        return f"job instance {self.job_instance_id}"

    @property
    def definition_label(self) -> str:
        return f"job {self.job_id}"

    @property
    def nodes(self) -> tuple[WorkflowInstanceNode, ...]:
        """The instance itself, as if it were the only node of a workflow."""
        return (
            WorkflowInstanceNode(
                job_id=self.job_id,
                job_instance_id=self.job_instance_id,
                job_name=self.job_name,
                status=self.status,
                schedule_time=self.schedule_time,
                data_time=self.data_time,
                start_time=self.start_time,
                end_time=self.end_time,
                work_addr=self.work_addr,
                result=self.result,
            ),
        )

    def abridged(self, max_nodes: int, max_result: int) -> Self:
        """The instance with a result of so many characters at most; it has one node."""
        return replace(self, result=self.result and self.result[:max_result])

    @classmethod
    def parse(cls, job_id: int, job_instance_id: int, data: Mapping[str, Any]) -> Self:
        """Read the ``Data`` of ``GetJobInstance``."""
        where = "JobInstanceDetail"
        return cls._parse(job_id, job_instance_id, mapping_field(data, where, "Data"), where)

    @classmethod
    def parse_record(cls, job_id: int, record: Mapping[str, Any]) -> Self:
        """Read a record of ``GetJobInstanceList``."""
        where = "JobInstanceDetails[]"
        return cls._parse(
            optional_int(record, "JobId") or job_id, id_field(record, "InstanceId", where), record, where
        )

    @classmethod
    def _parse(cls, job_id: int, job_instance_id: int, detail: Mapping[str, Any], where: str) -> Self:
        time_type, trigger_type = optional_int(detail, "TimeType"), optional_int(detail, "TriggerType")
        return cls(
            job_id=job_id,
            job_instance_id=job_instance_id,
            status=JobInstanceStatus(int_field(detail, "Status", where)),
            job_name=text_field(detail, "JobName"),
            parameters=text_field(detail, "Parameters"),
            result=text_field(detail, "Result"),
            progress=text_field(detail, "Progress"),
            time_type=None if time_type is None else JobTimeType(time_type),
            trigger_type=None if trigger_type is None else TriggerType(trigger_type),
            executor=text_field(detail, "Executor"),
            work_addr=text_field(detail, "WorkAddr"),
            **times_of(detail),
        )

    def to_data(self) -> dict[str, Any]:
        """The ``Data`` from which :meth:`parse` makes it again, but for its parameters, which are nobody else's."""
        return {
            "JobInstanceDetail": {
                "InstanceId": self.job_instance_id,
                "JobId": self.job_id,
                "JobName": self.job_name,
                "Status": int(self.status),
                "Progress": self.progress,
                "Result": self.result,
                "Executor": self.executor,
                "TimeType": None if self.time_type is None else int(self.time_type),
                "TriggerType": None if self.trigger_type is None else int(self.trigger_type),
                "WorkAddr": self.work_addr,
                **times_data(self),
            }
        }


@dataclass(frozen=True, slots=True)
class Job:
    """The definition of a job, from ``GetJobInfo`` or a record of ``ListJobs``.

    Its script, and what it alerts, are left out.

    :ivar is_enabled: None if the service does not say.
    :ivar max_concurrency: None if the service does not say, or says it in another form.
    :ivar job_type: ``java``, ``python``, ``shell``, for example.
    :ivar execute_mode: ``standalone``, ``broadcast``, ``shard``, for example.
    :ivar time_type: what schedules it; None if the service does not say.
    :ivar parameters: those of the job itself, the same in every run.
    """

    job_id: int
    name: str | None
    is_enabled: bool | None = None
    max_concurrency: int | None = None
    job_type: str | None = None
    execute_mode: str | None = None
    time_type: JobTimeType | None = None
    time_expression: str | None = None
    description: str | None = None
    parameters: str | None = field(default=None, repr=False)

    @property
    def definition_id(self) -> int:
        return self.job_id

    @classmethod
    def parse(cls, job_id: int, info: Mapping[str, Any]) -> Self:
        """Read ``JobConfigInfo``, or a record of ``Jobs``."""
        schedule = info.get("TimeConfig")
        schedule = schedule if isinstance(schedule, dict) else {}
        status, time_type = optional_int(info, "Status"), optional_int(schedule, "TimeType")
        return cls(
            job_id=job_id,
            name=text_field(info, "Name"),
            is_enabled={0: False, 1: True}.get(-1 if status is None else status),
            max_concurrency=optional_int(info, "MaxConcurrency"),
            job_type=text_field(info, "JobType"),
            execute_mode=text_field(info, "ExecuteMode"),
            time_type=None if time_type is None else JobTimeType(time_type),
            time_expression=text_field(schedule, "TimeExpression"),
            description=text_field(info, "Description"),
            parameters=text_field(info, "Parameters"),
        )
