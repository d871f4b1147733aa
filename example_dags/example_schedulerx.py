"""Use this to start a SchedulerX workflow and wait for its end; the second DAG shows what a failure looks like.

Runs against the local emulator (``make demo``) as it is. For your own SchedulerX, set up the
connection ``schedulerx_default`` and put your workflow ids in.
"""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_schedulerx.operators.schedulerx import ExecuteWorkflowOperator

with DAG(
    "example_schedulerx",
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    tags=["example", "schedulerx"],
):
    ExecuteWorkflowOperator(
        task_id="nightly_etl",
        workflow_id=101,
        instance_parameters={"run": "{{ run_id }}", "source": "airflow"},
        poll_interval=1,
        timeout=120,
    )

with DAG(
    "example_schedulerx_failure",
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    tags=["example", "schedulerx"],
):
    ExecuteWorkflowOperator(
        task_id="broken_report",
        workflow_id=102,
        group_id="demo.reporting",
        poll_interval=1,
        timeout=120,
    )
