"""What the loops over the runs of a definition have in common: each continues for ever, whatever happens in it."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.polling.definition import PolledDefinition

log: logging.Logger = logging.getLogger(__name__)

#: Seconds after a fault of our own.
_AFTER_FAULT = 1.0


class Loop:
    """A task that repeats :meth:`step` for ever, whatever happens in it, and what it has started."""

    def __init__(self, definition: PolledDefinition) -> None:
        self._definition = definition
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_started = False

    async def step(self) -> None:
        raise NotImplementedError

    def wake(self) -> None:
        """Start, or check again what is due."""
        self._wake.set()
        if not self._is_started:
            self._is_started = True
            self._spawn(self._repeat())

    def cancel(self) -> set[asyncio.Task[None]]:
        """:return: the tasks that end now."""
        for task in self._tasks:
            task.cancel()
        return set(self._tasks)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        # In an empty context: it belongs to the process, not to the trigger that came first.
        name = (
            f"schedulerx-{type(self).__name__}-{self._definition.kind.name}-{self._definition.definition_id}"
        )
        task = asyncio.create_task(work, name=name, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _repeat(self) -> None:
        while True:
            try:
                await self.step()
            except Exception as error:
                # Nobody may wait for ever because of a mistake of ours. What was due still is.
                log.exception("%s of %s: %r", type(self).__name__, self._definition.label, error)
                await asyncio.sleep(_AFTER_FAULT)

    async def _sleep_until(self, at: float) -> None:
        """Return at this time, or when woken."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(None if at == float("inf") else at):
                await self._wake.wait()
