"""States of runs, and what started them: open enumerations, since the service may add codes."""

from __future__ import annotations

from enum import IntEnum


class OpenIntEnum(IntEnum):
    """An ``IntEnum`` that keeps a code it does not know instead of raising.

    The service may add codes. Such a member is named ``UNKNOWN_<code>``, keeps its number and
    has ``is_known`` False; what to do with it is the caller's decision, and never "success".
    """

    @classmethod
    def _missing_(cls, value: object) -> OpenIntEnum | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member

    @property
    def is_known(self) -> bool:
        return self.name in type(self).__members__


class WorkflowInstanceStatus(OpenIntEnum):
    """State of a workflow instance (API page "GetWorkflowInstance")."""

    WAITING = 1
    PREPARING = 2
    RUNNING = 3
    SUCCESS = 4
    FAILED = 5

    @property
    def is_active(self) -> bool:
        return self in (self.WAITING, self.PREPARING, self.RUNNING)

    @property
    def is_terminal(self) -> bool:
        """Whether the run is over. False for an unknown code: it decides nothing."""
        return self in (self.SUCCESS, self.FAILED)

    @property
    def is_success(self) -> bool:
        return self is self.SUCCESS

    @property
    def is_waiting(self) -> bool:
        return self is self.WAITING


class JobInstanceStatus(OpenIntEnum):
    """State of a job instance: a run of a job by itself, or a node of a workflow instance.

    1, 3, 4, 5 and 9 are documented (API page "GetJobInstance"); the others are read in the
    published Go worker.
    """

    UNKNOWN = 0
    WAITING = 1
    READY = 2
    RUNNING = 3
    SUCCESS = 4
    FAILED = 5
    KILLED = 6
    PAUSED = 7
    SUBMITTED = 8
    REJECTED = 9
    ACCEPTED = 10
    PARTIAL_FAILED = 11
    SKIPPED = 12
    REMOVED = 99

    @property
    def is_known(self) -> bool:
        """Whether the code has a meaning; 0 is the service's own "unknown"."""
        return self is not self.UNKNOWN and super().is_known

    @property
    def is_active(self) -> bool:
        return self in (self.WAITING, self.READY, self.RUNNING, self.PAUSED, self.SUBMITTED, self.ACCEPTED)

    @property
    def is_terminal(self) -> bool:
        """Whether the job instance is over. False for an unknown code: it decides nothing."""
        return self.is_known and not self.is_active

    @property
    def is_success(self) -> bool:
        """Whether all of it was done: part of it, or nothing because it was skipped or removed, is no success."""
        return self is self.SUCCESS

    @property
    def is_waiting(self) -> bool:
        """Whether nothing of it has begun."""
        return self in (self.WAITING, self.READY, self.SUBMITTED, self.ACCEPTED)

    @property
    def is_bad(self) -> bool:
        """Whether this node is a reason for its workflow's failure."""
        return self in (self.FAILED, self.KILLED, self.REJECTED, self.PARTIAL_FAILED)


class TriggerType(OpenIntEnum):
    """What started a job instance (API page "GetJobInstance"). Whether a node inherits it from its run is unknown."""

    TIME = 1
    DATA = 2
    API = 3
    MANUAL_RERUN = 4
    SYSTEM_RERUN = 5


class JobTimeType(OpenIntEnum):
    """What schedules a job (API pages "GetJobInfo", "GetJobInstance"). A workflow has a text instead."""

    CRON = 1
    FIX_RATE = 3
    SECOND_DELAY = 4
    ONE_TIME = 5
    API = 100
