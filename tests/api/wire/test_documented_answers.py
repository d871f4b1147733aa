"""Every answer that the documentation shows is read, field by field; no JSON at all breaks a parser."""

from __future__ import annotations

import contextlib
import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_schedulerx.api import exceptions as errors
from airflow_provider_schedulerx.api import models
from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.api.wire.calls import Call
from airflow_provider_schedulerx.api.wire.responses import Response, interpret

DOCUMENTED: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "documented_answers.json").read_text(encoding="utf-8")
)
SCOPE = Scope("cn-hangzhou", "4a06d5ea-f576-4326-842c-fb14ea043d8d", None, "hxm.test")
TIMES = {"schedule_time": "2023-01-03 18:00:00", "data_time": "2023-01-03 18:00:00"}

#: operation -> our call, for every operation that has a result.
CALLS: dict[str, Call[Any]] = {
    "ExecuteWorkflow": calls.execute_workflow(SCOPE, 1234),
    "GetWorkflowInstance": calls.get_workflow_instance(SCOPE, 123, 123456),
    "ListWorkflowInstance": calls.list_workflow_instances(SCOPE, 123),
    "GetWorkFlow": calls.get_workflow(SCOPE, 1234),
    "ListWorkFlows": calls.list_workflows(SCOPE, 1),
    "GetJobInstance": calls.get_job_instance(SCOPE, 92583, 11111111),
    "ExecuteJob": calls.execute_job(SCOPE, 92583),
    "GetJobInstanceList": calls.get_job_instance_list(SCOPE, 92583),
    "GetJobInfo": calls.get_job_info(SCOPE, 538039),
    "ListJobs": calls.list_jobs(SCOPE),
    "GetLog": calls.get_log(SCOPE, 1, 2, start_ms=1, end_ms=2),
    "ListNamespaces": calls.list_namespaces(SCOPE),
    "ListGroups": calls.list_groups(SCOPE),
    "DescribeRegions": calls.describe_regions(SCOPE),
}
JOB_INSTANCE = models.JobInstance(
    92583,
    11111111,
    models.JobInstanceStatus.SUCCESS,
    result="success",
    progress="complete",
    time_type=models.JobTimeType.CRON,
    trigger_type=models.TriggerType.API,
    executor="A",
    work_addr="192.168.0.0:16",
    schedule_time="2020-07-27 11:52:10",
    data_time="2020-07-27 11:52:10",
    start_time="2020-07-27 11:52:10",
    end_time="2020-07-27 11:52:10",
)

READ: dict[str, Any] = {
    "ExecuteWorkflow": models.StartedWorkflowInstance(111111, "4F68ABED-AC31-4412-9297-D9A8F0401108"),
    "GetWorkflowInstance": models.WorkflowInstance(
        123,
        123456,
        models.WorkflowInstanceStatus.FAILED,
        **TIMES,
        start_time="2023-01-03 18:00:01",
        end_time="2023-01-03 18:00:21",
        nodes=(
            models.WorkflowInstanceNode(
                1472,
                24058796,
                "TestJob",
                models.JobInstanceStatus.SUCCESS,
                attempt=0,
                schedule_time="2023-01-03 18:00:03",
                data_time="2023-01-03 18:00:00",
                start_time="2023-01-03 18:00:03",
                end_time="2023-01-03 18:00:21",
                work_addr="10.163.0.101:34027",
                result="code=200",
            ),
        ),
        edges=(models.Edge(24058798, 24058796),),
    ),
    "ListWorkflowInstance": [
        models.WorkflowInstanceSummary(
            123,
            123456,
            models.WorkflowInstanceStatus.FAILED,
            **TIMES,
            start_time="2023-01-03 18:00:01",
            end_time="2023-01-03 18:00:21",
        )
    ],
    "GetWorkFlow": models.Workflow(
        1234,
        "workflow_111",
        status="Successful",
        max_concurrency=1,
        time_type="cron",
        time_expression="0 0 2 * * ?",
        description="my first workflow",
        namespace="4a06d5ea-f576-4326-842c-fb14ea043d8d",
        group_id="hxm.test",
        nodes=(models.WorkflowNode(123456, "job_111", 1),),
        edges=(models.Edge(100, 200),),
    ),
    "ListWorkFlows": (
        [
            models.Workflow(
                1339,
                "Test3",
                max_concurrency=1,
                time_type="cron",
                description="No description",
                namespace="4a06d5ea-f576-4326-842c-fb14ea043d8d",
                group_id="hxm.test",
            )
        ],
        1,
    ),
    "GetJobInstance": replace(JOB_INSTANCE, job_name="ManualJob", parameters='{\\"alertId\\":11111}'),
    "ExecuteJob": models.StartedJobInstance(11111111, "4F68ABED-AC31-4412-9297-D9A8F0401108"),
    "GetJobInstanceList": [JOB_INSTANCE],
    "GetJobInfo": models.Job(
        538039, None, is_enabled=True, execute_mode="standalone", description="test", parameters="test"
    ),
    "ListJobs": (
        [
            models.Job(
                99341,
                "helloworld",
                is_enabled=True,
                max_concurrency=1,
                job_type="java",
                execute_mode="standalone",
                time_type=models.JobTimeType.CRON,
                description="Test",
                parameters="test",
            )
        ],
        1,
    ),
    "GetLog": ["a line", "another line"],
    "ListNamespaces": [models.Namespace("1a72ecb1-b4cc-400a-a71b-20cdec9b****", "doc")],
    "ListGroups": [models.AppGroup("DocTest.Group", "DocTest", app_version=2)],
    "DescribeRegions": ["cn-hangzhou"],
}


def response(body: Any, status: int = 200) -> Response:
    return Response(status, {}, json.dumps(body).encode())


def test_every_documented_answer_is_tested() -> None:
    operations = {name for name in DOCUMENTED if name[0].isupper()}
    assert operations == CALLS.keys()
    assert CALLS.keys() == READ.keys()


@pytest.mark.parametrize("operation", CALLS)
def test_a_documented_answer_is_read_whole(operation: str) -> None:
    assert interpret(CALLS[operation], response(DOCUMENTED[operation])) == READ[operation]


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("operation", CALLS)
def test_the_documented_failure_and_throttle_are_told_for_every_operation(
    operation: str, status: int
) -> None:
    failure = DOCUMENTED["business failure"]
    if operation == "ExecuteJob":  # the documented one is of a workflow, which proves nothing about a job
        failure = {**failure, "Message": failure["Message"].replace("workflow", "job")}
    with pytest.raises(errors.SchedulerXNotFoundError, match=failure["Message"]):
        interpret(CALLS[operation], response(failure, status))
    throttled = DOCUMENTED["throttled (documented for a sister product, SAE)"]
    with pytest.raises(errors.SchedulerXThrottledError, match="user flow control"):
        interpret(CALLS[operation], response(throttled, status))


# No JSON breaks a parser.

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["--5", "-", "none", "0", "1", "9" * 5000, 10**100, -1, 2**63, 3, float("nan")]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every part of a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, inner in items for found in paths(inner, (*path, key)))]


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """A documented answer in which some parts are missing, renamed or something else."""
    changed = {"": copy.deepcopy(document)}
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from([("", *path) for path in paths(changed[""])]))
        owner: Any = changed
        for key in way:
            owner = owner[key]
        if draw(st.booleans()) and way:
            del owner[last]
        else:
            owner[last] = draw(JSON)
    return changed[""]


def parse(call: Call[Any], body: dict[str, Any]) -> None:
    """Nothing but MalformedAnswerError may come out of it."""
    with contextlib.suppress(models.MalformedAnswerError):
        call.parse(body)


def assert_read_or_malformed(call: Call[Any], body: Any) -> None:
    if isinstance(body, dict):
        parse(call, body)
    with contextlib.suppress(errors.SchedulerXError):
        interpret(call, Response(200, {}, json.dumps(body).encode()))


@pytest.mark.parametrize("operation", CALLS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_mutated_answer_is_read_or_malformed(operation: str, data: st.DataObject) -> None:
    assert_read_or_malformed(CALLS[operation], data.draw(mutated(DOCUMENTED[operation])))


@pytest.mark.parametrize("operation", CALLS)
@settings(max_examples=50, deadline=None)
@given(body=JSON, data=JSON)
def test_any_json_is_read_or_malformed(operation: str, body: Any, data: Any) -> None:
    assert_read_or_malformed(CALLS[operation], body)
    assert_read_or_malformed(CALLS[operation], {"Success": True, "Code": 200, "Data": data, "Regions": data})


def deep() -> Any:
    value: Any = "x"
    for _ in range(50_000):
        value = [value]
    return value


@pytest.mark.parametrize("value", [deep(), 10**5000, float("inf")], ids=["deep", "long", "infinite"])
@pytest.mark.parametrize("operation", CALLS)
def test_what_python_cannot_write_does_not_break_a_parser(operation: str, value: Any) -> None:
    for path in paths(DOCUMENTED[operation])[1:]:
        owner = changed = copy.deepcopy(DOCUMENTED[operation])
        for key in path[:-1]:
            owner = owner[key]
        owner[path[-1]] = value
        parse(CALLS[operation], changed)
