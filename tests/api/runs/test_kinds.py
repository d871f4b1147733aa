"""What holds for every kind of run, and what is told apart by kind."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXConfigurationError,
    SchedulerXForeignGroupError,
    SchedulerXUnavailableError,
)
from airflow_provider_schedulerx.api.models import (
    JobInstance,
    JobInstanceStatus,
    WorkflowInstance,
    WorkflowInstanceNode,
    WorkflowInstanceStatus,
    WorkflowInstanceSummary,
)
from airflow_provider_schedulerx.api.runs import kinds
from airflow_provider_schedulerx.api.runs.kinds import WORKFLOW_RUNS, RunKind, ShownParameters, kind_named
from airflow_provider_schedulerx.api.runs.recipes import drive
from airflow_provider_schedulerx.api.runs.tracking import failure_message

SCOPE = Scope(region_id="r", namespace="n", group_id="g")
KINDS = tuple(kinds._kinds().values())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_is_found_by_its_name_and_its_calls_are_of_its_operations(kind: RunKind) -> None:
    assert kind_named(kind.name) is kind
    start, get = kind.start_call(SCOPE, 7, {"a": 1}), kind.get_call(SCOPE, 7, 8)
    assert start.operation is kind.start_operation
    assert start.operation.changes
    assert start.query["InstanceParameters"] == '{"a":1}'
    assert get.operation is kind.get_operation
    assert not get.operation.changes
    assert kind.list_call(SCOPE, 7).operation is kind.list_operation
    for call in (start, get, kind.list_call(SCOPE, 7)):
        assert "7" in call.query.values(), "each names the definition"
    assert "8" in get.query.values()


def test_names_of_kinds_are_stored_so_they_are_unique_and_do_not_change() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert WORKFLOW_RUNS.name == "workflow"
    with pytest.raises(SchedulerXConfigurationError, match="'flow'.*job, workflow"):
        kind_named("flow")


def run(*nodes: WorkflowInstanceNode, status: int = 5) -> WorkflowInstance:
    return WorkflowInstance(7, 8, WorkflowInstanceStatus(status), nodes=nodes)


def node(job_id: int, job_instance_id: int | None = 11) -> WorkflowInstanceNode:
    return WorkflowInstanceNode(job_id, job_instance_id, "n", JobInstanceStatus.FAILED, result="x" * 50)


def test_a_run_of_a_workflow_survives_the_database() -> None:
    seen = run(node(1), node(2))
    assert WORKFLOW_RUNS.from_data(7, 8, json.loads(json.dumps(seen.to_data()))) == seen
    assert failure_message(seen).startswith("Workflow instance 8 of workflow 7 failed: n (job 1) FAILED")


def test_an_abridged_run_keeps_its_failed_nodes_first() -> None:
    good = WorkflowInstanceNode(3, 4, "good", JobInstanceStatus.SUCCESS, result="y")
    short = run(good, good, node(1)).abridged(2, 10)
    assert [each.status.name for each in short.nodes] == ["FAILED", "SUCCESS"]
    assert [each.result for each in short.nodes] == ["x" * 10, "y"]


def test_a_summary_of_a_workflow_is_a_run_without_nodes() -> None:
    summary = WorkflowInstanceSummary(7, 8, WorkflowInstanceStatus(4), start_time="s", end_time="e")
    seen = WORKFLOW_RUNS.from_summary(summary)
    assert (seen.definition_id, seen.instance_id, seen.status, seen.nodes) == (7, 8, 4, ())
    assert (seen.start_time, seen.end_time) == ("s", "e")


class Service:
    """:ivar jobs: id of a job -> what GetJobInstance answers for it."""

    def __init__(self, *nodes: WorkflowInstanceNode, **jobs: Any) -> None:
        self.nodes = nodes
        self.jobs = {int(name.removeprefix("job")): answer for name, answer in jobs.items()}

    def perform(self, call: Any) -> Any:
        if call.operation.name == "GetWorkflowInstance":
            return run(*self.nodes, status=3)
        answer = self.jobs[int(call.query["JobId"])]
        if isinstance(answer, Exception):
            raise answer
        return JobInstance(1, 11, JobInstanceStatus(3), parameters=answer)

    def shown(self) -> ShownParameters | None:
        return drive(WORKFLOW_RUNS.parameters(SCOPE, 7, 8), self.perform)


def test_the_first_node_that_may_be_seen_shows_the_parameters_of_a_workflows_run() -> None:
    foreign = SchedulerXForeignGroupError("jobid not match groupId")
    assert Service(node(1, None)).shown() is None, "no node has begun"
    assert Service(node(1, None), node(2), job2="p").shown() == ShownParameters(2, "p")
    assert Service(node(1), node(2), job1=foreign, job2="p").shown() == ShownParameters(2, "p")
    assert Service(node(1), job1=None).shown() == ShownParameters(1, "")
    with pytest.raises(SchedulerXForeignGroupError):
        Service(node(1), job1=foreign).shown()
    with pytest.raises(SchedulerXUnavailableError):
        Service(node(1), node(2), job1=SchedulerXUnavailableError("away"), job2="p").shown()
