"""What can interrupt a try wherever it is: its time is up, or it is killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: A rest of the time that is too short to do anything, in seconds.
_NO_TIME = 0.001
#: Seconds between two checks whether the task was killed.
_NOTICE_SECONDS = 0.2


class Killed(BaseException):
    """The task was asked to end; raised where the main flow notices."""


class TimeIsUp(BaseException):
    """The limit of the try has passed."""


class TimeLimit:
    """The time limit of a try.

    :param limits: name of the argument -> seconds; None is without limit. The shortest counts.
    """

    def __init__(self, **limits: float | None) -> None:
        given = [(seconds, name) for name, seconds in limits.items() if seconds is not None]
        self.seconds: float
        self.seconds, self._name = min(given, default=(float("inf"), ""))
        self._end = time.monotonic() + self.seconds

    @property
    def left(self) -> float:
        """Seconds that are left; 0 when time is up, or will be within a millisecond."""
        left = self._end - time.monotonic()
        return left if left > _NO_TIME else 0.0

    def __str__(self) -> str:
        return f"{self._name}={self.seconds:g} s" if self._name else "its time"


class Interrupts:
    """Sleeps for the main flow of a try, and tells it when it has to end.

    :param limit: of the try.
    :ivar was_killed: whether the task was asked to end.
    """

    def __init__(self, limit: TimeLimit) -> None:
        self.limit = limit
        self.was_killed = False
        self._is_polling = False

    def left(self) -> float:
        """Seconds that are left."""
        return self.limit.left

    def pause(self, seconds: float) -> None:
        """Sleep, unless the task is killed.

        In short pieces: a signal handler runs in between, and a long sleep would continue after it.
        """
        while seconds > 0:
            self.check_killed()
            piece = min(seconds, _NOTICE_SECONDS)
            time.sleep(piece)
            seconds -= piece
        self.check_killed()

    def bounded_pause(self, seconds: float) -> None:
        """Sleep, unless the task is killed or its time is up."""
        self.check_time()
        self.pause(min(seconds, self.limit.left))

    def check_killed(self) -> None:
        """End here if the task was killed."""
        if self.was_killed:
            raise Killed

    def check_time(self) -> None:
        """End here if time is up."""
        if self.limit.left <= 0:
            raise TimeIsUp

    @contextmanager
    def polling(self) -> Iterator[None]:
        """Around a read that a kill may interrupt, wherever it is."""
        self._is_polling = True
        try:
            yield
        finally:
            self._is_polling = False

    def interrupt_poll(self) -> None:
        """End a read of the main flow here, in a signal's handler."""
        if self._is_polling and threading.current_thread() is threading.main_thread():
            raise Killed
