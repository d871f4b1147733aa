"""Reads what the page shows from Airflow's database: states of task instances, and stored snapshots."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import String, cast, func, select

from airflow_provider_schedulerx.run_page import XCOM_CONSOLE_LINK, XCOM_RUN
from airflow_provider_schedulerx.run_page.encoding import MAX_BYTES, MalformedSnapshotError, decode
from airflow_provider_schedulerx.run_page.snapshot import Snapshot
from airflow_provider_schedulerx.run_page.view import OVER, TaskView

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: Runs on the page of a DAG run.
MAX_RUNS = 100
#: Characters of a stored snapshot that are read: databases and editors may write it with more spaces than we do.
_MAX_LENGTH = 2 * MAX_BYTES


def task_view(session: Session, dag_id: str, run_id: str, task_id: str, map_index: int) -> TaskView | None:
    """Return what is known of a task instance, or None if there is none."""
    row = session.execute(
        select(TaskInstance.state).where(
            TaskInstance.dag_id == dag_id,
            TaskInstance.run_id == run_id,
            TaskInstance.task_id == task_id,
            TaskInstance.map_index == map_index,
        )
    ).first()
    if row is None:
        return None
    where = [*_of_run(dag_id, run_id), XComModel.task_id == task_id, XComModel.map_index == map_index]
    (found,) = _snapshots(session, where, [(task_id, map_index)])
    link = session.scalar(
        select(XComModel.value).where(
            *_of_run(dag_id, run_id, XCOM_CONSOLE_LINK),
            XComModel.task_id == task_id,
            XComModel.map_index == map_index,
        )
    )
    return TaskView(
        dag_id,
        run_id,
        task_id,
        map_index,
        state=_state(row.state),
        snapshot=found[0],
        is_unreadable=found[1],
        console_url=link_of(link),
    )


def dag_run_views(session: Session, dag_id: str, run_id: str) -> tuple[list[TaskView], int, bool] | None:
    """Return the first :data:`MAX_RUNS` task instances with something stored, how many there are, and whether the
    DAG run is over. None if there is no such DAG run.
    """
    row = session.execute(
        select(DagRun.state).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    ).first()
    if row is None:
        return None
    where = _of_run(dag_id, run_id)
    total = session.scalar(select(func.count()).select_from(XComModel).where(*where)) or 0
    tasks = session.execute(
        select(TaskInstance.task_id, TaskInstance.map_index, TaskInstance.state)
        .join(
            XComModel,
            (XComModel.dag_id == TaskInstance.dag_id)
            & (XComModel.run_id == TaskInstance.run_id)
            & (XComModel.task_id == TaskInstance.task_id)
            & (XComModel.map_index == TaskInstance.map_index),
        )
        .where(*where)
        .order_by(TaskInstance.task_id, TaskInstance.map_index)
        .limit(MAX_RUNS)
    ).all()
    found = _snapshots(session, where, [(task.task_id, task.map_index) for task in tasks])
    views = [
        TaskView(
            dag_id,
            run_id,
            task.task_id,
            task.map_index,
            _state(task.state),
            snapshot,
            is_unreadable=is_unreadable,
        )
        for task, (snapshot, is_unreadable) in zip(tasks, found, strict=True)
    ]
    return views, total, _state(row.state) in OVER


def _of_run(dag_id: str, run_id: str, key: str = XCOM_RUN) -> list[Any]:
    return [XComModel.dag_id == dag_id, XComModel.run_id == run_id, XComModel.key == key]


def _snapshots(
    session: Session, where: list[Any], tasks: Iterable[tuple[str, int]]
) -> list[tuple[Snapshot | None, bool]]:
    """Return for each task its snapshot, and whether what is stored is none."""
    # What is too long is not even read: anyone with rights may have stored anything.
    length = func.length(cast(XComModel.value, String))
    rows = session.execute(
        select(XComModel.task_id, XComModel.map_index, XComModel.value).where(*where, length <= _MAX_LENGTH)
    )
    values = {(row.task_id, row.map_index): row.value for row in rows}
    every = session.execute(select(XComModel.task_id, XComModel.map_index).where(*where))
    stored = {(row.task_id, row.map_index) for row in every}
    found: list[tuple[Snapshot | None, bool]] = []
    for task in tasks:
        try:
            found.append((decode(values[task]), False))
        except (KeyError, MalformedSnapshotError):
            found.append((None, task in stored))
    return found


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
