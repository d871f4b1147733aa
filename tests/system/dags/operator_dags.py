"""DAGs for test_real_airflow.py."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_schedulerx.operators.schedulerx import ExecuteWorkflowOperator


def dag(dag_id: str) -> DAG:
    return DAG(dag_id, schedule=None, start_date=datetime(2024, 1, 1), catchup=False)


with dag("good"):
    ExecuteWorkflowOperator(task_id="run", workflow_id="{{ dag_run.conf['workflow_id'] }}", poll_interval=0.2)

with dag("endless"):
    ExecuteWorkflowOperator(task_id="run", workflow_id=3, poll_interval=30)

with dag("execution_timeout"):
    ExecuteWorkflowOperator(
        task_id="run", workflow_id=3, poll_interval=30, execution_timeout=timedelta(seconds=4)
    )

with dag("lost_answer"):
    ExecuteWorkflowOperator(
        task_id="run",
        workflow_id=1,
        # By which its run is known among others.
        instance_parameters={"run": "{{ run_id }}"},
        poll_interval=0.2,
        settling_time=2,
        retries=3,
        retry_delay=timedelta(seconds=0),
    )

with dag("mapped"):
    ExecuteWorkflowOperator.partial(task_id="run", workflow_id=1, poll_interval=0.5).expand(
        instance_parameters=[{"part": part} for part in range(4)]
    )
