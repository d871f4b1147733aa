"""What one try needs for its start: what to run, by which rules, and how the start is recorded."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.parameters import encode_instance_parameters, with_run_marker
from airflow_provider_schedulerx.operators.start_policy import StartPolicy, run_marker
from airflow_provider_schedulerx.operators.task_run import TaskRun

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_schedulerx.api.runs.intents import StartIntent
    from airflow_provider_schedulerx.api.runs.kinds import RunKind, RunSummary
    from airflow_provider_schedulerx.api.runs.reconciling import Age
    from airflow_provider_schedulerx.hooks.runs import RunCalls
    from airflow_provider_schedulerx.operators.run_owner import RunOwner
    from airflow_provider_schedulerx.operators.start_store import StartStore

#: Earlier runs of the task that an intent names.
_MAX_EARLIER = 20


@dataclass
class Start:
    """A start of a task instance.

    :ivar definition_id: what is to be run.
    :ivar definition_name: its name, if the task gives that.
    :ivar owner: is informed of each step.
    :ivar store: what outlives the try.
    :ivar earlier: ids of runs that the task instance has started before, newest first.
    """

    calls: RunCalls
    definition_id: int
    instance_parameters: Any
    policy: StartPolicy
    owner: RunOwner
    store: StartStore
    context: Context
    log: Any
    earlier: tuple[int, ...] = ()
    definition_name: str | None = None

    @classmethod
    def from_task(cls, task: Any, context: Context, owner: RunOwner, store: StartStore) -> Self:
        """The start of a try of an operator."""
        return cls(
            calls=owner.calls,
            definition_id=owner.definition_id,
            instance_parameters=task.instance_parameters,
            policy=StartPolicy.from_task(task),
            owner=owner,
            store=store,
            context=context,
            log=task.log,
            definition_name=task.definition_name,
        )

    @property
    def kind(self) -> RunKind:
        """Whether a workflow or a job is run."""
        return self.calls.kind

    @property
    def what(self) -> str:
        """What messages call what is to be run: ``workflow 101``."""
        return f"{self.kind.definition_noun} {self.definition_id}"

    @cached_property
    def marker(self) -> str | None:
        """Text in the instance parameters that all tries of the task instance share; None without ``run_marker``."""
        key = self.policy.marker_key
        return None if key is None else run_marker(self.context["ti"], key)

    @cached_property
    def parameters_digest(self) -> str:
        """Digest of the parameters without the marker, which the next try may compare."""
        return api.intents.parameters_digest(encode_instance_parameters(self.instance_parameters))

    @property
    def parameters_to_send(self) -> Any:
        """The parameters with the marker."""
        if self.marker is None or self.policy.marker_key is None:
            return self.instance_parameters
        return with_run_marker(self.instance_parameters, self.policy.marker_key, self.marker)

    def intent(self, listed: Iterable[RunSummary] | None) -> StartIntent:
        """What is written down before the request leaves.

        :param listed: the existing runs; None if they were not listed.
        """
        known = None
        if listed is not None:
            known = tuple(run.instance_id for run in listed)[: api.intents.MAX_KNOWN]
        return api.intents.StartIntent(
            kind=self.kind.name,
            definition_id=self.definition_id,
            definition_name=self.definition_name,
            scope=self.calls.scope,
            parameters=self.parameters_digest,
            known=known,
            earlier=self.earlier,
            marker=self.marker,
            began=time.time(),
        )

    def run(self, instance_id: int, *, is_own: bool = True, is_new: bool = True) -> TaskRun:
        """A run of what is to be run."""
        return TaskRun(self.kind, self.definition_id, instance_id, is_own=is_own, is_new=is_new)

    def remember(self, intent: StartIntent) -> None:
        """Keep the ids of the task's own runs, which are no evidence that others start the same."""
        own = (intent.instance_id,) if intent.instance_id and intent.is_own else ()
        self.earlier = (*own, *intent.earlier, *self.earlier)[:_MAX_EARLIER]

    def age_of(self, earlier: StartIntent) -> Age:
        """The least age of an earlier try's request: the clocks of two machines may differ, so in doubt it is low."""
        elapsed = max(0.0, time.time() - earlier.began)
        return api.reconciling.Age(min(self.policy.retry_delay, elapsed))
