"""Use this for a SchedulerX job that is in no workflow: run it, wait for another in the triggerer, see a failure.

Runs against the local emulator (``make demo``) as it is. For your own SchedulerX, set up the
connection ``schedulerx_default`` and put your job ids in.
"""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_schedulerx.operators.schedulerx import ExecuteJobOperator
from airflow_provider_schedulerx.sensors.schedulerx import JobInstanceSensor

with DAG(
    "example_schedulerx_job",
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    tags=["example", "schedulerx"],
):
    refresh = ExecuteJobOperator(
        task_id="refresh_cache",
        job_id=201,
        instance_parameters={"run": "{{ run_id }}"},
        poll_interval=1,
        timeout=120,
        deferrable=True,
    )
    start = ExecuteJobOperator(task_id="start_another", job_id=201, wait_for_completion=False)
    wait = JobInstanceSensor(
        task_id="wait_for_it",
        job_id=201,
        job_instance_id=start.output,
        poke_interval=1,
        timeout=120,
    )
    refresh >> start >> wait

with DAG(
    "example_schedulerx_job_failure",
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    tags=["example", "schedulerx"],
):
    ExecuteJobOperator(
        task_id="import_invoices", job_id=202, group_id="demo.reporting", poll_interval=1, timeout=120
    )
