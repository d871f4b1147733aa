"""Lists of a definition's runs from the shared poller, for triggers that wait for runs they do not know yet.

After a fault the connection is read again, since its key may have been rotated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAuthenticationError,
    SchedulerXConfigurationError,
    SchedulerXError,
    SchedulerXNotFoundError,
)
from airflow_provider_schedulerx.triggers.settings import read_settings

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
    from airflow_provider_schedulerx.api.polling.poller import ListedRuns, ListSubscription, RunPoller
    from airflow_provider_schedulerx.api.runs.kinds import RunKind


class RunLists:
    """What a trigger sees of the lists. Use as ``async with``.

    :param trigger: has the connection and the scope as attributes.
    :param identify: finds the id of the definition, with the settings of the connection.
    :param poll_interval: seconds between two lists, at most, if the budget allows.
    """

    def __init__(
        self,
        trigger: Any,
        kind: RunKind,
        identify: Callable[[SchedulerXSettings], Awaitable[int]],
        poll_interval: float,
    ) -> None:
        self._trigger = trigger
        self._kind = kind
        self._identify = identify
        self._poll_interval = poll_interval
        self._entered: Any = None
        self._poller: RunPoller | None = None
        self._observer: ListSubscription | None = None
        self._settings: SchedulerXSettings | None = None
        self.definition_id: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether the poller keeps delivering lists."""
        return self._observer is not None

    @property
    def poller(self) -> RunPoller:
        """The poller, while lists come."""
        if self._poller is None:
            raise RuntimeError("the poller is not open")
        return self._poller

    @property
    def settings(self) -> SchedulerXSettings:
        """The settings of the connection, while lists come."""
        if self._settings is None:
            raise RuntimeError("the connection was not read")
        return self._settings

    async def next(self) -> ListedRuns:
        """Wait for the next list.

        :raises SchedulerXError: if there is none. Calling this again tries again: at once, unless lists still come
            (:attr:`is_open`), so pause before.
        """
        observer = self._observer or await self._open()
        seen = await observer.next()
        if not isinstance(seen, SchedulerXError):
            return seen
        # After other faults the poller recovers by itself.
        if isinstance(
            seen, SchedulerXAuthenticationError | SchedulerXConfigurationError | SchedulerXNotFoundError
        ):
            await self.close()
        raise seen

    def hurry(self) -> None:
        """Have the next list made as soon as the budget allows."""
        if self._poller is not None and self._observer is not None:
            self._poller.hurry(self._observer)

    async def close(self) -> None:
        """Leave the poller; the next list opens it again, with the connection as it is then."""
        if self._poller is not None and self._observer is not None:
            self._poller.unsubscribe(self._observer)
        entered, self._entered, self._poller, self._observer = self._entered, None, None, None
        if entered is not None:
            await entered.__aexit__(None, None, None)

    async def _open(self) -> ListSubscription:
        settings = await read_settings(self._trigger)
        definition_id = await self._identify(settings)
        entered = api.poller.shared_poller(settings, self._kind, definition_id)
        self._poller = await entered.__aenter__()
        self._entered, self._settings, self.definition_id = entered, settings, definition_id
        self._observer = self._poller.observe_lists(poll_interval=self._poll_interval)
        return self._observer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()
