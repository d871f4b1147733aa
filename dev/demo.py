"""The main job, on real parts: Airflow runs the example DAGs against the emulator.

Exits 0 only if everything was as expected. With ``--ui`` it leaves Airflow up for a person, and says what to click.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import socket
import sys
import urllib.parse
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.version_compat.versions import has_run_page
from dev.harness.rest import IS_AIRFLOW_2
from dev.harness.stack import COMPONENTS, AirflowStack
from dev.harness.waiting import StackError

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".demo"
UI_PORT = 8080


#: DAG, its task to show, and how the DAG run is expected to end.
EXAMPLES = (
    ("example_schedulerx", "nightly_etl", "success"),
    ("example_schedulerx_failure", "broken_report", "failed"),
    ("example_schedulerx_deferrable", "nightly_etl", "success"),
    ("example_schedulerx_sensor", "wait", "success"),
    ("example_schedulerx_mapped", "load", "success"),
    ("example_schedulerx_reattach", "nightly_etl", "success"),
    ("example_schedulerx_rerun_failed", "report", "success"),
    ("example_schedulerx_outcome", "last_event", "success"),
    ("example_schedulerx_schedule", "by_name", "success"),
    *(() if IS_AIRFLOW_2 else (("example_schedulerx_event", "report", "success"),)),
    ("example_schedulerx_job", "refresh_cache", "success"),
    ("example_schedulerx_job_failure", "import_invoices", "failed"),
)
#: On a slow machine, a dozen tasks that start at once are more than a new API server answers within 5 seconds. Airflow
#: then fails a task that has not begun, and the demo would have nothing to show.
PATIENCE = {"AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60"}
#: Runs that all of them together start, by workflow and by job.
STARTS = {101: 10, 102: 2}
JOB_STARTS = {201: 2, 202: 1}


def _show(airflow: AirflowStack, dag_id: str, run_id: str, task_id: str, expected: str) -> bool:
    state = airflow.wait_for_run(dag_id, run_id, 240)
    print(f"\n== {dag_id}: DAG run {run_id}")
    for key in ("WfInstanceId", "JobInstanceId"):
        for (name, index), value in sorted(airflow.xcoms(dag_id, run_id, key).items()):
            print(f"{key:<14} {value} (task {name}{'' if index < 0 else f', map index {index}'})")
    if dag_id != "example_schedulerx_mapped":
        links = airflow.links(dag_id, run_id, task_id)
        for name in ("SchedulerX workflow instance", "SchedulerX job instance"):
            if link := links.get(name):
                print(f"extra link     {link}")
        tries = airflow.task(dag_id, run_id, task_id)["try_number"]
        for number in range(1, tries + 1):
            print(f"from the log of task {task_id}{f', try {number}' if tries > 1 else ''}:")
            for line in airflow.log(dag_id, run_id, task_id, number).splitlines():
                if any(
                    word in line
                    for word in ("orkflow instance", "Node ", "NODE ", "(job ", "Started", "ob instance")
                ):
                    print(f"  {line}")
    print(
        f"final state    {state} ({'as expected' if state == expected else f'EXPECTED {expected}'})",
        flush=True,
    )
    return bool(state == expected)


def _run_examples(airflow: AirflowStack) -> dict[str, str]:
    """Start all examples. :return: DAG id -> run id."""
    return {dag_id: airflow.trigger(dag_id) for dag_id, _, _ in EXAMPLES}


def _check(airflow: AirflowStack, emulator: EmulatorProcess, runs: Mapping[str, str]) -> bool:
    """Show every run, and whether all of them, and what they have started, are as expected."""
    good = True
    for dag_id, task_id, expected in EXAMPLES:
        good &= _show(airflow, dag_id, runs[dag_id], task_id, expected)
    starts = {workflow_id: emulator.starts(workflow_id) for workflow_id in STARTS}
    job_starts = {job_id: emulator.job_starts(job_id) for job_id in JOB_STARTS}
    print(f"\nThe emulator counts these starts by workflow: {starts}; by job: {job_starts}")
    return good and (starts, job_starts) == (STARTS, JOB_STARTS)


def tour(airflow: AirflowStack, emulator: EmulatorProcess, runs: Mapping[str, str]) -> str:
    """What to click in the UI, with links. Wait until the runs that it leads to have ended."""

    def task(dag_id: str, task_id: str) -> str:
        airflow.wait_for_run(dag_id, runs[dag_id], 240)
        if IS_AIRFLOW_2:
            run = urllib.parse.quote(runs[dag_id], safe="")
            return f"{airflow.url}/dags/{dag_id}/grid?dag_run_id={run}&task_id={task_id}&tab=logs"
        return f"{airflow.url}/dags/{dag_id}/runs/{runs[dag_id]}/tasks/{task_id}"

    connections = f"{airflow.url}/{'connection/list/' if IS_AIRFLOW_2 else 'connections'}"
    page = ', and the tab "SchedulerX run" draws it' if has_run_page() else ""
    return f"""
Airflow is at {airflow.url} ({"admin, password admin" if IS_AIRFLOW_2 else "no login"}). Each example DAG has run once. What to click:

1. Admin, Connections: schedulerx_default. "Test Connection" says which workflows it sees.
   {connections}
2. A green run: its log has a line for each change of a node{page}.
   {task("example_schedulerx", "nightly_etl")}
3. A red run: its log names the failed node and shows the last lines of that node's log.
   {task("example_schedulerx_failure", "broken_report")}
4. The same runs in the console of the local SchedulerX, to which the link "SchedulerX workflow instance" of a task leads.
   {emulator.endpoint}/console/
5. A run of your own: any of the Dags, "Trigger". Their files are in example_dags/.
   {airflow.url}/{"home" if IS_AIRFLOW_2 else "dags"}

Ctrl-C ends Airflow and the local SchedulerX."""


def _free(port: int) -> int | None:
    """The port, or None if something else has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return None
    return port


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--ui", action="store_true", help=f"leave Airflow up, at http://127.0.0.1:{UI_PORT} if that is free"
    )
    arguments = parser.parse_args()
    # However this ends, what it has started ends too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    shutil.rmtree(HOME, ignore_errors=True)
    print(
        f"Starting the emulator and Airflow {version('apache-airflow')} ({', '.join(COMPONENTS)}) ...",
        flush=True,
    )
    with EmulatorProcess() as emulator:
        airflow = AirflowStack(
            HOME, ROOT / "example_dags", {}, PATIENCE, port=_free(UI_PORT) if arguments.ui else None
        )
        try:
            with airflow:
                airflow.add_connection("schedulerx_default", emulator.connection())
                # The one that example_schedulerx_schedule waits for.
                emulator.set_schedule(101, "fixed_rate", 1, runs=1)
                runs = _run_examples(airflow)
                if arguments.ui:
                    print(
                        f"Airflow is at {airflow.url}. The example DAGs run for the first time ...",
                        flush=True,
                    )
                    print(tour(airflow, emulator, runs), flush=True)
                    while True:
                        signal.pause()
                good = _check(airflow, emulator, runs)
        except KeyboardInterrupt:
            return 0 if arguments.ui else 130
        except StackError as error:
            print(f"\nThe demo failed: {error}\nLogs are in {HOME}")
            return 1
    print("\nThe demo was as expected." if good else f"\nThe demo was NOT as expected. Logs are in {HOME}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
