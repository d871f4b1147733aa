"""DAGs for test_real_retries.py."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_schedulerx.operators.schedulerx import ExecuteWorkflowOperator

for name, deferrable in (("sync", False), ("deferred", True)):
    with DAG(f"failing_{name}", schedule=None, start_date=datetime(2024, 1, 1), catchup=False):
        ExecuteWorkflowOperator(
            task_id="run",
            workflow_id=91,
            instance_parameters={"run": "{{ run_id }}"},
            run_marker=True,
            deferrable=deferrable,
            poll_interval=0.5,
            settling_time=2,
            retries=1,
            retry_delay=timedelta(seconds=1),
        )
