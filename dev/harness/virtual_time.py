"""Hours in seconds: an event loop whose clock jumps to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


#: Seconds of real time to wait for something that is not simulated.
_REAL_SECONDS = 5.0


class StandstillError(RuntimeError):
    """No timer is set, and nothing is ready."""


class _JumpingSelector(selectors.BaseSelector):
    """Instead of waiting, tells the loop that the time has passed."""

    def __init__(self) -> None:
        self.now = 0.0
        self._inner = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = self._inner.select(0)
        if not ready and timeout is None:
            # Only something real can happen now, such as the end of a thread.
            ready = self._inner.select(_REAL_SECONDS)
            if not ready:
                raise StandstillError("every task waits for something that cannot happen any more")
        elif not ready and timeout:
            self.now += timeout
        return ready

    def register(self, *arguments: Any) -> Any:
        return self._inner.register(*arguments)

    def unregister(self, fileobj: Any) -> Any:
        return self._inner.unregister(fileobj)

    def get_map(self) -> Any:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_simulated(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in simulated time."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main())
