"""Use this to wait for the run that SchedulerX's own schedule has started today, then start a workflow by its name."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_schedulerx.operators.schedulerx import ExecuteWorkflowOperator
from airflow_provider_schedulerx.sensors.schedulerx import WorkflowInstanceSensor

with DAG(
    "example_schedulerx_schedule",
    schedule=None,
    # The service's times have no zone, and are taken as they are: this is where they come from.
    start_date=pendulum.datetime(2024, 1, 1, tz="Asia/Shanghai"),
    catchup=False,
    tags=["example", "schedulerx"],
):
    scheduled = WorkflowInstanceSensor(
        task_id="wait",
        workflow_id=101,
        data_time="{{ (dag_run.run_after | default(data_interval_end, true)).astimezone(dag.timezone).strftime('%Y-%m-%d') }}",
        poke_interval=2,
        timeout=120,
        deferrable=True,
    )
    scheduled >> ExecuteWorkflowOperator(task_id="by_name", workflow_name="nightly-etl", poll_interval=1)
