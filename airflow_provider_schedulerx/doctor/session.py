"""What the checks of one examination share: what was asked for, and what is known by now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_schedulerx.api.parameters import MAX_ID

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings, Scope
    from airflow_provider_schedulerx.api.models import WorkflowInstance
    from airflow_provider_schedulerx.doctor.client import Client, Reply
    from airflow_provider_schedulerx.doctor.scrubbing import Scrubber
    from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook

T = TypeVar("T")

#: An id that no workflow, run or job has: asking for it is harmless, and shows how a failure looks.
IMPOSSIBLE_ID = MAX_ID


@dataclass(frozen=True)
class Options:
    """What the examination may do.

    :ivar workflow_id: the workflow to look at; None chooses one.
    :ivar start: start a run and follow it.
    :ivar fill: start runs until one is beyond MaxConcurrency.
    :ivar stop: stop the runs that were started.
    :ivar parameters: parameters of the run, to which a marker is added; None gives none.
    :ivar follow: seconds to follow a run.
    :ivar limit: seconds for everything that only reads.
    """

    workflow_id: int | None = None
    start: bool = False
    fill: bool = False
    stop: bool = False
    parameters: Mapping[str, Any] | None = None
    follow: float = 120.0
    limit: float = 90.0


@dataclass(frozen=True, slots=True)
class Listed:
    """How many runs a list showed, and how many of them were active."""

    active: int
    listed: int


@dataclass
class Session:
    """What is known by now.

    :ivar may_start: asks the person, with the question as its argument, whether to start.
    :ivar lacking: what is not there, such as ``network``, and why.
    :ivar workflow: ``WorkFlowInfo`` of the workflow that is looked at.
    :ivar runs: as they are listed, in the service's order; None if they could not be listed.
    :ivar listed: what was listed of each workflow, by its id.
    :ivar list_length: runs that a list shows at most, if that was seen.
    :ivar instances: runs that were looked at.
    :ivar workflows: records of the first page of ListWorkFlows.
    :ivar workflows_in_all: how many the group has; 0 if that is not known.
    """

    hook: SchedulerXHook
    options: Options
    scrubber: Scrubber
    may_start: Callable[[str], bool]
    sleep: Callable[[float], None] = time.sleep
    lacking: dict[str, str] = field(default_factory=dict)
    settings: SchedulerXSettings | None = None
    proxy: str | None = None
    client: Client | None = None
    workflow: Mapping[str, Any] | None = None
    workflow_id: int | None = None
    is_disabled: bool | None = None
    runs: list[Mapping[str, Any]] | None = None
    listed: dict[int, Listed] = field(default_factory=dict)
    list_length: int | None = None
    instances: list[WorkflowInstance] = field(default_factory=list)
    workflows: list[Mapping[str, Any]] = field(default_factory=list)
    workflows_in_all: int = 0

    @property
    def scope(self) -> Scope:
        assert self.settings is not None  # noqa: S101 - checks say what they need
        return self.settings.scope

    def ask(self, call: Any) -> Reply[Any]:
        assert self.client is not None  # noqa: S101 - checks say what they need
        return self.client.ask(call)


def within(seconds: float, function: Callable[[], T]) -> T:
    """Call a function that may hang. A thread is left behind if it does.

    :raises TimeoutError: if it takes longer.
    """
    outcome: Future[T] = Future()

    def call() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return outcome.result(timeout=seconds)
