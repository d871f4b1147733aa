"""Stops of runs whose task a user has ended, in the triggerer: inside the budget, before polls, and to the end.

A user who ends 150 tasks at once asks for more calls than a minute has, and Airflow waits only half a minute for
``on_kill``. So a stop outlives its trigger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAuthenticationError,
    SchedulerXConfigurationError,
    SchedulerXError,
)
from airflow_provider_schedulerx.api.polling.reporting import Metric, report
from airflow_provider_schedulerx.triggers.settings import has_changed, read_settings
from airflow_provider_schedulerx.version_compat import kills

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
    from airflow_provider_schedulerx.api.polling.poller import RunPoller
    from airflow_provider_schedulerx.api.wire.calls import Call

#: Seconds after which a stop is given up, and for which its last poll may wait for the quota then, as those of a crowd do.
_GIVE_UP, _LAST_POLL = 3600.0, 300.0
#: Seconds between two tries to read the connection or to open a session.
_PAUSE = 5.0
#: How often the state of a task is asked for, if it cannot be fetched, and the seconds between.
_STATE_TRIES, _STATE_PAUSE = 5, 2.0

#: Stops under way. An event loop holds its tasks only weakly, and Airflow drops the trigger.
_stopping: set[asyncio.Task[None]] = set()


class _ConnectionChangedError(Exception):
    """The connection has another key now."""


def stop_in_background(trigger: Any) -> asyncio.Task[None]:
    """Begin to stop the run of a trigger, unless its task still waits.

    In the trigger's own context: its lines belong to the log of its task while that is open, and Airflow writes them
    to the triggerer's log afterwards.
    """
    stopping = asyncio.create_task(
        _stop(trigger), name=f"schedulerx-stop-{trigger.definition_id}-{trigger.instance_id}"
    )
    _stopping.add(stopping)
    stopping.add_done_callback(_stopping.discard)
    return stopping


async def _stop(trigger: Any) -> None:
    # Before Airflow 3.3, the trigger has asked itself.
    if kills.triggers_are_told_of_kills() and await task_waits(trigger):
        trigger.log.info("%s keeps running: its task still sees to it", api.tracking.sentence(trigger.label))
        return
    trigger.log.info("Stopping %s", trigger.label)
    try:
        why = await _try_to_stop(trigger)
    except asyncio.CancelledError:
        _give_up(trigger, "the triggerer is shutting down")
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
    if why is not None:
        _give_up(trigger, why)


async def task_waits(trigger: Any) -> bool:
    """Return whether a trigger was cancelled though no user has ended its task.

    Its triggerer is shutting down, or another one has taken it: two triggerers that take up new triggers at the same
    moment both run them until each looks whose they are, and one that was not heard of for a while loses all of its.
    That other one may have given the run back to the task since.
    """
    if trigger.task_instance is None:
        return False
    # What Airflow has told is believed, unless the state says otherwise. Else the state must say that it was a user.
    is_told = kills.triggers_are_told_of_kills()
    fault = ""
    for _ in range(_STATE_TRIES):
        try:
            waits = await kills.still_waits(
                trigger.task_instance,
                trigger.kind.instance_field,
                trigger.instance_id,
                # What this one has said itself came too late: a user was faster than its event.
                None if trigger.has_given_back else trigger.deferred_at,
            )
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
            await asyncio.sleep(_STATE_PAUSE)
        else:
            return waits or (waits is None and not is_told)
    trigger.log.warning(
        "Airflow does not say whether a user has ended the task (%s), so its run %s",
        fault,
        "is stopped" if is_told else "keeps running",
    )
    return not is_told


async def _try_to_stop(trigger: Any) -> str | None:
    """Stop the run of a trigger.

    :return: why that was given up; None if the run has ended.
    """
    # The loop's clock for all of it: it does not go backwards either.
    until = asyncio.get_running_loop().time() + _GIVE_UP
    try:
        # Whatever its calls wait for: where all are throttled, those of a crowd would wait for days.
        async with asyncio.timeout_at(until + _LAST_POLL) as limit:
            return await _stop_until(trigger, until)
    except TimeoutError:
        if not limit.expired():
            raise
        return "its calls still wait for the quota"


async def _stop_until(trigger: Any, until: float) -> str | None:
    clock = asyncio.get_running_loop().time
    while True:
        try:
            settings = await read_settings(trigger)
            async with api.poller.shared_poller(settings, trigger.kind, trigger.definition_id) as poller:
                recipe = api.stopping.stop_recipe(
                    trigger.kind,
                    settings.scope,
                    trigger.definition_id,
                    trigger.instance_id,
                    timeout=until - clock(),
                    log=trigger.log,
                )
                last = await api.recipes.adrive(recipe, _performing(trigger, settings, poller), clock=clock)
        except _ConnectionChangedError:
            continue
        except SchedulerXError as error:
            if isinstance(error, SchedulerXConfigurationError) or clock() > until:
                return str(error)
            await asyncio.sleep(_PAUSE)
            continue
        if last is None:
            return "it could not be polled"
        return None if api.tracking.is_over(last) else f"it is still {last.status.name}"


def _performing(
    trigger: Any, settings: SchedulerXSettings, poller: RunPoller
) -> Callable[[Call[Any]], Awaitable[Any]]:
    """Return what carries out the calls of a stop, and ends it if its key was rotated."""

    async def perform(call: Call[Any]) -> Any:
        try:
            return await poller.perform(call)
        except SchedulerXAuthenticationError:
            # Not from amidst a batch: each round begins with a poll.
            if call.operation is trigger.kind.get_operation and await has_changed(trigger, settings):
                raise _ConnectionChangedError from None
            raise

    return perform


def _give_up(trigger: Any, why: str) -> None:
    trigger.log.error(
        "Gave up stopping %s of %s %s: %s. Stop it in the SchedulerX console",
        trigger.label,
        trigger.kind.definition_noun,
        trigger.definition_id,
        why,
    )
    report(Metric.STOPS_GIVEN_UP)
