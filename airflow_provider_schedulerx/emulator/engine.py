"""Runs instances of workflows, on their DAG, and of jobs, in real time.

Nothing ticks. Every node knows when it starts and ends, so the engine catches up with the clock
whenever it is asked (:meth:`Engine.advance`). A killed and restarted emulator thereby goes on as
the service does whose workers have gone on meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import tzinfo

from airflow_provider_schedulerx.emulator import schedules
from airflow_provider_schedulerx.emulator.definitions import Job, Key, Workflow
from airflow_provider_schedulerx.emulator.instances import (
    READY,
    RUNNING,
    SUCCESS,
    WAITING,
    InstanceRun,
    NodeRun,
)
from airflow_provider_schedulerx.emulator.profile import Profile
from airflow_provider_schedulerx.emulator.registry import Registry, Store
from airflow_provider_schedulerx.emulator.schedules import Timer

#: Seconds of a schedule that are made up for after the emulator was away.
_MADE_UP = 3600.0

#: What a stopped node has as its result; its log says it, too.
_KILLED = "killed from server"


class Refused(Exception):
    """A business error: answered with ``Success: false``.

    :ivar details: more fields of the body.
    """

    def __init__(self, message: str, code: int | None = 400, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.details = details


class NotStarted(Exception):
    """Nothing was started, though the answer is that of a start.

    :ivar answered: the id in the answer.
    """

    def __init__(self, answered: int) -> None:
        super().__init__(answered)
        self.answered = answered


class Engine:
    """Has the workflows, the jobs and their instances, and lets time pass for them.

    :param store: keeps each instance that changed, before anyone sees the change; None keeps nothing.
    :param profile: decides what the documentation leaves open; may be replaced at any time.
    """

    def __init__(
        self,
        workflows: Iterable[Workflow],
        *,
        jobs: Iterable[Job] = (),
        store: Store | None = None,
        speed: float = 1.0,
        profile: Profile | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.profile: Profile = profile or Profile()
        self.workflows: dict[int, Workflow] = {workflow.workflow_id: workflow for workflow in workflows}
        self.jobs: dict[int, Job] = {job.job_id: job for job in jobs}
        self._runs = Registry(store)
        self._speed = speed
        self._clock = clock
        self._next_event: dict[Key, float] = {}  # when it has to be looked at again
        self._timers: dict[Key, Timer] = {}
        for workflow in self.workflows.values():
            # After a restart a schedule goes on where it was, as the service does, which has not been away.
            done = [run.created for run in self._runs.of(workflow.key) if run.is_scheduled]
            since = max(done[-1], clock() - _MADE_UP) if done else clock()
            self._set_timer(workflow, since)

    @property
    def instances(self) -> Mapping[int, InstanceRun]:
        """All runs, by their ids."""
        return self._runs.by_id

    @property
    def starts(self) -> dict[int, int]:
        """Instances ever started, by workflow."""
        return self._runs.counts("workflow")

    @property
    def job_starts(self) -> dict[int, int]:
        """Instances of jobs by themselves ever started, by job."""
        return self._runs.counts("job")

    @property
    def definitions(self) -> list[Workflow | Job]:
        """All workflows and jobs."""
        return [*self.workflows.values(), *self.jobs.values()]

    def now(self) -> float:
        return self._clock()

    @property
    def zone(self) -> tzinfo:
        """The zone of the service's times."""
        return schedules.as_zone(self.profile["time_zone"])

    @property
    def _stopped_state(self) -> int:
        return int(self.profile["stopped_state"])

    def add_workflows(self, workflows: Iterable[Workflow]) -> None:
        """Add or replace workflows."""
        for workflow in workflows:
            if workflow.workflow_id in self.workflows:
                self.advance(self.workflows[workflow.workflow_id])
            self.workflows[workflow.workflow_id] = workflow
            self._set_timer(workflow, self._clock())

    def set_schedule(self, workflow: Workflow, runs: int | None = None) -> None:
        """Replace a workflow by one that has another schedule.

        :param runs: after how many runs the schedule ends.
        """
        self.advance(workflow)
        self.workflows[workflow.workflow_id] = workflow
        self._set_timer(workflow, self._clock(), runs)

    def _set_timer(self, workflow: Workflow, since: float, runs: int | None = None) -> None:
        self._timers.pop(workflow.key, None)
        self._look_again(workflow.key)
        schedule = schedules.parse(workflow.time_type, workflow.time_expression)
        if schedule is not None and workflow.enabled:
            self._timers[workflow.key] = Timer.starting(schedule, since, self.zone, runs)

    def execute(self, workflow: Workflow, parameters: str | None) -> InstanceRun:
        """Start an instance of a workflow.

        :raises NotStarted: if nothing was started, and the answer does not say so.
        :raises Refused: if nothing was started.
        """
        self.advance(workflow)
        if not workflow.enabled and self.profile["disabled_workflow"] == "refuse":
            raise Refused(f"workflow is disabled, workflowId={workflow.workflow_id}")
        runs = self._runs.of(workflow.key)
        if runs and self._clock() - runs[-1].created < int(self.profile["start_interval"]) / self._speed:
            raise Refused(f"workflowId={workflow.workflow_id} was triggered in the same second")
        return self._start(workflow, parameters)

    def execute_job(
        self, job: Job, parameters: str | None, *, check_status: bool = True, worker: str = ""
    ) -> InstanceRun:
        """Start an instance of a job.

        :param check_status: whether a disabled job is refused.
        :param worker: what has to run it.
        :raises NotStarted: if nothing was started, and the answer does not say so.
        :raises Refused: if nothing was started.
        """
        self.advance(job)
        if check_status and not job.enabled:
            raise Refused(f"jobId={job.job_id} is disabled")
        runs = self._runs.of(job.key)
        second = int(self._clock() * self._speed)
        if any(int(run.created * self._speed) == second for run in runs[-1:]):
            if self.profile["same_second"] == "error":
                raise Refused("system error", code=500)
            raise Refused(f"Duplicate entry '{job.job_id}-{second}' for key 'uk_job_id_schedule_time'")
        return self._start(job, parameters, worker)

    def _start(self, definition: Workflow | Job, parameters: str | None, worker: str = "") -> InstanceRun:
        active = [run for run in self._runs.of(definition.key) if run.is_active]
        if len(active) >= definition.max_concurrency:
            match self.profile["when_full"]:
                case "skip":
                    raise NotStarted(0)
                case "join":
                    raise NotStarted(active[-1].wf_instance_id)
                case "refuse":
                    raise Refused(f"max concurrency {definition.max_concurrency} reached")
        run = self._make(definition, parameters, self._clock())
        run.worker = worker
        run.schedule_time = run.created
        run.data_time = run.created if self.profile["api_data_time"] == "present" else None
        self._changed(run)
        self.advance(definition)
        return run

    def rerun(self, workflow: Workflow, schedule_time: float | None, data_time: float | None) -> InstanceRun:
        """Start an instance for other times, as people do in the console for a day that went wrong."""
        self.advance(workflow)
        now = self._clock()
        run = self._make(workflow, None, now)
        run.schedule_time = now if schedule_time is None else schedule_time
        run.data_time = run.schedule_time if data_time is None else data_time
        self._changed(run)
        self.advance(workflow)
        return run

    def _make(self, definition: Workflow | Job, parameters: str | None, at: float) -> InstanceRun:
        run = InstanceRun(
            self._runs.new_id(),
            definition.workflow_id if isinstance(definition, Workflow) else 0,
            definition.group,
            parameters,
            created=at,
            job_id=definition.job_id if isinstance(definition, Job) else 0,
        )
        for job_id, node in definition.nodes.items():
            run.nodes[job_id] = NodeRun(node)
        self._runs.add(run)
        return run

    def _start_scheduled(self, definition: Workflow | Job, planned: float) -> InstanceRun:
        run = self._make(definition, None, planned)
        run.is_scheduled = True
        run.schedule_time = planned
        run.data_time = planned + (definition.data_offset if isinstance(definition, Workflow) else 0.0)
        return run

    def instance(self, workflow: Workflow, wf_instance_id: int) -> InstanceRun:
        self.advance(workflow)
        run = self.instances.get(wf_instance_id)
        if run is None or run.workflow_id != workflow.workflow_id:
            raise Refused(f"workflowInstance is not existed, wfInstanceId={wf_instance_id}")
        return run

    def definition_of(self, run: InstanceRun) -> Workflow | Job | None:
        """The workflow or job that a run is of; None if it is there no more."""
        return self.jobs.get(run.job_id) if run.job_id else self.workflows.get(run.workflow_id)

    def runs_of(self, definition: Workflow | Job) -> list[InstanceRun]:
        """All runs of a workflow or a job, oldest first."""
        self.advance(definition)
        return self._runs.of(definition.key)

    def listed(self, definition: Workflow | Job) -> list[InstanceRun]:
        """The runs that ListWorkflowInstance or GetJobInstanceList shows, of the latter on all pages, in its order."""
        before = self._clock() - int(self.profile["list_lag"]) / self._speed
        hides_waiting = self.profile["list_waiting"] == "hidden"
        shown = [
            run
            for run in self.runs_of(definition)
            if run.created <= before and not (hides_waiting and run.status == WAITING)
        ]
        length = self.profile["list_length" if isinstance(definition, Workflow) else "job_list_length"]
        if length != "all":
            shown = shown[-int(length) :]
        match self.profile["list_order"]:
            case "newest_first":
                shown.reverse()
            case "unordered":
                # The same at each call, and yet in no order.
                shown.sort(key=lambda run: (run.wf_instance_id * 7919) % 1009)
        return shown

    def job(self, job_id: int, job_instance_id: int) -> tuple[InstanceRun, NodeRun]:
        found = self._runs.node(job_instance_id)
        if found is None or found[1].job_id != job_id:
            raise Refused(f"jobInstance is not existed, jobId={job_id}, jobInstanceId={job_instance_id}")
        self.advance_all()
        return found

    def log(self, group: str, job_id: int | None, job_instance_id: int | None) -> list[tuple[float, str]]:
        """Lines of the job instances of a group, or of one job or job instance; oldest first."""
        self.advance_all()
        return self._runs.log(group, job_id, job_instance_id)

    def reset(self, workflows: Iterable[Workflow], jobs: Iterable[Job] = ()) -> None:
        """Forget all runs, and have these workflows and jobs. Ids are not given again."""
        for kept in (self.workflows, self._runs, self._next_event, self._timers):
            kept.clear()
        self.add_workflows(workflows)
        self.jobs = {job.job_id: job for job in jobs}

    def stop(self, run: InstanceRun, node: NodeRun) -> None:
        """Stop a node that runs (API page of StopInstance: "in the running state")."""
        if node.status != RUNNING:
            raise Refused(
                f"jobInstance is not running, jobInstanceId={node.job_instance_id}, status={node.status}"
            )
        now = self._clock()
        node.log = [line for line in node.log if line[0] <= now]
        node.log.append((now, _KILLED))
        node.status, node.ends, node.result = int(self.profile["stopped_job_state"]), now, _KILLED
        run.stopped = True
        run.settle(now, self._stopped_state)
        self._changed(run)

    def retry(self, run: InstanceRun, node: NodeRun) -> None:
        """Run a node again that has ended, well or badly, and after it what waits for it."""
        if not node.is_retriable:
            raise Refused(f"only a finished job instance can be retried, status={node.status}")
        now = self._clock()
        run.status, run.ended, run.stopped = RUNNING, None, False
        node.attempt += 1
        if run.workflow_id and self.profile["retry_ids"] == "new":
            self._runs.give_id(run, node)
        node.schedule(now)
        self._changed(run)

    def set_success(self, run: InstanceRun) -> None:
        if run.is_active:
            raise Refused(f"workflow instance is not finished, status={run.status}")
        run.status = SUCCESS
        self._changed(run)

    def advance_all(self) -> None:
        for definition in self.definitions:
            self.advance(definition)

    def advance(self, definition: Workflow | Job) -> None:
        """Let everything happen that has happened by now, in its order."""
        now = self._clock()
        if self._next_event.get(definition.key, 0.0) > now:
            return
        runs = self._runs.of(definition.key)
        going = [run for run in runs if run.status in (READY, RUNNING)]
        waiting = [run for run in runs if run.status == WAITING]
        changed: dict[int, InstanceRun] = {}
        free_since = 0.0
        timer = self._timers.get(definition.key)
        while True:
            while waiting and len(going) < definition.max_concurrency:
                run = waiting.pop(0)
                run.begin(max(run.created, free_since), definition.preparing / self._speed)
                going.append(run)
                changed[run.wf_instance_id] = run
            event = min(
                (
                    (at, run.wf_instance_id, node.job_id)
                    for run in going
                    for node in run.nodes.values()
                    if (at := node.next_event) is not None
                ),
                default=None,
            )
            planned = timer.next_at if timer else float("inf")
            if timer and planned <= now and (event is None or planned < event[0]):
                timer.fire(self.zone)
                # Beyond the limit "no more instances are triggered", and none later (the page on workflows).
                if len(going) + len(waiting) < definition.max_concurrency:
                    run = self._start_scheduled(definition, planned)
                    waiting.append(run)
                    changed[run.wf_instance_id] = run
                continue
            if event is None or event[0] > now:
                break
            at, wf_instance_id, job_id = event
            run = self.instances[wf_instance_id]
            run.advance(run.nodes[job_id], at, speed=self._speed, stopped_state=self._stopped_state)
            changed[wf_instance_id] = run
            if not run.is_active:
                going.remove(run)
                free_since = at
        self._next_event[definition.key] = min(event[0] if event else float("inf"), planned)
        if changed:
            self._runs.save(changed.values())

    def _changed(self, run: InstanceRun) -> None:
        self._runs.save([run])
        self._look_again(run.key)

    def _look_again(self, key: Key) -> None:
        self._next_event.pop(key, None)
