"""What our hook sends is what the official SDK sends, for every operation and any parameters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from alibabacloud_schedulerx220190430 import models as sdk
from alibabacloud_schedulerx220190430.client import Client as SdkClient
from alibabacloud_tea_openapi.utils_models import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings, Scope
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.api.wire.transport import SyncTransport
from airflow_provider_schedulerx.emulator.authentication import sign_v3
from airflow_provider_schedulerx.emulator.definitions import Account
from tests.recorder import Recorded, Recorder

KEY_ID, SECRET = "LTAI-test", "the secret/+="
TOKEN = "sts/tok+en=="

#: Differ from call to call, or name the software.
VOLATILE = {"x-acs-date", "x-acs-signature-nonce", "user-agent", "authorization"}

TEXT = st.one_of(
    st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20),
    st.text(alphabet="+/%~*' &=?#;:,@!$()[]é天\U0001f600", min_size=1, max_size=20),
)
LONG = st.one_of(st.integers(1, 2**63 - 1), st.just(36508287844))
SCOPE = st.builds(
    Scope, st.just("cn-hangzhou"), namespace=TEXT, namespace_source=st.none() | TEXT, group_id=TEXT
)


@dataclass(frozen=True)
class Case:
    ours: Callable[..., calls.Call[Any]]
    arguments: dict[str, Any]
    method: str
    request: type
    theirs: Callable[..., dict[str, Any]]


#: operation -> our call, its arguments, and the same request in the official SDK.
CASES = {
    "ExecuteWorkflow": Case(
        calls.execute_workflow,
        {"workflow_id": LONG, "instance_parameters": st.none() | st.just("") | TEXT},
        "execute_workflow",
        sdk.ExecuteWorkflowRequest,
        lambda workflow_id, instance_parameters: {
            "workflow_id": workflow_id,
            "instance_parameters": instance_parameters,
        },
    ),
    "GetWorkflowInstance": Case(
        calls.get_workflow_instance,
        {"workflow_id": LONG, "wf_instance_id": LONG},
        "get_workflow_instance",
        sdk.GetWorkflowInstanceRequest,
        lambda **ids: ids,
    ),
    "ListWorkflowInstance": Case(
        calls.list_workflow_instances,
        {"workflow_id": LONG},
        "list_workflow_instance",
        sdk.ListWorkflowInstanceRequest,
        lambda workflow_id: {"workflow_id": str(workflow_id)},
    ),
    "GetWorkFlow": Case(
        calls.get_workflow, {"workflow_id": LONG}, "get_work_flow", sdk.GetWorkFlowRequest, lambda **ids: ids
    ),
    "ListWorkFlows": Case(
        calls.list_workflows,
        {
            "page_num": st.integers(1, 1000),
            "workflow_name": st.none() | TEXT,
            "status": st.none() | st.just("1"),
        },
        "list_work_flows",
        sdk.ListWorkFlowsRequest,
        lambda **values: {**values, "page_size": calls.WORKFLOWS_PAGE_SIZE},
    ),
    "StopInstance": Case(
        calls.stop_job_instance,
        {"job_id": LONG, "job_instance_id": LONG},
        "stop_instance",
        sdk.StopInstanceRequest,
        lambda job_id, job_instance_id: {"job_id": job_id, "instance_id": job_instance_id},
    ),
    "GetJobInstance": Case(
        calls.get_job_instance,
        {"job_id": LONG, "job_instance_id": LONG},
        "get_job_instance",
        sdk.GetJobInstanceRequest,
        lambda **ids: ids,
    ),
    "GetLog": Case(
        calls.get_log,
        {
            "job_id": LONG,
            "job_instance_id": LONG,
            "start_ms": st.integers(0, 10**13),
            "end_ms": st.integers(10**13 + 1, 2 * 10**13),
            "offset": st.integers(0, 10**6),
            "keyword": st.none() | TEXT,
            "reverse": st.booleans(),
        },
        "get_log",
        sdk.GetLogRequest,
        lambda start_ms, end_ms, reverse, **values: {
            **values,
            "start_timestamp": start_ms,
            "end_timestamp": end_ms,
            "line": 200,
            "reverse": reverse,
        },
    ),
    "ExecuteJob": Case(
        calls.execute_job,
        {
            "job_id": LONG,
            "instance_parameters": st.none() | st.just("") | TEXT,
            "check_job_status": st.none() | st.booleans(),
            "designation": st.none()
            | st.builds(calls.Designation, st.just(1), worker=TEXT)
            | st.builds(calls.Designation, st.just(2), label=TEXT),
        },
        "execute_job",
        sdk.ExecuteJobRequest,
        lambda designation, **values: {
            **values,
            "designate_type": designation and designation.kind,
            "worker": designation and designation.worker,
            "label": designation and designation.label,
        },
    ),
    "GetJobInstanceList": Case(
        calls.get_job_instance_list,
        {
            "job_id": LONG,
            "page_num": st.integers(1, 1000),
            "page_size": st.integers(1, 1000),
            "status": st.none() | st.sampled_from([1, 3, 4, 5, 9]),
            "start_ms": st.none() | st.integers(0, 10**13),
            "end_ms": st.none() | st.integers(0, 10**13),
        },
        "get_job_instance_list",
        sdk.GetJobInstanceListRequest,
        lambda start_ms, end_ms, **values: {**values, "start_timestamp": start_ms, "end_timestamp": end_ms},
    ),
    "GetJobInfo": Case(
        calls.get_job_info, {"job_id": LONG}, "get_job_info", sdk.GetJobInfoRequest, lambda **ids: ids
    ),
    "ListJobs": Case(
        calls.list_jobs,
        {
            "page_num": st.integers(1, 1000),
            "job_name": st.none() | TEXT,
            "status": st.none() | st.sampled_from(["0", "1"]),
        },
        "list_jobs",
        sdk.ListJobsRequest,
        lambda **values: {**values, "page_size": calls.JOBS_PAGE_SIZE},
    ),
    "RetryJobInstance": Case(
        calls.retry_job_instance,
        {"job_id": LONG, "job_instance_id": LONG},
        "retry_job_instance",
        sdk.RetryJobInstanceRequest,
        lambda **ids: ids,
    ),
    "SetWfInstanceSuccess": Case(
        calls.set_workflow_instance_success,
        {"workflow_id": LONG, "wf_instance_id": LONG},
        "set_wf_instance_success",
        sdk.SetWfInstanceSuccessRequest,
        lambda **ids: ids,
    ),
    "ListNamespaces": Case(
        calls.list_namespaces, {}, "list_namespaces", sdk.ListNamespacesRequest, lambda: {}
    ),
    "ListGroups": Case(calls.list_groups, {}, "list_groups", sdk.ListGroupsRequest, lambda: {}),
    "DescribeRegions": Case(
        calls.describe_regions, {}, "describe_regions", sdk.DescribeRegionsRequest, lambda: {}
    ),
}


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    with Recorder(json.dumps({"Success": False, "Code": 400, "Message": "recorded"}).encode()) as recorder:
        yield recorder


def fields_of(request: type, scope: Scope) -> dict[str, Any]:
    """The scope in the official SDK's terms, as far as this operation knows it."""
    known = vars(request())
    given = {
        "region_id": scope.region_id,
        "namespace": scope.namespace,
        "namespace_source": scope.namespace_source,
        "group_id": scope.group_id,
    }
    if request is sdk.ListNamespacesRequest:  # there, it is a filter
        del given["namespace"]
    return {name: value for name, value in given.items() if name in known}


def stable(recorded: Recorded) -> dict[str, Any]:
    return {
        "method": recorded.method,
        "target": recorded.target,
        "headers": sorted(
            (name.lower(), value) for name, value in recorded.headers if name.lower() not in VOLATILE
        ),
        "body": recorded.body,
    }


def assert_signed(recorded: Recorded) -> None:
    headers = {name.lower(): value for name, value in recorded.headers}
    authorization = dict(part.split("=", 1) for part in headers["authorization"].split(" ", 1)[1].split(","))
    assert authorization["Credential"] == KEY_ID
    query = dict(parse_qsl(urlsplit(recorded.target).query, keep_blank_values=True))
    assert authorization["Signature"] == sign_v3(
        recorded.method,
        "/",
        query,
        headers,
        authorization["SignedHeaders"].split(";"),
        headers["x-acs-content-sha256"],
        Account(KEY_ID, SECRET),
    )


@pytest.mark.parametrize("token", [None, TOKEN], ids=["access_key", "sts"])
@pytest.mark.parametrize("operation", CASES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_ours_equals_the_official_sdk(
    operation: str, token: str | None, recorder: Recorder, data: st.DataObject
) -> None:
    case = CASES[operation]
    scope = data.draw(SCOPE)
    values = {name: data.draw(strategy) for name, strategy in case.arguments.items()}

    ours = SchedulerXSettings.from_connection(
        login=KEY_ID,
        password=SECRET,
        host=f"http://{recorder.authority}",
        extra={"region_id": scope.region_id, **({"security_token": token} if token else {})},
    )
    transport = SyncTransport(ours, max_retry_seconds=0)
    with pytest.raises(Exception, match="recorded"):
        transport.perform(case.ours(scope, **values))
    sent_by_us = recorder.last

    client = SdkClient(
        Config(
            access_key_id=KEY_ID,
            access_key_secret=SECRET,
            security_token=token,
            endpoint=recorder.authority,
            protocol="HTTP",
            region_id=scope.region_id,
        )
    )
    getattr(client, case.method)(case.request(**fields_of(case.request, scope), **case.theirs(**values)))
    sent_by_sdk = recorder.last

    assert sent_by_us is not sent_by_sdk
    assert stable(sent_by_us) == stable(sent_by_sdk)
    assert_signed(sent_by_us)
    assert_signed(sent_by_sdk)
    names = {name.lower(): value for name, value in sent_by_us.headers}
    assert names["x-acs-action"] == operation
    assert ("x-acs-security-token" in names) == (token is not None)


def test_every_operation_is_covered() -> None:
    operations = {value.name for value in vars(calls).values() if isinstance(value, calls.Operation)}
    assert operations == CASES.keys()
    assert {case.ours for case in CASES.values()} == {
        function
        for name, function in vars(calls).items()
        if callable(function) and name in calls.__all__ and name.islower()
    }


def test_no_two_requests_share_a_nonce(recorder: Recorder) -> None:
    transport = SyncTransport(
        SchedulerXSettings.from_connection(
            login="k", password="s", host=f"http://{recorder.authority}", extra={"region_id": "public"}
        ),
        max_retry_seconds=0,
    )
    for _ in range(50):
        with pytest.raises(Exception, match="recorded"):
            transport.perform(calls.list_namespaces(Scope("public")))
    nonces = [dict(request.headers)["x-acs-signature-nonce"] for request in recorder.requests[-50:]]
    assert len(set(nonces)) == 50
