"""The supervisor that a task or a trigger asks for whatever it wants of Airflow, from 3.0 on."""

from __future__ import annotations

import sys
from typing import Any


def has_supervisor() -> bool:
    """Return whether this code runs in a task or trigger, so that XComs can be stored."""
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    return getattr(runner, "SUPERVISOR_COMMS", None) is not None


def supervisor_answers() -> bool:
    """Return whether the supervisor of a triggerer still answers its triggers. From 3.2 on, not after a shutdown has begun."""
    reader = getattr(supervisor(), "_reader_task", None) if has_supervisor() else None
    return reader is None or not reader.done()


def takes_requests_from_threads() -> bool:
    """Return whether a task may ask its supervisor from a thread while its main one does. From 3.2 on, there is a lock."""
    return hasattr(supervisor(), "_thread_lock")


def check_api(seconds: float) -> None:
    """Refuse what can be done without, where asking for it could end the task.

    From 3.2 on, a request fails if the supervisor cannot reach Airflow's API. In 3.1 the supervisor ends, and its task
    with it; and until then it keeps trying, and the task can do nothing else.

    :param seconds: in which the API has to answer.
    :raises ConnectionError: if it does not.
    """
    if takes_requests_from_threads() or is_in_process(supervisor()):
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


def is_in_process(supervisor: Any) -> bool:
    """Return whether it is that of ``dag.test()``, where there is no other process."""
    return type(supervisor).__name__.startswith("InProcess")


def supervisor() -> Any:
    """Return what sends requests to the supervisor of this process."""
    from airflow.sdk.execution_time import task_runner

    return task_runner.SUPERVISOR_COMMS


async def asend(message: Any) -> Any:
    """Send a request to the supervisor, and return its answer."""
    comms = supervisor()
    if hasattr(comms, "asend"):
        return await comms.asend(message)
    return comms.send(message)  # in dag.test(), where everything is one process
