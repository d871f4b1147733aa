"""What the log of a task says of a run; the operator and the sensor, deferred or not, say it alike."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import SchedulerXError

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.models import WorkflowInstanceNode
    from airflow_provider_schedulerx.api.runs.kinds import Run
    from airflow_provider_schedulerx.hooks.runs import RunCalls
    from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook

#: Lines of a failed node's log that are shown by default.
DEFAULT_LOG_LINES = 50
#: Failed nodes whose log is fetched.
_MAX_LOGS = 5


class FaultLog:
    """Logs that a run cannot be polled, once for each kind of fault, and once that it can again.

    :param label: what a sentence calls the run.
    """

    def __init__(self, log: Any, label: str) -> None:
        self._log = log
        self._title = api.tracking.sentence(label)
        self._last: tuple[type[SchedulerXError], str | None] | None = None

    def failed(self, error: SchedulerXError) -> None:
        """Note that a poll failed."""
        if (kind := (type(error), error.code)) != self._last:
            self._last = kind
            self._log.warning("%s cannot be polled: %s", self._title, error)

    def succeeded(self) -> None:
        """Note that a poll succeeded."""
        if self._last is not None:
            self._last = None
            self._log.info("%s can be polled again", self._title)


def learn_secrets(hook: SchedulerXHook) -> None:
    """Let Airflow mask the secrets of the connection in what is logged and stored next.

    It masks those that were read in the same process, and one that resumes after a deferral has read none yet.
    """
    with contextlib.suppress(Exception):  # without the connection, the rest continues
        _ = hook.settings


def with_nodes(calls: RunCalls, run: Run, log: Any) -> Run:
    """Return a failed run with its nodes, which a poll by a list does not have."""
    if run.nodes or not run.status.is_terminal or run.status.is_success:
        return run
    try:
        return calls.get(run.definition_id, run.instance_id)
    except SchedulerXError as error:
        log.warning("Could not fetch the nodes of %s: %s", run.label, error)
        return run


def is_active_again(reported: Run, seen: Run, log: Any) -> bool:
    """Return whether a run that a list reported as ended is not over, as its own poll shows, and say so.

    The list lags, or somebody has rerun what had failed. A task that failed now would leave an active run.
    """
    if not reported.status.is_terminal or seen.status.is_terminal:
        return False
    log.info(
        "%s, which was %s, is %s again: waiting on",
        api.tracking.sentence(seen.label),
        reported.status.name,
        seen.status.name,
    )
    return True


def log_run_summary(hook: SchedulerXHook, run: Run, log: Any, log_lines: int) -> None:
    """Log a table of the nodes of a run that has ended, and the last lines of each failed node's own log.

    The lines come from ``GetLog``, which needs the Professional edition with its log service. Its faults
    are logged, never raised.

    :param log_lines: lines per failed node; 0 fetches no log.
    """
    is_its_own_node = api.tracking.own_node(run) is not None
    if run.nodes:
        title = api.tracking.sentence(run.label) if is_its_own_node else f"Nodes of {run.label}"
        _group(log, title, api.tracking.node_table(run).splitlines())
    failed = run.status.is_terminal and not run.status.is_success
    bad = [node for node in run.nodes if node.status.is_bad] if failed and log_lines else []
    for node in bad[:_MAX_LOGS]:
        _report_log(hook, node, node.label if is_its_own_node else f"node {node.label}", log, log_lines)
    if len(bad) > _MAX_LOGS:
        log.info("The logs of %d more failed nodes are in the SchedulerX console", len(bad) - _MAX_LOGS)


def _report_log(
    hook: SchedulerXHook, node: WorkflowInstanceNode, label: str, log: Any, log_lines: int
) -> None:
    """:param label: what a sentence calls the node."""
    if node.job_instance_id is None:
        return
    try:
        lines = hook.tail_job_instance_log(node.job_id, node.job_instance_id, log_lines)
    except SchedulerXError as error:
        log.warning("Could not fetch the log of %s: %s", label, error)
        return
    if lines:
        _group(log, f"Last {len(lines)} lines of the log of {label}", lines)
    else:
        log.info("The log service has no log of %s", label)


def _group(log: Any, title: str, lines: list[str]) -> None:
    """Lines that the UI folds under a title."""
    log.info("::group::%s", title)
    for line in lines:
        log.info("%s", line)
    log.info("::endgroup::")
