"""Never twice, never lost, under a real Airflow whose task processes are killed with -9."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from dev.experiments import faulty
from dev.harness import postgres
from dev.harness.rest import HAS_TASK_STATE_STORE
from dev.harness.stack import AirflowStack
from dev.harness.waiting import wait_for
from tests.conftest import ROOT, WORKFLOWS

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="the task state store is of Airflow 3.3"),
]


#: Seconds for what is certain to come: only a failure takes so long, however busy the machine is.
PATIENCE = 400


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--workflows", str(WORKFLOWS), "--quota", "100000") as emulator:
        node = {"name": "only", "duration": 1}
        workflow = {"id": 90, "namespace": "demo", "group": "etl", "max_concurrency": 100, "nodes": [node]}
        emulator.add_workflows(
            {"namespaces": [{"id": "demo", "groups": ["etl", "reporting"]}], "workflows": [workflow]}
        )
        yield emulator


@pytest.fixture(scope="module")
def airflow(emulator: EmulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    connections = {"schedulerx_default": emulator.connection(calls_per_minute=10000)}
    home = tmp_path_factory.mktemp("airflow")
    with postgres.database(tmp_path_factory.mktemp("postgres") / "cluster") as database:
        config = database.config if database else {}
        with AirflowStack(home, ROOT / "tests" / "system" / "dags", connections, config) as stack:
            yield stack


def starts_by_parameters(emulator: EmulatorProcess) -> Counter[str]:
    """How many runs were started with each set of parameters."""
    return Counter(run["parameters"] for run in emulator.instances() if run["parameters"])


def compact(parameters: dict[str, object]) -> str:
    return json.dumps(parameters, separators=(",", ":"))


@pytest.mark.parametrize("fault", faulty.KILLS)
def test_a_task_killed_at_any_moment_starts_one_run(
    airflow: AirflowStack, emulator: EmulatorProcess, fault: str
) -> None:
    if fault == "kill_before_request":
        # Without earlier runs nothing shows that parameters differ between runs; here nothing is new anyway.
        assert emulator.starts(1) == 0
    if fault == "kill_during_request":
        emulator.add_fault("ExecuteWorkflow", "delay", when="after", seconds=faulty.ANSWER_DELAY)
    before = emulator.starts(1)
    run_id = airflow.trigger("dying", {"workflow_id": 1, "fault": fault})
    assert airflow.wait_for_run("dying", run_id) == "success"
    assert airflow.task("dying", run_id, "run")["try_number"] == 2
    assert emulator.starts(1) == before + 1
    newest = emulator.instances(1)[-1]["wf_instance_id"]
    assert airflow.xcom("dying", run_id, "run", "WfInstanceId") == newest
    log = airflow.log("dying", run_id, "run", 2)
    if fault == "kill_after_record":
        assert f"Workflow instance {newest} of the previous try is" in log
    else:
        assert "The previous try ended while it started workflow 1; looking for its run" in log


@pytest.mark.parametrize(("workflow_id", "state"), [(1, "success"), (2, "failed")])
def test_a_deferred_task_is_as_safe(
    airflow: AirflowStack, emulator: EmulatorProcess, workflow_id: int, state: str
) -> None:
    before = emulator.starts(workflow_id)
    run_id = airflow.trigger("dying_deferred", {"workflow_id": workflow_id, "fault": "kill_before_record"})
    assert airflow.wait_for_run("dying_deferred", run_id) == state
    runs = emulator.instances(workflow_id)[before:]
    if state == "success":
        assert len(runs) == 1
    # Three tries, and each starts a run only after the one before has failed.
    assert len(runs) <= 3
    for earlier, later in itertools.pairwise(runs):
        assert earlier["status"] == 5
        assert earlier["ended"] < later["created"]


def test_deferred_and_sync_runs_read_the_same(airflow: AirflowStack, emulator: EmulatorProcess) -> None:
    of_ours = ("Started workflow", "Workflow instance", "Node", "NODE", "first", "breaks", "never", "20")
    # A look at another moment sees another step, so what a node passed through does not count.
    passing = re.compile(r"is (READY|RUNNING|PREPARING)|Pre Execute|Post Execute")

    def told(dag_id: str) -> list[str]:
        run_id = airflow.trigger(dag_id, {"workflow_id": 2, "fault": ""})
        assert airflow.wait_for_run(dag_id, run_id) == "failed"
        lines = airflow.log(dag_id, run_id, "run").splitlines()
        lines = [line for line in lines if line.removeprefix("::group::").startswith(of_ours)]
        lines = [line for line in lines if not passing.search(line)]
        plain = [re.sub(r"\d{8,}|RequestId=\S+|http\S+|[\d:.-]{8,}", "#", line) for line in lines]
        return [" ".join(line.split()) for line in plain]

    sync, deferred = told("dying"), told("dying_deferred")
    assert sync == deferred
    assert sum("step" in line for line in sync) == 49


def started(emulator: EmulatorProcess, before: int) -> int:
    wait_for("a run is started", lambda: emulator.starts(3) > before, PATIENCE)
    return int(emulator.instances(3)[-1]["wf_instance_id"])


def wait_until_followed(
    airflow: AirflowStack, emulator: EmulatorProcess, dag_id: str, run_id: str, run: int
) -> None:
    """A task that is deferred and whose trigger has never looked cannot see that a user ends it."""
    line = f"Workflow instance {run} is RUNNING"

    def is_followed() -> bool:
        number = max(1, airflow.task(dag_id, run_id, "run")["try_number"])
        return line in airflow.log(dag_id, run_id, "run", number)

    wait_for("the run is followed", is_followed, PATIENCE)


def end(airflow: AirflowStack, emulator: EmulatorProcess, dag_id: str, run_id: str) -> None:
    airflow.set_task_state(dag_id, run_id, "run", "failed")
    wait_for("the run is stopped", lambda: emulator.instances(3)[-1]["status"] == 5, PATIENCE)


def tries(airflow: AirflowStack, dag_id: str, run_id: str) -> tuple[int, int]:
    task = airflow.task(dag_id, run_id, "run")
    return task["try_number"], task["max_tries"]


def test_what_tells_clear_from_retry(airflow: AirflowStack, emulator: EmulatorProcess) -> None:
    """``max_tries`` stays over retries, and is the number of tries so far plus ``retries`` after a clear."""
    run_id = airflow.trigger("dying", {"workflow_id": 1, "fault": "kill_after_record"})
    assert airflow.wait_for_run("dying", run_id) == "success"
    assert tries(airflow, "dying", run_id) == (2, 2)
    before = emulator.starts(1)
    airflow.clear_task("dying", run_id, "run")
    wait_for("another run is started", lambda: emulator.starts(1) == before + 1, PATIENCE)
    assert airflow.wait_for_run("dying", run_id) == "success"
    assert tries(airflow, "dying", run_id) == (3, 4)
    assert "The task was cleared, so a new run is started" in airflow.log("dying", run_id, "run", 3)


@pytest.mark.parametrize("dag_id", ["dying", "dying_deferred"])
def test_clearing_a_running_or_deferred_task_stops_its_run_and_starts_another(
    airflow: AirflowStack, emulator: EmulatorProcess, dag_id: str
) -> None:
    before = emulator.starts(3)
    run_id = airflow.trigger(dag_id, {"workflow_id": 3, "fault": ""})
    first = started(emulator, before)
    wait_until_followed(airflow, emulator, dag_id, run_id, first)
    airflow.clear_task(dag_id, run_id, "run")
    second = started(emulator, before + 1)
    by_id = {run["wf_instance_id"]: run["status"] for run in emulator.instances(3)}
    wait_for("the first is stopped", lambda: emulator.instances(3)[-2]["status"] == 5, PATIENCE)
    assert by_id[second] == 3
    wait_until_followed(airflow, emulator, dag_id, run_id, second)
    end(airflow, emulator, dag_id, run_id)
    assert emulator.starts(3) == before + 2


def test_a_clear_whose_stop_takes_longer_than_airflow_waits_is_no_retry(
    airflow: AirflowStack, emulator: EmulatorProcess
) -> None:
    """Airflow kills the process of the task 5 s after it was asked to end, so that it tells nobody anything."""
    before = emulator.starts(3)
    run_id = airflow.trigger("dying", {"workflow_id": 3, "fault": ""})
    first = started(emulator, before)
    wait_until_followed(airflow, emulator, "dying", run_id, first)
    emulator.add_fault("StopInstance", "delay", seconds=15, count=2)
    airflow.clear_task("dying", run_id, "run")
    second = started(emulator, before + 1)
    wait_until_followed(airflow, emulator, "dying", run_id, second)
    assert "was stopped" not in airflow.log("dying", run_id, "run", 1)
    assert f"the earlier one was workflow instance {first}" in airflow.log("dying", run_id, "run", 2)
    assert tries(airflow, "dying", run_id) == (2, 3)
    stopped, running = emulator.instances(3)[-2:]
    assert stopped["ended"] <= running["created"]
    end(airflow, emulator, "dying", run_id)


def test_clearing_a_task_that_waits_for_its_retry_starts_another_run(
    airflow: AirflowStack, emulator: EmulatorProcess
) -> None:
    before = emulator.starts(3)
    run_id = airflow.trigger("waits_for_retry")
    first = started(emulator, before)
    wait_for(
        "the task waits for its retry",
        lambda: airflow.task("waits_for_retry", run_id, "run")["state"] == "up_for_retry",
        PATIENCE,
    )
    airflow.clear_task("waits_for_retry", run_id, "run")
    second = started(emulator, before + 1)
    assert second != first
    wait_for(
        "the task follows it", lambda: airflow.xcom("waits_for_retry", run_id, "run", "WfInstanceId"), 20
    )
    log = airflow.log("waits_for_retry", run_id, "run", 2)
    assert f"the earlier one was workflow instance {first}" in log
    end(airflow, emulator, "waits_for_retry", run_id)


# Eviction is not a kill.


def test_a_worker_that_is_told_to_end_leaves_the_run_to_the_next_try(
    airflow: AirflowStack, emulator: EmulatorProcess
) -> None:
    """SIGTERM to the supervisor, as in a deploy: one start, one run, two tries."""
    before = emulator.starts(3)
    run_id = airflow.trigger("dying", {"workflow_id": 3, "fault": "evict_while_following"})
    run = started(emulator, before)
    wait_for("the second try follows the run", lambda: tries(airflow, "dying", run_id)[0] == 2, PATIENCE)
    wait_until_followed(airflow, emulator, "dying", run_id, run)
    assert emulator.starts(3) == before + 1
    assert emulator.instances(3)[-1]["status"] == 3
    assert "does not say that anyone has ended it" in airflow.log("dying", run_id, "run", 1)
    end(airflow, emulator, "dying", run_id)


def test_marking_the_dag_run_as_failed_stops_the_run(
    airflow: AirflowStack, emulator: EmulatorProcess
) -> None:
    before = emulator.starts(3)
    run_id = airflow.trigger("dying", {"workflow_id": 3, "fault": ""})
    run = started(emulator, before)
    wait_until_followed(airflow, emulator, "dying", run_id, run)
    airflow.api("PATCH", f"/dags/dying/dagRuns/{quote(run_id, safe='')}", {"state": "failed"})
    wait_for("the run is stopped", lambda: emulator.instances(3)[-1]["status"] == 5, PATIENCE)
    assert emulator.starts(3) == before + 1


def test_mapped_tasks_and_dag_runs_share_nothing(airflow: AirflowStack, emulator: EmulatorProcess) -> None:
    mapped = [airflow.trigger("dying_mapped") for _ in range(2)]
    for run_id in mapped:
        assert airflow.wait_for_run("dying_mapped", run_id, 240) == "success"
    starts = starts_by_parameters(emulator)
    wanted = [{"run": run_id, "part": part} for run_id in mapped for part in range(3)]
    assert [starts[compact(each)] for each in wanted] == [1] * 6


@pytest.mark.skipif(not postgres.programs(), reason="Airflow's backfills lock each other out on SQLite")
def test_backfills_share_nothing(airflow: AirflowStack, emulator: EmulatorProcess) -> None:
    days = ("--from-date", "2024-03-01", "--to-date", "2024-03-03")
    airflow.airflow("backfill", "create", "--dag-id", "dying_backfill", *days)

    def backfilled() -> list[str] | None:
        found = airflow.api("GET", "/dags/dying_backfill/dagRuns")["dag_runs"]
        runs = [run for run in found if run["run_type"] == "backfill"]
        done = len(runs) == 3 and all(run["state"] == "success" for run in runs)
        return [run["dag_run_id"] for run in runs] if done else None

    ids = wait_for("the backfill has succeeded", backfilled, 240, pause=1)
    starts = starts_by_parameters(emulator)
    assert [starts[compact({"run": run_id})] for run_id in ids] == [1] * 3
