"""The DAG of ``dev/experiments/distributed.py``: a mapped task instance a run, all deferred."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_schedulerx.operators.schedulerx import ExecuteWorkflowOperator

cases = json.loads(Path(os.environ["DISTRIBUTED_PLAN"]).read_text())

with DAG("many", schedule=None, start_date=datetime(2024, 1, 1), catchup=False, max_active_tasks=1000):
    ExecuteWorkflowOperator.partial(
        task_id="run",
        deferrable=True,
        poll_interval=30,
        poll_failure_tolerance=180,
        retries=3,
        retry_delay=timedelta(seconds=2),
    ).expand_kwargs(
        [
            {
                "workflow_id": case["workflow_id"],
                "instance_parameters": {"case": number, "flavor": "distributed"},
            }
            for number, case in enumerate(cases)
        ]
    )
