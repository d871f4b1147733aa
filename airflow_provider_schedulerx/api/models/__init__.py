"""What the service answers, as frozen typed values.

Times stay the service's own text (``2023-01-03 18:00:01``): their zone is not documented, so
they are never turned into instants nor compared with our clock.
"""

from __future__ import annotations

from airflow_provider_schedulerx.api.models.fields import (
    MalformedAnswerError,
    id_field,
    int_field,
    mapping_field,
    optional_int,
    records_field,
    text_field,
    text_of,
)
from airflow_provider_schedulerx.api.models.jobs import Job, JobInstance, StartedJobInstance
from airflow_provider_schedulerx.api.models.places import AppGroup, Namespace
from airflow_provider_schedulerx.api.models.statuses import (
    JobInstanceStatus,
    JobTimeType,
    OpenIntEnum,
    TriggerType,
    WorkflowInstanceStatus,
)
from airflow_provider_schedulerx.api.models.workflows import (
    Edge,
    StartedWorkflowInstance,
    Workflow,
    WorkflowInstance,
    WorkflowInstanceNode,
    WorkflowInstanceSummary,
    WorkflowNode,
)

__all__ = [
    "AppGroup",
    "Edge",
    "Job",
    "JobInstance",
    "JobInstanceStatus",
    "JobTimeType",
    "MalformedAnswerError",
    "Namespace",
    "OpenIntEnum",
    "StartedJobInstance",
    "StartedWorkflowInstance",
    "TriggerType",
    "Workflow",
    "WorkflowInstance",
    "WorkflowInstanceNode",
    "WorkflowInstanceStatus",
    "WorkflowInstanceSummary",
    "WorkflowNode",
    "id_field",
    "int_field",
    "mapping_field",
    "optional_int",
    "records_field",
    "text_field",
    "text_of",
]
