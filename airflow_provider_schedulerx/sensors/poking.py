"""How a sensor waits for the end of a run on a worker, poke by poke, whatever kind of run it is."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXConfigurationError,
    SchedulerXError,
    SchedulerXNotFoundError,
)
from airflow_provider_schedulerx.api.parameters import (
    MIN_POLL_INTERVAL,
    check_count,
    check_seconds,
)
from airflow_provider_schedulerx.base import ScopedOperator
from airflow_provider_schedulerx.exceptions import (
    RunFailedError,
    RunNotFollowableError,
    RunSensorError,
    raise_unless_successful,
)
from airflow_provider_schedulerx.hooks.kinds import RunTaskMixin
from airflow_provider_schedulerx.hooks.report import (
    DEFAULT_LOG_LINES,
    FaultLog,
    learn_secrets,
    log_run_summary,
)
from airflow_provider_schedulerx.links.schedulerx import persist_links
from airflow_provider_schedulerx.run_page.writer import NullWriter, SnapshotWriter, for_task
from airflow_provider_schedulerx.sensors.memory import PokeMemory
from airflow_provider_schedulerx.sensors.searching import RunSearch
from airflow_provider_schedulerx.version_compat import deferrals

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_schedulerx.api.runs.kinds import Run
    from airflow_provider_schedulerx.api.runs.scheduled import WantedTime
    from airflow_provider_schedulerx.hooks.runs import RunCalls


class PokingRunSensor(RunTaskMixin, ScopedOperator, BaseSensorOperator):
    """Wait on a worker until a run that something else has started has succeeded."""

    ui_color = "#fff1df"

    def __init__(
        self,
        *,
        poke_interval: float | timedelta = 30,
        poll_failure_tolerance: float | timedelta = 600,
        log_lines_on_failure: int = DEFAULT_LOG_LINES,
        **kwargs: Any,
    ) -> None:
        interval = check_seconds("poke_interval", poke_interval, minimum=MIN_POLL_INTERVAL)
        super().__init__(poke_interval=interval, **kwargs)
        self.poll_failure_tolerance: float = check_seconds("poll_failure_tolerance", poll_failure_tolerance)
        self.log_lines_on_failure: int = check_count("log_lines_on_failure", log_lines_on_failure)
        self._snapshots: SnapshotWriter = NullWriter()
        #: What is run, once that is known, and which run is followed.
        self._definition_id = 0
        self._followed: int | None = None
        self._search: RunSearch | None = None
        self._memory: PokeMemory | None = None
        #: When the sensor times out, by the monotonic clock.
        self._ends_at = float("inf")

    # Which run.

    @abstractmethod
    def instance_id(self) -> int:
        """Return the id of the run, checked.

        :raises SchedulerXError: if there is none.
        """

    def wanted_time(self) -> WantedTime | None:
        """Return the service time of the run to wait for, checked; None if its id is given.

        :raises SchedulerXConfigurationError: if that cannot be a time.
        """
        return None

    @cached_property
    def run_calls(self) -> RunCalls:
        """The calls of the service about the run, which a poke repeats until the sensor times out, at most."""
        calls = super().run_calls
        calls.limit_to(lambda: self._ends_at - time.monotonic(), time.sleep)
        return calls

    def _label(self, instance_id: int | None) -> str:
        """What a sentence calls the run."""
        return f"{self.kind.instance_noun} {instance_id}"

    @cached_property
    def _faults(self) -> FaultLog:
        return FaultLog(self.log, self._label(self._followed))

    def _title(self, instance_id: int | None) -> str:
        return api.tracking.sentence(self._label(instance_id))

    # A poll.

    @cached_property
    def _tracker(self) -> api.tracking.RunTracker:
        return api.tracking.RunTracker(self.poll_failure_tolerance)

    def _tracker_after(self, waited: float) -> api.tracking.RunTracker:
        """Return what judges a poll made ``waited`` seconds after the first, which another process made."""
        if not self.reschedule:
            return self._tracker
        # It cannot know for how long polls have failed, but how much of the settling time is left.
        return api.tracking.RunTracker(float("inf"), api.tracking.SETTLING_SECONDS - waited)

    def _waited(self, context: Context) -> float:
        """Seconds since the first poke, in mode ``reschedule``; 0 in others, and for the first."""
        began = deferrals.first_reschedule_date(context) if self.reschedule else None
        return 0.0 if began is None else max(0.0, (datetime.now(UTC) - began).total_seconds())

    def execute(self, context: Context) -> Any:
        """Wait here or, if deferrable, in the triggerer.

        :return: the id of the run.
        :raises RunFailedError: if the run has failed.
        :raises RunNotFollowableError: if no retry can follow it either: see there.
        :raises RunSensorError: if it can no longer be followed.
        """
        with self._skipping_softly():
            return self._wait(context)

    @contextmanager
    def _skipping_softly(self) -> Iterator[None]:
        try:
            yield
        except (RunFailedError, RunSensorError) as error:
            # After a deferral Airflow does this for every error; before, only for some.
            if self.soft_fail or getattr(self, "never_fail", False):
                raise AirflowSkipException(f"Skipped because of soft_fail: {error}") from error
            raise

    def _wait(self, context: Context) -> Any:
        self._definition_id, self._followed, self._search = 0, None, None
        self._ends_at = time.monotonic() + self.timeout - self._waited(context)
        try:
            with deferrals.rescheduling_late_enough():
                return super().execute(context)
        except AirflowSensorTimeout as error:
            if self._search is None or self._followed is not None:
                raise
            raise AirflowSensorTimeout(f"{error}; {self._search.not_found()}") from None

    def _named(self) -> str:
        name = getattr(self, self.kind.name_argument)
        return f"the {self.kind.definition_noun} named {name!r}"

    def _identify(self, context: Context, definition_id: int | None = None) -> bool:
        """Find out which run to wait for, or begin to search for it.

        :param definition_id: of what is run, if that is known already.
        :return: False if a passing fault has kept the connection, or the name, from being looked up.
        """
        with configuration_faults_are_final():
            wanted = self.wanted_time()
            instance_id = None if wanted is not None else self.instance_id()
            if not self._find_connection(context):
                return False
        known = self._remembered(context, wanted)
        try:
            with configuration_faults_are_final():
                definition_id = definition_id or (known.definition_id if known else None)
                self._definition_id = definition_id or self.definition_id()
        except SchedulerXNotFoundError as error:
            raise RunNotFollowableError(str(error)) from None
        except SchedulerXError as error:
            tracker = self._tracker_after(self._waited(context))
            if not tracker.observe_failure(error, time.monotonic()):
                raise RunSensorError(
                    f"{api.tracking.sentence(self._named())} can no longer be looked up: {error}"
                ) from None
            self.log.warning("%s could not be looked up: %s", api.tracking.sentence(self._named()), error)
            return False
        self._tracker.observe_answer()
        if wanted is None:
            self._follow(context, cast("int", instance_id))
        else:
            self._search = RunSearch(self.kind, self._definition_id, wanted, self.log)
            if known is not None and known.instance_id is not None:
                self._follow(context, known.instance_id)
        if known is not None:
            known.save(self._definition_id, known.instance_id)
        return True

    def _find_connection(self, context: Context) -> bool:
        """Look the connection up: before all else, so that its faults are not reported as those of the link or the name.

        :return: False if it cannot be, though an earlier poke could; in mode ``reschedule`` each poke needs it anew.
        """
        try:
            _ = self.hook.settings
        except SchedulerXConfigurationError:
            raise
        except Exception as error:
            if not self._waited(context):
                raise
            self.log.warning(
                "The connection %r could not be looked up: %s: %s",
                self.schedulerx_conn_id,
                type(error).__name__,
                error,
            )
            return False
        return True

    def _remembered(self, context: Context, wanted: WantedTime | None) -> PokeMemory | None:
        """Return what earlier pokes have found; None if there is nothing to find, or another process need not know it."""
        name = getattr(self, self.kind.name_argument)
        if not self.reschedule or (name is None and wanted is None):
            return None
        what = name or getattr(self, self.kind.definition_argument)
        asked = [f"{self.schedulerx_conn_id} {self.hook.scope}", str(what), str(wanted)]
        self._memory = PokeMemory(context, asked, self.log)
        return self._memory

    def _follow(self, context: Context, instance_id: int) -> None:
        """Follow a run from now on."""
        self._followed = instance_id
        if self._search is not None:
            context["ti"].xcom_push(key=self.kind.instance_field, value=instance_id)
        persist_links(context, self.hook, self.kind, self._definition_id, instance_id, log=self.log)
        self._snapshots = for_task(context["ti"], self.log)

    def _look_for_it(self, context: Context, perform: Callable[[Any], Any]) -> None:
        """Look once for the run of the service time."""
        search, call = self._search, self.kind.list_call(self.hook.scope, self._definition_id)
        waited = self._waited(context)
        with configuration_faults_are_final():
            found = cast("RunSearch", search).look(lambda: perform(call), self._tracker_after(waited), waited)
        if found is not None:
            if self._memory is not None:
                self._memory.save(self._definition_id, found)
            self._follow(context, found)

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll once.

        :return: whether the run has succeeded, with its id then.
        :raises RunFailedError: if the run has failed.
        :raises RunNotFollowableError: if no retry can follow it either: see there.
        :raises RunSensorError: if it can no longer be followed.
        """
        if self._definition_id == 0 and not self._identify(context):
            return PokeReturnValue(is_done=False)
        if self._followed is None:
            self._look_for_it(context, self.run_calls.perform)
        if self._followed is None:
            return PokeReturnValue(is_done=False)
        instance_id = self._followed
        return self._take(lambda: self.run_calls.get(self._definition_id, instance_id), self._waited(context))

    def _take(
        self, poll: Callable[[], Run], waited: float = 0.0, *, is_before_deferral: bool = False
    ) -> PokeReturnValue:
        """Poll, and decide.

        :param waited: see :meth:`_waited`.
        :param is_before_deferral: whether a run that has not ended is polled by the triggerer next, whose log says how it is.
        """
        tracker = self._tracker_after(waited)
        try:
            with configuration_faults_are_final():
                run = poll()
        except SchedulerXError as error:
            if not tracker.observe_failure(error, time.monotonic()):
                is_final = isinstance(error, SchedulerXNotFoundError)
                kind = RunNotFollowableError if is_final else RunSensorError
                raise kind(f"{self._title(self._followed)} can no longer be followed: {error}") from None
            self._faults.failed(error)
            return PokeReturnValue(is_done=False)
        self._faults.succeeded()
        self._snapshots.observe(run)
        verdict, lines = tracker.observe(run, time.monotonic())
        if is_before_deferral and verdict is api.tracking.Verdict.ACTIVE:
            return PokeReturnValue(is_done=False)
        for line in lines:
            self.log.info("%s", line)
        if verdict is api.tracking.Verdict.UNDECIDED:
            raise RunSensorError(
                f"{api.tracking.sentence(run.label)} shows the status {run.status.value}, which is not documented"
            )
        # Polls in a row that show a status outside the documented ones cannot be counted across processes.
        # A run that has certainly failed does not recover, so one poll is enough.
        is_certain = waited > api.tracking.SETTLING_SECONDS and api.tracking.has_failed(run)
        if verdict is api.tracking.Verdict.ACTIVE and not is_certain:
            return PokeReturnValue(is_done=False)
        return self._finish(run)

    def _finish(self, run: Run) -> PokeReturnValue:
        learn_secrets(self.hook)
        self._snapshots.observe(run)
        log_run_summary(self.hook, run, self.log, self.log_lines_on_failure)
        raise_unless_successful(run)
        return PokeReturnValue(is_done=True, xcom_value=run.instance_id)


@contextmanager
def configuration_faults_are_final() -> Iterator[None]:
    """Fail without a retry if a field or an argument cannot be used."""
    try:
        yield
    except SchedulerXConfigurationError as error:
        raise RunNotFollowableError(str(error)) from None
