"""The emulator's answers against the documented ones: the same keys, and the same JSON types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alibabacloud_schedulerx220190430 import models as sdk

from airflow_provider_schedulerx.emulator.operations import OPERATIONS
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from tests.emulator.test_clients import wait_until
from tests.emulator.test_server import GROUP, call

DOCUMENTED: dict[str, Any] = json.loads(
    Path(__file__).parents[1].joinpath("documented_answers.json").read_text(encoding="utf-8")
)


def differences(documented: Any, ours: Any, path: str = "") -> Iterator[str]:
    """What is documented and not so with us."""
    if type(documented) is not type(ours):
        yield f"{path}: {type(documented).__name__} is documented, ours is {type(ours).__name__}"
    elif isinstance(documented, dict):
        for key, value in documented.items():
            if key in ours:
                yield from differences(value, ours[key], f"{path}.{key}")
            else:
                yield f"{path}.{key} is missing"
    elif isinstance(documented, list):
        if not ours:
            yield f"{path} is empty"
        for item in ours:
            yield from differences(documented[0], item, f"{path}[]")


@pytest.fixture(scope="module")
def answers(_shared_emulator: EmulatorProcess) -> dict[str, Any]:
    emulator = _shared_emulator

    def ask(action: str, **parameters: object) -> dict[str, Any]:
        made = {**GROUP, **{name: str(value) for name, value in parameters.items()}}
        status, body, _ = call(emulator, action, made)
        assert status == 200
        found[action] = body
        return body

    found: dict[str, Any] = {}
    run = ask("ExecuteWorkflow", WorkflowId=1)["Data"]["WfInstanceId"]
    ids = {"WorkflowId": 1, "WfInstanceId": run}
    ended = wait_until(
        lambda: (seen := ask("GetWorkflowInstance", **ids)["Data"])["WfInstanceInfo"]["Status"] == 4 and seen
    )
    node = ended["WfInstanceDag"]["Nodes"][-1]
    job = {"JobId": node["JobId"], "JobInstanceId": node["JobInstanceId"]}
    ask("ListWorkflowInstance", WorkflowId=1)
    ask("GetWorkFlow", WorkflowId=1)
    ask("GetJobInstance", **job)
    ask("GetLog", **job)
    ask("ExecuteJob", JobId=21)
    wait_until(
        lambda: all(
            each["Status"] == 4 for each in ask("GetJobInstanceList", JobId=21)["Data"]["JobInstanceDetails"]
        )
    )
    ask("GetJobInfo", JobId=21)
    for action in ("ListJobs", "ListWorkFlows", "ListNamespaces", "ListGroups", "DescribeRegions"):
        ask(action)
    found["business failure"] = call(emulator, "GetWorkFlow", {**GROUP, "WorkflowId": "99"})[1]
    emulator.add_fault("*", "throttle")
    throttled = call(emulator, "DescribeRegions", {})[1]
    found["throttled (documented for a sister product, SAE)"] = throttled
    return found


def test_every_documented_answer_is_compared(answers: dict[str, Any]) -> None:
    assert answers.keys() | {"about"} == DOCUMENTED.keys()
    undocumented = OPERATIONS.keys() - answers.keys()
    assert undocumented == {"StopInstance", "RetryJobInstance", "SetWfInstanceSuccess"}, "they have no Data"


@pytest.mark.parametrize("name", sorted(DOCUMENTED.keys() - {"about"}))
def test_an_answer_has_the_documented_keys_and_types(answers: dict[str, Any], name: str) -> None:
    assert list(differences(DOCUMENTED[name], answers[name])) == []


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() & DOCUMENTED.keys()))
def test_an_answer_has_no_key_that_the_sdk_does_not_know(answers: dict[str, Any], name: str) -> None:
    read = getattr(sdk, f"{name}ResponseBody")().from_map(answers[name])
    assert read.to_map() == answers[name]


def test_edges_join_instances_of_jobs_in_a_run_and_jobs_in_a_workflow(answers: dict[str, Any]) -> None:
    dag = answers["GetWorkflowInstance"]["Data"]["WfInstanceDag"]
    instances = {0: 0} | {node["JobInstanceId"]: node["JobId"] for node in dag["Nodes"]}
    edges = [(instances[edge["Source"]], instances[edge["Target"]]) for edge in dag["Edges"]]
    defined = answers["GetWorkFlow"]["Data"]["WorkFlowNodeInfo"]["Edges"]
    assert edges == [(edge["Source"], edge["Target"]) for edge in defined]
    assert len(edges) == 5


def test_a_page_has_10_workflows_unless_asked_otherwise(answers: dict[str, Any]) -> None:
    assert answers["ListWorkFlows"]["Data"]["PageSize"] == 10


def test_logs_of_a_job_and_of_a_group(emulator: EmulatorProcess) -> None:
    """GetLog requires neither id."""

    def lines(**parameters: str) -> list[str]:
        body = call(emulator, "GetLog", {**GROUP, "Line": "200", **parameters})[1]
        found: list[str] = body["Data"]["Logs"]
        return found

    for _ in range(2):
        call(emulator, "ExecuteWorkflow", {**GROUP, "WorkflowId": "3"})
    job = lines(JobId="301")
    assert len(job) >= 2
    assert all("left" in line for line in job)
    everything = lines(Keyword="starts")
    assert {"left", "right"} <= {line.split()[2].rstrip(":") for line in everything}
    assert call(emulator, "GetLog", {**GROUP, "JobId": "x"})[1]["Code"] == "InvalidJobId"
