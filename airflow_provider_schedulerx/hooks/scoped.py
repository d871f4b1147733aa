"""The arguments that say which connection is used and where in it: of hooks, operators, sensors and triggers alike."""

from __future__ import annotations

from typing import Any

#: Name of the connection that is used unless another is given.
DEFAULT_CONN_ID = "schedulerx_default"

#: Names of the arguments. All are template fields of operators and sensors.
SCOPE_ARGUMENTS = ("schedulerx_conn_id", "region_id", "namespace", "namespace_source", "group_id")


class ScopedMixin:
    """Takes the connection and the scope within it, and passes all other arguments on.

    :param schedulerx_conn_id: connection of type ``schedulerx``, or ``alibaba_cloud`` of the official provider.
    :param region_id: region, such as ``cn-hangzhou``; overrides the connection's, as do the next three.
    :param namespace: uid of the namespace.
    :param namespace_source: source of the namespace, "only for special third parties".
    :param group_id: application group.
    """

    def __init__(
        self,
        *,
        schedulerx_conn_id: str = DEFAULT_CONN_ID,
        region_id: str | None = None,
        namespace: str | None = None,
        namespace_source: str | None = None,
        group_id: str | None = None,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        self.schedulerx_conn_id = schedulerx_conn_id
        self.region_id = region_id
        self.namespace = namespace
        self.namespace_source = namespace_source
        self.group_id = group_id


def scope_arguments(owner: Any) -> dict[str, Any]:
    """Return what a hook, operator, sensor or trigger was given, to make another of them with the same."""
    return {name: getattr(owner, name) for name in SCOPE_ARGUMENTS}
