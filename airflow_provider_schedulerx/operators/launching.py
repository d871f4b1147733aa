"""How a task comes to its run: it takes up the one of an earlier try, or starts one, and never two."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAmbiguousError,
    SchedulerXAuthorizationError,
    SchedulerXError,
    SchedulerXNotFoundError,
    SchedulerXRejectedError,
    SchedulerXThrottledError,
)
from airflow_provider_schedulerx.api.parameters import (
    check_literal_id,
    check_run_marker,
    encode_instance_parameters,
    is_literal,
    with_run_marker,
)
from airflow_provider_schedulerx.exceptions import (
    RunAlreadyActiveError,
    RunFailedError,
    RunLostError,
    RunNotStartedError,
    RunUndecidedError,
)
from airflow_provider_schedulerx.metrics import count_reconciliation
from airflow_provider_schedulerx.operators.task_run import TaskRun

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_schedulerx.api.models import WorkflowInstance, WorkflowInstanceSummary
    from airflow_provider_schedulerx.api.runs.intents import StartIntent
    from airflow_provider_schedulerx.api.runs.reconciling import Age
    from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
    from airflow_provider_schedulerx.operators.run_owner import RunOwner
    from airflow_provider_schedulerx.operators.start_store import StartStore, StoredStart

OnRetry = Literal["reattach", "restart", "rerun_failed"]
IfRunning = Literal["start", "reattach", "skip", "fail"]

#: Starts in a row, each of which was not carried out, before the task gives up.
_MAX_STARTS = 3
#: Seconds by which the clocks of two machines may differ.
_CLOCK_MARGIN = 1800.0
#: Earlier runs of the task that an intent names.
_MAX_EARLIER = 20
#: Characters of a run marker.
MARKER_LENGTH = 16

_DECIDE = (
    "look at the workflow's instances in the SchedulerX console, then clear the task to start a run, or mark it as "
    "success if one is there and good"
)


def run_marker(ti: Any, key: str) -> str:
    """Return a text of :data:`MARKER_LENGTH` characters that all tries of a task instance share, and no other has.

    Clearing the task changes it, because that changes ``max_tries``.

    :param key: under which it is sent; it is part of the marker, so that two deployments of Airflow with the same DAG
        can have different ones.
    """
    parts = [getattr(ti, name, "") for name in ("dag_id", "run_id", "task_id", "map_index", "max_tries")]
    return hashlib.sha256("\0".join(map(str, [*parts, key])).encode()).hexdigest()[:MARKER_LENGTH]


def check_literals(workflow_id: Any, instance_parameters: Any, marker_key: str | None) -> None:
    """Check what is written out in the DAG file, which is wrong already when the file is parsed.

    :raises SchedulerXConfigurationError: naming the argument.
    """
    check_literal_id("workflow_id", workflow_id)
    if is_literal(instance_parameters):
        encode_instance_parameters(instance_parameters)
        if marker_key:
            with_run_marker(instance_parameters, marker_key, "x" * MARKER_LENGTH)


class StartPolicy(NamedTuple):
    """The operator's arguments that decide about a start; see there.

    :ivar retry_delay: seconds that lie between two tries at least.
    """

    on_retry: OnRetry
    if_running: IfRunning
    marker_key: str | None
    settling_time: float
    patience: float
    durable: bool
    waits: bool
    cancel_on_kill: bool
    retries: int
    retry_delay: float

    @classmethod
    def from_task(cls, task: Any) -> Self:
        """Take the arguments of an operator."""
        return cls(
            on_retry=task.on_retry,
            if_running=task.if_running,
            marker_key=check_run_marker(task.run_marker),
            settling_time=task.settling_time,
            patience=task.poll_failure_tolerance,
            durable=task.durable,
            waits=task.wait_for_completion,
            cancel_on_kill=task.cancel_on_kill,
            retries=task.retries or 0,
            retry_delay=task.retry_delay.total_seconds(),
        )


class Launcher:
    """Finds or starts the run of one try of a task.

    :param owner: is informed of each step.
    :param store: what earlier tries have left.
    """

    def __init__(
        self,
        *,
        hook: SchedulerXHook,
        workflow_id: int,
        instance_parameters: Any,
        policy: StartPolicy,
        owner: RunOwner,
        store: StartStore,
        context: Context,
        log: Any,
    ) -> None:
        self._hook = hook
        self._workflow_id = workflow_id
        self._parameters = instance_parameters
        self._policy = policy
        self._owner = owner
        self._store = store
        self._context = context
        self._log = log
        self._marker = run_marker(context["ti"], policy.marker_key) if policy.marker_key else None
        #: What an earlier try has left.
        self._stored: StoredStart | None = None
        #: Runs that the task instance has started before.
        self._earlier: tuple[int, ...] = ()

    @classmethod
    def from_task(cls, task: Any, context: Context, owner: RunOwner, store: StartStore) -> Self:
        """The launcher for a try of an operator."""
        return cls(
            hook=task.hook,
            workflow_id=owner.workflow_id,
            instance_parameters=task.instance_parameters,
            policy=StartPolicy.from_task(task),
            owner=owner,
            store=store,
            context=context,
            log=task.log,
        )

    def find_or_start(self) -> TaskRun:
        """Return the run that this try follows.

        :raises RunUndecidedError: if a run may exist that nobody can tell from others.
        :raises RunLostError: if a run may exist, and a later try may find it.
        :raises RunNotStartedError: if the service did not start one.
        """
        stored = self._stored = self._store.load()
        run = None
        if stored is None:
            # With a marker every later try looks, since is_retry can err where somebody has lowered `retries`.
            if (
                self._policy.durable
                and not self._store.is_kept
                and (self._is_retry or self._is_marked_later_try)
            ):
                run = self._find_without_store()
        elif stored.was_cleared:
            self._stop_before_new_start(stored.intent)
        else:
            run = self.reattach(stored.intent)
        return run or self._start()

    @property
    def _is_retry(self) -> bool:
        """Whether there was an earlier try, since the task was cleared last.

        Clearing sets ``max_tries`` to the number of tries so far plus the task's ``retries``.
        """
        ti = self._context["ti"]
        try_number, max_tries = getattr(ti, "try_number", None) or 1, getattr(ti, "max_tries", None)
        is_first = max_tries is not None and try_number == max_tries - self._policy.retries + 1
        return try_number > 1 and not is_first

    @property
    def _is_marked_later_try(self) -> bool:
        return self._marker is not None and (getattr(self._context["ti"], "try_number", None) or 1) > 1

    # A retry: what has become of the earlier try's run?

    def reattach(self, earlier: StartIntent) -> TaskRun | None:
        """Return the run of an earlier try, or None if a new one is to be started."""
        if (earlier.scope, earlier.workflow_id) != (self._hook.scope, self._workflow_id):
            self._leave_behind(earlier)
            return None
        if earlier.parameters != self._parameters_digest():
            self._log.warning(
                "The instance parameters differ from those of the previous try, whose run is taken up all the "
                "same; clear the task to start a run with the new ones"
            )
        if earlier.wf_instance_id is None:
            self._log.warning(
                "The previous try ended while it started workflow %s; looking for its run", self._workflow_id
            )
            earlier = self._reconcile(earlier, age=self._age_of(earlier))
            if earlier.wf_instance_id is None:
                self._owner.nothing_started()
                self._remember(earlier)
                return None
        self._remember(earlier)
        wf_instance_id = earlier.wf_instance_id
        if earlier.is_over:
            self._log.info(
                "Workflow instance %s of the previous try was stopped: starting a new run", wf_instance_id
            )
            return None
        run = TaskRun(self._workflow_id, wf_instance_id, is_own=earlier.is_own, is_new=False)
        self._owner.follow(run)
        if not self._policy.waits:
            # To start it was all there is to do, whatever has become of it.
            self._log.info("Workflow instance %s was started by the previous try", wf_instance_id)
            return run
        if self._is_to_be_followed(run):
            return run
        self._owner.nothing_started()
        return None

    def _remember(self, intent: StartIntent) -> None:
        """Keep the ids of the task's own runs, which are no evidence that others start the same."""
        own = (intent.wf_instance_id,) if intent.wf_instance_id and intent.is_own else ()
        self._earlier = (*own, *intent.earlier, *self._earlier)[:_MAX_EARLIER]

    def _is_to_be_followed(self, run: TaskRun) -> bool:
        try:
            instance = self._hook.get_workflow_instance(self._workflow_id, run.wf_instance_id)
        except SchedulerXError as error:
            # Following it has more patience.
            self._log.warning("Could not poll workflow instance %s: %s", run.wf_instance_id, error)
            return True
        seen = f"Workflow instance {run.wf_instance_id} of the previous try is {instance.status.name}"
        if instance.status is api.models.WorkflowInstanceStatus.SUCCESS:
            self._log.info("%s: nothing is left to do", seen)
            return True
        if not api.tracking.has_failed(instance):
            if self._policy.on_retry == "restart" and run.is_own:
                self._log.info("%s: stopping it, because on_retry is 'restart'", seen)
                last = self._stop(self._hook, run)
                if last.status is not api.models.WorkflowInstanceStatus.SUCCESS:
                    return False
                self._log.info("It succeeded before it was stopped: nothing is left to do")
                return True
            self._log.info("%s: following it", seen)
            return True
        if self._policy.on_retry == "rerun_failed" and run.is_own and self._rerun_failed(instance):
            return True
        self._log.info("%s: starting a new run", seen)
        return False

    def _leave_behind(self, earlier: StartIntent) -> None:
        """The previous try was for another workflow or scope: start another run only if nothing of it is active."""
        hook = self._hook.at(earlier.scope)
        known, state = f"perhaps a run of workflow {earlier.workflow_id}", "it is unknown"
        if earlier.wf_instance_id is None:
            found = hook.reconcile(
                earlier,
                settling_time=self._policy.settling_time,
                patience=self._policy.patience,
                age=self._age_of(earlier),
                sleep=self._owner.bounded_pause,
            )
            if found == api.reconciling.Reconciled():
                self._log.warning(
                    "The previous try was for workflow %s and started no run", earlier.workflow_id
                )
                return
            state = found.ambiguity or state
            earlier = replace(earlier, wf_instance_id=found.wf_instance_id)
        if earlier.wf_instance_id is not None:
            known = f"workflow instance {earlier.wf_instance_id} of workflow {earlier.workflow_id}"
            try:
                instance = hook.get_workflow_instance(earlier.workflow_id, earlier.wf_instance_id)
            except SchedulerXError as error:
                state = f"it could not be polled there: {error}"
            else:
                if earlier.is_over or instance.status.is_terminal or api.tracking.has_failed(instance):
                    self._log.warning(
                        "The previous try has started %s, which is %s. This try is for workflow %s, or for another "
                        "region, namespace or group: starting a run there",
                        known,
                        instance.status.name,
                        self._workflow_id,
                    )
                    return
                state = f"it is {instance.status.name}"
        raise RunUndecidedError(
            f"The previous try has started {known}, but this try is for workflow {self._workflow_id} or for another "
            f"region, namespace or group, and {state}. So none is started: look at that run in the SchedulerX console, "
            "then clear the task to start a run with the new arguments"
        )

    def _stop_before_new_start(self, earlier: StartIntent) -> None:
        """The task was cleared: its earlier run must not go on beside the new one."""
        hook = self._hook.at(earlier.scope)
        if earlier.wf_instance_id is None:
            earlier = self._find_before_new_start(hook, earlier)
        self._remember(earlier)
        known = f"was workflow instance {earlier.wf_instance_id}" if earlier.wf_instance_id else "is unknown"
        self._log.info("The task was cleared, so a new run is started; the run before %s", known)
        if earlier.wf_instance_id is None or not earlier.is_own or earlier.is_over:
            return
        run = TaskRun(earlier.workflow_id, earlier.wf_instance_id, is_new=False)
        try:
            instance = hook.get_workflow_instance(run.workflow_id, run.wf_instance_id)
        except SchedulerXError as error:
            self._log.warning("Could not poll workflow instance %s: %s", run.wf_instance_id, error)
            if self._is_forgotten(earlier, error):
                return
        else:
            if instance.status.is_terminal or api.tracking.has_failed(instance):
                return
            if not self._policy.cancel_on_kill:
                self._log.warning(
                    "Workflow instance %s is %s and keeps running beside the new one because cancel_on_kill is off",
                    run.wf_instance_id,
                    instance.status.name,
                )
                return
        if self._policy.cancel_on_kill:
            self._log.info("Stopping workflow instance %s first", run.wf_instance_id)
            self._stop(hook, run)

    def _is_forgotten(self, earlier: StartIntent, error: SchedulerXError) -> bool:
        """Whether the service no longer knows a run, so that nothing of it can be active."""
        age = time.time() - earlier.began
        return isinstance(error, SchedulerXNotFoundError) and age > self._policy.settling_time + _CLOCK_MARGIN

    def _find_before_new_start(self, hook: SchedulerXHook, earlier: StartIntent) -> StartIntent:
        """The task was cleared after it had begun to start a run that is not known.

        :return: the intent, with that run if there is one.
        :raises RunUndecidedError: if there may be one that is active. Where a person was asked about it
            before, and has cleared the task, only what can be seen to be active counts.
        """
        self._log.info("The task was cleared; looking for the run that it was starting before")
        policy, age = self._policy, self._age_of(earlier)
        found = hook.reconcile(
            earlier,
            settling_time=0.0 if earlier.is_told else policy.settling_time,
            patience=0.0 if earlier.is_told else policy.patience,
            age=age,
            sleep=self._owner.bounded_pause,
        )
        if found.ambiguity is None:
            return replace(earlier, wf_instance_id=found.wf_instance_id)
        if not earlier.is_told:
            self._store.save(replace(earlier, is_told=True), of_this_life=False)
            raise self._undecided(found.ambiguity)
        try:
            suspects = hook.find_suspects(earlier, age=age)
        except SchedulerXError as error:
            self._log.warning("The runs of workflow %s cannot be listed: %s", earlier.workflow_id, error)
            suspects = []
        if suspects:
            raise RunUndecidedError(
                f"Workflow {earlier.workflow_id} has a run that this task may have started before it was cleared, and "
                f"that is active: {'; '.join(map(str, suspects))}. So none is started beside it: stop it in the "
                "SchedulerX console, or wait for its end, then clear the task"
            )
        return earlier

    def _stop(self, hook: SchedulerXHook, run: TaskRun) -> WorkflowInstance:
        last = hook.stop_workflow_instance(run.workflow_id, run.wf_instance_id)
        if last is None or not api.tracking.is_over(last):
            raise RunLostError(
                f"Stop of the earlier workflow instance {run.wf_instance_id} was requested, but it had not ended at the "
                "last check, so no other run is started beside it"
                + (
                    ". This was the last try: stop that run in the SchedulerX console, then clear the task"
                    if self._owner.is_last_try
                    else ". A retry tries again"
                )
            )
        return last

    def _rerun_failed(self, instance: WorkflowInstance) -> bool:
        """Run the failed nodes of a run again.

        :return: False if there are none to run again.
        """
        rerun = self._hook.rerun_workflow_instance(
            instance, settling_time=self._policy.settling_time, sleep=self._owner.bounded_pause
        )
        if rerun is api.rerunning.Rerun.NO_NODE:
            self._log.warning("The service names no failed node that could be run again")
        elif rerun is api.rerunning.Rerun.REFUSED:
            self._owner.ended(instance)
            raise RunFailedError(
                f"{api.tracking.failure_message(instance)}; none of the failed nodes can be run again (on_retry is "
                "'rerun_failed')"
            )
        elif rerun is api.rerunning.Rerun.UNSEEN:
            raise self._owner.lost(
                f"Failed nodes of workflow instance {instance.wf_instance_id} were requested to run again, but it "
                f"shows no change after {self._policy.settling_time:g} s"
            )
        return rerun is api.rerunning.Rerun.SEEN

    # A retry for which nothing was stored: Airflow below 3.3.

    def _find_without_store(self) -> TaskRun | None:
        """Look for the run of an earlier try, by the marker. Without one, make sure that none may be active."""
        since = _seconds_since(self._context)
        age = api.reconciling.Age(at_most=None if since is None else since + _CLOCK_MARGIN)
        if self._marker is None:
            self._refuse_beside_active(age)
            return None
        self._log.info("Looking for a run of an earlier try, by its marker")
        intent = self._intent(None)
        if self._is_retry:
            found = self._reconcile(intent, age=age, may_be_several=True)
        else:
            # Most likely the first try of a cleared task, whose marker is new: only a run that carries it counts.
            marked = self._hook.reconcile(
                intent, settling_time=0.0, patience=0.0, age=age, may_be_several=True
            )
            found = replace(intent, wf_instance_id=marked.wf_instance_id)
        if found.wf_instance_id is None:
            self._owner.nothing_started()
            return None
        return self.reattach(found)

    def _refuse_beside_active(self, age: Age) -> None:
        """Start nothing beside a run that an earlier try may have started.

        :raises RunUndecidedError: if there may be one, or if that cannot be learnt.
        """
        try:
            suspects = self._hook.find_suspects(self._intent(()), age=age)
        except SchedulerXError as error:
            why = f"the runs of the workflow cannot be listed: {error}"
        else:
            if not suspects:
                return
            why = "; ".join(map(str, suspects))
        raise RunUndecidedError(
            f"This is a retry, and an earlier try may have started a run of workflow {self._workflow_id} that is active: "
            f"{why}. Airflow below 3.3 keeps nothing between tries, so none is started beside it: {_DECIDE}. "
            "(run_marker=True lets a retry find its run; durable=False starts one in any case.)"
        )

    # A new run.

    def _start(self) -> TaskRun:
        last: SchedulerXAmbiguousError | None = None
        for _ in range(_MAX_STARTS):
            listed = self._list() if self._needs_list else None
            followed = self.apply_if_running(listed or [])
            if followed is not None:
                return followed
            intent, parameters = self._intent(listed), self._parameters_to_send
            # The last thing before the request, and refused by Airflow if this try is no longer the current one.
            self._store.save(intent)
            self._owner.check_killed()
            self._starting(intent)
            try:
                wf_instance_id = self._hook.execute_workflow(self._workflow_id, parameters)
            except SchedulerXAmbiguousError as error:
                if not self._policy.durable:
                    raise self._undecided(str(error)) from None
                last = error
                self._log.warning("%s. Looking for the run that may have been started", error)
                intent = self._reconcile(intent, cause=error)
                if intent.wf_instance_id is not None:
                    return self._owner.follow(TaskRun(self._workflow_id, intent.wf_instance_id))
                self._nothing_started()
                if _is_refusal(error):
                    # The service means it: to ask again at once would be refused again.
                    raise RunNotStartedError(
                        f"Workflow {self._workflow_id} was not started: {error}. No run was found afterwards, so a retry "
                        "may start one"
                    ) from None
            except SchedulerXError as error:
                self._nothing_started()
                limit = self._owner.limit
                if (
                    isinstance(error, SchedulerXThrottledError)
                    and limit.seconds < api.retrying.MAX_RETRY_SECONDS
                ):
                    raise RunNotStartedError(
                        f"Workflow {self._workflow_id} was not started within {limit}: {error}"
                    ) from None
                raise
            else:
                run = self._owner.follow(TaskRun(self._workflow_id, wf_instance_id))
                self.keep(replace(intent, wf_instance_id=wf_instance_id))
                return run
        raise RunNotStartedError(
            f"Workflow {self._workflow_id} was not started in {_MAX_STARTS} attempts: {last}. No run was found "
            "afterwards, so a retry may start one"
        )

    def _starting(self, intent: StartIntent, age: Age | None = None) -> None:
        """Tell the owner that a run may be started, and how it is found if the task is killed meanwhile."""

        def find() -> int | None:
            found = self._hook.reconcile(intent, settling_time=0.0, patience=0.0, age=age)
            if found.wf_instance_id is not None:
                self.keep(replace(intent, wf_instance_id=found.wf_instance_id))
            return found.wf_instance_id

        self._owner.starting(find)

    def _nothing_started(self) -> None:
        self._owner.nothing_started()
        stored = self._stored
        if stored is None or stored.intent.wf_instance_id is None:
            self._store.discard()
        else:
            # The next try has to know the task's earlier run as well as this one.
            self._store.save(stored.intent, of_this_life=not stored.was_cleared)

    @property
    def _needs_list(self) -> bool:
        """Whether it has to be known which runs there are.

        With a marker too: it names our run for certain, but that there is none shows only in a list in which nothing is
        new, where the service does not show the parameters of runs.
        """
        return self._policy.if_running != "start" or self._policy.durable

    def _list(self) -> list[WorkflowInstanceSummary] | None:
        """The runs that there are. None if that is not allowed."""
        try:
            return self._hook.list_workflow_instances(self._workflow_id)
        except (SchedulerXAuthorizationError, SchedulerXRejectedError) as error:
            if self._policy.if_running != "start":
                raise
            self._log.warning(
                "The runs of workflow %s cannot be listed, so a run whose start gets no answer cannot be found: %s",
                self._workflow_id,
                error,
            )
            return None

    def apply_if_running(self, listed: Iterable[WorkflowInstanceSummary]) -> TaskRun | None:
        """Do what ``if_running`` says, where a run of the workflow is active that is not the task's own.

        :return: the run to follow, or None if one is to be started.
        """
        mode = self._policy.if_running
        active = [
            run for run in listed if not run.status.is_terminal and run.wf_instance_id not in self._earlier
        ]
        if mode == "start" or not active:
            return None
        shown = ", ".join(f"{run.wf_instance_id} ({run.status.name})" for run in active)
        text = f"Workflow {self._workflow_id} has active workflow instances: {shown}"
        if mode == "skip":
            raise AirflowSkipException(f"{text}; if_running is 'skip'")
        if mode == "fail":
            raise RunAlreadyActiveError(
                f"{text}; if_running is 'fail'. Wait for their end, or choose another if_running"
            )
        newest = active[0].wf_instance_id
        self._log.info("%s; following %s, because if_running is 'reattach'", text, newest)
        run = self._owner.follow(TaskRun(self._workflow_id, newest, is_own=False, is_new=False))
        self.keep(replace(self._intent(None), wf_instance_id=newest, marker=None, is_own=False))
        return run

    def _intent(self, listed: Iterable[WorkflowInstanceSummary] | None) -> StartIntent:
        known = None
        if listed is not None:
            known = tuple(run.wf_instance_id for run in listed)[: api.intents.MAX_KNOWN]
        return api.intents.StartIntent(
            workflow_id=self._workflow_id,
            scope=self._hook.scope,
            parameters=self._parameters_digest(),
            known=known,
            earlier=self._earlier,
            marker=self._marker,
            began=time.time(),
        )

    @property
    def _parameters_to_send(self) -> Any:
        if self._marker is None or self._policy.marker_key is None:
            return self._parameters
        return with_run_marker(self._parameters, self._policy.marker_key, self._marker)

    def _parameters_digest(self) -> str:
        return api.intents.parameters_digest(encode_instance_parameters(self._parameters))

    def keep(self, intent: StartIntent) -> None:
        """Write down which run it is. It is known here in any case, and the intent is there already."""
        try:
            self._store.save(intent)
        except Exception as error:
            self._log.warning(
                "Workflow instance %s could not be written to the task state store (%s: %s); a retry would look "
                "for it",
                intent.wf_instance_id,
                type(error).__name__,
                error,
            )

    def _age_of(self, earlier: StartIntent) -> Age:
        """How old the request of an earlier try is at least: by the clocks of two machines, so in doubt not old."""
        elapsed = max(0.0, time.time() - earlier.began)
        return api.reconciling.Age(min(self._policy.retry_delay, elapsed))

    def _reconcile(
        self,
        intent: StartIntent,
        *,
        age: Age | None = None,
        may_be_several: bool = False,
        cause: SchedulerXAmbiguousError | None = None,
    ) -> StartIntent:
        """Return the intent, with its run if there is one.

        :param cause: why this try does not know it.
        :raises RunUndecidedError: if nobody can tell.
        :raises RunLostError: if nobody can tell yet, and a retry may.
        """
        self._starting(intent, age)
        result = self._hook.reconcile(
            intent,
            settling_time=self._policy.settling_time,
            # A refusal is most likely true. What remains unclear after the settling time is left to a retry.
            patience=0.0 if cause and _is_refusal(cause) and self._owner.is_kept else self._policy.patience,
            age=age,
            may_be_several=may_be_several,
            sleep=self._owner.bounded_pause,
        )
        count_reconciliation(result.outcome)
        if result.ambiguity is not None:
            why = f"{cause}; {result.ambiguity}" if cause else result.ambiguity
            if result.may_resolve and self._owner.is_kept:
                raise self._owner.lost(f"A run of workflow {self._workflow_id} may have been started: {why}")
            raise self._ask(intent, why)
        if result.wf_instance_id is None:
            self._log.info("No run was started")
            return intent
        self._log.info("Workflow instance %s is the one that was started", result.wf_instance_id)
        found = replace(intent, wf_instance_id=result.wf_instance_id)
        self.keep(found)
        return found

    def _ask(self, intent: StartIntent, why: str) -> RunUndecidedError:
        """Return the error that asks a person, and remember that one was asked."""
        self.keep(replace(intent, is_told=True))
        return self._undecided(why)

    def _undecided(self, why: str) -> RunUndecidedError:
        return RunUndecidedError(
            f"A run of workflow {self._workflow_id} may have been started: {why}. The task is not retried, because that "
            f"could start a second one: {_DECIDE}. (run_marker=True makes the task's runs distinguishable; "
            "the RAM action edas:ReadSchedulerxJobInstanceQuery lets their parameters be seen.)"
        )


def _is_refusal(error: SchedulerXError) -> bool:
    """Whether the service itself answered no (an integer ``Code``), and not something on the way to it."""
    return error.code is not None and error.code.lstrip("-").isdecimal()


def _seconds_since(context: Context) -> float | None:
    """Seconds since the DAG run began, and with it the first try of any of its tasks; None if unknown."""
    begin = getattr(context.get("dag_run"), "start_date", None)
    return None if begin is None else max(0.0, time.time() - begin.timestamp())
