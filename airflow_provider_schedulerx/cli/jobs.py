"""``jobs``: list the jobs of a group."""

from __future__ import annotations

from typing import Any

from airflow_provider_schedulerx.cli.common import hook_of, result_of, show


def run(args: Any) -> None:
    """List the jobs of the connection's group that run by themselves or in workflows."""
    from airflow_provider_schedulerx import api

    hook = hook_of(args)
    found = result_of(lambda: hook.list_jobs(args.name))
    if not found:
        show("The group has no such jobs." if args.name else "The group has no jobs.")
        return
    rows = [("JOB", "NAME", "ENABLED", "MAX CONCURRENCY", "TYPE", "SCHEDULE")]
    rows += [
        (
            str(each.job_id),
            each.name or "",
            {True: "yes", False: "no", None: ""}[each.is_enabled],
            "" if each.max_concurrency is None else str(each.max_concurrency),
            each.job_type or "",
            " ".join(
                part
                for part in (each.time_type and each.time_type.name.lower(), each.time_expression)
                if part
            ),
        )
        for each in found
    ]
    show(api.tracking.aligned(rows))
