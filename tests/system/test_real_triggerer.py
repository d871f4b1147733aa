"""Deferred, under a real Airflow whose triggerer is stopped, killed and kept busy."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_schedulerx.api.runs.events import Outcome, TerminalEvent
from airflow_provider_schedulerx.api.runs.kinds import WORKFLOW_RUNS
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from benchmarks import triggerer
from dev.experiments import crowd
from dev.harness.rest import AIRFLOW, IS_AIRFLOW_2
from dev.harness.stack import AirflowStack
from dev.harness.waiting import wait_for
from tests.conftest import ROOT, WORKFLOWS

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    state = tmp_path_factory.mktemp("emulator") / "state.db"
    with EmulatorProcess(
        "--tls", "--workflows", str(WORKFLOWS), "--state", str(state), "--quota", "100000"
    ) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def airflow(emulator: EmulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    home = tmp_path_factory.mktemp("airflow")
    connections = {"schedulerx_default": emulator.connection(calls_per_minute=10000)}
    config = {
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
        "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "3",
    }
    with AirflowStack(home, ROOT / "tests" / "system" / "dags", connections, config) as stack:
        yield stack


def newest(emulator: EmulatorProcess, workflow_id: int) -> dict:
    return emulator.instances(workflow_id)[-1]


def deferred(
    airflow: AirflowStack, emulator: EmulatorProcess, dag_id: str, run_id: str, workflow_id: int
) -> int:
    """Wait until the trigger of a task polls its run. :return: the run's id.

    Airflow tells a trigger of a user's action only if the triggerer has taken it up.
    """
    wait_for("the task is deferred", lambda: airflow.task(dag_id, run_id, "run")["state"] == "deferred", 300)
    wf_instance_id = newest(emulator, workflow_id)["wf_instance_id"]
    try_number = airflow.task(dag_id, run_id, "run")["try_number"]
    line = f"Workflow instance {wf_instance_id} is RUNNING"
    wait_for("the trigger polls", lambda: line in airflow.log(dag_id, run_id, "run", try_number), 300)
    return int(wf_instance_id)


def test_success_and_failure_end_as_without_deferral(
    airflow: AirflowStack, emulator: EmulatorProcess
) -> None:
    good = airflow.trigger("deferred", {"workflow_id": 1})
    assert airflow.wait_for_run("deferred", good) == "success"
    bad = airflow.trigger("deferred", {"workflow_id": 2})
    assert airflow.wait_for_run("deferred", bad) == "failed"
    wf_instance_id = newest(emulator, 1)["wf_instance_id"]
    assert airflow.xcom("deferred", good, "run", "WfInstanceId") == wf_instance_id
    assert airflow.xcom("deferred", good, "run", "return_value") == wf_instance_id
    log = airflow.log("deferred", good, "run")
    assert f"Workflow instance {wf_instance_id} is RUNNING" in log, (
        "the trigger's lines are in the task's log"
    )
    assert f"Workflow instance {wf_instance_id} succeeded" in log
    assert "breaks (job 202) FAILED (result: disk full" in airflow.log("deferred", bad, "run")


@pytest.mark.parametrize("dag_id", ["deferred_timeout", "deferred_execution_timeout"])
def test_a_timeout_stops_the_run(airflow: AirflowStack, emulator: EmulatorProcess, dag_id: str) -> None:
    run_id = airflow.trigger(dag_id)
    assert airflow.wait_for_run(dag_id, run_id) == "failed"
    assert newest(emulator, 3)["status"] == 5
    # Airflow 2 ends the resumed task by itself; nothing of ours but on_kill is called then.
    by_airflow = IS_AIRFLOW_2 and dag_id == "deferred_execution_timeout"
    said = "Stopping workflow instance" if by_airflow else "it was stopped and is FAILED"
    assert said in airflow.log(dag_id, run_id, "run")


def test_mark_failed_stops_the_run(airflow: AirflowStack, emulator: EmulatorProcess) -> None:
    run_id = airflow.trigger("deferred_endless")
    deferred(airflow, emulator, "deferred_endless", run_id, 3)
    run = newest(emulator, 3)
    # Longer than the second after which the triggerer cancels again.
    emulator.add_fault("StopInstance", "delay", seconds=2, count=2)
    airflow.set_task_state("deferred_endless", run_id, "run", "failed")
    wait_for("the run is stopped", lambda: newest(emulator, 3)["status"] == 5, 200)
    assert newest(emulator, 3)["wf_instance_id"] == run["wf_instance_id"]


def test_clear_stops_the_run_and_starts_another(airflow: AirflowStack, emulator: EmulatorProcess) -> None:
    run_id = airflow.trigger("deferred_endless")
    first = deferred(airflow, emulator, "deferred_endless", run_id, 3)
    airflow.clear_task("deferred_endless", run_id, "run")
    wait_for("another run is started", lambda: newest(emulator, 3)["wf_instance_id"] != first, 200)
    by_id = {run["wf_instance_id"]: run["status"] for run in emulator.instances(3)}
    wait_for("the first run is stopped", lambda: emulator.instances(3)[-2]["status"] == 5, 200)
    assert by_id[newest(emulator, 3)["wf_instance_id"]] == 3
    deferred(airflow, emulator, "deferred_endless", run_id, 3)
    airflow.set_task_state("deferred_endless", run_id, "run", "failed")
    wait_for("the run is stopped", lambda: newest(emulator, 3)["status"] == 5, 200)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_triggerer_that_ends_neither_stops_nor_loses_a_run(
    airflow: AirflowStack, emulator: EmulatorProcess, number: signal.Signals
) -> None:
    emulator.add_workflows(workflow(70, duration=25))
    run_id = airflow.trigger("deferred", {"workflow_id": 70})
    deferred(airflow, emulator, "deferred", run_id, 70)
    starts = emulator.starts(70)
    airflow.kill_component("triggerer", number)
    assert newest(emulator, 70)["status"] == 3
    airflow.start_component("triggerer")
    assert airflow.wait_for_run("deferred", run_id, 150) == "success"
    assert emulator.starts(70) == starts


def test_a_run_whose_trigger_moves_to_another_triggerer_keeps_running(
    airflow: AirflowStack, emulator: EmulatorProcess
) -> None:
    """To Airflow 3.3, the trigger that is taken from a triggerer looks as if a user had ended its task.

    One that does not show up for a while loses its triggers, and several take up new triggers at the same moment, of
    which each belongs to the last one.
    """
    emulator.add_workflows(workflow(71, duration=40))
    run_id = airflow.trigger("deferred", {"workflow_id": 71})
    wf_instance_id = deferred(airflow, emulator, "deferred", run_id, 71)
    starts = emulator.starts(71)

    def has_moved() -> bool:
        line = f"Workflow instance {wf_instance_id} is RUNNING"
        return airflow.log("deferred", run_id, "run").count(line) == 2

    def is_given_up() -> bool:
        # Airflow 2 has that in the triggerer's log only.
        text = airflow.log("deferred", run_id, "run") + (airflow.home / "triggerer.log").read_text()
        return bool(re.search(rf"trigger completed|{re.escape(run_id)}/.* completed", text))

    airflow.signal_component("triggerer", signal.SIGSTOP)
    airflow.start_component("triggerer", "second-triggerer")
    try:
        wait_for("the trigger has moved", has_moved, 200)
        airflow.signal_component("triggerer", signal.SIGCONT)
        wait_for("the first triggerer gives it up", is_given_up, 200)
        assert airflow.wait_for_run("deferred", run_id, 150) == "success"
    finally:
        airflow.kill_component("second-triggerer")
    assert emulator.starts(71) == starts


@pytest.mark.skipif(AIRFLOW < (3, 2), reason="before Airflow 3.2, a trigger leaves no note of its event")
def test_a_triggerer_that_wakes_after_another_gave_a_run_up_leaves_it_to_the_task(
    airflow: AirflowStack, emulator: EmulatorProcess
) -> None:
    """The task is over by then, as if a user had ended it."""
    emulator.add_workflows(workflow(72, duration=1000))
    run_id = airflow.trigger("deferred", {"workflow_id": 72})
    wf_instance_id = deferred(airflow, emulator, "deferred", run_id, 72)
    airflow.signal_component("triggerer", signal.SIGSTOP)
    emulator.add_fault("GetWorkflowInstance", "error", status=403, code="Forbidden.RAM")
    airflow.start_component("triggerer", "second-triggerer")
    try:
        assert airflow.wait_for_run("deferred", run_id, 400) == "failed"
        assert "can no longer be followed" in airflow.log("deferred", run_id, "run")
        airflow.signal_component("triggerer", signal.SIGCONT)
        said = re.compile(
            rf"(Stopping w|W)orkflow instance {wf_instance_id}( keeps running: .*|$)", re.MULTILINE
        )
        wait_for(
            "the first triggerer decides", lambda: said.search(airflow.log("deferred", run_id, "run")), 300
        )
        assert "Stopping workflow instance" not in airflow.log("deferred", run_id, "run")
        assert newest(emulator, 72)["status"] == 3
    finally:
        airflow.kill_component("second-triggerer")


def test_a_service_that_restarts_is_waited_for(
    airflow: AirflowStack, emulator: EmulatorProcess, hook: SchedulerXHook
) -> None:
    run_id = airflow.trigger("deferred", {"workflow_id": 3})
    wf_instance_id = deferred(airflow, emulator, "deferred", run_id, 3)
    emulator.kill()
    wait_for("polls fail", lambda: "cannot be polled" in airflow.log("deferred", run_id, "run"), 200)
    emulator.restart()
    for node in newest(emulator, 3)["nodes"][:2]:
        hook.stop_job_instance(node["job_id"], node["job_instance_id"])
    assert airflow.wait_for_run("deferred", run_id) == "failed"
    assert f"Workflow instance {wf_instance_id} of workflow 3 failed" in airflow.log(
        "deferred", run_id, "run"
    )


@pytest.mark.parametrize(("workflow_id", "state"), [(1, "success"), (2, "failed")])
def test_operator_then_sensor_in_every_mode(
    airflow: AirflowStack, emulator: EmulatorProcess, workflow_id: int, state: str
) -> None:
    run_id = airflow.trigger("operator_then_sensor", {"workflow_id": workflow_id})
    assert airflow.wait_for_run("operator_then_sensor", run_id) == state
    for mode in ("poke", "reschedule", "deferred"):
        assert airflow.task("operator_then_sensor", run_id, mode)["state"] == state
        if state == "failed":
            assert "breaks (job 202) FAILED" in airflow.log("operator_then_sensor", run_id, mode)
        else:
            assert (
                airflow.xcom("operator_then_sensor", run_id, mode, "return_value")
                == newest(emulator, 1)["wf_instance_id"]
            )


def test_soft_fail_skips_and_leaves_the_run(airflow: AirflowStack, emulator: EmulatorProcess) -> None:
    run_id = airflow.trigger("soft_sensor")
    assert airflow.wait_for_run("soft_sensor", run_id) == "success"
    for mode in ("poke", "deferred"):
        assert airflow.task("soft_sensor", run_id, mode)["state"] == "skipped"
    assert newest(emulator, 3)["status"] == 3


@pytest.mark.skipif(IS_AIRFLOW_2, reason="Airflow 2 waits for the process that has deferred")
def test_short_runs_are_green_when_they_are_green_on_a_busy_machine(
    airflow: AirflowStack, emulator: EmulatorProcess
) -> None:
    """Airflow can hear of a deferral's end after the task was resumed, and fails the task then (#72716).

    30 runs of 1 to 6 seconds; the proof was made with ``SHORT_RUNS=200``.
    """
    runs = int(os.environ.get("SHORT_RUNS", "30"))
    for number in range(6):
        emulator.add_workflows(workflow(81 + number, duration=1 + number))
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 2)]
    try:
        run_id = airflow.trigger("short_deferred")
        assert airflow.wait_for_run("short_deferred", run_id, 60 + 20 * runs) == "success"
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert sum(emulator.starts(81 + number) for number in range(6)) == runs


def workflow(workflow_id: int, duration: float, outcome: str = "success") -> dict:
    return {
        "namespaces": [{"id": "demo", "groups": ["etl", "reporting"]}],
        "workflows": [
            {
                "id": workflow_id,
                "namespace": "demo",
                "group": "etl",
                "max_concurrency": 10000,
                "nodes": [{"name": "only", "duration": duration, "outcome": outcome}],
            }
        ],
    }


@pytest.mark.skipif(IS_AIRFLOW_2, reason="dev/experiments/crowd.py knows the tables of Airflow 3")
@pytest.mark.parametrize(("count", "profile"), [(1000, "list_length=300"), (300, "documented")])
def test_many_runs_end_with_every_outcome_right_and_none_told_twice(
    tmp_path: Path, count: int, profile: str
) -> None:
    """Runs of 20 workflows, inside the default quota of 100 calls a minute and operation.

    With ``documented``, a list shows the newest 10 runs of a workflow, and 5 more of each are followed.
    """
    with EmulatorProcess("--quota", "100", "--profile", profile) as emulator:
        emulator.set_quota(1_000_000)  # the starts are not what is tested
        emulator.add_workflows(triggerer.workflows(duration=40, failing=(3, 11)))
        runs = triggerer.start_runs(emulator, count)
        emulator.set_quota(100)
        triggers = triggerer.triggers_for(runs, poll_interval=20)
        stack = triggerer.stack_for(tmp_path, emulator)
        crowd.defer_crowd(stack, tmp_path / "dags", triggers)
        stack.start_component("triggerer")
        try:
            wait_for(
                "every trigger has fired",
                lambda: all(event is not None for _, _, event in crowd.events(stack)),
                900,
                pause=10,
            )
        finally:
            stack.stop()
        for (workflow_id, run), (_, state, event) in zip(runs, crowd.events(stack), strict=True):
            assert state == "scheduled"
            ended = TerminalEvent.parse(event, WORKFLOW_RUNS, definition_id=workflow_id, instance_id=run)
            assert ended.outcome is Outcome.ENDED
            assert ended.run is not None
            failed = workflow_id - 2000 in (3, 11)
            assert ended.run.status.value == (5 if failed else 4)
        counters = emulator.counters()
        logs = [file for file in tmp_path.rglob("*.log") if file.is_file()]
        fired = sum(file.read_text(errors="replace").count("Trigger fired event") for file in logs)
    assert "Throttling.User" not in counters["outcomes"]["ListWorkflowInstance"]
    assert "Throttling.User" not in counters["outcomes"].get("GetWorkflowInstance", {})
    assert fired == count, "once for each"
