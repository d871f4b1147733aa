"""The SchedulerX 2.0 service, OpenAPI version 2019-04-30, without any import of Airflow.

Data flows one way through these modules::

    settings -> calls -> signing -> transport       -> answers -> models
                (query)  (headers)  async_transport    (errors)   (values)
                                    (network)

``calls`` says what each operation takes and gives, ``signing`` and ``answers`` hold no network
code, so that the synchronous and the asynchronous side share them. On top of them, ``following``
decides what looks at a run mean, ``stopping`` ends a run, ``intents`` and ``reconciling`` find out whether
a lost start started one, and ``poller``, with ``intervals`` and
``budget``, follows many runs at once.

Modules are imported when they are first used (``api.calls``), because DAG files, which import the
layers above, are parsed again and again and use none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api import (
        async_transport,
        calls,
        events,
        exceptions,
        following,
        intents,
        models,
        parameters,
        poller,
        reconciling,
        retrying,
        settings,
        stopping,
        transport,
    )

__all__ = [
    "async_transport",
    "calls",
    "events",
    "exceptions",
    "following",
    "intents",
    "models",
    "parameters",
    "poller",
    "reconciling",
    "retrying",
    "settings",
    "stopping",
    "transport",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
