"""Airflow on several machines' worth of processes: does losing any of them start a run twice, lose, stop or misreport one?

PostgreSQL, Redis, the CeleryExecutor with two workers, two schedulers, two triggerers and an API server, all
real and on loopback, against the emulator with the account's real quota, which the triggerers share. Runs are
started and waited for in deferred tasks; meanwhile a worker, a scheduler and a triggerer are killed with -9
and come back later, and the emulator, Redis and PostgreSQL are restarted. Then every run that the emulator
has started is held against the final state of its task.

    python -m dev.experiments.distributed                        # 500 runs: a quarter of an hour on 2 cores that are free
    python -m dev.experiments.distributed --runs 40 --seconds 30
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from dev.experiments.experiment import Verdict, conclude, definitions, give_history, judge, show
from dev.harness import redis
from dev.harness.postgres import Postgres
from dev.harness.stack import AirflowStack
from dev.harness.waiting import wait_for

WORKFLOWS = 10
FAILING = WORKFLOWS
#: Calls a minute and operation that the service allows the account, and what each triggerer may use of them. The
#: rest is the workers', which list the runs of a workflow before they start one.
QUOTA = 100
TRIGGERERS = 2
SHARE = 15
WORKER_PROCESSES = 3
#: How the emulator behaves: with a list of 10, the runs that wait beyond would need some ten times the quota.
PROFILE = "list_length=300"
#: Seconds that what was killed stays away: longer than it takes the others to notice.
AWAY = 40

_STARTED = "select count(*) from xcom where dag_id = 'many' and key = 'WfInstanceId'"
_IDS = "select map_index, value from xcom where dag_id = 'many' and key = 'WfInstanceId'"
_STATES = "select coalesce(state, 'none'), count(*) from task_instance group by 1"
_WAITING = "select triggerer_id, count(*) from trigger where triggerer_id is not null group by 1"


def components(home: Path) -> dict[str, tuple[str, ...]]:
    """What runs, by name, in the order in which it is started."""
    worker = (
        *("celery", "worker", "--concurrency", str(WORKER_PROCESSES)),
        *("--skip-serve-logs", "--without-mingle", "--without-gossip"),
    )
    return {
        "api-server": ("api-server",),
        "dag-processor": ("dag-processor",),
        **{f"scheduler-{number}": ("scheduler",) for number in (1, 2)},
        **{f"triggerer-{number}": ("triggerer",) for number in range(1, TRIGGERERS + 1)},
        **{
            name: (*worker, "--celery-hostname", f"{name}@%h", "--pid", str(home / f"{name}.pid"))
            for name in ("worker-1", "worker-2")
        },
    }


def celery_config(broker: redis.Redis, database: Postgres) -> dict[str, str]:
    """What Airflow is told of its executor."""
    return {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__PARALLELISM": "16",
        "AIRFLOW__CELERY__BROKER_URL": broker.url,
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database.config['AIRFLOW__DATABASE__SQL_ALCHEMY_CONN']}",
        # A worker that was killed took messages along, and its tasks are noticed by their heartbeat.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "90",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "15",
    }


def workflows(seconds: float) -> dict[int, tuple[float, str]]:
    """Id -> seconds and outcome. The one that fails is quick, since each of its tasks retries it three times."""
    return {**dict.fromkeys(range(1, WORKFLOWS), (seconds, "success")), FAILING: (seconds / 4, "failed")}


def make_plan(runs: int) -> list[dict[str, int]]:
    """One run in fifty is of the workflow that fails, the others are spread over the rest."""
    return [
        {"workflow_id": FAILING if number % 50 == 7 else 1 + number % (WORKFLOWS - 1)}
        for number in range(runs)
    ]


class Distributed:
    """One experiment.

    :param home: folder for everything.
    :param seconds: that a run takes.
    :ivar done: what was killed and restarted.
    :ivar most_waiting: runs that waited at once, at most.
    :ivar waiting: the same for each triggerer process.
    :ivar calls: by operation.
    :ivar busiest_minute: calls by operation, at most.
    :ivar throttled: calls by operation that were refused for the quota.
    """

    def __init__(self, home: Path, runs: int, seconds: float, minutes: float) -> None:
        self.runs = runs
        self.minutes = minutes
        self.done: list[str] = []
        self.waiting: Counter[str] = Counter()
        self.most_waiting = 0
        self.calls: Counter[str] = Counter()
        self.busiest_minute: Counter[str] = Counter()
        self.throttled: Counter[str] = Counter()
        self._home = home
        self._over = threading.Event()
        self._components = threading.Lock()
        home.mkdir(parents=True, exist_ok=True)
        (home / "plan.json").write_text(json.dumps(make_plan(runs)))
        (home / "workflows.json").write_text(json.dumps(definitions(workflows(seconds))))

    def run(self) -> Verdict:
        state = ("--state", str(self._home / "emulator.db"))
        with (
            EmulatorProcess(
                *("--workflows", str(self._home / "workflows.json")),
                *("--quota", str(QUOTA), "--profile", PROFILE, *state),
            ) as emulator,
            Postgres(self._home / "postgres") as database,
            redis.Redis(self._home / "redis") as broker,
            AirflowStack(
                self._home / "airflow",
                Path(__file__).with_name("distributed_dags"),
                {"schedulerx_default": emulator.connection(calls_per_minute=SHARE)},
                {
                    **database.config,
                    "DISTRIBUTED_PLAN": str(self._home / "plan.json"),
                    **celery_config(broker, database),
                    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "5",
                },
                components=components(self._home),
            ) as airflow,
        ):
            self._emulator, self._airflow, self._database, self._broker = emulator, airflow, database, broker
            give_history(emulator, workflows(0))
            run_id = airflow.trigger("many", timeout=120)
            self._began = time.monotonic()
            threads = [threading.Thread(target=target, daemon=True) for target in (self._watch, self._faults)]
            for thread in threads:
                thread.start()
            try:
                wait_for("the DAG run has ended", self._has_ended, self.minutes * 60, pause=2)
            finally:
                self._over.set()
                for thread in threads:
                    thread.join(AWAY + 60)
            self._say("all tasks have ended")
            self._count()
            return judge("distributed", self._tasks(run_id), emulator.instances(), may_stop=False)

    def _tasks(self, run_id: str) -> dict[int, tuple[str, int | None]]:
        states = self._airflow.task_instances("many", run_id)
        found = {int(index): int(value) for index, value in self._database.query(_IDS)}
        return {index: (state, found.get(index)) for (_, index), state in states.items()}

    def _has_ended(self) -> bool:
        with self._components:
            for name in self._airflow.revive():
                self._say(f"{name} ended by itself and was started again")
        counts = self._states()
        return sum(counts[state] for state in ("success", "failed")) == self.runs

    def _states(self) -> Counter[str]:
        """State -> task instances; none if the database is away."""
        return Counter(dict(self._ask(_STATES)))

    def _ask(self, statement: str) -> list[tuple[Any, ...]]:
        import psycopg2

        try:
            return self._database.query(statement)
        except psycopg2.OperationalError:
            return []

    def _say(self, what: str) -> None:
        self.done.append(what)
        print(f"{time.monotonic() - self._began:>6.0f} s  {what}", flush=True)

    def _watch(self) -> None:
        """How many runs wait in which triggerer."""
        last = 0.0
        while not self._over.wait(3):
            rows = self._ask(_WAITING)
            for job_id, count in rows:
                self.waiting[f"triggerer job {job_id}"] = max(self.waiting[f"triggerer job {job_id}"], count)
            self.most_waiting = max(self.most_waiting, sum(count for _, count in rows))
            if time.monotonic() > last + 30:
                last = time.monotonic()
                print(f"{last - self._began:>6.0f} s  {dict(self._states())}", flush=True)

    def _count(self) -> None:
        """Add the emulator's counters, which do not survive it."""
        counters = self._emulator.counters()
        self.calls.update(counters["calls"])
        self.busiest_minute |= Counter(counters["busiest_minute"])
        for operation, outcomes in counters["outcomes"].items():
            self.throttled[operation] += outcomes.get("Throttling.User", 0)

    # What happens, and when.

    def _faults(self) -> None:
        # Each once that share of the tasks has started its run.
        faults: list[tuple[float, Callable[[], None]]] = [
            (0.15, lambda: self._lose("worker-1")),
            (0.35, lambda: self._lose("scheduler-1")),
            (0.55, lambda: self._restart("Redis", self._broker.restart)),
            (0.7, lambda: self._lose("triggerer-1")),
            (0.85, lambda: self._restart("PostgreSQL", self._database.restart)),
            (0.95, lambda: self._restart("the emulator", self._restart_emulator)),
        ]
        for share, fault in faults:
            while sum(count for (count,) in self._ask(_STARTED)) < share * self.runs:
                if self._over.wait(1):
                    return
            fault()

    def _lose(self, name: str) -> None:
        """Kill a component, and start it again after a while."""
        with self._components:
            self._airflow.kill_component(name)
        self._say(f"{name} killed with -9")

        def come_back() -> None:
            self._over.wait(AWAY)
            with self._components:
                if not self._over.is_set():
                    self._airflow.start_component(name)
                    self._say(f"{name} is back")

        threading.Thread(target=come_back, daemon=True).start()

    def _restart(self, name: str, restart: Callable[[], object]) -> None:
        restart()
        self._say(f"{name} restarted")

    def _restart_emulator(self) -> None:
        self._count()
        self._emulator.kill()
        self._emulator.restart()


def report(experiment: Distributed, verdict: Verdict, seconds: float) -> int:
    """Print what happened. :return: 0 if all is as promised."""
    show([verdict])
    print(f"\nmost runs waiting at once: {experiment.most_waiting}, of them in {dict(experiment.waiting)}")
    print(f"{'':<22} {'calls':>6} {'busiest minute':>15} {'throttled':>10}   (quota {QUOTA} a minute)")
    for operation, calls in sorted(experiment.calls.items()):
        minute, throttled = experiment.busiest_minute[operation], experiment.throttled[operation]
        print(f"{operation:<22} {calls:>6} {minute:>15} {throttled:>10}")
    print(f"{seconds:.0f} s in all")
    return conclude([verdict])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=240, help="that a run takes")
    parser.add_argument(
        "--minutes", type=float, default=40, help="limit for the DAG run; the rest takes one more"
    )
    parser.add_argument("--home", type=Path, help="folder for logs; a temporary one by default")
    arguments = parser.parse_args()
    home = arguments.home or Path(tempfile.mkdtemp(prefix="distributed-"))
    began = time.monotonic()
    experiment = Distributed(home, arguments.runs, arguments.seconds, arguments.minutes)
    return report(experiment, experiment.run(), time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
