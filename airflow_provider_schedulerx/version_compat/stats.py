"""Where metrics go."""

from __future__ import annotations

import functools
from typing import Any

# common-compat gives Stats from some version on that the constraints of Airflow 2.11 do not reach.


@functools.cache
def client() -> Any:
    """Return what takes metrics: ``incr``, ``gauge`` and ``timing``."""
    try:
        from airflow.providers.common.compat.sdk import Stats
    except ImportError:
        from airflow.stats import Stats
    return Stats
