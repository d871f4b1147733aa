"""``instance``: show a workflow instance."""

from __future__ import annotations

from typing import Any

from airflow_provider_schedulerx.cli.common import definition_id, hook_of, result_of, show


def run(args: Any) -> None:
    """Show a workflow instance: its state, its nodes, and where it is in the console."""
    from airflow_provider_schedulerx import api

    hook = hook_of(args)
    workflow_id = result_of(lambda: definition_id(hook, api.kinds.WORKFLOW_RUNS, args.workflow_id))
    found = result_of(lambda: hook.get_workflow_instance(workflow_id, args.wf_instance_id))
    show(f"Workflow instance {found.wf_instance_id} of workflow {found.workflow_id} is {found.status.name}")
    show(hook.console_link(found.workflow_id, found.wf_instance_id))
    if found.nodes:
        show(api.tracking.node_table(found))
