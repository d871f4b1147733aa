"""Start a SchedulerX workflow from a DAG, and follow it to its end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.common.compat.sdk import AirflowException, BaseOperator, conf

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAmbiguousError,
    SchedulerXError,
)
from airflow_provider_schedulerx.api.parameters import (
    check_id,
    check_seconds,
    encode_instance_parameters,
)
from airflow_provider_schedulerx.exceptions import (
    WorkflowInstanceStoppedError,
    WorkflowInstanceUndecidedError,
    raise_unless_successful,
)
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.links.schedulerx import WorkflowInstanceLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_schedulerx.api.models import WorkflowInstance

#: Key under which the id of the run is pushed to XCom.
XCOM_WF_INSTANCE_ID = "WfInstanceId"


class ExecuteWorkflowOperator(BaseOperator):
    """Start a run of a SchedulerX workflow (``ExecuteWorkflow``) and, by default, wait until it has ended.

    The id of the run is pushed to XCom as ``WfInstanceId`` right after the start, together with the
    URL of the run for the task's extra link, and is also what the task returns.

    The task fails when the run fails; a retry then starts a new run. Where it cannot be known how a
    run goes or whether there is one, the task fails **without** a retry
    (:class:`~airflow_provider_schedulerx.exceptions.WorkflowInstanceUndecidedError`), because a retry
    would start a second run beside it.

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
    :param timeout: seconds, or a timedelta, to wait for the end of the run; None waits without limit.
        Then the run is looked at once more, stopped if ``cancel_on_kill``, and the task fails.
        ``execution_timeout`` does the same; without deferral it is enforced by Airflow.
    :param poll_failure_tolerance: seconds for which looks at the run may fail in a row, if the fault is a
        passing one (network, throttling).
    :param deferrable: wait in the triggerer rather than on a worker; by default as
        ``[operators] default_deferrable`` says. All deferred tasks of a triggerer that wait for runs of
        the same workflow share one poller, and all of them together keep to the account's quota.
    :param cancel_on_kill: stop the run when the task is killed or waiting times out. No operation of
        the service stops a run, so its active nodes are stopped until it has ended.
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
    operator_extra_links = (WorkflowInstanceLink(),)
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
        # What is written out in the DAG file is wrong already when the file is parsed.
        if _is_literal(workflow_id):
            check_id("workflow_id", workflow_id)
        if _is_literal(instance_parameters):
            encode_instance_parameters(instance_parameters)

        self._wf_instance_id: int | None = None
        self._is_starting = False
        self._has_ended = False
        self._was_killed = False

    @cached_property
    def hook(self) -> SchedulerXHook:
        """The hook for this task's connection and scope."""
        return SchedulerXHook.of(self)

    def execute(self, context: Context) -> int:
        """Start the run and follow it. :return: the ``WfInstanceId``."""
        wf_instance_id = self._start()
        with self._after_start(wf_instance_id):
            self._record(context, wf_instance_id)
            if not self.wait_for_completion:
                return wf_instance_id
            if self.deferrable:
                self._defer_until_end(wf_instance_id)
            self._finish(self._wait(wf_instance_id))
        return wf_instance_id

    @contextmanager
    def _after_start(self, wf_instance_id: int) -> Iterator[None]:
        """Whatever goes wrong now, a retry would start a second run: only our own errors may allow one."""
        try:
            yield
        except AirflowException:
            raise
        except Exception as error:
            raise WorkflowInstanceUndecidedError(
                f"Workflow instance {wf_instance_id} was started, but then: {type(error).__name__}: {error}. It may be "
                "active, so the task is not retried, since that would start a second run"
            ) from error

    def execute_complete(
        self,
        context: Context,
        event: Any = None,
        workflow_id: int | None = None,
        wf_instance_id: int | None = None,
    ) -> int:
        """Go on after the wait in the triggerer, exactly as without one. :return: the ``WfInstanceId``.

        :param event: of :class:`~airflow_provider_schedulerx.triggers.schedulerx.WorkflowInstanceTrigger`.
        :param workflow_id: as it was at the start, whatever a template gives now. ``dag.test()`` of Airflow
            2.11 loses this and the next one; then they are looked up again.
        :param wf_instance_id: the run that was deferred for.
        """
        if workflow_id is None:
            workflow_id = check_id("workflow_id", self.workflow_id)
        if wf_instance_id is None:
            wf_instance_id = check_id("wf_instance_id", self._recorded(context))
        self.workflow_id = workflow_id
        self._wf_instance_id = wf_instance_id
        try:
            ended = api.events.TerminalEvent.parse(
                event, workflow_id=workflow_id, wf_instance_id=wf_instance_id
            )
        except api.events.MalformedEventError as error:
            raise WorkflowInstanceUndecidedError(
                f"The trigger's event cannot be used: {error}. Workflow instance {wf_instance_id} may be active, so "
                "the task is not retried, since that would start a second run"
            ) from None
        with self._after_start(wf_instance_id):
            if ended.outcome is api.events.Outcome.TIMEOUT:
                self._give_up(wf_instance_id, ended.message)
            if ended.instance is None:
                raise self._undecided(wf_instance_id, ended.message)
            self._finish(ended.instance)
        return wf_instance_id

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral. Where Airflow ended it without an event, see to the run first.

        Airflow says so with the method ``__fail__``, and calls neither ``execute_complete`` nor ``on_kill``.
        """
        if next_method == "__fail__":
            wf_instance_id = self._recorded(context)
            if wf_instance_id is not None:
                self._end_without_event(int(wf_instance_id), next_kwargs or {})
        return super().resume_execution(next_method, next_kwargs, context)

    def _recorded(self, context: Context) -> Any:
        """The id of the run that this try has started, or None."""
        ti = context["ti"]
        return ti.xcom_pull(task_ids=ti.task_id, key=XCOM_WF_INSTANCE_ID, map_indexes=ti.map_index)

    def _end_without_event(self, wf_instance_id: int, reason: dict[str, Any]) -> NoReturn:
        self._wf_instance_id = wf_instance_id
        error = reason.get("error", "Unknown")
        if reason.get("traceback"):
            self.log.error("The trigger failed:\n%s", "\n".join(reason["traceback"]))
        with self._after_start(wf_instance_id):
            if error == "Trigger timeout":
                self._give_up(wf_instance_id, "Airflow ended the deferral")
            raise self._undecided(wf_instance_id, str(error))

    def _defer_until_end(self, wf_instance_id: int) -> None:
        """Defer, unless the run has ended already; then return."""
        now = time.time()
        limits = [] if self.timeout is None else [self.timeout]
        if self.execution_timeout is not None:
            limits.append(self.execution_timeout.total_seconds())
        deadline = now + min(limits) if limits else None
        workflow_id = check_id("workflow_id", self.workflow_id)
        try:
            if self.hook.get_workflow_instance(workflow_id, wf_instance_id).status.is_terminal:
                return
        except SchedulerXError as error:
            # The trigger has more patience.
            self.log.warning("Cannot look at workflow instance %s: %s", wf_instance_id, error)
        from airflow_provider_schedulerx.triggers.schedulerx import DEFERRAL_MARGIN, WorkflowInstanceTrigger

        self.defer(
            trigger=WorkflowInstanceTrigger.of(
                self,
                workflow_id=workflow_id,
                wf_instance_id=wf_instance_id,
                poll_interval=self.poll_interval,
                deadline=deadline,
                started_at=now,
                cancel_on_kill=self.cancel_on_kill,
            ),
            method_name="execute_complete",
            kwargs={"workflow_id": workflow_id, "wf_instance_id": wf_instance_id},
            # The trigger keeps the deadline itself; this is for a triggerer that is away.
            timeout=None if deadline is None else timedelta(seconds=deadline - now + DEFERRAL_MARGIN),
        )

    def _finish(self, instance: WorkflowInstance) -> None:
        """Decide by a run that has ended."""
        wf_instance_id = instance.wf_instance_id
        self._has_ended = True
        if instance.nodes:
            self.log.info(
                "Nodes of workflow instance %s:\n%s", wf_instance_id, api.following.node_table(instance)
            )
        raise_unless_successful(instance)
        self.log.info("Workflow instance %s succeeded", wf_instance_id)

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
                    "nothing follows. Look at the workflow's instances in the SchedulerX console.",
                    self.workflow_id,
                )
            return
        if self._has_ended:
            return
        if not self.cancel_on_kill:
            self.log.warning("Workflow instance %s goes on, since cancel_on_kill is off", wf_instance_id)
            return
        self.log.info("Stopping workflow instance %s", wf_instance_id)
        try:
            last = self.hook.stop_workflow_instance(self.workflow_id, wf_instance_id)
            self._has_ended = last is not None and last.status.is_terminal
        except Exception:
            self.log.exception("Workflow instance %s could not be stopped", wf_instance_id)

    def _start(self) -> int:
        self._is_starting = True
        try:
            wf_instance_id = self.hook.execute_workflow(self.workflow_id, self.instance_parameters)
        except SchedulerXAmbiguousError as error:
            raise WorkflowInstanceUndecidedError(
                f"{error}. A run of workflow {self.workflow_id} may have been started. The task is not retried, "
                "since that could start a second one: look at the workflow's instances in the SchedulerX "
                "console, then clear the task to start a run, or mark it as success if one is there and good."
            ) from None
        self._wf_instance_id = wf_instance_id
        self._is_starting = False
        return wf_instance_id

    def _record(self, context: Context, wf_instance_id: int) -> None:
        """Let everybody know of the run, before the wait."""
        context["ti"].xcom_push(key=XCOM_WF_INSTANCE_ID, value=wf_instance_id)
        url = self.hook.console_link(self.workflow_id, wf_instance_id)
        WorkflowInstanceLink.persist(context, url)
        self.log.info("Workflow instance %s in the console: %s", wf_instance_id, url)
        if self._was_killed:
            # The signal came while the answer was awaited, so on_kill did not know the id yet.
            self.on_kill()
            self._raise_killed()

    def _wait(self, wf_instance_id: int) -> WorkflowInstance:
        """Look at the run until it has ended. :return: how it was then."""
        follower = api.following.Follower(self.poll_failure_tolerance)
        deadline = None if self.timeout is None else time.monotonic() + self.timeout
        while True:
            # Whether time is up is asked first, so that a run that ended meanwhile still counts.
            is_last_look = deadline is not None and time.monotonic() >= deadline
            try:
                instance = self.hook.get_workflow_instance(self.workflow_id, wf_instance_id)
            except SchedulerXError as error:
                if not follower.missed(error, time.monotonic()):
                    raise self._undecided(wf_instance_id, str(error)) from None
                self.log.warning("Cannot look at workflow instance %s: %s", wf_instance_id, error)
            else:
                verdict, lines = follower.saw(instance, time.monotonic())
                for line in lines:
                    self.log.info("%s", line)
                if verdict in (api.following.Verdict.SUCCESS, api.following.Verdict.FAILED):
                    return instance
                if verdict is api.following.Verdict.UNDECIDED:
                    raise self._undecided(
                        wf_instance_id,
                        f"it shows the status {instance.status.value}, which is not documented",
                    )
            if is_last_look:
                self._give_up(wf_instance_id)
            self._sleep(deadline)

    def _undecided(self, wf_instance_id: int, why: str) -> WorkflowInstanceUndecidedError:
        return WorkflowInstanceUndecidedError(
            f"Workflow instance {wf_instance_id} can no longer be followed: {why}. It may be active, so the task is "
            "not retried, since that would start a second run"
        )

    def _give_up(self, wf_instance_id: int, why: str = "") -> NoReturn:
        """Time is up: stop the run and fail. Airflow may retry only if the run has surely ended."""
        limit = (
            f"execution_timeout={self.execution_timeout}"
            if self.timeout is None
            else f"timeout={self.timeout:g} s"
        )
        waited = f"Workflow instance {wf_instance_id} has not ended within {limit}" + (
            f" ({why})" if why else ""
        )
        if not self.cancel_on_kill:
            raise WorkflowInstanceUndecidedError(
                f"{waited}; it goes on, since cancel_on_kill is off, so the task is not retried"
            )
        self.log.error("%s; stopping it", waited)
        last = self.hook.stop_workflow_instance(self.workflow_id, wf_instance_id)
        if last is None or not last.status.is_terminal:
            raise WorkflowInstanceUndecidedError(
                f"{waited}; it was told to stop but was not seen to end, so the task is not retried"
            )
        self._has_ended = True
        raise WorkflowInstanceStoppedError(f"{waited}; it was stopped and is {last.status.name}")

    def _sleep(self, deadline: float | None) -> None:
        end = time.monotonic() + self.poll_interval
        if deadline is not None:
            end = min(end, deadline)
        # In short pieces: on_kill runs in a signal handler, after which a long sleep would go on.
        while (left := end - time.monotonic()) > 0:
            if self._was_killed:
                self._raise_killed()
            time.sleep(min(left, 1.0))

    def _raise_killed(self) -> NoReturn:
        """After on_kill. Airflow may retry only if the run has surely ended."""
        killed = f"The task was killed while workflow instance {self._wf_instance_id} ran"
        if self._has_ended:
            raise WorkflowInstanceStoppedError(f"{killed}, which was stopped")
        raise WorkflowInstanceUndecidedError(f"{killed}, which may be active, so the task is not retried")


def _is_literal(value: Any) -> bool:
    """Whether a templated field's value is final: no template, no XCom of another task in it."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    if isinstance(value, dict):
        return all(_is_literal(key) and _is_literal(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_literal, value))
    return value is None or isinstance(value, int | float)
