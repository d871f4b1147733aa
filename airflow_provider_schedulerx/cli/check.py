"""``check``: test a connection."""

from __future__ import annotations

from typing import Any

from airflow_provider_schedulerx.cli.common import hook_of, show


def run(args: Any) -> None:
    """Test a connection with a signed call that only reads, and say what to correct."""
    is_good, message = hook_of(args).test_connection()
    show(message)
    if not is_good:
        raise SystemExit(1)
