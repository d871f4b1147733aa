"""A real Airflow of this environment in a folder of its own: every component a process, all on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

T = TypeVar("T")

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")

_END_STATES = ("success", "failed")
_STOP_SECONDS = 15


class StackError(RuntimeError):
    """The Airflow did not do what was asked of it."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, look: Callable[[], T | None], timeout: float, pause: float = 0.3) -> T:
    """Look until there is something. :raises StackError: after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise StackError(f"{what}: not after {timeout:g} s")
        time.sleep(pause)


class AirflowStack:
    """Use as a context manager.

    :param home: AIRFLOW_HOME; made if need be.
    :param dags: folder of DAG files.
    :param connections: connection id -> its JSON form.
    :param config: further environment variables.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        connections: Mapping[str, Mapping[str, Any]],
        config: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        self.home = home
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._token = ""
        # Proxies are for the Internet, and everything here is on this machine.
        inherited = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
        # And byte code halves the time that each of the many processes takes to start.
        unwanted = ("AIRFLOW_", "PYTHONDONTWRITEBYTECODE")
        inherited = {key: value for key, value in inherited.items() if not key.startswith(unwanted)}
        self.env = {
            **inherited,
            "AIRFLOW_HOME": str(home),
            # DAG files may import from dev.
            "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "8",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            # How late a task's supervisor may notice its end. With the usual 5 seconds, the end of a task that
            # defers can be told after it has resumed, and Airflow 3.3.2 then calls the resumed one failed.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **{
                f"AIRFLOW_CONN_{name.upper()}": json.dumps(connection)
                for name, connection in connections.items()
            },
            **(config or {}),
        }

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self, components: tuple[str, ...] = COMPONENTS) -> Self:
        self.home.mkdir(parents=True, exist_ok=True)
        self.airflow("db", "migrate")
        for component in components:
            self.start_component(component)
        wait_for("the API server answers", self._is_healthy, 120)
        self._token = self._call("GET", "/auth/token")["access_token"]
        return self

    def start_component(self, component: str) -> None:
        with (self.home / f"{component}.log").open("ab") as log:
            self._processes[component] = subprocess.Popen(
                [sys.executable, "-m", "airflow", component],
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def revive(self) -> list[str]:
        """Start again what has ended by itself, as a service manager does. :return: its names.

        The scheduler of Airflow 3.3 ends when it loses its database.
        """
        ended = [name for name, process in self._processes.items() if process.poll() is not None]
        for component in ended:
            _signal_group(self._processes.pop(component), signal.SIGKILL)
            self.start_component(component)
        return ended

    def kill_component(self, component: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a component, by default as ``kill -9`` does, together with what it has started."""
        process = self._processes.pop(component)
        _signal_group(process, number)
        process.wait(_STOP_SECONDS * 2)
        _signal_group(process, signal.SIGKILL)

    def stop(self) -> None:
        for process in self._processes.values():
            _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            # Also what a component has left behind.
            _signal_group(process, signal.SIGKILL)
            process.wait()
        self._processes.clear()

    def airflow(self, *arguments: str) -> str:
        """Run the command line. :return: what it printed. :raises StackError: if it failed."""
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StackError(f"airflow {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call the REST API, below ``/api/v2``."""
        return self._call(method, f"/api/v2{path}", body)

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, timeout: float = 60) -> str:
        """Start a DAG run, as soon as the DAG is known. :return: its run id."""

        def try_it() -> str | None:
            try:
                run = self.api("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf or {}})
            except urllib.error.HTTPError as error:
                # 404: not parsed yet. 500: SQLite was locked, and nothing was done.
                if error.code in (404, 500):
                    return None
                raise
            return str(run["dag_run_id"])

        try:
            return wait_for(f"DAG {dag_id} is parsed", try_it, timeout, pause=1.0)
        except StackError as error:
            found = self.api("GET", "/importErrors")["import_errors"]
            raise StackError(f"{error}; {[each['stack_trace'] for each in found]}") from None

    def dag_run_state(self, dag_id: str, run_id: str) -> str:
        return str(self.api("GET", f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}")["state"])

    def wait_for_run(self, dag_id: str, run_id: str, timeout: float = 120) -> str:
        """Wait until a DAG run has ended. :return: its state."""

        def ended() -> str | None:
            state = self.dag_run_state(dag_id, run_id)
            return state if state in _END_STATES else None

        return wait_for(f"DAG run {dag_id} {run_id} has ended", ended, timeout)

    def task(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        task: dict[str, Any] = self.api("GET", self._task_path(dag_id, run_id, task_id))
        return task

    def task_instances(self, dag_id: str, run_id: str) -> dict[tuple[str, int], str]:
        """(task id, map index) -> state, of all task instances of a DAG run."""
        path = self._tasks_path(dag_id, run_id)
        return {
            (each["task_id"], each["map_index"]): str(each["state"])
            for each in self._pages(path, "task_instances")
        }

    def xcoms(self, dag_id: str, run_id: str, key: str) -> dict[tuple[str, int], Any]:
        """(task id, map index) -> value, of all XComs of a DAG run that have a key."""
        path = self._tasks_path(dag_id, run_id)
        found = {}
        for each in self._pages(f"{path}/~/xcomEntries", "xcom_entries", f"&xcom_key={key}"):
            index = each["map_index"]
            entry = f"{path}/{each['task_id']}/xcomEntries/{key}?deserialize=true&map_index={index}"
            found[each["task_id"], index] = self.api("GET", entry)["value"]
        return found

    def _pages(self, path: str, key: str, query: str = "") -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            page = self.api("GET", f"{path}?limit=100&offset={offset}{query}")
            yield from page[key]
            offset += len(page[key])
            if offset >= page["total_entries"] or not page[key]:
                return

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str) -> Any:
        """An XCom value, or None."""
        path = f"{self._task_path(dag_id, run_id, task_id)}/xcomEntries/{key}?deserialize=true"
        try:
            return self.api("GET", path)["value"]
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def links(self, dag_id: str, run_id: str, task_id: str) -> dict[str, str]:
        """Extra links: name -> URL."""
        path = f"{self._task_path(dag_id, run_id, task_id)}/links"
        links: dict[str, str] = self.api("GET", path)["extra_links"]
        return links

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        """The task log's events, one a line."""
        path = f"{self._task_path(dag_id, run_id, task_id)}/logs/{try_number}?full_content=true"
        content = self.api("GET", path)["content"]
        return "\n".join(
            entry["event"]
            + "".join(
                f"\n{detail['exc_type']}: {detail['exc_value']}" for detail in entry.get("error_detail") or []
            )
            if isinstance(entry, dict)
            else str(entry)
            for entry in content
        )

    def clear_task(self, dag_id: str, run_id: str, task_id: str) -> None:
        self.api(
            "POST",
            f"/dags/{dag_id}/clearTaskInstances",
            {"dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "only_failed": False},
        )

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        self.api("PATCH", self._task_path(dag_id, run_id, task_id), {"new_state": state})

    def _task_path(self, dag_id: str, run_id: str, task_id: str) -> str:
        return f"{self._tasks_path(dag_id, run_id)}/{task_id}"

    def _tasks_path(self, dag_id: str, run_id: str) -> str:
        return f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances"

    def _is_healthy(self) -> bool:
        for name, process in self._processes.items():
            if process.poll() is not None:
                log = (self.home / f"{name}.log").read_text(errors="replace")
                raise StackError(f"airflow {name} ended with {process.returncode}:\n{log[-3000:]}")
        try:
            self._call("GET", "/api/v2/version")
        except OSError:
            return False
        return True

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json",
                **({"Authorization": f"Bearer {self._token}"} if self._token else {}),
            },
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as response:
            return json.load(response)


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
