"""The hook, through an Airflow connection, against the emulator."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_schedulerx.api.models import JobInstanceStatus, WorkflowInstanceStatus
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.exceptions import (
    SchedulerXConfigurationError,
    SchedulerXError,
    SchedulerXForeignGroupError,
    SchedulerXNotFoundError,
)
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook


def wait_for_end(hook: SchedulerXHook, workflow_id: int, wf_instance_id: int) -> Any:
    deadline = time.monotonic() + 10
    while not (instance := hook.get_workflow_instance(workflow_id, wf_instance_id)).status.is_terminal:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return instance


def test_a_run_from_start_to_end(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    started = hook.execute_workflow("1", {"天": "a b"})
    instance = wait_for_end(hook, 1, started)
    assert instance.status is WorkflowInstanceStatus.SUCCESS
    assert [node.job_name for node in instance.nodes] == ["a", "b", "c", "d"]
    assert hook.list_workflow_instances(1)[0].wf_instance_id == started
    node = instance.nodes[0]
    job = hook.get_job_instance(node.job_id, node.job_instance_id)
    assert (job.status, job.parameters, job.result) == (JobInstanceStatus.SUCCESS, '{"天":"a b"}', "did a")
    assert hook.get_workflow(1).name == "good"


def test_a_failed_run_is_retried_and_another_marked(hook: SchedulerXHook) -> None:
    started = hook.execute_workflow(2)
    failed = wait_for_end(hook, 2, started)
    assert failed.status is WorkflowInstanceStatus.FAILED
    bad = next(node for node in failed.nodes if node.status.is_bad)
    hook.retry_job_instance(bad.job_id, bad.job_instance_id)
    assert wait_for_end(hook, 2, started).status is WorkflowInstanceStatus.SUCCESS
    other = hook.execute_workflow(2)
    wait_for_end(hook, 2, other)
    hook.set_workflow_instance_success(2, other)
    assert hook.get_workflow_instance(2, other).status is WorkflowInstanceStatus.SUCCESS


def test_the_log_pages_through_more_than_200_lines(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    failed = wait_for_end(hook, 2, hook.execute_workflow(2))
    bad = failed.nodes[1]
    before = emulator.calls("GetLog")
    lines = list(hook.get_job_instance_log(bad.job_id, bad.job_instance_id))
    assert len(lines) == 452
    assert emulator.calls("GetLog") == before + 3
    assert "attempt 0 starts" in lines[0]
    assert "step 200 of 450" in lines[200]
    assert "disk full" in lines[-1]
    found = list(hook.get_job_instance_log(bad.job_id, bad.job_instance_id, keyword="step 7 of"))
    assert len(found) == 1
    past = list(hook.get_job_instance_log(bad.job_id, bad.job_instance_id, end=time.time() - 3600))
    assert past == []


def test_workflows_are_listed_through_all_pages(
    hook: SchedulerXHook, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    flows = [
        {"id": 1000 + n, "name": f"flow-{n}", "namespace": "many", "group": "g", "nodes": [{"name": "a"}]}
        for n in range(120)
    ]
    emulator.add_workflows({"namespaces": [{"id": "many", "groups": ["g"]}], "workflows": flows})
    many = SchedulerXHook(namespace="many", group_id="g")
    before = emulator.calls("ListWorkFlows")
    assert [flow.workflow_id for flow in many.list_workflows()] == [flow["id"] for flow in flows]
    assert emulator.calls("ListWorkFlows") == before + 3
    assert [flow.name for flow in many.list_workflows("flow-11")] == [
        "flow-11",
        *(f"flow-11{n}" for n in range(10)),
    ]


def test_the_other_lists(hook: SchedulerXHook) -> None:
    assert "demo" in {namespace.uid for namespace in hook.list_namespaces()}
    assert {group.group_id for group in hook.list_groups()} == {"etl", "reporting"}
    assert hook.describe_regions() == ["cn-hangzhou"]


def test_arguments_beat_the_connection(hook: SchedulerXHook) -> None:
    with pytest.raises(SchedulerXNotFoundError):
        hook.get_workflow(8)
    assert SchedulerXHook(group_id="reporting").get_workflow(8).name == "rejected"


def test_nothing_is_sent_for_bad_arguments(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    before = emulator.counters()["calls"]
    for call in (
        lambda: hook.execute_workflow("one"),
        lambda: hook.execute_workflow(1, "x" * 1001),
        lambda: hook.get_workflow_instance(1, None),  # type: ignore[arg-type]
        lambda: hook.stop_job_instance(-1, 1),
        lambda: list(hook.get_job_instance_log(1, 1, start=5, end=4)),
    ):
        with pytest.raises(SchedulerXConfigurationError):
            call()
    assert emulator.counters()["calls"] == before


@pytest.mark.parametrize("missing", ["namespace", "group_id"])
def test_a_call_without_scope_names_what_is_missing(
    emulator: EmulatorProcess, connect: Callable[..., None], missing: str
) -> None:
    connect(emulator.connection(**{missing: ""}))
    with pytest.raises(SchedulerXConfigurationError, match=f"{missing} is not set") as caught:
        SchedulerXHook().execute_workflow(1)
    assert caught.value.field == missing


def test_a_wrong_connection_is_named(connect: Callable[..., None]) -> None:
    connect({"conn_type": "schedulerx", "extra": {"region_id": "cn-hangzhou", "network": "lan"}}, "other")
    with pytest.raises(SchedulerXConfigurationError, match="connection 'other': network 'lan'"):
        SchedulerXHook("other").execute_workflow(1)


def test_a_connection_of_the_official_provider_works(
    emulator: EmulatorProcess, connect: Callable[..., None]
) -> None:
    ours = emulator.connection()
    connect(
        {
            "conn_type": "alibaba_cloud",
            "host": ours["host"],
            "extra": {
                **ours["extra"],
                "access_key_id": ours["login"],
                "access_key_secret": ours["password"],
            },
        }
    )
    assert SchedulerXHook().get_workflow(1).name == "good"


def test_a_connection_as_uri_works(emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    host = emulator.endpoint.replace("http://", "http%3A%2F%2F").replace(":", "%3A")
    monkeypatch.setenv(
        "AIRFLOW_CONN_SCHEDULERX_DEFAULT",
        f"schedulerx://emulator:emulator-secret@{host}/?region_id=cn-hangzhou&namespace=demo&group_id=etl",
    )
    assert SchedulerXHook().get_workflow(1).name == "good"


def test_making_a_hook_looks_nothing_up() -> None:
    SchedulerXHook("there-is-no-such-connection")


# Stopping a run.


def test_stop_ends_the_run(hook: SchedulerXHook) -> None:
    started = hook.execute_workflow(3)
    last = hook.stop_workflow_instance(3, started)
    assert last is not None
    assert last.status is WorkflowInstanceStatus.FAILED


def test_stop_takes_nodes_that_start_meanwhile(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    nodes = [{"name": "n0", "duration": 6}]
    nodes += [{"name": f"n{n}", "after": f"n{n - 1}", "duration": 100000} for n in range(1, 3)]
    emulator.add_workflows(
        {
            "namespaces": [{"id": "chain", "groups": ["g"]}],
            "workflows": [
                {"id": 50, "namespace": "chain", "group": "g", "nodes": nodes, "max_concurrency": 9}
            ],
        }
    )
    chain = SchedulerXHook(namespace="chain", group_id="g")
    started = chain.execute_workflow(50)
    # The first stops are lost, the first node ends by itself, and the second one begins.
    emulator.add_fault("StopInstance", "drop", count=1)
    last = chain.stop_workflow_instance(50, started, timeout=30)
    assert last is not None
    assert last.status is WorkflowInstanceStatus.FAILED


def test_stop_reports_foreign_nodes_and_goes_on_with_the_rest(
    hook: SchedulerXHook, task_log: Callable[[], str]
) -> None:
    started = hook.execute_workflow(4)
    began = time.monotonic()
    last = hook.stop_workflow_instance(4, started, timeout=2)
    assert time.monotonic() - began < 5
    assert last is not None
    assert last.status is WorkflowInstanceStatus.RUNNING
    ours, theirs = last.nodes
    assert theirs.job_instance_id is not None
    assert (ours.status, theirs.status) == (JobInstanceStatus.FAILED, JobInstanceStatus.RUNNING)
    told = task_log()
    assert told.count("Node theirs (job 402) cannot be stopped from here") == 1
    assert "had not ended after 2 s" in told
    with pytest.raises(SchedulerXForeignGroupError):
        hook.stop_job_instance(theirs.job_id, theirs.job_instance_id)
    SchedulerXHook(group_id="reporting").stop_job_instance(theirs.job_id, theirs.job_instance_id)


def test_stop_of_what_is_not_there_does_not_raise(hook: SchedulerXHook) -> None:
    assert hook.stop_workflow_instance(3, 5, timeout=1) is None


def test_stop_outlasts_faults_of_looking(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    started = hook.execute_workflow(3)
    emulator.add_fault("GetWorkflowInstance", "error", status=500, count=1)
    last = hook.stop_workflow_instance(3, started, timeout=20)
    assert last is not None
    assert last.status.is_terminal


# Test connection.


def test_test_connection_succeeds_with_a_read_only_call(
    hook: SchedulerXHook, emulator: EmulatorProcess
) -> None:
    before = emulator.counters()["calls"]
    ok, message = hook.test_connection()
    assert ok
    # Other tests may have added workflows to the seven of the file.
    assert re.search(r"[0-9]+ workflows in namespace demo, group etl, region cn-hangzhou", message)
    after = emulator.counters()["calls"]
    assert {name for name in after if after[name] != before.get(name, 0)} == {"ListWorkFlows"}


def test_test_connection_works_with_an_edition_that_cannot_list_workflows(
    emulator: EmulatorProcess, connect: Callable[..., None]
) -> None:
    """ListWorkFlows exists since December 2025 only; no task needs it."""
    emulator.set_profile("list_workflows=absent")
    connect(emulator.connection())
    ok, message = SchedulerXHook().test_connection()
    assert ok, message
    assert "does not have ListWorkFlows" in message
    ok, message = SchedulerXHook(group_id="nobody").test_connection()
    assert not ok, "another group than one that exists is still found out"
    assert "groupid not exist" in message


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        (("namespace", "group_id"), "namespace and group_id are not set: set namespace and group_id in"),
        (("group_id",), "group_id is not set: set group_id in"),
        (("namespace",), "namespace is not set: set namespace in"),
    ],
)
def test_test_connection_says_what_every_task_would_have_to_set(
    emulator: EmulatorProcess, connect: Callable[..., None], missing: tuple[str, ...], says: str
) -> None:
    connect(emulator.connection(**dict.fromkeys(missing, "")))
    ok, message = SchedulerXHook().test_connection()
    assert not ok
    assert "Connected to" in message, "what works is said, too"
    assert says in message
    arguments = {"namespace": "demo", "group_id": "etl"}
    ok, message = SchedulerXHook(**{name: arguments[name] for name in missing}).test_connection()
    assert ok, message


def test_what_is_not_set_is_also_said_where_the_call_fails(
    emulator: EmulatorProcess, connect: Callable[..., None]
) -> None:
    extra = {"namespace": "", "group_id": "", "groupid": "etl"}
    connect({**emulator.connection(**extra), "login": "denied", "password": "denied-secret"})
    ok, message = SchedulerXHook().test_connection()
    assert not ok
    for part in ("edas:ReadSchedulerxNamespaceQuery", "namespace and group_id are not set", "'groupid'"):
        assert part in message


@pytest.mark.parametrize(
    ("extra", "good", "says"),
    [
        ({"foo": "x"}, True, "not used: 'foo'."),
        ({"group_id": "", "groupid": "etl"}, False, "'groupid' (did you mean group_id?)"),
        ({"region_id": "", "regionid": "x"}, False, "'regionid' (did you mean region_id?)"),
    ],
)
def test_test_connection_names_fields_that_are_not_used(
    emulator: EmulatorProcess, connect: Callable[..., None], extra: dict[str, str], good: bool, says: str
) -> None:
    connect(emulator.connection(**extra))
    ok, message = SchedulerXHook().test_connection()
    assert ok is good
    assert says in message


def test_a_task_warns_once_of_fields_that_are_not_used(
    emulator: EmulatorProcess, connect: Callable[..., None], task_log: Callable[[], str]
) -> None:
    connect(emulator.connection(groupid="etl"), "warned_of")
    for _ in range(3):
        assert SchedulerXHook("warned_of").settings
        assert asyncio.run(SchedulerXHook("warned_of").aget_settings())
    assert task_log().count("'groupid' (did you mean group_id?)") == 1


@pytest.mark.parametrize("conn_type", ["http", "postgres"])
def test_a_connection_of_another_type_does_not_work_by_chance(
    emulator: EmulatorProcess, connect: Callable[..., None], conn_type: str
) -> None:
    connect({**emulator.connection(), "conn_type": conn_type})
    ok, message = SchedulerXHook().test_connection()
    assert not ok
    assert f"connection 'schedulerx_default': conn_type is '{conn_type}'; set it to 'schedulerx'" in message
    with pytest.raises(SchedulerXConfigurationError):
        asyncio.run(SchedulerXHook().aget_settings())


@pytest.mark.parametrize("extra", ['["a"]', '"a"', "5", "region_id=cn-hangzhou"])
def test_extra_that_is_no_object_is_said_on_both_sides(
    emulator: EmulatorProcess, connect: Callable[..., None], extra: str
) -> None:
    connect({**emulator.connection(), "extra": extra})
    ok, message = SchedulerXHook().test_connection()
    assert not ok
    assert "connection 'schedulerx_default': extra is " in message
    with pytest.raises(SchedulerXConfigurationError, match="extra is "):
        asyncio.run(SchedulerXHook().aget_settings())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"login": "nobody"}, "check login"),
        ({"password": "wrong-secret"}, "check password"),
        ({"login": "disabled", "password": "x"}, "enable this AccessKey"),
        ({"login": "denied", "password": "denied-secret"}, "edas:ReadSchedulerxWorkflowQuery"),
        ({"host": "http://127.0.0.1:1"}, "Connection refused"),
        ({"extra": {"group_id": "nothing"}}, "groupid not exist"),
        ({"extra": {"region_id": ""}}, "region_id is not set"),
        ({"extra": {"credential_type": "magic"}}, "credential_type 'magic'"),
    ],
)
def test_test_connection_says_what_to_correct(
    emulator: EmulatorProcess, connect: Callable[..., None], change: dict, says: str
) -> None:
    connection = emulator.connection()
    extra = {**connection["extra"], **change.pop("extra", {})}
    connect({**connection, **change, "extra": extra})
    ok, message = SchedulerXHook().test_connection()
    assert not ok
    assert says in message
    assert "wrong-secret" not in message


def test_test_connection_tells_a_wrong_clock(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    emulator.add_fault("ListWorkFlows", "error", status=400, code="InvalidTimeStamp.Expired")
    ok, message = hook.test_connection()
    assert not ok
    assert "clock" in message


def test_test_connection_of_no_connection_does_not_raise() -> None:
    ok, message = SchedulerXHook("there-is-no-such-connection").test_connection()
    assert not ok
    assert "there-is-no-such-connection" in message


def test_errors_of_calls_have_one_base(hook: SchedulerXHook) -> None:
    with pytest.raises(SchedulerXError):
        hook.get_workflow(99)
