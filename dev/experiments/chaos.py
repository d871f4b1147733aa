"""The chaos suite: does any fault make a task start a run twice, lose one, or report a wrong end?

A real Airflow runs tasks against the emulator while a seeded schedule of faults is injected: task processes
killed with -9 and workers told to end at chosen moments, answers lost in several ways, the emulator, the triggerer and the database
killed and restarted. Then every run that the emulator has started is held against the final state of its
task. The same cases with the same faults are run with a plain start-and-poll operator, to compare.

    python -m dev.experiments.chaos                      # the long form: 300 faulted task runs, 200 waiting runs
    python -m dev.experiments.chaos --cases 24 --waiting 0
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from airflow_provider_schedulerx.api.runs.kinds import kind_named
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from dev.experiments import faulty
from dev.experiments.experiment import Verdict, conclude, definitions, give_history, judge, show
from dev.harness import postgres
from dev.harness.rest import HAS_TASK_STATE_STORE
from dev.harness.stack import AirflowStack
from dev.harness.waiting import wait_for

RETRIES = 4
#: The first of so many alike, so that a list of 10 runs, which is all that a service may give, reaches back.
GOOD, BAD = 100, 200
_ALIKE = 24
SLOW = 3

#: Faults of a case that the emulator makes: the answer of its first ExecuteWorkflow is lost, the run is started.
LOST_ANSWERS: dict[str, dict[str, Any]] = {
    "drop_after": {"effect": "drop", "when": "after"},
    "error_after": {"effect": "error", "when": "after", "status": 502},
    "truncate": {"effect": "truncate"},
    "drop_before": {"effect": "drop", "when": "before"},
}
FAULTS = (*faulty.KILLS, *faulty.EVICTIONS, *LOST_ANSWERS)

#: How the tasks of a DAG run are written: with Airflow's store, without it but with a marker, so many that only wait, and
#: the plain operator to compare with.
FLAVORS = ("durable", "marked", "waiting", "plain")


def workflows(slow_seconds: float) -> dict[str, Any]:
    good = {GOOD + number: (6.0, "success") for number in range(_ALIKE)}
    bad = {BAD + number: (3.0, "failed") for number in range(_ALIKE)}
    return definitions({**good, **bad, SLOW: (slow_seconds, "success")}, jobs={**good, **bad})


def make_plan(seed: int, cases: int, waiting: int) -> dict[str, Any]:
    """Every fault equally often, in a random order, over both ways of waiting, both ends and both kinds of a run."""
    chance = random.Random(seed)
    faults = [FAULTS[number % len(FAULTS)] for number in range(cases)]
    chance.shuffle(faults)

    def case(number: int, fault: str) -> dict[str, Any]:
        deferrable = number % 2 == 1
        # A third of them.
        kind = "job" if number % 6 > 3 else "workflow"
        return {
            "case": number,
            "fault": fault,
            "kind": kind,
            "definition_id": (BAD if chance.random() < 0.2 else GOOD) + number % _ALIKE,
            "deferrable": deferrable,
            "task_id": ("deferred" if deferrable else "sync") + ("_job" if kind == "job" else ""),
        }

    return {
        "seed": seed,
        "retries": RETRIES,
        "cases": [case(number, fault) for number, fault in enumerate(faults)],
        "waiting": [
            {
                "case": number,
                "fault": "",
                "kind": "workflow",
                "definition_id": SLOW,
                "deferrable": True,
                "task_id": "waiting",
            }
            for number in range(waiting)
        ],
    }


class Chaos:
    """One experiment.

    :param home: folder for everything.
    :param profile: of the emulator.
    :param flavors: which of :data:`FLAVORS` to run; all by default.
    """

    def __init__(
        self,
        home: Path,
        *,
        seed: int,
        cases: int,
        waiting: int,
        minutes: float,
        profile: str = "documented",
        flavors: Collection[str] = FLAVORS,
    ) -> None:
        self.profile = profile
        self.flavors = flavors
        self.plan = make_plan(seed, cases, waiting)
        self.chance = random.Random(seed + 1)
        self.minutes = minutes
        self.injected: Counter[str] = Counter()
        self._home = home
        self._stop = threading.Event()
        self._components = threading.Lock()
        home.mkdir(parents=True, exist_ok=True)
        (home / "plan.json").write_text(json.dumps(self.plan))
        # Long enough for the last waiting task to defer before the first run ends.
        (home / "workflows.json").write_text(json.dumps(workflows(45 + 1.5 * waiting)))

    def run(self) -> list[Verdict]:
        state = ("--state", str(self._home / "emulator.db"))
        with (
            EmulatorProcess(
                *("--workflows", str(self._home / "workflows.json"), "--quota", "1000000", *state),
                profile=self.profile,
            ) as emulator,
            postgres.database(self._home / "postgres") as database,
            AirflowStack(
                self._home / "airflow",
                Path(__file__).with_name("chaos_dags"),
                {"schedulerx_default": emulator.connection(calls_per_minute=10_000)},
                {
                    "CHAOS_PLAN": str(self._home / "plan.json"),
                    "AIRFLOW__CORE__PARALLELISM": "12",
                    "AIRFLOW__CORE__MAX_TEMPLATED_FIELD_LENGTH": "4096",
                    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
                    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
                    **(database.config if database else {}),
                },
            ) as airflow,
        ):
            self._emulator, self._airflow, self._database = emulator, airflow, database
            emulator.set_profile("documented")
            known = workflows(0)
            give_history(
                emulator,
                [workflow["id"] for workflow in known["workflows"]],
                [job["id"] for job in known["jobs"]],
            )
            emulator.set_profile(self.profile)
            return [self._flavor(flavor) for flavor in FLAVORS if self._is_wanted(flavor)]

    def _is_wanted(self, flavor: str) -> bool:
        if flavor == "durable" and not HAS_TASK_STATE_STORE:
            return False
        return flavor in self.flavors and bool(self._cases(flavor))

    def _cases(self, flavor: str) -> list[dict[str, Any]]:
        cases: list[dict[str, Any]] = self.plan["waiting" if flavor == "waiting" else "cases"]
        return cases

    def _flavor(self, flavor: str) -> Verdict:
        dag_id, cases = f"chaos_{flavor}", self._cases(flavor)
        restarts = self._waiting_faults if flavor == "waiting" else self._restarts
        for case in cases:
            self._arm(case, flavor)
        run_id = self._airflow.trigger(dag_id)
        began = time.monotonic()
        self._stop.clear()
        restarting = threading.Thread(target=restarts, args=(dag_id, run_id, flavor), daemon=True)
        restarting.start()
        try:
            wait_for(
                f"{dag_id} has ended", lambda: self._has_ended(dag_id, run_id), self.minutes * 60, pause=2
            )
        finally:
            self._stop.set()
            restarting.join(120)
        print(f"{dag_id}: {time.monotonic() - began:.0f} s", flush=True)
        return judge(
            flavor, self._tasks(dag_id, run_id, cases), self._settled(), may_stop=flavor != "waiting"
        )

    def _arm(self, case: dict[str, Any], flavor: str) -> None:
        mine = json.dumps({"case": case["case"], "flavor": flavor}, separators=(",", ":"))[:-1]
        start = kind_named(case["kind"]).start_operation.name
        if case["fault"] in LOST_ANSWERS:
            self._emulator.add_fault(start, parameters=mine, **LOST_ANSWERS[case["fault"]])
        if case["fault"] == "kill_during_request":
            held: dict[str, Any] = {"effect": "delay", "when": "after", "seconds": faulty.ANSWER_DELAY}
            self._emulator.add_fault(start, parameters=mine, **held)
        if case["fault"]:
            self.injected[f"{flavor}: {case['fault']}"] += 1

    def _has_ended(self, dag_id: str, run_id: str) -> bool:
        with self._components:
            for component in self._airflow.revive():
                self.injected[f"Airflow's {component} ended by itself"] += 1
        try:
            return self._airflow.dag_run_state(dag_id, run_id) in ("success", "failed")
        except OSError:  # the database is away
            return False

    def _tasks(
        self, dag_id: str, run_id: str, cases: list[dict[str, Any]]
    ) -> dict[int, tuple[str, int | None]]:
        found: dict[int, tuple[str, int | None]] = {}
        listed = self._airflow.task_instances(dag_id, run_id)
        ids = {
            **self._airflow.xcoms(dag_id, run_id, "WfInstanceId"),
            **self._airflow.xcoms(dag_id, run_id, "JobInstanceId"),
        }
        of_tasks: dict[str, list[dict[str, Any]]] = {"plain": cases}
        for case in cases:
            of_tasks.setdefault(case["task_id"], []).append(case)
        for task_id, of_task in of_tasks.items():
            for index, case in enumerate(of_task):
                state = listed.get((task_id, index))
                if state is not None:
                    found[case["case"]] = (state, ids.get((task_id, index)))
        return found

    def _settled(self) -> list[dict[str, Any]]:
        """All runs, once those that nobody waits for have had the time to end too."""
        time.sleep(8)
        return self._emulator.instances()

    # What happens to everybody at once.

    def _restarts(self, dag_id: str, run_id: str, flavor: str) -> None:
        """While tasks run: the emulator, the triggerer and the database, again and again, in a random order."""
        kinds = [self._kill_emulator, self._kill_triggerer]
        if self._database:
            kinds.append(self._restart_database)
        # Few enough that no try meets more of them than it has retries.
        while not self._stop.wait(self.chance.uniform(20, 40)):
            if flavor == "plain":
                # Its tries have no patience: restarts would add to what the chosen faults do.
                return
            self.chance.choice(kinds)(flavor)

    def _waiting_faults(self, dag_id: str, run_id: str, flavor: str) -> None:
        """Once all wait: the triggerer, the emulator and the database, one after the other."""

        def all_wait() -> bool:
            if self._stop.is_set():
                return True
            try:
                states = Counter(self._airflow.task_instances(dag_id, run_id).values())
            except OSError:
                return False
            return states["deferred"] == len(self.plan["waiting"])

        wait_for("all tasks wait", all_wait, self.minutes * 60, pause=3)
        print(f"{len(self.plan['waiting'])} runs wait in the triggerer", flush=True)
        for fault in (self._kill_triggerer, self._kill_emulator, self._restart_database):
            if not self._stop.is_set():
                fault(flavor)
                time.sleep(5)

    def _kill_emulator(self, flavor: str) -> None:
        pending = self._emulator.pending_faults()
        self._emulator.kill()
        time.sleep(2)
        self._emulator.restart()
        for fault in pending:
            self._emulator.add_fault(**fault)
        self.injected[f"{flavor}: emulator killed"] += 1

    def _kill_triggerer(self, flavor: str) -> None:
        with self._components:
            self._airflow.kill_component("triggerer")
            self._airflow.start_component("triggerer")
        self.injected[f"{flavor}: triggerer killed"] += 1

    def _restart_database(self, flavor: str) -> None:
        if self._database is None:
            return
        self._database.restart()
        self.injected[f"{flavor}: database restarted"] += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=300, help="faulted task runs, of each operator")
    parser.add_argument(
        "--waiting", type=int, default=200, help="runs that wait while the triggerer is killed"
    )
    parser.add_argument("--minutes", type=float, default=30, help="limit for each DAG run")
    parser.add_argument("--profile", default="documented", help="of the emulator (default: %(default)s)")
    parser.add_argument("--flavor", action="append", choices=FLAVORS, help="instead of all")
    parser.add_argument("--home", type=Path, help="folder for logs; a temporary one by default")
    arguments = parser.parse_args()
    home = arguments.home or Path(tempfile.mkdtemp(prefix="chaos-"))
    chaos = Chaos(
        home,
        seed=arguments.seed,
        cases=arguments.cases,
        waiting=arguments.waiting,
        minutes=arguments.minutes,
        profile=arguments.profile,
        flavors=arguments.flavor or FLAVORS,
    )
    if postgres.programs() is None:
        print("PostgreSQL is not installed: the database is SQLite, and is not restarted", flush=True)
    began = time.monotonic()
    verdicts = chaos.run()
    return report(chaos, verdicts, time.monotonic() - began)


def report(chaos: Chaos, verdicts: list[Verdict], seconds: float) -> int:
    """Print what happened. :return: 0 if nothing of ours went wrong."""
    print(
        f"\nprofile {chaos.profile}, seed {chaos.plan['seed']}, {seconds:.0f} s; faults injected: {chaos.injected.total()}"
    )
    for name, count in sorted(chaos.injected.items()):
        print(f"  {count:>4} {name}")
    show(verdicts, but="plain")
    return conclude(verdicts, but="plain")


if __name__ == "__main__":
    sys.exit(main())
