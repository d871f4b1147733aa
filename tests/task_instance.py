"""A stand-in for a task instance of Airflow over its tries, with or without the task state store of Airflow 3.3."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from airflow_provider_schedulerx.operators.executing import ExecuteOperator
from airflow_provider_schedulerx.operators.start_store import STATE_KEY


class Store(dict[str, Any]):
    """As the task state store: it survives retries and a clear."""

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)

    @property
    def intent(self) -> dict[str, Any]:
        """What is written down of a start."""
        intent: dict[str, Any] = self[STATE_KEY]["intent"]
        return intent


class TaskInstance:
    """XCom is cleared at the start of each try, the store is not. :param store: None is Airflow below 3.3."""

    dag_id, run_id, task_id, map_index = "dag", "run", "run", -1

    def __init__(self, store: Store | None = None, retries: int = 3) -> None:
        self.try_number, self.max_tries = 0, retries
        self.kept = store
        self.xcoms: dict[str, Any] = {}
        self.begun = time.time()

    @property
    def store(self) -> Store:
        assert self.kept is not None
        return self.kept

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value

    def xcom_pull(self, *, key: str, **_: Any) -> Any:
        return self.xcoms.get(key)

    @property
    def context(self) -> Any:
        begin = SimpleNamespace(timestamp=lambda: self.begun)
        return {"ti": self, "task_state_store": self.kept, "dag_run": SimpleNamespace(start_date=begin)}

    def run(self, task: ExecuteOperator) -> int:
        """Begin a new try."""
        self.try_number += 1
        self.xcoms = {}
        return task.execute(self.context)

    def clear(self, retries: int = 3) -> None:
        """Let a user clear the task."""
        self.max_tries = self.try_number + retries
