"""Runs workflow instances on their DAG, in real time.

Nothing ticks. Every node knows when it starts and ends, so the engine catches up with the clock
whenever it is asked (:meth:`Engine.advance`). A killed and restarted emulator thereby goes on as
the service does whose workers have gone on meanwhile.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import tzinfo
from typing import Any, Protocol

from airflow_provider_schedulerx.emulator import schedules
from airflow_provider_schedulerx.emulator.definitions import Node, Workflow
from airflow_provider_schedulerx.emulator.profile import Profile
from airflow_provider_schedulerx.emulator.schedules import Timer

# Statuses of workflow and job instances share these numbers.
WAITING, READY, RUNNING, SUCCESS, FAILED = 1, 2, 3, 4, 5

#: Ids of instances begin here: beyond 32 bits, as in the service's documentation.
FIRST_ID = 36_508_287_844

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


@dataclass
class NodeRun:
    """:ivar log: (epoch seconds, line), some perhaps in the future."""

    definition: Node
    status: int = WAITING
    job_instance_id: int | None = None
    attempt: int = 0
    starts: float | None = None
    ends: float | None = None
    result: str = ""
    log: list[tuple[float, str]] = field(default_factory=list)

    @property
    def job_id(self) -> int:
        return self.definition.job_id

    @property
    def next_event(self) -> float | None:
        return {READY: self.starts, RUNNING: self.ends}.get(self.status)


@dataclass
class InstanceRun:
    """A run, with the definitions that it began with: a file that is edited later does not change it.

    :ivar group: application group of the nodes that name none.
    :ivar schedule_time: ``ScheduleTime``; None where the service gives none.
    :ivar data_time: ``DataTime``, likewise.
    :ivar is_scheduled: whether the workflow's own schedule has started it.
    :ivar stopped: whether a node was stopped since the run began, or since it was last retried.
    """

    wf_instance_id: int
    workflow_id: int
    group: str
    parameters: str | None
    created: float
    status: int = WAITING
    started: float | None = None
    ended: float | None = None
    schedule_time: float | None = None
    data_time: float | None = None
    is_scheduled: bool = False
    stopped: bool = False
    nodes: dict[int, NodeRun] = field(default_factory=dict)

    @property
    def is_active(self) -> bool:
        return self.status in (WAITING, READY, RUNNING)

    def to_json(self) -> dict[str, Any]:
        nodes = [{"job_id": node.job_id, **asdict(node)} for node in self.nodes.values()]
        return {**asdict(replace(self, nodes={})), "nodes": nodes}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> InstanceRun:
        nodes = [
            NodeRun(
                **{
                    **{name: value for name, value in node.items() if name != "job_id"},
                    "definition": Node.from_json(node["definition"]),
                    "log": [tuple(line) for line in node["log"]],
                }
            )
            for node in data["nodes"]
        ]
        return cls(**{**data, "nodes": {node.job_id: node for node in nodes}})


class Store(Protocol):
    def load(self) -> Iterable[InstanceRun]: ...

    def save(self, runs: Iterable[InstanceRun]) -> None: ...

    def clear(self) -> None: ...


class Engine:
    """Has the workflows and their instances, and lets time pass for them.

    :param store: keeps each instance that changed, before anyone sees the change; None keeps nothing.
    :param profile: decides what the documentation leaves open; may be replaced at any time.
    """

    def __init__(
        self,
        workflows: Iterable[Workflow],
        *,
        store: Store | None = None,
        speed: float = 1.0,
        profile: Profile | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.profile = profile or Profile()
        self.workflows = {workflow.workflow_id: workflow for workflow in workflows}
        self.instances = {run.wf_instance_id: run for run in (store.load() if store else ())}
        self._store = store
        self._speed = speed
        self._clock = clock
        self._by_workflow: dict[int, list[InstanceRun]] = defaultdict(list)
        self._jobs: dict[int, tuple[InstanceRun, NodeRun]] = {}
        last = FIRST_ID
        for instance in self.instances.values():
            self._by_workflow[instance.workflow_id].append(instance)
            last = max(last, instance.wf_instance_id)
            for node in instance.nodes.values():
                if node.job_instance_id is not None:
                    self._jobs[node.job_instance_id] = (instance, node)
                    last = max(last, node.job_instance_id)
        self._last_id = last
        self._next_event: dict[int, float] = {}  # workflow -> when it has to be looked at again
        self._timers: dict[int, Timer] = {}
        for workflow in self.workflows.values():
            # After a restart a schedule goes on where it was, as the service does, which has not been away.
            done = [run.created for run in self._by_workflow[workflow.workflow_id] if run.is_scheduled]
            since = max(done[-1], clock() - _MADE_UP) if done else clock()
            self._set_timer(workflow, since)

    @property
    def starts(self) -> dict[int, int]:
        """Instances ever started, by workflow."""
        return {workflow_id: len(runs) for workflow_id, runs in self._by_workflow.items() if runs}

    def now(self) -> float:
        return self._clock()

    @property
    def zone(self) -> tzinfo:
        """The zone of the service's times."""
        return schedules.as_zone(self.profile["time_zone"])

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
        self._timers.pop(workflow.workflow_id, None)
        self._look_again(workflow.workflow_id)
        schedule = schedules.parse(workflow.time_type, workflow.time_expression)
        if schedule is not None and workflow.enabled:
            self._timers[workflow.workflow_id] = Timer.starting(schedule, since, self.zone, runs)

    def execute(self, workflow: Workflow, parameters: str | None) -> InstanceRun | None:
        """Start an instance.

        :return: None if the start was skipped without a word.
        """
        self.advance(workflow)
        if not workflow.enabled and self.profile["disabled_workflow"] == "refuse":
            raise Refused(f"workflow is disabled, workflowId={workflow.workflow_id}")
        runs = self._by_workflow[workflow.workflow_id]
        now = self._clock()
        if runs and now - runs[-1].created < int(self.profile["start_interval"]) / self._speed:
            raise Refused(f"workflowId={workflow.workflow_id} was triggered in the same second")
        when_full = self.profile["when_full"]
        if when_full != "queue" and sum(run.is_active for run in runs) >= workflow.max_concurrency:
            if when_full == "skip":
                return None
            raise Refused(f"max concurrency {workflow.max_concurrency} reached")
        run = self._make(workflow, parameters, now)
        run.schedule_time = now
        run.data_time = now if self.profile["api_data_time"] == "present" else None
        self._changed(run)
        self.advance(workflow)
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

    def _make(self, workflow: Workflow, parameters: str | None, at: float) -> InstanceRun:
        run = InstanceRun(self._new_id(), workflow.workflow_id, workflow.group, parameters, created=at)
        for job_id, definition in workflow.nodes.items():
            run.nodes[job_id] = NodeRun(definition)
            self._give_id(run, run.nodes[job_id])
        self.instances[run.wf_instance_id] = run
        self._by_workflow[workflow.workflow_id].append(run)
        return run

    def _start_scheduled(self, workflow: Workflow, planned: float) -> InstanceRun:
        run = self._make(workflow, None, planned)
        run.is_scheduled = True
        run.schedule_time = planned
        run.data_time = planned + workflow.data_offset
        return run

    def instance(self, workflow: Workflow, wf_instance_id: int) -> InstanceRun:
        self.advance(workflow)
        run = self.instances.get(wf_instance_id)
        if run is None or run.workflow_id != workflow.workflow_id:
            raise Refused(f"workflowInstance is not existed, wfInstanceId={wf_instance_id}")
        return run

    def runs_of(self, workflow: Workflow) -> list[InstanceRun]:
        """All runs of a workflow, oldest first."""
        self.advance(workflow)
        return self._by_workflow[workflow.workflow_id]

    def listed(self, workflow: Workflow) -> list[InstanceRun]:
        """The runs that ListWorkflowInstance shows, in its order."""
        before = self._clock() - int(self.profile["list_lag"]) / self._speed
        hides_waiting = self.profile["list_waiting"] == "hidden"
        shown = [
            run
            for run in self.runs_of(workflow)
            if run.created <= before and not (hides_waiting and run.status == WAITING)
        ][-int(self.profile["list_length"]) :]
        match self.profile["list_order"]:
            case "newest_first":
                shown.reverse()
            case "unordered":
                # The same at each call, and yet in no order.
                shown.sort(key=lambda run: (run.wf_instance_id * 7919) % 1009)
        return shown

    def job(self, job_id: int, job_instance_id: int) -> tuple[InstanceRun, NodeRun]:
        found = self._jobs.get(job_instance_id)
        if found is None or found[1].job_id != job_id:
            raise Refused(f"jobInstance is not existed, jobId={job_id}, jobInstanceId={job_instance_id}")
        self.advance_all()
        return found

    def log(self, group: str, job_id: int | None, job_instance_id: int | None) -> list[tuple[float, str]]:
        """Lines of the job instances of a group, or of one job or job instance; oldest first."""
        self.advance_all()
        return sorted(
            line
            for found_id, (run, node) in self._jobs.items()
            if (node.definition.group or run.group) == group
            and job_id in (None, node.job_id)
            and job_instance_id in (None, found_id)
            for line in node.log
        )

    def reset(self, workflows: Iterable[Workflow]) -> None:
        """Forget all runs, and have these workflows. Ids are not given again."""
        for kept in (self.workflows, self.instances, self._by_workflow, self._jobs, self._next_event):
            kept.clear()
        self._timers.clear()
        if self._store is not None:
            self._store.clear()
        self.add_workflows(workflows)

    def stop(self, run: InstanceRun, node: NodeRun) -> None:
        """Stop a node that runs (API page of StopInstance: "in the running state")."""
        if node.status != RUNNING:
            raise Refused(
                f"jobInstance is not running, jobInstanceId={node.job_instance_id}, status={node.status}"
            )
        now = self._clock()
        node.log = [line for line in node.log if line[0] <= now]
        node.log.append((now, _KILLED))
        node.status, node.ends, node.result = FAILED, now, _KILLED
        run.stopped = True
        self._settle(run, now)
        self._changed(run)

    def retry(self, run: InstanceRun, node: NodeRun) -> None:
        """Run a node again that has ended, well or badly, and after it what waits for it."""
        if node.status not in (SUCCESS, FAILED, 9):
            raise Refused(f"only a finished job instance can be retried, status={node.status}")
        now = self._clock()
        run.status, run.ended, run.stopped = RUNNING, None, False
        node.attempt += 1
        if self.profile["retry_ids"] == "new":
            self._jobs.pop(node.job_instance_id or 0, None)
            self._give_id(run, node)
        self._schedule(run, node, now)
        self._changed(run)

    def set_success(self, run: InstanceRun) -> None:
        if run.is_active:
            raise Refused(f"workflow instance is not finished, status={run.status}")
        run.status = SUCCESS
        self._changed(run)

    def advance_all(self) -> None:
        for workflow in self.workflows.values():
            self.advance(workflow)

    def advance(self, workflow: Workflow) -> None:
        """Let everything happen that has happened by now, in its order."""
        now = self._clock()
        if self._next_event.get(workflow.workflow_id, 0.0) > now:
            return
        runs = self._by_workflow[workflow.workflow_id]
        going = [run for run in runs if run.status in (READY, RUNNING)]
        waiting = [run for run in runs if run.status == WAITING]
        changed: dict[int, InstanceRun] = {}
        free_since = 0.0
        timer = self._timers.get(workflow.workflow_id)
        while True:
            while waiting and len(going) < workflow.max_concurrency:
                run = waiting.pop(0)
                self._begin(run, workflow, max(run.created, free_since))
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
                if len(going) + len(waiting) < workflow.max_concurrency:
                    run = self._start_scheduled(workflow, planned)
                    waiting.append(run)
                    changed[run.wf_instance_id] = run
                continue
            if event is None or event[0] > now:
                break
            at, wf_instance_id, job_id = event
            run = self.instances[wf_instance_id]
            self._happen(run, run.nodes[job_id], at)
            changed[wf_instance_id] = run
            if not run.is_active:
                going.remove(run)
                free_since = at
        self._next_event[workflow.workflow_id] = min(event[0] if event else float("inf"), planned)
        if changed:
            self._save(changed.values())

    def _begin(self, run: InstanceRun, workflow: Workflow, at: float) -> None:
        run.status, run.started = READY, at
        for node in run.nodes.values():
            if not node.definition.after:
                self._schedule(run, node, at + workflow.preparing / self._speed)

    def _schedule(self, run: InstanceRun, node: NodeRun, at: float) -> None:
        node.status, node.starts, node.ends, node.result = READY, at, None, ""

    def _happen(self, run: InstanceRun, node: NodeRun, at: float) -> None:
        definition = node.definition
        if node.status == READY:
            node.status = run.status = RUNNING
            node.ends = at + definition.duration / self._speed
            node.log += _log(definition, node.attempt, at, node.ends)
            return
        node.status = definition.outcome(node.attempt)
        succeeded = node.status == SUCCESS
        node.result = definition.result if succeeded or definition.result else "failed"
        # A text about a failure is not what the node says once a retry has succeeded.
        if succeeded and definition.outcome(0) != SUCCESS:
            node.result = ""
        self._settle(run, at)

    def _settle(self, run: InstanceRun, at: float) -> None:
        """After a node has ended: start what it allows, and end the instance if nothing goes on."""
        for node in run.nodes.values():
            if node.status == WAITING and all(
                run.nodes[before].status == SUCCESS for before in node.definition.after
            ):
                self._schedule(run, node, at)
        if any(node.status in (READY, RUNNING) for node in run.nodes.values()):
            return
        run.ended = at
        good = all(node.status == SUCCESS for node in run.nodes.values())
        run.status = int(self.profile["stopped_state"]) if run.stopped else SUCCESS if good else FAILED

    def _save(self, runs: Iterable[InstanceRun]) -> None:
        if self._store is not None:
            self._store.save(runs)

    def _changed(self, run: InstanceRun) -> None:
        self._save([run])
        self._look_again(run.workflow_id)

    def _look_again(self, workflow_id: int) -> None:
        self._next_event.pop(workflow_id, None)

    def _give_id(self, run: InstanceRun, node: NodeRun) -> None:
        node.job_instance_id = self._new_id()
        self._jobs[node.job_instance_id] = (run, node)

    def _new_id(self) -> int:
        self._last_id += 1
        return self._last_id


def _log(node: Node, attempt: int, start: float, end: float) -> list[tuple[float, str]]:
    step = (end - start) / (node.log_lines + 1)
    lines = [(start, f"{node.name}: attempt {attempt} starts")]
    lines += [
        (start + step * (index + 1), f"{node.name}: step {index + 1} of {node.log_lines}")
        for index in range(node.log_lines)
    ]
    succeeds = node.outcome(attempt) == SUCCESS
    lines.append((end, f"{node.name}: done" if succeeds else f"{node.name}: ERROR {node.result or 'failed'}"))
    return lines
