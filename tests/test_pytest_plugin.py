"""The fixtures that this provider gives to tests of others, in a pytest session of their own."""

from __future__ import annotations

import pytest

TEST = """
import json, os
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook

def test_it_is_there(schedulerx_emulator):
    run = SchedulerXHook().execute_workflow({workflow_id})
    assert schedulerx_emulator.starts({workflow_id}) == 1
    assert schedulerx_emulator.instances({workflow_id})[0]["wf_instance_id"] == run
    schedulerx_emulator.add_fault("GetWorkflowInstance", "drop")

def test_it_has_no_faults_of_the_test_before(schedulerx_emulator):
    assert schedulerx_emulator.pending_faults() == []
    assert schedulerx_emulator.starts({workflow_id}) == 1, "one emulator for the session"

def test_without_it_there_is_no_connection():
    assert "AIRFLOW_CONN_SCHEDULERX_DEFAULT" not in os.environ
"""


@pytest.fixture(autouse=True)
def no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_SCHEDULERX_DEFAULT", raising=False)


def test_the_default_workflows(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST.format(workflow_id=101))
    pytester.runpytest_subprocess("-p", "no:asyncio").assert_outcomes(passed=3)


def test_workflows_of_ones_own(pytester: pytest.Pytester) -> None:
    pytester.makefile(
        ".yaml",
        flows="""
accounts: [{access_key_id: emulator, access_key_secret: emulator-secret}]
namespaces: [{id: demo, groups: [etl]}]
workflows: [{id: 7, name: mine, namespace: demo, group: etl, nodes: [{name: only}]}]
""",
    )
    pytester.makepyprojecttoml('[tool.pytest.ini_options]\nschedulerx_workflows = "flows.yaml"\n')
    pytester.makepyfile(TEST.format(workflow_id=7))
    pytester.runpytest_subprocess("-p", "no:asyncio").assert_outcomes(passed=3)
