"""The decisions of a reconciliation, against a service that is played here answer by answer."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAuthorizationError,
    SchedulerXError,
    SchedulerXForeignGroupError,
    SchedulerXUnavailableError,
)
from airflow_provider_schedulerx.api.models import (
    JobInstance,
    JobInstanceStatus,
    Workflow,
    WorkflowInstance,
    WorkflowInstanceNode,
    WorkflowInstanceStatus,
    WorkflowInstanceSummary,
)
from airflow_provider_schedulerx.api.runs import reconciling
from airflow_provider_schedulerx.api.runs.intents import StartIntent, parameters_digest
from airflow_provider_schedulerx.api.runs.reconciling import Reconciled, reconcile_recipe

SCOPE = Scope(region_id="cn-hangzhou", namespace="n", namespace_source=None, group_id="g")


class Service:
    """:ivar runs: id -> (status, parameters); :ivar errors: operation -> error."""

    def __init__(self, runs: dict[int, tuple[int, str | None]], max_concurrency: int = 100) -> None:
        self.runs = runs
        self.max_concurrency = max_concurrency
        self.errors: dict[str, list[SchedulerXError]] = {}
        self.foreign: set[int] = set()
        self.clock = 0.0
        self.at: dict[float, dict[int, tuple[int, str | None]]] = {}
        self.calls: list[str] = []

    def answer(self, call: Any) -> Any:
        name, query = call.operation.name, call.query
        self.calls.append(name)
        if self.errors.get(name):
            raise self.errors[name].pop(0)
        if name == "ListWorkflowInstance":
            return [
                WorkflowInstanceSummary(1, run, WorkflowInstanceStatus(status))
                for run, (status, _) in sorted(self.runs.items(), reverse=True)
            ]
        if name == "GetWorkFlow":
            return Workflow(1, "w", max_concurrency=self.max_concurrency)
        if name == "GetWorkflowInstance":
            run = int(query["WfInstanceId"])
            status, parameters = self.runs[run]
            nodes = [
                WorkflowInstanceNode(
                    job, None if parameters is None else run * 10 + job, "j", JobInstanceStatus(3)
                )
                for job in (1, 2)
            ]
            return WorkflowInstance(1, run, WorkflowInstanceStatus(status), nodes=tuple(nodes))
        assert name == "GetJobInstance"
        if int(query["JobId"]) in self.foreign:
            raise SchedulerXForeignGroupError("jobid not match groupId")
        run = int(query["JobInstanceId"]) // 10
        return JobInstance(
            int(query["JobId"]),
            int(query["JobInstanceId"]),
            JobInstanceStatus(3),
            parameters=self.runs[run][1] or None,
            trigger_type=7,
        )


def reconcile(
    service: Service, monkeypatch: pytest.MonkeyPatch, *, patience: float = 100, **intent: Any
) -> Reconciled:
    monkeypatch.setattr(reconciling.time, "monotonic", lambda: service.clock)
    text = intent.pop("text", '{"mine":1}')
    intent = {"known": (1, 2), "parameters": parameters_digest(text), **intent}
    recipe = reconcile_recipe(
        SCOPE,
        StartIntent("a", 1, "s", **intent),
        settling_time=60,
        patience=patience,
        log=logging.getLogger(__name__),
    )
    try:
        step = next(recipe)
        while True:
            if isinstance(step, float | int):
                service.clock += step
                for when in sorted(service.at):
                    if when <= service.clock:
                        service.runs = service.at.pop(when)
                step = recipe.send(None)
                continue
            try:
                result = service.answer(step)
            except SchedulerXError as error:
                step = recipe.throw(error)
            else:
                step = recipe.send(result)
    except StopIteration as done:
        result = done.value
        assert isinstance(result, Reconciled)
        return result


KNOWN: dict[int, tuple[int, str | None]] = {1: (4, '{"h":1}'), 2: (4, '{"h":2}')}
OURS: tuple[int, str] = (3, '{"mine": 1}')
OTHERS: tuple[int, str] = (3, '{"others": 1}')


def test_nothing_new_means_nothing_started_after_the_settling_time(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(KNOWN)
    assert reconcile(service, monkeypatch) == Reconciled()
    assert 60 <= service.clock < 70


def test_a_run_that_is_listed_late_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(KNOWN)
    service.at[58] = {**KNOWN, 3: OURS}
    assert reconcile(service, monkeypatch) == Reconciled(3)


def test_ours_is_told_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service({**KNOWN, 3: OTHERS, 4: OURS, 5: OTHERS})
    assert reconcile(service, monkeypatch) == Reconciled(4)


def test_only_others_mean_nothing_started(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reconcile(Service({**KNOWN, 3: OTHERS}), monkeypatch) == Reconciled()


def test_parameters_that_never_differ_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    static: dict[int, tuple[int, str | None]] = dict.fromkeys((1, 2, 3), (4, "job's own"))
    doubt = reconcile(Service(static), monkeypatch).doubt
    assert doubt
    assert "may be those of the job" in doubt
    assert "3 (SUCCESS, trigger type 7" in doubt


def test_a_first_run_of_others_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reconcile(Service({3: OTHERS}), monkeypatch, known=()).doubt


def test_two_of_ours_are_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    doubt = reconcile(Service({**KNOWN, 3: OURS, 4: OURS}), monkeypatch).doubt
    assert doubt
    assert "3 (RUNNING" in doubt
    assert "4 (RUNNING" in doubt


def test_without_parameters_one_new_run_without_them_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reconcile(Service({**KNOWN, 3: (3, "")}), monkeypatch, text=None) == Reconciled(3)


def test_without_parameters_another_unseen_run_is_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reconcile(Service({**KNOWN, 3: (3, ""), 4: (4, None)}), monkeypatch, text=None).doubt


def test_with_parameters_of_its_own_another_unseen_run_does_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert reconcile(Service({**KNOWN, 3: OURS, 4: (1, None)}), monkeypatch) == Reconciled(3)


def test_a_marker_decides_at_once_and_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service({**KNOWN, 3: OURS, 4: (3, '{"mine":1,"airflow_run":"abc"}'), 5: (1, None)})
    assert reconcile(service, monkeypatch, marker="abc") == Reconciled(4)
    assert service.clock == 0
    assert reconcile(Service({**KNOWN, 3: OURS}), monkeypatch, marker="abc") == Reconciled()


def test_a_waiting_run_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service({**KNOWN, 3: (1, None)})
    service.at[100] = {**KNOWN, 3: OURS}
    assert reconcile(service, monkeypatch) == Reconciled(3)
    service = Service({**KNOWN, 3: (1, None)})
    doubt = reconcile(service, monkeypatch).doubt
    assert doubt
    assert "3 (WAITING; its parameters cannot be seen yet)" in doubt
    assert 160 <= service.clock < 170


def test_a_node_of_another_group_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service({**KNOWN, 3: OURS})
    service.foreign = {1}
    assert reconcile(service, monkeypatch) == Reconciled(3)
    service.foreign = {1, 2}
    assert reconcile(service, monkeypatch).doubt


def test_passing_faults_are_waited_out_and_lasting_ones_are_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service({**KNOWN, 3: OURS})
    service.errors = {
        "ListWorkflowInstance": [SchedulerXUnavailableError("away")] * 15,
        "GetWorkflowInstance": [SchedulerXUnavailableError("away")] * 2,
        "GetJobInstance": [SchedulerXUnavailableError("away")],
    }
    assert reconcile(service, monkeypatch) == Reconciled(3)
    service.errors = {"ListWorkflowInstance": [SchedulerXUnavailableError("away")] * 1000}
    assert "cannot be listed" in str(reconcile(service, monkeypatch).doubt)
    service = Service({**KNOWN, 3: OURS})
    service.errors = {"ListWorkflowInstance": [SchedulerXAuthorizationError("no")]}
    assert "cannot be listed" in str(reconcile(service, monkeypatch).doubt)
    assert service.clock == 0


def test_a_list_that_no_longer_reaches_back_is_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    newer: dict[int, tuple[int, str | None]] = {run: (4, f'{{"n":{run}}}') for run in range(10, 30)}
    assert "no longer reaches back" in str(reconcile(Service(newer), monkeypatch).doubt)
    assert reconcile(Service({**newer, 30: OURS}), monkeypatch) == Reconciled(30)
    assert "no longer reaches back" in str(reconcile(Service({}), monkeypatch).doubt)
    many: dict[int, tuple[int, str | None]] = {run: (4, f'{{"n":{run}}}') for run in range(10, 200)}
    assert "no longer reaches back" in str(reconcile(Service(many), monkeypatch, known=()).doubt)
    assert "no longer reaches back" in str(reconcile(Service({**KNOWN, **many}), monkeypatch).doubt)


def test_a_full_workflow_may_hide_a_waiting_run(monkeypatch: pytest.MonkeyPatch) -> None:
    full: dict[int, tuple[int, str | None]] = {**KNOWN, 2: (3, '{"h":2}')}
    assert "runs as often at once as it may" in str(reconcile(Service(full, 1), monkeypatch).doubt)
    assert reconcile(Service(full, 2), monkeypatch) == Reconciled()
    service = Service(full, 1)
    service.at[90] = KNOWN
    assert reconcile(service, monkeypatch) == Reconciled()
    # Where a waiting run is listed, ours would be too.
    shows = {**full, 1: (1, None)}
    assert reconcile(Service(shows, 1), monkeypatch) == Reconciled()


def test_without_a_list_from_before_there_is_only_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service({**KNOWN, 3: OURS})
    assert "could not be listed before the start" in str(reconcile(service, monkeypatch, known=None).doubt)
    assert service.calls == []
