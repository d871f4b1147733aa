"""DAGs for test_real_jobs.py."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_schedulerx.operators.schedulerx import ExecuteJobOperator
from airflow_provider_schedulerx.sensors.schedulerx import JobInstanceSensor

with DAG("job", schedule=None, start_date=datetime(2024, 1, 1), catchup=False):
    sync = ExecuteJobOperator(task_id="sync", job_name="tidy", poll_interval=1)
    deferred = ExecuteJobOperator(
        task_id="deferred", job_id=21, poll_interval=1, deferrable=True, wait_for_completion=True
    )
    wait = JobInstanceSensor(
        task_id="wait", job_id=21, job_instance_id=deferred.output, poke_interval=1, deferrable=True
    )
    sync >> deferred >> wait

with DAG("job_fails", schedule=None, start_date=datetime(2024, 1, 1), catchup=False):
    ExecuteJobOperator(task_id="run", job_id=24, poll_interval=1, deferrable=True)

with DAG("job_endless", schedule=None, start_date=datetime(2024, 1, 1), catchup=False):
    ExecuteJobOperator(task_id="run", job_id=23, poll_interval=1)
