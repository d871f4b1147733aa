"""Where the page is: below the path of ``[api] base_url``, with the run id last, since it may contain slashes."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote, urlsplit

from airflow.providers.common.compat.sdk import conf

from airflow_provider_schedulerx.run_page import URL_PREFIX

#: Airflow's UI leaves it as it is for a task that is not mapped.
_PLACEHOLDER = "{MAP_INDEX}"
#: As Airflow's UI replaces them.
TASK_VIEW = f"/run/{{DAG_ID}}/{{TASK_ID}}/{_PLACEHOLDER}/{{RUN_ID}}"
DAG_RUN_VIEW = "/dagrun/{DAG_ID}/{RUN_ID}"


def base_path() -> str:
    """Return the path that Airflow is served below, without a slash at its end: ``""`` or ``/airflow``."""
    return urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")


def mount_path() -> str:
    """Return the path that the page is served below."""
    return base_path() + URL_PREFIX


def task_path(dag_id: str, task_id: str, map_index: int, run_id: str) -> str:
    """Return the path of a task instance's page, below :func:`mount_path`."""
    return "/run/" + "/".join(quote(str(each), safe="") for each in (dag_id, task_id, map_index, run_id))


def task_url(ti: Any) -> str:
    """Return the URL of a task instance's page for its extra link.

    A worker that knows no ``[api] base_url`` gives one that is relative to the ``<base>`` of Airflow's pages.
    """
    base = (conf.get("api", "base_url", fallback="") or "").rstrip("/")
    path = URL_PREFIX + task_path(ti.dag_id, ti.task_id, ti.map_index, ti.run_id)
    return f"{base}{path}" if base else path.removeprefix("/")


def airflow_task_path(dag_id: str, task_id: str, map_index: int, run_id: str) -> str:
    """Return the path of Airflow's own page of a task instance."""
    dag, run, task = (quote(each, safe="") for each in (dag_id, run_id, task_id))
    mapped = "" if map_index < 0 else f"/mapped/{map_index}"
    return f"{base_path()}/dags/{dag}/runs/{run}/tasks/{task}{mapped}"


def map_index_of(text: str) -> int | None:
    """Return a map index from a path; -1 for a task that is not mapped. None if it is none, or one that no database holds."""
    if unquote(text) in ("-1", _PLACEHOLDER):
        return -1
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
