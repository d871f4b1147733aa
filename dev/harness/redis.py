"""A Redis of our own in a folder, on loopback, from the program that Debian's package has installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path
from typing import Self

from dev.harness.waiting import free_port, wait_for


def program() -> str | None:
    """The path of ``redis-server``, or None."""
    return shutil.which("redis-server")


class Redis:
    """Use as a context manager. What was queued survives a restart, as a broker in production must have it.

    :param folder: for its data; made if need be.
    :ivar url: for Celery, as its broker.
    """

    def __init__(self, folder: Path) -> None:
        found = program()
        if found is None:
            raise FileNotFoundError("no Redis here: apt-get install redis-server")
        self._program = found
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._program,
                    *("--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(self._folder)),
                    *("--appendonly", "yes", "--save", ""),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for("Redis answers", self._answers, 30)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
