"""Moments of a try at which a test lets something happen, however busy the machine is."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.operators import interrupts
from dev.harness.waiting import wait_for

#: Pieces of sleep after which a try was to have noticed what happened in the first.
_MOST_PIECES = 20


def terminate() -> None:
    """Send the signal that Airflow sends to a task."""
    signal.raise_signal(signal.SIGTERM)


def as_it_sleeps(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None] = terminate) -> list[float]:
    """Let something happen in the first piece of a try's sleep. No piece lasts.

    :return: seconds of each piece.
    """
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert len(slept) <= _MOST_PIECES, "it sleeps on"
        if len(slept) == 1:
            act()

    monkeypatch.setattr(interrupts, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    return slept


def as_it_starts(task: Any, act: Callable[[], None] = terminate) -> None:
    """Let something happen after a run was started, and before the task has the answer."""
    start = task.run_calls.start

    def started(*ids: Any) -> int:
        instance_id: int = start(*ids)
        act()
        return instance_id

    task.run_calls.start = started


def as_the_service_hangs(emulator: EmulatorProcess) -> None:
    """Send the signal while a call waits for its answer: once the emulator has met all of its faults."""
    main = threading.main_thread().ident

    def send() -> None:
        wait_for("the call is under way", lambda: not emulator.pending_faults(), 300)
        signal.pthread_kill(main, signal.SIGTERM)  # type: ignore[arg-type]

    threading.Thread(target=send, daemon=True).start()
