"""A PostgreSQL of our own in a folder, on loopback, from the programs that Debian's package has installed."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from dev.harness.waiting import free_port, wait_for

_FOLDERS = ("/usr/lib/postgresql", "/usr/local/lib/postgresql")


def programs() -> Path | None:
    """The folder of ``postgres`` and ``initdb``, the newest if there are several. None if there is none."""
    found = [path.parent for folder in _FOLDERS for path in Path(folder).glob("*/bin/postgres")]
    if not found and (path := shutil.which("postgres")):
        found = [Path(path).parent]
    return max(found, default=None, key=lambda path: [int(part) for part in path.parts if part.isdecimal()])


@contextmanager
def database(folder: Path) -> Iterator[Postgres | None]:
    """A PostgreSQL, or None where it is not installed: Airflow then uses SQLite."""
    if programs() is None:
        yield None
        return
    with Postgres(folder) as postgres:
        yield postgres


class Postgres:
    """Use as a context manager.

    :param folder: for its data; made if need be.
    :ivar url: of the database.
    :ivar config: environment variables that let Airflow use it.
    """

    def __init__(self, folder: Path) -> None:
        found = programs()
        if found is None:
            raise FileNotFoundError("no PostgreSQL here: apt-get install postgresql")
        self._programs = found
        self._home: Path | None = None
        self._data = folder / "data"
        self._log = folder / "postgres.log"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        # It refuses to run as root; the package has made this user.
        self._user = "postgres" if os.getuid() == 0 else None
        self.url = f"postgresql://airflow@127.0.0.1:{self._port}/postgres"
        sqlalchemy = self.url.replace("postgresql:", "postgresql+psycopg2:")
        self.config = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": sqlalchemy}

    def __enter__(self) -> Self:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        if self._user:
            # Not in a folder of pytest's: those are their owner's alone, and become so again with every pytest that starts.
            self._home = Path(tempfile.mkdtemp(prefix="schedulerx-postgres-"))
            self._data = self._home / "data"
            self._data.mkdir()
            record = pwd.getpwnam(self._user)
            for folder in (self._home, self._data):
                os.chown(folder, record.pw_uid, record.pw_gid)
        else:
            self._data.mkdir(parents=True)
        self._run(
            "initdb", "--pgdata", str(self._data), "--username", "airflow", "--auth", "trust", "--no-sync"
        )
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(self._programs / "postgres"),
                    *("-D", str(self._data), "-p", str(self._port), "-h", "127.0.0.1", "-k", ""),
                    *("-c", "fsync=off", "-c", "max_connections=300"),
                ],
                user=self._user,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        wait_for("PostgreSQL answers", self._answers, 60)

    def stop(self) -> None:
        """End it as ``pg_ctl stop -m fast`` does: everybody is thrown out."""
        if self._process is not None:
            self._process.send_signal(2)
            self._process.wait(60)
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask what Airflow's API would take long to tell."""
        import psycopg2

        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def _answers(self) -> bool:
        done = subprocess.run(
            [str(self._programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(self._port)],
            stdout=subprocess.DEVNULL,
            check=False,
        )
        return done.returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), *arguments],
            user=self._user,
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )
