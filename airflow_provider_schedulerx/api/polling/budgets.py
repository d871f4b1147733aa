"""The budgets of the accounts that an event loop uses, and calls that keep to them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Hashable
from typing import TYPE_CHECKING, Protocol, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXError,
    SchedulerXThrottledError,
    SchedulerXUnavailableError,
)
from airflow_provider_schedulerx.api.polling.rate_limit import Permit, Priority, RateLimiter
from airflow_provider_schedulerx.api.polling.reporting import Metric, report

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
    from airflow_provider_schedulerx.api.wire.calls import Call

T = TypeVar("T")


class Transport(Protocol):
    """What carries out a call."""

    async def perform(self, call: Call[T]) -> T: ...


class AccountBudget:
    """The budget of each operation of one account, in one event loop.

    Its limit is the smallest ``calls_per_minute`` of the connections in use.

    :param account: what tells accounts apart; it may hold secrets, and is never shown.
    """

    def __init__(self, account: Hashable) -> None:
        self._label = hashlib.sha256(repr(account).encode()).hexdigest()[:8]
        self._limiters: dict[str, RateLimiter] = {}
        self._limits: dict[Hashable, int] = {}
        self._users: dict[Hashable, int] = {}

    @property
    def limit(self) -> int:
        """Calls of each operation in a minute."""
        return min(self._limits.values())

    def join(self, connection: Hashable, calls_per_minute: int) -> None:
        """Say that a connection uses the budget, with this limit from now on; it was edited, perhaps."""
        if not self._users:
            self._limits.clear()
        self._users[connection] = self._users.get(connection, 0) + 1
        self._limits[connection] = calls_per_minute
        self._apply()

    def leave(self, connection: Hashable) -> None:
        """Take back one :meth:`join`."""
        self._users[connection] -= 1
        if self._users[connection] == 0:
            del self._users[connection]
            # The last limit stays, so that what was spent is still counted against it.
            if self._users:
                del self._limits[connection]
                self._apply()

    def of(self, operation: str) -> RateLimiter:
        """The budget of an operation, made at first use."""
        if operation not in self._limiters:
            self._limiters[operation] = RateLimiter(self.limit, operation, self._label)
        return self._limiters[operation]

    def _apply(self) -> None:
        for limiter in self._limiters.values():
            limiter.set_limit(self.limit)


_budgets: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, AccountBudget]] = WeakKeyDictionary()


def account_budget(settings: SchedulerXSettings) -> AccountBudget:
    """The budget of the account that a connection uses, in this event loop."""
    budgets = _budgets.setdefault(asyncio.get_running_loop(), {})
    if settings.account not in budgets:
        budgets[settings.account] = AccountBudget(settings.account)
    return budgets[settings.account]


class BudgetedTransport:
    """Calls that keep to the account's budget.

    :param seconds: after which a call that has no answer is given up.
    """

    def __init__(self, transport: Transport, budget: AccountBudget, seconds: float) -> None:
        self._transport = transport
        self._budget = budget
        self._seconds = seconds

    async def perform(self, call: Call[T], priority: Priority) -> T:
        """Wait for the budget, and carry out a call.

        :raises SchedulerXError: whatever goes wrong.
        """
        limiter = self._budget.of(call.operation.name)
        return await self.perform_permitted(call, await limiter.acquire(priority))

    async def perform_permitted(self, call: Call[T], permit: Permit) -> T:
        """Carry out a call for which the budget has given its permit.

        :raises SchedulerXError: whatever goes wrong, so that nothing that an answer contains can end a loop.
        """
        limiter = self._budget.of(call.operation.name)
        report(Metric.CALLS, operation=call.operation.name)
        try:
            async with asyncio.timeout(self._seconds):
                result = await self._transport.perform(call)
        except SchedulerXThrottledError as error:
            limiter.on_throttled(permit, error.retry_after)
            raise
        except SchedulerXError as error:
            if error.code is not None:
                limiter.on_success(permit)
            raise
        except TimeoutError:
            raise SchedulerXUnavailableError(
                f"no answer within {self._seconds:g} s", operation=call.operation.name
            ) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise SchedulerXUnavailableError(
                "something below has cancelled the call", operation=call.operation.name
            ) from None
        except Exception as error:
            # Only the kind: the text of an error that nobody foresaw may hold anything.
            raise SchedulerXUnavailableError(
                f"the answer could not be processed: {type(error).__name__}", operation=call.operation.name
            ) from error
        limiter.on_success(permit)
        return result
