"""Publishes a run: XCom, the task's links, and the events of its outlets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Asset

from airflow_provider_schedulerx.links.schedulerx import persist_links

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
    from airflow_provider_schedulerx.operators.task_run import TaskRun

#: Key under which the id of the run is pushed to XCom.
XCOM_WF_INSTANCE_ID = "WfInstanceId"


def announce(context: Context, hook: SchedulerXHook, run: TaskRun, log: Any) -> None:
    """Let everybody know of a run, before the wait."""
    context["ti"].xcom_push(key=XCOM_WF_INSTANCE_ID, value=run.wf_instance_id)
    persist_links(context, hook, run.workflow_id, run.wf_instance_id, log)


def pulled_wf_instance_id(context: Context) -> Any:
    """Return the id of the run that this try has announced, or None."""
    ti = context["ti"]
    return ti.xcom_pull(task_ids=ti.task_id, key=XCOM_WF_INSTANCE_ID, map_indexes=ti.map_index)


def update_assets(
    context: Context, outlets: Iterable[Any], hook: SchedulerXHook, run: TaskRun, **outcome: str
) -> None:
    """Put a run into the events of a task's outlets, for whoever reads them (``inlet_events``)."""
    # Not those of an alias, say, of which only the task's author knows the asset.
    for outlet in [outlet for outlet in outlets if isinstance(outlet, Asset)]:
        context["outlet_events"][outlet].extra.update(
            {
                "WfInstanceId": run.wf_instance_id,
                "workflow_id": run.workflow_id,
                "console_url": hook.console_link(run.workflow_id, run.wf_instance_id),
                **outcome,
            }
        )
