"""What a try of a task follows, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from airflow_provider_schedulerx import api

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.kinds import RunKind


class Phase(Enum):
    """How far a try is."""

    #: No request that could start a run has been sent.
    IDLE = "idle"
    #: A run may have been started, and is not known yet.
    STARTING = "starting"
    #: A run is known and may be active.
    FOLLOWING = "following"
    #: The run has ended.
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class TaskRun:
    """The run that a try follows. Its text is what messages call it: ``workflow instance 36508287844``.

    :ivar is_own: False if something else has started it; then the task never stops it.
    :ivar is_new: whether this try has started it.
    """

    kind: RunKind
    definition_id: int
    instance_id: int
    is_own: bool = True
    is_new: bool = True

    def __str__(self) -> str:
        return f"{self.kind.instance_noun} {self.instance_id}"

    @property
    def title(self) -> str:
        """The same at the beginning of a sentence."""
        return api.tracking.sentence(str(self))
