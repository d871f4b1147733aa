"""What tasks and triggers that are about one kind of run share."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.hooks.definitions import definition_id_of
from airflow_provider_schedulerx.hooks.runs import RunCalls

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.kinds import RunKind
    from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook


class KindMixin:
    """Is about runs of workflows or of jobs. :cvar kind_name: name of the kind of run."""

    kind_name: str

    @property
    def kind(self) -> RunKind:
        """Whether this is about workflows or jobs."""
        return api.kinds.kind_named(self.kind_name)


class RunTaskMixin(KindMixin):
    """A task about runs of what its arguments name by id or by name."""

    if TYPE_CHECKING:

        @cached_property
        def hook(self) -> SchedulerXHook: ...

    @cached_property
    def run_calls(self) -> RunCalls:
        """The calls of the service about this task's run."""
        return RunCalls(self.hook, self.kind)

    def definition_id(self) -> int:
        """Return the id of what is run, checked, or looked up by its name.

        :raises SchedulerXError: if there is none.
        """
        return definition_id_of(self.kind, self, self.run_calls)
