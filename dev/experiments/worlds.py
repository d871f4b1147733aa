"""Random worlds: is the provider right in what nobody thought of?

Each has a random profile of the service, a random workflow or job, random arguments of the task, and random things that
happen meanwhile: faults, dead workers, kills, clears, other people's runs, people in the console. In virtual time, as
:mod:`dev.experiments.matrix`, which has the scenarios that somebody did think of. Then each run is held against its task.

    python -m dev.experiments.worlds                    # 3,000 worlds: a few minutes
    python -m dev.experiments.worlds --first 4711 --worlds 1 --verbose
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_schedulerx.emulator.behaviours import BEHAVIOURS
from airflow_provider_schedulerx.emulator.engine import NotStarted, Refused
from airflow_provider_schedulerx.emulator.instances import SUCCESS, InstanceRun
from airflow_provider_schedulerx.emulator.profile import Profile
from airflow_provider_schedulerx.exceptions import (
    RunAlreadyActiveError,
    RunLostError,
    RunNotStartedError,
    RunUndecidedError,
    SchedulerXError,
)
from dev.experiments.airflow_stand_in import Killed
from dev.experiments.inprocess import LocalService
from dev.experiments.matrix import FIXED, silenced
from dev.experiments.scenarios import Variant, World, workflows
from dev.experiments.virtual import VirtualClock

#: Of the long form.
WORLDS = 3000

#: The workflow and the job of every world.
_ID = 1
_READS = (
    "GetWorkflowInstance",
    "ListWorkflowInstance",
    "GetJobInstance",
    "GetJobInstanceList",
    "StopInstance",
)
#: Calls of a task, beyond which it is taken to run for ever.
_MAX_CALLS = 20_000


class EndlessError(Exception):
    """A task makes calls, and does not end."""


@dataclass
class RandomWorld:
    """One world.

    :ivar told: what was chosen and what happened, in words.
    :ivar strangers: runs that others have started.
    :ivar clears: moments at which the task was cleared.
    """

    seed: int
    told: list[str] = field(default_factory=list)
    strangers: list[InstanceRun] = field(default_factory=list)
    clears: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = chance = random.Random(self.seed)
        self.profile = Profile(
            {key: chance.choice(each.names) for key, each in BEHAVIOURS.items() if chance.random() < 0.4}
            | FIXED
        )
        self.variant = Variant(
            deferrable=chance.random() < 0.5,
            parameters=chance.random() < 0.6,
            marker=chance.random() < 0.5,
            history=chance.choice((0, 1, 3, 9, 14)),
            job=chance.random() < 0.3,
        )
        self.arguments: dict[str, Any] = {
            "retries": chance.choice((0, 1, 2, 4)),
            "on_retry": chance.choice(("reattach", "reattach", "restart", "rerun_failed")),
            "if_running": chance.choice(("start", "start", "start", "reattach", "skip", "fail")),
            "cancel_on_kill": chance.random() < 0.85,
            "timeout": chance.choice((None, None, None, 30, 100, 400)),
            "settling_time": chance.choice((60, 60, 30, 200)),
        }
        self.clock = VirtualClock()
        self.service = LocalService(self._definitions(), self.profile, self.clock, self.seed)
        self.world = World(self.service, self.clock, self.variant, random.Random(self.seed))
        self.told += [f"profile {self.profile}", f"task {self.variant} {self.arguments}"]
        self._due: list[tuple[float, Callable[[], None]]] = []
        self._stages: list[tuple[str, int, str, Callable[[], None]]] = []
        self._starts = 0
        self._calls = 0

    def _definitions(self) -> dict[str, Any]:
        chance = self.chance
        known = workflows()
        nodes: list[dict[str, Any]] = []
        for number in range(chance.choice((2, 2, 3, 6))):
            after = [node["name"] for node in nodes if chance.random() < 0.5]
            nodes.append(
                {
                    "name": f"n{number}",
                    "after": after,
                    "duration": chance.choice((1, 10, 40, 300)),
                    "outcome": self._outcome(),
                    "parameters": '{"of": "the job"}',
                }
            )
        common = {
            "enabled": chance.random() < 0.95,
            "max_concurrency": chance.choice((1, 2, 100)),
            # Less than Airflow gives a killed task: what is about to run cannot be stopped.
            "preparing": chance.choice((0, 1, 3)),
        }
        self.told.append(f"{common} {[(node['after'], node['duration'], node['outcome']) for node in nodes]}")
        last = nodes[-1]
        job = {**known["jobs"][0], "duration": last["duration"], "outcome": last["outcome"], **common}
        workflow = {**known["workflows"][0], "nodes": nodes, **common}
        return {**known, "workflows": [workflow], "jobs": [job]}

    def _outcome(self) -> Any:
        if self.chance.random() < 0.85:
            return "success"
        return self.chance.choice(("failed", "failed", ["failed", "success"], 6, 11))

    # What happens.

    def play(self) -> None:
        """Let it happen."""
        chance, world = self.chance, self.world
        with self.service.in_force():
            world.define(_ID, **self.arguments)
            task = world.task
            self._began = self.clock.now
            for _ in range(chance.choice((0, 1, 1, 2, 3))):
                self._something()
            self.service.at = self._at
            if chance.random() < 0.25:
                task.user_ends_after = chance.uniform(0, 200)
                self.told.append(f"a user ends it {task.user_ends_after:.1f} s after its start")
            if chance.random() < 0.2:
                task.dies_after = chance.uniform(0, 200)
                self.told.append(f"its process dies {task.dies_after:.1f} s after its start")
            task.run()
            while chance.random() < 0.3 and not world.is_for_a_person:
                self.clock.sleep(chance.choice((1, 10, 1000)))
                self.told.append("a user clears it")
                self.clears.append(self.clock.now)
                world.clear()
            self.service.at = lambda operation, stage: None
            self.clock.sleep(1)
            self.service.engine.advance_all()

    def _something(self) -> None:
        chance = self.chance
        stage, start = chance.choice(("before", "after", "answered")), chance.choice((1, 1, 1, 2))
        seconds = chance.choice((0, 5, 30, 100, 400))
        match chance.choice(("start", "start", "read", "death", "stranger", "stranger", "console")):
            case "start":
                effect = chance.choice(("drop", "error", "truncate", "throttle", "delay"))
                details: dict[str, Any] = {
                    "count": chance.choice((1, 1, 2)),
                    "when": chance.choice(("before", "after")),
                }
                if effect == "delay":
                    details["seconds"] = chance.choice((5, 45))
                self.told.append(f"start meets {effect} {details}")
                self.service.add_fault(effect, **details)
            case "read":
                name, count, skip = chance.choice(_READS), chance.choice((1, 5, 30)), chance.choice((0, 3))
                effect = chance.choice(("drop", "error", "truncate", "throttle"))
                self.told.append(f"{name} meets {effect}, {count} times after {skip}")
                self._fault(name, effect, count, skip)
            case "death":
                self.told.append(f"its process dies {stage} start {start}")
                self._stages.append((stage, start, "death", self._die))
            case "stranger":
                parameters = chance.choice((None, '{"day":99}', json.dumps({"day": self.variant.history})))
                if chance.random() < 0.5:
                    self.told.append(f"a stranger starts {parameters} {stage} start {start}")
                    self._stages.append((stage, start, "stranger", lambda: self._stranger(parameters)))
                else:
                    self.told.append(f"a stranger starts {parameters} after {seconds} s")
                    self._due.append((self._began + seconds, lambda: self._stranger(parameters)))
            case "console":
                what = chance.choice((self._stop_in_console, self._continue_in_console))
                self.told.append(f"a person: {what.__name__} after {seconds} s")
                self._due.append((self._began + seconds, what))

    def _fault(self, operation: str, effect: str, count: int, skip: int) -> None:
        from airflow_provider_schedulerx.emulator.faults import Fault

        self.service.emulator.faults.pending.append(Fault(operation, effect, count=count, skip=skip))

    def _die(self) -> None:
        self.world.task.die()

    def _stranger(self, parameters: str | None) -> None:
        self.clock.now += 1  # never in the same second
        try:
            self.strangers.append(self.service.start_as_a_stranger(_ID, parameters))
        except (Refused, NotStarted):
            return
        finally:
            self.clock.now += 1

    def _own(self) -> InstanceRun | None:
        return self.service.own[-1] if self.service.own else None

    def _stop_in_console(self) -> None:
        run = self._own()
        for node in run.nodes.values() if run else ():
            if node.status == 3 and run is not None:
                self.service.engine.stop(run, node)

    def _continue_in_console(self) -> None:
        run = self._own()
        for node in run.nodes.values() if run else ():
            if run is not None and node.is_retriable and node.status != SUCCESS and not run.is_active:
                self.service.engine.retry(run, node)

    def _at(self, operation: str, stage: str) -> None:
        """At each stage of each call: what is due happens now."""
        self.world.task.process.check()
        if threading.current_thread() is not threading.main_thread():
            return
        self._calls += 1
        if self._calls > _MAX_CALLS:
            raise EndlessError(f"{self._calls} stages of calls")
        for moment in [each for each in self._due if each[0] <= self.clock.now]:
            self._due.remove(moment)
            moment[1]()
        if operation != self.service.start_operation or asyncio._get_running_loop() is not None:
            return
        self._starts += stage == "before"
        for happening in [each for each in self._stages if each[:2] == (stage, self._starts)]:
            self._stages.remove(happening)
            happening[3]()

    # What has to be so.

    @property
    def is_ambiguous(self) -> bool:
        """Whether it may be right to leave the decision to a person."""
        words = " ".join(self.told[2:])
        return (
            self.profile["late_refusal"] != "never"
            or self.profile["when_full"] in ("skip", "join")
            or (self.variant.job and self.profile["same_second"] == "error")
            or any(word in words for word in ("start meets", "dies", "stranger", "ends it", "meets"))
        )

    def problems(self) -> Iterator[str]:
        """What is not as promised, each in a sentence."""
        task, own = self.world.task, self.service.own
        last = task.errors[-1] if task.errors else None
        for error in task.errors:
            if not isinstance(error, AirflowException | SchedulerXError | Killed):
                yield f"crash: {error!r}"
        joins = self.profile["when_full"] == "join"
        for run in self.strangers:
            # What no list has shown yet cannot be told from a run that was started: docs/unknowns.md.
            if run.stopped and not joins:
                yield f"stranger: {run.wf_instance_id} of somebody else was stopped"
        told = self.service.engine.instances.get(self.world.told or 0)
        if isinstance(last, RunUndecidedError) or self.world.is_for_a_person:
            if not self.is_ambiguous:
                yield f"needless doubt: {last}"
            return
        yield from self._doubles()
        if task.state == "success":
            if told is None or told.status != SUCCESS:
                yield f"wrong: the task is success, its run {told and told.status}"
            elif told not in own and self.arguments["if_running"] != "reattach" and not joins:
                yield f"wrong: the task is success with {told.wf_instance_id}, which somebody else has started"
        elif task.state == "failed" and not task.was_ended_by_user and told is not None:
            allowed = (RunLostError, RunNotStartedError, RunAlreadyActiveError, Killed, SchedulerXError)
            if told.status == SUCCESS and told in own and not isinstance(last, allowed):
                yield f"wrong: the task is failed, its run has succeeded; {last!r}"
        elif task.state == "failed" and self._is_quiet:
            yield f"gave up: the task is failed, though nothing happened; {last!r}"
        yield from self._left_over(last)

    @property
    def _is_quiet(self) -> bool:
        """Whether nothing kept the task from succeeding at its first try, not even the outcome of its run."""
        return (
            len(self.told) == 3
            and self.profile["late_refusal"] == "never"
            and self.arguments["timeout"] is None
            and "'enabled': True" in self.told[0]
            and not re.search(r"failed|, (6|11)\)", self.told[0])
        )

    def _doubles(self) -> Iterator[str]:
        for earlier, later in itertools.combinations(self.service.own, 2):
            is_cleared = any(earlier.created < moment <= later.created for moment in self.clears)
            if earlier.ended is None or earlier.ended > later.created:
                if self.arguments["cancel_on_kill"] or not is_cleared:
                    yield f"duplicate: {later.wf_instance_id} beside {earlier.wf_instance_id}"
            elif earlier.status == SUCCESS and not is_cleared:
                yield f"duplicate: {later.wf_instance_id} after the success of {earlier.wf_instance_id}"

    def _left_over(self, last: BaseException | None) -> Iterator[str]:
        task = self.world.task
        # Of a task that says that it knows no more, and of one that died in its last try, something may be left: also if a user
        # has ended it, and a fault has lasted longer than Airflow waits for it.
        has_died = isinstance(last, Killed) and (not task.was_ended_by_user or "meets" in " ".join(self.told))
        is_said = task.state == "failed" and (isinstance(last, RunLostError) or has_died)
        for run in self.service.own:
            if (
                run.is_active
                and self.arguments["cancel_on_kill"]
                and not is_said
                and self.world.knows_its_run
            ):
                yield f"left over: {run.wf_instance_id} is active, the task is {task.state}; {last!r}"


@dataclass
class Outcome:
    """What came of a world.

    :ivar problems: each a sentence.
    :ivar told: what was chosen and what happened.
    """

    seed: int
    state: str
    problems: list[str]
    told: list[str]


def play(seed: int) -> Outcome:
    """Play the world of a seed, and judge it."""
    made = RandomWorld(seed)
    random.seed(seed)
    try:
        made.play()
        problems = list(made.problems())
    except Exception as error:
        problems = [f"crash: {error!r}"]
    state = "doubt" if made.world.is_for_a_person else str(made.world.task.state)
    return Outcome(seed, state, problems, made.told)


def report(outcomes: list[Outcome], seconds: float) -> int:
    """Print figures and every problem. :return: exit status."""
    states = Counter(outcome.state for outcome in outcomes)
    bad = [outcome for outcome in outcomes if outcome.problems]
    print(f"{len(outcomes)} worlds in {seconds:.0f} s: {dict(states)}, {len(bad)} not as promised")
    for kind, count in Counter(each.problems[0].partition(":")[0] for each in bad).most_common():
        print(f"  {count} x {kind}")
    for outcome in bad[:20]:
        print(f"\n--first {outcome.seed} --worlds 1: {'; '.join(outcome.problems)[:600]}")
        for line in outcome.told:
            print(f"    {line}")
    return 1 if bad else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--worlds", type=int, default=WORLDS, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, help="seed of the first one (default: a random one)")
    parser.add_argument("--verbose", action="store_true", help="show what the provider logs")
    arguments = parser.parse_args()
    first = random.SystemRandom().randrange(10**6) if arguments.first is None else arguments.first
    print(f"seeds {first} to {first + arguments.worlds - 1}", flush=True)
    began = time.monotonic()
    with nullcontext() if arguments.verbose else silenced():
        outcomes = [play(seed) for seed in range(first, first + arguments.worlds)]
    return report(outcomes, time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
