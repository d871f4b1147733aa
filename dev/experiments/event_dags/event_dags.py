"""A DAG for each workflow that the service's own schedule starts, run by the end of each of its runs."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_schedulerx.triggers.event import WorkflowEventTrigger

FIRST, COUNT = 7000, int(os.environ.get("SCHEDULERX_EVENT_WORKFLOWS", "10"))


def make(workflow_id: int) -> DAG:
    asset = Asset(
        f"schedulerx://cn-hangzhou/demo/etl/{workflow_id}",
        watchers=[
            AssetWatcher(
                name=f"watch_{workflow_id}",
                trigger=WorkflowEventTrigger(workflow_name=f"scheduled-{workflow_id}", poll_interval=3),
            )
        ],
    )
    # Events that arrive together make one DAG run: its task counts them.
    with DAG(
        f"after_{workflow_id}", schedule=[asset], start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False
    ) as dag:

        @task
        def seen(triggering_asset_events: Any = None) -> list[int]:
            events = [event for found in triggering_asset_events.values() for event in found]
            return [event.extra["payload"]["WfInstanceId"] for event in events]

        seen()
    return dag


for number in range(FIRST, FIRST + COUNT):
    globals()[f"after_{number}"] = make(number)
