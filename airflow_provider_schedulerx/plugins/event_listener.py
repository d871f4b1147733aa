"""Writes down that an event of a watcher was stored, in the transaction that stores it.

Airflow calls this in the process that stores events: the triggerer's supervisor. Every process of Airflow loads it, so it
imports what it needs only then.
"""

from __future__ import annotations

import logging
from typing import Any

from airflow.listeners import hookimpl

log: logging.Logger = logging.getLogger(__name__)


@hookimpl
def on_asset_event_emitted(asset_event: Any) -> None:
    """Note the run of an event of ours. Never raises."""
    try:
        extra = asset_event.extra or {}
        payload = extra.get("payload")
        # A task that hands an event on, or a person who sends one through the API, sends a copy of it. That is stored in
        # another session than ours, which nobody would commit.
        is_from_watcher = (
            extra.get("from_trigger") and asset_event.source_task_id is None and "from_rest_api" not in extra
        )
        if not is_from_watcher or not isinstance(payload, dict) or "watcher" not in payload:
            return
        from airflow_provider_schedulerx.api.runs.ends import MAX_DELIVERED, delivered_key, mark_of
        from airflow_provider_schedulerx.version_compat import stores

        end = [payload["WfInstanceId"], mark_of(payload["status"] == "SUCCESS", payload["EndTime"])]
        stores.append_to_asset_state(asset_event.asset, delivered_key(payload["watcher"]), end, MAX_DELIVERED)
    except Exception:
        log.exception("Could not record that an event was stored; a triggerer that restarts may repeat it")
