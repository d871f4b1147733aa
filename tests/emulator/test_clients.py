"""Clients that nobody here wrote run against the emulator: the official SDK, and its predecessor."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from alibabacloud_schedulerx220190430 import models as sdk
from alibabacloud_schedulerx220190430.client import Client as SdkClient
from alibabacloud_tea_openapi.exceptions import ClientException
from alibabacloud_tea_openapi.utils_models import Config
from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import RpcRequest
from aliyunsdkschedulerx2.request.v20190430 import (
    DescribeRegionsRequest,
    ExecuteJobRequest,
    ExecuteWorkflowRequest,
    GetJobInfoRequest,
    GetJobInstanceListRequest,
    GetJobInstanceRequest,
    GetLogRequest,
    GetWorkflowInstanceRequest,
    GetWorkFlowRequest,
    ListGroupsRequest,
    ListJobsRequest,
    ListNamespacesRequest,
    ListWorkflowInstanceRequest,
    ListWorkFlowsRequest,
    RetryJobInstanceRequest,
    SetWfInstanceSuccessRequest,
    StopInstanceRequest,
)

from airflow_provider_schedulerx.emulator.operations import OPERATIONS
from airflow_provider_schedulerx.emulator.process import EmulatorProcess

GROUP = {"region_id": "cn-hangzhou", "namespace": "demo", "group_id": "etl"}
PARAMETERS = "a b+c/%~*'é天"


def sdk_client(emulator: EmulatorProcess, **credential: Any) -> SdkClient:
    scheme, _, authority = emulator.endpoint.partition("://")
    return SdkClient(
        Config(
            **(credential or {"access_key_id": "emulator", "access_key_secret": "emulator-secret"}),
            endpoint=authority,
            protocol=scheme.upper(),
            region_id="cn-hangzhou",
            ca=emulator.ca_file,
        )
    )


class Caller:
    """The official SDK, synchronous or asynchronous; remembers which operations it called."""

    def __init__(self, client: SdkClient, is_async: bool) -> None:
        self._client = client
        self._is_async = is_async
        self.called: set[str] = set()

    def __call__(self, method: str, request: Any) -> Any:
        self.called.add(type(request).__name__.removesuffix("Request"))
        if self._is_async:
            return asyncio.run(getattr(self._client, f"{method}_async")(request)).body
        return getattr(self._client, method)(request).body


def wait_until(look: Any, timeout: float = 10) -> Any:
    deadline = time.monotonic() + timeout
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


def start_job(start: Callable[[], Any]) -> Any:
    """Start a job that another test may have started in this very second."""

    def started() -> Any:
        answer = start()
        is_good = answer["Success"] if isinstance(answer, dict) else answer.success
        return answer if is_good else None

    return wait_until(started)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_the_official_sdk_uses_every_operation(emulator: EmulatorProcess, is_async: bool) -> None:
    call = Caller(sdk_client(emulator), is_async)

    assert call("describe_regions", sdk.DescribeRegionsRequest()).regions[0].region_id == "cn-hangzhou"
    namespaces = call("list_namespaces", sdk.ListNamespacesRequest(region_id="cn-hangzhou"))
    assert "demo" in {namespace.uid for namespace in namespaces.data.namespaces}
    groups = call("list_groups", sdk.ListGroupsRequest(region_id="cn-hangzhou", namespace="demo"))
    assert {group.group_id for group in groups.data.app_groups} == {"etl", "reporting"}

    page = call("list_work_flows", sdk.ListWorkFlowsRequest(**GROUP, page_num=2, page_size=2))
    assert page.data.total == 7
    assert [record.workflow_id for record in page.data.records] == [3, 4]
    workflow = call("get_work_flow", sdk.GetWorkFlowRequest(**GROUP, workflow_id=1)).data
    assert workflow.work_flow_info.name == "good"
    assert [edge.source for edge in workflow.work_flow_node_info.edges] == [0, 101, 101, 102, 103]

    started = call(
        "execute_workflow",
        sdk.ExecuteWorkflowRequest(**GROUP, workflow_id=2, instance_parameters=PARAMETERS),
    )
    assert started.success is True
    assert started.code == 200
    wf_instance_id = started.data.wf_instance_id
    assert wf_instance_id > 2**32

    def look() -> Any:
        request = sdk.GetWorkflowInstanceRequest(**GROUP, workflow_id=2, wf_instance_id=wf_instance_id)
        return call("get_workflow_instance", request).data

    failed = wait_until(lambda: (seen := look()).wf_instance_info.status == 5 and seen)
    first, breaks, never = failed.wf_instance_dag.nodes
    assert (first.status, breaks.status, never.status) == (4, 5, 1)
    assert (breaks.result, breaks.attempt) == ("disk full", 0)
    listed = call("list_workflow_instance", sdk.ListWorkflowInstanceRequest(**GROUP, workflow_id="2"))
    assert wf_instance_id in {info.wf_instance_id for info in listed.data.wf_instance_infos}

    job = {**GROUP, "job_id": breaks.job_id, "job_instance_id": breaks.job_instance_id}
    detail = call("get_job_instance", sdk.GetJobInstanceRequest(**job)).data.job_instance_detail
    assert (detail.status, detail.parameters) == (5, PARAMETERS)
    log = call("get_log", sdk.GetLogRequest(**job, line=200)).data.logs
    assert len(log) == 200
    assert "disk full" in log[0], "newest first unless Reverse says otherwise"

    assert call("retry_job_instance", sdk.RetryJobInstanceRequest(**job)).success is True
    again = wait_until(lambda: (seen := look()).wf_instance_info.status == 4 and seen)
    assert [node.status for node in again.wf_instance_dag.nodes] == [4, 4, 4]
    assert again.wf_instance_dag.nodes[1].attempt == 1

    endless = call("execute_workflow", sdk.ExecuteWorkflowRequest(**GROUP, workflow_id=3)).data.wf_instance_id
    request = sdk.GetWorkflowInstanceRequest(**GROUP, workflow_id=3, wf_instance_id=endless)
    nodes = call("get_workflow_instance", request).data.wf_instance_dag.nodes
    for node in nodes[:2]:
        stop = sdk.StopInstanceRequest(**GROUP, job_id=node.job_id, instance_id=node.job_instance_id)
        assert call("stop_instance", stop).success is True
    assert call("get_workflow_instance", request).data.wf_instance_info.status == 5
    success = sdk.SetWfInstanceSuccessRequest(**GROUP, workflow_id=3, wf_instance_id=endless)
    assert call("set_wf_instance_success", success).success is True
    assert call("get_workflow_instance", request).data.wf_instance_info.status == 4

    jobs = call("list_jobs", sdk.ListJobsRequest(**GROUP, job_name="alone", page_num=1, page_size=2)).data
    assert (jobs.total, [job.job_id for job in jobs.jobs]) == (4, [22, 23])
    info = call("get_job_info", sdk.GetJobInfoRequest(**GROUP, job_id=23)).data.job_config_info
    assert (info.name, info.status, info.time_config.time_type) == ("endless alone", 1, 100)
    by_itself = sdk.ExecuteJobRequest(
        **GROUP,
        job_id=23,
        instance_parameters=PARAMETERS,
        check_job_status=True,
        designate_type=1,
        worker="w@1:2",
    )
    job_instance_id = start_job(lambda: call("execute_job", by_itself)).data.job_instance_id
    newest = sdk.GetJobInstanceListRequest(**GROUP, job_id=23, page_num=1, page_size=1, status=3)
    (shown,) = call("get_job_instance_list", newest).data.job_instance_details
    assert (shown.instance_id, shown.status, shown.trigger_type) == (job_instance_id, 3, 3)
    assert shown.work_addr == "w@1:2"
    one = sdk.GetJobInstanceRequest(**GROUP, job_id=23, job_instance_id=job_instance_id)
    assert call("get_job_instance", one).data.job_instance_detail.parameters == PARAMETERS

    assert call.called == OPERATIONS.keys()


def test_the_older_sdk_with_signature_v1_uses_every_operation(emulator: EmulatorProcess) -> None:
    authority = emulator.endpoint.removeprefix("http://")
    host, _, port = authority.partition(":")
    client = AcsClient("emulator", "emulator-secret", "cn-hangzhou", port=int(port), auto_retry=False)
    called = set()

    def call(module: Any, **parameters: Any) -> Any:
        name = module.__name__.rpartition(".")[2]
        request: RpcRequest = getattr(module, name)()
        request.set_protocol_type("http")
        request.set_endpoint(host)
        for key, value in {"RegionId": "cn-hangzhou", **parameters}.items():
            request.add_query_param(key, value)
        called.add(name.removesuffix("Request"))
        return json.loads(client.do_action_with_exception(request))

    group = {"Namespace": "demo", "GroupId": "etl"}
    assert call(DescribeRegionsRequest)["Regions"]
    assert call(ListNamespacesRequest)["Data"]["Namespaces"]
    assert call(ListGroupsRequest, Namespace="demo")["Data"]["AppGroups"]
    assert call(ListWorkFlowsRequest, **group)["Data"]["Total"] == 7
    assert call(GetWorkFlowRequest, **group, WorkflowId=1)["Data"]["WorkFlowInfo"]["Name"] == "good"
    started = call(ExecuteWorkflowRequest, **group, WorkflowId=2, InstanceParameters=PARAMETERS)
    ids = {**group, "WorkflowId": 2, "WfInstanceId": started["Data"]["WfInstanceId"]}
    data = wait_until(
        lambda: (
            (seen := call(GetWorkflowInstanceRequest, **ids)["Data"])["WfInstanceInfo"]["Status"] == 5
            and seen
        )
    )
    assert call(ListWorkflowInstanceRequest, **group, WorkflowId="2")["Data"]["WfInstanceInfos"]
    broken = data["WfInstanceDag"]["Nodes"][1]
    job = {**group, "JobId": broken["JobId"], "JobInstanceId": broken["JobInstanceId"]}
    assert call(GetJobInstanceRequest, **job)["Data"]["JobInstanceDetail"]["Parameters"] == PARAMETERS
    assert call(GetLogRequest, **job)["Data"]["Logs"]
    assert call(RetryJobInstanceRequest, **job)["Success"] is True
    wait_until(lambda: call(GetWorkflowInstanceRequest, **ids)["Data"]["WfInstanceInfo"]["Status"] == 4)
    assert call(SetWfInstanceSuccessRequest, **ids)["Success"] is True
    endless = {**group, "WorkflowId": 3}
    endless["WfInstanceId"] = call(ExecuteWorkflowRequest, **endless)["Data"]["WfInstanceId"]
    runs = call(GetWorkflowInstanceRequest, **endless)["Data"]["WfInstanceDag"]["Nodes"][0]
    stop = {**group, "JobId": runs["JobId"], "InstanceId": runs["JobInstanceId"]}
    assert call(StopInstanceRequest, **stop)["Success"] is True
    assert call(ListJobsRequest, **group, JobName="tidy")["Data"]["Total"] == 1
    assert call(GetJobInfoRequest, **group, JobId=23)["Data"]["JobConfigInfo"]["Name"] == "endless alone"
    by_itself = {**group, "JobId": 23}
    started = start_job(lambda: call(ExecuteJobRequest, **by_itself, CheckJobStatus=True))
    listed = call(GetJobInstanceListRequest, **by_itself, PageSize=1)["Data"]["JobInstanceDetails"]
    assert [each["InstanceId"] for each in listed] == [started["Data"]["JobInstanceId"]]
    assert called == OPERATIONS.keys()

    client = AcsClient("emulator", "wrong", "cn-hangzhou", port=int(port), auto_retry=False)
    # The SDK says this only if the server's string to sign is its own to the letter.
    with pytest.raises(ServerException, match="The AccessKeySecret is incorrect"):
        call(DescribeRegionsRequest)


@pytest.mark.parametrize(
    ("credential", "code"),
    [
        ({"access_key_id": "nobody", "access_key_secret": "x"}, "InvalidAccessKeyId.NotFound"),
        ({"access_key_id": "disabled", "access_key_secret": "x"}, "InvalidAccessKeyId.Inactive"),
        ({"access_key_id": "emulator", "access_key_secret": "x"}, "SignatureDoesNotMatch"),
        (
            {"access_key_id": "STS.one", "access_key_secret": "sts-secret", "security_token": "other"},
            "InvalidSecurityToken.MismatchWithAccessKey",
        ),
        (
            {"access_key_id": "STS.one", "access_key_secret": "sts-secret"},
            "InvalidSecurityToken.MismatchWithAccessKey",
        ),
        (
            {
                "access_key_id": "STS.expired",
                "access_key_secret": "sts-secret",
                "security_token": "old-token",
            },
            "InvalidSecurityToken.Expired",
        ),
        ({"access_key_id": "denied", "access_key_secret": "denied-secret"}, "Forbidden.RAM"),
        ({"bearer_token": "other"}, "InvalidBearerToken"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_strangers_get_the_documented_codes(
    emulator: EmulatorProcess, credential: dict[str, str], code: str
) -> None:
    with pytest.raises(ClientException) as caught:
        sdk_client(emulator, **credential).get_work_flow(sdk.GetWorkFlowRequest(**GROUP, workflow_id=1))
    assert caught.value.code == code
    if code == "Forbidden.RAM":
        assert caught.value.access_denied_detail["AuthAction"] == "edas:ReadSchedulerxWorkflowQuery"


@pytest.mark.parametrize(
    "credential",
    [
        {"access_key_id": "STS.one", "access_key_secret": "sts-secret", "security_token": "tok+en/ one="},
        {"bearer_token": "bear-token"},
    ],
    ids=["sts", "bearer"],
)
def test_other_kinds_of_credential_are_let_in(emulator: EmulatorProcess, credential: dict[str, str]) -> None:
    body = (
        sdk_client(emulator, **credential).get_work_flow(sdk.GetWorkFlowRequest(**GROUP, workflow_id=1)).body
    )
    assert body.success is True


def test_tls_with_a_private_authority() -> None:
    with EmulatorProcess("--tls") as emulator:
        assert emulator.endpoint.startswith("https://")
        request = sdk.ListNamespacesRequest(region_id="cn-hangzhou")
        assert sdk_client(emulator).list_namespaces(request).body.success is True
        assert asyncio.run(sdk_client(emulator).list_namespaces_async(request)).body.success is True
