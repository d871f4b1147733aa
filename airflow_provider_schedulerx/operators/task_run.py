"""What a try of a task follows, how far it is, and what bounds it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum

#: Seconds that are too few for anything.
_NO_TIME = 0.001


class Phase(Enum):
    """How far a try is."""

    #: Nothing has been asked of the service that could start a run.
    IDLE = "idle"
    #: A run may have been started that is not known yet.
    STARTING = "starting"
    #: A run is known and may be active.
    FOLLOWING = "following"
    #: The run has ended.
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class TaskRun:
    """The run that a try follows.

    :ivar is_own: False if something else has started it; then the task never stops it.
    :ivar is_new: whether this try has started it.
    """

    workflow_id: int
    wf_instance_id: int
    is_own: bool = True
    is_new: bool = True


class Killed(BaseException):
    """The task was asked to end; raised where the main flow notices."""


class TimeIsUp(BaseException):
    """The limit of the try has passed."""


class TimeLimit:
    """The time that a try has.

    :param limits: name of the argument -> seconds; None is without limit. The shortest counts.
    """

    def __init__(self, **limits: float | None) -> None:
        given = [(seconds, name) for name, seconds in limits.items() if seconds is not None]
        self.seconds, self._name = min(given, default=(float("inf"), ""))
        self._end = time.monotonic() + self.seconds

    @property
    def left(self) -> float:
        """Seconds that are left; 0 when time is up, which a millisecond before does not change."""
        left = self._end - time.monotonic()
        return left if left > _NO_TIME else 0.0

    def __str__(self) -> str:
        return f"{self._name}={self.seconds:g} s"
