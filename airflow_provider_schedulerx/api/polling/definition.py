"""What the loops of one definition, that is of one workflow or job, share."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.polling.budgets import BudgetedTransport
from airflow_provider_schedulerx.api.polling.rate_limit import RateLimiter
from airflow_provider_schedulerx.api.polling.runs import FollowedRuns
from airflow_provider_schedulerx.api.polling.subscriptions import FollowedRun
from airflow_provider_schedulerx.api.runs.kinds import Run, RunKind
from airflow_provider_schedulerx.api.wire.calls import Call


@dataclass(frozen=True)
class PolledDefinition:
    """A workflow or job, its runs that are followed, and what asks for them."""

    kind: RunKind
    scope: Scope
    definition_id: int
    runs: FollowedRuns
    transport: BudgetedTransport
    list_budget: RateLimiter
    get_budget: RateLimiter

    def get_call(self, run: FollowedRun) -> Call[Run]:
        """The poll of a run; kept with it, since a call is encoded only once."""
        if run.call is None:
            run.call = self.kind.get_call(self.scope, self.definition_id, run.instance_id)
        return run.call

    @property
    def label(self) -> str:
        """What a log line calls it: ``workflow 101``."""
        return f"{self.kind.definition_noun} {self.definition_id}"
