"""One lookup for all triggers of an event loop that ask the same thing within some seconds."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

T = TypeVar("T")

_Tasks = WeakValueDictionary[Hashable, "asyncio.Task[Any]"]

#: Lookups by loop. Only the loop's own timers keep them: a task refers to its loop, which would never be freed.
_lookups: WeakKeyDictionary[asyncio.AbstractEventLoop, _Tasks] = WeakKeyDictionary()


async def shared(
    key: Hashable, seconds: float, look_up: Callable[[], Coroutine[Any, Any, T]], *, keeps_faults: bool
) -> T:
    """Return what somebody has looked up, or is looking up; else look it up.

    :param key: what is asked.
    :param seconds: for which an answer is shared.
    :param keeps_faults: whether a fault is an answer too. If not, whoever asks next looks it up again.
    """
    loop = asyncio.get_running_loop()
    lookups = _lookups.setdefault(loop, WeakValueDictionary())
    task: asyncio.Task[T] | None = lookups.get(key)
    if task is None:
        # In an empty context: its lines are not those of the trigger that came first.
        task = loop.create_task(look_up(), context=contextvars.Context())
        # If all who wait are cancelled, nobody complains of a fault.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        lookups[key] = task
        loop.call_later(seconds, _forget, lookups, key, task)
    try:
        # Shielded: if this trigger is cancelled, the others still want it.
        return await asyncio.shield(task)
    except Exception:
        if not keeps_faults and task.done():
            _forget(lookups, key, task)
        raise


def _forget(lookups: _Tasks, key: Hashable, task: asyncio.Task[Any]) -> None:
    if lookups.get(key) is task:
        del lookups[key]
