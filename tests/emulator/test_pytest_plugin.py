"""The fixtures that this provider gives to tests of others, in a pytest session of their own."""

from __future__ import annotations

import pytest

TEST = """
import json, os
import pytest
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook

def test_it_is_there(schedulerx_emulator):
    run = SchedulerXHook().execute_workflow({workflow_id})
    assert schedulerx_emulator.starts({workflow_id}) == 1
    assert schedulerx_emulator.instances({workflow_id})[0]["wf_instance_id"] == run
    schedulerx_emulator.add_fault("GetWorkflowInstance", "drop")
    schedulerx_emulator.set_quota(1)
    schedulerx_emulator.set_profile("list_workflows=absent")
    schedulerx_emulator.add_account(access_key_id="emulator", access_key_secret="another")
    connection = schedulerx_emulator.connection()["extra"]
    schedulerx_emulator.add_workflows({{
        "namespaces": [{{"id": connection["namespace"], "groups": [connection["group_id"]]}}],
        "workflows": [{{"id": {workflow_id}, "namespace": connection["namespace"], "group": connection["group_id"],
                        "enabled": False, "nodes": [{{"name": "another"}}]}}],
    }})

def test_nothing_is_left_of_the_test_before(schedulerx_emulator):
    assert schedulerx_emulator.pending_faults() == []
    assert schedulerx_emulator.counters() == {{"calls": {{}}, "outcomes": {{}}, "busiest_minute": {{}}, "starts": {{}}, "job_starts": {{}}}}
    assert schedulerx_emulator.profile()["list_workflows"] == "present"
    for _ in range(2):
        SchedulerXHook().execute_workflow({workflow_id})
    assert [node["definition"]["name"] for node in schedulerx_emulator.instances()[0]["nodes"]] != ["another"]

@pytest.mark.parametrize("schedulerx_emulator", ["documented", "hostile,edition=basic"], indirect=True)
def test_it_takes_a_profile(schedulerx_emulator, request):
    profile = request.node.callspec.params["schedulerx_emulator"]
    assert schedulerx_emulator.profile()["edition"] == ("basic" if "basic" in profile else "professional")
    assert schedulerx_emulator.profile()["log_service"] == ("off" if "hostile" in profile else "on")

def test_without_it_there_is_no_connection():
    assert "AIRFLOW_CONN_SCHEDULERX_DEFAULT" not in os.environ
"""


@pytest.fixture(autouse=True)
def no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_SCHEDULERX_DEFAULT", raising=False)


def test_the_default_workflows(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST.format(workflow_id=101))
    pytester.runpytest_subprocess("-p", "no:asyncio").assert_outcomes(passed=5)


def test_workflows_of_ones_own(pytester: pytest.Pytester) -> None:
    pytester.makefile(
        ".yaml",
        flows="""
accounts: [{access_key_id: emulator, access_key_secret: emulator-secret}]
namespaces: [{id: demo, groups: [etl]}]
workflows: [{id: 7, name: mine, namespace: demo, group: etl, max_concurrency: 5, nodes: [{name: only}]}]
""",
    )
    pytester.makepyprojecttoml('[tool.pytest.ini_options]\nschedulerx_workflows = "flows.yaml"\n')
    pytester.makepyfile(TEST.format(workflow_id=7))
    pytester.runpytest_subprocess("-p", "no:asyncio").assert_outcomes(passed=5)


def test_a_profile_of_ones_own(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml('[tool.pytest.ini_options]\nschedulerx_profile = "hostile,list_length=300"\n')
    pytester.makepyfile(
        """
        def test_profile(schedulerx_emulator):
            values = schedulerx_emulator.profile()
            assert (values["list_length"], values["denial"]) == ("300", "body")
            schedulerx_emulator.set_profile("documented")

        def test_again(schedulerx_emulator):
            assert schedulerx_emulator.profile()["denial"] == "body"
        """
    )
    pytester.runpytest_subprocess("-p", "no:asyncio").assert_outcomes(passed=2)
