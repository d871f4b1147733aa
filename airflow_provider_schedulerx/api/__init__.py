"""The SchedulerX 2.0 service, OpenAPI version 2019-04-30, without any import of Airflow.

Rooms, from the bottom up:

``models``, ``exceptions``, ``parameters``
    Values: what the service answers, what can go wrong, and what people pass in.
``connection``
    What a connection says, checked as a whole: settings, credentials, endpoints, redaction.
``wire``
    One call: its query, its signature, its response, when it is made again, and the two transports.
``runs``
    One run: starting it for certain, tracking, stopping, rerunning and reconciling it. Recipes without network or
    clock, and the two drivers that carry them out.
``polling``
    Many runs: one poller for all of them, inside the account's quota.

Each module imports only from its own room and from those above it in this list.

``from airflow_provider_schedulerx import api`` and then ``api.calls`` imports a module when it is first
used: DAG files are parsed again and again, and use almost none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api import exceptions, models, parameters
    from airflow_provider_schedulerx.api.connection import fields, settings
    from airflow_provider_schedulerx.api.polling import poller
    from airflow_provider_schedulerx.api.runs import (
        ends,
        events,
        intents,
        job_runs,
        kinds,
        names,
        recipes,
        reconciling,
        rerunning,
        scheduled,
        stopping,
        tracking,
    )
    from airflow_provider_schedulerx.api.wire import async_transport, calls, retrying, transport

__all__ = [
    "async_transport",
    "calls",
    "ends",
    "events",
    "exceptions",
    "fields",
    "intents",
    "job_runs",
    "kinds",
    "models",
    "names",
    "parameters",
    "poller",
    "recipes",
    "reconciling",
    "rerunning",
    "retrying",
    "scheduled",
    "settings",
    "stopping",
    "tracking",
    "transport",
]

_ROOMS = {
    "connection": ("fields", "settings"),
    "wire": ("async_transport", "calls", "retrying", "transport"),
    "runs": (
        "ends",
        "events",
        "intents",
        "job_runs",
        "kinds",
        "names",
        "reconciling",
        "recipes",
        "rerunning",
        "scheduled",
        "stopping",
        "tracking",
    ),
    "polling": ("poller",),
}
_PATHS = {name: f"{room}.{name}" for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in __all__:
        # Kept here, so that this is asked once for each.
        module = globals()[name] = importlib.import_module(f"{__name__}.{_PATHS.get(name, name)}")
        return module
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
