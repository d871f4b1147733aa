"""Use this if a run takes minutes or more: the task waits in the triggerer, and holds no worker slot meanwhile."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_schedulerx.operators.schedulerx import ExecuteWorkflowOperator

with DAG(
    "example_schedulerx_deferrable",
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    tags=["example", "schedulerx"],
):
    ExecuteWorkflowOperator(
        task_id="nightly_etl", workflow_id=101, poll_interval=2, timeout=120, deferrable=True
    )
