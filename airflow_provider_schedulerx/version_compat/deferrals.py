"""Between two parts of a task that waits elsewhere: one that comes too early, or an event in another try."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_schedulerx.version_compat import supervisors, versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.providers.common.compat.sdk import Context


# 3.0 only, and early 3.1: a retry resumes with the event, or the failure of the trigger, that has ended the previous try
# (apache/airflow #56704, #62845), and its XComs are kept.


def retries_resume_deferrals() -> bool:
    """Return whether a retry may resume with what has ended the deferral of an earlier try."""
    return (3, 0) <= versions.version() < (3, 1, 8)


# 3.0: the supervisor of a task tells that its process has ended up to [workers] min_heartbeat_interval later, and what
# comes after a deferral or a reschedule, in the same try, can be scheduled before. The scheduler then takes the late report
# for the end of the resumed task, and fails it (apache/airflow #72716). Airflow 2 waits for the process itself.

#: Seconds for what the report passes through, on a busy machine: the supervisor, the executor, the scheduler's loop.
_REPORT_MARGIN = 5.0


def seconds_until_a_deferral_is_known() -> float:
    """Return after how many seconds Airflow has certainly heard that the process of a task that waits elsewhere has ended.

    :return: 0 below 3.0, and in ``dag.test()``, where there is no other process.
    """
    try:
        from airflow.sdk.execution_time import task_runner
    except ImportError:
        return 0.0

    if supervisors.is_in_process(getattr(task_runner, "SUPERVISOR_COMMS", None)):
        return 0.0
    from airflow.providers.common.compat.sdk import conf

    return float(conf.getint("workers", "min_heartbeat_interval", fallback=5)) + _REPORT_MARGIN


async def until_a_deferral_is_known(deferred_at: float | None) -> None:
    """Wait until an event of a trigger may come.

    :param deferred_at: epoch seconds at which the task has deferred, by its worker's clock; None does not wait.
    """
    if deferred_at is None:
        return
    settled = seconds_until_a_deferral_is_known()
    # At most so long: the clock of the worker may be ahead of ours.
    if (seconds := min(settled, deferred_at + settled - time.time())) > 0:
        await asyncio.sleep(seconds)


@contextmanager
def rescheduling_late_enough() -> Iterator[None]:
    """Have a task that is rescheduled in this block come back once Airflow has heard that this process has ended."""
    try:
        from airflow.sdk.exceptions import AirflowRescheduleException
    except ImportError:
        from airflow.exceptions import AirflowRescheduleException  # below 3.2

    try:
        yield
    except AirflowRescheduleException as error:
        earliest = datetime.now(UTC) + timedelta(seconds=seconds_until_a_deferral_is_known())
        raise AirflowRescheduleException(max(error.reschedule_date, earliest)) from None  # type: ignore[no-untyped-call]


# 3.0: execution_timeout starts anew when a deferred task resumes. In 2.11 it does not, and if it has passed by then, the
# operator gets no other call than on_kill.


def resumed_with(task_instance: Any) -> dict[str, Any] | None:
    """Return what a task of Airflow 2.11 was deferred with (``kwargs``). None if it was not, and from 3.0 on."""
    if getattr(task_instance, "next_method", None) is None:
        return None
    return dict(task_instance.next_kwargs or {})


# 3.0: a task asks its supervisor when it was rescheduled first. Before, the database.


def first_reschedule_date(context: Context) -> datetime | None:
    """Return when a sensor in mode ``reschedule`` poked first. None if it has not been rescheduled since.

    It is that of the first try, as for the sensor's ``timeout``: retries do not start anew, clearing does.
    """
    ti: Any = context["ti"]
    if hasattr(ti, "get_first_reschedule_date"):
        found: datetime | None = ti.get_first_reschedule_date(context)
        return found
    from airflow.models.taskreschedule import TaskReschedule
    from airflow.utils.session import create_session

    model: Any = TaskReschedule
    first_try = (ti.max_tries or 0) - (ti.task.retries or 0) + 1
    with create_session() as session:
        row = (
            session.query(model.start_date)
            .filter_by(dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index)
            .filter_by(try_number=first_try)
            .order_by(model.id)
            .first()
        )
    return None if row is None else row[0]
