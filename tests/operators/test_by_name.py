"""Workflows named by their name: the id is found once, and stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.exceptions import RunFailedError, RunLostError
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.operators.schedulerx import ExecuteWorkflowOperator
from tests.operators.test_durable import Killed
from tests.task_instance import Store, TaskInstance


@pytest.fixture
def rename(hook: SchedulerXHook, emulator: EmulatorProcess) -> Iterator[Callable[..., None]]:
    """Give workflows their names and outcomes."""
    emulator.reset()

    def name(outcomes: Any = "success", **names: str) -> None:
        emulator.add_workflows(
            {
                "namespaces": [{"id": "demo", "groups": ["etl", "reporting"]}],
                "workflows": [
                    {"id": int(number[1:]), "name": text, "namespace": "demo", "group": "etl"}
                    | {"max_concurrency": 9, "nodes": [{"name": "a", "duration": 5, "outcome": outcomes}]}
                    for number, text in names.items()
                ],
            }
        )

    yield name
    emulator.reset()


def _die(*_: Any) -> None:
    raise Killed


def operator(**arguments: Any) -> ExecuteWorkflowOperator:
    return ExecuteWorkflowOperator(
        **{
            "task_id": "run",
            "workflow_name": "nightly",
            "poll_interval": 0.1,
            "settling_time": 1,
            **arguments,
        }
    )


def test_the_id_goes_wherever_an_id_goes(emulator: EmulatorProcess, rename: Callable[..., None]) -> None:
    rename(w801="nightly", w802="nightly-2")
    ti = TaskInstance(Store())
    run = ti.run(operator())
    assert [each["wf_instance_id"] for each in emulator.instances(801)] == [run]
    assert ti.xcoms["workflow_id"] == 801
    assert f"/console/801/{run}" in ti.xcoms["_link_WorkflowInstanceLink"]
    intent = ti.store.intent
    assert (intent["definition_id"], intent["definition_name"]) == (801, "nightly")
    with pytest.raises(TaskDeferred) as deferral:
        TaskInstance(Store()).run(operator(deferrable=True))
    assert deferral.value.trigger.serialize()[1]["workflow_id"] == 801
    assert emulator.calls("ListWorkFlows") == 2


def test_a_retry_keeps_the_id_though_the_name_belongs_to_another_workflow_now(
    emulator: EmulatorProcess, rename: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    rename(w801="nightly")
    ti = TaskInstance(Store())
    with monkeypatch.context() as patched:
        patched.setattr("airflow_provider_schedulerx.operators.following.poll_until_end", _die)
        with pytest.raises(RunLostError):
            ti.run(operator())
    rename(w801="weekly", w802="nightly")
    run = ti.run(operator())
    assert [each["wf_instance_id"] for each in emulator.instances(801)] == [run]
    assert emulator.instances(802) == []
    assert emulator.calls("ListWorkFlows") == 1


def test_a_retry_in_another_group_looks_the_name_up_there(
    emulator: EmulatorProcess, rename: Callable[..., None]
) -> None:
    """An id of another group, namespace or region says nothing of what has this name here."""
    rename("failed", w801="nightly")
    ti = TaskInstance(Store())
    with pytest.raises(RunFailedError):
        ti.run(operator())
    emulator.add_workflows(
        {
            "namespaces": [{"id": "demo", "groups": ["etl", "reporting"]}],
            "workflows": [
                {"id": 803, "name": "nightly", "namespace": "demo", "group": "reporting"}
                | {"nodes": [{"name": "a", "duration": 0.1}]}
            ],
        }
    )
    run = ti.run(operator(group_id="reporting"))
    assert [each["wf_instance_id"] for each in emulator.instances(803)] == [run]


def test_a_cleared_task_looks_the_name_up_again(
    emulator: EmulatorProcess, rename: Callable[..., None]
) -> None:
    rename(w801="nightly")
    ti = TaskInstance(Store())
    ti.run(operator())
    rename(w801="weekly", w802="nightly")
    ti.clear()
    run = ti.run(operator())
    assert [each["wf_instance_id"] for each in emulator.instances(802)] == [run]


def test_a_retry_after_a_failure_starts_the_workflow_that_it_started_before(
    emulator: EmulatorProcess, rename: Callable[..., None]
) -> None:
    rename("failed", w801="nightly")
    ti = TaskInstance(Store())
    with pytest.raises(RunFailedError):
        ti.run(operator())
    rename(w801="weekly", w802="nightly")
    ti.run(operator())
    assert (len(emulator.instances(801)), len(emulator.instances(802))) == (2, 0)


@pytest.mark.parametrize(
    ("names", "profile", "says"),
    [
        (
            {"w801": "nightly-etl"},
            "",
            "no workflow is named 'nightly' .* the nearest is 'nightly-etl' \\(801\\)",
        ),
        ({"w801": "nightly", "w802": "nightly"}, "", "2 workflows are named 'nightly' .*: 801, 802"),
        (
            {"w801": "nightly"},
            "list_workflows=absent",
            "does not have ListWorkFlows.*set workflow_id instead",
        ),
    ],
)
def test_what_cannot_be_found_is_final_and_starts_nothing(
    emulator: EmulatorProcess, rename: Callable[..., None], names: dict[str, str], profile: str, says: str
) -> None:
    rename(**names)
    emulator.set_profile(profile or "documented")
    with pytest.raises(AirflowFailException, match=says):
        TaskInstance(Store()).run(operator())
    assert emulator.counters()["starts"] == {}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"workflow_name": None}, "no workflow is given: set workflow_id"),
        ({"workflow_id": 1}, "give one of workflow_id .* or workflow_name .*, not both"),
        ({"workflow_id": "{{ params.id }}"}, "not both"),
        ({"workflow_name": " "}, "workflow_name is empty"),
        ({"workflow_name": 801}, "workflow_name must be a str, not 801"),
    ],
)
def test_both_or_neither_is_told_when_the_dag_is_parsed(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(SchedulerXConfigurationError, match=says):
        operator(**arguments)


def test_a_template_that_gives_nothing_is_final(
    emulator: EmulatorProcess, rename: Callable[..., None]
) -> None:
    rename(w801="nightly")
    task = operator(workflow_name="{{ params.name }}")
    task.workflow_name = ""
    with pytest.raises(AirflowFailException, match="no workflow is given"):
        TaskInstance(Store()).run(task)


def test_a_retry_elsewhere_looks_the_name_up_there(
    emulator: EmulatorProcess, rename: Callable[..., None]
) -> None:
    rename("failed", w801="nightly")
    emulator.add_workflows(
        {
            "namespaces": [{"id": "demo", "groups": ["etl", "reporting"]}],
            "workflows": [
                {"id": 803, "name": "nightly", "namespace": "demo", "group": "reporting"}
                | {"nodes": [{"name": "a", "duration": 5}]}
            ],
        }
    )
    ti = TaskInstance(Store())
    with pytest.raises(RunFailedError):
        ti.run(operator())
    run = ti.run(operator(group_id="reporting"))
    assert [each["wf_instance_id"] for each in emulator.instances(803)] == [run]
