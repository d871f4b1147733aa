"""The main job, on real parts: Airflow runs the example DAGs against the emulator.

Exits 0 only if everything was as expected. With ``--ui`` it leaves Airflow up for a person.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from importlib.metadata import version
from pathlib import Path

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from dev.harness.rest import HAS_TASK_STATE_STORE
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
    # Where a retry knows nothing of the previous try, these two cannot do what they are there for.
    ("example_schedulerx_reattach", "nightly_etl", "success" if HAS_TASK_STATE_STORE else "failed"),
    ("example_schedulerx_rerun_failed", "report", "success" if HAS_TASK_STATE_STORE else "failed"),
    ("example_schedulerx_outcome", "last_event", "success"),
)
#: Runs that all of them together start, by workflow.
STARTS = {101: 8, 102: 2 if HAS_TASK_STATE_STORE else 3}


def _show(airflow: AirflowStack, dag_id: str, run_id: str, task_id: str, expected: str) -> bool:
    state = airflow.wait_for_run(dag_id, run_id, 240)
    print(f"\n== {dag_id}: DAG run {run_id}")
    for (name, index), value in sorted(airflow.xcoms(dag_id, run_id, "WfInstanceId").items()):
        print(f"WfInstanceId   {value} (task {name}{'' if index < 0 else f', map index {index}'})")
    if dag_id != "example_schedulerx_mapped":
        if link := airflow.links(dag_id, run_id, task_id).get("SchedulerX workflow instance"):
            print(f"extra link     {link}")
        tries = airflow.task(dag_id, run_id, task_id)["try_number"]
        for number in range(1, tries + 1):
            print(f"from the log of task {task_id}{f', try {number}' if tries > 1 else ''}:")
            for line in airflow.log(dag_id, run_id, task_id, number).splitlines():
                if any(
                    word in line
                    for word in ("orkflow instance", "Node ", "NODE ", "(job ", "Started workflow")
                ):
                    print(f"  {line}")
    print(
        f"final state    {state} ({'as expected' if state == expected else f'EXPECTED {expected}'})",
        flush=True,
    )
    return state == expected


def _demo(airflow: AirflowStack, emulator: EmulatorProcess) -> bool:
    runs = [airflow.trigger(dag_id) for dag_id, _, _ in EXAMPLES]
    good = True
    for (dag_id, task_id, expected), run_id in zip(EXAMPLES, runs, strict=True):
        good &= _show(airflow, dag_id, run_id, task_id, expected)
    starts = {workflow_id: emulator.starts(workflow_id) for workflow_id in STARTS}
    print(f"\nThe emulator counts these starts by workflow: {starts}")
    return good and starts == STARTS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ui", action="store_true", help=f"leave Airflow up at http://localhost:{UI_PORT}")
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
            HOME,
            ROOT / "example_dags",
            {"schedulerx_default": emulator.connection()},
            port=UI_PORT if arguments.ui else None,
        )
        try:
            with airflow:
                if arguments.ui:
                    print(
                        f"Airflow is at {airflow.url} (no login); the emulator at {emulator.endpoint}. Ctrl-C ends."
                    )
                    while True:
                        signal.pause()
                good = _demo(airflow, emulator)
        except KeyboardInterrupt:
            return 0 if arguments.ui else 130
        except StackError as error:
            print(f"\nThe demo failed: {error}\nLogs are in {HOME}")
            return 1
    print("\nThe demo was as expected." if good else f"\nThe demo was NOT as expected. Logs are in {HOME}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
