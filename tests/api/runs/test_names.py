"""Names become ids: one exact match, or an error that helps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAuthorizationError,
    SchedulerXConfigurationError,
    SchedulerXNotFoundError,
)
from airflow_provider_schedulerx.api.parameters import check_name
from airflow_provider_schedulerx.api.runs import names, recipes
from airflow_provider_schedulerx.api.runs.kinds import WORKFLOW_RUNS
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook


@pytest.fixture
def named(
    emulator: EmulatorProcess, connect: Callable[..., None]
) -> Iterator[Callable[[dict[int, str]], SchedulerXHook]]:
    """Have workflows with these names beside those of the file."""

    def define(workflows: dict[int, str]) -> SchedulerXHook:
        emulator.add_workflows(
            {
                "namespaces": [
                    {"id": "demo", "groups": ["etl", "reporting"]},
                    {"id": "empty-one", "groups": ["none"]},
                ],
                "workflows": [
                    {
                        "id": number,
                        "name": name,
                        "namespace": "demo",
                        "group": "etl",
                        "nodes": [{"name": "a"}],
                    }
                    for number, name in workflows.items()
                ],
            }
        )
        connect(emulator.connection())
        return SchedulerXHook()

    yield define
    emulator.reset()


def find(hook: SchedulerXHook, name: str) -> int:
    return hook.find_definition(WORKFLOW_RUNS, name)


@pytest.mark.parametrize("name_filter", ["part", "any_case", "exact"])
def test_only_the_exact_name_counts_whatever_the_filter_lets_through(
    named: Callable[..., SchedulerXHook], emulator: EmulatorProcess, name_filter: str
) -> None:
    hook = named({801: "每日 etl", 802: "每日 etl 2", 803: "Nightly", 804: "nightly", 805: "nightly-old"})
    emulator.set_profile(f"name_filter={name_filter}")
    assert [find(hook, name) for name in ("每日 etl", "nightly", "Nightly", "每日 etl 2")] == [
        801,
        804,
        803,
        802,
    ]


def test_all_pages_are_searched(named: Callable[..., SchedulerXHook], emulator: EmulatorProcess) -> None:
    hook = named({**{number: f"job-of-day-{number}" for number in range(900, 1020)}, 1020: "day"})
    before = emulator.calls("ListWorkFlows")
    assert find(hook, "day") == 1020
    assert emulator.calls("ListWorkFlows") == before + 3
    before = emulator.calls("ListWorkFlows")
    assert find(hook, "job-of-day-1000") == 1000
    assert emulator.calls("ListWorkFlows") == before + 1


def test_none_is_an_error_that_lists_the_nearest(named: Callable[..., SchedulerXHook]) -> None:
    hook = named({801: "nightly-etl", 802: "nightly-etl-copy", 803: "weekly", 804: "nightly-etl-copy"})
    with pytest.raises(SchedulerXNotFoundError) as caught:
        find(hook, "Nightly-Elt")
    text = str(caught.value)
    assert "no workflow is named 'Nightly-Elt' in group etl of namespace demo" in text
    assert "'nightly-etl' (801), 'nightly-etl-copy' (802, 804)" in text
    assert "weekly" not in text
    with pytest.raises(SchedulerXNotFoundError, match="none of its .* workflows has a name like it"):
        find(hook, "zzzz")


def test_an_empty_group_is_said_to_be_empty(named: Callable[..., SchedulerXHook]) -> None:
    named({})
    with pytest.raises(SchedulerXNotFoundError, match="the group has no workflows"):
        find(SchedulerXHook(namespace="empty-one", group_id="none"), "x")


def test_several_are_an_error_that_lists_them(named: Callable[..., SchedulerXHook]) -> None:
    hook = named({801: "twin", 802: "twin", 803: "twin-2"})
    with pytest.raises(SchedulerXConfigurationError) as caught:
        find(hook, "twin")
    assert "2 workflows are named 'twin'" in str(caught.value)
    assert ": 801, 802. Set workflow_id to one of them" in str(caught.value)
    assert caught.value.field == "workflow_name"


def test_an_edition_without_the_operation_is_told_from_a_missing_workflow(
    named: Callable[..., SchedulerXHook], emulator: EmulatorProcess
) -> None:
    hook = named({801: "nightly"})
    emulator.set_profile("list_workflows=absent")
    with pytest.raises(SchedulerXConfigurationError) as caught:
        find(hook, "nightly")
    assert "this edition of the service does not have ListWorkFlows" in str(caught.value)
    assert "set workflow_id instead of workflow_name" in str(caught.value)
    assert caught.value.code == "InvalidAction.NotFound"


def test_other_faults_pass_as_they_are(
    named: Callable[..., SchedulerXHook], emulator: EmulatorProcess, connect: Callable[..., None]
) -> None:
    named({801: "nightly"})
    connect({**emulator.connection(), "login": "denied", "password": "denied-secret"})
    with pytest.raises(SchedulerXAuthorizationError):
        find(SchedulerXHook(), "nightly")
    connect(emulator.connection(group_id="elsewhere"))
    with pytest.raises(SchedulerXNotFoundError, match="groupid not exist"):
        find(SchedulerXHook(), "nightly")


def test_a_name_that_the_filter_does_not_know_is_found_without_it() -> None:
    """As a search that takes some characters for a pattern."""
    asked: list[Any] = []

    def perform(call: Any) -> Any:
        asked.append(call.query.get("WorkflowName"))
        return ([] if "WorkflowName" in call.query else [_Named(7, "50%_off")]), 1

    recipe = names.resolve_recipe(
        WORKFLOW_RUNS, Scope("cn-hangzhou", namespace="demo", group_id="etl"), "50%_off"
    )
    assert recipes.drive(recipe, perform) == 7
    assert asked == ["50%_off", None]


class _Named:
    def __init__(self, definition_id: int, name: str) -> None:
        self.definition_id, self.name = definition_id, name


@pytest.mark.parametrize(
    ("value", "says"),
    [("", "is empty"), ("  ", "is empty"), ("None", "is empty"), (None, "must be a str"), (101, "not 101")],
)
def test_what_is_no_name_is_refused(value: Any, says: str) -> None:
    with pytest.raises(SchedulerXConfigurationError, match=f"workflow_name.* {says}"):
        check_name("workflow_name", value)
