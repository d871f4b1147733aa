"""One try of a task whose service is played, answer by answer: owner, store, policy and launcher are the real ones."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any, cast

import pytest

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.models import (
    JobInstanceStatus,
    WorkflowInstance,
    WorkflowInstanceNode,
    WorkflowInstanceStatus,
    WorkflowInstanceSummary,
)
from airflow_provider_schedulerx.api.runs.intents import StartIntent, parameters_digest
from airflow_provider_schedulerx.api.runs.kinds import WORKFLOW_RUNS
from airflow_provider_schedulerx.operators.interrupts import TimeLimit
from airflow_provider_schedulerx.operators.launching import Launcher
from airflow_provider_schedulerx.operators.run_owner import RunOwner
from airflow_provider_schedulerx.operators.start import Start
from airflow_provider_schedulerx.operators.start_policy import StartPolicy
from airflow_provider_schedulerx.operators.start_store import STATE_KEY, StartStore

try:
    from airflow.sdk.execution_time.context import NEVER_EXPIRE  # noqa: F401
except ImportError:
    _HAS_STORE = False
else:
    _HAS_STORE = True

needs_store = pytest.mark.skipif(not _HAS_STORE, reason="the task state store is of Airflow 3.3")

SCOPE = Scope(region_id="r", namespace="n", namespace_source=None, group_id="g")
ELSEWHERE = Scope(region_id="elsewhere", namespace="n", namespace_source=None, group_id="g")


class Calls:
    """Stands in for :class:`RunCalls`.

    :ivar answers: what each kind of call gives next: a value, or an error to raise.
    :ivar asked: what was asked, in its order, without the ids of the workflow.
    """

    kind = WORKFLOW_RUNS

    def __init__(self, scope: Scope = SCOPE) -> None:
        self.scope = scope
        self.answers: dict[str, list[Any]] = defaultdict(list)
        self.asked: list[Any] = []

    def _answer(self, name: str, *what: Any) -> Any:
        self.asked.append((name, *what))
        answer = self.answers[name].pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def start(self, definition_id: int, parameters: Any) -> Any:
        assert definition_id in (1, 9)
        return self._answer("start", parameters)

    def get(self, definition_id: int, instance_id: int) -> Any:
        assert definition_id in (1, 9)
        return self._answer("get", instance_id)

    def list_newest(self, definition_id: int) -> Any:
        assert definition_id == 1
        return self._answer("list")

    def stop(self, definition_id: int, instance_id: int) -> Any:
        assert definition_id in (1, 9)
        return self._answer("stop", instance_id)

    def rerun(self, run: Any, *, settling_time: float) -> Any:
        return self._answer("rerun", run.instance_id, settling_time)

    def reconcile(self, intent: StartIntent, **how: Any) -> Any:
        how = {name: value for name, value in how.items() if value is not None and value is not False}
        return self._answer("reconcile", intent, how)

    def find_suspects(self, intent: StartIntent, *, age: Any) -> Any:
        return self._answer("suspects", intent, age)

    def within(self, scope: Scope, kind: Any) -> Calls:
        assert kind is WORKFLOW_RUNS
        if scope != self.scope:
            self.asked.append(("within", scope))
        return self


class Kept(dict[str, Any]):
    """The task state store."""

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


class Log(list[str]):
    def _say(self, text: str, *values: Any) -> None:
        self.append(text % values)

    info = warning = error = debug = _say


class Try:
    """:ivar kept: the task state store; None is Airflow below 3.3. :ivar paused: seconds of pauses."""

    def __init__(
        self,
        *,
        kept: Kept | None = None,
        is_kept: bool = True,
        try_number: int = 1,
        max_tries: int = 2,
        timeout: float | None = None,
        dag_run_began: float | None = None,
        parameters: Any = None,
        **policy: Any,
    ) -> None:
        self.kept = (Kept() if kept is None else kept) if is_kept else None
        self.ti = SimpleNamespace(
            dag_id="dag",
            run_id="run",
            task_id="task",
            map_index=-1,
            try_number=try_number,
            max_tries=max_tries,
        )
        begin = None if dag_run_began is None else SimpleNamespace(timestamp=lambda: dag_run_began)
        self.context = cast(
            Any,
            {
                "ti": self.ti,
                "task_state_store": self.kept,
                "dag_run": SimpleNamespace(start_date=begin),
            },
        )
        self.policy = StartPolicy(
            **{
                "on_retry": "reattach",
                "if_running": "start",
                "marker_key": None,
                "settling_time": 60.0,
                "patience": 600.0,
                "durable": True,
                "waits": True,
                "cancel_on_kill": True,
                "retries": 2,
                "retry_delay": 300.0,
                **policy,
            }
        )
        self.calls = cast(Any, Calls())
        self.log = Log()
        self.paused: list[float] = []
        self.store = StartStore(self.context, durable=self.policy.durable, log=self.log)
        self.owner = RunOwner(
            calls=self.calls,
            ti=self.ti,
            limit=TimeLimit(timeout=timeout),
            execution_timeout=77.0,
            cancel_on_kill=self.policy.cancel_on_kill,
            is_kept=self.store.is_kept or (self.policy.durable and self.policy.marker_key is not None),
            on_stopped=lambda run: self.store.mark_over(run.instance_id),
            is_current=self.store.is_current,
            log=self.log,
        )
        self.owner.definition_id = 1
        cast(Any, self.owner.interrupts).bounded_pause = self.paused.append
        self.start = Start(
            calls=self.calls,
            definition_id=1,
            instance_parameters=parameters,
            policy=self.policy,
            owner=self.owner,
            store=self.store,
            context=self.context,
            log=self.log,
        )
        self.launcher = Launcher(self.start)

    def answers(self, **answers: Any) -> None:
        """Let a kind of call give these, one after the other."""
        for name, values in answers.items():
            self.calls.answers[name] += values if isinstance(values, list) else [values]

    @property
    def asked(self) -> list[Any]:
        return [each[0] for each in self.calls.asked]

    @property
    def intent(self) -> StartIntent | None:
        """What is written down."""
        assert self.kept is not None
        return StartIntent.from_json(self.kept[STATE_KEY]["intent"]) if self.kept else None

    @property
    def text(self) -> str:
        return "\n".join(self.log)


def intent(**fields: Any) -> StartIntent:
    """What an earlier try has written down."""
    return StartIntent(
        **{
            "kind": "workflow",
            "definition_id": 1,
            "scope": SCOPE,
            "parameters": parameters_digest(None),
            "known": (5, 4),
            **fields,
        }
    )


def left_by(earlier: StartIntent, *, max_tries: int | None = 2) -> Kept:
    """The store as an earlier try has left it; another ``max_tries`` is that of a task that was cleared since."""
    return Kept({STATE_KEY: {"intent": earlier.to_json(), "max_tries": max_tries, "try_number": 1}})


def run(status: int, instance_id: int = 7, *nodes: int) -> WorkflowInstance:
    """A run, with nodes of these states."""
    shown = tuple(
        WorkflowInstanceNode(job, job + 100, f"job{job}", JobInstanceStatus(state))
        for job, state in enumerate(nodes, 1)
    )
    return WorkflowInstance(1, instance_id, WorkflowInstanceStatus(status), nodes=shown)


def listed(**runs: int) -> list[WorkflowInstanceSummary]:
    """A list of runs: ``listed(_7=3)`` is one that is running."""
    return [
        WorkflowInstanceSummary(1, int(name.strip("_")), WorkflowInstanceStatus(status))
        for name, status in runs.items()
    ]
