"""Runs of jobs by themselves: the service can stop one, lists them in pages, and lets a job start once in a second."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.models import JobInstance
from airflow_provider_schedulerx.api.runs.kinds import (
    SHORTEST_LIMIT,
    Definition,
    Reaches,
    Run,
    RunKind,
    RunList,
    RunSummary,
    ShownParameters,
    Started,
)
from airflow_provider_schedulerx.api.runs.recipes import Recipe
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.api.wire.calls import Call, Designation, Operation

#: Pages of runs that are read at most to find out what is new.
_MAX_PAGES = 10


@dataclass(frozen=True)
class JobRuns:
    """Runs of jobs, and how they are to be started.

    :ivar check_job_status: whether a disabled job is refused; None leaves that to the service, which refuses it.
    :ivar designation: which worker has to run it; None lets the service choose.
    """

    check_job_status: bool | None = None
    designation: Designation | None = None

    name: ClassVar[str] = "job"
    definition_noun: ClassVar[str] = "job"
    instance_noun: ClassVar[str] = "job instance"
    definition_argument: ClassVar[str] = "job_id"
    name_argument: ClassVar[str] = "job_name"
    instance_argument: ClassVar[str] = "job_instance_id"
    instance_field: ClassVar[str] = "JobInstanceId"
    starts_once_in_a_second: ClassVar[bool] = True
    start_operation: ClassVar[Operation] = calls.EXECUTE_JOB
    get_operation: ClassVar[Operation] = calls.GET_JOB_INSTANCE
    list_operation: ClassVar[Operation] = calls.GET_JOB_INSTANCE_LIST
    definitions_operation: ClassVar[Operation] = calls.LIST_JOBS

    def start_call(self, scope: Scope, definition_id: int, instance_parameters: Any = None) -> Call[Started]:
        return calls.execute_job(
            scope,
            definition_id,
            instance_parameters,
            check_job_status=self.check_job_status,
            designation=self.designation,
        )

    def get_call(self, scope: Scope, definition_id: int, instance_id: int) -> Call[Run]:
        return calls.get_job_instance(scope, definition_id, instance_id)

    def list_call(self, scope: Scope, definition_id: int) -> Call[Sequence[RunSummary]]:
        call = calls.get_job_instance_list(scope, definition_id)
        return replace(call, parse=lambda body: _newest_first(call.parse(body)))

    def definitions_call(
        self, scope: Scope, page_num: int, name: str | None
    ) -> Call[tuple[Sequence[Definition], int]]:
        return calls.list_jobs(scope, page_num, name)

    def from_data(self, definition_id: int, instance_id: int, data: Any) -> Run:
        return JobInstance.parse(definition_id, instance_id, data)

    def from_summary(self, summary: RunSummary) -> Run:
        if not isinstance(summary, JobInstance):
            raise TypeError(f"{type(summary).__name__} is not of a job")
        return summary

    def parameters(
        self, scope: Scope, definition_id: int, instance_id: int
    ) -> Recipe[ShownParameters | None]:
        run = yield calls.get_job_instance(scope, definition_id, instance_id)
        return ShownParameters(definition_id, str(run.parameters or ""), run.trigger_type)

    def list_since(self, scope: Scope, definition_id: int, reaches: Reaches) -> Recipe[RunList]:
        """List runs page by page.

        In which order the pages go is not documented, so a list counts as far as it is seen to be newest first. And
        a filter by time is of no use here: what it leaves out proves nothing, since nobody knows the time that it
        compares.
        """
        found: dict[int, JobInstance] = {}
        is_newest_first, last = True, float("inf")
        for page_num in range(1, _MAX_PAGES + 1):
            page: list[JobInstance] = yield calls.get_job_instance_list(scope, definition_id, page_num)
            is_new = any(run.job_instance_id not in found for run in page)
            for run in page:
                is_newest_first &= run.job_instance_id < last
                last = run.job_instance_id
            found.update((run.job_instance_id, run) for run in page)
            runs = _newest_first(found.values())
            if not page or (page_num == 1 and len(page) < SHORTEST_LIMIT):
                return RunList(runs, reaches(runs, True))
            if not is_new:
                # Before 2024 every page showed the newest 10.
                return RunList(runs, reaches(runs, False))
            if is_newest_first and reaches(runs, False):
                return RunList(runs, True)
        return RunList(runs, False)

    def max_concurrency(self, scope: Scope, definition_id: int) -> Recipe[int | None]:
        job = yield calls.get_job_info(scope, definition_id)
        limit: int | None = job.max_concurrency
        return limit


def _newest_first(runs: Iterable[JobInstance]) -> list[JobInstance]:
    return sorted(runs, key=lambda run: run.job_instance_id, reverse=True)


JOB_RUNS: RunKind = JobRuns()
