"""Hours in milliseconds: one clock for everything in the process, which jumps instead of waiting.

``time.time``, ``time.monotonic`` and ``time.sleep`` are this clock's while it is in force, and event loops of
:func:`run` wait by it. A thread that works is waited for; the clock does not move meanwhile.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
import selectors
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any, TypeVar
from unittest import mock

T = TypeVar("T")

#: The real ones, for what has to do with the world outside.
real_time, _real_monotonic, _real_sleep = time.time, time.monotonic, time.sleep


class VirtualClock:
    """A clock that its readers move on by sleeping."""

    #: Where the next one begins: for the rest of the process, too, time never runs backwards.
    _next_start = 1_700_000_000.0

    def __init__(self) -> None:
        self.now = VirtualClock._next_start
        self._alarms: list[tuple[float, Callable[[], None]]] = []
        self._lock = threading.Lock()

    def time(self) -> float:
        return self.now

    def alarm(self, seconds: float, call: Callable[[], None]) -> None:
        """Call something in so many seconds, from within the sleep that passes that moment, as a signal does."""
        self._alarms.append((self.now + seconds, call))

    def sleep(self, seconds: float) -> None:
        end = self.now + max(0.0, seconds)
        # Alarms ring where signals do: in the main thread.
        while threading.current_thread() is threading.main_thread() and (due := self._due(end)):
            self._alarms.remove(due)
            self.now = max(self.now, due[0])
            due[1]()
        with self._lock:
            self.now = max(self.now, end)

    def _due(self, end: float) -> tuple[float, Callable[[], None]] | None:
        return min((alarm for alarm in self._alarms if alarm[0] <= end), key=lambda it: it[0], default=None)

    def silence(self) -> None:
        """Take back all alarms."""
        self._alarms.clear()

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Let this be the clock of the process."""
        _rebind_defaults()
        with (
            mock.patch.object(time, "time", _time),
            mock.patch.object(time, "monotonic", _monotonic),
            mock.patch.object(time, "sleep", _sleep),
        ):
            _in_force.append(self)
            try:
                yield
            finally:
                _in_force.remove(self)
        VirtualClock._next_start = self.now + 86_400

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in an event loop of its own that waits by this clock."""
        with asyncio.Runner(loop_factory=lambda: _Loop(self)) as runner:
            return runner.run(main)


_in_force: list[VirtualClock] = []


def _time() -> float:
    return _in_force[-1].now if _in_force else real_time()


def _monotonic() -> float:
    return _in_force[-1].now if _in_force else _real_monotonic()


def _sleep(seconds: float) -> None:
    if _in_force:
        _in_force[-1].sleep(seconds)
    else:
        _real_sleep(seconds)


_INSTEAD: dict[Any, Any] = {real_time: _time, _real_monotonic: _monotonic, _real_sleep: _sleep}


@cache
def _rebind_defaults() -> None:
    """Let functions of the provider that have a clock as their default ask which one is in force."""
    for module in _modules():
        for owner in (module, *filter(inspect.isclass, vars(module).values())):
            for function in filter(inspect.isfunction, vars(owner).values()):
                function.__defaults__ = function.__defaults__ and tuple(map(_instead, function.__defaults__))
                defaults = function.__kwdefaults__ or {}
                for name, value in defaults.items():
                    defaults[name] = _instead(value)


def _instead(value: Any) -> Any:
    return _INSTEAD.get(value, value) if inspect.isbuiltin(value) else value


def _modules() -> Iterator[ModuleType]:
    for part in ("api", "hooks", "operators", "triggers"):
        package = importlib.import_module(f"airflow_provider_schedulerx.{part}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield importlib.import_module(found.name)


class _Selector(selectors.DefaultSelector):
    """Instead of waiting, says that the time has passed; unless a thread of the loop works."""

    loop: _Loop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.loop.threads or timeout is None:
            return super().select(0.05)
        self.loop.clock.sleep(timeout)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.threads = 0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        # A timer is due if it is before the next tick, and epoch seconds have no finer ones.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self.clock.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        future = super().run_in_executor(executor, func, *args)
        self.threads += 1
        future.add_done_callback(self._thread_is_done)
        return future

    def _thread_is_done(self, _: Any) -> None:
        self.threads -= 1
