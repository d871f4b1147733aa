"""That an event was stored is written down in the transaction that stores it, in a real database of Airflow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_schedulerx.plugins import event_listener
from airflow_provider_schedulerx.version_compat import stores
from dev.harness.rest import AIRFLOW
from tests.conftest import ROOT

PAYLOAD = {"WfInstanceId": 7, "watcher": "abc", "status": "FAILED", "EndTime": "2026-11-24 01:00:00"}
END = "F2026-11-24 01:00:00"

PROGRAM = (
    f"PAYLOAD = {PAYLOAD!r}"
    + """
import json
from airflow.models.asset import AssetActive, AssetEvent, AssetModel, AssetWatcherModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.models.trigger import Trigger
from airflow.triggers.base import TriggerEvent
from airflow.utils.session import create_session
from sqlalchemy import select

with create_session() as session:
    asset = AssetModel(name="a", uri="schedulerx://public/n/g/1", group="asset")
    session.add(asset)
    session.flush()
    session.add(AssetActive.for_asset(asset))
    trigger = Trigger("airflow_provider_schedulerx.triggers.event.WorkflowEventTrigger", {})
    session.add(trigger)
    session.flush()
    session.add(AssetWatcherModel(name="w", asset_id=asset.id, trigger_id=trigger.id))
    trigger_id = trigger.id


def stored():
    with create_session() as session:
        events = [event.extra["payload"]["WfInstanceId"] for event in session.scalars(select(AssetEvent))]
        rows = {row.key: json.loads(row.value) for row in session.scalars(select(AssetStateStoreModel))}
        kinds = {row.last_updated_by_kind for row in session.scalars(select(AssetStateStoreModel))}
    return events, rows, kinds


for number in (7, 8):
    Trigger.submit_event(trigger_id, TriggerEvent({**PAYLOAD, "WfInstanceId": number}))
print("stored", stored())
try:
    with create_session() as session:
        Trigger.submit_event(trigger_id, TriggerEvent({**PAYLOAD, "WfInstanceId": 9}), session=session)
        session.flush()
        raise RuntimeError("killed before the commit")
except RuntimeError:
    pass
print("killed", stored())
"""
)


@pytest.mark.parametrize(
    ("extra", "source_task_id"),
    [
        # A task that hands the event on to its own outlet: stored in another session, which ours would not end.
        ({"from_trigger": True, "payload": PAYLOAD}, "task"),
        ({"from_trigger": True, "payload": PAYLOAD, "from_rest_api": True}, None),
        ({"payload": PAYLOAD}, None),
        ({"from_trigger": True, "payload": {"WfInstanceId": 7}}, None),
        ({"from_trigger": True, "payload": "text"}, None),
        (None, None),
    ],
)
def test_only_events_of_watchers_are_noted(
    monkeypatch: pytest.MonkeyPatch, extra: Any, source_task_id: str | None
) -> None:
    noted: list[Any] = []
    monkeypatch.setattr(stores, "append_to_asset_state", lambda *arguments: noted.append(arguments))
    own = SimpleNamespace(
        asset="asset", extra={"from_trigger": True, "payload": PAYLOAD}, source_task_id=None
    )
    event_listener.on_asset_event_emitted(own)
    assert [arguments[:3] for arguments in noted] == [("asset", "schedulerx.delivered.abc", [7, END])]
    copy = SimpleNamespace(asset="asset", extra=extra, source_task_id=source_task_id)
    event_listener.on_asset_event_emitted(copy)
    assert len(noted) == 1


@pytest.mark.airflow
@pytest.mark.skipif(AIRFLOW < (3, 3), reason="the state store of assets is of Airflow 3.3")
def test_event_and_note_are_stored_together_or_not_at_all(tmp_path: Path) -> None:
    env = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"], env=env, check=True, capture_output=True
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=False
    )
    expected = f"([7, 8], {{'schedulerx.delivered.abc': [[7, '{END}'], [8, '{END}']]}}, {{'watcher'}})"
    assert f"stored {expected}" in done.stdout, done.stdout + done.stderr
    assert f"killed {expected}" in done.stdout, done.stdout + done.stderr
