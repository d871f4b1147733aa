"""Metrics of this provider, through Airflow's own ``Stats``: StatsD, OpenTelemetry or Datadog, whatever is configured.

docs/metrics.md lists them. The operation is part of the name, because plain StatsD has no tags.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from airflow_provider_schedulerx.version_compat import stats

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.polling.reporting import Metric

_PREFIX = "schedulerx"


def report_polling() -> None:
    """Have what the polling side reports sent to ``Stats``, in this process."""
    from airflow_provider_schedulerx.api.polling.reporting import set_reporter

    set_reporter(_send)


def count_reconciliation(outcome: str) -> None:
    """Count a search for the run that an ambiguous start may have started.

    :param outcome: ``found``, ``not_started`` or ``ambiguous``.
    """
    # A fault of the metrics must not end the task that has just learnt which run is its own.
    with contextlib.suppress(Exception):
        stats.client().incr(f"{_PREFIX}.reconciliations.{outcome}")


def _send(metric: Metric, value: float, tags: dict[str, str]) -> None:
    from airflow_provider_schedulerx.api.polling.reporting import Metric

    operation = tags.pop("operation", None)
    name = f"{_PREFIX}.{metric.value}" + (f".{operation}" if operation else "")
    client = stats.client()
    if metric in (Metric.RUNS_FOLLOWED, Metric.RATE, Metric.STRETCH):
        client.gauge(name, value, tags=tags)
    elif metric is Metric.END_DELAY:
        client.timing(name, value, tags=tags)
    else:
        client.incr(name, round(value), tags=tags)
