"""What Airflow 3.3 does around an operator, without Airflow: tries, deferrals, kills and clears of one task.

As read and seen in Airflow 3.3.2 (docs of the project's experiments): XCom is cleared at the start of each try, the
task state store is not; a retry leaves ``max_tries`` as it is, clearing sets it anew; a deferred task goes on in a
new process; a trigger of a task that a user ended is cancelled, and then told by ``on_kill``, which is cancelled
again about every second.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, NoReturn
from unittest import mock

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, TaskDeferred

from airflow_provider_schedulerx.operators.executing import ExecuteOperator
from airflow_provider_schedulerx.triggers import schedulerx as triggers
from airflow_provider_schedulerx.triggers.run import RunTrigger
from airflow_provider_schedulerx.version_compat import kills
from dev.experiments.virtual import VirtualClock

#: Seconds that Airflow gives a killed task, and a trigger's on_kill.
_KILL_GRACE, _ON_KILL_TIMEOUT = 5.0, 30.0


class Killed(BaseException):
    """As ``kill -9``: what handles it can reach nothing any more."""


class Process:
    """A process of a task: once it is dead, nothing leaves it."""

    def __init__(self) -> None:
        self.is_dead = False

    def die(self) -> NoReturn:
        self.is_dead = True
        raise Killed

    def check(self) -> None:
        if self.is_dead:
            raise Killed


class Store:
    """The task state store of a task instance. :ivar before_set: called before each write."""

    def __init__(self) -> None:
        self.before_set: Callable[[], None] = lambda: None
        self.process = Process()
        self._kept: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        self.process.check()
        return self._kept.get(key)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self.before_set()
        self.process.check()
        self._kept[key] = json.loads(json.dumps(value))

    def delete(self, key: str) -> None:
        self.process.check()
        self._kept.pop(key, None)


class TaskInstance:
    """A task instance, as far as an operator sees it."""

    dag_id, run_id, task_id, map_index = "dag", "scheduled__2026-01-01", "run", -1

    def __init__(self, retries: int) -> None:
        self.process = Process()
        self.try_number = 0
        self.max_tries = retries
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.process.check()
        self.xcoms[key] = value

    def xcom_pull(self, key: str = "WfInstanceId", **_: Any) -> Any:
        self.process.check()
        return self.xcoms.get(key)


class Task:
    """One task instance, and what becomes of it.

    :param make: makes the operator, as each process that runs the task does.
    :param retry_delay: seconds between two tries.
    :ivar state: ``success``, ``failed`` or ``skipped``; None while it is not decided.
    :ivar errors: what its tries raised.
    :ivar was_ended_by_user: whether a user has ended it, and not cleared it since.
    """

    def __init__(
        self,
        clock: VirtualClock,
        make: Callable[[], ExecuteOperator],
        *,
        retries: int = 3,
        retry_delay: float = 60.0,
    ) -> None:
        self._clock = clock
        self._make = make
        self._retries = retries
        self._retry_delay = retry_delay
        self.ti = TaskInstance(retries)
        self.store = Store()
        self.state: str | None = None
        self.errors: list[BaseException] = []
        #: Seconds into the wait at which a user ends the task (marks it as failed, or clears it); None does not.
        self.user_ends_after: float | None = None
        #: Seconds into the wait at which the triggerer, or the worker, dies; once.
        self.dies_after: float | None = None
        self.was_ended_by_user = False

    @property
    def context(self) -> Any:
        return {"ti": self.ti, "task_state_store": self.store, "outlet_events": {}}

    def run(self) -> None:
        """Run tries until the task has its final state."""
        self.state = None
        while self.state is None:
            self.ti.try_number += 1
            self.ti.xcoms = {}
            self._new_process()
            self._try()
            self._new_process()
            self._clock.silence()
            if self.was_ended_by_user:
                self.state = "failed"
            if self.state is None:
                self._clock.sleep(self._retry_delay)

    def clear(self) -> None:
        """Let a user clear it; :meth:`run` then runs it again."""
        self.ti.max_tries = self.ti.try_number + self._retries
        self.user_ends_after = None
        self.was_ended_by_user = False

    def die(self) -> NoReturn:
        """Let the process that runs the task, or its triggerer, die."""
        self.dies_after = None
        self.process.die()

    def _new_process(self) -> None:
        self.process = self.ti.process = self.store.process = Process()

    def _try(self) -> None:
        try:
            try:
                self._process(self._begin)
            except BaseException:
                self.process.check()
                raise
        except AirflowSkipException:
            self.state = "skipped"
        except AirflowFailException as error:
            self.errors.append(error)
            self.state = "failed"
        except (Exception, Killed) as error:
            self.errors.append(error)
            if self.ti.try_number > self.ti.max_tries:
                self.state = "failed"
        else:
            self.state = "success"

    def _process(self, work: Callable[[ExecuteOperator], None]) -> None:
        """A process of the task: until it ends, or defers and another goes on."""
        task = self._make()
        while True:
            try:
                work(task)
                return
            except TaskDeferred as deferral:
                self._clock.silence()
                method, kwargs = self._deferred(deferral)
                if self.was_ended_by_user:
                    raise Killed from None
                self._new_process()
                task = self._make()

                def work(task: ExecuteOperator, method: str = method, kwargs: Any = kwargs) -> None:
                    task.resume_execution(method, kwargs, self.context)

    def _begin(self, task: ExecuteOperator) -> None:
        if self.user_ends_after is not None and not task.deferrable:
            self._clock.alarm(self.user_ends_after, lambda: self._kill(task))
        if self.dies_after is not None and not task.deferrable:
            self._clock.alarm(self.dies_after, self.die)
        with mock.patch.object(kills, "_state", self._state):
            task.execute(self.context)

    def _state(self, _: Any) -> str:
        """What Airflow answers a task that asks for its own state."""
        return "failed" if self.was_ended_by_user else "running"

    def _kill(self, task: ExecuteOperator) -> None:
        """SIGTERM, with a moment to end."""
        self.was_ended_by_user = True
        self._clock.alarm(_KILL_GRACE, self.die)
        task.on_kill()

    def _deferred(self, deferral: TaskDeferred) -> tuple[str, dict[str, Any]]:
        """Wait in a triggerer. :return: how the task goes on."""
        limit = None if deferral.timeout is None else self._clock.now + deferral.timeout.total_seconds()
        path, kwargs = deferral.trigger.serialize()
        stored = json.dumps(kwargs)
        trigger_class: type[RunTrigger] = getattr(triggers, path.rpartition(".")[2])
        event = None
        while event is None and not self.was_ended_by_user:
            trigger = trigger_class(**json.loads(stored))
            try:
                event = self._clock.run(self._trigger(trigger, limit))
            except Killed:  # the triggerer died; another takes the trigger up
                self._new_process()
                self._clock.sleep(30)
            except TimeoutError:
                return "__fail__", {"error": "Trigger timeout"}
        return deferral.method_name, {**(deferral.kwargs or {}), "event": event}

    async def _trigger(self, trigger: RunTrigger, limit: float | None) -> Any:
        async def first_event() -> Any:
            async for event in trigger.run():
                return event.payload
            raise AssertionError("the trigger ended without an event")

        waiting = asyncio.ensure_future(first_event())
        ends = [
            seconds
            for seconds in (
                self.user_ends_after,
                self.dies_after,
                None if limit is None else limit - self._clock.now,
            )
            if seconds is not None
        ]
        await asyncio.wait({waiting}, timeout=min(ends, default=None))
        if waiting.done():
            return waiting.result()
        dies = bool(ends) and min(ends) == self.dies_after
        self.process.is_dead = dies
        waiting.cancel()
        await asyncio.wait({waiting})
        if dies:
            self.die()
        if ends and min(ends) == self.user_ends_after:
            self.was_ended_by_user = True
            await self._told(trigger)
            return None
        raise TimeoutError

    async def _told(self, trigger: RunTrigger) -> None:
        stopping = asyncio.ensure_future(trigger.on_kill())
        until = self._clock.now + _ON_KILL_TIMEOUT
        while not stopping.done() and self._clock.now < until:
            await asyncio.wait({stopping}, timeout=1.0)
            stopping.cancel()
        # What the trigger left running goes on while the triggerer lives.
        others = {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=120)
