from __future__ import annotations

import pickle

import pytest

from airflow_provider_schedulerx.api.models import (
    JobInstanceStatus,
    MalformedAnswerError,
    WorkflowInstance,
    WorkflowInstanceNode,
    WorkflowInstanceStatus,
    WorkflowInstanceSummary,
)


def test_a_known_code_has_its_name() -> None:
    status = WorkflowInstanceStatus(4)
    assert status is WorkflowInstanceStatus.SUCCESS
    assert status.is_known
    assert status.is_terminal


@pytest.mark.parametrize("kind", [WorkflowInstanceStatus, JobInstanceStatus])
def test_an_unknown_code_is_kept_and_decides_nothing(kind: type) -> None:
    status = kind(77)
    assert status == 77
    assert status.name == "UNKNOWN_77"
    assert not status.is_known
    assert not status.is_active
    assert not getattr(status, "is_terminal", False)
    assert pickle.loads(pickle.dumps(status)) == 77
    assert 77 not in [member.value for member in kind]


def test_an_unknown_code_that_was_seen_stays_unknown() -> None:
    WorkflowInstanceStatus(78)
    assert not WorkflowInstanceStatus(78).is_known


def test_statuses_of_nodes() -> None:
    active = {status for status in JobInstanceStatus if status.is_active}
    bad = {status for status in JobInstanceStatus if status.is_bad}
    assert {int(status) for status in active} == {1, 2, 3, 7, 8, 10}
    assert {int(status) for status in bad} == {5, 6, 9, 11}


def test_an_instance_without_nodes_parses() -> None:
    instance = WorkflowInstance.parse(1, 2, {"WfInstanceInfo": {"Status": 1}})
    assert instance.status is WorkflowInstanceStatus.WAITING
    assert instance.nodes == ()


def test_numbers_may_come_as_text() -> None:
    summary = WorkflowInstanceSummary.parse({"WorkflowId": "1", "WfInstanceId": "36508287844", "Status": "3"})
    assert summary.wf_instance_id == 36508287844
    assert summary.status is WorkflowInstanceStatus.RUNNING


def test_a_node_that_has_not_begun_has_no_job_instance() -> None:
    for data in ({"JobInstanceId": 0}, {}):
        assert WorkflowInstanceNode.parse({"JobId": 1, "Status": 1, **data}).job_instance_id is None


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"WfInstanceInfo": None},
        {"WfInstanceInfo": {}},
        {"WfInstanceInfo": {"Status": None}},
        {"WfInstanceInfo": {"Status": "done"}},
        {"WfInstanceInfo": {"Status": True}},
        {"WfInstanceInfo": {"Status": 3}, "WfInstanceDag": {"Nodes": [5]}},
        {"WfInstanceInfo": {"Status": 3}, "WfInstanceDag": {"Nodes": {}}},
        {"WfInstanceInfo": {"Status": 3}, "WfInstanceDag": {"Nodes": [{"Status": 3}]}},
    ],
)
def test_malformed_answers_are_not_guessed_at(data: dict) -> None:
    with pytest.raises(MalformedAnswerError):
        WorkflowInstance.parse(1, 2, data)
