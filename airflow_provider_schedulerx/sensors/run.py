"""Base of the sensors that wait for the end of a run, whatever kind of run it is."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_schedulerx import api, version_compat
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXConfigurationError,
    SchedulerXError,
    SchedulerXNotFoundError,
)
from airflow_provider_schedulerx.api.parameters import (
    MIN_POLL_INTERVAL,
    check_count,
    check_flag,
    check_seconds,
)
from airflow_provider_schedulerx.base import ScopedOperator, is_of_another_try
from airflow_provider_schedulerx.exceptions import (
    RunFailedError,
    RunNotFollowableError,
    RunSensorError,
    raise_unless_successful,
)
from airflow_provider_schedulerx.hooks.definitions import definition_id_of
from airflow_provider_schedulerx.hooks.report import (
    DEFAULT_LOG_LINES,
    FaultLog,
    learn_secrets,
    log_run_summary,
    with_nodes,
)
from airflow_provider_schedulerx.hooks.runs import RunCalls
from airflow_provider_schedulerx.links.schedulerx import persist_links
from airflow_provider_schedulerx.run_page.writer import NullWriter, SnapshotWriter, for_task
from airflow_provider_schedulerx.sensors.searching import RunSearch

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_schedulerx.api.runs.kinds import Run, RunKind
    from airflow_provider_schedulerx.api.runs.scheduled import WantedTime
    from airflow_provider_schedulerx.triggers.run import RunTrigger


class RunSensor(ScopedOperator, BaseSensorOperator):
    """Wait until a run that something else has started has succeeded.

    Subclasses say which run: they have the arguments that hold its ids, and document the arguments.

    :cvar kind_name: name of the kind of run.
    """

    # Not start_from_trigger, though Airflow 3.3 renders the templates of a trigger: the arguments of such a
    # trigger are fixed when the DAG is serialized, so they cannot say when this try times out. Airflow's own
    # timeout would end the task without execute_complete, hence without soft_fail and the error of a sensor,
    # and nobody would push the link.
    kind_name: ClassVar[str]
    ui_color = "#fff1df"

    def __init__(
        self,
        *,
        poke_interval: float | timedelta = 30,
        poll_failure_tolerance: float | timedelta = 600,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        log_lines_on_failure: int = DEFAULT_LOG_LINES,
        **kwargs: Any,
    ) -> None:
        interval = check_seconds("poke_interval", poke_interval, minimum=MIN_POLL_INTERVAL)
        super().__init__(poke_interval=interval, **kwargs)
        self.poll_failure_tolerance: float = check_seconds("poll_failure_tolerance", poll_failure_tolerance)
        self.deferrable: bool = check_flag("deferrable", deferrable)
        self.log_lines_on_failure: int = check_count("log_lines_on_failure", log_lines_on_failure)
        self._snapshots: SnapshotWriter = NullWriter()
        #: What is run, once that is known, and which run is followed.
        self._definition_id = 0
        self._followed: int | None = None
        self._search: RunSearch | None = None

    # Which run.

    @property
    def kind(self) -> RunKind:
        """Whether this waits for a run of a workflow or of a job."""
        return api.kinds.kind_named(self.kind_name)

    def definition_id(self) -> int:
        """Return the id of what is run, checked, or looked up by its name.

        :raises SchedulerXError: if there is none.
        """
        return definition_id_of(self.kind, self, self.run_calls)

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

    @abstractmethod
    def trigger_class(self) -> type[RunTrigger]:
        """Return what waits for such a run in the triggerer; imported only here."""

    @cached_property
    def run_calls(self) -> RunCalls:
        """The calls of the service about the run."""
        return RunCalls(self.hook, self.kind)

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
        began = version_compat.first_reschedule_date(context) if self.reschedule else None
        return 0.0 if began is None else max(0.0, (datetime.now(UTC) - began).total_seconds())

    def execute(self, context: Context) -> Any:
        """Wait here or, if deferrable, in the triggerer.

        :return: the id of the run.
        :raises RunFailedError: if the run has failed.
        :raises RunNotFollowableError: if no retry can follow it either: see there.
        :raises RunSensorError: if it can no longer be followed.
        """
        try:
            return self._wait(context)
        except (RunFailedError, RunSensorError) as error:
            # After a deferral Airflow does this for every error; before, only for some.
            if self.soft_fail or getattr(self, "never_fail", False):
                raise AirflowSkipException(f"Skipped because of soft_fail: {error}") from error
            raise

    def _wait(self, context: Context) -> Any:
        self._definition_id, self._followed, self._search = 0, None, None
        if self.deferrable:
            deadline = time.time() + self.timeout
            self._identify_before(deadline, context)
            return self._wait_deferred(context, deadline)
        try:
            return super().execute(context)
        except AirflowSensorTimeout as error:
            if self._search is None or self._followed is not None:
                raise
            raise AirflowSensorTimeout(f"{error}; {self._search.not_found()}") from None

    def _identify_before(self, deadline: float, context: Context) -> None:
        """Do :meth:`_identify` until it is done."""
        while not self._identify(context):
            left = deadline - time.time()
            if left <= 0:
                raise AirflowSensorTimeout(
                    f"{api.tracking.sentence(self._named())} could not be looked up within timeout={self.timeout:g} s"
                )
            time.sleep(min(float(self.poke_interval), left))

    def _named(self) -> str:
        name = getattr(self, self.kind.name_argument)
        return f"the {self.kind.definition_noun} named {name!r}"

    def _identify(self, context: Context) -> bool:
        """Find out which run to wait for, or begin to search for it.

        :return: False if a passing fault has kept its name from being looked up.
        """
        with _configuration_faults_are_final():
            wanted = self.wanted_time()
            instance_id = None if wanted is not None else self.instance_id()
            # The connection first, so that its faults are not reported as faults of the link or the name.
            _ = self.hook.settings
        try:
            with _configuration_faults_are_final():
                self._definition_id = self.definition_id()
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
        return True

    def _follow(self, context: Context, instance_id: int) -> None:
        """Follow a run from now on."""
        self._followed = instance_id
        if self._search is not None:
            context["ti"].xcom_push(key=self.kind.instance_field, value=instance_id)
        persist_links(context, self.hook, self.kind, self._definition_id, instance_id, log=self.log)
        self._snapshots = for_task(context["ti"], self.log)

    def _wait_deferred(self, context: Context, deadline: float) -> Any:
        """Poll once here, then wait in the triggerer, whose calls keep to a budget.

        A run that has ended already never defers.
        """
        from airflow_provider_schedulerx.triggers.run import DEFERRAL_MARGIN

        limit = timedelta(seconds=max(0.0, deadline - time.time()) + DEFERRAL_MARGIN)
        definition_id, try_number = self._definition_id, getattr(context["ti"], "try_number", None)
        if self._followed is None:
            self._look_for_it(context, self.hook.single_try_transport.perform)
        if self._followed is None:
            from airflow_provider_schedulerx.triggers.scheduled import ScheduledRunTrigger

            self.defer(
                trigger=ScheduledRunTrigger.from_task(
                    self,
                    definition_id=definition_id,
                    wanted=cast("WantedTime", self.wanted_time()),
                    deadline=deadline,
                ),
                method_name="execute_found",
                kwargs={"definition_id": definition_id, "deadline": deadline, "try_number": try_number},
                timeout=limit,
            )
        instance_id = self._followed
        if done := self._take(lambda: self._poll_once(definition_id, instance_id)):
            return done.xcom_value
        self.defer(
            trigger=self.trigger_class().from_task(
                self,
                definition_id=definition_id,
                instance_id=instance_id,
                poll_interval=max(1.0, float(self.poke_interval)),
                deadline=deadline,
                cancel_on_kill=False,
            ),
            method_name="execute_complete",
            kwargs={"definition_id": definition_id, "instance_id": instance_id, "try_number": try_number},
            timeout=limit,
        )

    def _look_for_it(self, context: Context, perform: Callable[[Any], Any]) -> None:
        """Look once for the run of the service time."""
        search, call = self._search, self.kind.list_call(self.hook.scope, self._definition_id)
        waited = self._waited(context)
        with _configuration_faults_are_final():
            found = cast("RunSearch", search).look(lambda: perform(call), self._tracker_after(waited), waited)
        if found is not None:
            self._follow(context, found)

    def execute_found(
        self,
        context: Context,
        event: Any = None,
        definition_id: int | None = None,
        deadline: float = 0.0,
        try_number: int | None = None,
    ) -> Any:
        """Continue once the triggerer has found the run, or not.

        :param event: of :class:`~airflow_provider_schedulerx.triggers.scheduled.ScheduledRunTrigger`.
        :param definition_id: as it was before the deferral; ``dag.test()`` of Airflow 2.11 loses this and the next one.
        :param deadline: epoch seconds at which the sensor times out.
        :param try_number: that has deferred.
        :return: the id of the run.
        :raises AirflowSensorTimeout: if ``timeout`` has passed.
        :raises RunFailedError: if the run has failed.
        :raises RunNotFollowableError: if no list will show the run.
        :raises RunSensorError: if the runs can no longer be listed.
        """
        if is_of_another_try(context, try_number):
            return self._begin_anew(context, try_number)
        if definition_id is None:
            deadline = time.time() + self.timeout
            self._identify_before(deadline, context)
        else:
            self._definition_id = definition_id
        with _configuration_faults_are_final():
            wanted = cast("WantedTime", self.wanted_time())
        search = self._search = RunSearch(self.kind, self._definition_id, wanted, self.log)
        try:
            ended = api.scheduled.SearchEvent.parse(event, definition_id=self._definition_id)
        except api.scheduled.MalformedSearchEventError as error:
            raise RunSensorError(f"The trigger's event cannot be used: {error}") from None
        search.reach = ended.message
        if ended.outcome is api.scheduled.SearchOutcome.TIMEOUT:
            raise AirflowSensorTimeout(f"Timed out after timeout={self.timeout:g} s: {search.not_found()}")
        if ended.outcome is api.scheduled.SearchOutcome.BEYOND:
            raise search.beyond(ended.message)
        if ended.instance_id is None:
            raise RunSensorError(
                f"The search for the run with {wanted} has ended without a result: {ended.message}"
            )
        self.log.info("%s", ended.message)
        self._follow(context, ended.instance_id)
        return self._wait_deferred(context, deadline)

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
            self._look_for_it(context, self.hook.get_conn().perform)
        if self._followed is None:
            return PokeReturnValue(is_done=False)
        instance_id = self._followed
        return self._take(lambda: self.run_calls.get(self._definition_id, instance_id), self._waited(context))

    def _poll_once(self, definition_id: int, instance_id: int) -> Run:
        """Poll in one try: a passing fault is the triggerer's to wait out."""
        call = self.kind.get_call(self.hook.scope, definition_id, instance_id)
        return self.hook.single_try_transport.perform(call)

    def _take(self, poll: Callable[[], Run], waited: float = 0.0) -> PokeReturnValue:
        """Poll, and decide.

        :param waited: see :meth:`_waited`.
        """
        tracker = self._tracker_after(waited)
        try:
            with _configuration_faults_are_final():
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

    def execute_complete(
        self,
        context: Context,
        event: Any = None,
        definition_id: int | None = None,
        instance_id: int | None = None,
        try_number: int | None = None,
    ) -> Any:
        """Finish after the wait in the triggerer, exactly as if the sensor had waited on a worker.

        :param event: of the trigger.
        :param definition_id: as it was at the first poll. ``dag.test()`` of Airflow 2.11 loses this and the
            next one; then the sensor's own are taken.
        :param instance_id: the run that was deferred for.
        :param try_number: that has deferred.
        :return: the id of the run.
        :raises AirflowSensorTimeout: if ``timeout`` has passed.
        :raises RunFailedError: if the run has failed.
        :raises RunNotFollowableError: if no retry can follow it either: see there.
        :raises RunSensorError: if it can no longer be followed.
        """
        if is_of_another_try(context, try_number):
            return self._begin_anew(context, try_number)
        with _configuration_faults_are_final():
            if definition_id is None:
                definition_id = self.definition_id()
            if instance_id is None:
                instance_id = self.instance_id() if self.wanted_time() is None else self._pulled(context)
        try:
            ended = api.events.TerminalEvent.parse(
                event,
                self.kind,
                definition_id=definition_id,
                instance_id=instance_id,
            )
        except api.events.MalformedEventError as error:
            raise RunSensorError(f"The trigger's event cannot be used: {error}") from None
        if ended.outcome is api.events.Outcome.TIMEOUT:
            raise AirflowSensorTimeout(
                f"{self._title(instance_id)} has not ended within timeout={self.timeout:g} s ({ended.message})"
            )
        if ended.run is None:
            raise self._after_trigger_gave_up(definition_id, instance_id)(
                f"{self._title(instance_id)} can no longer be followed: {ended.message}"
            )
        self._snapshots = for_task(context["ti"], self.log)
        self._finish(ended.run)
        return instance_id

    def _begin_anew(self, context: Context, try_number: int | None) -> Any:
        self.log.info("The event belongs to try %s, so this try starts from the beginning", try_number)
        return self._wait(context)

    def _pulled(self, context: Context) -> int:
        """The run that was found, as it was published."""
        ti = context["ti"]
        return int(ti.xcom_pull(task_ids=ti.task_id, key=self.kind.instance_field, map_indexes=ti.map_index))

    def _after_trigger_gave_up(self, definition_id: int, instance_id: int) -> type[RunSensorError]:
        """Look once more, since the trigger's event does not say whether a retry can change anything."""
        try:
            self._poll_once(definition_id, instance_id)
        except (SchedulerXConfigurationError, SchedulerXNotFoundError):
            return RunNotFollowableError
        except Exception as error:
            self.log.warning("%s cannot be polled: %s", self._title(instance_id), error)
        return RunSensorError

    def _finish(self, run: Run) -> PokeReturnValue:
        learn_secrets(self.hook)
        run = with_nodes(self.run_calls, run, self.log)
        self._snapshots.observe(run)
        log_run_summary(self.hook, run, self.log, self.log_lines_on_failure)
        raise_unless_successful(run)
        return PokeReturnValue(is_done=True, xcom_value=run.instance_id)


@contextmanager
def _configuration_faults_are_final() -> Iterator[None]:
    try:
        yield
    except SchedulerXConfigurationError as error:
        raise RunNotFollowableError(str(error)) from None
