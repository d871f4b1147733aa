"""DAGs for test_real_triggerer.py."""

from __future__ import annotations

import os
from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, chain

from airflow_provider_schedulerx.operators.schedulerx import ExecuteWorkflowOperator
from airflow_provider_schedulerx.sensors.schedulerx import WorkflowInstanceSensor


def dag(dag_id: str) -> DAG:
    return DAG(
        dag_id,
        schedule=None,
        start_date=datetime(2024, 1, 1),
        catchup=False,
        max_active_tasks=2000,
        render_template_as_native_obj=True,
    )


def operator(**arguments: object) -> ExecuteWorkflowOperator:
    return ExecuteWorkflowOperator(
        **{"task_id": "run", "poll_interval": 1, "deferrable": True, **arguments}  # type: ignore[arg-type]
    )


with dag("deferred"):
    operator(workflow_id="{{ dag_run.conf['workflow_id'] }}")

with dag("deferred_endless"):
    operator(workflow_id=3)

with dag("deferred_timeout"):
    operator(workflow_id=3, timeout=4)

with dag("deferred_execution_timeout"):
    operator(workflow_id=3, execution_timeout=timedelta(seconds=4))

with dag("short_deferred"):
    ExecuteWorkflowOperator.partial(task_id="run", poll_interval=1, deferrable=True).expand_kwargs(
        [{"workflow_id": 81 + number % 6} for number in range(int(os.environ.get("SHORT_RUNS", "30")))]
    )

with dag("operator_then_sensor"):
    start = ExecuteWorkflowOperator(
        task_id="start", workflow_id="{{ dag_run.conf['workflow_id'] }}", wait_for_completion=False
    )
    chain(
        start,
        *(
            WorkflowInstanceSensor(
                task_id=mode,
                workflow_id="{{ dag_run.conf['workflow_id'] }}",
                wf_instance_id=start.output,
                poke_interval=1,
                timeout=60,
                mode="reschedule" if mode == "reschedule" else "poke",
                deferrable=mode == "deferred",
                trigger_rule="all_done",
            )
            for mode in ("poke", "reschedule", "deferred")
        ),
    )

with dag("soft_sensor"):
    start = ExecuteWorkflowOperator(task_id="start", workflow_id=3, wait_for_completion=False)
    chain(
        start,
        *(
            WorkflowInstanceSensor(
                task_id=mode,
                workflow_id=3,
                wf_instance_id=start.output,
                poke_interval=1,
                timeout=3,
                soft_fail=True,
                deferrable=mode == "deferred",
                trigger_rule="all_done",
            )
            for mode in ("poke", "deferred")
        ),
    )
