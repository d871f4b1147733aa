"""Base of the sensors that wait for the end of a run, on a worker or in the triggerer, whatever kind of run it is."""

from __future__ import annotations

import time
from abc import abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, cast

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, conf

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError, SchedulerXNotFoundError
from airflow_provider_schedulerx.api.parameters import check_flag
from airflow_provider_schedulerx.exceptions import RunNotFollowableError, RunSensorError
from airflow_provider_schedulerx.hooks.definitions import definition_id_of
from airflow_provider_schedulerx.hooks.report import is_active_again, learn_secrets, with_nodes
from airflow_provider_schedulerx.hooks.runs import RunCalls
from airflow_provider_schedulerx.run_page.writer import for_task
from airflow_provider_schedulerx.sensors.poking import PokingRunSensor, configuration_faults_are_final
from airflow_provider_schedulerx.sensors.searching import RunSearch
from airflow_provider_schedulerx.version_compat import deferrals

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_schedulerx.api.runs.kinds import Run
    from airflow_provider_schedulerx.api.runs.scheduled import WantedTime
    from airflow_provider_schedulerx.triggers.run import RunTrigger

#: Key under which a try that defers pushes its number to XCom, where a retry may resume with what ended the deferral.
_XCOM_TRY = "schedulerx_deferred_by"


class RunSensor(PokingRunSensor):
    """Wait until a run that something else has started has succeeded.

    Subclasses say which run: they have the arguments that hold its ids, and document the arguments.
    """

    # Not start_from_trigger, though Airflow 3.3 renders the templates of a trigger: the arguments of such a
    # trigger are fixed when the DAG is serialized, so they cannot say when this try times out. Airflow's own
    # timeout would end the task without execute_complete, hence without soft_fail and the error of a sensor,
    # and nobody would push the link.

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable: bool = check_flag("deferrable", deferrable)

    @abstractmethod
    def trigger_class(self) -> type[RunTrigger]:
        """Return what waits for such a run in the triggerer; imported only here."""

    # The first part of a try, which defers.

    def _wait(self, context: Context) -> Any:
        if not self.deferrable:
            return super()._wait(context)
        self._definition_id, self._followed, self._search = 0, None, None
        deadline = time.time() + self.timeout
        if not self._identify(context):
            self._defer_for_name(context, deadline)
        return self._wait_deferred(context, deadline)

    def definition_id(self) -> int:
        """Return the id of what is run; if its name has to be looked up, and this can defer, in one try."""
        if not self.deferrable:
            return super().definition_id()
        calls = RunCalls(self.hook, self.kind)
        calls.limit_to(lambda: 0.0, time.sleep)
        return definition_id_of(self.kind, self, calls)

    def _defer_for_name(self, context: Context, deadline: float) -> None:
        """Have the triggerer look the name up: that takes as long as a fault lasts, and needs no worker."""
        from airflow_provider_schedulerx.triggers.naming import DefinitionTrigger

        self._defer(
            context,
            deadline,
            DefinitionTrigger.from_task(self, name=getattr(self, self.kind.name_argument), deadline=deadline),
            "execute_named",
        )

    def _wait_deferred(self, context: Context, deadline: float) -> Any:
        """Poll once here, then wait in the triggerer, whose calls keep to a budget.

        A run that has ended already never defers.
        """
        definition_id = self._definition_id
        if self._followed is None:
            self._look_for_it(context, self.hook.single_try_transport.perform)
        if self._followed is None:
            from airflow_provider_schedulerx.triggers.scheduled import ScheduledRunTrigger

            searching = ScheduledRunTrigger.from_task(
                self,
                definition_id=definition_id,
                wanted=cast("WantedTime", self.wanted_time()),
                deadline=deadline,
            )
            self._defer(context, deadline, searching, "execute_found", definition_id=definition_id)
        instance_id = self._followed
        done = self._take(lambda: self._poll_once(definition_id, instance_id), is_before_deferral=True)
        if done:
            return done.xcom_value
        following = self.trigger_class().from_task(
            self,
            definition_id=definition_id,
            instance_id=instance_id,
            poll_interval=max(1.0, float(self.poke_interval)),
            deadline=deadline,
            cancel_on_kill=False,
        )
        ids = {"definition_id": definition_id, "instance_id": instance_id}
        return self._defer(context, deadline, following, "execute_complete", **ids)

    def _defer(
        self, context: Context, deadline: float, trigger: Any, method_name: str, **ids: int
    ) -> NoReturn:
        from airflow_provider_schedulerx.triggers.run import DEFERRAL_MARGIN

        try_number = getattr(context["ti"], "try_number", None)
        if deferrals.retries_resume_deferrals():
            context["ti"].xcom_push(key=_XCOM_TRY, value=try_number)
        self.defer(
            trigger=trigger,
            method_name=method_name,
            kwargs={**ids, "deadline": deadline, "try_number": try_number},
            timeout=timedelta(seconds=max(0.0, deadline - time.time()) + DEFERRAL_MARGIN),
        )

    def _poll_once(self, definition_id: int, instance_id: int) -> Run:
        """Poll in one try: a passing fault is the triggerer's to wait out."""
        call = self.kind.get_call(self.hook.scope, definition_id, instance_id)
        return self.hook.single_try_transport.perform(call)

    # The second part, with the event of the trigger.

    def execute_named(
        self,
        context: Context,
        event: Any = None,
        deadline: float | None = None,
        try_number: int | None = None,
    ) -> Any:
        """Continue once the triggerer has looked the name up, or not.

        :param event: of :class:`~airflow_provider_schedulerx.triggers.naming.DefinitionTrigger`.
        :param deadline: epoch seconds at which the sensor times out; ``dag.test()`` of Airflow 2.11 loses this.
        :param try_number: that has deferred.
        :return: the id of the run.
        :raises AirflowSensorTimeout: if ``timeout`` has passed.
        :raises RunNotFollowableError: if nothing, or more than one thing, has the name.
        :raises RunSensorError: if it can no longer be looked up.
        """
        if self._is_of_another_try(context, try_number):
            return self._wait(context)
        deadline = deadline or time.time() + self.timeout
        told: dict[str, Any] = event if isinstance(event, dict) else {}
        found = told.get("definition_id")
        # If there is none, one look more says whether a retry can change anything.
        if not self._identify(context, found if isinstance(found, int) else None):
            if time.time() >= deadline:
                raise AirflowSensorTimeout(
                    f"{api.tracking.sentence(self._named())} could not be looked up within timeout={self.timeout:g} s"
                )
            raise RunSensorError(
                f"{api.tracking.sentence(self._named())} can no longer be looked up: {told.get('message')}"
            )
        return self._wait_deferred(context, deadline)

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
        if self._is_of_another_try(context, try_number):
            return self._wait(context)
        if definition_id is None:
            deadline = time.time() + self.timeout
            definition_id = self.definition_id()
        self._definition_id = definition_id
        with configuration_faults_are_final():
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

    def execute_complete(  # noqa: PLR0917 - Airflow passes them by name
        self,
        context: Context,
        event: Any = None,
        definition_id: int | None = None,
        instance_id: int | None = None,
        deadline: float | None = None,
        try_number: int | None = None,
    ) -> Any:
        """Finish after the wait in the triggerer, exactly as if the sensor had waited on a worker.

        :param event: of the trigger.
        :param definition_id: as it was at the first poll. ``dag.test()`` of Airflow 2.11 loses this and the
            next ones; then the sensor's own are taken.
        :param instance_id: the run that was deferred for.
        :param deadline: epoch seconds at which the sensor times out.
        :param try_number: that has deferred.
        :return: the id of the run.
        :raises AirflowSensorTimeout: if ``timeout`` has passed.
        :raises RunFailedError: if the run has failed.
        :raises RunNotFollowableError: if no retry can follow it either: see there.
        :raises RunSensorError: if it can no longer be followed.
        """
        if self._is_of_another_try(context, try_number):
            return self._wait(context)
        with configuration_faults_are_final():
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
        self._definition_id, self._followed = definition_id, instance_id
        self._snapshots = for_task(context["ti"], self.log)
        learn_secrets(self.hook)
        run = with_nodes(self.run_calls, ended.run, self.log)
        if is_active_again(ended.run, run, self.log):
            return self._wait_deferred(context, deadline or time.time() + self.timeout)
        self._finish(run)
        return instance_id

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after a deferral. Where Airflow ended it without an event (``__fail__``), look at the run first.

        :return: the id of the run.
        :raises AirflowSensorTimeout: if ``timeout`` has passed while the triggerer was away, and the run has not ended.
        :raises RunFailedError: if the run has failed meanwhile.
        """
        if next_method == "__fail__":
            with self._skipping_softly():
                if self._is_of_another_try(context, _try_of_the_deferral(context)):
                    return self._wait(context)
                is_late = (next_kwargs or {}).get("error") == "Trigger timeout"
                if is_late and (ended := self._ended_meanwhile(context)) is not None:
                    return ended
        return super().resume_execution(next_method, next_kwargs, context)

    def _ended_meanwhile(self, context: Context) -> int | None:
        """Return the id of the run if it has succeeded; None if it has not ended, or could not be polled."""
        self._definition_id, self._followed, self._search = 0, None, None
        try:
            if not self._identify(context):
                return None
            if self._followed is None:
                self._look_for_it(context, self.hook.single_try_transport.perform)
            if self._followed is None:
                return None
            definition_id, instance_id = self._definition_id, self._followed
            return instance_id if self._take(lambda: self._poll_once(definition_id, instance_id)) else None
        except RunSensorError as error:
            self.log.warning("%s", error)
            return None

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


def _try_of_the_deferral(context: Context) -> int | None:
    """Return the number of the try that has deferred; None if it was not kept."""
    if not deferrals.retries_resume_deferrals():
        return None
    ti = context["ti"]
    found: int | None = ti.xcom_pull(task_ids=ti.task_id, key=_XCOM_TRY, map_indexes=ti.map_index)
    return found
