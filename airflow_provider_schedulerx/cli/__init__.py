"""``airflow schedulerx ...`` where Airflow takes commands of providers (3.x), and ``python -m airflow_provider_schedulerx``
everywhere.
"""

from __future__ import annotations

from airflow_provider_schedulerx.cli.commands import get_schedulerx_cli_commands, main

__all__ = ["get_schedulerx_cli_commands", "main"]
