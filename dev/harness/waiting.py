"""Free ports, and waiting for what processes do."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class StackError(RuntimeError):
    """Something did not do what was asked of it."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, look: Callable[[], T | None], timeout: float, pause: float = 0.3) -> T:
    """Look until there is something. :raises StackError: after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise StackError(f"{what}: not after {timeout:g} s")
        time.sleep(pause)
