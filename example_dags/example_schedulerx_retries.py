"""Use this to choose what a retry does: follow the previous try's run (first DAG), or rerun its failed nodes (second).

By its marker, a retry finds the run on every version of Airflow; Airflow 3.3 also keeps the run's id over tries.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_schedulerx.operators.schedulerx import ExecuteWorkflowOperator

with DAG(
    "example_schedulerx_reattach",
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    tags=["example", "schedulerx"],
):
    # The first try gives up after 3 seconds and leaves the run alone; the next one goes on with the same run.
    ExecuteWorkflowOperator(
        task_id="nightly_etl",
        workflow_id=101,
        poll_interval=1,
        timeout=3,
        cancel_on_kill=False,
        run_marker=True,
        retries=5,
        retry_delay=timedelta(seconds=1),
    )

with DAG(
    "example_schedulerx_rerun_failed",
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    tags=["example", "schedulerx"],
):
    # "render" fails at its first attempt; the retry lets it run again, and the rest of the run after it.
    ExecuteWorkflowOperator(
        task_id="report",
        workflow_id=102,
        group_id="demo.reporting",
        poll_interval=1,
        timeout=120,
        on_retry="rerun_failed",
        run_marker=True,
        retries=1,
        retry_delay=timedelta(seconds=1),
    )
