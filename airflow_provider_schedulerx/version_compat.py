"""Adapts to the versions of Airflow that we run on, 2.11 to 3.3, where their own compat layer does not level them.

What has moved or been renamed comes from ``airflow.providers.common.compat.sdk`` everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Connection, Context

# 3.3: a store for each task instance that survives its retries.


def task_state_store(context: Context) -> Any:
    """Return the task state store of a task. None below 3.3, and in ``dag.test()``."""
    state: Mapping[str, Any] = context
    return state.get("task_state_store")


def store_for_good(store: Any, key: str, value: Any) -> None:
    """Write to a task state store without an expiry."""
    from airflow.sdk.execution_time.context import NEVER_EXPIRE

    store.set(key, value, retention=NEVER_EXPIRE)


# 3.3: triggers are notified that a user has ended their task, and also, as if it were that, that another triggerer has
# taken them. Which of both only the state of the task shows. Before 3.3, it shows whatever cancels a trigger.


def triggers_are_told_of_kills() -> bool:
    """Return whether Airflow calls ``on_kill`` of a trigger. It does so without a kill, too."""
    from airflow.triggers.base import BaseTrigger

    return hasattr(BaseTrigger, "on_kill")


# 3.0 only, and early 3.1: a retry resumes with the event, or the failure of the trigger, that has ended the previous try
# (apache/airflow #56704, #62845), and its XComs are kept.


def retries_resume_deferrals() -> bool:
    """Return whether a retry may resume with what has ended the deferral of an earlier try."""
    return (3, 0) <= _version() < (3, 1, 8)


# 3.0: the supervisor of a task tells that its process has ended up to [workers] min_heartbeat_interval later, and what
# comes after a deferral can be scheduled before. The scheduler then takes the late report for the end of the resumed
# task, and fails it (apache/airflow #72716). Airflow 2 waits for the process itself.

#: Seconds for what the report passes through, on a busy machine: the supervisor, the executor, the scheduler's loop.
_REPORT_MARGIN = 5.0


def seconds_until_a_deferral_is_known() -> float:
    """Return after how many seconds Airflow has certainly heard that a deferring process has ended.

    :return: 0 below 3.0, and in ``dag.test()``, where there is no other process.
    """
    try:
        from airflow.sdk.execution_time import task_runner
    except ImportError:
        return 0.0

    if _is_in_process(getattr(task_runner, "SUPERVISOR_COMMS", None)):
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


async def still_waits(task_instance: Any, key: str, instance_id: int) -> bool | None:
    """Return whether a task whose trigger was cancelled waits for its run, in this try or the next one.

    :param key: of the XCom in which the task has the id of its run.
    :param instance_id: of the run that the trigger follows.
    :return: None if it has no state, as just after it was cleared.
    :raises Exception: if this could not be fetched.
    """
    fetch_state, fetch_xcom = _fetchers()
    state = await fetch_state(task_instance)
    if state is None:
        return None
    # No user sets the second one: this triggerer was away, and what another one reported has ended the try.
    if state not in ("deferred", "up_for_retry"):
        return False
    # A try after a clear may wait already, for another run. What an XCom backend has stored elsewhere says nothing.
    shown = str(await fetch_xcom(task_instance, key))
    return not shown.isdecimal() or shown == str(instance_id)


def _fetchers() -> tuple[Callable[..., Awaitable[str | None]], Callable[..., Awaitable[Any]]]:
    """Return what fetches the state and an XCom of a task in its trigger.

    Up to 3.1, what is asked of the supervisor must not be cancelled, so a thread asks. From 3.2 on it can be, and must be:
    an answer may not come once the triggerer is shutting down, and a thread that waits for one would outlast it.
    """
    if _version() >= (3, 2):
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
    return _own_state(task_instance, (await _asend(asked)).task_states)


async def _axcom(task_instance: Any, key: str) -> Any:
    return await aload_xcom(_ti_key(task_instance), key)


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
    if has_supervisor():
        return load_xcom(_ti_key(task_instance), key)
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


# 3.3.2: a connection can be looked up in an event loop. Before, that masks its secrets with a blocking call to the
# supervisor, which Airflow refuses when another call is under way; so it is done in a thread.


async def aget_connection(conn_id: str) -> tuple[Connection, dict[str, Any]]:
    """Look up a connection and its extra without blocking the event loop.

    ``common-compat`` has the same from 1.21 on, which is newer than what the constraints of Airflow 3.3.2 hold.
    """
    from airflow.providers.common.compat.sdk import BaseHook, Connection

    if hasattr(Connection, "aextra_dejson"):
        connection = await BaseHook.aget_connection(conn_id)
        return connection, await connection.aextra_dejson()

    from asgiref.sync import sync_to_async

    def look_up() -> tuple[Connection, dict[str, Any]]:
        found = BaseHook.get_connection(conn_id)
        return found, found.extra_dejson

    return await sync_to_async(look_up)()


# What keeps secrets out of logs was moved in 3.0 and in 3.1.
_MASKERS = (
    "airflow.sdk.log",
    "airflow.sdk.execution_time.secrets_masker",
    "airflow.utils.log.secrets_masker",
)


def mask_secret(secret: str) -> None:
    """Keep a text out of all logs. ``common-compat`` has the same from 1.22 on."""
    _masker("mask_secret")(secret)


async def amask_secret(secret: str) -> None:
    """Keep a text out of all logs, without blocking the event loop: Airflow 3 tells its supervisor, too."""
    try:
        mask = _masker("amask_secret")
    except ImportError:
        from asgiref.sync import sync_to_async

        await sync_to_async(mask_secret)(secret)
    else:
        await mask(secret)


def _masker(function: str) -> Any:
    for name in _MASKERS:
        with contextlib.suppress(ImportError, AttributeError):
            return getattr(importlib.import_module(name), function)
    raise ImportError(f"no {function} in {', '.join(_MASKERS)}")


# 3.0: a connection that Airflow cannot parse is not logged. In 2.11 it is, with a traceback that may quote its password.


class _WithoutTraceback(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        return True


_WITHOUT_TRACEBACK = _WithoutTraceback()


def quote_no_connection() -> None:
    """Keep what a connection holds out of what this process prints if Airflow cannot parse it."""
    logging.getLogger("airflow.models.connection").addFilter(_WITHOUT_TRACEBACK)


# 3.0: execution_timeout starts anew when a deferred task resumes. In 2.11 it does not, and if it has passed by then, the
# operator gets no other call than on_kill.


def resumed_with(task_instance: Any) -> dict[str, Any] | None:
    """Return what a task of Airflow 2.11 was deferred with (``kwargs``). None if it was not, and from 3.0 on."""
    if getattr(task_instance, "next_method", None) is None:
        return None
    return dict(task_instance.next_kwargs or {})


# 3.2: the connection form is read from the provider's metadata. Before, from the hook.


def form_widgets(fields: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the fields of a connection form as WTForms widgets, which Airflow below 3.2 wants.

    It takes four classes of them only: no dropdowns.
    """
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from wtforms import BooleanField, IntegerField, PasswordField, StringField
    from wtforms.validators import Optional, any_of

    def widget(field: dict[str, Any]) -> Any:
        schema, label, description = field["schema"], field["label"], field["description"]
        validators = [Optional()]
        if schema.get("format") == "password":
            return PasswordField(
                label, widget=BS3PasswordFieldWidget(), description=description, validators=validators
            )
        if schema["type"][0] == "boolean":
            return BooleanField(label, description=description)
        if schema["type"][0] == "integer":
            return IntegerField(
                label, widget=BS3TextFieldWidget(), description=description, validators=validators
            )
        choices = [choice for choice in schema.get("enum", ()) if choice is not None]
        if choices:
            validators.append(any_of(choices))
            description = f"{description} One of: {', '.join(choices)}."
        return StringField(label, widget=BS3TextFieldWidget(), description=description, validators=validators)

    return {name: widget(field) for name, field in fields.items()}


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


# 3.3: a store for each asset, which outlives whoever watches the asset.


def asset_state_stores(trigger: Any) -> list[Any]:
    """Return the stores of the assets that an event trigger is watched for. Empty below 3.3."""
    stores = getattr(trigger, "asset_state_store", None)
    if stores is None:
        return []
    # One by one: what the accessor offers for all of them fails if there are several (apache/airflow #71460).
    return [*stores._by_name.values(), *stores._by_uri.values()]


def has_asset_state_store() -> bool:
    """Return whether this Airflow has such a store."""
    return importlib.util.find_spec("airflow.state") is not None


def append_to_asset_state(asset: Any, key: str, item: Any, keep: int) -> None:
    """Append to a list in the store of an asset, in the transaction that is under way in this thread.

    :param keep: how many items the list has at most.
    """
    import json

    from airflow import settings
    from airflow.models.asset import AssetModel
    from airflow.state import AssetScope, get_state_backend
    from airflow.state.metastore import MetastoreBackend
    from sqlalchemy import select

    # One session for each thread (scoped_session), hence the one that stores what we are told of.
    session = settings.Session()  # type: ignore[misc]
    # If this fails, that must not.
    with session.begin_nested():
        query = select(AssetModel.id).where(AssetModel.name == asset.name, AssetModel.uri == asset.uri)
        scope, backend = AssetScope(asset_id=session.scalar(query)), get_state_backend()
        items = [*json.loads(backend.get(scope, key, session=session) or "[]"), item][-keep:]
        if isinstance(backend, MetastoreBackend):
            from airflow._shared.state import AssetStateStoreWriterKind

            kind = AssetStateStoreWriterKind.WATCHER
            backend.set_asset_state_store(scope, key, json.dumps(items), kind=kind, session=session)
        else:
            backend.set(scope, key, json.dumps(items), session=session)


# 3.1: plugins can add tabs to the pages of task instances and DAG runs; and what runs a task or trigger hands its XComs to
# a supervisor. 3.3 has an `aset` for triggers, 3.1 and 3.2 have not, but all three take the same message.


def has_run_page() -> bool:
    """Return whether this Airflow can show a page of a plugin beside a task instance."""
    return _version() >= (3, 1)


def _version() -> tuple[int, ...]:
    import airflow

    return tuple(int(part) for part in airflow.__version__.split(".")[:3] if part.isdecimal())


def has_supervisor() -> bool:
    """Return whether this code runs in a task or trigger, so that XComs can be stored."""
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    return getattr(runner, "SUPERVISOR_COMMS", None) is not None


def supervisor_answers() -> bool:
    """Return whether the supervisor of a triggerer still answers its triggers. From 3.2 on, not after a shutdown has begun."""
    reader = getattr(_supervisor(), "_reader_task", None) if has_supervisor() else None
    return reader is None or not reader.done()


def takes_requests_from_threads() -> bool:
    """Return whether a task may ask its supervisor from a thread while its main one does. From 3.2 on, there is a lock."""
    return hasattr(_supervisor(), "_thread_lock")


def check_api(seconds: float) -> None:
    """Refuse what can be done without, where asking for it could end the task.

    From 3.2 on, a request fails if the supervisor cannot reach Airflow's API. In 3.1 the supervisor ends, and its task
    with it; and until then it keeps trying, and the task can do nothing else.

    :param seconds: in which the API has to answer.
    :raises ConnectionError: if it does not.
    """
    if takes_requests_from_threads() or _is_in_process(_supervisor()):
        return
    from airflow.providers.common.compat.sdk import conf

    base = conf.get("api", "base_url", fallback="/")
    if base.startswith("/"):
        base = f"http://localhost:8080{base}"
    url = conf.get("core", "execution_api_server_url", fallback=f"{base.rstrip('/')}/execution/")
    url = f"{url.rstrip('/')}/health"
    if not _answers(url, conf.get("api", "ssl_cert", fallback=""), seconds):
        raise ConnectionError(f"Airflow does not answer at {url}")


def _answers(url: str, ca_file: str, seconds: float) -> bool:
    import http.client
    import ssl
    import urllib.error
    import urllib.request

    import certifi

    context = None
    if url.startswith("https:"):
        context = ssl.create_default_context(cafile=certifi.where())
        if ca_file:
            context.load_verify_locations(ca_file)
    try:
        with urllib.request.urlopen(url, timeout=seconds, context=context):  # noqa: S310  # Airflow's own
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, http.client.HTTPException):
        return False


def _is_in_process(supervisor: Any) -> bool:
    """Return whether it is that of ``dag.test()``, where there is no other process."""
    return type(supervisor).__name__.startswith("InProcess")


def _supervisor() -> Any:
    from airflow.sdk.execution_time import task_runner

    return task_runner.SUPERVISOR_COMMS


def _set_xcom(ti_key: Mapping[str, Any], key: str, value: Any) -> Any:
    from airflow.sdk.execution_time.comms import SetXCom

    return SetXCom(key=key, value=value, **ti_key)


def _get_xcom(ti_key: Mapping[str, Any], key: str) -> Any:
    from airflow.sdk.execution_time.comms import GetXCom

    return GetXCom(key=key, **ti_key)


def store_xcom(ti_key: Mapping[str, Any], key: str, value: Any) -> None:
    """Store plain JSON as an XCom, in the database also where another XCom backend is configured.

    Nothing may raise while an answer of the supervisor is under way, or the next request would get it. So the alarm
    of ``execution_timeout`` waits until then.
    """
    with _alarms_held():
        _supervisor().send(_set_xcom(ti_key, key, value))


def load_xcom(ti_key: Mapping[str, Any], key: str) -> Any:
    """Return what :func:`store_xcom` stored, or None."""
    with _alarms_held():
        return getattr(_supervisor().send(_get_xcom(ti_key, key)), "value", None)


async def astore_xcom(ti_key: Mapping[str, Any], key: str, value: Any) -> None:
    """Do the same in a trigger.

    Never cancel this: the triggerer of Airflow 3.1 would take the answer for that to its next request, and end.
    """
    await _asend(_set_xcom(ti_key, key, value))


async def aload_xcom(ti_key: Mapping[str, Any], key: str) -> Any:
    """Return what was stored, or None. Never cancel this either."""
    return getattr(await _asend(_get_xcom(ti_key, key)), "value", None)


async def _asend(message: Any) -> Any:
    supervisor = _supervisor()
    if hasattr(supervisor, "asend"):
        return await supervisor.asend(message)
    return supervisor.send(message)  # in dag.test(), where everything is one process


@contextlib.contextmanager
def _alarms_held() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


# common-compat gives Stats from some version on that the constraints of Airflow 2.11 do not reach.


@functools.cache
def stats() -> Any:
    """Return what takes metrics: ``incr``, ``gauge`` and ``timing``."""
    try:
        from airflow.providers.common.compat.sdk import Stats
    except ImportError:
        from airflow.stats import Stats
    return Stats
