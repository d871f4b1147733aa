"""What differs between runs of workflows and runs of jobs. All else about a run is written once, against this.

A *definition* is what can be run, a workflow or a job; an *instance* is one run of it. ``definition_id`` and
``instance_id`` are their ids, whatever the service calls them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXConfigurationError,
    SchedulerXError,
    SchedulerXNotFoundError,
)
from airflow_provider_schedulerx.api.models import (
    WorkflowInstance,
    WorkflowInstanceSummary,
)
from airflow_provider_schedulerx.api.runs.recipes import Recipe
from airflow_provider_schedulerx.api.runs.tracking import is_passing
from airflow_provider_schedulerx.api.runs.values import (
    SHORTEST_LIMIT,
    Definition,
    Reaches,
    Run,
    RunList,
    RunStatus,
    RunSummary,
    ShownParameters,
    Started,
)
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.api.wire.calls import Call, Operation

__all__ = [
    "SHORTEST_LIMIT",
    "WORKFLOW_RUNS",
    "Definition",
    "Reaches",
    "Run",
    "RunKind",
    "RunList",
    "RunStatus",
    "RunSummary",
    "ShownParameters",
    "Started",
    "kind_named",
]


class RunKind(Protocol):
    """A kind of run: its words, its calls, and the recipes that are its own."""

    @property
    def name(self) -> str:
        """What tells it from other kinds where it is stored: ``workflow``."""
        ...

    # Words for messages, in the middle of a sentence.

    @property
    def definition_noun(self) -> str:
        """``workflow``."""
        ...

    @property
    def instance_noun(self) -> str:
        """``workflow instance``."""
        ...

    # Names.

    @property
    def definition_argument(self) -> str:
        """The argument of operators and triggers that holds the definition's id: ``workflow_id``."""
        ...

    @property
    def name_argument(self) -> str:
        """The argument that holds the definition's name instead: ``workflow_name``."""
        ...

    @property
    def instance_argument(self) -> str:
        """The argument of sensors and triggers that holds the instance's id: ``wf_instance_id``."""
        ...

    @property
    def instance_field(self) -> str:
        """What the service calls the instance's id, and under which it is pushed to XCom: ``WfInstanceId``."""
        ...

    @property
    def starts_once_in_a_second(self) -> bool:
        """Whether a definition is documented to start once in a second, so that a start may be refused for this alone."""
        ...

    # Operations, whose quotas are counted apart.

    @property
    def start_operation(self) -> Operation: ...

    @property
    def get_operation(self) -> Operation: ...

    @property
    def list_operation(self) -> Operation: ...

    @property
    def definitions_operation(self) -> Operation: ...

    # Calls.

    def start_call(
        self, scope: Scope, definition_id: int, instance_parameters: Any = None
    ) -> Call[Started]: ...

    def get_call(self, scope: Scope, definition_id: int, instance_id: int) -> Call[Run]: ...

    def list_call(self, scope: Scope, definition_id: int) -> Call[Sequence[RunSummary]]:
        """List the newest runs, newest first, as many as one call shows."""
        ...

    def definitions_call(
        self, scope: Scope, page_num: int, name: str | None
    ) -> Call[tuple[Sequence[Definition], int]]:
        """List a page of definitions, counted from 1, and say how many there are.

        :param name: a filter, which may let more names through.
        """
        ...

    # Runs in other forms.

    def from_data(self, definition_id: int, instance_id: int, data: Any) -> Run:
        """Return the run of which :meth:`Run.to_data` made this.

        :raises MalformedAnswerError: if it is something else.
        """
        ...

    def from_summary(self, summary: RunSummary) -> Run:
        """Return a run as a list shows it, which may lack its nodes."""
        ...

    # Recipes.

    def parameters(
        self, scope: Scope, definition_id: int, instance_id: int
    ) -> Recipe[ShownParameters | None]:
        """Return the parameters of a run; None while it has none to show. Yields calls only. Faults are raised."""
        ...

    def list_since(self, scope: Scope, definition_id: int, reaches: Reaches) -> Recipe[RunList]:
        """List runs, as far back as ``reaches`` asks for, if the service shows so many. Yields calls only. Faults are
        raised.

        :param reaches: is given the newest runs, and whether these are all there are.
        """
        ...

    def max_concurrency(self, scope: Scope, definition_id: int) -> Recipe[int | None]:
        """Return how many runs may be active at once; None if the service does not say. Faults are raised."""
        ...


class _WorkflowRuns:
    """Instances of workflows: they have no operation that stops one, and their nodes show their parameters."""

    name = "workflow"
    definition_noun = "workflow"
    instance_noun = "workflow instance"
    definition_argument = "workflow_id"
    name_argument = "workflow_name"
    instance_argument = "wf_instance_id"
    instance_field = "WfInstanceId"
    starts_once_in_a_second = False
    start_operation = calls.EXECUTE_WORKFLOW
    get_operation = calls.GET_WORKFLOW_INSTANCE
    list_operation = calls.LIST_WORKFLOW_INSTANCE
    definitions_operation = calls.LIST_WORKFLOWS

    def start_call(self, scope: Scope, definition_id: int, instance_parameters: Any = None) -> Call[Started]:
        return calls.execute_workflow(scope, definition_id, instance_parameters)

    def get_call(self, scope: Scope, definition_id: int, instance_id: int) -> Call[Run]:
        return calls.get_workflow_instance(scope, definition_id, instance_id)

    def list_call(self, scope: Scope, definition_id: int) -> Call[Sequence[RunSummary]]:
        return calls.list_workflow_instances(scope, definition_id)

    def definitions_call(
        self, scope: Scope, page_num: int, name: str | None
    ) -> Call[tuple[Sequence[Definition], int]]:
        return calls.list_workflows(scope, page_num, name)

    def from_data(self, definition_id: int, instance_id: int, data: Any) -> Run:
        return WorkflowInstance.parse(definition_id, instance_id, data)

    def from_summary(self, summary: RunSummary) -> Run:
        if not isinstance(summary, WorkflowInstanceSummary):
            raise TypeError(f"{type(summary).__name__} is not of a workflow")
        return WorkflowInstance(
            workflow_id=summary.workflow_id,
            wf_instance_id=summary.wf_instance_id,
            status=summary.status,
            schedule_time=summary.schedule_time,
            data_time=summary.data_time,
            start_time=summary.start_time,
            end_time=summary.end_time,
        )

    def parameters(
        self, scope: Scope, definition_id: int, instance_id: int
    ) -> Recipe[ShownParameters | None]:
        run = yield self.get_call(scope, definition_id, instance_id)
        refusal: SchedulerXError | None = None
        for node in run.nodes:
            if node.job_instance_id is None:
                continue
            try:
                job = yield calls.get_job_instance(scope, node.job_id, node.job_instance_id)
            except SchedulerXError as error:
                # A node of another group, or none that is a job: a workflow in this one, say.
                if is_passing(error) and not isinstance(error, SchedulerXNotFoundError):
                    raise
                refusal = error
                continue
            return ShownParameters(node.job_id, str(job.parameters or ""), job.trigger_type)
        if refusal is not None:
            raise refusal
        return None

    def list_since(self, scope: Scope, definition_id: int, reaches: Reaches) -> Recipe[RunList]:
        listed = yield self.list_call(scope, definition_id)
        return RunList(listed, reaches(listed, len(listed) < SHORTEST_LIMIT))

    def max_concurrency(self, scope: Scope, definition_id: int) -> Recipe[int | None]:
        workflow = yield calls.get_workflow(scope, definition_id)
        limit: int | None = workflow.max_concurrency
        return limit


WORKFLOW_RUNS: RunKind = _WorkflowRuns()


@cache
def _kinds() -> dict[str, RunKind]:
    from airflow_provider_schedulerx.api.runs.job_runs import JOB_RUNS

    return {kind.name: kind for kind in (WORKFLOW_RUNS, JOB_RUNS)}


def kind_named(name: str) -> RunKind:
    """Return a kind by its name.

    :raises SchedulerXConfigurationError: if there is none, as in what a newer version of this provider has serialized.
    """
    kinds = _kinds()
    if name not in kinds:
        raise SchedulerXConfigurationError(
            f"there is no kind of run {name!r:.80}, only {', '.join(sorted(kinds))}"
        )
    return kinds[name]
