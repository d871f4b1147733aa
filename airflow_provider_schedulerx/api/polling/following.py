"""The runs of one definition that are followed, together with the loops that poll them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from airflow_provider_schedulerx.api.polling.definition import PolledDefinition
from airflow_provider_schedulerx.api.polling.details import Details
from airflow_provider_schedulerx.api.polling.listing import Listing
from airflow_provider_schedulerx.api.polling.runs import FollowedRuns
from airflow_provider_schedulerx.api.polling.sampling import Sampling
from airflow_provider_schedulerx.api.polling.singles import SinglePolls

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import Scope
    from airflow_provider_schedulerx.api.polling.budgets import AccountBudget, BudgetedTransport
    from airflow_provider_schedulerx.api.runs.kinds import RunKind


class Following:
    """Begins to poll when the first run is subscribed to, or the lists are observed.

    :ivar runs: who waits for what.
    """

    def __init__(
        self,
        kind: RunKind,
        scope: Scope,
        definition_id: int,
        transport: BudgetedTransport,
        budget: AccountBudget,
    ) -> None:
        list_budget, get_budget = budget.of(kind.list_operation.name), budget.of(kind.get_operation.name)
        self.runs: FollowedRuns = FollowedRuns(list_budget, get_budget)
        definition = PolledDefinition(
            kind, scope, definition_id, self.runs, transport, list_budget, get_budget
        )
        self.details: Details = Details(definition)
        self.sampling: Sampling = Sampling(definition)
        self.listing: Listing = Listing(definition, self.details, self.sampling)
        self.singles: SinglePolls = SinglePolls(definition)
        schedule = self.runs.schedule
        schedule.on_list_due, schedule.singles.on_earlier = self.listing.wake, self.singles.wake

    def end(self) -> set[asyncio.Task[None]]:
        """Forget all runs and observers.

        :return: the tasks that end now.
        """
        loops = (self.details, self.sampling, self.listing, self.singles)
        tasks = set().union(*(loop.cancel() for loop in loops))
        self.runs.clear()
        return tasks
