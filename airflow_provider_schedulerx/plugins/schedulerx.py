"""The plugin: the run's page in Airflow (3.1 and later), and what hears of the events of watchers (3.3 and later).

Every process of Airflow loads it (entry point ``airflow.plugins``), so it imports nothing that is not there already.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin, conf

from airflow_provider_schedulerx.run_page import URL_PREFIX
from airflow_provider_schedulerx.run_page.paths import DAG_RUN_VIEW, TASK_VIEW, mount_path
from airflow_provider_schedulerx.version_compat.stores import has_asset_state_store
from airflow_provider_schedulerx.version_compat.versions import has_run_page


class SchedulerXPlugin(AirflowPlugin):
    """Adds the tabs "SchedulerX run" and "SchedulerX runs", and serves their pages."""

    name = "schedulerx"

    @cached_property
    def listeners(self) -> list[Any]:  # type: ignore[override]
        """What hears of the events of watchers, where these keep a cursor."""
        if not has_asset_state_store():
            return []
        from airflow_provider_schedulerx.plugins import event_listener

        return [event_listener]

    @cached_property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The tabs. They stand beside every task, of whatever operator, so ``[schedulerx] run_tab`` removes them."""
        if not has_run_page() or not conf.getboolean("schedulerx", "run_tab", fallback=True):
            return []
        views = (
            ("SchedulerX run", TASK_VIEW, "task_instance", "schedulerx-run"),
            ("SchedulerX runs", DAG_RUN_VIEW, "dag_run", "schedulerx-runs"),
        )
        return [
            {"name": name, "href": mount_path() + path, "destination": destination, "url_route": route}
            for name, path, destination, route in views
        ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The pages, which the extra link leads to also without tabs. Only the API server asks for this."""
        if not has_run_page():
            return []
        from airflow_provider_schedulerx.run_page.app import make_app

        return [{"app": make_app(), "url_prefix": URL_PREFIX, "name": "SchedulerX runs"}]
