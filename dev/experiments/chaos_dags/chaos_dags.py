"""The DAGs of the chaos suite, from the plan that ``dev/experiments/chaos.py`` has made: one mapped task instance a case."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from dev.experiments.faulty import FaultyJobOperator, FaultyOperator, PlainOperator
from dev.harness.rest import HAS_TASK_STATE_STORE

plan: dict[str, Any] = json.loads(Path(os.environ["CHAOS_PLAN"]).read_text())
RETRYING = {"retries": plan["retries"], "retry_delay": timedelta(seconds=2)}


def expanded(cases: list[dict[str, Any]], flavor: str, name: str) -> list[dict[str, Any]]:
    """Arguments of each case. :param name: of the one that holds the id."""
    return [
        {
            name: case["definition_id"],
            "fault": case["fault"],
            "instance_parameters": {"case": case["case"], "flavor": flavor},
            **({"kind_name": case["kind"]} if name == "definition_id" else {}),
        }
        for case in cases
    ]


#: Kind of run -> the operator, and its argument.
OPERATORS = {"workflow": (FaultyOperator, "workflow_id"), "job": (FaultyJobOperator, "job_id")}


def dag(dag_id: str) -> DAG:
    return DAG(dag_id, schedule=None, start_date=datetime(2024, 1, 1), catchup=False, max_active_tasks=1000)


# "marked" lives by its marker alone, as on an Airflow that keeps nothing between tries.
for flavor, how in (("durable", {}), ("marked", {"run_marker": True, "has_store": False})):
    with dag(f"chaos_{flavor}"):
        for task_id in dict.fromkeys(case["task_id"] for case in plan["cases"]):
            cases = [case for case in plan["cases"] if case["task_id"] == task_id]
            operator, argument = OPERATORS[cases[0]["kind"]]
            operator.partial(
                task_id=task_id,
                deferrable=cases[0]["deferrable"],
                poll_interval=1,
                settling_time=3,
                poll_failure_tolerance=120,
                **how,
                **RETRYING,
            ).expand_kwargs(expanded(cases, flavor, argument))

with dag("chaos_plain"):
    PlainOperator.partial(task_id="plain", poll_interval=1, **RETRYING).expand_kwargs(
        expanded(plan["cases"], "plain", "definition_id")
    )

with dag("chaos_waiting"):
    FaultyOperator.partial(
        task_id="waiting",
        deferrable=True,
        poll_interval=10,
        settling_time=3,
        poll_failure_tolerance=120,
        run_marker=not HAS_TASK_STATE_STORE,
        **RETRYING,
    ).expand_kwargs(expanded(plan["waiting"], "waiting", "workflow_id"))
