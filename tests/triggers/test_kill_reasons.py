"""What a trigger says of a run that a kill leaves alone, or stops in doubt."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_schedulerx.triggers import stopping
from airflow_provider_schedulerx.triggers.schedulerx import WorkflowInstanceTrigger
from airflow_provider_schedulerx.version_compat import kills

LOGGER = "test_kill_reasons"


class Trigger(WorkflowInstanceTrigger):
    """Its lines are caught."""

    log = logging.getLogger(LOGGER)  # type: ignore[assignment]


def of_a_task(**arguments: Any) -> Trigger:
    made = Trigger(workflow_id=1, wf_instance_id=7, **arguments)
    made.task_instance = SimpleNamespace(task_id="run")  # type: ignore[assignment]
    return made


@pytest.mark.parametrize(
    ("is_told", "outcome"), [(True, "so its run is stopped"), (False, "so its run keeps running")]
)
def test_where_airflow_does_not_say_who_has_ended_the_task(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_told: bool, outcome: str
) -> None:
    async def away(*_: Any) -> bool:
        raise OSError("the API server is away")

    monkeypatch.setattr(kills, "still_waits", away)
    monkeypatch.setattr(kills, "triggers_are_told_of_kills", lambda: is_told)
    monkeypatch.setattr(stopping, "_STATE_PAUSE", 0.0)
    with caplog.at_level(logging.INFO, LOGGER):
        assert asyncio.run(stopping.task_waits(of_a_task())) is not is_told
    assert caplog.messages == [
        f"Airflow does not say whether a user has ended the task (OSError: the API server is away), {outcome}"
    ]


def test_a_run_that_is_not_to_be_stopped(caplog: pytest.LogCaptureFixture) -> None:
    """A sensor has no cancel_on_kill, and a task does not stop a run that it did not start."""
    with caplog.at_level(logging.INFO, LOGGER):
        asyncio.run(of_a_task(cancel_on_kill=False).on_kill())
    assert caplog.messages == ["Workflow instance 7 keeps running: this task does not stop it"]
