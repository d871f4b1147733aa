"""Why a task or a trigger is asked to stop: someone has ended the task, or it merely moves."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from airflow_provider_schedulerx.version_compat import supervisors, versions, xcoms

# 3.3: triggers are notified that a user has ended their task, and also, as if it were that, that another triggerer has
# taken them. Which of both only the state of the task shows. Before 3.3, it shows whatever cancels a trigger.


def triggers_are_told_of_kills() -> bool:
    """Return whether Airflow calls ``on_kill`` of a trigger. It does so without a kill, too."""
    from airflow.triggers.base import BaseTrigger

    return hasattr(BaseTrigger, "on_kill")


async def still_waits(
    task_instance: Any, key: str, instance_id: int, deferred_at: float | None
) -> bool | None:
    """Return whether a task whose trigger was cancelled still sees to its run: it waits for it, in this try or the next
    one, or another triggerer has given it back.

    :param key: of the XCom in which the task has the id of its run.
    :param instance_id: of the run that the trigger follows.
    :param deferred_at: when the task has deferred to this trigger.
    :return: None if it has no state, as just after it was cleared.
    :raises Exception: if this could not be fetched.
    """
    fetch_state, fetch_xcom = _fetchers()
    state = await fetch_state(task_instance)
    if state is None:
        return None
    # No user sets the second one: this triggerer was away, and what another one reported has ended the try.
    if state not in ("deferred", "up_for_retry"):
        return deferred_at is not None and await fetch_xcom(task_instance, _GIVEN_BACK) == deferred_at
    # A try after a clear may wait already, for another run. What an XCom backend has stored elsewhere says nothing.
    shown = str(await fetch_xcom(task_instance, key))
    return not shown.isdecimal() or shown == str(instance_id)


#: Key of the XCom by which a trigger says that the task has to see to its run: until the next try, which removes it.
_GIVEN_BACK = "schedulerx_given_back"


async def give_back(task_instance: Any, deferred_at: float | None) -> None:
    """Note that a trigger is about to give a run that may be active back to its task.

    Another triggerer that still has the trigger, and is told later that it is over, must not take that for a kill.
    Before 3.2, nothing is noted: a request of a trigger could not be cancelled.

    :param deferred_at: when the task has deferred to the trigger.
    :raises Exception: if this could not be noted.
    """
    if deferred_at is not None and versions.version() >= (3, 2) and supervisors.has_supervisor():
        await xcoms.astore_xcom(_ti_key(task_instance), _GIVEN_BACK, deferred_at)


def _fetchers() -> tuple[Callable[..., Awaitable[str | None]], Callable[..., Awaitable[Any]]]:
    """Return what fetches the state and an XCom of a task in its trigger.

    Up to 3.1, what is asked of the supervisor must not be cancelled, so a thread asks. From 3.2 on it can be, and must be:
    an answer may not come once the triggerer is shutting down, and a thread that waits for one would outlast it.
    """
    if versions.version() >= (3, 2):
        return _astate, _axcom
    from asgiref.sync import sync_to_async

    return sync_to_async(_state), sync_to_async(_xcom)


async def _astate(task_instance: Any) -> str | None:
    from airflow.sdk.execution_time.comms import GetTaskStates

    asked = GetTaskStates(
        dag_id=task_instance.dag_id,
        task_ids=[task_instance.task_id],
        run_ids=[task_instance.run_id],
        map_index=task_instance.map_index,
    )
    return _own_state(task_instance, (await supervisors.asend(asked)).task_states)


async def _axcom(task_instance: Any, key: str) -> Any:
    return await xcoms.aload_xcom(_ti_key(task_instance), key)


def _ti_key(task_instance: Any) -> dict[str, Any]:
    return {name: getattr(task_instance, name) for name in ("dag_id", "run_id", "task_id", "map_index")}


def _own_state(task_instance: Any, states: Mapping[str, Mapping[str, Any]]) -> str | None:
    """:param states: of tasks, by DAG run."""
    map_index = task_instance.map_index
    key = task_instance.task_id if map_index < 0 else f"{task_instance.task_id}_{map_index}"
    state = states.get(task_instance.run_id, {}).get(key, "removed")
    return None if state is None else str(state)


def _state(task_instance: Any) -> str | None:
    """Return the state of a task. None if it has none; ``removed`` if there is no such task, as in a deleted DAG run."""
    dag_id, task_id = task_instance.dag_id, task_instance.task_id
    run_id, map_index = task_instance.run_id, task_instance.map_index
    try:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    except ImportError:
        return _state_in_database(dag_id, task_id, run_id, map_index)
    states = RuntimeTaskInstance.get_task_states(
        dag_id=dag_id, task_ids=[task_id], run_ids=[run_id], map_index=map_index
    )
    return _own_state(task_instance, states)


def _xcom(task_instance: Any, key: str) -> Any:
    if supervisors.has_supervisor():
        return xcoms.load_xcom(_ti_key(task_instance), key)
    from airflow.models.xcom import XCom

    return XCom.get_one(**_ti_key(task_instance), key=key)


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


# 3.0: after on_kill has run in the handler of a signal, the task continues where it was, and can ask its supervisor what
# the signal meant. Before, the handler ends the task.


def resumes_after_on_kill() -> bool:
    """Return whether a task continues after a signal, once its ``on_kill`` has returned."""
    try:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    except ImportError:
        return False
    return hasattr(RuntimeTaskInstance, "get_task_states")


#: States that a running task has after someone has ended it.
_ENDED = frozenset({"failed", "success", "skipped", "upstream_failed", "removed", "restarting"})


def someone_has_ended(task_instance: Any, seconds: float) -> bool:
    """Ask the supervisor of a task that is asked to stop whether someone has ended it: a person, or the end of its DAG run.

    Otherwise its worker is shutting down, or Airflow has lost sight of the task and is going to run it again.

    :param seconds: within which it has to answer. No answer means no: that someone has ended a task reaches its supervisor
        as an answer of Airflow, and the supervisor also stops a task because Airflow does not answer.
    """
    found: list[str | None] = []

    def ask() -> None:
        with contextlib.suppress(Exception):
            found.append(_state(task_instance))

    # In a thread, because the supervisor may be gone; a daemon, because the task must be able to end anyway.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return bool(found) and found[0] in _ENDED
