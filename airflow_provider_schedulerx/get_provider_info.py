"""What Airflow asks this provider about itself."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from airflow_provider_schedulerx import __version__
from airflow_provider_schedulerx.connection_form import (
    CONNECTION_FIELDS,
    HIDDEN_FIELDS,
    PLACEHOLDERS,
    RELABELING,
)

_PACKAGE = "airflow_provider_schedulerx"


_ASSET_URIS = [
    {
        "schemes": ["schedulerx"],
        "handler": f"{_PACKAGE}.assets.schedulerx.sanitize_uri",
        "factory": f"{_PACKAGE}.assets.schedulerx.create_asset",
        "to_openlineage_converter": f"{_PACKAGE}.assets.schedulerx.convert_asset_to_openlineage",
    }
]


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, in the form of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-schedulerx",
        "name": "Alibaba Cloud SchedulerX",
        "description": "Start workflows and jobs of Alibaba Cloud SchedulerX 2.0 and follow them to their end.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": "Alibaba Cloud SchedulerX",
                "external-doc-url": "https://www.alibabacloud.com/help/en/schedulerx",
                "tags": ["service"],
            }
        ],
        "operators": [
            {
                "integration-name": "Alibaba Cloud SchedulerX",
                "python-modules": [f"{_PACKAGE}.operators.schedulerx"],
            }
        ],
        "sensors": [
            {
                "integration-name": "Alibaba Cloud SchedulerX",
                "python-modules": [f"{_PACKAGE}.sensors.schedulerx"],
            }
        ],
        "triggers": [
            {
                "integration-name": "Alibaba Cloud SchedulerX",
                "python-modules": [
                    f"{_PACKAGE}.triggers.schedulerx",
                    f"{_PACKAGE}.triggers.scheduled",
                    # Airflow 2 has no watchers of assets.
                    *([f"{_PACKAGE}.triggers.event"] if find_spec("airflow.sdk") else []),
                ],
            }
        ],
        "hooks": [
            {
                "integration-name": "Alibaba Cloud SchedulerX",
                "python-modules": [f"{_PACKAGE}.hooks.schedulerx"],
            }
        ],
        "asset-uris": _ASSET_URIS,
        # Airflow 2.11 reads this name.
        "dataset-uris": _ASSET_URIS,
        "cli": [f"{_PACKAGE}.cli.get_schedulerx_cli_commands"],
        "extra-links": [
            f"{_PACKAGE}.links.schedulerx.WorkflowInstanceLink",
            f"{_PACKAGE}.links.schedulerx.JobInstanceLink",
            f"{_PACKAGE}.links.schedulerx.RunPageLink",
        ],
        "config": {
            "schedulerx": {
                "description": "Alibaba Cloud SchedulerX.",
                "options": {
                    "run_tab": {
                        "description": (
                            "Show the tabs ``SchedulerX run`` and ``SchedulerX runs`` beside task instances and DAG "
                            "runs (Airflow 3.1 and later). Airflow shows a tab beside every task, of whatever "
                            "operator. Without them, the extra link ``SchedulerX run`` still leads to the page."
                        ),
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": None,
                        "default": "True",
                    }
                },
            }
        },
        "connection-types": [
            {
                "connection-type": "schedulerx",
                "hook-name": "Alibaba Cloud SchedulerX",
                "hook-class-name": f"{_PACKAGE}.hooks.schedulerx.SchedulerXHook",
                "ui-field-behaviour": {
                    "hidden-fields": HIDDEN_FIELDS,
                    "relabeling": RELABELING,
                    "placeholders": PLACEHOLDERS,
                },
                "conn-fields": CONNECTION_FIELDS,
            }
        ],
    }
