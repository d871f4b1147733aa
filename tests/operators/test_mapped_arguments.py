"""Wrong arguments of mapped tasks, which Airflow hands to the constructor only when the task runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_schedulerx.exceptions import ArgumentError, SchedulerXConfigurationError
from airflow_provider_schedulerx.operators.schedulerx import ExecuteJobOperator, ExecuteWorkflowOperator
from airflow_provider_schedulerx.sensors.schedulerx import JobInstanceSensor, WorkflowInstanceSensor


@pytest.mark.parametrize(
    ("operator", "fixed", "mapped", "field"),
    [
        (ExecuteWorkflowOperator, {}, {"workflow_id": "x"}, "workflow_id"),
        (
            ExecuteWorkflowOperator,
            {"workflow_id": 1},
            {"instance_parameters": "x" * 1001},
            "instance_parameters",
        ),
        (ExecuteJobOperator, {"job_id": 1}, {"designate_type": "worker"}, "worker"),
        (WorkflowInstanceSensor, {"workflow_id": 1}, {"data_time": "today"}, "data_time"),
        (JobInstanceSensor, {"job_id": 1}, {"job_instance_id": -1}, "job_instance_id"),
    ],
)
def test_they_fail_the_task_without_a_retry(
    operator: Any, fixed: dict[str, Any], mapped: dict[str, Any], field: str
) -> None:
    with DAG("mapped", schedule=None, start_date=datetime(2024, 1, 1), catchup=False):
        task = operator.partial(task_id="run", **fixed).expand_kwargs([mapped])
    with pytest.raises(AirflowFailException) as caught:
        task.unmap(mapped)
    assert isinstance(caught.value, SchedulerXConfigurationError)
    assert caught.value.field == field


def test_one_that_is_written_out_fails_the_dag_file_likewise() -> None:
    with pytest.raises(ArgumentError, match="workflow_id must be an integer"):
        ExecuteWorkflowOperator(task_id="run", workflow_id="x")
