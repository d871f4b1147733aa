"""Base of the operators that start a run and follow it to its end, whatever kind of run it is."""

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import conf

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.parameters import (
    MIN_POLL_INTERVAL,
    check_choice,
    check_count,
    check_flag,
    check_run_marker,
    check_seconds,
)
from airflow_provider_schedulerx.base import ScopedOperator
from airflow_provider_schedulerx.exceptions import raise_unless_successful
from airflow_provider_schedulerx.hooks.kinds import RunTaskMixin
from airflow_provider_schedulerx.hooks.report import (
    DEFAULT_LOG_LINES,
    is_active_again,
    learn_secrets,
    log_run_summary,
    with_nodes,
)
from airflow_provider_schedulerx.operators.announcing import announce, followed, update_assets
from airflow_provider_schedulerx.operators.start_policy import IfRunning, OnRetry, check_literal_parameters
from airflow_provider_schedulerx.version_compat import deferrals

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_schedulerx.api.runs.intents import StartIntent
    from airflow_provider_schedulerx.api.runs.kinds import Run
    from airflow_provider_schedulerx.operators.run_owner import RunOwner
    from airflow_provider_schedulerx.operators.start_store import StartStore
    from airflow_provider_schedulerx.operators.task_run import TaskRun
    from airflow_provider_schedulerx.triggers.run import RunTrigger


class ExecuteOperator(RunTaskMixin, ScopedOperator):
    """Start a run and, by default, wait until it has ended.

    Subclasses say what is run: they have the argument that holds its id, and document the arguments.
    """

    template_fields_renderers: ClassVar[dict[str, str]] = {"instance_parameters": "json"}
    ui_color = "#ffe3c2"

    def __init__(
        self,
        *,
        instance_parameters: Any = None,
        wait_for_completion: bool = True,
        poll_interval: float | timedelta = 30,
        timeout: float | timedelta | None = None,
        poll_failure_tolerance: float | timedelta = 600,
        cancel_on_kill: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        durable: bool = True,
        on_retry: OnRetry = "reattach",
        if_running: IfRunning = "start",
        run_marker: bool | str = False,
        settling_time: float | timedelta = 60,
        log_lines_on_failure: int = DEFAULT_LOG_LINES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.instance_parameters = instance_parameters
        self.wait_for_completion: bool = check_flag("wait_for_completion", wait_for_completion)
        self.poll_interval: float = check_seconds("poll_interval", poll_interval, minimum=MIN_POLL_INTERVAL)
        self.timeout: float | None = None if timeout is None else check_seconds("timeout", timeout)
        self.poll_failure_tolerance: float = check_seconds("poll_failure_tolerance", poll_failure_tolerance)
        self.cancel_on_kill: bool = check_flag("cancel_on_kill", cancel_on_kill)
        self.deferrable: bool = check_flag("deferrable", deferrable)
        self.durable: bool = check_flag("durable", durable)
        self.on_retry: OnRetry = check_choice("on_retry", on_retry, OnRetry)
        self.if_running: IfRunning = check_choice("if_running", if_running, IfRunning)
        self.run_marker = run_marker
        self.settling_time: float = check_seconds("settling_time", settling_time)
        self.log_lines_on_failure: int = check_count("log_lines_on_failure", log_lines_on_failure)
        check_literal_parameters(instance_parameters, check_run_marker(run_marker))
        self._owner: RunOwner | None = None

    # What is run.

    @property
    def definition_name(self) -> str | None:
        """The name of what is run, if the task gives that rather than the id."""
        name: str | None = getattr(self, self.kind.name_argument)
        return name or None

    def _definition_of_try(self, store: StartStore) -> int:
        """Return the id that the previous try has found: even if the name has been given to another workflow since,
        a retry must not start a second run. In another scope, or for another kind, that id says nothing about the name.
        """
        if self.definition_name is not None:
            stored = store.load()
            if stored and not stored.was_cleared and self._is_named_by(stored.intent):
                definition_id = stored.intent.definition_id
                self.log.info(
                    "Using %s %s, which the previous try found by the name %r",
                    self.kind.definition_noun,
                    definition_id,
                    self.definition_name,
                )
                return definition_id
        return self.definition_id()

    def _is_named_by(self, intent: StartIntent) -> bool:
        """Whether an earlier start was of what the name stands for here."""
        named = (intent.definition_name, intent.kind, intent.scope)
        return named == (self.definition_name, self.kind.name, self.run_calls.scope)

    @abstractmethod
    def trigger_class(self) -> type[RunTrigger]:
        """Return what waits for such a run in the triggerer; imported only here."""

    # A try.

    def execute(self, context: Context) -> int:
        """Start the run, or take up that of an earlier try, and follow it.

        :return: the id of the run.
        """
        return self._run_try(context)

    def _run_try(self, context: Context) -> int:
        from airflow_provider_schedulerx.operators.launching import Launcher
        from airflow_provider_schedulerx.operators.start import Start

        store = self._store(context)
        owner = self._own(context, store)
        with owner.guard():
            owner.definition_id = self._definition_of_try(store)
            run = Launcher(Start.from_task(self, context, owner, store)).find_or_start()
            announce(context, self.hook, run, self.log)
            owner.check_killed()
            if not self.wait_for_completion:
                update_assets(context, self.outlets, self.hook, run)
                return run.instance_id
            self._follow(context, owner, run)
        return run.instance_id

    def _follow(self, context: Context, owner: RunOwner, run: TaskRun, deadline: float | None = None) -> None:
        from airflow_provider_schedulerx.operators.following import defer_until_end, poll_until_end

        if self.deferrable:
            defer_until_end(self, context, owner, run, deadline)
        self._finish(context, owner, run, poll_until_end(self, owner, run))

    # What only a worker needs is imported there: a DAG file is parsed far more often than its tasks run.

    def _store(self, context: Context) -> StartStore:
        from airflow_provider_schedulerx.operators.start_store import StartStore

        return StartStore(context, durable=self.durable, log=self.log)

    def _own(self, context: Context, store: StartStore) -> RunOwner:
        from airflow_provider_schedulerx.operators.run_owner import RunOwner

        self._owner = owner = RunOwner.from_task(self, context, store)
        return owner

    # The second part of a try that has deferred.

    def pre_execute(self, context: Context) -> None:
        """Let :meth:`on_kill` know the run in any case: see :mod:`airflow_provider_schedulerx.version_compat.deferrals`."""
        super().pre_execute(context)
        resumed = deferrals.resumed_with(context["ti"])
        if resumed is not None and resumed.get("instance_id"):
            owner = self._own(context, self._store(context))
            self._resume(
                context, owner, resumed.get("definition_id"), resumed["instance_id"], resumed.get("is_own")
            )

    def execute_complete(  # noqa: PLR0917 - Airflow passes them by name
        self,
        context: Context,
        event: Any = None,
        definition_id: int | None = None,
        instance_id: int | None = None,
        is_own: bool | None = None,
        try_number: int | None = None,
        deadline: float | None = None,
    ) -> int:
        """Continue after the wait in the triggerer, exactly as without one.

        :param event: of the trigger.
        :param definition_id: as it was at the start, whatever a template gives now. ``dag.test()`` of Airflow
            2.11 loses this and the next ones; then they are looked up again.
        :param instance_id: the run that was deferred for.
        :param is_own: whether the task has started it.
        :param try_number: that has deferred. Airflow 3.0 lets a retry resume with the event of the previous try.
        :param deadline: epoch seconds at which the time of the try is up.
        :return: the id of the run.
        """
        from airflow_provider_schedulerx.operators.following import after_trigger_gave_up, ended_meanwhile

        if self._is_of_another_try(context, try_number):
            return self._run_try(context)
        owner = self._own(context, self._store(context))
        with owner.guard():
            run = self._resume(context, owner, definition_id, instance_id, is_own)
            try:
                ended = api.events.TerminalEvent.parse(
                    event, self.kind, definition_id=run.definition_id, instance_id=run.instance_id
                )
            except api.events.MalformedEventError as error:
                raise owner.lost(
                    f"The trigger's event cannot be used: {error}. {run.title} may be active"
                ) from None
            seen = ended.run
            if ended.outcome is api.events.Outcome.TIMEOUT:
                # The run may have ended while the task waited for a worker.
                seen = ended_meanwhile(self, owner, run)
                if seen is None:
                    raise owner.time_is_up(ended.message)
            if seen is None:
                raise after_trigger_gave_up(self, owner, run, ended.message)
            learn_secrets(self.hook)
            if is_active_again(seen, now := with_nodes(owner.calls, seen, self.log), self.log):
                self._follow(context, owner, run, deadline)
            else:
                self._finish(context, owner, run, now)
        return run.instance_id

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after a deferral. Where Airflow ended it without an event, see to the run first.

        Airflow says so with the method ``__fail__``, and calls neither ``execute_complete`` nor ``on_kill``.
        """
        if next_method != "__fail__":
            return super().resume_execution(next_method, next_kwargs, context)
        owner = self._own(context, self._store(context))
        with owner.guard():
            owner.starting()  # until it is known what was deferred for
            deferred = followed(context)
            if deferred is None or not self._is_of_another_try(context, deferred.try_number):
                return self._after_deferral_ended(context, owner, next_kwargs or {})
        return self._run_try(context)

    def _after_deferral_ended(self, context: Context, owner: RunOwner, reason: dict[str, Any]) -> int:
        from airflow_provider_schedulerx.operators.following import after_trigger_gave_up, ended_meanwhile

        run = self._resume(context, owner)
        if reason.get("traceback"):
            self.log.error("The trigger failed:\n%s", "\n".join(reason["traceback"]))
        if reason.get("error") == "Trigger timeout":
            if (seen := ended_meanwhile(self, owner, run)) is not None:
                self._finish(context, owner, run, seen)
                return run.instance_id
            raise owner.time_is_up("Airflow ended the deferral")
        raise after_trigger_gave_up(self, owner, run, str(reason.get("error", "Unknown")))

    def _resume(
        self,
        context: Context,
        owner: RunOwner,
        definition_id: int | None = None,
        instance_id: int | None = None,
        is_own: bool | None = None,
    ) -> TaskRun:
        """Take over from the try's first part, which has deferred. What is None is looked up.

        :raises RunLostError: if the run that it follows is not known.
        """
        owner.starting()  # until it is known which one
        if definition_id is None or instance_id is None or is_own is None:
            deferred = followed(context)
            if deferred is None:
                owner.definition_id = self.definition_id()
                raise owner.lost(f"A run of {owner.what} may be active, and Airflow no longer knows which")
            definition_id, instance_id, is_own, _ = deferred
        from airflow_provider_schedulerx.operators.task_run import TaskRun

        owner.definition_id = definition_id
        return owner.follow(TaskRun(self.kind, definition_id, instance_id, is_own, is_new=False))

    # The end.

    def _finish(self, context: Context, owner: RunOwner, run: TaskRun, seen: Run) -> None:
        """End the task as its run has ended."""
        owner.ended(seen)
        learn_secrets(self.hook)
        owner.snapshots.observe(seen)
        log_run_summary(self.hook, seen, self.log, self.log_lines_on_failure)
        raise_unless_successful(seen)
        update_assets(context, self.outlets, self.hook, run, status=seen.status.name)
        self.log.info("%s succeeded", run.title)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return what OpenLineage gets: the run, what is run, and where to look at it. Also for a failed task."""
        run = None if self._owner is None else self._owner.run
        if run is None:
            return None
        from airflow_provider_schedulerx.operators.lineage import run_lineage

        return run_lineage(self.hook.settings, run.kind, run.definition_id, run.instance_id)

    def on_kill(self) -> None:
        """Stop the run if that is what the kill means: see ``cancel_on_kill``."""
        if self._owner is not None:
            self._owner.on_kill()
