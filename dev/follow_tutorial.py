"""Follow docs/tutorial.md with an installed wheel: the commands and files as they are printed, in an empty folder.

Run it as a module, with the Python of the environment that has the wheel: ``python -m dev.follow_tutorial``. What it
starts sees nothing of this checkout.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

from dev.harness.waiting import free_port

PAGE = Path(__file__).resolve().parent.parent / "docs" / "tutorial.md"
BLOCKS = re.findall(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', PAGE.read_text(), re.MULTILINE | re.DOTALL)
FILES = {title: code for _, title, code in BLOCKS if title}
PORT = "8190"
IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")
#: DAG -> the state its run ends with, and what its log says.
EXPECTED = {
    "tutorial_green": ("success", "Started workflow 101"),
    "tutorial_red": ("failed", "ERROR disk full: /data/report.pdf"),
}


class Tutorial:
    """:param folder: an empty one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "airflow"
        bin_folder = Path(sys.executable).parent
        # Of the environment, and nothing of the checkout.
        self.env = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))
        }
        self.env["PATH"] = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
        self._processes: list[subprocess.Popen[str]] = []

    def run(self, command: str) -> str:
        print(f"$ {command.strip().splitlines()[0]}", flush=True)
        done = self._try(command)
        if done.returncode:
            raise SystemExit(f"{command}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def _try(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euc", command],
            env=self.env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, command: str, log: str) -> None:
        print(f"$ {command.strip()} &", flush=True)
        with (self.folder / log).open("w") as out:
            self._processes.append(
                subprocess.Popen(
                    ["bash", "-euc", f"exec {command}"],
                    env=self.env,
                    cwd=self.folder,
                    stdout=out,
                    stderr=out,
                    text=True,
                    start_new_session=True,
                )
            )

    def stop(self) -> None:
        for process in reversed(self._processes):
            os.killpg(process.pid, signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)

    def follow(self) -> None:
        here = self.run(
            "python -c 'import airflow_provider_schedulerx; print(airflow_provider_schedulerx.__file__)'"
        )
        assert "site-packages" in here, f"not a wheel: {here}"
        port = str(free_port())
        self.start(
            _block("python -m airflow_provider_schedulerx.emulator").replace(PORT, port), "emulator.log"
        )
        for line in _block("export AIRFLOW_HOME").splitlines():
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                self.env[name] = value.strip('"').replace("$PWD", str(self.folder))
        self.env |= _listen_on(str(free_port()))
        self.run("airflow db migrate")
        self.run(FILES["connection.sh"].replace(PORT, port))
        said = self.run(_check())
        assert f"Connected to http://127.0.0.1:{port}: 2 workflows in namespace" in said, said
        (self.home / "dags").mkdir()
        for name, code in FILES.items():
            if name.startswith("airflow/dags/"):
                (self.folder / name).write_text(code)
        self.start(_block("airflow standalone"), "standalone.log")
        for dag_id in EXPECTED:
            _wait(f"{dag_id} is known and triggered", 180, partial(self._is_triggered, dag_id))
            self.run(f"airflow dags unpause --yes {dag_id}")
        for dag_id, (state, text) in EXPECTED.items():
            _wait(f"{dag_id} is {state}", 180, partial(self._has_state, dag_id, state))
            logs = "".join(
                file.read_text() for file in (self.home / "logs").rglob(f"dag_id={dag_id}/**/*.log*")
            )
            assert text in logs, f"{text!r} is not in the log of {dag_id}"
            print(f"{dag_id} ended as {state}, as the page says")

    def _is_triggered(self, dag_id: str) -> bool:
        """Trigger a DAG, if Airflow's database has it by now. Nothing else says so: ``dags list`` may read the files."""
        return self._try(f"airflow dags trigger {dag_id}").returncode == 0

    def _has_state(self, dag_id: str, state: str) -> bool:
        # Warnings may come before.
        said = self.run(f"airflow dags list-runs {'--dag-id ' * IS_AIRFLOW_2}{dag_id} -o json")
        return bool(json.loads(said[said.index("[{") :])[0]["state"] == state)


def _block(beginning: str) -> str:
    """The block in which a line begins so."""
    (found,) = {
        code
        for _, title, code in BLOCKS
        if not title and re.search(f"^{re.escape(beginning)}", code, re.MULTILINE)
    }
    return found


def _check() -> str:
    """The command that checks the connection."""
    if not IS_AIRFLOW_2:
        return _block("airflow schedulerx check")
    (command,) = re.findall(r"`(python -m airflow_provider_schedulerx check [^`]+)`", PAGE.read_text())
    return str(command)


def _listen_on(port: str) -> dict[str, str]:
    """What lets Airflow take a port that nobody has, rather than the tutorial's."""
    section, name = ("WEBSERVER", "WEB_SERVER_PORT") if IS_AIRFLOW_2 else ("API", "PORT")
    return {
        f"AIRFLOW__{section}__{name}": port,
        f"AIRFLOW__{section}__BASE_URL": f"http://localhost:{port}",
    }


def _wait(what: str, seconds: float, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds} s: {what}")
        time.sleep(3)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="tutorial-") as folder:
        tutorial = Tutorial(Path(folder))
        try:
            tutorial.follow()
        finally:
            tutorial.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
