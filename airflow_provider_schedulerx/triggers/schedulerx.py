"""Wait for SchedulerX runs in the triggerer."""

from __future__ import annotations

from typing import Any

from airflow_provider_schedulerx.triggers.run import RunTrigger


class WorkflowInstanceTrigger(RunTrigger):
    """Wait until a run of a workflow has ended, and fire one event
    (:class:`~airflow_provider_schedulerx.api.runs.events.TerminalEvent`).

    All triggers of a process that wait for runs of the same workflow share one poller, which asks for
    all of these runs with one call and keeps to the account's quota.

    Its arguments are JSON, and none is a secret. A stopped, killed or redistributed triggerer neither
    stops nor loses a run: the trigger starts again with the same arguments.

    :param workflow_id: id of the workflow.
    :param wf_instance_id: id of the run.
    :param schedulerx_conn_id: the connection.
    :param region_id: region; overrides the connection's, as do the next three.
    :param namespace: uid of the namespace.
    :param namespace_source: source of the namespace.
    :param group_id: application group.
    :param poll_interval: seconds by which the end may be noticed late, if the quota allows.
    :param deadline: epoch seconds at which waiting ends; None waits without limit. The event comes at most 10 s later.
    :param started_at: epoch seconds at which the run was started, if that is known.
    :param poll_failure_tolerance: seconds for which polls may fail in a row, if the fault is transient; at least
        three of them have to fail, and throttled ones do not count.
    :param settling_time: seconds for which the service may say that the run does not exist.
    :param cancel_on_kill: stop the run when a user ends the task (mark as failed, clear).
    :param deferred_at: epoch seconds at which the task was deferred. On Airflow 3 the event is held back until
        Airflow has certainly heard that the deferring process has ended; an earlier one can make a task fail whose
        run succeeded.
    :param others: arguments of a newer version of this provider, which are ignored with a warning.
    :raises SchedulerXConfigurationError: if an argument cannot be used, naming it.
    """

    kind_name = "workflow"

    def __init__(self, *, workflow_id: int, wf_instance_id: int, **others: Any) -> None:
        super().__init__(definition_id=workflow_id, instance_id=wf_instance_id, **others)


class JobInstanceTrigger(RunTrigger):
    """Wait until a run of a job has ended, and fire one event
    (:class:`~airflow_provider_schedulerx.api.runs.events.TerminalEvent`).

    All triggers of a process that wait for runs of the same job share one poller, which asks for
    all of these runs with one call and keeps to the account's quota.

    Its arguments are JSON, and none is a secret. A stopped, killed or redistributed triggerer neither
    stops nor loses a run: the trigger starts again with the same arguments.

    :param job_id: id of the job.
    :param job_instance_id: id of the run.
    :param schedulerx_conn_id: the connection.
    :param region_id: region; overrides the connection's, as do the next three.
    :param namespace: uid of the namespace.
    :param namespace_source: source of the namespace.
    :param group_id: application group.
    :param poll_interval: seconds by which the end may be noticed late, if the quota allows.
    :param deadline: epoch seconds at which waiting ends; None waits without limit. The event comes at most 10 s later.
    :param started_at: epoch seconds at which the run was started, if that is known.
    :param poll_failure_tolerance: seconds for which polls may fail in a row, if the fault is transient; at least
        three of them have to fail, and throttled ones do not count.
    :param settling_time: seconds for which the service may say that the run does not exist.
    :param cancel_on_kill: stop the run when a user ends the task (mark as failed, clear).
    :param deferred_at: epoch seconds at which the task was deferred. On Airflow 3 the event is held back until
        Airflow has certainly heard that the deferring process has ended; an earlier one can make a task fail whose
        run succeeded.
    :param others: arguments of a newer version of this provider, which are ignored with a warning.
    :raises SchedulerXConfigurationError: if an argument cannot be used, naming it.
    """

    kind_name = "job"

    def __init__(self, *, job_id: int, job_instance_id: int, **others: Any) -> None:
        super().__init__(definition_id=job_id, instance_id=job_instance_id, **others)
