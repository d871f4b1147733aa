"""Where in the service a call belongs: region, namespace and application group."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError

#: The fields of a scope, which are also arguments of operators, sensors, triggers and hooks.
SCOPE_FIELDS = ("region_id", "namespace", "namespace_source", "group_id")

#: What every operation on a workflow needs besides the region.
REQUIRED_FIELDS = ("namespace", "group_id")


@dataclass(frozen=True, slots=True)
class Scope:
    """What every operation is asked within.

    :ivar region_id: ``RegionId``.
    :ivar namespace: ``Namespace``, the namespace's uid.
    :ivar namespace_source: ``NamespaceSource``, "only for special third parties"; None leaves it out.
    :ivar group_id: ``GroupId``, the application group.
    """

    region_id: str
    namespace: str | None = None
    namespace_source: str | None = None
    group_id: str | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """Fields that are not set, and that every operation on a workflow needs."""
        return tuple(name for name in REQUIRED_FIELDS if not getattr(self, name))

    def require(self, *names: str) -> None:
        """:raises SchedulerXConfigurationError: if one of these fields is not set."""
        for name in names:
            if not getattr(self, name):
                raise SchedulerXConfigurationError(
                    f"{name} is not set; give it as an argument or in the connection's extra", field=name
                )
