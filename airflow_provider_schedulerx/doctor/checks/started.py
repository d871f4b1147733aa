"""What only a run shows: starts one or more, follows them and perhaps stops them. Needs ``--start``."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError
from airflow_provider_schedulerx.api.parameters import with_run_marker
from airflow_provider_schedulerx.doctor.checks.experiment import Experiment
from airflow_provider_schedulerx.doctor.checks.following import STOP_SECONDS, follow, summary
from airflow_provider_schedulerx.doctor.checks.starting import LATE_SECONDS, MAX_STARTS, fill, start_first
from airflow_provider_schedulerx.doctor.checks.workflow import max_concurrency
from airflow_provider_schedulerx.doctor.findings import Finding, fail, unknown
from airflow_provider_schedulerx.doctor.session import Session

#: The key under which the marker is put into the parameters.
MARKER_KEY = "schedulerx_doctor"


def start(session: Session) -> Iterator[Finding]:
    """Start the workflow, after asking, and find out what its runs show."""
    if not session.options.start:
        return
    assert session.client is not None  # noqa: S101 - checks say what they need
    if session.options.workflow_id is None:
        yield fail("run", "not started", "--start needs --workflow-id", "Name the workflow to start.")
        return
    try:
        marker = f"{uuid.uuid4().hex[:12]}"
        parameters = _parameters(session, marker)
    except SchedulerXConfigurationError as error:
        yield fail("run", "not started", error.message)
        return
    if not session.may_start(_question(session)):
        yield unknown("run", "you answered no, so nothing was started")
        return
    seconds = session.options.follow + STOP_SECONDS + MAX_STARTS * LATE_SECONDS
    session.client.deadline = time.monotonic() + seconds
    yield from _experiment(session, parameters, marker if parameters else None)


def _experiment(session: Session, parameters: str | None, marker: str | None) -> Iterator[Finding]:
    assert session.workflow_id is not None  # noqa: S101 - checks say what they need
    it = Experiment(session, session.workflow_id, parameters, marker, max_concurrency(session))
    listed = it.list_runs()
    if listed is None:
        yield unknown("run", "the runs of the workflow cannot be listed, so none was started")
        return
    it.before = list(listed)
    it.active_before = {number for number, is_active in listed.items() if is_active}
    try:
        yield from start_first(it)
        if it.runs and session.options.fill:
            yield from fill(it)
        if it.runs:
            yield from follow(it)
    except KeyboardInterrupt:
        if it.runs:
            yield summary(it)
        raise


def _parameters(session: Session, marker: str) -> str | None:
    if session.options.parameters is None:
        return None
    return with_run_marker(dict(session.options.parameters), MARKER_KEY, marker)


def _question(session: Session) -> str:
    scope, options = session.scope, session.options
    name = (session.workflow or {}).get("Name")
    limit = max_concurrency(session)
    what = f"up to {min(MAX_STARTS, (limit or 1) + 1)} runs" if options.fill else "one run"
    then = "and stop it" if options.stop else "and follow it"
    disabled = " It is disabled." if session.is_disabled else ""
    return (
        f"Start {what} of workflow {options.workflow_id} {name or ''} (region {scope.region_id}, namespace "
        f"{scope.namespace}, group {scope.group_id}) {then}? Its jobs really run.{disabled} [y/N] "
    )


def as_parameters(text: str) -> dict[str, Any]:
    """Read ``--parameters``.

    :raises SchedulerXConfigurationError: if it is not a JSON object.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise SchedulerXConfigurationError(f"--parameters is not JSON: {error}", field="parameters") from None
    if not isinstance(value, dict):
        raise SchedulerXConfigurationError(
            "--parameters has to be a JSON object, such as '{}'", field="parameters"
        )
    return value
