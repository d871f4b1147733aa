"""The decisions of a reconciliation, against a service that is played here answer by answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAuthorizationError,
    SchedulerXError,
    SchedulerXForeignGroupError,
    SchedulerXNotFoundError,
    SchedulerXUnavailableError,
)
from airflow_provider_schedulerx.api.models import (
    JobInstance,
    JobInstanceStatus,
    TriggerType,
    Workflow,
    WorkflowInstance,
    WorkflowInstanceNode,
    WorkflowInstanceStatus,
    WorkflowInstanceSummary,
)
from airflow_provider_schedulerx.api.runs.candidates import MAX_CANDIDATES
from airflow_provider_schedulerx.api.runs.intents import StartIntent, parameters_digest
from airflow_provider_schedulerx.api.runs.kinds import WORKFLOW_RUNS
from airflow_provider_schedulerx.api.runs.recipes import drive
from airflow_provider_schedulerx.api.runs.reconciling import (
    Age,
    Reconciled,
    reconcile_recipe,
    suspects_recipe,
)

SCOPE = Scope(region_id="cn-hangzhou", namespace="n", namespace_source=None, group_id="g")


class Service:
    """:ivar runs: id -> (status, parameters and, if given, begin and end); :ivar errors: operation -> error."""

    def __init__(self, runs: Mapping[int, Any], max_concurrency: int = 100) -> None:
        self.runs: dict[int, Any] = dict(runs)
        self.max_concurrency = max_concurrency
        self.errors: dict[str, list[SchedulerXError]] = {}
        self.foreign: set[int] = set()
        self.clock = 0.0
        self.at: dict[float, dict[int, Any]] = {}
        self.calls: list[str] = []
        self.asked: set[int] = set()

    def answer(self, call: Any) -> Any:
        name, query = call.operation.name, call.query
        self.calls.append(name)
        if self.errors.get(name):
            raise self.errors[name].pop(0)
        if name == "ListWorkflowInstance":
            return [
                WorkflowInstanceSummary(
                    1,
                    run,
                    WorkflowInstanceStatus(status),
                    start_time=times[0] if times else None,
                    end_time=times[1] if len(times) > 1 else None,
                )
                for run, (status, _, *times) in sorted(self.runs.items(), reverse=True)
            ]
        if name == "GetWorkFlow":
            return Workflow(1, "w", max_concurrency=self.max_concurrency)
        if name == "GetWorkflowInstance":
            run = int(query["WfInstanceId"])
            self.asked.add(run)
            if run not in self.runs:
                raise SchedulerXNotFoundError("not existed")
            status, parameters, *_ = self.runs[run]
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
            trigger_type=TriggerType(7),
        )


def sleep_in(service: Service) -> Callable[[float], None]:
    def sleep(seconds: float) -> None:
        service.clock += seconds
        for when in sorted(service.at):
            if when <= service.clock:
                service.runs = service.at.pop(when)

    return sleep


def reconcile(
    service: Service,
    *,
    patience: float = 100,
    age: Age | None = None,
    may_be_several: bool = False,
    **intent: Any,
) -> Reconciled:
    text = intent.pop("text", '{"mine":1}')
    intent = {"known": (1, 2), "parameters": parameters_digest(text), **intent}
    recipe = reconcile_recipe(
        WORKFLOW_RUNS,
        SCOPE,
        StartIntent("workflow", 1, SCOPE, **intent),
        settling_time=60,
        patience=patience,
        age=age,
        may_be_several=may_be_several,
        log=logging.getLogger(__name__),
    )
    return drive(recipe, service.answer, sleep=sleep_in(service), clock=lambda: service.clock)


KNOWN: dict[int, tuple[int, str | None]] = {1: (4, '{"h":1}'), 2: (4, '{"h":2}')}
OURS: tuple[int, str] = (3, '{"mine": 1}')
OTHERS: tuple[int, str] = (3, '{"others": 1}')


def test_nothing_new_means_nothing_started_after_the_settling_time() -> None:
    service = Service(KNOWN)
    assert reconcile(service) == Reconciled()
    assert 60 <= service.clock < 70


def test_a_run_that_is_listed_late_is_found() -> None:
    service = Service(KNOWN)
    service.at[58] = {**KNOWN, 3: OURS}
    assert reconcile(service) == Reconciled(3)


def test_ours_is_told_from_others() -> None:
    service = Service({**KNOWN, 3: OTHERS, 4: OURS, 5: OTHERS})
    assert reconcile(service) == Reconciled(4)


def test_only_others_mean_nothing_started() -> None:
    assert reconcile(Service({**KNOWN, 3: OTHERS})) == Reconciled()


def test_parameters_that_never_differ_prove_nothing() -> None:
    static: dict[int, tuple[int, str | None]] = dict.fromkeys((1, 2, 3), (4, "job's own"))
    ambiguity = reconcile(Service(static)).ambiguity
    assert ambiguity
    assert "may be those of the job" in ambiguity
    assert "3 (SUCCESS, trigger type 7" in ambiguity


def test_a_first_run_of_others_proves_nothing() -> None:
    assert reconcile(Service({3: OTHERS}), known=()).ambiguity


def test_two_of_ours_are_doubt() -> None:
    ambiguity = reconcile(Service({**KNOWN, 3: OURS, 4: OURS})).ambiguity
    assert ambiguity
    assert "3 (RUNNING" in ambiguity
    assert "4 (RUNNING" in ambiguity


def test_without_parameters_a_new_run_without_them_is_ambiguous() -> None:
    assert "no parameters" in str(reconcile(Service({**KNOWN, 3: (3, "")}), text=None).ambiguity)


def test_without_parameters_a_new_run_with_some_is_another() -> None:
    assert reconcile(Service({**KNOWN, 3: OTHERS}), text=None) == Reconciled()


@pytest.mark.parametrize("older", [1, 2])
def test_parameters_that_an_older_run_carries_too_are_ambiguous(older: int) -> None:
    service = Service({**KNOWN, older: (4, '{"mine": 1}'), 3: OURS})
    assert f"so has workflow instance {older} from before" in str(reconcile(service).ambiguity)
    assert reconcile(service, earlier=(older,)) == Reconciled(3), "unless it is the task's own"


@pytest.mark.parametrize(
    "shown",
    [
        '{"mine":1}',
        '{ "mine" : 1.0 }',
        r"{\"mine\":1}",
        r'"{\"mine\":1}"',
        '{\n"mine":1}',
    ],
)
def test_a_difference_in_form_is_no_difference(shown: str) -> None:
    assert reconcile(Service({**KNOWN, 3: (3, shown)})) == Reconciled(3)


def test_an_older_run_never_looks_new() -> None:
    """Of a list longer than what an intent remembers, or of one that slides."""
    known = tuple(range(1000, 1500))
    many = {run: (4, f'{{"n":{run}}}') for run in (*range(700, 1500, 50), 1499)}
    service = Service({**many, 3: (4, '{"mine":1}')})
    assert reconcile(service, known=known) == Reconciled()
    service = Service({**many, 1500: OURS})
    assert reconcile(service, known=known) == Reconciled(1500)


def test_without_parameters_another_unseen_run_is_doubt() -> None:
    assert reconcile(Service({**KNOWN, 3: (3, ""), 4: (4, None)}), text=None).ambiguity


def test_with_parameters_of_its_own_another_unseen_run_does_not_matter() -> None:
    assert reconcile(Service({**KNOWN, 3: OURS, 4: (1, None)})) == Reconciled(3)


def test_a_marker_decides_at_once_and_alone() -> None:
    service = Service({**KNOWN, 3: OURS, 4: (3, '{"mine":1,"airflow_run":"abc"}'), 5: (1, None)})
    assert reconcile(service, marker="abc") == Reconciled(4)
    assert service.clock == 0
    assert reconcile(Service({**KNOWN, 3: OURS}), marker="abc") == Reconciled()


MARKED = '{"airflow_run":"abc"}'


def test_a_marker_needs_no_list_from_before() -> None:
    assert reconcile(Service({1: OTHERS, 3: (3, MARKED)}), known=None, marker="abc") == Reconciled(3)


@pytest.mark.parametrize(("status", "waits"), [(3, False), (4, False), (5, True), (6, True)])
def test_of_several_marked_runs_the_newest_counts_also_if_it_is_listed_late(status: int, waits: bool) -> None:
    """A run that goes on, or has succeeded, was not followed by another."""
    service = Service({1: OTHERS, 3: (status, MARKED)})
    service.at[50] = {**service.runs, 4: (3, MARKED)}
    found = reconcile(service, known=None, marker="abc", may_be_several=True)
    assert found == Reconciled(4 if waits else 3)


def test_an_earlier_marked_run_of_the_task_is_not_the_one_that_is_looked_for() -> None:
    service = Service({1: OTHERS, 3: (5, MARKED)})
    assert reconcile(service, known=None, earlier=(3,), marker="abc") == Reconciled()
    service.runs[4] = (1, MARKED)
    assert reconcile(service, known=None, earlier=(3,), marker="abc") == Reconciled(4)


def test_by_the_services_own_times_a_list_reaches_back() -> None:
    """Without a list from before: ten runs may be all that is listed. Only their distance in time counts."""
    old = {run: (4, f'{{"n":{run}}}', f"2023-01-{run:02} 18:00:00") for run in range(1, 11)}
    hour = Age(at_most=3600)
    assert reconcile(Service(old), known=None, marker="abc", age=hour) == Reconciled()
    week = Age(at_most=20 * 24 * 3600)
    assert "may not reach back" in str(reconcile(Service(old), known=None, marker="abc", age=week).ambiguity)
    no_age = Age(at_most=None)
    assert reconcile(Service(old), known=None, marker="abc", age=no_age).ambiguity
    # What is surely older is not looked up.
    service = Service({**old, 11: (4, '{"n":11}', "2023-01-10 18:30:00")})
    reconcile(service, known=None, marker="abc", age=hour)
    assert service.asked == {11, 10}


@pytest.mark.parametrize(
    ("night", "is_older"), [("2026-07-01", True), ("2026-03-29", False)], ids=["any", "clocks-go-forward"]
)
def test_an_hour_that_the_services_clocks_skip_makes_no_run_older(night: str, is_older: bool) -> None:
    """The request is at most 40 minutes old. In Frankfurt, 8 minutes lie between the two runs in one night of the year."""
    service = Service({1: (3, MARKED, f"{night} 01:55:00"), 2: (4, '{"n":2}', f"{night} 03:03:00")})
    found = reconcile(service, known=None, marker="abc", age=Age(at_most=2400))
    assert found == (Reconciled() if is_older else Reconciled(1))


@pytest.mark.parametrize(
    ("began", "is_older"), [("18:00:00", False), ("17:59:58", False), ("17:59:57", True)]
)
def test_the_services_times_are_whole_seconds_so_two_of_them_decide_nothing(
    began: str, is_older: bool
) -> None:
    service = Service(
        {1: (3, '{"n":1}', f"2023-01-03 {began}"), 2: (4, '{"n":2}', "2023-01-03 18:01:00")},
    )
    found = drive(
        suspects_recipe(
            WORKFLOW_RUNS,
            SCOPE,
            StartIntent("workflow", 1, SCOPE, parameters_digest('{"n":1}')),
            Age(at_most=60),
        ),
        service.answer,
    )
    assert [run.instance_id for run in found] == ([] if is_older else [1])


def test_the_end_of_a_run_is_a_time_of_the_service_as_well() -> None:
    hours_ago = (3, '{"mine":1}', "2023-01-03 18:00:00")
    ended = (4, "b", "2023-01-03 17:00:00", "2023-01-03 21:00:00")
    assert suspects(Service({1: hours_ago, 2: ended})) == []


def test_a_short_list_is_whole_and_a_full_one_may_not_be() -> None:
    nine: dict[int, Any] = {run: (4, f'{{"n":{run}}}') for run in range(1, 10)}
    assert reconcile(Service(nine), known=None, marker="abc") == Reconciled()
    nine[10] = (4, '{"n":10}')
    assert "may not reach back" in str(reconcile(Service(nine), known=None, marker="abc").ambiguity)


def test_the_time_since_the_request_counts_as_settling() -> None:
    service = Service(KNOWN)
    assert reconcile(service, age=Age(at_least=50)) == Reconciled()
    assert 10 <= service.clock < 20


def test_a_list_that_cannot_be_had_yet_may_be_later() -> None:
    service = Service(KNOWN)
    service.errors = {"ListWorkflowInstance": [SchedulerXUnavailableError("away")] * 1000}
    assert reconcile(service).may_resolve
    assert service.clock == 60 + 100, "the settling time and the patience"
    service.errors = {"ListWorkflowInstance": [SchedulerXAuthorizationError("no")]}
    assert not reconcile(service).may_resolve


def suspects(service: Service, text: str | None = '{"mine":1}') -> list[int]:
    intent = StartIntent("workflow", 1, SCOPE, parameters_digest(text), known=())
    found = drive(suspects_recipe(WORKFLOW_RUNS, SCOPE, intent, Age(at_most=3600)), service.answer)
    return [candidate.instance_id for candidate in found]


def test_active_runs_are_suspects_unless_they_differ_for_certain() -> None:
    assert suspects(Service({1: (4, "a"), 2: (5, "b")})) == []
    assert suspects(Service({1: (4, "a"), 2: OTHERS})) == []
    assert suspects(Service({1: (4, "a"), 2: OURS, 3: OTHERS})) == [2]
    assert suspects(Service({1: (4, "job's"), 2: (3, "job's")})) == [2], "these may be the job's"
    assert suspects(Service({1: (4, "a"), 2: (3, "b"), 3: (1, None)})) == [3]
    assert suspects(Service({2: (3, "")}), None) == [2]
    hours_ago = (3, '{"mine":1}', "2023-01-03 18:00:00")
    assert suspects(Service({1: hours_ago, 2: (4, "b", "2023-01-03 21:00:00")})) == []


def test_an_older_run_shows_that_the_parameters_are_those_of_the_run() -> None:
    older = (4, '{"h":1}', "2023-01-03 18:00:00")
    assert suspects(Service({1: older, 2: (*OTHERS, "2023-01-03 21:00:00")})) == []
    assert suspects(Service({2: (*OTHERS, "2023-01-03 21:00:00")})) == [2], "these may be the job's"


def test_more_candidates_than_are_looked_up_are_ambiguous() -> None:
    many: dict[int, Any] = {run: (4, f'{{"n":{run}}}') for run in range(10, 12 + MAX_CANDIDATES)}
    service = Service({**KNOWN, **many})
    assert "may not reach back" in str(reconcile(service).ambiguity)


def test_a_waiting_run_is_waited_for() -> None:
    service = Service({**KNOWN, 3: (1, None)})
    service.at[100] = {**KNOWN, 3: OURS}
    assert reconcile(service) == Reconciled(3)
    service = Service({**KNOWN, 3: (1, None)})
    ambiguity = reconcile(service).ambiguity
    assert ambiguity
    assert "3 (WAITING; its parameters cannot be seen yet)" in ambiguity
    assert 160 <= service.clock < 170


def test_a_node_of_another_group_is_passed_over() -> None:
    service = Service({**KNOWN, 3: OURS})
    service.foreign = {1}
    assert reconcile(service) == Reconciled(3)
    service.foreign = {1, 2}
    assert reconcile(service).ambiguity


def test_passing_faults_are_waited_out_and_lasting_ones_are_doubt() -> None:
    service = Service({**KNOWN, 3: OURS})
    service.errors = {
        "ListWorkflowInstance": [SchedulerXUnavailableError("away")] * 15,
        "GetWorkflowInstance": [SchedulerXUnavailableError("away")] * 2,
        "GetJobInstance": [SchedulerXUnavailableError("away")],
    }
    assert reconcile(service) == Reconciled(3)
    service.errors = {"ListWorkflowInstance": [SchedulerXUnavailableError("away")] * 1000}
    assert "cannot be listed" in str(reconcile(service).ambiguity)
    service = Service({**KNOWN, 3: OURS})
    service.errors = {"ListWorkflowInstance": [SchedulerXAuthorizationError("no")]}
    assert "cannot be listed" in str(reconcile(service).ambiguity)
    assert service.clock == 0


def test_a_list_that_no_longer_reaches_back_is_doubt() -> None:
    newer: dict[int, tuple[int, str | None]] = {run: (4, f'{{"n":{run}}}') for run in range(10, 30)}
    ambiguity = str(reconcile(Service(newer)).ambiguity)
    assert "may not reach back" in ambiguity
    assert ambiguity.count("SUCCESS") == 10, "enough to look at"
    assert "may not reach back" in str(reconcile(Service({})).ambiguity)
    # Ours may be there, but nothing shows any more whether an older run had the same parameters.
    assert "cannot be seen" in str(reconcile(Service({**newer, 30: OURS})).ambiguity)
    many: dict[int, tuple[int, str | None]] = {run: (4, f'{{"n":{run}}}') for run in range(10, 200)}
    assert "may not reach back" in str(reconcile(Service(many), known=()).ambiguity)
    assert "may not reach back" in str(reconcile(Service({**KNOWN, **many})).ambiguity)


def test_a_full_workflow_may_hide_a_waiting_run() -> None:
    full: dict[int, tuple[int, str | None]] = {**KNOWN, 2: (3, '{"h":2}')}
    assert "at its maximum concurrency" in str(reconcile(Service(full, 1)).ambiguity)
    assert reconcile(Service(full, 2)) == Reconciled()
    service = Service(full, 1)
    service.at[90] = KNOWN
    assert reconcile(service) == Reconciled()
    service = Service(full, 2)
    service.errors = {"GetWorkFlow": [SchedulerXAuthorizationError("no")] * 1000}
    assert reconcile(service).may_resolve, "what the maximum is cannot be seen"
    # Where a waiting run is listed, ours would be too.
    shows = {**full, 1: (1, None)}
    assert reconcile(Service(shows, 1)) == Reconciled()


def test_without_a_list_from_before_there_is_only_doubt() -> None:
    service = Service({**KNOWN, 3: OURS})
    assert "could not be listed before the start" in str(reconcile(service, known=None).ambiguity)
    assert service.calls == []
