"""Wait for a SchedulerX run that something else has started."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_schedulerx import api, version_compat
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXConfigurationError,
    SchedulerXError,
    SchedulerXNotFoundError,
)
from airflow_provider_schedulerx.api.parameters import (
    MIN_POLL_INTERVAL,
    check_count,
    check_flag,
    check_id,
    check_literal_id,
    check_seconds,
)
from airflow_provider_schedulerx.base import ScopedOperator
from airflow_provider_schedulerx.exceptions import (
    RunFailedError,
    RunNotFollowableError,
    RunSensorError,
    raise_unless_successful,
)
from airflow_provider_schedulerx.hooks.report import (
    DEFAULT_LOG_LINES,
    FaultLog,
    learn_secrets,
    log_run_summary,
    with_nodes,
)
from airflow_provider_schedulerx.hooks.runs import RunCalls
from airflow_provider_schedulerx.hooks.scoped import SCOPE_ARGUMENTS
from airflow_provider_schedulerx.links.schedulerx import RUN_LINKS, persist_links
from airflow_provider_schedulerx.run_page.writer import NullWriter, SnapshotWriter, for_task

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_schedulerx.api.models import WorkflowInstance
    from airflow_provider_schedulerx.api.runs.kinds import Run


class WorkflowInstanceSensor(ScopedOperator, BaseSensorOperator):
    """Wait until a run of a SchedulerX workflow has succeeded; return its ``WfInstanceId``.

    It fails as soon as the run has failed, naming the failed nodes, rather than poke until its timeout.
    It never stops a run, since it did not start it.

    The usual arguments of a sensor apply: ``mode`` (``poke`` or ``reschedule``), ``poke_interval``
    (seconds, at least 0.1), ``timeout``, ``soft_fail``.

    In mode ``reschedule`` every poke is a new process, which knows only when the first one was. For 60
    seconds after that the service may not know the run; later that is final. A status that is not documented
    then fails the sensor if a node has failed and none is in progress; otherwise the run is followed until
    ``timeout``.

    :param workflow_id: id of the workflow. (templated)
    :param wf_instance_id: id of the run, such as ``operator.output`` of an
        :class:`~airflow_provider_schedulerx.operators.schedulerx.ExecuteWorkflowOperator` with
        ``wait_for_completion=False``. (templated)
    :param schedulerx_conn_id: the connection. (templated)
    :param region_id: region; overrides the connection's, as do the next three. (templated)
    :param namespace: uid of the namespace. (templated)
    :param namespace_source: source of the namespace. (templated)
    :param group_id: application group. (templated)
    :param poll_failure_tolerance: seconds for which polls may fail in a row, if the fault is a passing one
        (network); at least three of them have to fail, and throttled ones do not count. In mode
        ``reschedule`` passing faults are tolerated until ``timeout``.
    :param deferrable: wait in the triggerer, which shares its calls between all that wait for runs of
        the same workflow; by default as ``[operators] default_deferrable`` says. ``poke_interval`` is then
        how late the end may be noticed.
    :param log_lines_on_failure: last lines of each failed node's own log to show; 0 for none.
    :raises SchedulerXConfigurationError: if an argument cannot be used, naming it.
    """

    # Not start_from_trigger, though Airflow 3.3 renders the templates of a trigger: the arguments of such a
    # trigger are fixed when the DAG is serialized, so they cannot say when this try times out. Airflow's own
    # timeout would end the task without execute_complete, hence without soft_fail and the error of a sensor,
    # and nobody would push the link.
    template_fields: Sequence[str] = (
        "workflow_id",
        "wf_instance_id",
        *SCOPE_ARGUMENTS,
    )
    operator_extra_links = RUN_LINKS
    ui_color = "#fff1df"

    def __init__(
        self,
        *,
        workflow_id: int | str,
        wf_instance_id: Any,
        poke_interval: float | timedelta = 30,
        poll_failure_tolerance: float | timedelta = 600,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        log_lines_on_failure: int = DEFAULT_LOG_LINES,
        **kwargs: Any,
    ) -> None:
        interval = check_seconds("poke_interval", poke_interval, minimum=MIN_POLL_INTERVAL)
        super().__init__(poke_interval=interval, **kwargs)
        self.workflow_id = workflow_id
        self.wf_instance_id = wf_instance_id
        self.poll_failure_tolerance: float = check_seconds("poll_failure_tolerance", poll_failure_tolerance)
        self.deferrable: bool = check_flag("deferrable", deferrable)
        self.log_lines_on_failure: int = check_count("log_lines_on_failure", log_lines_on_failure)
        check_literal_id("workflow_id", workflow_id)
        check_literal_id("wf_instance_id", wf_instance_id)
        self._snapshots: SnapshotWriter = NullWriter()

    @cached_property
    def _tracker(self) -> api.tracking.RunTracker:
        return api.tracking.RunTracker(self.poll_failure_tolerance)

    def _tracker_after(self, waited: float) -> api.tracking.RunTracker:
        """What decides by a poll, ``waited`` seconds after the first one of another process."""
        if not self.reschedule:
            return self._tracker
        # It cannot know for how long polls have failed, but how much of the settling time is left.
        return api.tracking.RunTracker(float("inf"), api.tracking.SETTLING_SECONDS - waited)

    def _waited(self, context: Context) -> float:
        """Seconds since the first poke, in mode ``reschedule``; 0 in others, and for the first."""
        began = version_compat.first_reschedule_date(context) if self.reschedule else None
        return 0.0 if began is None else max(0.0, (datetime.now(UTC) - began).total_seconds())

    @cached_property
    def _faults(self) -> FaultLog:
        return FaultLog(self.log, f"workflow instance {self.wf_instance_id}")

    def execute(self, context: Context) -> Any:
        """Wait here or, if deferrable, in the triggerer.

        :return: the ``WfInstanceId``.
        :raises RunFailedError: if the run has failed.
        :raises RunNotFollowableError: if no retry can follow it either: see there.
        :raises RunSensorError: if it can no longer be followed.
        """
        try:
            return self._wait(context)
        except (RunFailedError, RunSensorError) as error:
            # After a deferral Airflow does this for every error; before, only for some.
            if self.soft_fail or getattr(self, "never_fail", False):
                raise AirflowSkipException(f"Skipped because of soft_fail: {error}") from error
            raise

    def _wait(self, context: Context) -> Any:
        with _configuration_faults_are_final():
            workflow_id = check_id("workflow_id", self.workflow_id)
            wf_instance_id = check_id("wf_instance_id", self.wf_instance_id)
            # The connection first: what is wrong with it is no matter of the link.
            _ = self.hook.settings
        persist_links(context, self.hook, workflow_id, wf_instance_id, self.log)
        self._snapshots = for_task(context["ti"], self.log)
        if not self.deferrable:
            return super().execute(context)
        # Polled here first, once: a run that has ended already never defers, and all else waits in the
        # triggerer, whose calls keep to a budget.
        if done := self._take(lambda: self._poll_once(workflow_id, wf_instance_id)):
            return done.xcom_value
        from airflow_provider_schedulerx.triggers.run import DEFERRAL_MARGIN
        from airflow_provider_schedulerx.triggers.schedulerx import WorkflowInstanceTrigger

        self.defer(
            trigger=WorkflowInstanceTrigger.from_task(
                self,
                definition_id=workflow_id,
                instance_id=wf_instance_id,
                poll_interval=max(1.0, float(self.poke_interval)),
                deadline=time.time() + self.timeout,
                cancel_on_kill=False,
            ),
            method_name="execute_complete",
            kwargs={"workflow_id": workflow_id, "wf_instance_id": wf_instance_id},
            timeout=timedelta(seconds=self.timeout + DEFERRAL_MARGIN),
        )

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll once.

        :return: whether the run has succeeded, with its ``WfInstanceId`` then.
        :raises RunFailedError: if the run has failed.
        :raises RunNotFollowableError: if no retry can follow it either: see there.
        :raises RunSensorError: if it can no longer be followed.
        """
        return self._take(
            lambda: self.hook.get_workflow_instance(self.workflow_id, self.wf_instance_id),
            self._waited(context),
        )

    def _poll_once(self, workflow_id: int, wf_instance_id: int) -> WorkflowInstance:
        """Poll in one try: a passing fault is the triggerer's to wait out."""
        call = api.calls.get_workflow_instance(self.hook.scope, workflow_id, wf_instance_id)
        return self.hook.single_try_transport.perform(call)

    def _take(self, poll: Callable[[], WorkflowInstance], waited: float = 0.0) -> PokeReturnValue:
        """Poll, and decide.

        :param waited: see :meth:`_waited`.
        """
        tracker = self._tracker_after(waited)
        try:
            with _configuration_faults_are_final():
                instance = poll()
        except SchedulerXError as error:
            if not tracker.observe_failure(error, time.monotonic()):
                is_final = isinstance(error, SchedulerXNotFoundError)
                kind = RunNotFollowableError if is_final else RunSensorError
                raise kind(
                    f"Workflow instance {self.wf_instance_id} can no longer be followed: {error}"
                ) from None
            self._faults.failed(error)
            return PokeReturnValue(is_done=False)
        self._faults.succeeded()
        self._snapshots.observe(instance)
        verdict, lines = tracker.observe(instance, time.monotonic())
        for line in lines:
            self.log.info("%s", line)
        if verdict is api.tracking.Verdict.UNDECIDED:
            raise RunSensorError(
                f"Workflow instance {self.wf_instance_id} shows the status {instance.status.value}, which is "
                "not documented"
            )
        # Polls in a row that show a status outside the documented ones cannot be counted across processes.
        # What a run shows that has failed for certain does not pass, so one look is enough.
        is_certain = waited > api.tracking.SETTLING_SECONDS and api.tracking.has_failed(instance)
        if verdict is api.tracking.Verdict.ACTIVE and not is_certain:
            return PokeReturnValue(is_done=False)
        return self._finish(instance)

    def execute_complete(
        self,
        context: Context,
        event: Any = None,
        workflow_id: int | None = None,
        wf_instance_id: int | None = None,
    ) -> int:
        """Finish after the wait in the triggerer, exactly as without one.

        :param event: of :class:`~airflow_provider_schedulerx.triggers.schedulerx.WorkflowInstanceTrigger`.
        :param workflow_id: as it was at the first poll. ``dag.test()`` of Airflow 2.11 loses this and the
            next one; then the sensor's own are taken.
        :param wf_instance_id: the run that was deferred for.
        :return: the ``WfInstanceId``.
        :raises AirflowSensorTimeout: if ``timeout`` has passed.
        :raises RunFailedError: if the run has failed.
        :raises RunNotFollowableError: if no retry can follow it either: see there.
        :raises RunSensorError: if it can no longer be followed.
        """
        with _configuration_faults_are_final():
            if workflow_id is None:
                workflow_id = check_id("workflow_id", self.workflow_id)
            if wf_instance_id is None:
                wf_instance_id = check_id("wf_instance_id", self.wf_instance_id)
        try:
            ended = api.events.TerminalEvent.parse(
                event,
                api.kinds.WORKFLOW_RUNS,
                definition_id=workflow_id,
                instance_id=wf_instance_id,
            )
        except api.events.MalformedEventError as error:
            raise RunSensorError(f"The trigger's event cannot be used: {error}") from None
        if ended.outcome is api.events.Outcome.TIMEOUT:
            raise AirflowSensorTimeout(
                f"Workflow instance {wf_instance_id} has not ended within timeout={self.timeout:g} s "
                f"({ended.message})"
            )
        if ended.run is None:
            raise self._after_trigger_gave_up(workflow_id, wf_instance_id)(
                f"Workflow instance {wf_instance_id} can no longer be followed: {ended.message}"
            )
        self._snapshots = for_task(context["ti"], self.log)
        self._finish(ended.run)
        return wf_instance_id

    def _after_trigger_gave_up(self, workflow_id: int, wf_instance_id: int) -> type[RunSensorError]:
        """Look once more, since the trigger's event does not say whether a retry can change anything."""
        try:
            self._poll_once(workflow_id, wf_instance_id)
        except (SchedulerXConfigurationError, SchedulerXNotFoundError):
            return RunNotFollowableError
        except Exception as error:
            self.log.warning("Workflow instance %s cannot be polled: %s", wf_instance_id, error)
        return RunSensorError

    def _finish(self, instance: Run) -> PokeReturnValue:
        learn_secrets(self.hook)
        instance = with_nodes(RunCalls(self.hook, api.kinds.WORKFLOW_RUNS), instance, self.log)
        self._snapshots.observe(instance)
        log_run_summary(self.hook, instance, self.log, self.log_lines_on_failure)
        raise_unless_successful(instance)
        return PokeReturnValue(is_done=True, xcom_value=instance.instance_id)


@contextmanager
def _configuration_faults_are_final() -> Iterator[None]:
    try:
        yield
    except SchedulerXConfigurationError as error:
        raise RunNotFollowableError(str(error)) from None
