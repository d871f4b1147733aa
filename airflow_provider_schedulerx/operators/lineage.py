"""What OpenLineage gets about a run; imported only where OpenLineage asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attr
from airflow.providers.common.compat.openlineage.facet import ExternalQueryRunFacet, RunFacet
from airflow.providers.openlineage.extractors import OperatorLineage

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
    from airflow_provider_schedulerx.api.runs.kinds import RunKind


@attr.define
class SchedulerXRunFacet(RunFacet):
    """Which run of which workflow a task has followed, and where a person can look at it."""

    workflowId: int
    wfInstanceId: int
    namespace: str
    groupId: str
    regionId: str
    externalUrl: str


@attr.define
class SchedulerXJobRunFacet(RunFacet):
    """Which run of which job a task has followed, and where a person can look at it."""

    jobId: int
    jobInstanceId: int
    namespace: str
    groupId: str
    regionId: str
    externalUrl: str


_FACETS = {"workflow": SchedulerXRunFacet, "job": SchedulerXJobRunFacet}


def run_lineage(
    settings: SchedulerXSettings, kind: RunKind, definition_id: int, instance_id: int
) -> OperatorLineage[Any, Any]:
    """Return the facets ``externalQuery``, which OpenLineage knows, and ``schedulerx``, which is ours."""
    scope = settings.scope
    return OperatorLineage(
        run_facets={
            "externalQuery": ExternalQueryRunFacet(
                externalQueryId=str(instance_id), source=str(settings.endpoint)
            ),
            "schedulerx": _FACETS[kind.name](
                definition_id,
                instance_id,
                namespace=scope.namespace or "",
                groupId=scope.group_id or "",
                regionId=scope.region_id,
                externalUrl=settings.console_link(definition_id, instance_id, kind.name),
            ),
        }
    )
