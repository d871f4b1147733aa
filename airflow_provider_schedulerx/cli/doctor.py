"""``doctor``: examine a connection."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from airflow_provider_schedulerx.cli.common import fail, hook_of, result_of, show

#: Exit status of a call that asks for what cannot be, as argparse has it.
_USAGE = 2


def run(args: Any) -> None:
    """Examine a connection. The exit status is 0 only if the operator would work."""
    from airflow_provider_schedulerx.doctor import rendering
    from airflow_provider_schedulerx.doctor.examination import examine

    # What is logged on the way must not get into the JSON.
    with contextlib.redirect_stdout(sys.stderr):
        hook = hook_of(args)
        if args.workflow_name is not None:
            args.workflow_id = _id_of_name(args, hook)
        options = _options(args)
        report = examine(
            hook,
            options,
            may_start=lambda question: args.yes or _asked(question),
            progress=_progress,
        )
    _progress("")
    render = rendering.to_json if args.json else rendering.table
    show(render(report, args.schedulerx_conn_id))
    if not report.would_work:
        raise SystemExit(1)


def _id_of_name(args: Any, hook: Any) -> int:
    from airflow_provider_schedulerx import api

    if args.workflow_id is not None:
        fail("give one of --workflow-id and --workflow-name, not both", _USAGE)
    found: int = result_of(lambda: hook.find_definition(api.kinds.WORKFLOW_RUNS, args.workflow_name))
    return found


def _options(args: Any) -> Any:
    from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError
    from airflow_provider_schedulerx.api.parameters import check_id, check_seconds
    from airflow_provider_schedulerx.doctor.checks.started import as_parameters
    from airflow_provider_schedulerx.doctor.session import Options

    for name in ("yes", "fill", "stop", "parameters"):
        if getattr(args, name) and not args.start:
            fail(f"--{name} is for a run that is started here: add --start, or leave it out", _USAGE)
    if args.start and args.workflow_id is None:
        fail("--start needs --workflow-id or --workflow-name: name the workflow to start", _USAGE)
    if args.start and not args.yes and not sys.stdin.isatty():
        fail("--start asks before it starts anything, and nobody is there to answer: add --yes", _USAGE)
    try:
        return Options(
            workflow_id=None if args.workflow_id is None else check_id("--workflow-id", args.workflow_id),
            start=args.start,
            fill=args.fill,
            stop=args.stop,
            parameters=None if args.parameters is None else as_parameters(args.parameters),
            follow=check_seconds("--follow", args.follow),
        )
    except SchedulerXConfigurationError as error:
        fail(error.message, _USAGE)


def _asked(question: str) -> bool:
    _progress("")
    # Not on standard output, which may be JSON.
    print(question, end="", file=sys.stderr, flush=True)  # noqa: T201
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _progress(what: str) -> None:
    """Say what is being looked at, in a line that the next one replaces; only where a person looks."""
    if sys.stderr.isatty():
        line = f"Looking at: {what}" if what else ""
        print(f"\r{line:<60}\r{line}", end="", file=sys.stderr, flush=True)  # noqa: T201
