"""A task instance together with what is stored of its run: what the page is drawn from."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_schedulerx.run_page.snapshot import Snapshot

#: States of a task instance after which nothing follows its run any more.
OVER = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
#: Those in which something went wrong: people look for them first.
TROUBLED = ("failed", "upstream_failed", "up_for_retry")


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task instance, and what is stored of its run.

    :ivar state: of the task instance; None for one that is not scheduled yet.
    :ivar snapshot: None if nothing is stored.
    :ivar is_unreadable: whether something is stored that is no snapshot.
    :ivar console_url: of the run.
    :ivar try_number: of the latest try of the task.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str | None
    snapshot: Snapshot | None = None
    is_unreadable: bool = False
    console_url: str | None = None
    try_number: int | None = None

    @property
    def is_over(self) -> bool:
        return self.state in OVER

    @property
    def is_of_earlier_try(self) -> bool:
        """Whether the run is that of a try before the latest, or the task was cleared and waits to be scheduled."""
        if self.snapshot is None:
            return False
        tries = {self.snapshot.try_number, self.try_number}
        return self.state is None or (None not in tries and len(tries) > 1)

    @property
    def is_stale(self) -> bool:
        """Whether the run was last seen active, and nobody follows it any more."""
        return (
            self.snapshot is not None
            and not self.snapshot.status.is_terminal
            and (self.is_of_earlier_try or self.state not in ("running", "deferred", "up_for_reschedule"))
        )

    @property
    def urgency(self) -> int:
        """What people look for first has the lowest: what went wrong, then what has not succeeded."""
        status = None if self.snapshot is None or self.is_of_earlier_try else self.snapshot.status
        if self.state in TROUBLED or (status is not None and status.is_terminal and not status.is_success):
            return 0
        return 2 if self.state == "success" else 1

    @property
    def label(self) -> str:
        return self.task_id if self.map_index < 0 else f"{self.task_id} [{self.map_index}]"
