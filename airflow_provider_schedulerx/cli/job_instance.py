"""``job-instance``: show a job instance."""

from __future__ import annotations

from typing import Any

from airflow_provider_schedulerx.cli.common import definition_id, hook_of, result_of, show

#: Lines of its log that are shown.
_LOG_LINES = 20


def run(args: Any) -> None:
    """Show a job instance: its state, where it is in the console, and the last lines of its log."""
    from airflow_provider_schedulerx import api
    from airflow_provider_schedulerx.api.exceptions import SchedulerXError

    hook = hook_of(args)
    job_id = result_of(lambda: definition_id(hook, api.kinds.kind_named("job"), args.job_id))
    found = result_of(lambda: hook.get_job_instance(job_id, args.job_instance_id))
    show(f"Job instance {found.job_instance_id} of job {found.job_id} is {found.status.name}")
    show(hook.console_link(found.job_id, found.job_instance_id, "job"))
    facts = (
        ("name", found.job_name),
        ("scheduled", found.schedule_time),
        ("started", found.start_time),
        ("ended", found.end_time),
        ("worker", found.work_addr),
        ("result", found.result),
    )
    show(api.tracking.aligned([(name, value) for name, value in facts if value]))
    try:
        lines = hook.tail_job_instance_log(found.job_id, found.job_instance_id, _LOG_LINES)
    except SchedulerXError as error:
        show(f"Its log could not be fetched: {error}")
        return
    for line in lines:
        show(line)
