"""Free ports, and waiting for what processes do."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Below those of outgoing connections (``net.ipv4.ip_local_port_range`` of Linux).
_PORTS = range(15_000, 32_768)


class StackError(RuntimeError):
    """Something did not do what was asked of it."""


def free_port() -> int:
    """A port that is free, and that no outgoing connection is given: it is used only seconds later."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


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
