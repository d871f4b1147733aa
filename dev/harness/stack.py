"""A real Airflow of this environment in a folder of its own: every component a process, all on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import psutil

from dev.harness.postgres import Postgres
from dev.harness.rest import IS_AIRFLOW_2, RestApi, RestApi2
from dev.harness.waiting import StackError, free_port, wait_for

_NAMES = (
    ("webserver", "scheduler", "triggerer")
    if IS_AIRFLOW_2
    else ("api-server", "scheduler", "dag-processor", "triggerer")
)
#: name -> the arguments of ``airflow`` that start it.
COMPONENTS = {name: (name,) for name in _NAMES}

_STOP_SECONDS = 15


_RestApi: type[RestApi] = RestApi2 if IS_AIRFLOW_2 else RestApi


class AirflowStack(_RestApi):  # type: ignore[misc, valid-type]  # which of the two only the environment knows
    """Use as a context manager.

    :param home: AIRFLOW_HOME; made if need be.
    :param dags: folder of DAG files.
    :param connections: connection id -> its JSON form.
    :param config: further environment variables.
    :param prefix: path that the UI and the API are served below, such as ``/airflow``.
    :param components: what to start, as in :data:`COMPONENTS`.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        connections: Mapping[str, Mapping[str, Any]],
        config: Mapping[str, str] | None = None,
        *,
        port: int | None = None,
        prefix: str = "",
        components: Mapping[str, tuple[str, ...]] = COMPONENTS,
    ) -> None:
        self.port = port or free_port()
        super().__init__(f"http://127.0.0.1:{self.port}{prefix}")
        self.home = home
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._components = components
        self._exit = contextlib.ExitStack()
        # Proxies are for the Internet, and everything here is on this machine.
        inherited = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
        # And byte code halves the time that each of the many processes takes to start.
        unwanted = ("AIRFLOW_", "PYTHONDONTWRITEBYTECODE")
        inherited = {key: value for key, value in inherited.items() if not key.startswith(unwanted)}
        self.env = {
            **inherited,
            "AIRFLOW_HOME": str(home),
            # DAG files may import from dev.
            "PYTHONPATH": str(Path(__file__).resolve().parent.parent.parent),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "8",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **(_for_airflow_2 if IS_AIRFLOW_2 else _for_airflow_3)(self.url, self.port),
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

    def start(self) -> Self:
        self.home.mkdir(parents=True, exist_ok=True)
        if IS_AIRFLOW_2 and "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in self.env:
            # With SQLite, Airflow 2 has no executor that leaves its scheduler free.
            self.env.update(self._exit.enter_context(Postgres(self.home / "postgres")).config)
        self.airflow("db", "migrate")
        if IS_AIRFLOW_2:
            self.airflow(
                *("users", "create", "--role", "Admin", "--username", "admin", "--password", "admin"),
                *("--firstname", "A", "--lastname", "D", "--email", "admin@example.com"),
            )
        for component in self._components:
            self.start_component(component)
        wait_for("the API server answers", self._is_healthy, 300)
        self._log_in()
        return self

    def add_connection(self, conn_id: str, connection: Mapping[str, Any]) -> None:
        """Put a connection into the database, so that the UI shows it, can test it and change it.

        :param connection: its JSON form, as ``AIRFLOW_CONN_...`` takes it.
        """
        body = {**connection, "connection_id": conn_id, "extra": json.dumps(connection.get("extra", {}))}
        host, _, port = str(connection.get("host", "")).rpartition(":")
        if port.isdecimal():
            # For a blank port, the UI of Airflow 3.3.2 asks to test port 0.
            body |= {"host": host, "port": int(port)}
        self.api("POST", "/connections", body)

    def start_component(self, component: str, name: str | None = None) -> None:
        """:param name: of one more of the same kind."""
        name = name or component
        # Several of one kind would otherwise serve their logs on one port.
        ports = {
            f"AIRFLOW__LOGGING__{kind}_LOG_SERVER_PORT": str(free_port()) for kind in ("WORKER", "TRIGGER")
        }
        with (self.home / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "airflow", *self._components[component]],
                env={**self.env, **ports},
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
            _signal_all(self._processes.pop(component), signal.SIGKILL)
            self.start_component(component)
        return ended

    def kill_component(self, component: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a component, by default as ``kill -9`` does, together with what it has started."""
        process = self._processes.pop(component)
        _signal_all(process, number)
        process.wait(_STOP_SECONDS * 2)
        _signal_all(process, signal.SIGKILL)

    def signal_component(self, component: str, number: signal.Signals, *, alone: bool = False) -> None:
        """Send a signal to a component, and to all that it has started, unless it is to get it alone."""
        process = self._processes[component]
        if alone:
            process.send_signal(number)
        else:
            _signal_all(process, number)

    def has_ended(self, component: str) -> bool:
        """Whether a component has ended. Then :meth:`start_component` starts it again."""
        return self._processes[component].poll() is not None

    def stop(self) -> None:
        for process in self._processes.values():
            _signal_all(process, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            # Also what a component has left behind.
            _signal_all(process, signal.SIGKILL)
            process.wait()
        self._processes.clear()
        self._exit.close()

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

    def _is_healthy(self) -> bool:
        for name, process in self._processes.items():
            if process.poll() is not None:
                log = (self.home / f"{name}.log").read_text(errors="replace")
                raise StackError(f"airflow {name} ended with {process.returncode}:\n{log[-3000:]}")
        try:
            self._call("GET", f"{self._PREFIX}/version")
        except OSError:
            return False
        return True


def _for_airflow_3(url: str, port: int) -> dict[str, str]:
    return {
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        # Without it, versions before 3.3 refuse to show the values of XComs.
        "AIRFLOW__API__ENABLE_XCOM_DESERIALIZE_SUPPORT": "True",
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    }


def _for_airflow_2(url: str, port: int) -> dict[str, str]:
    return {
        "AIRFLOW__API__AUTH_BACKENDS": "airflow.providers.fab.auth_manager.api.auth.backend.basic_auth",
        "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
        "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(port),
        "AIRFLOW__WEBSERVER__BASE_URL": url,
        "AIRFLOW__WEBSERVER__WORKERS": "1",
        "AIRFLOW__WEBSERVER__SECRET_KEY": secrets.token_hex(),
        "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "5",
    }


def _signal_all(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a component and all that it has started, which stays in its session."""
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == process.pid:
                os.kill(pid, number)
