"""Use this to wait for a SchedulerX run that another task, or something outside of Airflow, has started."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_schedulerx.operators.schedulerx import ExecuteWorkflowOperator
from airflow_provider_schedulerx.sensors.schedulerx import WorkflowInstanceSensor

with DAG(
    "example_schedulerx_sensor",
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    tags=["example", "schedulerx"],
):
    start = ExecuteWorkflowOperator(task_id="start", workflow_id=101, wait_for_completion=False)
    WorkflowInstanceSensor(
        task_id="wait",
        workflow_id=101,
        wf_instance_id=start.output,
        poke_interval=2,
        timeout=120,
        deferrable=True,
    )
