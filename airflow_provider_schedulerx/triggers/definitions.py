"""Names and ids of workflows as triggers look them up: within the account's budget, and once for all that ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.polling.budgets import BudgetedTransport, account_budget
from airflow_provider_schedulerx.api.polling.rate_limit import Priority
from airflow_provider_schedulerx.triggers.sharing import shared

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
    from airflow_provider_schedulerx.api.runs.kinds import RunKind
    from airflow_provider_schedulerx.api.runs.recipes import Recipe

T = TypeVar("T")

#: Seconds for which a lookup is shared.
_SHARED_SECONDS = 60.0


async def find_definition(settings: SchedulerXSettings, kind: RunKind, name: str) -> int:
    """Return the id of the one definition that has exactly this name.

    :raises SchedulerXError: as :func:`~airflow_provider_schedulerx.api.runs.names.resolve_recipe` does.
    """
    return await _shared(
        settings, (kind.name, "id", name), lambda: api.names.resolve_recipe(kind, settings.scope, name)
    )


async def workflow_name(settings: SchedulerXSettings, workflow_id: int) -> str | None:
    """Return the name of a workflow (``GetWorkFlow``).

    :raises SchedulerXError: if it cannot be read.
    """

    def recipe() -> Recipe[str | None]:
        found = yield api.calls.get_workflow(settings.scope, workflow_id)
        name: str | None = found.name
        return name

    return await _shared(settings, ("workflow", "name", workflow_id), recipe)


async def _shared(settings: SchedulerXSettings, what: tuple[Any, ...], recipe: Callable[[], Recipe[T]]) -> T:
    key = (settings.identity, settings.account, settings.scope, *what)
    return await shared(key, _SHARED_SECONDS, lambda: _look_up(settings, recipe), keeps_faults=False)


async def _look_up(settings: SchedulerXSettings, recipe: Callable[[], Recipe[T]]) -> T:
    budget = account_budget(settings)
    budget.join(settings.identity, settings.calls_per_minute)
    seconds = settings.connect_timeout + 2 * settings.read_timeout
    try:
        async with api.async_transport.AsyncTransport(settings, max_retry_seconds=0) as session:
            transport = BudgetedTransport(session, budget, seconds)

            def perform(call: Any) -> Awaitable[Any]:
                return transport.perform(call, Priority.POLL)

            return await api.recipes.adrive(recipe(), perform)
    finally:
        budget.leave(settings.identity)
