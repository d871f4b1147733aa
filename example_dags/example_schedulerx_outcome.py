"""Use this if later tasks or DAGs need the outcome of a run: from the service by its id, or from the asset event."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, Asset, task

from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.operators.schedulerx import ExecuteWorkflowOperator

warehouse = Asset("schedulerx-example-warehouse")


@task
def rows_loaded(wf_instance_id: int) -> str:
    """What the node "load" returned."""
    run = SchedulerXHook().get_workflow_instance(101, wf_instance_id)
    results = {node.job_name: node.result for node in run.nodes}
    print(f"{run.wf_instance_id} is {run.status.name}: {results}")
    return str(results["load"])


@task(inlets=[warehouse])
def last_event(inlet_events=None) -> dict:
    """What the task that loads says about the run, to everybody who uses the asset."""
    extra = inlet_events[warehouse][-1].extra
    print(f"The warehouse was loaded by workflow instance {extra['WfInstanceId']}: {extra['status']}")
    return extra


with DAG(
    "example_schedulerx_outcome",
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    tags=["example", "schedulerx"],
):
    etl = ExecuteWorkflowOperator(
        task_id="nightly_etl", workflow_id=101, poll_interval=1, timeout=120, outlets=[warehouse]
    )
    rows_loaded(etl.output) >> last_event()
