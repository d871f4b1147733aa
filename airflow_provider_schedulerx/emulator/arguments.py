"""What an operation is given: the parameters of its request, and where it finds what they name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, TypeVar

from airflow_provider_schedulerx.emulator.authentication import GatewayError, Request
from airflow_provider_schedulerx.emulator.definitions import Definitions, Job, Workflow
from airflow_provider_schedulerx.emulator.engine import Engine, NotStarted, Refused
from airflow_provider_schedulerx.emulator.instances import InstanceRun, NodeRun
from airflow_provider_schedulerx.emulator.profile import Profile

T = TypeVar("T")
D = TypeVar("D", Job, Workflow)

WORKER = "127.0.0.1:34567"


@dataclass(frozen=True)
class Arguments:
    """The parameters of a request, within a namespace and group that exist."""

    request: Request
    definitions: Definitions
    engine: Engine

    @property
    def profile(self) -> Profile:
        return self.engine.profile

    @property
    def zone(self) -> tzinfo:
        """The zone of the times in answers."""
        return self.engine.zone

    def text(self, name: str) -> str | None:
        return self.request.parameter(name)

    def number(self, name: str, default: int | None = None) -> int:
        value = self.text(name)
        if value is None and default is not None:
            return default
        try:
            number = int(value or "")
        except ValueError:
            number = 2**63
        if not -(2**63) <= number < 2**63:
            raise GatewayError(400, f"Invalid{name}", f"The specified {name} is not valid: {value}.")
        return number

    @property
    def group(self) -> str:
        """:raises Refused: if the group does not exist in the namespace."""
        namespace, group = self.text("Namespace") or "", self.text("GroupId") or ""
        known = self.definitions.namespaces.get(namespace)
        if known is None or group not in known.groups:
            raise Refused(f"groupid not exist groupId: {group} namespace: {namespace}")
        return group

    @property
    def workflow(self) -> Workflow:
        group = self.group
        workflow_id = self.number("WorkflowId")
        workflow = self.engine.workflows.get(workflow_id)
        if workflow is None or (workflow.namespace, workflow.group) != (self.text("Namespace"), group):
            raise Refused(f"workflowId={workflow_id} is not existed")
        return workflow

    @property
    def job(self) -> Job:
        """A job that runs by itself."""
        group = self.group
        job_id = self.number("JobId")
        job = self.engine.jobs.get(job_id)
        if job is None:
            raise Refused(f"jobId={job_id} is not existed")
        if (job.namespace, job.group) != (self.text("Namespace"), group):
            raise Refused(f"jobid: {job_id} not match groupId: {group}")
        return job

    def flag(self, name: str, default: bool) -> bool:
        """A boolean, as the SDKs write them: ``True`` or ``true``."""
        return (self.text(name) or str(default)).lower() != "false"

    def page(self, found: Sequence[T]) -> tuple[int, int, Sequence[T]]:
        """The page's number, its size (10 by default) and its part of all that was found."""
        page, size = max(1, self.number("PageNum", 1)), max(1, self.number("PageSize", 10))
        return page, size, found[(page - 1) * size : page * size]

    def times(self, run: InstanceRun, start: float | None, end: float | None, status: int) -> dict[str, str]:
        """Times as the service writes them; those that have not come yet are left out."""
        given = {
            "ScheduleTime": run.schedule_time,
            "DataTime": run.data_time,
            "StartTime": start,
            # A running node knows its end already, but nobody else may.
            "EndTime": end if status not in (1, 2, 3) else None,
        }
        return {
            name: datetime.fromtimestamp(at, self.zone).strftime("%Y-%m-%d %H:%M:%S")
            for name, at in given.items()
            if at is not None
        }

    def of_group(self, definitions: Iterable[D], name: str | None) -> list[D]:
        """Those of the group that is asked about which pass the filters by name and by status."""
        group, status = self.group, self.text("Status")
        return [
            each
            for each in definitions
            if (each.namespace, each.group) == (self.text("Namespace"), group)
            and self._passes_name(name, each.name)
            and status in (None, "", "1" if each.enabled else "0")
        ]

    def _passes_name(self, wanted: str | None, name: str) -> bool:
        """Whether a filter by name lets a name through; an empty one lets all."""
        match self.profile["name_filter"]:
            case "exact":
                return wanted in (None, "", name)
            case "any_case":
                return (wanted or "").casefold() in name.casefold()
        return (wanted or "") in name

    def started(self, start: Callable[[], InstanceRun]) -> int:
        """Start a run.

        :return: the id to answer.
        :raises Refused: if nothing was started; or, if the profile says so, though something was.
        """
        try:
            run = start()
        except NotStarted as not_started:
            return not_started.answered
        self._refuse_late()
        return run.wf_instance_id

    def _refuse_late(self) -> None:
        match self.profile["late_refusal"]:
            case "500":
                raise Refused("system error", code=500)
            case "timeout":
                raise GatewayError(400, "InternalError.Timeout", "The request timed out on the server.")
            case "no_code":
                raise Refused("system error", code=None)

    @property
    def instance_parameters(self) -> str | None:
        """:raises Refused: if they are larger than the service takes."""
        parameters = self.text("InstanceParameters")
        if len((parameters or "").encode()) > 1000:
            raise Refused("instanceParameters is larger than 1000 bytes")
        return parameters

    def job_instance(self, instance_parameter: str) -> tuple[InstanceRun, NodeRun]:
        group = self.group
        job_id = self.number("JobId")
        run, node = self.engine.job(job_id, self.number(instance_parameter))
        if (node.definition.group or run.group) != group:
            raise Refused(f"jobid: {job_id} not match groupId: {group}")
        return run, node


@dataclass(frozen=True)
class OperationSpec:
    """An operation.

    :ivar required: parameters without which the gateway answers ``Missing<Parameter>``.
    :ivar professional: whether only the Professional edition has it.
    """

    handle: Callable[[Arguments], Any]
    ram_action: str
    required: tuple[str, ...]
    professional: bool = False
