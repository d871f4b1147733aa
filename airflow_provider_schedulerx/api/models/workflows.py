"""Workflows and their instances, as the service answers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from airflow_provider_schedulerx.api.models.fields import (
    all_of,
    id_field,
    int_field,
    lenient_records,
    mapping_field,
    optional_int,
    text_field,
    times_data,
    times_of,
)
from airflow_provider_schedulerx.api.models.statuses import JobInstanceStatus, WorkflowInstanceStatus


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
            **times_of(data),
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
        # 0 is how a long that was never set comes out of the service's serializer.
        is_made = data.get("JobInstanceId") not in (None, "", 0, "0")
        # Without a job instance there may be none whose status it could be.
        has_status = is_made or data.get("Status") is not None
        return cls(
            job_id=id_field(data, "JobId", where),
            job_instance_id=id_field(data, "JobInstanceId", where) if is_made else None,
            job_name=text_field(data, "JobName"),
            status=JobInstanceStatus(
                int_field(data, "Status", where) if has_status else JobInstanceStatus.WAITING
            ),
            attempt=optional_int(data, "Attempt"),
            work_addr=text_field(data, "WorkAddr"),
            result=text_field(data, "Result"),
            **times_of(data),
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
            nodes=all_of(WorkflowInstanceNode.parse, dag, "Nodes", "WfInstanceDag"),
            edges=_edges(dag),
            **times_of(info),
        )

    def to_data(self) -> dict[str, Any]:
        """The inverse of :meth:`parse`: the service's own ``Data``, as JSON."""
        return {
            "WfInstanceInfo": {"Status": int(self.status), **times_data(self)},
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
                        **times_data(node),
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

    @property
    def definition_id(self) -> int:
        return self.workflow_id

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
                for node in lenient_records(dag, "Nodes")
            ),
            edges=_edges(dag),
        )


def _edges(dag: Any) -> tuple[Edge, ...]:
    edges = []
    for record in lenient_records(dag, "Edges"):
        source, target = optional_int(record, "Source"), optional_int(record, "Target")
        if source is not None and target is not None:
            edges.append(Edge(source, target))
    return tuple(edges)
