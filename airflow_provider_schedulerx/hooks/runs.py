"""What operators and sensors ask of the service about runs of one kind, within the time that they have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeVar

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.connection.scope import SCOPE_FIELDS
from airflow_provider_schedulerx.hooks.bounded import BoundTransport

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import Scope
    from airflow_provider_schedulerx.api.runs.candidates import Candidate
    from airflow_provider_schedulerx.api.runs.intents import StartIntent
    from airflow_provider_schedulerx.api.runs.kinds import Run, RunKind, RunSummary
    from airflow_provider_schedulerx.api.runs.recipes import Recipe
    from airflow_provider_schedulerx.api.runs.reconciling import Age, Reconciled
    from airflow_provider_schedulerx.api.runs.rerunning import Rerun
    from airflow_provider_schedulerx.api.wire.calls import Call
    from airflow_provider_schedulerx.hooks.bounded import Transport
    from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook

T = TypeVar("T")


class RunCalls:
    """The calls and recipes of one kind of run, over a hook's connection."""

    def __init__(self, hook: SchedulerXHook, kind: RunKind) -> None:
        self.hook = hook
        self.kind = kind
        self._limit: tuple[Callable[[], float], Callable[[float], None]] | None = None

    def limit_to(self, left: Callable[[], float], sleep: Callable[[float], None]) -> None:
        """Limit the time for which calls are repeated, for a caller that has a limit of its own.

        :param left: gives the seconds that are left.
        :param sleep: waits for so many seconds between two tries of a call, and in a recipe.
        """
        self._limit = (left, sleep)
        self.__dict__.pop("_transport", None)

    def within(self, scope: Scope, kind: RunKind) -> Self:
        """The same connection for another scope and kind."""
        hook = type(self.hook)(
            self.hook.schedulerx_conn_id, **{name: getattr(scope, name) for name in SCOPE_FIELDS}
        )
        calls = type(self)(hook, kind)
        if self._limit is not None:
            calls.limit_to(*self._limit)
        return calls

    @property
    def scope(self) -> Scope:
        """Region, namespace and group of every call."""
        return self.hook.scope

    @cached_property
    def _transport(self) -> Transport:
        if self._limit is None:
            return self.hook.get_conn()
        return BoundTransport(self.hook.single_try_transport, *self._limit)

    def perform(self, call: Call[T]) -> T:
        """Carry out a call."""
        return self._transport.perform(call)

    def find_definition(self, name: str) -> int:
        """Return the id of the one workflow or job that has exactly this name. See the hook's ``find_definition``."""
        recipe = api.names.resolve_recipe(self.kind, self.scope, name)
        definition_id = api.recipes.drive(recipe, self._transport.perform)
        self.hook.log.info("The %s named %r is %s", self.kind.definition_noun, name, definition_id)
        return definition_id

    def start(self, definition_id: int, instance_parameters: Any) -> int:
        """Start a run. See the hook's ``execute_workflow`` for what its errors mean."""
        call = self.kind.start_call(self.scope, definition_id, instance_parameters)
        started = self._transport.perform(call)
        self.hook.log.info(
            "Started %s %s: %s=%s, RequestId=%s",
            self.kind.definition_noun,
            definition_id,
            self.kind.instance_field,
            started.instance_id,
            started.request_id,
        )
        return started.instance_id

    def get(self, definition_id: int, instance_id: int) -> Run:
        """Poll a run."""
        return self._transport.perform(self.kind.get_call(self.scope, definition_id, instance_id))

    def list_newest(self, definition_id: int) -> Sequence[RunSummary]:
        """List runs, newest first, as many as one call shows; more if only these are certain to have the newest."""
        listed = self._drive(self.kind.list_since(self.scope, definition_id, lambda runs, is_whole: True))
        return listed.runs

    def stop(self, definition_id: int, instance_id: int, *, timeout: float = 60.0) -> Run | None:
        """Stop a run, as far as that is possible. Faults are logged, not raised.

        :param timeout: seconds; the first round is always made.
        :return: the run as it was seen last, or None if it could not be polled.
        """
        recipe = api.stopping.stop_recipe(
            self.kind, self.scope, definition_id, instance_id, timeout=timeout, log=self.hook.log
        )
        # One try of each call: a killed task has seconds, and the recipe comes again by itself.
        return api.recipes.drive(recipe, self.hook.single_try_transport.perform)

    def rerun(self, run: Run, *, settling_time: float) -> Rerun:
        """Run what has failed of a run again, and wait until it shows that.

        :param settling_time: seconds to wait.
        """
        return self._drive(
            api.rerunning.rerun_recipe(
                self.kind, self.scope, run, settling_time=settling_time, log=self.hook.log
            )
        )

    def reconcile(
        self,
        intent: StartIntent,
        *,
        settling_time: float,
        patience: float,
        age: Age | None = None,
        may_be_several: bool = False,
    ) -> Reconciled:
        """Find the run that a start whose answer was lost may have started.

        :param intent: what was written down before the start.
        :param settling_time: seconds after which a run that was started is listed.
        :param patience: seconds to wait beyond that for what will show by itself.
        :param age: of the request; by default it has just been made.
        :param may_be_several: whether several runs may carry the marker of the intent, one started after the other.
        :return: the run, or an ambiguity, or neither: then nothing was started.
        """
        return self._drive(
            api.reconciling.reconcile_recipe(
                self.kind,
                self.scope,
                intent,
                settling_time=settling_time,
                patience=patience,
                age=age,
                may_be_several=may_be_several,
                log=self.hook.log,
            )
        )

    def find_suspects(self, intent: StartIntent, *, age: Age) -> list[Candidate]:
        """Find the active runs that an earlier start may have started, of which nothing was kept.

        :param intent: what such a start would have written down.
        :param age: how long ago it may have been.
        """
        return self._drive(api.reconciling.suspects_recipe(self.kind, self.scope, intent, age))

    def _drive(self, recipe: Recipe[T]) -> T:
        sleep = None if self._limit is None else self._limit[1]
        return api.recipes.drive(recipe, self._transport.perform, sleep=sleep)
