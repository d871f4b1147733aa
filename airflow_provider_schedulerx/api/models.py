"""What the service answers, as frozen typed values.

Times stay the service's own text (``2023-01-03 18:00:01``): their zone is not documented, so
they are never turned into instants nor compared with our clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Self, TypeVar

_T = TypeVar("_T")


class OpenIntEnum(IntEnum):
    """An ``IntEnum`` that keeps a code it does not know instead of raising.

    The service may add codes. Such a member is named ``UNKNOWN_<code>``, keeps its number and
    has ``is_known`` False; what to do with it is the caller's decision, and never "success".
    """

    @classmethod
    def _missing_(cls, value: object) -> OpenIntEnum | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member

    @property
    def is_known(self) -> bool:
        return self.name in type(self).__members__


class WorkflowInstanceStatus(OpenIntEnum):
    """State of a workflow instance (API page "GetWorkflowInstance")."""

    WAITING = 1
    PREPARING = 2
    RUNNING = 3
    SUCCESS = 4
    FAILED = 5

    @property
    def is_active(self) -> bool:
        return self in (self.WAITING, self.PREPARING, self.RUNNING)

    @property
    def is_terminal(self) -> bool:
        """Whether the run is over. False for an unknown code: it decides nothing."""
        return self in (self.SUCCESS, self.FAILED)

    @property
    def is_success(self) -> bool:
        return self is self.SUCCESS

    @property
    def is_waiting(self) -> bool:
        return self is self.WAITING


class JobInstanceStatus(OpenIntEnum):
    """State of a job instance, a node of a workflow instance.

    1, 3, 4, 5 and 9 are documented (API page "GetJobInstance"); the others are read in the
    published Go worker.
    """

    UNKNOWN = 0
    WAITING = 1
    READY = 2
    RUNNING = 3
    SUCCESS = 4
    FAILED = 5
    KILLED = 6
    PAUSED = 7
    SUBMITTED = 8
    REJECTED = 9
    ACCEPTED = 10
    PARTIAL_FAILED = 11
    SKIPPED = 12
    REMOVED = 99

    @property
    def is_active(self) -> bool:
        return self in (self.WAITING, self.READY, self.RUNNING, self.PAUSED, self.SUBMITTED, self.ACCEPTED)

    @property
    def is_bad(self) -> bool:
        """Whether this node is a reason for its workflow's failure."""
        return self in (self.FAILED, self.KILLED, self.REJECTED, self.PARTIAL_FAILED)


class TriggerType(OpenIntEnum):
    """What started a job instance (API page "GetJobInstance"). Whether a node inherits it from its run is unknown."""

    TIME = 1
    DATA = 2
    API = 3
    MANUAL_RERUN = 4
    SYSTEM_RERUN = 5


class MalformedAnswerError(ValueError):
    """An answer lacks what decides (an id, a ``Status``, or what holds them), or has it with another type."""


# What decides is read by the functions that raise; all else by those that return None.

_MAX_LONG = 2**63 - 1


def _integer(value: Any) -> int | None:
    """A long of the service, also where it comes as a string of digits; None if it is something else."""
    if type(value) is int and -_MAX_LONG <= value <= _MAX_LONG:
        return value  # as nearly always
    if isinstance(value, str):
        digits = value.removeprefix("-")
        # The length comes first: Python refuses to convert thousands of digits.
        if not (len(digits) <= 19 and digits.isascii() and digits.isdecimal()):
            return None
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not -_MAX_LONG <= value <= _MAX_LONG:
        return None
    return int(value)


def _malformed(data: Mapping[str, Any], key: str, where: str) -> MalformedAnswerError:
    return MalformedAnswerError(f"{where}.{key} is {'missing' if data.get(key) is None else 'malformed'}")


def int_field(data: Mapping[str, Any], key: str, where: str) -> int:
    """:raises MalformedAnswerError: if it is missing or not an integer."""
    value = _integer(data.get(key))
    if value is None:
        raise _malformed(data, key, where)
    return value


def id_field(data: Mapping[str, Any], key: str, where: str) -> int:
    """:raises MalformedAnswerError: if it is missing or not a positive integer."""
    value = int_field(data, key, where)
    if value <= 0:
        raise MalformedAnswerError(f"{where}.{key} is {value}")
    return value


def mapping_field(data: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """:raises MalformedAnswerError: if it is missing or not an object."""
    value = data.get(key)
    if not isinstance(value, dict):
        raise _malformed(data, key, where)
    return value


def records_field(data: Mapping[str, Any], key: str, where: str) -> list[Mapping[str, Any]]:
    """A list of objects; the service leaves empty lists out, so a missing one is empty.

    :raises MalformedAnswerError: if it is something else.
    """
    value = data.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise _malformed(data, key, where)
    return value


def text_of(value: Any) -> str | None:
    """A value as text: None for none, an empty one, or one that cannot be written."""
    if value is None or value == "":
        return None
    try:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return None


def text_field(data: Mapping[str, Any], key: str) -> str | None:
    """A text; anything else becomes its JSON text."""
    value = data.get(key)
    return value if type(value) is str and value else text_of(value)


def optional_int(data: Mapping[str, Any], key: str) -> int | None:
    """An integer, or None for anything else."""
    return _integer(data.get(key))


@dataclass(frozen=True, slots=True)
class StartedWorkflowInstance:
    """What ``ExecuteWorkflow`` started."""

    wf_instance_id: int
    request_id: str | None

    @property
    def instance_id(self) -> int:
        return self.wf_instance_id


@dataclass(frozen=True, slots=True)
class WorkflowInstanceSummary:
    """One row of ``ListWorkflowInstance``."""

    workflow_id: int
    wf_instance_id: int
    status: WorkflowInstanceStatus
    schedule_time: str | None = None
    data_time: str | None = None
    start_time: str | None = None
    end_time: str | None = None

    @property
    def definition_id(self) -> int:
        return self.workflow_id

    @property
    def instance_id(self) -> int:
        return self.wf_instance_id

    @classmethod
    def parse(cls, workflow_id: int, data: Mapping[str, Any]) -> Self:
        where = "WfInstanceInfos[]"
        return cls(
            workflow_id=optional_int(data, "WorkflowId") or workflow_id,
            wf_instance_id=id_field(data, "WfInstanceId", where),
            status=WorkflowInstanceStatus(int_field(data, "Status", where)),
            **_times(data),
        )


@dataclass(frozen=True, slots=True)
class WorkflowInstanceNode:
    """A job instance inside a workflow instance.

    :ivar job_instance_id: None while the service has not created the job instance yet.
    :ivar attempt: retries made so far.
    :ivar work_addr: ``ip:port`` of the worker that runs or ran it.
    :ivar result: what the job returned, or why it failed.
    """

    job_id: int
    job_instance_id: int | None
    job_name: str | None
    status: JobInstanceStatus
    attempt: int | None = None
    schedule_time: str | None = None
    data_time: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    work_addr: str | None = None
    result: str | None = None

    @property
    def label(self) -> str:
        return f"{self.job_name} (job {self.job_id})" if self.job_name else f"job {self.job_id}"

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Self:
        where = "WfInstanceDag.Nodes[]"
        return cls(
            job_id=id_field(data, "JobId", where),
            # 0 is how a long that was never set comes out of the service's serializer.
            job_instance_id=(
                None
                if data.get("JobInstanceId") in (None, "", 0, "0")
                else id_field(data, "JobInstanceId", where)
            ),
            job_name=text_field(data, "JobName"),
            status=JobInstanceStatus(int_field(data, "Status", where)),
            attempt=optional_int(data, "Attempt"),
            work_addr=text_field(data, "WorkAddr"),
            result=text_field(data, "Result"),
            **_times(data),
        )


@dataclass(frozen=True, slots=True)
class Edge:
    """A dependency between two nodes.

    :ivar source: in a :class:`WorkflowInstance` the **job instance** id of a node, 0 for the root; in a
        :class:`Workflow` a job id.
    :ivar target: likewise.
    """

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class WorkflowInstance:
    """``GetWorkflowInstance``: a run of a workflow with its nodes."""

    workflow_id: int
    wf_instance_id: int
    status: WorkflowInstanceStatus
    schedule_time: str | None = None
    data_time: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    nodes: tuple[WorkflowInstanceNode, ...] = ()
    edges: tuple[Edge, ...] = ()

    @property
    def definition_id(self) -> int:
        return self.workflow_id

    @property
    def instance_id(self) -> int:
        return self.wf_instance_id

    @property
    def label(self) -> str:
        return f"workflow instance {self.wf_instance_id}"

    @property
    def definition_label(self) -> str:
        return f"workflow {self.workflow_id}"

    def abridged(self, max_nodes: int, max_result: int) -> Self:
        """The run with so many nodes at most, failed ones first, and results of so many characters at most."""
        nodes = self.nodes
        if len(nodes) > max_nodes:
            nodes = tuple(sorted(nodes, key=lambda node: not node.status.is_bad)[:max_nodes])
        nodes = tuple(replace(node, result=node.result and node.result[:max_result]) for node in nodes)
        return replace(self, nodes=nodes)

    @classmethod
    def parse(cls, workflow_id: int, wf_instance_id: int, data: Mapping[str, Any]) -> Self:
        info = mapping_field(data, "WfInstanceInfo", "Data")
        dag = {} if data.get("WfInstanceDag") is None else mapping_field(data, "WfInstanceDag", "Data")
        return cls(
            workflow_id=workflow_id,
            wf_instance_id=wf_instance_id,
            status=WorkflowInstanceStatus(int_field(info, "Status", "WfInstanceInfo")),
            nodes=_all(WorkflowInstanceNode.parse, dag, "Nodes", "WfInstanceDag"),
            edges=_edges(dag),
            **_times(info),
        )

    def to_data(self) -> dict[str, Any]:
        """The inverse of :meth:`parse`: the service's own ``Data``, as JSON."""
        return {
            "WfInstanceInfo": {"Status": int(self.status), **_times_data(self)},
            "WfInstanceDag": {
                "Nodes": [
                    {
                        "JobId": node.job_id,
                        "JobInstanceId": node.job_instance_id,
                        "JobName": node.job_name,
                        "Status": int(node.status),
                        "Attempt": node.attempt,
                        "WorkAddr": node.work_addr,
                        "Result": node.result,
                        **_times_data(node),
                    }
                    for node in self.nodes
                ],
                "Edges": [{"Source": edge.source, "Target": edge.target} for edge in self.edges],
            },
        }


@dataclass(frozen=True, slots=True)
class WorkflowNode:
    """A job in the definition of a workflow."""

    job_id: int | None
    label: str | None
    status: int | None


@dataclass(frozen=True, slots=True)
class Workflow:
    """The definition of a workflow, from ``GetWorkFlow`` or a record of ``ListWorkFlows``.

    :ivar status: the service's text, whose values are not documented; None in a record of ``ListWorkFlows``.
    :ivar max_concurrency: None if the service does not say, or says it in another form.
    :ivar time_type: ``cron``, for example.
    """

    workflow_id: int
    name: str | None
    status: str | None = None
    max_concurrency: int | None = None
    time_type: str | None = None
    time_expression: str | None = None
    description: str | None = None
    namespace: str | None = None
    group_id: str | None = None
    nodes: tuple[WorkflowNode, ...] = ()
    edges: tuple[Edge, ...] = ()

    @classmethod
    def parse(cls, workflow_id: int, info: Mapping[str, Any], dag: Any = None) -> Self:
        """:param dag: ``WorkFlowNodeInfo``, which decides nothing, so that any value will do."""
        return cls(
            workflow_id=workflow_id,
            name=text_field(info, "Name"),
            status=text_field(info, "Status"),
            max_concurrency=optional_int(info, "MaxConcurrency"),
            time_type=text_field(info, "TimeType"),
            time_expression=text_field(info, "TimeExpression"),
            description=text_field(info, "Description"),
            namespace=text_field(info, "Namespace"),
            group_id=text_field(info, "GroupId"),
            nodes=tuple(
                WorkflowNode(
                    job_id=optional_int(node, "Id"),
                    label=text_field(node, "Label"),
                    status=optional_int(node, "Status"),
                )
                for node in _lenient_records(dag, "Nodes")
            ),
            edges=_edges(dag),
        )


@dataclass(frozen=True, slots=True)
class JobInstance:
    """``GetJobInstance``.

    :ivar parameters: the service's text. Whether they are those of the run or of the job, and whether the
        service escapes them, is not documented.
    :ivar trigger_type: what started it; None if the service does not say.
    """

    job_id: int
    job_instance_id: int
    status: JobInstanceStatus
    job_name: str | None = None
    parameters: str | None = None
    result: str | None = None
    progress: str | None = None
    trigger_type: TriggerType | None = None
    executor: str | None = None
    work_addr: str | None = None
    schedule_time: str | None = None
    data_time: str | None = None
    start_time: str | None = None
    end_time: str | None = None

    @classmethod
    def parse(cls, job_id: int, job_instance_id: int, data: Mapping[str, Any]) -> Self:
        where = "JobInstanceDetail"
        detail = mapping_field(data, where, "Data")
        trigger_type = optional_int(detail, "TriggerType")
        return cls(
            job_id=job_id,
            job_instance_id=job_instance_id,
            status=JobInstanceStatus(int_field(detail, "Status", where)),
            job_name=text_field(detail, "JobName"),
            parameters=text_field(detail, "Parameters"),
            result=text_field(detail, "Result"),
            progress=text_field(detail, "Progress"),
            trigger_type=None if trigger_type is None else TriggerType(trigger_type),
            executor=text_field(detail, "Executor"),
            work_addr=text_field(detail, "WorkAddr"),
            **_times(detail),
        )


@dataclass(frozen=True, slots=True)
class Namespace:
    """A record of ``ListNamespaces``; ``uid`` is what requests take as ``Namespace``."""

    uid: str
    name: str | None


@dataclass(frozen=True, slots=True)
class AppGroup:
    """A record of ``ListGroups``: an application group. Its key, a secret, is left out.

    :ivar app_version: 1 for the Basic edition, 2 for Professional; None if the service does not say.
    """

    group_id: str
    name: str | None
    app_version: int | None = None


def _times(data: Mapping[str, Any]) -> dict[str, str | None]:
    return {
        "schedule_time": text_field(data, "ScheduleTime"),
        "data_time": text_field(data, "DataTime"),
        "start_time": text_field(data, "StartTime"),
        "end_time": text_field(data, "EndTime"),
    }


def _times_data(value: WorkflowInstance | WorkflowInstanceNode) -> dict[str, str | None]:
    return {
        "ScheduleTime": value.schedule_time,
        "DataTime": value.data_time,
        "StartTime": value.start_time,
        "EndTime": value.end_time,
    }


def _all(
    parse: Callable[[Mapping[str, Any]], _T], data: Mapping[str, Any], key: str, where: str
) -> tuple[_T, ...]:
    return tuple(parse(record) for record in records_field(data, key, where))


def _lenient_records(data: Any, key: str) -> list[Mapping[str, Any]]:
    """The objects in a list that decides nothing."""
    records = data.get(key) if isinstance(data, dict) else None
    return [record for record in records if isinstance(record, dict)] if isinstance(records, list) else []


def _edges(dag: Any) -> tuple[Edge, ...]:
    edges = []
    for record in _lenient_records(dag, "Edges"):
        source, target = optional_int(record, "Source"), optional_int(record, "Target")
        if source is not None and target is not None:
            edges.append(Edge(source, target))
    return tuple(edges)
