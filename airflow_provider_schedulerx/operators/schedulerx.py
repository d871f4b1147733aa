"""Start a SchedulerX workflow from a DAG, and follow it to its end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.common.compat.sdk import AirflowException, Asset, BaseOperator, conf

from airflow_provider_schedulerx import api, version_compat
from airflow_provider_schedulerx.api.exceptions import SchedulerXError
from airflow_provider_schedulerx.api.parameters import (
    check_choice,
    check_count,
    check_id,
    check_seconds,
    encode_instance_parameters,
    with_run_marker,
)
from airflow_provider_schedulerx.exceptions import (
    WorkflowInstanceLostError,
    WorkflowInstanceStoppedError,
    WorkflowInstanceUndecidedError,
    raise_unless_successful,
)
from airflow_provider_schedulerx.hooks.report import DEFAULT_LOG_LINES, log_run_summary, with_nodes
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.links.schedulerx import RUN_LINKS, RunPageLink, WorkflowInstanceLink
from airflow_provider_schedulerx.operators.record import StartRecord
from airflow_provider_schedulerx.operators.starting import (
    MARKER_LENGTH,
    Found,
    IfRunning,
    OnRetry,
    Starter,
    StartPolicy,
)
from airflow_provider_schedulerx.run_page.writer import NullWriter, SnapshotWriter, for_task

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_schedulerx.api.models import WorkflowInstance

#: Key under which the id of the run is pushed to XCom.
XCOM_WF_INSTANCE_ID = "WfInstanceId"


class ExecuteWorkflowOperator(BaseOperator):
    """Start a run of a SchedulerX workflow (``ExecuteWorkflow``) and, by default, wait until it has ended.

    The id of the run is pushed to XCom as ``WfInstanceId`` right after the start, together with the
    URL of the run for the task's extra link, and is also what the task returns. Events of assets among the
    task's ``outlets`` carry ``WfInstanceId``, ``workflow_id``, ``console_url`` and, after a wait, ``status`` as extra.

    **Never twice, never lost.** ``ExecuteWorkflow`` has no idempotency token. So the task writes to Airflow's
    task state store (Airflow 3.3) that it is about to start a run, and then which one it has started. A retry
    reads that: it follows a run that is active, returns one that has succeeded, and starts another only if the
    run has failed. If the worker died, or the answer was lost, before the id was known, the run is looked for
    (``ListWorkflowInstance``, and by its parameters with ``GetJobInstance``): the one that is ours is taken up;
    if there is none after ``settling_time``, one is started; in doubt the task fails **without** a retry and
    lists the candidates (:class:`~airflow_provider_schedulerx.exceptions.WorkflowInstanceUndecidedError`).
    A **cleared** task starts a new run.

    Below Airflow 3.3, or with ``durable=False``, nothing outlives the try. The task then fails without a retry
    wherever a run may be active, because a retry would start a second one beside it.

    :param workflow_id: id of the workflow. (templated)
    :param instance_parameters: dynamic parameters of the run: a str, or a dict or list that becomes
        compact JSON; at most 1,000 bytes of UTF-8. (templated)
    :param schedulerx_conn_id: the connection, see
        :class:`~airflow_provider_schedulerx.hooks.schedulerx.SchedulerXHook`. (templated)
    :param region_id: region; beats the connection's, as do the next three. (templated)
    :param namespace: uid of the namespace. (templated)
    :param namespace_source: source of the namespace. (templated)
    :param group_id: application group. (templated)
    :param wait_for_completion: False returns right after the start.
    :param poll_interval: seconds between two looks at the run.
    :param timeout: seconds, or a timedelta, that each try waits for the end of the run; None is without limit.
        Then the run is looked at once more, stopped if ``cancel_on_kill``, and the task fails.
        ``execution_timeout`` does the same; without deferral it is enforced by Airflow.
    :param poll_failure_tolerance: seconds for which looks at the run may fail in a row, if the fault is a
        passing one (network, throttling).
    :param deferrable: wait in the triggerer rather than on a worker; by default as
        ``[operators] default_deferrable`` says. All deferred tasks of a triggerer that wait for runs of
        the same workflow share one poller, and all of them together keep to the account's quota.
    :param cancel_on_kill: stop the run when the task is killed or waiting times out. No operation of
        the service stops a run, so its active nodes are stopped until it has ended. A run that was taken over
        with ``if_running="reattach"`` is never stopped.
    :param durable: False forgets everything between tries, and looks for no run after a lost answer.
    :param on_retry: what a retry does. ``reattach``: as above. ``restart``: a run that is still active is stopped
        first, and then another started. ``rerun_failed``: in a run that has failed, only the failed nodes run again
        (``RetryJobInstance``; Professional edition), and the same run is followed. One that has succeeded is
        returned in any case.
    :param if_running: what to do if the workflow has an active run already: ``start`` another, ``reattach`` to the
        newest one instead, ``skip`` the task, or ``fail``. It is asked before a new run is started, not where a
        retry takes up its own; between the question and the start another run can begin. Whether the service
        lists waiting runs is not documented.
    :param run_marker: add a short text to the instance parameters that no other start has, so that a run whose
        start got no answer is found for certain, also among others with the same parameters. The parameters must
        be a JSON object (or none), of whose 1,000 bytes it takes the length of ``run_marker_key`` and 22 more; jobs
        that read the parameters see one more key.
    :param run_marker_key: name of that key.
    :param settling_time: seconds, or a timedelta, after which a run that was started is surely shown by
        ``ListWorkflowInstance``. How soon it is, is not documented; after it, none means that none was started.
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
        run_marker: bool = False,
        run_marker_key: str = "airflow_run",
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
        self.wait_for_completion = wait_for_completion
        self.poll_interval = check_seconds("poll_interval", poll_interval)
        self.timeout = None if timeout is None else check_seconds("timeout", timeout)
        self.poll_failure_tolerance = check_seconds("poll_failure_tolerance", poll_failure_tolerance)
        self.cancel_on_kill = cancel_on_kill
        self.deferrable = deferrable
        self.durable = durable
        self.on_retry = check_choice("on_retry", on_retry, OnRetry)
        self.if_running = check_choice("if_running", if_running, IfRunning)
        self.run_marker = run_marker
        self.run_marker_key = run_marker_key
        self.settling_time = check_seconds("settling_time", settling_time)
        self.log_lines_on_failure = check_count("log_lines_on_failure", log_lines_on_failure)
        # What is written out in the DAG file is wrong already when the file is parsed.
        if _is_literal(workflow_id):
            check_id("workflow_id", workflow_id)
        if _is_literal(instance_parameters):
            encode_instance_parameters(instance_parameters)
            if run_marker:
                with_run_marker(instance_parameters, run_marker_key, "x" * MARKER_LENGTH)

        self._snapshots: SnapshotWriter = NullWriter()
        self._wf_instance_id: int | None = None
        self._is_own = if_running != "reattach"
        self._is_kept = False
        self._is_starting = False
        self._has_ended = False
        self._was_killed = False

    @cached_property
    def hook(self) -> SchedulerXHook:
        """The hook for this task's connection and scope."""
        return SchedulerXHook.from_task(self)

    def execute(self, context: Context) -> int:
        """Start the run, or take up that of an earlier try, and follow it. :return: the ``WfInstanceId``."""
        found = self._obtain(context)
        self._snapshots = for_task(context["ti"], self.log)
        wf_instance_id = found.wf_instance_id
        with self._after_start(wf_instance_id):
            self._record(context, wf_instance_id)
            if not self.wait_for_completion:
                self._tell_assets(context, wf_instance_id)
                return wf_instance_id
            if self.deferrable:
                self._defer_until_end(found)
            self._finish(context, self._wait(wf_instance_id))
        return wf_instance_id

    def _start_record(self, context: Context) -> StartRecord:
        record = StartRecord(context, durable=self.durable, log=self.log)
        self._is_kept = record.is_kept
        return record

    def _obtain(self, context: Context) -> Found:
        self.workflow_id = workflow_id = check_id("workflow_id", self.workflow_id)
        starter = Starter(
            hook=self.hook,
            workflow_id=workflow_id,
            instance_parameters=self.instance_parameters,
            policy=StartPolicy(
                on_retry=self.on_retry,
                if_running=self.if_running,
                marker_key=self.run_marker_key if self.run_marker else None,
                settling_time=self.settling_time,
                patience=self.poll_failure_tolerance,
                durable=self.durable,
                waits=self.wait_for_completion,
            ),
            record=self._start_record(context),
            ti=context["ti"],
            log=self.log,
            sleep=self._pause,
        )
        self._is_starting = True
        found = starter.obtain()
        self._wf_instance_id, self._is_own = found.wf_instance_id, found.is_own
        self._is_starting = False
        return found

    @contextmanager
    def _after_start(self, wf_instance_id: int) -> Iterator[None]:
        """Whatever goes wrong now, a run may be active: what is raised says whether a retry knows of it."""
        try:
            yield
        except AirflowException:
            raise
        except Exception as error:
            raise self._lost(
                f"Workflow instance {wf_instance_id} was started, but then: {type(error).__name__}: {error}. It may be "
                "active"
            ) from error

    def _lost(self, why: str) -> WorkflowInstanceLostError | WorkflowInstanceUndecidedError:
        """The error for a run that may be active and is followed no longer."""
        if self._is_kept:
            return WorkflowInstanceLostError(f"{why}; a retry takes it up again")
        return WorkflowInstanceUndecidedError(
            f"{why}, so the task is not retried, since that would start a second run"
        )

    def pre_execute(self, context: Context) -> None:
        """Let :meth:`on_kill` know the run in any case: see :mod:`airflow_provider_schedulerx.version_compat`."""
        super().pre_execute(context)
        resumed = version_compat.resumed_with(context["ti"])
        if resumed is not None and (wf_instance_id := resumed.get("wf_instance_id")):
            self.workflow_id = resumed.get("workflow_id", self.workflow_id)
            self._resume_with(self._start_record(context), wf_instance_id, resumed.get("is_own"))

    def execute_complete(
        self,
        context: Context,
        event: Any = None,
        workflow_id: int | None = None,
        wf_instance_id: int | None = None,
        is_own: bool | None = None,
    ) -> int:
        """Go on after the wait in the triggerer, exactly as without one. :return: the ``WfInstanceId``.

        :param event: of :class:`~airflow_provider_schedulerx.triggers.schedulerx.WorkflowInstanceTrigger`.
        :param workflow_id: as it was at the start, whatever a template gives now. ``dag.test()`` of Airflow
            2.11 loses this and the next one; then they are looked up again.
        :param wf_instance_id: the run that was deferred for.
        :param is_own: whether the task has started it.
        """
        record = self._start_record(context)
        if workflow_id is None:
            workflow_id = check_id("workflow_id", self.workflow_id)
        if wf_instance_id is None:
            wf_instance_id = check_id("wf_instance_id", self._recorded(context))
        self.workflow_id = workflow_id
        self._resume_with(record, wf_instance_id, is_own)
        try:
            ended = api.events.TerminalEvent.parse(
                event, workflow_id=workflow_id, wf_instance_id=wf_instance_id
            )
        except api.events.MalformedEventError as error:
            raise self._lost(
                f"The trigger's event cannot be used: {error}. Workflow instance {wf_instance_id} may be active"
            ) from None
        with self._after_start(wf_instance_id):
            if ended.outcome is api.events.Outcome.TIMEOUT:
                self._give_up(wf_instance_id, ended.message)
            if ended.instance is None:
                raise self._undecided(wf_instance_id, ended.message)
            self._finish(context, ended.instance)
        return wf_instance_id

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral. Where Airflow ended it without an event, see to the run first.

        Airflow says so with the method ``__fail__``, and calls neither ``execute_complete`` nor ``on_kill``.
        """
        if next_method == "__fail__":
            wf_instance_id = self._recorded(context)
            if wf_instance_id is not None:
                self._resume_with(self._start_record(context), int(wf_instance_id), None)
                self._end_without_event(int(wf_instance_id), next_kwargs or {})
        return super().resume_execution(next_method, next_kwargs, context)

    def _recorded(self, context: Context) -> Any:
        """The id of the run that this try has started, or None."""
        ti = context["ti"]
        return ti.xcom_pull(task_ids=ti.task_id, key=XCOM_WF_INSTANCE_ID, map_indexes=ti.map_index)

    def _resume_with(self, record: StartRecord, wf_instance_id: int, is_own: bool | None) -> None:
        self._wf_instance_id = wf_instance_id
        if is_own is None:
            start = record.load()
            is_own = self._is_own if start is None else start.is_own
        self._is_own = is_own

    def _end_without_event(self, wf_instance_id: int, reason: dict[str, Any]) -> NoReturn:
        error = reason.get("error", "Unknown")
        if reason.get("traceback"):
            self.log.error("The trigger failed:\n%s", "\n".join(reason["traceback"]))
        with self._after_start(wf_instance_id):
            if error == "Trigger timeout":
                self._give_up(wf_instance_id, "Airflow ended the deferral")
            raise self._undecided(wf_instance_id, str(error))

    def _defer_until_end(self, found: Found) -> None:
        """Defer, unless the run has ended already; then return."""
        wf_instance_id = found.wf_instance_id
        now = time.time()
        limits = [] if self.timeout is None else [self.timeout]
        if self.execution_timeout is not None:
            limits.append(self.execution_timeout.total_seconds())
        deadline = now + min(limits) if limits else None
        workflow_id = check_id("workflow_id", self.workflow_id)
        try:
            instance = self.hook.get_workflow_instance(workflow_id, wf_instance_id)
            self._snapshots.observe(instance)
            if instance.status.is_terminal:
                return
        except SchedulerXError as error:
            # The trigger has more patience.
            self.log.warning("Cannot look at workflow instance %s: %s", wf_instance_id, error)
        from airflow_provider_schedulerx.triggers.schedulerx import DEFERRAL_MARGIN, WorkflowInstanceTrigger

        self.defer(
            trigger=WorkflowInstanceTrigger.from_task(
                self,
                workflow_id=workflow_id,
                wf_instance_id=wf_instance_id,
                poll_interval=self.poll_interval,
                deadline=deadline,
                started_at=now if found.is_new else None,
                cancel_on_kill=self.cancel_on_kill and found.is_own,
            ),
            method_name="execute_complete",
            kwargs={"workflow_id": workflow_id, "wf_instance_id": wf_instance_id, "is_own": found.is_own},
            # The trigger keeps the deadline itself; this is for a triggerer that is away.
            timeout=None if deadline is None else timedelta(seconds=deadline - now + DEFERRAL_MARGIN),
        )

    def _finish(self, context: Context, instance: WorkflowInstance) -> None:
        """Decide by a run that has ended."""
        self._has_ended = True
        instance = with_nodes(self.hook, instance, self.log)
        for_task(context["ti"], self.log).observe(instance)
        log_run_summary(self.hook, instance, self.log, self.log_lines_on_failure)
        raise_unless_successful(instance)
        self._tell_assets(context, instance.wf_instance_id, status=instance.status.name)
        self.log.info("Workflow instance %s succeeded", instance.wf_instance_id)

    def _tell_assets(self, context: Context, wf_instance_id: int, **outcome: str) -> None:
        """Put the run into the events of the task's outlets, for whoever reads them (``inlet_events``)."""
        for outlet in self.outlets:
            if not isinstance(
                outlet, Asset
            ):  # an alias, say, of which only the task's author knows the asset
                continue
            context["outlet_events"][outlet].extra.update(
                {
                    "WfInstanceId": wf_instance_id,
                    "workflow_id": check_id("workflow_id", self.workflow_id),
                    "console_url": self.hook.console_link(self.workflow_id, wf_instance_id),
                    **outcome,
                }
            )

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return what OpenLineage is told: the run, its workflow, and where to look at it. Also of a failed task."""
        if self._wf_instance_id is None:
            return None
        from airflow_provider_schedulerx.operators.lineage import run_lineage

        return run_lineage(
            self.hook.settings, check_id("workflow_id", self.workflow_id), self._wf_instance_id
        )

    def on_kill(self) -> None:
        """Stop the run, if there is one and ``cancel_on_kill``. Never raises.

        Airflow 3 gives a killed task about 5 seconds, in which at least the first round of stops is made.
        """
        self._was_killed = True
        wf_instance_id = self._wf_instance_id
        if wf_instance_id is None:
            if self._is_starting:
                self.log.error(
                    "The task was interrupted while it started workflow %s: a run may have been started that "
                    "nothing follows. %s",
                    self.workflow_id,
                    "A retry looks for it."
                    if self._is_kept
                    else "Look at the workflow's instances in the SchedulerX console.",
                )
            return
        if self._has_ended:
            return
        if kept := self._why_not_stopped():
            self.log.warning("Workflow instance %s goes on, since %s", wf_instance_id, kept)
            return
        self.log.info("Stopping workflow instance %s", wf_instance_id)
        try:
            last = self.hook.stop_workflow_instance(self.workflow_id, wf_instance_id)
            self._has_ended = last is not None and last.status.is_terminal
        except Exception:
            self.log.exception("Workflow instance %s could not be stopped", wf_instance_id)

    def _why_not_stopped(self) -> str:
        """Why a kill or a timeout leaves the run alone; empty if it does not."""
        if not self.cancel_on_kill:
            return "cancel_on_kill is off"
        return "" if self._is_own else "this task has not started it"

    def _record(self, context: Context, wf_instance_id: int) -> None:
        """Let everybody know of the run, before the wait."""
        context["ti"].xcom_push(key=XCOM_WF_INSTANCE_ID, value=wf_instance_id)
        url = self.hook.console_link(self.workflow_id, wf_instance_id)
        RunPageLink.persist(context)
        WorkflowInstanceLink.persist(context, url)
        self.log.info("Workflow instance %s in the console: %s", wf_instance_id, url)
        if self._was_killed:
            # The signal came while the answer was awaited, so on_kill did not know the id yet.
            self.on_kill()
            self._raise_killed()

    def _wait(self, wf_instance_id: int) -> WorkflowInstance:
        """Look at the run until it has ended. :return: how it was then."""
        tracker = api.tracking.RunTracker(self.poll_failure_tolerance)
        deadline = None if self.timeout is None else time.monotonic() + self.timeout
        while True:
            # Whether time is up is asked first, so that a run that ended meanwhile still counts.
            is_last_look = deadline is not None and time.monotonic() >= deadline
            try:
                instance = self.hook.get_workflow_instance(self.workflow_id, wf_instance_id)
            except SchedulerXError as error:
                if not tracker.observe_failure(error, time.monotonic()):
                    raise self._undecided(wf_instance_id, str(error)) from None
                self.log.warning("Cannot look at workflow instance %s: %s", wf_instance_id, error)
            else:
                self._snapshots.observe(instance)
                verdict, lines = tracker.observe(instance, time.monotonic())
                for line in lines:
                    self.log.info("%s", line)
                if verdict in (api.tracking.Verdict.SUCCESS, api.tracking.Verdict.FAILED):
                    return instance
                if verdict is api.tracking.Verdict.UNDECIDED:
                    raise self._undecided(
                        wf_instance_id,
                        f"it shows the status {instance.status.value}, which is not documented",
                    )
            if is_last_look:
                self._give_up(wf_instance_id)
            self._sleep(deadline)

    def _undecided(
        self, wf_instance_id: int, why: str
    ) -> WorkflowInstanceLostError | WorkflowInstanceUndecidedError:
        return self._lost(
            f"Workflow instance {wf_instance_id} can no longer be followed: {why}. It may be active"
        )

    def _give_up(self, wf_instance_id: int, why: str = "") -> NoReturn:
        """Time is up: stop the run and fail."""
        limit = (
            f"execution_timeout={self.execution_timeout}"
            if self.timeout is None
            else f"timeout={self.timeout:g} s"
        )
        waited = f"Workflow instance {wf_instance_id} has not ended within {limit}" + (
            f" ({why})" if why else ""
        )
        if kept := self._why_not_stopped():
            raise self._lost(f"{waited}; it goes on, since {kept}")
        self.log.error("%s; stopping it", waited)
        last = self.hook.stop_workflow_instance(self.workflow_id, wf_instance_id)
        if last is None or not last.status.is_terminal:
            raise self._lost(f"{waited}; it was told to stop but was not seen to end")
        self._has_ended = True
        raise WorkflowInstanceStoppedError(f"{waited}; it was stopped and is {last.status.name}")

    def _sleep(self, deadline: float | None) -> None:
        seconds = self.poll_interval
        if deadline is not None:
            seconds = min(seconds, deadline - time.monotonic())
        self._pause(seconds)

    def _pause(self, seconds: float) -> None:
        """Sleep, in short pieces: on_kill runs in a signal handler, after which a long sleep would go on."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._was_killed:
                self._raise_killed()
            time.sleep(min(left, 1.0))

    def _raise_killed(self) -> NoReturn:
        """After on_kill."""
        if self._wf_instance_id is None:
            raise self._lost(f"The task was killed while it looked for a run of workflow {self.workflow_id}")
        killed = f"The task was killed while workflow instance {self._wf_instance_id} ran"
        if self._has_ended:
            raise WorkflowInstanceStoppedError(f"{killed}, which was stopped")
        raise self._lost(f"{killed}, which may be active")


def _is_literal(value: Any) -> bool:
    """Whether a templated field's value is final: no template, no XCom of another task in it."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    if isinstance(value, dict):
        return all(_is_literal(key) and _is_literal(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_literal, value))
    return value is None or isinstance(value, int | float)
