"""Polls of single runs: those the list does not show, or all of them where listing is no use."""

from __future__ import annotations

from airflow_provider_schedulerx.api.exceptions import SchedulerXError
from airflow_provider_schedulerx.api.polling.congestion import now
from airflow_provider_schedulerx.api.polling.loop import Loop
from airflow_provider_schedulerx.api.polling.rate_limit import Permit
from airflow_provider_schedulerx.api.polling.subscriptions import FollowedRun, Observation, Place


class SinglePolls(Loop):
    """Polls runs one by one, the most overdue first. A slow answer holds up nobody else."""

    async def step(self) -> None:
        self._wake.clear()
        definition, budget = self._definition, self._definition.get_budget
        schedule = definition.runs.schedule
        if schedule.singles.due_at > now():
            again = now() + schedule.catch_up(Place.SINGLE)
            await self._sleep_until(min(schedule.singles.due_at, again))
            return
        permit = await budget.acquire(promised_at=lambda: schedule.singles.promised_at)
        run = schedule.singles.pop()
        if run is None:
            budget.give_back(permit)
        elif schedule.is_list_shared and schedule.uses_list(run):
            # It is no longer the only run, or listing was refused for a while.
            budget.give_back(permit)
            schedule.plan(run, now())
        else:
            self._spawn(self._poll(run, permit))

    async def _poll(self, run: FollowedRun, permit: Permit) -> None:
        poll = self._definition.runs.next_poll()
        observation: Observation
        try:
            observation = await self._definition.transport.perform_permitted(
                self._definition.get_call(run), permit
            )
        except SchedulerXError as error:
            observation = error
        self._definition.runs.publish(run, observation, poll)
