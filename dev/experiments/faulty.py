"""Tasks that die by ``kill -9`` at a chosen moment of their first try: ours, and a plain one to compare with."""

from __future__ import annotations

import os
import signal
import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, BaseOperator

from airflow_provider_schedulerx.api.runs.kinds import kind_named
from airflow_provider_schedulerx.hooks.runs import RunCalls
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.operators.executing import ExecuteOperator
from airflow_provider_schedulerx.operators.schedulerx import ExecuteJobOperator, ExecuteWorkflowOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: Moments at which a task can be told to die.
KILLS = ("kill_before_request", "kill_during_request", "kill_before_record", "kill_after_record")
#: Moments at which its worker can be told to end, as in a deploy: right after the start, and while it follows the run.
EVICTIONS = ("evict_after_request", "evict_while_following")

#: Seconds into the wait at which a worker is told to end.
_EVICTED_AFTER = 2.0
#: Seconds between the request and the death that comes before its answer, which has to be held back for longer.
DEATH_AFTER = 1.0
ANSWER_DELAY = 4.0


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def evict() -> None:
    """SIGTERM to what supervises this task, which passes it on."""
    os.kill(os.getppid(), signal.SIGTERM)


class FaultyHook(SchedulerXHook):
    fault = ""

    def console_link(self, definition_id: int | str, instance_id: int, kind: str = "workflow") -> str:
        if self.fault == "kill_after_record":
            die()
        if self.fault == "evict_while_following":
            threading.Timer(_EVICTED_AFTER, evict).start()
        return super().console_link(definition_id, instance_id, kind)


class FaultyCalls(RunCalls):
    hook: FaultyHook

    def start(self, definition_id: int, instance_parameters: Any) -> int:
        if self.hook.fault == "kill_before_request":
            die()
        if self.hook.fault == "kill_during_request":
            threading.Timer(DEATH_AFTER, die).start()
        instance_id = super().start(definition_id, instance_parameters)
        if self.hook.fault == "kill_before_record":
            die()
        if self.hook.fault == "evict_after_request":
            evict()
            time.sleep(1)  # until the signal is here
        return instance_id


class _Faulty(ExecuteOperator):
    """:param fault: one of :data:`KILLS` or :data:`EVICTIONS`, or anything else for none. (templated)
    :param has_store: False hides Airflow's task state store, as if there were none.
    """

    def __init__(self, *, fault: str = "", has_store: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fault = fault
        self.has_store = has_store

    @cached_property
    def hook(self) -> SchedulerXHook:
        hook = FaultyHook.from_task(self)
        hook.fault = self.fault
        return hook

    @cached_property
    def run_calls(self) -> RunCalls:
        return FaultyCalls(self.hook, self.kind)

    def execute(self, context: Context) -> int:
        if context["ti"].try_number > 1:
            self.fault = ""
        return super().execute(self._seen(context))

    def resume_execution(self, next_method: str, next_kwargs: Any, context: Context) -> Any:
        return super().resume_execution(next_method, next_kwargs, self._seen(context))

    def _seen(self, context: Context) -> Context:
        # The context of Airflow 2.11, which has no store, cannot be copied.
        if not self.has_store and "task_state_store" in context:
            context = context.copy()
            context.pop("task_state_store", None)
        return context


class FaultyOperator(_Faulty, ExecuteWorkflowOperator):
    template_fields = (*ExecuteWorkflowOperator.template_fields, "fault")


class FaultyJobOperator(_Faulty, ExecuteJobOperator):
    template_fields = (*ExecuteJobOperator.template_fields, "fault")


class PlainOperator(BaseOperator):
    """What a start-and-poll operator does: start, push the id to XCom, poll until the end, fail if it failed."""

    template_fields = ("instance_parameters",)

    def __init__(
        self,
        *,
        definition_id: int,
        kind_name: str,
        instance_parameters: Any,
        fault: str = "",
        poll_interval: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.definition_id = definition_id
        self.kind_name = kind_name
        self.instance_parameters = instance_parameters
        self.fault = fault
        self.poll_interval = poll_interval

    def execute(self, context: Context) -> int:
        hook = FaultyHook()
        hook.fault = self.fault if context["ti"].try_number == 1 else ""
        kind = kind_named(self.kind_name)
        calls = FaultyCalls(hook, kind)
        instance_id = calls.start(self.definition_id, self.instance_parameters)
        context["ti"].xcom_push(key=kind.instance_field, value=instance_id)
        if hook.fault == "kill_after_record":
            die()
        while True:
            status = calls.get(self.definition_id, instance_id).status
            if status.is_terminal:
                break
            time.sleep(self.poll_interval)
        if not status.is_success:
            raise AirflowException(f"{kind.instance_noun} {instance_id} is {status.name}")
        return instance_id
