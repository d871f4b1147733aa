"""Use this to start one SchedulerX run for each set of parameters; all of them are waited for by one poller."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_schedulerx.operators.schedulerx import ExecuteWorkflowOperator

with DAG(
    "example_schedulerx_mapped",
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    tags=["example", "schedulerx"],
):
    ExecuteWorkflowOperator.partial(
        task_id="load", workflow_id=101, poll_interval=2, timeout=120, deferrable=True
    ).expand(instance_parameters=[{"table": table} for table in ("orders", "customers", "invoices")])
