"""What a retry does where nothing is stored, as below Airflow 3.3: it looks for its run by the marker."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import SchedulerXError
from airflow_provider_schedulerx.exceptions import RunUndecidedError
from airflow_provider_schedulerx.operators.earlier_runs import CLOCK_MARGIN
from airflow_provider_schedulerx.operators.lost_starts import DECIDE

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_schedulerx.api.runs.intents import StartIntent
    from airflow_provider_schedulerx.api.runs.reconciling import Age
    from airflow_provider_schedulerx.operators.lost_starts import LostStarts
    from airflow_provider_schedulerx.operators.start import Start


def find_without_store(start: Start, lost: LostStarts) -> StartIntent | None:
    """Look for the run of an earlier try, by the marker. Without one, make sure that none may be active.

    :return: the run as an earlier try would have written it down; None if there is none.
    :raises RunUndecidedError: if there may be one that nobody can tell from others.
    """
    if not start.policy.durable or start.store.is_kept or _try_number(start.context) == 1:
        return None
    is_retry = _is_retry(start)
    since = _seconds_since_dag_run(start.context)
    age = api.reconciling.Age(at_most=None if since is None else since + CLOCK_MARGIN)
    if start.marker is None:
        if is_retry:
            _refuse_beside_active(start, age)
        return None
    start.log.info("Looking for a run of an earlier try, by its marker")
    intent = start.intent(None)
    if is_retry:
        found, _ = lost.find(intent, age=age, may_be_several=True)
    else:
        # Most likely the first try of a cleared task, whose marker is new: only a run that carries it counts. It is
        # looked for all the same, since is_retry errs where somebody has lowered `retries`.
        marked = start.calls.reconcile(intent, settling_time=0.0, patience=0.0, age=age, may_be_several=True)
        found = replace(intent, instance_id=marked.instance_id)
    if found.instance_id is None:
        start.owner.nothing_started()
        return None
    return found


def _is_retry(start: Start) -> bool:
    """Whether there was an earlier try, since the task was cleared last.

    Clearing sets ``max_tries`` to the number of tries so far plus the task's ``retries``.
    """
    max_tries: int | None = getattr(start.context["ti"], "max_tries", None)
    return max_tries is None or _try_number(start.context) != max_tries - start.policy.retries + 1


def _try_number(context: Context) -> int:
    return getattr(context["ti"], "try_number", None) or 1


def _refuse_beside_active(start: Start, age: Age) -> None:
    """Start nothing beside a run that an earlier try may have started.

    :raises RunUndecidedError: if there may be one, or if that cannot be determined.
    """
    try:
        suspects = start.calls.find_suspects(start.intent(()), age=age)
    except SchedulerXError as error:
        why = f"its runs cannot be listed: {error}"
    else:
        if not suspects:
            return
        why = "; ".join(map(str, suspects))
    raise RunUndecidedError(
        f"This is a retry, and an earlier try may have started a run of {start.what} that is active: {why}. Airflow below "
        f"3.3 keeps nothing between tries, so none is started beside it: {DECIDE}. (run_marker=True lets a retry find "
        "its run; durable=False starts one in any case.)"
    )


def _seconds_since_dag_run(context: Context) -> float | None:
    """Seconds since the DAG run began, and with it the first try of any of its tasks; None if unknown."""
    begin = getattr(context.get("dag_run"), "start_date", None)
    return None if begin is None else max(0.0, time.time() - begin.timestamp())
