from __future__ import annotations

import pickle
from typing import Any

import pytest

from airflow_provider_schedulerx.api.models import (
    Edge,
    JobInstance,
    JobInstanceStatus,
    MalformedAnswerError,
    Workflow,
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
def test_an_unknown_code_is_kept_and_decides_nothing(
    kind: type[WorkflowInstanceStatus] | type[JobInstanceStatus],
) -> None:
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
    summary = WorkflowInstanceSummary.parse(
        1, {"WorkflowId": "1", "WfInstanceId": "36508287844", "Status": "3"}
    )
    assert summary.wf_instance_id == 36508287844
    assert summary.status is WorkflowInstanceStatus.RUNNING


def test_a_node_that_has_not_begun_has_no_job_instance() -> None:
    for data in ({"JobInstanceId": 0}, {"JobInstanceId": "0"}, {"JobInstanceId": None}, {}):
        assert WorkflowInstanceNode.parse({"JobId": 1, "Status": 1, **data}).job_instance_id is None


def test_a_node_that_has_not_begun_may_have_no_status_either() -> None:
    assert WorkflowInstanceNode.parse({"JobId": 1}).status is JobInstanceStatus.WAITING
    assert WorkflowInstanceNode.parse({"JobId": 1, "Status": None}).status is JobInstanceStatus.WAITING
    assert WorkflowInstanceNode.parse({"JobId": 1, "Status": 12}).status is JobInstanceStatus.SKIPPED
    with pytest.raises(MalformedAnswerError, match="Status is missing"):
        WorkflowInstanceNode.parse({"JobId": 1, "JobInstanceId": 2})


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"WfInstanceInfo": None},
        {"WfInstanceInfo": {}},
        {"WfInstanceInfo": {"Status": None}},
        {"WfInstanceInfo": {"Status": "done"}},
        {"WfInstanceInfo": {"Status": True}},
        {"WfInstanceInfo": {"Status": 3.0}},
        {"WfInstanceInfo": {"Status": float("nan")}},
        {"WfInstanceInfo": {"Status": "--5"}},
        {"WfInstanceInfo": {"Status": "\u0663"}},
        {"WfInstanceInfo": {"Status": "9" * 5000}},
        {"WfInstanceInfo": {"Status": 10**5000}},
        {"WfInstanceInfo": {"Status": 3}, "WfInstanceDag": "none"},
        {"WfInstanceInfo": {"Status": 3}, "WfInstanceDag": {"Nodes": [{"JobId": "--5", "Status": 3}]}},
        {"WfInstanceInfo": {"Status": 3}, "WfInstanceDag": {"Nodes": [{"JobId": 0, "Status": 3}]}},
        {
            "WfInstanceInfo": {"Status": 3},
            "WfInstanceDag": {"Nodes": [{"JobId": 1, "JobInstanceId": "x", "Status": 3}]},
        },
        {"WfInstanceInfo": {"Status": 3}, "WfInstanceDag": {"Nodes": [5]}},
        {"WfInstanceInfo": {"Status": 3}, "WfInstanceDag": {"Nodes": {}}},
        {"WfInstanceInfo": {"Status": 3}, "WfInstanceDag": {"Nodes": [{"Status": 3}]}},
    ],
)
def test_malformed_answers_are_not_guessed_at(data: dict) -> None:
    with pytest.raises(MalformedAnswerError):
        WorkflowInstance.parse(1, 2, data)


def test_what_decides_nothing_cannot_fail_an_answer() -> None:
    odd: list[Any] = [5, "text", [], {}, {"a": [1]}, True, float("nan"), None, 10**5000]
    for value in odd:
        node = {"JobId": 1, "Status": 4}
        node |= dict.fromkeys(("JobName", "Attempt", "WorkAddr", "Result", "StartTime", "New"), value)
        data = {
            "WfInstanceInfo": {"Status": 4, "StartTime": value, "EndTime": value},
            "WfInstanceDag": {"Nodes": [node], "Edges": value},
        }
        instance = WorkflowInstance.parse(1, 2, data)
        assert instance.status is WorkflowInstanceStatus.SUCCESS
        assert instance.nodes[0].job_id == 1
        names = ("Name", "Status", "TimeType", "MaxConcurrency", "TimeExpression", "Description", "GroupId")
        workflow = Workflow.parse(7, dict.fromkeys(names, value), value)
        assert workflow.workflow_id == 7
        detail = {"Status": 4, "TriggerType": value, "Parameters": value, "Result": value}
        assert JobInstance.parse(1, 2, {"JobInstanceDetail": detail}).status is JobInstanceStatus.SUCCESS


@pytest.mark.parametrize(
    ("given", "read"), [("1", 1), (3, 3), ("many", None), (None, None), (True, None), (1.5, None)]
)
def test_max_concurrency_is_a_number_where_it_is_one(given: Any, read: int | None) -> None:
    assert Workflow.parse(1, {"MaxConcurrency": given}).max_concurrency == read


def test_other_types_become_their_text() -> None:
    workflow = Workflow.parse(
        1, {"TimeType": 1, "Status": "成功", "Name": {"zh": "名"}, "Description": False}
    )
    assert (workflow.time_type, workflow.status) == ("1", "成功")
    assert (workflow.name, workflow.description) == ('{"zh": "名"}', "false")


def test_an_edge_that_cannot_be_read_is_left_out() -> None:
    dag = {"Edges": [{"Source": 0, "Target": 24058796}, {"Source": "a", "Target": 1}, 5, {}]}
    instance = WorkflowInstance.parse(1, 2, {"WfInstanceInfo": {"Status": 3}, "WfInstanceDag": dag})
    assert instance.edges == (Edge(0, 24058796),)


def test_the_form_of_an_instance_is_kept_by_its_data() -> None:
    data = {
        "WfInstanceInfo": {"Status": 3, "StartTime": "2023-01-03 18:00:01"},
        "WfInstanceDag": {
            "Nodes": [{"JobId": 1, "JobInstanceId": 2, "JobName": "a", "Status": 77, "Attempt": 0}],
            "Edges": [{"Source": 0, "Target": 2}],
        },
    }
    instance = WorkflowInstance.parse(1, 2, data)
    assert WorkflowInstance.parse(1, 2, instance.to_data()) == instance
