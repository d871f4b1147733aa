"""Looks for the run of a service time in the lists of its workflow, poke by poke."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import SchedulerXError, SchedulerXNotFoundError
from airflow_provider_schedulerx.exceptions import RunNotFollowableError, RunSensorError
from airflow_provider_schedulerx.hooks.report import FaultLog

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.kinds import RunKind, RunSummary
    from airflow_provider_schedulerx.api.runs.scheduled import WantedTime
    from airflow_provider_schedulerx.api.runs.tracking import RunTracker


class RunSearch:
    """A search over several lists.

    :param wanted: which run.
    :param log: a logger.
    :ivar reach: what the last list showed, in a sentence; empty before the first.
    """

    def __init__(self, kind: RunKind, definition_id: int, wanted: WantedTime, log: Any) -> None:
        self._kind = kind
        self._what = f"{kind.definition_noun} {definition_id}"
        self._wanted = wanted
        self._log = log
        self._faults = FaultLog(log, f"the list of runs of {self._what}")
        self._began = time.monotonic()
        self.reach: str = ""

    def look(
        self, listed: Callable[[], Sequence[RunSummary]], tracker: RunTracker, waited: float
    ) -> int | None:
        """Look once.

        :param listed: lists the runs.
        :param tracker: says for how long lists may fail.
        :param waited: seconds since the first look of another process.
        :return: the id of the run, or None if there is none yet.
        :raises RunNotFollowableError: if there will be none.
        :raises RunSensorError: if the runs can no longer be listed.
        """
        try:
            runs = listed()
        except SchedulerXError as error:
            # Unlike a run, a workflow that does not exist will not appear later.
            final = isinstance(error, SchedulerXNotFoundError)
            if final or not tracker.observe_failure(error, time.monotonic()):
                raise (RunNotFollowableError if final else RunSensorError)(
                    f"The search for the run of {self._what} with {self._wanted} has failed: {error}"
                ) from None
            self._faults.failed(error)
            self.reach = f"its runs cannot be listed: {error}"
            return None
        self._faults.succeeded()
        tracker.observe_answer()
        seen = api.scheduled.search(self._wanted, runs)
        if seen.found is not None:
            self._log.info("%s", api.scheduled.found_message(self._wanted, seen, self._kind.instance_noun))
            return seen.found.instance_id
        if seen.reach != self.reach:
            self.reach = seen.reach
            self._log.info("There is no run with %s yet: %s", self._wanted, self.reach)
        # It may be listed late.
        if seen.is_beyond and max(waited, time.monotonic() - self._began) > api.tracking.SETTLING_SECONDS:
            raise self.beyond(self.reach)
        return None

    def beyond(self, reach: str) -> RunNotFollowableError:
        """Return the error for a run that no list will show."""
        return RunNotFollowableError(
            f"No run of {self._what} with {self._wanted} is listed: {reach}. Wait for a newer run, or give the sensor this run's "
            f"{self._kind.instance_field}"
        )

    def not_found(self) -> str:
        """Say that time is up."""
        return f"no run of {self._what} with {self._wanted} was found: {self.reach or 'its runs were never listed'}"
