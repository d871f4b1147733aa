"""Keeps instances in SQLite, so that ``kill -9`` loses none that was answered for."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from airflow_provider_schedulerx.emulator.instances import InstanceRun


class StateError(ValueError):
    """The file is not one that this version of the emulator has written."""


class Store:
    """A file in WAL mode: committed writes survive the process, and a start is committed before its answer.

    :raises StateError: if the file is something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS instance (id INTEGER PRIMARY KEY, run TEXT NOT NULL)"
            )
        except sqlite3.Error as error:
            raise self._wrong(error) from error

    def load(self) -> list[InstanceRun]:
        """All instances, oldest first.

        :raises StateError: if one cannot be read.
        """
        try:
            rows = self._db.execute("SELECT run FROM instance ORDER BY id").fetchall()
            return [InstanceRun.from_json(json.loads(run)) for (run,) in rows]
        except (sqlite3.Error, ValueError, TypeError, LookupError, AttributeError) as error:
            raise self._wrong(error) from error

    def _wrong(self, error: Exception) -> StateError:
        return StateError(
            f"cannot read the state file {self._path} ({type(error).__name__}: {error}); "
            "name another one with --state, or delete it, which forgets its instances"
        )

    def save(self, runs: Iterable[InstanceRun]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(
            "INSERT INTO instance VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET run = excluded.run",
            [(run.wf_instance_id, json.dumps(run.to_json())) for run in runs],
        )
        self._db.execute("COMMIT")

    def clear(self) -> None:
        self._db.execute("DELETE FROM instance")

    def close(self) -> None:
        self._db.close()
