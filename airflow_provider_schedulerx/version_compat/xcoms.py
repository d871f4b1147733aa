"""XComs, as a task or a trigger hands them to its supervisor."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_schedulerx.version_compat import supervisors

# 3.3 has an `aset` for triggers, 3.1 and 3.2 have not, but all three take the same message.


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
        supervisors.supervisor().send(_set_xcom(ti_key, key, value))


def load_xcom(ti_key: Mapping[str, Any], key: str) -> Any:
    """Return what :func:`store_xcom` stored, or None."""
    with _alarms_held():
        return getattr(supervisors.supervisor().send(_get_xcom(ti_key, key)), "value", None)


async def astore_xcom(ti_key: Mapping[str, Any], key: str, value: Any) -> None:
    """Do the same in a trigger.

    Before Airflow 3.2, never cancel this: the triggerer would take the answer for that to its next request, and end.
    """
    await supervisors.asend(_set_xcom(ti_key, key, value))


async def aload_xcom(ti_key: Mapping[str, Any], key: str) -> Any:
    """Return what was stored, or None. The same holds for cancelling it."""
    return getattr(await supervisors.asend(_get_xcom(ti_key, key)), "value", None)


@contextlib.contextmanager
def _alarms_held() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Not by a mask, which is one thread's: any other gets the signal then, and Python runs the handler here all the same.
    late: list[int] = []
    handler = signal.signal(signal.SIGALRM, lambda number, _: late.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, handler)
        if late:
            signal.raise_signal(signal.SIGALRM)
