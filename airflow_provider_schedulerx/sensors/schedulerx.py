"""Wait for SchedulerX runs that something else has started."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError
from airflow_provider_schedulerx.api.parameters import check_id, check_literal_id, is_literal
from airflow_provider_schedulerx.hooks.definitions import check_literal_definition
from airflow_provider_schedulerx.hooks.scoped import SCOPE_ARGUMENTS
from airflow_provider_schedulerx.links.schedulerx import JOB_LINKS, RUN_LINKS
from airflow_provider_schedulerx.sensors.run import RunSensor

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.scheduled import WantedTime
    from airflow_provider_schedulerx.triggers.run import RunTrigger

#: How a sensor may be told which run to wait for.
_RunArgument = Literal["wf_instance_id", "data_time", "schedule_time"]
_RUN_ARGUMENTS: tuple[_RunArgument, ...] = get_args(_RunArgument)


class WorkflowInstanceSensor(RunSensor):
    """Wait until a run of a SchedulerX workflow has succeeded; return its ``WfInstanceId``.

    It fails as soon as the run has failed, naming the failed nodes, rather than poke until its timeout.
    It never stops a run, since it did not start it.

    The usual arguments of a sensor apply: ``mode`` (``poke`` or ``reschedule``), ``poke_interval``
    (seconds, at least 0.1), ``timeout``, ``soft_fail``.

    In mode ``reschedule`` every poke is a new process, which knows only when the first one was and, from Airflow 3.3
    on, which run was found. For 60
    seconds after that the service may not know the run; later that is final. A status that is not documented
    then fails the sensor if a node has failed and none is in progress; otherwise the run is followed until
    ``timeout``.

    :param workflow_id: id of the workflow. (templated)
    :param workflow_name: its exact name instead. (templated)
    :param data_time: wait for the run whose ``DataTime`` begins with this text, such as ``{{ ds }}`` or
        ``2026-11-25 02:00``: the one that the service's own schedule starts, say. The zone of the service's times is not
        documented, so they are compared as text and never converted. Of several runs the newest is taken, and its id is
        pushed to XCom as ``WfInstanceId``. (templated)
    :param schedule_time: likewise, by ``ScheduleTime``. If the list of runs does not reach back to it, the sensor fails.
        (templated)
    :param wf_instance_id: instead, the id of the run, such as ``operator.output`` of an
        :class:`~airflow_provider_schedulerx.operators.schedulerx.ExecuteWorkflowOperator` with
        ``wait_for_completion=False``. (templated)
    :param schedulerx_conn_id: the connection. (templated)
    :param region_id: region; overrides the connection's, as do the next three. (templated)
    :param namespace: uid of the namespace. (templated)
    :param namespace_source: source of the namespace. (templated)
    :param group_id: application group. (templated)
    :param poll_failure_tolerance: seconds for which polls may fail in a row, if the fault is transient
        (network); at least three of them have to fail, and throttled ones do not count. In mode
        ``reschedule`` passing faults are tolerated until ``timeout``.
    :param deferrable: wait in the triggerer, which shares its calls between all that wait for runs of
        the same workflow; by default as ``[operators] default_deferrable`` says. ``poke_interval`` is then
        how late the end may be noticed.
    :param log_lines_on_failure: last lines of each failed node's own log to show; 0 for none.
    :raises SchedulerXConfigurationError: if an argument cannot be used, naming it.
    """

    kind_name = "workflow"
    template_fields: Sequence[str] = (
        "workflow_id",
        "workflow_name",
        "wf_instance_id",
        "data_time",
        "schedule_time",
        *SCOPE_ARGUMENTS,
    )
    operator_extra_links = RUN_LINKS

    def __init__(
        self,
        *,
        workflow_id: int | str | None = None,
        workflow_name: str | None = None,
        wf_instance_id: Any = None,
        data_time: str | None = None,
        schedule_time: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workflow_id = workflow_id
        self.workflow_name = workflow_name
        self.wf_instance_id = wf_instance_id
        self.data_time = data_time
        self.schedule_time = schedule_time
        check_literal_definition(self.kind, self)
        given: list[_RunArgument] = [name for name in _RUN_ARGUMENTS if getattr(self, name) is not None]
        if len(given) != 1:
            problem = f"got {' and '.join(given)}: leave one" if given else "got none of them"
            raise SchedulerXConfigurationError(
                f"say which run to wait for with one of {', '.join(_RUN_ARGUMENTS)}; {problem}",
                field=given[0] if given else "wf_instance_id",
            )
        # By this, and not by what a template gives: an empty one must not turn into another way to wait.
        self._run_argument = given[0]
        if wf_instance_id is not None:
            check_literal_id("wf_instance_id", wf_instance_id)
        elif is_literal(getattr(self, given[0])):
            api.scheduled.check_time(given[0], getattr(self, given[0]))

    def wanted_time(self) -> WantedTime | None:
        """Return the service time of the run to wait for.

        :raises SchedulerXConfigurationError: if it cannot begin a time of the service.
        """
        field = self._run_argument
        if field == "wf_instance_id":
            return None
        return api.scheduled.WantedTime(field, api.scheduled.check_time(field, getattr(self, field)))

    def instance_id(self) -> int:
        """Return the ``WfInstanceId``.

        :raises SchedulerXConfigurationError: if it is none.
        """
        return check_id("wf_instance_id", self.wf_instance_id)

    def trigger_class(self) -> type[RunTrigger]:
        """Return what waits for an instance of a workflow in the triggerer."""
        from airflow_provider_schedulerx.triggers.schedulerx import WorkflowInstanceTrigger

        return WorkflowInstanceTrigger


class JobInstanceSensor(RunSensor):
    """Wait until a run of a SchedulerX job has succeeded; return its ``JobInstanceId``.

    It fails as soon as the run has failed, was partly failed, rejected, killed, skipped or removed, rather than poke
    until its timeout. It never stops a run, since it did not start it.

    The usual arguments of a sensor apply: ``mode`` (``poke`` or ``reschedule``), ``poke_interval``
    (seconds, at least 0.1), ``timeout``, ``soft_fail``. A run is named by its id only: unlike
    :class:`WorkflowInstanceSensor`, this takes no ``data_time`` or ``schedule_time``.

    :param job_id: id of the job. (templated)
    :param job_name: its exact name instead. (templated)
    :param job_instance_id: id of the run, such as ``operator.output`` of an
        :class:`~airflow_provider_schedulerx.operators.schedulerx.ExecuteJobOperator` with ``wait_for_completion=False``.
        (templated)
    :param schedulerx_conn_id: the connection. (templated)
    :param region_id: region; overrides the connection's, as do the next three. (templated)
    :param namespace: uid of the namespace. (templated)
    :param namespace_source: source of the namespace. (templated)
    :param group_id: application group. (templated)
    :param poll_failure_tolerance: seconds for which polls may fail in a row, if the fault is transient
        (network); at least three of them have to fail, and throttled ones do not count. In mode
        ``reschedule`` passing faults are tolerated until ``timeout``.
    :param deferrable: wait in the triggerer, which shares its calls between all that wait for runs of
        the same job; by default as ``[operators] default_deferrable`` says. ``poke_interval`` is then
        how late the end may be noticed.
    :param log_lines_on_failure: last lines of the job's own log to show; 0 for none.
    :raises SchedulerXConfigurationError: if an argument cannot be used, naming it.
    """

    kind_name = "job"
    template_fields: Sequence[str] = ("job_id", "job_name", "job_instance_id", *SCOPE_ARGUMENTS)
    operator_extra_links = JOB_LINKS

    def __init__(
        self,
        *,
        job_instance_id: Any,
        job_id: int | str | None = None,
        job_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        self.job_name = job_name
        self.job_instance_id = job_instance_id
        check_literal_definition(self.kind, self)
        check_literal_id("job_instance_id", job_instance_id)

    def instance_id(self) -> int:
        """Return the ``JobInstanceId``.

        :raises SchedulerXConfigurationError: if it is none.
        """
        return check_id("job_instance_id", self.job_instance_id)

    def trigger_class(self) -> type[RunTrigger]:
        """Return what waits for a job instance in the triggerer."""
        from airflow_provider_schedulerx.triggers.schedulerx import JobInstanceTrigger

        return JobInstanceTrigger
