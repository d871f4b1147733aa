"""Reads what the page shows from Airflow's database: states of task instances, and stored snapshots."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import String, case, cast, func, null, select

from airflow_provider_schedulerx.run_page import XCOM_CONSOLE_LINK, XCOM_JOB_CONSOLE_LINK, XCOM_RUN
from airflow_provider_schedulerx.run_page.encoding import MAX_BYTES, MalformedSnapshotError, decode
from airflow_provider_schedulerx.run_page.snapshot import Snapshot
from airflow_provider_schedulerx.run_page.view import OVER, TROUBLED, TaskView

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: Runs on the page of a DAG run.
MAX_RUNS = 100
#: Characters of a stored snapshot that are read: databases and editors may write it with more spaces than we do.
_MAX_LENGTH = 2 * MAX_BYTES


#: The JSON as it is stored. Anyone with rights may have stored anything: what is too long is not even read, and what is
#: too deep would fail where the database's driver parses it.
_TEXT = cast(XComModel.value, String)
_VALUE = case((func.length(_TEXT) <= _MAX_LENGTH, _TEXT), else_=null()).label("value")


#: As :attr:`TaskView.urgency`, as far as a database knows it.
_URGENCY = case((TaskInstance.state.in_(TROUBLED), 0), (TaskInstance.state == "success", 2), else_=1)


def task_view(session: Session, dag_id: str, run_id: str, task_id: str, map_index: int) -> TaskView | None:
    """Return what is known of a task instance, or None if there is none."""

    def of_task(model: Any) -> list[Any]:
        return [*_of_run(model, dag_id, run_id), model.task_id == task_id, model.map_index == map_index]

    row = session.execute(
        select(TaskInstance.state, TaskInstance.try_number).where(*of_task(TaskInstance))
    ).first()
    if row is None:
        return None
    keys = (XCOM_RUN, XCOM_CONSOLE_LINK, XCOM_JOB_CONSOLE_LINK)
    stored = {
        xcom.key: _parsed(xcom.value)
        for xcom in session.execute(
            select(XComModel.key, _VALUE).where(*of_task(XComModel), XComModel.key.in_(keys))
        )
    }
    snapshot = _snapshot(stored.get(XCOM_RUN))
    return TaskView(
        dag_id,
        run_id,
        task_id,
        map_index,
        state=_state(row.state),
        snapshot=snapshot,
        is_unreadable=snapshot is None and XCOM_RUN in stored,
        console_url=link_of(stored.get(XCOM_CONSOLE_LINK) or stored.get(XCOM_JOB_CONSOLE_LINK)),
        try_number=row.try_number,
    )


def dag_run_views(session: Session, dag_id: str, run_id: str) -> tuple[list[TaskView], int, bool] | None:
    """Return task instances with something stored, how many there are, and whether the DAG run is over.

    :return: at most :data:`MAX_RUNS` of them, in which something went wrong before all others. None if there is no such DAG run.
    """
    row = session.execute(select(DagRun.state).where(*_of_run(DagRun, dag_id, run_id))).first()
    if row is None:
        return None
    where = [*_of_run(XComModel, dag_id, run_id), XComModel.key == XCOM_RUN]
    total = session.scalar(select(func.count()).select_from(XComModel).where(*where)) or 0
    tasks = session.execute(
        select(
            TaskInstance.task_id, TaskInstance.map_index, TaskInstance.state, TaskInstance.try_number, _VALUE
        )
        .join(
            XComModel,
            (XComModel.dag_id == TaskInstance.dag_id)
            & (XComModel.run_id == TaskInstance.run_id)
            & (XComModel.task_id == TaskInstance.task_id)
            & (XComModel.map_index == TaskInstance.map_index),
        )
        .where(*where)
        .order_by(_URGENCY, TaskInstance.task_id, TaskInstance.map_index)
        .limit(MAX_RUNS)
    )
    views = []
    for task in tasks:
        snapshot = _snapshot(_parsed(task.value))
        state = _state(task.state)
        views.append(
            TaskView(
                dag_id,
                run_id,
                task.task_id,
                task.map_index,
                state,
                snapshot,
                is_unreadable=snapshot is None,
                try_number=task.try_number,
            )
        )
    return views, total, _state(row.state) in OVER


def _of_run(model: Any, dag_id: str, run_id: str) -> list[Any]:
    return [model.dag_id == dag_id, model.run_id == run_id]


def _parsed(text: str | None) -> object:
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None


def _snapshot(value: object) -> Snapshot | None:
    try:
        return decode(value)
    except MalformedSnapshotError:
        return None


def _state(value: object) -> str | None:
    return None if value is None else str(getattr(value, "value", value))


def link_of(value: object) -> str | None:
    """Return a stored link. Airflow stores a text as JSON, or as JSON of its JSON; anyone may have edited it."""
    if isinstance(value, str) and value.startswith('"'):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, str) else None
