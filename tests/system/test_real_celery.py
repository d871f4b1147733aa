"""What becomes of a run whose task is on a Celery worker when that worker is shut down, away or frozen, or a user acts."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from dev.experiments.distributed import celery_config
from dev.harness import postgres, redis
from dev.harness.postgres import Postgres
from dev.harness.rest import HAS_TASK_STATE_STORE
from dev.harness.stack import AirflowStack
from dev.harness.waiting import wait_for
from tests.conftest import ROOT, WORKFLOWS

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not postgres.programs(), reason="no PostgreSQL here: apt-get install postgresql"),
    pytest.mark.skipif(not redis.program(), reason="no Redis here: apt-get install redis-server"),
    pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="a retry knows nothing of the previous try"),
]

ENDLESS = 3
RUNNING, FAILED = 3, 5
#: What a try says that leaves its run to the next one.
NO_ONE_ENDED = "Airflow does not say that anyone has ended it"
WORKER = "worker"
_WORKER = (
    "celery",
    "worker",
    "--concurrency",
    "2",
    "--skip-serve-logs",
    "--without-mingle",
    "--without-gossip",
)

#: Seconds for what is certain to come: only a failure takes so long, however busy the machine is.
PATIENCE = 400

#: A try that gets no answer ends soon, and one that says nothing is soon believed dead.
_HASTE = {
    "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "2",
    "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
}


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--workflows", str(WORKFLOWS), "--quota", "100000") as emulator:
        yield emulator


@pytest.fixture(scope="module")
def airflow(emulator: EmulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    pytest.importorskip("airflow.providers.celery")
    home = tmp_path_factory.mktemp("celery")
    with (
        Postgres(home / "postgres") as database,
        redis.Redis(home / "redis") as broker,
        AirflowStack(
            home / "airflow",
            ROOT / "tests" / "system" / "dags",
            {"schedulerx_default": emulator.connection(calls_per_minute=10000)},
            {**database.config, **celery_config(broker, database), **_HASTE},
            components={
                **{name: (name,) for name in ("api-server", "dag-processor", "scheduler")},
                WORKER: (*_WORKER, "--pid", str(home / "worker.pid")),
            },
        ) as stack,
    ):
        yield stack


class Followed:
    """A task that follows a run which never ends. :ivar id: of the run."""

    def __init__(self, airflow: AirflowStack, emulator: EmulatorProcess, dag_id: str) -> None:
        self._airflow, self._emulator, self._dag_id = airflow, emulator, dag_id
        self._before = emulator.starts(ENDLESS)
        self.run_id = airflow.trigger(dag_id, {"workflow_id": ENDLESS, "fault": ""})
        wait_for("a run is started", lambda: emulator.starts(ENDLESS) > self._before, PATIENCE)
        self.id = self.runs[0]["wf_instance_id"]
        self.wait_for_try(1)

    @property
    def runs(self) -> list[dict[str, Any]]:
        """Those that the task has started."""
        return list(self._emulator.instances(ENDLESS)[self._before :])

    @property
    def is_one_run(self) -> bool:
        """Whether there is but the first run, and it runs."""
        return [(run["wf_instance_id"], run["status"]) for run in self.runs] == [(self.id, RUNNING)]

    @property
    def task(self) -> dict[str, Any]:
        """The task instance."""
        return self._airflow.task(self._dag_id, self.run_id, "run")

    def log(self, number: int) -> str:
        """What a try has logged, from its file: the API may be away."""
        logs = Path(
            self._airflow.home, "logs", f"dag_id={self._dag_id}", f"run_id={self.run_id}", "task_id=run"
        )
        path = logs / f"attempt={number}.log"
        return path.read_text("utf-8") if path.exists() else ""

    def wait_for_try(self, *numbers: int, run: int | None = None) -> None:
        """Wait until one of these tries follows the run."""
        line = f"Workflow instance {run or self.id} is RUNNING"
        wait_for("a try follows the run", lambda: any(line in self.log(each) for each in numbers), PATIENCE)

    def end(self) -> None:
        """Let a user mark the task as failed."""
        self._airflow.set_task_state(self._dag_id, self.run_id, "run", "failed")
        wait_for("the run is stopped", lambda: self.runs[-1]["status"] == FAILED, PATIENCE)


@pytest.fixture
def followed(
    request: pytest.FixtureRequest, airflow: AirflowStack, emulator: EmulatorProcess
) -> Iterator[Followed]:
    made = Followed(airflow, emulator, getattr(request, "param", "dying"))
    yield made
    if made.task["state"] != "failed":
        made.end()


def shut_down(airflow: AirflowStack, emulator: EmulatorProcess, how: str) -> None:
    if how == "cold":
        # A warm shutdown waits for the task, which keeps following its run.
        airflow.signal_component(WORKER, signal.SIGTERM, alone=True)
        log = airflow.home / f"{WORKER}.log"
        wait_for("the worker shuts down", lambda: "worker: Warm shutdown" in log.read_text(), PATIENCE)
        polls = emulator.calls("GetWorkflowInstance")
        wait_for("it is polled on", lambda: emulator.calls("GetWorkflowInstance") > polls + 5, PATIENCE)
        assert not airflow.has_ended(WORKER)
        airflow.signal_component(WORKER, signal.SIGQUIT, alone=True)
    else:
        airflow.signal_component(WORKER, signal.SIGTERM)


@pytest.mark.parametrize("how", ["cold", "every process"])
def test_a_worker_that_is_shut_down_leaves_the_run_to_the_next_try(
    airflow: AirflowStack, emulator: EmulatorProcess, followed: Followed, how: str
) -> None:
    """By its own signals for a warm and then a cold shutdown, or by SIGTERM for all, as systemd does."""
    shut_down(airflow, emulator, how)
    wait_for("the worker has ended", lambda: airflow.has_ended(WORKER), PATIENCE)
    assert NO_ONE_ENDED in followed.log(1)
    assert followed.is_one_run
    airflow.start_component(WORKER)
    followed.wait_for_try(2)
    assert followed.is_one_run


def test_a_user_who_marks_the_task_as_failed_stops_the_run(followed: Followed) -> None:
    followed.end()
    assert len(followed.runs) == 1
    wait_for("the task says so", lambda: "and it was stopped" in followed.log(1), PATIENCE)


def test_a_user_who_clears_the_task_stops_the_run_before_another_is_started(
    airflow: AirflowStack, followed: Followed
) -> None:
    airflow.clear_task("dying", followed.run_id, "run")
    wait_for("another run is started", lambda: len(followed.runs) == 2, PATIENCE)
    first, second = followed.runs
    assert first["status"] == FAILED
    assert first["ended"] <= second["created"]
    followed.wait_for_try(2, run=second["wf_instance_id"])


def test_a_worker_that_was_frozen_stops_no_run(airflow: AirflowStack, followed: Followed) -> None:
    """It wakes up after Airflow has given its task to the next try, and is told to end the task."""
    airflow.signal_component(WORKER, signal.SIGSTOP)
    wait_for("Airflow waits for the next try", lambda: followed.task["try_number"] == 2, PATIENCE)
    airflow.signal_component(WORKER, signal.SIGCONT)
    followed.wait_for_try(2)
    wait_for("the first try ends", lambda: NO_ONE_ENDED in followed.log(1), PATIENCE)
    assert followed.is_one_run


# While Airflow is away, every try ends as soon as it begins.
@pytest.mark.parametrize("followed", ["dying_often"], indirect=True)
def test_an_airflow_that_is_away_stops_no_run(airflow: AirflowStack, followed: Followed) -> None:
    """The worker ends a task whose heartbeats fail, with the signal that it sends for a user, too."""
    airflow.kill_component("api-server")
    wait_for("the try ends", lambda: NO_ONE_ENDED in followed.log(1), PATIENCE)
    airflow.start_component("api-server")
    followed.wait_for_try(*range(2, 100))
    assert followed.is_one_run
