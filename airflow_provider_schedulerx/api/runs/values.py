"""What the service shows of a run and of what can be run, whatever kind it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from airflow_provider_schedulerx.api.models import TriggerType, WorkflowInstanceNode


class RunStatus(Protocol):
    """A state of a run, as a code of the service."""

    @property
    def name(self) -> str: ...

    @property
    def value(self) -> int: ...

    @property
    def is_known(self) -> bool:
        """Whether the code has a documented meaning."""
        ...

    @property
    def is_active(self) -> bool: ...

    @property
    def is_terminal(self) -> bool:
        """Whether the run is over. False for an unknown code."""
        ...

    @property
    def is_success(self) -> bool:
        """Whether the run is over and good. A run that is over and not good has failed."""
        ...

    @property
    def is_waiting(self) -> bool:
        """Whether the run waits for its turn, so that nothing of it has begun."""
        ...


class RunSummary(Protocol):
    """A run as a list shows it."""

    @property
    def definition_id(self) -> int: ...

    @property
    def instance_id(self) -> int: ...

    @property
    def status(self) -> RunStatus: ...

    @property
    def schedule_time(self) -> str | None: ...

    @property
    def data_time(self) -> str | None: ...

    @property
    def start_time(self) -> str | None: ...

    @property
    def end_time(self) -> str | None: ...


class Run(RunSummary, Protocol):
    """A run as a poll of its own shows it."""

    @property
    def label(self) -> str:
        """What a sentence calls it: ``workflow instance 36508287844``."""
        ...

    @property
    def definition_label(self) -> str:
        """What a sentence calls its definition: ``workflow 101``."""
        ...

    @property
    def nodes(self) -> tuple[WorkflowInstanceNode, ...]:
        """The job instances it consists of. A run of a job may show itself as its only node."""
        ...

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON, which :meth:`RunKind.from_data` reads."""
        ...

    def abridged(self, max_nodes: int, max_result: int) -> Self:
        """Return it with so many nodes at most, failed ones first, and results of so many characters at most."""
        ...


class Definition(Protocol):
    """What can be run, as a list of all shows it."""

    @property
    def definition_id(self) -> int: ...

    @property
    def name(self) -> str | None: ...


class Started(Protocol):
    """What a start answers."""

    @property
    def instance_id(self) -> int: ...

    @property
    def request_id(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class ShownParameters:
    """The instance parameters of a run, as the service shows them.

    :ivar source: the id of the job that shows them. Two runs whose parameters differ at the same source prove that they
        are those of the run rather than those of the job.
    :ivar trigger_type: what started the job instance, by the service; it decides nothing.
    """

    source: int
    text: str
    trigger_type: TriggerType | None = None


@dataclass(frozen=True, slots=True)
class RunList:
    """Runs of a definition, newest first.

    :ivar reaches_back: whether it certainly shows all runs back to what was asked for.
    """

    runs: Sequence[RunSummary]
    reaches_back: bool


#: Decides whether the newest runs, and possibly all there are, reach back far enough.
Reaches = Callable[[Sequence[RunSummary], bool], bool]

#: A list of at least this many runs may leave older ones out (``GetJobInstanceList`` shows 10 by default).
SHORTEST_LIMIT = 10
