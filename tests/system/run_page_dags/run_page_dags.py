"""DAGs for test_run_page.py and test_run_page_access.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator

from airflow_provider_schedulerx.operators.schedulerx import ExecuteJobOperator, ExecuteWorkflowOperator


def dag(dag_id: str) -> DAG:
    return DAG(dag_id, schedule=None, start_date=datetime(2024, 1, 1), catchup=False)


def etl(**arguments: Any) -> ExecuteWorkflowOperator:
    return ExecuteWorkflowOperator(
        **{"task_id": "etl", "workflow_id": 101, "poll_interval": 1, "durable": False, **arguments}
    )


with dag("page_sync"):
    etl()
    # Whoever has no operator of ours sees the tab, too.
    PythonOperator(task_id="other", python_callable=print)
    EmptyOperator(task_id="never", trigger_rule="all_failed")

with dag("page_deferred"):
    etl(deferrable=True)

with dag("page_failed"):
    etl(task_id="report", workflow_id=102, deferrable=True)

with dag("page_long"):
    etl(task_id="haul", workflow_id=103)

with dag("page_long_deferred"):
    etl(task_id="haul", workflow_id=103, deferrable=True)

with dag("page_chain"):
    etl(task_id="chain", workflow_id=107)

with dag("page_large"):
    etl(task_id="large", workflow_id=104)

with dag("page_mapped"):
    ExecuteWorkflowOperator.partial(
        task_id="load", workflow_id=105, poll_interval=1, deferrable=True, durable=False
    ).expand(instance_parameters=[{"shard": number} for number in range(3)])

with dag("page_job"):
    ExecuteJobOperator(task_id="waiting", job_id=301, poll_interval=1, durable=False) >> ExecuteJobOperator(
        task_id="deferred", job_id=301, poll_interval=1, durable=False, deferrable=True
    )

with dag("page_many"):
    ExecuteWorkflowOperator.partial(
        task_id="relay", workflow_id=106, poll_interval=5, deferrable=True, durable=False
    ).expand(instance_parameters=[{"shard": number} for number in range(30)])

with dag("not_yours"):
    etl(workflow_id=105)
