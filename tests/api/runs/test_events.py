from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_schedulerx.api.models import (
    Edge,
    JobInstanceStatus,
    WorkflowInstance,
    WorkflowInstanceNode,
    WorkflowInstanceStatus,
)
from airflow_provider_schedulerx.api.runs.events import MalformedEventError, Outcome, TerminalEvent
from airflow_provider_schedulerx.api.runs.kinds import WORKFLOW_RUNS

NODE = WorkflowInstanceNode(
    7, 8, "job", JobInstanceStatus.FAILED, 1, "s", "d", "2023-01-03 18:00:01", "e", "w:1", "disk full"
)
INSTANCE = WorkflowInstance(
    1, 2, WorkflowInstanceStatus.FAILED, start_time="2023-01-03 18:00:01", nodes=(NODE,), edges=(Edge(0, 7),)
)
EVENT = TerminalEvent(Outcome.ENDED, 1, 2, INSTANCE)


def test_an_event_survives_the_database() -> None:
    payload = json.loads(json.dumps(EVENT.to_payload()))
    assert TerminalEvent.parse(payload, WORKFLOW_RUNS, definition_id=1, instance_id=2) == EVENT
    for outcome in (Outcome.TIMEOUT, Outcome.UNDECIDED):
        event = TerminalEvent(outcome, 1, 2, message="why")
        assert TerminalEvent.parse(event.to_payload(), WORKFLOW_RUNS, definition_id=1, instance_id=2) == event


def changed(**changes: Any) -> dict[str, Any]:
    return {**EVENT.to_payload(), **changes}


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (None, "there is no event"),
        ("done", "there is no event"),
        ({}, "version is None"),
        (changed(version=0), "version is 0"),
        (changed(version="1"), "version is '1'"),
        (changed(version=True), "version is True"),
        (changed(instance_id=3), "of workflow and instance"),
        (changed(definition_id="1"), "of workflow and instance"),
        (changed(outcome="success"), "outcome is 'success'"),
        (changed(outcome=None), "outcome is None"),
        (changed(run=None), "WfInstanceInfo is missing"),
        (changed(run={"WfInstanceInfo": {"Status": 3}}), "has ended, with status RUNNING"),
        (changed(run={"WfInstanceInfo": {"Status": 44}}), "has ended, with status UNKNOWN_44"),
        (changed(run={"WfInstanceInfo": {}}), "Status is missing"),
    ],
)
def test_an_event_that_is_not_right_is_never_taken_for_success(payload: Any, says: str) -> None:
    with pytest.raises(MalformedEventError, match=says):
        TerminalEvent.parse(payload, WORKFLOW_RUNS, definition_id=1, instance_id=2)


def test_a_giant_run_keeps_its_failed_nodes_and_a_bounded_size() -> None:
    good = WorkflowInstanceNode(1, 1, "good", JobInstanceStatus.SUCCESS, result="x" * 5000)
    giant = WorkflowInstance(1, 2, WorkflowInstanceStatus.FAILED, nodes=(good,) * 3000 + (NODE,))
    payload = TerminalEvent(Outcome.ENDED, 1, 2, giant).to_payload()
    assert len(json.dumps(payload)) < 1_000_000
    parsed = TerminalEvent.parse(payload, WORKFLOW_RUNS, definition_id=1, instance_id=2).run
    assert parsed is not None
    assert NODE in parsed.nodes


def test_an_event_of_a_newer_version_is_read_and_what_is_new_in_it_ignored_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Triggerer and workers are upgraded one after the other."""
    newer = changed(version=2, cause="console")
    event = TerminalEvent.parse(newer, WORKFLOW_RUNS, definition_id=1, instance_id=2)
    assert event.outcome is Outcome.ENDED
    assert "of version 2, has fields that version 1 does not know and ignores: cause" in caplog.text
