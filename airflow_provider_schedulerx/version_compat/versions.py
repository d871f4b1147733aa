"""Which Airflow this is."""

from __future__ import annotations

# 3.1: plugins can add tabs to the pages of task instances and DAG runs.


def has_run_page() -> bool:
    """Return whether this Airflow can show a page of a plugin beside a task instance."""
    return version() >= (3, 1)


def version() -> tuple[int, ...]:
    """Return the numbers of the version."""
    import airflow

    return tuple(int(part) for part in airflow.__version__.split(".")[:3] if part.isdecimal())
