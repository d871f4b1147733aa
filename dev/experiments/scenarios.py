"""What happens to a task: the scenarios of the matrix, each against one service under one profile."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from airflow_provider_schedulerx.emulator.profile import Profile
from airflow_provider_schedulerx.exceptions import RunUndecidedError
from airflow_provider_schedulerx.operators.executing import ExecuteOperator
from airflow_provider_schedulerx.operators.schedulerx import ExecuteJobOperator, ExecuteWorkflowOperator
from dev.experiments.airflow_stand_in import Task
from dev.experiments.inprocess import LocalService
from dev.experiments.virtual import VirtualClock

GOOD, BAD, SLOW, ONE, OFF = 1, 2, 3, 4, 5

#: How many earlier runs a workflow has: fewer than a short list shows, and more.
HISTORIES = (3, 14)


@dataclass(frozen=True)
class Variant:
    """How a task is written.

    :ivar parameters: whether it has instance parameters, which no other run has.
    :ivar marker: whether it adds a marker to them.
    :ivar history: how many runs there were before.
    :ivar job: whether it runs a job rather than a workflow.
    """

    deferrable: bool
    parameters: bool
    marker: bool
    history: int
    job: bool = False

    def __str__(self) -> str:
        words = ["deferred" if self.deferrable else "sync"]
        words += [name for name in ("parameters", "marker", "job") if getattr(self, name)]
        return f"{'+'.join(words)}/{self.history}"


def workflows() -> dict[str, Any]:
    def workflow(workflow_id: int, seconds: float, **details: Any) -> dict[str, Any]:
        outcome = details.pop("outcome", "success")
        own = json.dumps({"of": "the job"})
        return {
            "id": workflow_id,
            "namespace": "demo",
            "group": "etl",
            "max_concurrency": 100,
            "preparing": 1,
            "nodes": [
                {"name": "first", "duration": seconds / 3, "parameters": own},
                {"name": "second", "after": "first", "duration": seconds / 3, "parameters": own},
                {
                    "name": "third",
                    "after": "first",
                    "duration": seconds / 2,
                    "outcome": outcome,
                    "parameters": own,
                },
            ],
            **details,
        }

    def job(job_id: int, seconds: float, **details: Any) -> dict[str, Any]:
        return {
            "id": job_id,
            "namespace": "demo",
            "group": "etl",
            "max_concurrency": 100,
            "preparing": 1,
            "duration": seconds * 5 / 6,
            "parameters": json.dumps({"of": "the job"}),
            **details,
        }

    return {
        "accounts": [{"access_key_id": "emulator", "access_key_secret": "emulator-secret"}],
        "namespaces": [{"id": "demo", "groups": ["etl"]}],
        "workflows": [
            workflow(GOOD, 90),
            workflow(BAD, 60, outcome="failed"),
            workflow(SLOW, 7200),
            workflow(ONE, 90, max_concurrency=1),
            workflow(OFF, 30, enabled=False),
        ],
        "jobs": [
            job(GOOD, 90),
            job(BAD, 60, outcome="failed"),
            job(SLOW, 7200),
            job(ONE, 90, max_concurrency=1),
            job(OFF, 30, enabled=False),
        ],
    }


@dataclass
class World:
    """One scenario as it runs.

    :ivar task: the task instance.
    :ivar chance: decides what the scenario leaves to it.
    :ivar is_for_a_person: whether the scenario ended where only a person can decide.
    """

    service: LocalService
    clock: VirtualClock
    variant: Variant
    chance: random.Random
    task: Task = field(init=False)
    is_for_a_person: bool = False

    def __post_init__(self) -> None:
        self.service.kind = "job" if self.variant.job else "workflow"

    @property
    def told(self) -> Any:
        """The run that the task tells of."""
        return self.task.ti.xcoms.get("JobInstanceId" if self.variant.job else "WfInstanceId")

    def define(self, definition_id: int, *, retries: int = 3, **arguments: Any) -> None:
        """Make earlier runs of a workflow or a job, and the task that starts it."""
        engine = self.service.engine
        definition = self.service.definition(definition_id)
        profile, engine.profile = engine.profile, Profile({"when_full": "queue", "disabled_workflow": "run"})
        for number in range(self.variant.history):
            given: dict[str, Any] = {"day": number} if self.variant.parameters else {}
            # Earlier DAG runs of the task had markers of their own.
            given |= {"airflow_run": f"{number:016}"} if self.variant.marker else {}
            shown = json.dumps(given) if given else None
            run = self.service.start(definition, shown)
            assert run is not None
            self.clock.now += 10_000
            engine.advance(definition)
        engine.profile = profile
        delay = self.chance.choice((1, 60, 300))
        parameters = {"day": self.variant.history, "text": "é"} if self.variant.parameters else None

        def make() -> ExecuteOperator:
            operator = ExecuteJobOperator if self.variant.job else ExecuteWorkflowOperator
            what: dict[str, Any] = {"job_id" if self.variant.job else "workflow_id": definition_id}
            return operator(
                task_id="run",
                **what,
                instance_parameters=parameters,
                poll_interval=15,
                deferrable=self.variant.deferrable,
                run_marker=self.variant.marker,
                retries=retries,
                retry_delay=timedelta(seconds=delay),
                **arguments,
            )

        self.task = Task(self.clock, make, retries=retries, retry_delay=delay)
        self.service.at = self.alive

    def _earlier_parameters(self, number: int) -> str | None:
        """Those of an earlier run of the same task, on another day."""
        earlier: dict[str, Any] = {"day": number} if self.variant.parameters else {}
        if self.variant.marker:
            earlier["airflow_run"] = f"{number:016x}"
        return json.dumps(earlier) if earlier else None

    def clear(self) -> None:
        """Let a user clear the task."""
        if not self.knows_its_run:
            # What was started cannot be told from others, and the user has cleared the task all the same.
            self.is_for_a_person = True
        elif not any(isinstance(error, RunUndecidedError) for error in self.task.errors):
            self.task.clear()
            self.task.run()

    @property
    def knows_its_run(self) -> bool:
        """Whether the task knows what it has started last, or could learn it."""
        own = self.service.own
        is_known = not own or own[-1].wf_instance_id == self.told
        return is_known or self.can_tell

    @property
    def can_tell(self) -> bool:
        """Whether the task's runs can be told from others by what the service shows."""
        shown = self.service.engine.profile["parameters_shown"] in ("run", "escaped", "html")
        return shown and (self.variant.parameters or self.variant.marker)

    def die_at(self, stage: str) -> None:
        """Let the worker die at a stage of its first start."""

        def at(operation: str, now: str) -> None:
            if operation == self.service.start_operation and now == stage:
                self.service.at = self.alive
                self.task.die()

        self.service.at = at

    def alive(self, operation: str, stage: str) -> None:
        """Let nothing leave a process that is dead."""
        self.task.process.check()

    def die_before_recorded(self) -> None:
        """Let the worker die after the answer of its first start, before it is written down."""

        def at(operation: str, stage: str) -> None:
            if operation == self.service.start_operation and stage == "answered":
                self.task.store.before_set = die

        def die() -> None:
            self.service.at = self.alive
            self.task.store.before_set = lambda: None
            self.task.die()

        self.service.at = at

    def stranger_at(self, stage: str, workflow_id: int, parameters: str | None) -> None:
        """Let somebody else start the workflow at a stage of the task's first start."""

        def at(operation: str, now: str) -> None:
            if operation == self.service.start_operation and now == stage:
                self.service.at = self.alive
                self.clock.now += 1  # never in the same second
                self.service.start_as_a_stranger(workflow_id, parameters)
                self.clock.now += 1

        self.service.at = at


@dataclass(frozen=True)
class Scenario:
    """:ivar is_ambiguous: whether nobody may know from an answer if a run was started."""

    name: str
    play: Callable[[World], None]
    is_ambiguous: bool = False


def _start(world: World) -> None:
    world.define(GOOD)
    world.task.run()


def _failure(world: World) -> None:
    world.define(BAD, retries=1)
    world.task.run()


def _lost_after(world: World) -> None:
    world.define(world.chance.choice((GOOD, BAD)), retries=2)
    effect = world.chance.choice(("drop", "error", "truncate"))
    world.service.add_fault(effect, **({} if effect == "truncate" else {"when": "after"}))
    world.task.run()


def _lost_before(world: World) -> None:
    world.define(GOOD)
    world.service.add_fault("drop", count=world.chance.choice((1, 2)))
    world.task.run()


def _lost_before_among_strangers(world: World) -> None:
    world.define(GOOD)
    world.service.add_fault("drop")
    world.stranger_at("before", GOOD, world.chance.choice((None, '{"day":99}')))
    world.task.run()


def _lost_after_among_strangers(world: World) -> None:
    world.define(GOOD)
    world.service.add_fault("drop", when="after")
    world.stranger_at(
        world.chance.choice(("before", "after")), GOOD, world.chance.choice((None, '{"day":99}'))
    )
    world.task.run()


def _same_second(world: World) -> None:
    world.define(GOOD, retries=0)

    def at(operation: str, now: str) -> None:
        world.alive(operation, now)
        if operation == world.service.start_operation and now == "before":
            world.service.at = world.alive
            world.service.start_as_a_stranger(GOOD, '{"day":99}')

    world.service.at = at
    world.task.run()


def _dead_before_request(world: World) -> None:
    world.define(GOOD)
    world.die_at("before")
    world.task.run()


def _dead_after_request(world: World) -> None:
    world.define(world.chance.choice((GOOD, BAD)), retries=2)
    world.die_at("after")
    world.task.run()


def _dead_before_recorded(world: World) -> None:
    world.define(GOOD)
    world.die_before_recorded()
    world.task.run()


def _dead_while_following(world: World) -> None:
    world.define(world.chance.choice((GOOD, BAD)), retries=2)
    world.task.dies_after = world.chance.uniform(1, 40)
    world.task.run()


def _kill(world: World) -> None:
    world.define(SLOW)
    # Later than the settling time of 60 s: see tests/matrix.
    world.task.user_ends_after = world.chance.uniform(70, 400)
    world.task.run()


def _clear_while_it_runs(world: World) -> None:
    world.define(GOOD)
    world.task.user_ends_after = world.chance.uniform(5, 30)
    world.task.run()
    world.clear()


def _clear_after_its_end(world: World) -> None:
    world.define(GOOD)
    world.task.run()
    world.clock.sleep(world.chance.choice((10, 1000)))
    world.clear()


def _timeout(world: World) -> None:
    # Longer than the settling time of 60 s: see tests/matrix.
    world.define(SLOW, retries=1, timeout=world.chance.choice((90, 300)))
    world.task.run()


def _full(world: World) -> None:
    world.define(ONE, retries=4)
    world.service.start_as_a_stranger(ONE, '{"day":99}')
    profile = world.service.engine.profile
    # An answer that names a run which no list shows yet cannot be told from a start: see docs/unknowns.md.
    world.clock.now += world.chance.choice((2, 30)) + (profile["when_full"] == "join") * int(
        profile["list_lag"]
    )
    world.task.run()


def _throttled(world: World) -> None:
    world.define(GOOD)
    world.service.add_fault("throttle", count=world.chance.choice((1, 3)), retry_after_ms=20_000)
    world.task.run()


def _disabled(world: World) -> None:
    world.define(OFF, retries=1)
    world.task.run()


SCENARIOS = (
    Scenario("start", _start),
    Scenario("failure and retry", _failure),
    Scenario("answer lost, started", _lost_after, is_ambiguous=True),
    Scenario("request lost", _lost_before, is_ambiguous=True),
    Scenario("request lost, strangers", _lost_before_among_strangers, is_ambiguous=True),
    Scenario("answer lost, strangers", _lost_after_among_strangers, is_ambiguous=True),
    Scenario("dead before request", _dead_before_request, is_ambiguous=True),
    Scenario("dead after request", _dead_after_request, is_ambiguous=True),
    Scenario("dead before recorded", _dead_before_recorded, is_ambiguous=True),
    Scenario("dead while following", _dead_while_following),
    Scenario("kill", _kill),
    Scenario("clear while it runs", _clear_while_it_runs),
    Scenario("clear after its end", _clear_after_its_end),
    Scenario("timeout", _timeout),
    Scenario("workflow is full", _full),
    Scenario("throttled", _throttled),
    Scenario("disabled", _disabled),
    Scenario("strangers in the same second", _same_second, is_ambiguous=True),
)
