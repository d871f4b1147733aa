"""Namespaces and application groups, as the service answers them."""

from __future__ import annotations

from dataclasses import dataclass


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
