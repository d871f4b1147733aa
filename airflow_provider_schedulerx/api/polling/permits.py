"""Who goes first, and the leave to make one call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Priority(IntEnum):
    """Who goes first."""

    STOP = 0
    POLL = 1
    #: Only what the polls, as promised, leave over.
    SPARE = 2


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one call.

    :ivar sent_at: when it was given, in the event loop's time.
    :ivar is_due: somebody was promised the call by then.
    """

    sent_at: float
    priority: Priority
    is_due: bool = True
