"""Start a SchedulerX workflow or job from a DAG, and follow it to its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError
from airflow_provider_schedulerx.api.parameters import check_flag, is_literal
from airflow_provider_schedulerx.hooks.definitions import check_literal_definition
from airflow_provider_schedulerx.hooks.scoped import SCOPE_ARGUMENTS
from airflow_provider_schedulerx.links.schedulerx import JOB_LINKS, RUN_LINKS
from airflow_provider_schedulerx.operators.designation import DesignateType, check_designation
from airflow_provider_schedulerx.operators.executing import ExecuteOperator

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.kinds import RunKind
    from airflow_provider_schedulerx.operators.start_store import StartStore
    from airflow_provider_schedulerx.triggers.run import RunTrigger

__all__ = ["XCOM_JOB_INSTANCE_ID", "XCOM_WF_INSTANCE_ID", "ExecuteJobOperator", "ExecuteWorkflowOperator"]

#: Key under which the id of the run of a workflow is pushed to XCom.
XCOM_WF_INSTANCE_ID = "WfInstanceId"
#: The same for a job.
XCOM_JOB_INSTANCE_ID = "JobInstanceId"


class ExecuteWorkflowOperator(ExecuteOperator):
    """Start a run of a SchedulerX workflow (``ExecuteWorkflow``) and, by default, wait until it has ended.

    The id of the run is pushed to XCom as ``WfInstanceId`` right after the start, together with ``workflow_id`` and the
    URL of the run for the task's extra link, and is also what the task returns. Events of assets among the task's
    ``outlets`` carry ``WfInstanceId``, ``workflow_id``, ``console_url`` and, after a wait, ``status`` as extra.

    **Never twice, never lost.** ``ExecuteWorkflow`` has no idempotency token. So the task writes to Airflow's task
    state store (Airflow 3.3) that it is about to start a run, and then which one it has started. A retry follows a run
    that is active, returns one that has succeeded, and starts another only if the run has failed. A run whose id was
    lost, with its answer or its worker, is looked for; where nobody can tell, the task fails **without** a retry and
    names the candidates. With ``run_marker`` all this works on every version of Airflow, and is certain. A **cleared**
    task stops its earlier run and starts a new one.

    Where a retry could not know the run (below Airflow 3.3 without a marker, or with ``durable=False``), whatever
    leaves a run active fails the task without a retry, because a retry would start a second run beside it.

    :param workflow_id: id of the workflow. (templated)
    :param workflow_name: its exact name instead, for ids that differ between environments. It is looked up with
        ``ListWorkFlows`` once for each start: none or several of that name fail the task, and a retry keeps the id that
        was found. (templated)
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
    :param poll_failure_tolerance: seconds for which polls may fail in a row, if the fault is transient.
    :param deferrable: wait in the triggerer rather than on a worker; by default as ``[operators] default_deferrable``
        says. All deferred tasks of a triggerer that wait for runs of the same workflow share one poller.
    :param cancel_on_kill: stop the run when the task is killed or its time is up. No operation of the service stops a
        run, so its active nodes are stopped until it has ended. Stopped is not ended: code of a job that does not react
        to a kill may still run. A run that the task did not start is never stopped. A worker that shuts down (a
        deploy, say) does not stop the run, if a retry of the task can take it up.
    :param durable: False forgets everything between tries, and looks for no run after a lost answer.
    :param on_retry: what a retry does. ``reattach``: as above. ``restart``: a run that is still active is stopped
        first, and then another started. ``rerun_failed``: in a run that has failed, only the failed nodes run again
        (``RetryJobInstance``; Professional edition), and the same run is followed. One that has succeeded is
        returned in any case.
    :param if_running: what to do if the workflow has an active run already that is not the task's own: ``start``
        another, ``reattach`` to the newest one instead, ``skip`` the task, or ``fail``. Another run can begin between
        the check and the start. Whether the service lists waiting runs is not documented.
    :param run_marker: add a text of 16 characters to the instance parameters that all tries of this task share and no
        other task has, under the key ``airflow_run`` or the one given. The parameters must be a JSON object (or none).
    :param settling_time: seconds, or a timedelta, after which ``ListWorkflowInstance`` shows a run that was started,
        and ``GetWorkflowInstance`` knows it. It is not documented. A run that is not listed by then was not
        started.
    :param log_lines_on_failure: last lines of each failed node's own log to show in the task's log (``GetLog``;
        Professional edition with its log service); 0 for none. Faults of the log service are never fatal.
    """

    kind_name = "workflow"
    operator_extra_links = RUN_LINKS
    template_fields: Sequence[str] = (
        "workflow_id",
        "workflow_name",
        "instance_parameters",
        *SCOPE_ARGUMENTS,
    )

    def __init__(
        self, *, workflow_id: int | str | None = None, workflow_name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.workflow_id = workflow_id
        self.workflow_name = workflow_name
        check_literal_definition(self.kind, self)

    def trigger_class(self) -> type[RunTrigger]:
        """Return what waits for an instance of a workflow in the triggerer."""
        from airflow_provider_schedulerx.triggers.schedulerx import WorkflowInstanceTrigger

        return WorkflowInstanceTrigger


class ExecuteJobOperator(ExecuteOperator):
    """Start a run of a SchedulerX job (``ExecuteJob``) and, by default, wait until it has ended.

    The id of the run is pushed to XCom as ``JobInstanceId`` right after the start, together with ``job_id`` and the URL
    of the run for the task's extra link, and is also what the task returns. Events of assets among the task's
    ``outlets`` carry ``JobInstanceId``, ``job_id``, ``console_url`` and, after a wait, ``status`` as extra.

    **Never twice, never lost**, exactly as :class:`ExecuteWorkflowOperator`. The service starts a job at most once a
    second; a start that it refuses for this reason is repeated some seconds later.

    Only a run that the service shows as successful succeeds. One that was partly done, rejected, killed, skipped or
    removed fails the task.

    :param job_id: id of the job. (templated)
    :param job_name: its exact name instead, for ids that differ between environments. It is looked up with ``ListJobs``
        once for each start: none or several of that name fail the task, and a retry keeps the id that was found.
        (templated)
    :param instance_parameters: what the job gets from ``context.getInstanceParameters()``: a str, sent as it is, or a
        mapping, sequence, number or bool that becomes compact JSON; at most 1,000 bytes of UTF-8 (documented for
        workflows). (templated)
    :param check_job_status: False also runs a job that is disabled.
    :param designate_type: ``worker`` or ``label``: run the job on that worker, or on one with that label; None lets the
        service choose.
    :param worker: address of the worker, as ``GetWorkerList`` shows it. (templated)
    :param worker_label: label of the workers; ``label`` is the name of a task in Airflow. (templated)
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
    :param poll_failure_tolerance: seconds for which polls may fail in a row, if the fault is transient.
    :param deferrable: wait in the triggerer rather than on a worker; by default as ``[operators] default_deferrable``
        says. All deferred tasks of a triggerer that wait for runs of the same job share one poller.
    :param cancel_on_kill: stop the run when the task is killed or its time is up (``StopInstance``). Stopped is not
        ended: code of a job that does not react to a kill may still run. A run that the task did not start is never
        stopped. A worker that shuts down (a deploy, say) does not stop the run, if a retry of the task can take it up.
    :param durable: False forgets everything between tries, and looks for no run after a lost answer.
    :param on_retry: what a retry does. ``reattach``: as above. ``restart``: a run that is still active is stopped
        first, and then another started. ``rerun_failed``: a run that has failed runs again as the same instance
        (``RetryJobInstance``; Professional edition), and is followed. One that has succeeded is
        returned in any case.
    :param if_running: what to do if the job has an active run already that is not the task's own: ``start``
        another, ``reattach`` to the newest one instead, ``skip`` the task, or ``fail``. Another run can begin between
        the check and the start. Whether the service lists waiting runs is not documented.
    :param run_marker: add a text of 16 characters to the instance parameters that all tries of this task share and no
        other task has, under the key ``airflow_run`` or the one given. The parameters must be a JSON object (or none).
    :param settling_time: seconds, or a timedelta, after which ``GetJobInstanceList`` shows a run that was started,
        and ``GetJobInstance`` knows it. It is not documented. A run that is not listed by then was not
        started.
    :param log_lines_on_failure: last lines of the job's own log to show in the task's log if it fails (``GetLog``;
        Professional edition with its log service); 0 for none. Faults of the log service are never fatal.
    """

    kind_name = "job"
    operator_extra_links = JOB_LINKS
    template_fields: Sequence[str] = (
        "job_id",
        "job_name",
        "instance_parameters",
        "worker",
        "worker_label",
        *SCOPE_ARGUMENTS,
    )

    def __init__(
        self,
        *,
        job_id: int | str | None = None,
        job_name: str | None = None,
        check_job_status: bool = True,
        designate_type: DesignateType | None = None,
        worker: str | None = None,
        worker_label: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        self.job_name = job_name
        self.check_job_status: bool = check_flag("check_job_status", check_job_status)
        self.designate_type = designate_type
        self.worker = worker
        self.worker_label = worker_label
        check_literal_definition(self.kind, self)
        # A template is something, whatever it becomes.
        check_designation(
            designate_type, *(each if is_literal(each) else "template" for each in (worker, worker_label))
        )

    @property
    def kind(self) -> RunKind:
        """Runs of jobs, started as the arguments say."""
        try:
            designation = check_designation(self.designate_type, self.worker, self.worker_label)
        except SchedulerXConfigurationError:
            designation = None  # then nothing is started, see _definition_of_try()
        return api.job_runs.JobRuns(self.check_job_status, designation)

    def _definition_of_try(self, store: StartStore) -> int:
        # Also where the id is that of the previous try: a worker that was not rendered must not become any worker.
        check_designation(self.designate_type, self.worker, self.worker_label)
        return super()._definition_of_try(store)

    def trigger_class(self) -> type[RunTrigger]:
        """Return what waits for a job instance in the triggerer."""
        from airflow_provider_schedulerx.triggers.schedulerx import JobInstanceTrigger

        return JobInstanceTrigger
