"""How a run is followed to its end, on a worker or in the triggerer."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import SchedulerXError, SchedulerXNotFoundError
from airflow_provider_schedulerx.exceptions import RunUndecidedError
from airflow_provider_schedulerx.operators.announcing import announce_deferral
from airflow_provider_schedulerx.operators.interrupts import TimeIsUp

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_schedulerx.api.runs.kinds import Run
    from airflow_provider_schedulerx.operators.run_owner import RunOwner
    from airflow_provider_schedulerx.operators.task_run import TaskRun


def poll_until_end(task: Any, owner: RunOwner, run: TaskRun) -> Run:
    """Poll the run of an operator until it has ended.

    :return: how it was then.
    """
    tracker = api.tracking.RunTracker(task.poll_failure_tolerance, task.settling_time)
    while True:
        # Whether time is up is asked first, so that a run that ended meanwhile still counts.
        is_last_poll = owner.limit.left <= 0
        try:
            with owner.interrupts.polling():
                seen = owner.calls.get(run.definition_id, run.instance_id)
        except SchedulerXError as error:
            if not tracker.observe_failure(error, time.monotonic()):
                raise _no_longer_followed(owner, run, error) from None
            if tracker.is_news:
                task.log.warning("Could not poll %s: %s", run, error)
        else:
            owner.snapshots.observe(seen)
            verdict, lines = tracker.observe(seen, time.monotonic())
            for line in lines:
                task.log.info("%s", line)
            if verdict in (api.tracking.Verdict.SUCCESS, api.tracking.Verdict.FAILED):
                return seen
            if verdict is api.tracking.Verdict.UNDECIDED:
                status = seen.status.value
                raise _no_longer_followed(
                    owner, run, f"it shows the status {status}, which is not documented"
                )
        if is_last_poll:
            raise TimeIsUp
        owner.interrupts.pause(min(task.poll_interval, owner.limit.left))


def defer_until_end(
    task: Any, context: Context, owner: RunOwner, run: TaskRun, deadline: float | None
) -> None:
    """Defer an operator, unless its run has ended already; then return.

    :param deadline: epoch seconds, of an earlier deferral of this try; None if this is the first, or there is no limit.
    """
    try:
        seen = owner.calls.get(run.definition_id, run.instance_id)
        owner.snapshots.observe(seen)
        if seen.status.is_terminal:
            return
    except SchedulerXError as error:
        # The trigger has more patience.
        task.log.warning("Could not poll %s: %s", run, error)
    from airflow_provider_schedulerx.triggers.run import DEFERRAL_MARGIN

    if deadline is None and owner.limit.left != float("inf"):
        deadline = time.time() + owner.limit.left
    announce_deferral(context, run)
    owner.check_killed()
    task.defer(
        trigger=task.trigger_class().from_task(
            task,
            definition_id=run.definition_id,
            instance_id=run.instance_id,
            poll_interval=task.poll_interval,
            deadline=deadline,
            started_at=time.time() if run.is_new else None,
            settling_time=task.settling_time,
            cancel_on_kill=task.cancel_on_kill and run.is_own,
        ),
        method_name="execute_complete",
        kwargs={
            "definition_id": run.definition_id,
            "instance_id": run.instance_id,
            "is_own": run.is_own,
            "try_number": getattr(context["ti"], "try_number", None),
            "deadline": deadline,
        },
        # The trigger keeps the deadline itself; this is for a triggerer that is away.
        timeout=None
        if deadline is None
        else timedelta(seconds=max(0.0, deadline - time.time()) + DEFERRAL_MARGIN),
    )


def ended_meanwhile(task: Any, owner: RunOwner, run: TaskRun) -> Run | None:
    """Return the run if it has ended. None if it has not, or if it could not be polled."""
    try:
        seen = owner.calls.get(run.definition_id, run.instance_id)
    except SchedulerXError as error:
        task.log.warning("Could not poll %s: %s", run, error)
        return None
    return seen if seen.status.is_terminal else None


def after_trigger_gave_up(task: Any, owner: RunOwner, run: TaskRun, why: str) -> Exception:
    """Return the error for a run that the trigger could not follow: final if the service does not know the run."""
    try:
        owner.calls.get(run.definition_id, run.instance_id)
    except SchedulerXNotFoundError as error:
        return _no_longer_followed(owner, run, error)
    except SchedulerXError as error:
        task.log.warning("Could not poll %s: %s", run, error)
    return _no_longer_followed(owner, run, why)


def _no_longer_followed(owner: RunOwner, run: TaskRun, why: SchedulerXError | str) -> Exception:
    what = f"{run.title} can no longer be followed: {why}"
    if isinstance(why, SchedulerXNotFoundError):
        return RunUndecidedError(
            f"{what}. The task is not retried, because the service would not know the run in a retry either"
        )
    return owner.lost(f"{what}. It may be active")
