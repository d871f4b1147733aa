"""Start a SchedulerX workflow from a DAG, and follow it to its end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_schedulerx import api, version_compat
from airflow_provider_schedulerx.api.parameters import (
    MIN_POLL_INTERVAL,
    check_choice,
    check_count,
    check_flag,
    check_id,
    check_run_marker,
    check_seconds,
)
from airflow_provider_schedulerx.exceptions import raise_unless_successful
from airflow_provider_schedulerx.hooks.report import (
    DEFAULT_LOG_LINES,
    learn_secrets,
    log_run_summary,
    with_nodes,
)
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.links.schedulerx import RUN_LINKS
from airflow_provider_schedulerx.operators.announcing import (
    XCOM_WF_INSTANCE_ID,
    announce,
    pulled_wf_instance_id,
    update_assets,
)
from airflow_provider_schedulerx.operators.following import (
    after_trigger_gave_up,
    defer_until_end,
    ended_meanwhile,
    poll_until_end,
)
from airflow_provider_schedulerx.operators.launching import IfRunning, Launcher, OnRetry, check_literals
from airflow_provider_schedulerx.operators.run_owner import RunOwner
from airflow_provider_schedulerx.operators.start_store import StartStore
from airflow_provider_schedulerx.operators.task_run import TaskRun

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_schedulerx.api.models import WorkflowInstance

__all__ = ["XCOM_WF_INSTANCE_ID", "ExecuteWorkflowOperator"]


class ExecuteWorkflowOperator(BaseOperator):
    """Start a run of a SchedulerX workflow (``ExecuteWorkflow``) and, by default, wait until it has ended.

    The id of the run is pushed to XCom as ``WfInstanceId`` right after the start, together with the URL of the run for
    the task's extra link, and is also what the task returns. Events of assets among the task's ``outlets`` carry
    ``WfInstanceId``, ``workflow_id``, ``console_url`` and, after a wait, ``status`` as extra.

    **Never twice, never lost.** ``ExecuteWorkflow`` has no idempotency token. So the task writes to Airflow's task
    state store (Airflow 3.3) that it is about to start a run, and then which one it has started. A retry follows a run
    that is active, returns one that has succeeded, and starts another only if the run has failed. A run whose id was
    lost, with its answer or its worker, is looked for; where nobody can tell, the task fails **without** a retry and
    names the candidates. With ``run_marker`` all this works on every version of Airflow, and is certain. A **cleared**
    task stops its earlier run and starts a new one.

    Where a retry could not know the run (below Airflow 3.3 without a marker, or with ``durable=False``), whatever
    leaves a run active fails the task without a retry, because a retry would start a second run beside it.

    :param workflow_id: id of the workflow. (templated)
    :param instance_parameters: dynamic parameters of the run: a str, sent as it is, or a mapping, sequence, number or
        bool that becomes compact JSON; at most 1,000 bytes of UTF-8. (templated)
    :param schedulerx_conn_id: the connection, see
        :class:`~airflow_provider_schedulerx.hooks.schedulerx.SchedulerXHook`. (templated)
    :param region_id: region; overrides the connection's, as do the next three. (templated)
    :param namespace: uid of the namespace. (templated)
    :param namespace_source: source of the namespace. (templated)
    :param group_id: application group. (templated)
    :param wait_for_completion: False returns right after the start.
    :param poll_interval: seconds between two polls of the run, at least 0.1.
    :param timeout: seconds, or a timedelta, that each try has for starting the run and waiting for its end; None is
        without limit. Then the run is polled once more, stopped if ``cancel_on_kill``, and the task fails.
        ``execution_timeout`` does the same.
    :param poll_failure_tolerance: seconds for which polls may fail in a row, if the fault is a passing one.
    :param deferrable: wait in the triggerer rather than on a worker; by default as ``[operators] default_deferrable``
        says. All deferred tasks of a triggerer that wait for runs of the same workflow share one poller.
    :param cancel_on_kill: stop the run when the task is killed or its time is up. No operation of the service stops a
        run, so its active nodes are stopped until it has ended. Stopped is not ended: code of a job that does not react
        to a kill may still run. A run that the task has not started is never stopped. A worker that goes away (a
        deploy, say) does not stop the run, if a retry of the task can take it up.
    :param durable: False forgets everything between tries, and looks for no run after a lost answer.
    :param on_retry: what a retry does. ``reattach``: as above. ``restart``: a run that is still active is stopped
        first, and then another started. ``rerun_failed``: in a run that has failed, only the failed nodes run again
        (``RetryJobInstance``; Professional edition), and the same run is followed. One that has succeeded is
        returned in any case.
    :param if_running: what to do if the workflow has an active run already that is not the task's own: ``start``
        another, ``reattach`` to the newest one instead, ``skip`` the task, or ``fail``. Another run can begin between
        the question and the start. Whether the service lists waiting runs is not documented.
    :param run_marker: add a text of 16 characters to the instance parameters that all tries of this task share and no
        other task has, under the key ``airflow_run`` or the one given. The parameters must be a JSON object (or none).
    :param settling_time: seconds, or a timedelta, after which ``ListWorkflowInstance`` shows a run that was started,
        and ``GetWorkflowInstance`` knows it. It is not documented; after it, none means that none was started.
    :param log_lines_on_failure: last lines of each failed node's own log to show in the task's log (``GetLog``;
        Professional edition with its log service); 0 for none. Faults of the log service are never fatal.
    """

    template_fields: Sequence[str] = (
        "workflow_id",
        "instance_parameters",
        "schedulerx_conn_id",
        "region_id",
        "namespace",
        "namespace_source",
        "group_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"instance_parameters": "json"}
    operator_extra_links = RUN_LINKS
    ui_color = "#ffe3c2"

    def __init__(
        self,
        *,
        workflow_id: int | str,
        instance_parameters: Any = None,
        schedulerx_conn_id: str = SchedulerXHook.default_conn_name,
        region_id: str | None = None,
        namespace: str | None = None,
        namespace_source: str | None = None,
        group_id: str | None = None,
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
        self.workflow_id = workflow_id
        self.instance_parameters = instance_parameters
        self.schedulerx_conn_id = schedulerx_conn_id
        self.region_id = region_id
        self.namespace = namespace
        self.namespace_source = namespace_source
        self.group_id = group_id
        self.wait_for_completion = check_flag("wait_for_completion", wait_for_completion)
        self.poll_interval = check_seconds("poll_interval", poll_interval, minimum=MIN_POLL_INTERVAL)
        self.timeout = None if timeout is None else check_seconds("timeout", timeout)
        self.poll_failure_tolerance = check_seconds("poll_failure_tolerance", poll_failure_tolerance)
        self.cancel_on_kill = check_flag("cancel_on_kill", cancel_on_kill)
        self.deferrable = check_flag("deferrable", deferrable)
        self.durable = check_flag("durable", durable)
        self.on_retry = check_choice("on_retry", on_retry, OnRetry)
        self.if_running = check_choice("if_running", if_running, IfRunning)
        self.run_marker = run_marker
        self.settling_time = check_seconds("settling_time", settling_time)
        self.log_lines_on_failure = check_count("log_lines_on_failure", log_lines_on_failure)
        check_literals(workflow_id, instance_parameters, check_run_marker(run_marker))
        self._owner: RunOwner | None = None

    @cached_property
    def hook(self) -> SchedulerXHook:
        """The hook for this task's connection and scope."""
        return SchedulerXHook.from_task(self)

    def execute(self, context: Context) -> int:
        """Start the run, or take up that of an earlier try, and follow it.

        :return: the ``WfInstanceId``.
        """
        return self._run_try(context)

    def _run_try(self, context: Context) -> int:
        store = StartStore(context, durable=self.durable)
        owner = self._own(context, store)
        with owner.guard():
            owner.workflow_id = check_id("workflow_id", self.workflow_id)
            run = Launcher.from_task(self, context, owner, store).find_or_start()
            announce(context, self.hook, run, self.log)
            owner.check_killed()
            if not self.wait_for_completion:
                update_assets(context, self.outlets, self.hook, run)
                return run.wf_instance_id
            if self.deferrable:
                defer_until_end(self, context, owner, run)
            self._finish(context, owner, run, poll_until_end(self, owner, run))
        return run.wf_instance_id

    def _own(self, context: Context, store: StartStore) -> RunOwner:
        self._owner = owner = RunOwner.from_task(self, context, store)
        return owner

    def pre_execute(self, context: Context) -> None:
        """Let :meth:`on_kill` know the run in any case: see :mod:`airflow_provider_schedulerx.version_compat`."""
        super().pre_execute(context)
        resumed = version_compat.resumed_with(context["ti"])
        if resumed is not None and resumed.get("wf_instance_id"):
            ids = resumed.get("workflow_id"), resumed["wf_instance_id"]
            self._resume(context, *ids, is_own=resumed.get("is_own"))

    def execute_complete(  # noqa: PLR0917 - Airflow passes them by name
        self,
        context: Context,
        event: Any = None,
        workflow_id: int | None = None,
        wf_instance_id: int | None = None,
        is_own: bool | None = None,
        try_number: int | None = None,
    ) -> int:
        """Continue after the wait in the triggerer, exactly as without one.

        :param event: of :class:`~airflow_provider_schedulerx.triggers.schedulerx.WorkflowInstanceTrigger`.
        :param workflow_id: as it was at the start, whatever a template gives now. ``dag.test()`` of Airflow
            2.11 loses this and the next ones; then they are looked up again.
        :param wf_instance_id: the run that was deferred for.
        :param is_own: whether the task has started it.
        :param try_number: that has deferred. Airflow 3.0 lets a retry resume with the event of the previous try.
        :return: the ``WfInstanceId``.
        """
        if try_number is not None and try_number != getattr(context["ti"], "try_number", try_number):
            self.log.info("The event is that of try %s, so this try starts anew", try_number)
            return self._run_try(context)
        owner, run = self._resume(context, workflow_id, wf_instance_id, is_own)
        with owner.guard():
            try:
                ended = api.events.TerminalEvent.parse(
                    event, workflow_id=run.workflow_id, wf_instance_id=run.wf_instance_id
                )
            except api.events.MalformedEventError as error:
                raise owner.lost(
                    f"The trigger's event cannot be used: {error}. Workflow instance {run.wf_instance_id} may be active"
                ) from None
            instance = ended.instance
            if ended.outcome is api.events.Outcome.TIMEOUT:
                # The run may have ended while the task waited for a worker.
                instance = ended_meanwhile(self, run)
                if instance is None:
                    raise owner.time_is_up(str(owner.limit), ended.message)
            if instance is None:
                raise after_trigger_gave_up(self, owner, run, ended.message)
            self._finish(context, owner, run, instance)
        return run.wf_instance_id

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after a deferral. Where Airflow ended it without an event, see to the run first.

        Airflow says so with the method ``__fail__``, and calls neither ``execute_complete`` nor ``on_kill``.
        """
        if next_method == "__fail__" and pulled_wf_instance_id(context) is not None:
            owner, run = self._resume(context)
            with owner.guard():
                reason = next_kwargs or {}
                if reason.get("traceback"):
                    self.log.error("The trigger failed:\n%s", "\n".join(reason["traceback"]))
                if reason.get("error") == "Trigger timeout":
                    if (instance := ended_meanwhile(self, run)) is not None:
                        self._finish(context, owner, run, instance)
                        return run.wf_instance_id
                    raise owner.time_is_up(str(owner.limit), "Airflow ended the deferral")
                raise after_trigger_gave_up(self, owner, run, str(reason.get("error", "Unknown")))
        return super().resume_execution(next_method, next_kwargs, context)

    def _resume(
        self,
        context: Context,
        workflow_id: int | None = None,
        wf_instance_id: int | None = None,
        is_own: bool | None = None,
    ) -> tuple[RunOwner, TaskRun]:
        """Take over from the try's first part, which has deferred. What is None is looked up."""
        store = StartStore(context, durable=self.durable)
        owner = self._own(context, store)
        owner.workflow_id = workflow_id or check_id("workflow_id", self.workflow_id)
        if wf_instance_id is None:
            wf_instance_id = check_id("wf_instance_id", pulled_wf_instance_id(context))
        if is_own is None:
            stored = store.load()
            is_own = self.if_running != "reattach" if stored is None else stored.intent.is_own
        return owner, owner.follow(TaskRun(owner.workflow_id, wf_instance_id, is_own, is_new=False))

    def _finish(self, context: Context, owner: RunOwner, run: TaskRun, instance: WorkflowInstance) -> None:
        """Decide by a run that has ended."""
        owner.ended(instance)
        learn_secrets(self.hook)
        instance = with_nodes(self.hook, instance, self.log)
        owner.snapshots.observe(instance)
        log_run_summary(self.hook, instance, self.log, self.log_lines_on_failure)
        raise_unless_successful(instance)
        update_assets(context, self.outlets, self.hook, run, status=instance.status.name)
        self.log.info("Workflow instance %s succeeded", instance.wf_instance_id)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return what OpenLineage gets: the run, its workflow, and where to look at it. Also of a failed task."""
        run = None if self._owner is None else self._owner.run
        if run is None:
            return None
        from airflow_provider_schedulerx.operators.lineage import run_lineage

        return run_lineage(self.hook.settings, run.workflow_id, run.wf_instance_id)

    def on_kill(self) -> None:
        """Stop the run if that is what the kill means: see ``cancel_on_kill``."""
        if self._owner is not None:
            self._owner.on_kill()
