"""Use this to run a DAG whenever a run of a SchedulerX workflow has succeeded, whoever started it. Airflow 3 only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, task

try:
    from airflow.sdk import AssetWatcher

    from airflow_provider_schedulerx.triggers.event import WorkflowEventTrigger
except ImportError:  # Airflow 2 has no watchers
    WorkflowEventTrigger = None  # type: ignore[assignment, misc]

if WorkflowEventTrigger is not None:
    nightly = Asset(
        name="nightly_etl",
        uri="schedulerx://cn-hangzhou/4a06d5ea-f576-4326-842c-fb14ea043d8d/demo.defaultGroup/101",
        watchers=[
            AssetWatcher(name="nightly_etl", trigger=WorkflowEventTrigger(workflow_id=101, poll_interval=5))
        ],
    )

    with DAG(
        "example_schedulerx_event",
        schedule=[nightly],
        start_date=datetime(2024, 1, 1),
        catchup=False,
        tags=["example", "schedulerx"],
    ):

        @task
        def report(triggering_asset_events: Any = None) -> list[int]:
            """Say which runs have ended; a DAG run may be for several."""
            events = [event for found in triggering_asset_events.values() for event in found]
            runs = [event.extra["payload"] for event in events if event.extra.get("payload")]
            for run in runs:
                print(run["WfInstanceId"], run["status"], run["DataTime"], run["console_url"])
            return [run["WfInstanceId"] for run in runs]

        report()
