"""Publishes a run: XCom, the task's links, and the events of its outlets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.providers.common.compat.sdk import Asset

from airflow_provider_schedulerx.links.schedulerx import persist_links

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
    from airflow_provider_schedulerx.operators.task_run import TaskRun

#: Key under which a try that defers pushes to XCom what it follows.
_XCOM_FOLLOWED = "schedulerx_followed"


def announce(context: Context, hook: SchedulerXHook, run: TaskRun, log: Any) -> None:
    """Publish a run before the task waits for it."""
    context["ti"].xcom_push(key=run.kind.instance_field, value=run.instance_id)
    context["ti"].xcom_push(key=run.kind.definition_argument, value=run.definition_id)
    persist_links(context, hook, run.kind, run.definition_id, run.instance_id, log=log)


class Followed(NamedTuple):
    """The run that a try has deferred for, where Airflow resumes it without the arguments of the deferral.

    :ivar try_number: of that try.
    """

    definition_id: int
    instance_id: int
    is_own: bool
    try_number: int | None


def announce_deferral(context: Context, run: TaskRun) -> None:
    """Keep the run that the try follows, for a resumption without the arguments of the deferral."""
    followed = Followed(run.definition_id, run.instance_id, run.is_own, _try_number(context))
    context["ti"].xcom_push(key=_XCOM_FOLLOWED, value=list(followed))


def followed(context: Context) -> Followed | None:
    """Return the run that was deferred for, by this try or an earlier one; None if that is not known."""
    ti = context["ti"]
    stored = ti.xcom_pull(task_ids=ti.task_id, key=_XCOM_FOLLOWED, map_indexes=ti.map_index)
    return None if stored is None else Followed(*stored)


def _try_number(context: Context) -> int | None:
    return getattr(context["ti"], "try_number", None)


def update_assets(
    context: Context, outlets: Iterable[Any], hook: SchedulerXHook, run: TaskRun, **outcome: str
) -> None:
    """Put a run into the events of a task's outlets, for whoever reads them (``inlet_events``)."""
    # An alias, say, is left out: only the task's author knows its asset.
    for outlet in [outlet for outlet in outlets if isinstance(outlet, Asset)]:
        context["outlet_events"][outlet].extra.update(
            {
                run.kind.instance_field: run.instance_id,
                run.kind.definition_argument: run.definition_id,
                "console_url": hook.console_link(run.definition_id, run.instance_id, run.kind.name),
                **outcome,
            }
        )
