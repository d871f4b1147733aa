"""Did a user end a deferred task? Only for Airflow before 3.3, which does not tell triggers."""

from __future__ import annotations

from typing import Any


async def user_acted_on(task_instance: Any) -> bool:
    """Whether a task is no longer deferred, so that its trigger was cancelled because of a user.

    In a shutdown or redistribution of the triggerer it still is deferred. If the state cannot be
    had, the answer is no: a run that goes on is better than one that a restart stops.
    """
    if task_instance is None:
        return False
    try:
        state = await _state(task_instance)
    except Exception:
        return False
    return state is not None and str(state) != "deferred"


async def _state(task_instance: Any) -> str | None:
    from asgiref.sync import sync_to_async

    ids = (task_instance.dag_id, task_instance.task_id, task_instance.run_id, task_instance.map_index)
    try:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    except ImportError:
        return await sync_to_async(_state_in_database)(*ids)
    dag_id, task_id, run_id, map_index = ids
    states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
        dag_id=dag_id, task_ids=[task_id], run_ids=[run_id], map_index=map_index
    )
    key = task_id if map_index < 0 else f"{task_id}_{map_index}"
    state = states.get(run_id, {}).get(key)
    return None if state is None else str(state)


def _state_in_database(dag_id: str, task_id: str, run_id: str, map_index: int) -> str | None:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        state: str | None = (
            session.query(TaskInstance.state)
            .filter_by(dag_id=dag_id, task_id=task_id, run_id=run_id, map_index=map_index)
            .scalar()
        )
    return state
