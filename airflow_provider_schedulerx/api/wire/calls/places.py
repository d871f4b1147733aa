"""Where workflows and jobs are: regions, namespaces and application groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_schedulerx.api import models
from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.wire.calls.call import Call, Operation, data_of_list, query_of

LIST_NAMESPACES = Operation("ListNamespaces", "POST", "edas:ReadSchedulerxNamespaceQuery")
LIST_GROUPS = Operation("ListGroups", "POST", "edas:ReadSchedulerxAppGroupQuery")
# Its RAM action is not documented; the service names the action when it refuses.
DESCRIBE_REGIONS = Operation("DescribeRegions", "POST", None)


def list_namespaces(scope: Scope) -> Call[list[models.Namespace]]:
    def parse(body: Mapping[str, Any]) -> list[models.Namespace]:
        records = models.records_field(data_of_list(body), "Namespaces", "Data")
        return [
            models.Namespace(
                uid=models.text_field(record, "UId") or "", name=models.text_field(record, "Name")
            )
            for record in records
        ]

    return Call(LIST_NAMESPACES, query_of(RegionId=scope.region_id), parse)


def list_groups(scope: Scope) -> Call[list[models.AppGroup]]:
    def parse(body: Mapping[str, Any]) -> list[models.AppGroup]:
        records = models.records_field(data_of_list(body), "AppGroups", "Data")
        return [
            models.AppGroup(
                group_id=models.text_field(record, "GroupId") or "",
                name=models.text_field(record, "AppName"),
                app_version=models.optional_int(record, "AppVersion"),
            )
            for record in records
        ]

    scope.require("namespace")
    return Call(
        LIST_GROUPS,
        query_of(RegionId=scope.region_id, Namespace=scope.namespace, NamespaceSource=scope.namespace_source),
        parse,
    )


def describe_regions(scope: Scope) -> Call[list[str]]:
    """Ids of the regions in which the service can be used."""

    def parse(body: Mapping[str, Any]) -> list[str]:
        records = models.records_field(body, "Regions", "answer")
        return [models.text_field(record, "RegionId") or "" for record in records]

    return Call(DESCRIBE_REGIONS, query_of(RegionId=scope.region_id), parse)
