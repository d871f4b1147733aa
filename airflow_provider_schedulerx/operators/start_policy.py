"""The arguments of an operator that decide about a start, and the marker that tells its runs from others."""

from __future__ import annotations

import hashlib
from typing import Any, Literal, NamedTuple, Self

from airflow_provider_schedulerx.api.parameters import (
    check_run_marker,
    encode_instance_parameters,
    is_literal,
    with_run_marker,
)

OnRetry = Literal["reattach", "restart", "rerun_failed"]
IfRunning = Literal["start", "reattach", "skip", "fail"]

#: Characters of a run marker.
MARKER_LENGTH = 16


def run_marker(ti: Any, key: str) -> str:
    """Return a text of :data:`MARKER_LENGTH` characters that all tries of a task instance share, and no other has.

    Clearing the task changes it, because that changes ``max_tries``.

    :param key: under which it is sent; it is part of the marker, so that two deployments of Airflow with the same DAG
        can have different ones.
    """
    parts = [getattr(ti, name, "") for name in ("dag_id", "run_id", "task_id", "map_index", "max_tries")]
    return hashlib.sha256("\0".join(map(str, [*parts, key])).encode()).hexdigest()[:MARKER_LENGTH]


def check_literal_parameters(instance_parameters: Any, marker_key: str | None) -> None:
    """Check what the DAG file gives literally, so that a mistake shows when the file is parsed.

    :raises SchedulerXConfigurationError: naming the argument.
    """
    if is_literal(instance_parameters):
        encode_instance_parameters(instance_parameters)
        if marker_key:
            with_run_marker(instance_parameters, marker_key, "x" * MARKER_LENGTH)


class StartPolicy(NamedTuple):
    """The operator's arguments that decide about a start; see there.

    :ivar retry_delay: seconds that lie between two tries at least.
    """

    on_retry: OnRetry
    if_running: IfRunning
    marker_key: str | None
    settling_time: float
    patience: float
    durable: bool
    waits: bool
    cancel_on_kill: bool
    retries: int
    retry_delay: float

    @classmethod
    def from_task(cls, task: Any) -> Self:
        """Take the arguments of an operator."""
        return cls(
            on_retry=task.on_retry,
            if_running=task.if_running,
            marker_key=check_run_marker(task.run_marker),
            settling_time=task.settling_time,
            patience=task.poll_failure_tolerance,
            durable=task.durable,
            waits=task.wait_for_completion,
            cancel_on_kill=task.cancel_on_kill,
            retries=task.retries or 0,
            retry_delay=task.retry_delay.total_seconds(),
        )
