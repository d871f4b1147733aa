"""The Airflow connection that leads to a running emulator, for people and programs to copy."""

from __future__ import annotations

import json
import shlex
from typing import Any

from airflow_provider_schedulerx.emulator.definitions import Definitions


def connection_to(endpoint: str, known: Definitions, ca_file: str | None = None) -> dict[str, Any]:
    """A complete connection, as the JSON that ``AIRFLOW_CONN_...`` takes.

    It has the first account with a lasting key, and the namespace and group of the first workflow.
    """
    account = next(
        (
            account
            for account in known.accounts.values()
            if account.active and account.access_key_secret and account.security_token is None
        ),
        None,
    )
    workflow = next(iter(known.workflows.values()), None)
    place = {"namespace": workflow.namespace, "group_id": workflow.group} if workflow else {}
    return {
        "conn_type": "schedulerx",
        "login": account.access_key_id if account else "",
        "password": account.access_key_secret if account else "",
        "host": endpoint,
        "extra": {
            "region_id": "cn-hangzhou",
            **place,
            "console_url": f"{endpoint}/console/{{workflow_id}}/{{wf_instance_id}}",
            **({"ca_file": ca_file} if ca_file else {}),
        },
    }


def export_line(connection: dict[str, Any], conn_id: str = "schedulerx_default") -> str:
    """A line for a POSIX shell that defines the connection."""
    return f"export AIRFLOW_CONN_{conn_id.upper()}={shlex.quote(json.dumps(connection))}"
