"""How a task comes to its run: it takes up the one of an earlier try, or starts one, and never two."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAmbiguousError,
    SchedulerXAuthorizationError,
    SchedulerXError,
    SchedulerXRejectedError,
)
from airflow_provider_schedulerx.api.parameters import encode_instance_parameters, with_run_marker
from airflow_provider_schedulerx.exceptions import (
    WorkflowInstanceFailedError,
    WorkflowInstanceLostError,
    WorkflowInstanceRunningError,
    WorkflowInstanceUndecidedError,
)

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.models import (
        WorkflowInstance,
        WorkflowInstanceNode,
        WorkflowInstanceSummary,
    )
    from airflow_provider_schedulerx.api.runs.intents import StartIntent
    from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
    from airflow_provider_schedulerx.operators.record import StartRecord

OnRetry = Literal["reattach", "restart", "rerun_failed"]
IfRunning = Literal["start", "reattach", "skip", "fail"]

#: Starts in a row, each of which was surely not carried out, before the task gives up.
_MAX_STARTS = 3
#: Characters of a run marker.
MARKER_LENGTH = 16


def run_marker(ti: Any, attempt: str) -> str:
    """A text of :data:`MARKER_LENGTH` characters for one start of one try of a task instance."""
    parts = [getattr(ti, name, "") for name in ("dag_id", "run_id", "task_id", "map_index", "try_number")]
    return hashlib.sha256("\0".join(map(str, [*parts, attempt])).encode()).hexdigest()[:MARKER_LENGTH]


class StartPolicy(NamedTuple):
    """The operator's arguments that decide about a start; see there."""

    on_retry: OnRetry
    if_running: IfRunning
    marker_key: str | None
    settling_time: float
    patience: float
    durable: bool
    waits: bool


class Found(NamedTuple):
    """The run of a task.

    :ivar is_own: False if something else has started it; then the task never stops it.
    :ivar is_new: whether it was started just now.
    """

    wf_instance_id: int
    is_own: bool = True
    is_new: bool = True


class Starter:
    """Finds or starts the run of one try of a task.

    :param sleep: waits for so many seconds, unless the task is killed.
    """

    def __init__(
        self,
        *,
        hook: SchedulerXHook,
        workflow_id: int,
        instance_parameters: Any,
        policy: StartPolicy,
        record: StartRecord,
        ti: Any,
        log: Any,
        sleep: Callable[[float], None],
    ) -> None:
        self._hook = hook
        self._workflow_id = workflow_id
        self._parameters = instance_parameters
        self._policy = policy
        self._record = record
        self._ti = ti
        self._log = log
        self._sleep = sleep

    def obtain(self) -> Found:
        """Return the run that this try is to follow.

        :raises WorkflowInstanceUndecidedError: if a run may exist that nobody can tell from others.
        """
        earlier = self._record.load()
        if earlier is not None:
            found = self._take_up(earlier)
            if found is not None:
                return found
        elif self._policy.durable and self._record.is_retry_in_the_dark:
            self._log.warning(
                "This is a retry, and this version of Airflow keeps nothing of the tries before (3.3 does): a run "
                "that they have started is not known here. A new one is started"
            )
        return self._start()

    # A retry: what has become of the earlier try's run?

    def _take_up(self, earlier: StartIntent) -> Found | None:
        """:return: the earlier try's run, or None if a new one is to be started."""
        self._check_scope(earlier)
        if earlier.parameters != self._parameters_digest():
            self._log.warning(
                "The instance parameters are others than those of the try before, whose run is taken up all the "
                "same; clear the task to start a run with the new ones"
            )
        if earlier.wf_instance_id is None:
            self._log.warning(
                "The try before ended while it started workflow %s; looking for its run", self._workflow_id
            )
            earlier = self._reconcile(earlier)
            if earlier.wf_instance_id is None:
                return None
        found = Found(earlier.wf_instance_id, is_own=earlier.is_own, is_new=False)
        if not self._policy.waits:
            # To start it was all there is to do, whatever has become of it.
            self._log.info("Workflow instance %s was started by the try before", earlier.wf_instance_id)
            return found
        try:
            instance = self._hook.get_workflow_instance(self._workflow_id, earlier.wf_instance_id)
        except SchedulerXError as error:
            # Following it has more patience.
            self._log.warning("Cannot look at workflow instance %s: %s", earlier.wf_instance_id, error)
            return found
        status = instance.status
        seen = f"Workflow instance {earlier.wf_instance_id} of the try before is {status.name}"
        if status is api.models.WorkflowInstanceStatus.SUCCESS:
            self._log.info("%s: nothing is left to do", seen)
            return found
        if status is not api.models.WorkflowInstanceStatus.FAILED:
            if self._policy.on_retry == "restart" and earlier.is_own:
                self._log.info("%s: stopping it, since on_retry is 'restart'", seen)
                self._stop(earlier.wf_instance_id)
                return None
            self._log.info("%s: following it", seen)
            return found
        if self._policy.on_retry == "rerun_failed" and earlier.is_own and self._rerun_failed(instance):
            return found
        self._log.info("%s: starting a new run", seen)
        return None

    def _check_scope(self, earlier: StartIntent) -> None:
        if earlier.scope == api.intents.scope_digest(self._hook.scope, self._workflow_id):
            return
        known = (
            f"workflow instance {earlier.wf_instance_id} of" if earlier.wf_instance_id else "perhaps a run of"
        )
        raise WorkflowInstanceUndecidedError(
            f"The try before has started {known} workflow {earlier.workflow_id}, but this try is for workflow "
            f"{self._workflow_id} or for another region, namespace or group. That run may be active, so none is "
            "started: look at it in the SchedulerX console, then clear the task to start a run with the new arguments"
        )

    def _stop(self, wf_instance_id: int) -> None:
        last = self._hook.stop_workflow_instance(self._workflow_id, wf_instance_id)
        if last is None or not last.status.is_terminal:
            raise WorkflowInstanceLostError(
                f"Workflow instance {wf_instance_id} of the try before was told to stop but was not seen to end, so no "
                "other run is started beside it"
            )

    def _rerun_failed(self, instance: WorkflowInstance) -> bool:
        """Run the failed nodes of a run again. :return: False if there are none to run again."""
        bad = [node for node in instance.nodes if node.status.is_bad and node.job_instance_id is not None]
        rerun = []
        for node in bad:
            try:
                self._hook.retry_job_instance(node.job_id, node.job_instance_id or 0)
            except SchedulerXAmbiguousError as error:
                self._log.warning("Node %s may run again: %s", node.label, error)
            except SchedulerXError as error:
                self._log.error("Node %s cannot be run again: %s", node.label, error)
                continue
            else:
                self._log.info("Node %s runs again", node.label)
            rerun.append(node)
        if bad and not rerun:
            raise WorkflowInstanceFailedError(
                f"{api.tracking.failure_message(instance)}; none of the failed nodes can be run again (on_retry is "
                "'rerun_failed')"
            )
        if not bad:
            self._log.warning("The service names no failed node that could be run again")
            return False
        self._wait_for_rerun(instance, rerun)
        return True

    def _wait_for_rerun(self, before: WorkflowInstance, rerun: list[WorkflowInstanceNode]) -> None:
        """Until the run shows that nodes run again: it must not be taken for failed once more meanwhile."""
        until = time.monotonic() + self._policy.settling_time
        while True:
            try:
                now = self._hook.get_workflow_instance(self._workflow_id, before.wf_instance_id)
            except SchedulerXError as error:
                self._log.warning("Cannot look at workflow instance %s: %s", before.wf_instance_id, error)
            else:
                # Either it runs, or what ran again has failed again already.
                nodes = {node.job_id: node for node in now.nodes}
                has_failed_again = any(
                    nodes.get(node.job_id) != node and nodes[node.job_id].status.is_bad
                    for node in rerun
                    if node.job_id in nodes
                )
                if now.status is not before.status or has_failed_again:
                    return
            if time.monotonic() >= until:
                raise WorkflowInstanceLostError(
                    f"The failed nodes of workflow instance {before.wf_instance_id} were told to run again, but it "
                    f"shows no change after {self._policy.settling_time:g} s"
                )
            self._sleep(min(1.0, self._policy.settling_time / 10))

    # A new run.

    def _start(self) -> Found:
        last: SchedulerXAmbiguousError | None = None
        for _ in range(_MAX_STARTS):
            listed = self._list()
            taken = self._courtesy(listed)
            if taken is not None:
                return taken
            intent, parameters = self._intent(listed)
            # The last thing before the request, and refused by Airflow if this try is no longer the current one.
            self._record.save(intent)
            try:
                wf_instance_id = self._hook.execute_workflow(self._workflow_id, parameters)
            except SchedulerXAmbiguousError as error:
                if not self._policy.durable:
                    raise self._doubt(str(error)) from None
                last = error
                self._log.warning("%s. Looking for the run that may have been started", error)
                intent = self._reconcile(intent)
                if intent.wf_instance_id is not None:
                    return Found(intent.wf_instance_id)
            except SchedulerXError:
                self._record.discard()
                raise
            else:
                self._keep(replace(intent, wf_instance_id=wf_instance_id))
                return Found(wf_instance_id)
        self._record.discard()
        raise WorkflowInstanceLostError(
            f"Workflow {self._workflow_id} was not started in {_MAX_STARTS} tries: {last}. No run was found "
            "afterwards, so a retry may start one"
        )

    def _list(self) -> list[WorkflowInstanceSummary] | None:
        """The runs that there are. None if it is not needed, or not allowed."""
        if not self._policy.durable and self._policy.if_running == "start":
            return None
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

    def _courtesy(self, listed: list[WorkflowInstanceSummary] | None) -> Found | None:
        """What ``if_running`` says, where a run of the workflow is active already."""
        mode = self._policy.if_running
        active = [run for run in listed or () if not run.status.is_terminal]
        if mode == "start" or not active:
            return None
        shown = ", ".join(f"{run.wf_instance_id} ({run.status.name})" for run in active)
        text = f"Workflow {self._workflow_id} has active workflow instances: {shown}"
        if mode == "skip":
            raise AirflowSkipException(f"{text}; if_running is 'skip'")
        if mode == "fail":
            raise WorkflowInstanceRunningError(
                f"{text}; if_running is 'fail'. Wait for their end, or choose another if_running"
            )
        newest = active[0].wf_instance_id
        self._log.info("%s; following %s, since if_running is 'reattach'", text, newest)
        intent, _ = self._intent(None)
        self._keep(replace(intent, wf_instance_id=newest, marker=None, is_own=False))
        return Found(newest, is_own=False, is_new=False)

    def _intent(self, listed: list[WorkflowInstanceSummary] | None) -> tuple[StartIntent, Any]:
        """:return: what is to be written down, and the instance parameters to send."""
        attempt = uuid.uuid4().hex
        marker = run_marker(self._ti, attempt) if self._policy.marker_key else None
        parameters = self._parameters
        if marker and self._policy.marker_key:
            parameters = with_run_marker(parameters, self._policy.marker_key, marker)
        known = None
        if listed is not None:
            known = tuple(run.wf_instance_id for run in listed[: api.intents.MAX_KNOWN])
        return (
            api.intents.StartIntent(
                attempt=attempt,
                workflow_id=self._workflow_id,
                scope=api.intents.scope_digest(self._hook.scope, self._workflow_id),
                parameters=self._parameters_digest(),
                known=known,
                marker=marker,
            ),
            parameters,
        )

    def _parameters_digest(self) -> str:
        return api.intents.parameters_digest(encode_instance_parameters(self._parameters))

    def _keep(self, intent: StartIntent) -> None:
        """Write down which run it is. It is known here in any case, and the intent is there already."""
        try:
            self._record.save(intent)
        except Exception as error:
            self._log.warning(
                "Workflow instance %s could not be written to the task state store (%s: %s); a retry would look "
                "for it",
                intent.wf_instance_id,
                type(error).__name__,
                error,
            )

    def _reconcile(self, intent: StartIntent) -> StartIntent:
        """:return: the intent, with its run if there is one. :raises WorkflowInstanceUndecidedError: in doubt."""
        result = self._hook.reconcile(
            intent,
            settling_time=self._policy.settling_time,
            patience=self._policy.patience,
            sleep=self._sleep,
        )
        if result.doubt is not None:
            raise self._doubt(result.doubt)
        if result.wf_instance_id is None:
            self._log.info("No run was started")
            return intent
        self._log.info("Workflow instance %s is the one that was started", result.wf_instance_id)
        found = replace(intent, wf_instance_id=result.wf_instance_id)
        self._keep(found)
        return found

    def _doubt(self, why: str) -> WorkflowInstanceUndecidedError:
        return WorkflowInstanceUndecidedError(
            f"A run of workflow {self._workflow_id} may have been started: {why}. The task is not retried, since that "
            "could start a second one: look at the workflow's instances in the SchedulerX console, then clear the "
            "task to start a run, or mark it as success if one is there and good. (run_marker=True makes runs "
            "certain to be told apart; the RAM action edas:ReadSchedulerxJobInstanceQuery lets their parameters be seen.)"
        )
