"""DAGs for test_real_durable.py."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from dev.experiments.faulty import FaultyOperator

ARGUMENTS: dict[str, Any] = {
    "task_id": "run",
    "poll_interval": 0.5,
    "settling_time": 2,
    "retries": 2,
    "retry_delay": timedelta(seconds=1),
}


def dag(dag_id: str, schedule: str | None = None) -> DAG:
    return DAG(
        dag_id,
        schedule=schedule,
        start_date=datetime(2024, 1, 1),
        catchup=False,
        render_template_as_native_obj=True,
    )


with dag("dying"):
    FaultyOperator(
        **ARGUMENTS,
        workflow_id="{{ dag_run.conf['workflow_id'] }}",
        instance_parameters={"run": "{{ run_id }}"},
        fault="{{ dag_run.conf['fault'] }}",
    )

with dag("dying_often"):
    FaultyOperator(
        **{**ARGUMENTS, "retries": 100},
        workflow_id="{{ dag_run.conf['workflow_id'] }}",
        instance_parameters={"run": "{{ run_id }}"},
    )

with dag("dying_deferred"):
    FaultyOperator(
        **ARGUMENTS,
        workflow_id="{{ dag_run.conf['workflow_id'] }}",
        instance_parameters={"run": "{{ run_id }}"},
        fault="{{ dag_run.conf['fault'] }}",
        deferrable=True,
    )

with dag("waits_for_retry"):
    FaultyOperator(
        **{**ARGUMENTS, "retry_delay": timedelta(minutes=30)}, workflow_id=3, fault="kill_after_record"
    )

with dag("dying_mapped"):
    FaultyOperator.partial(**ARGUMENTS, workflow_id=1, fault="kill_before_record").expand(
        instance_parameters=[{"run": "{{ run_id }}", "part": part} for part in range(3)]
    )

with dag("dying_backfill", schedule="@daily"):
    FaultyOperator(
        **ARGUMENTS, workflow_id=90, fault="kill_before_record", instance_parameters={"run": "{{ run_id }}"}
    )
