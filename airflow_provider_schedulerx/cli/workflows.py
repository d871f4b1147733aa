"""``workflows``: list the workflows of a group."""

from __future__ import annotations

from typing import Any

from airflow_provider_schedulerx.cli.common import hook_of, result_of, show


def run(args: Any) -> None:
    """List the workflows of the connection's group."""
    from airflow_provider_schedulerx import api

    found = result_of(hook_of(args).list_workflows)
    if args.name:
        # Here, because nobody knows which names the service's own filter lets through.
        found = [each for each in found if args.name.casefold() in (each.name or "").casefold()]
    if not found:
        show("The group has no such workflows." if args.name else "The group has no workflows.")
        return
    # The records have no status (API page "ListWorkFlows").
    rows = [("WORKFLOW", "NAME", "MAX CONCURRENCY", "SCHEDULE")]
    rows += [
        (
            str(each.workflow_id),
            each.name or "",
            "" if each.max_concurrency is None else str(each.max_concurrency),
            " ".join(str(part) for part in (each.time_type, each.time_expression) if part),
        )
        for each in found
    ]
    show(api.tracking.aligned(rows))
