"""The main job, on real parts: Airflow runs the example DAGs against the emulator.

Exits 0 only if everything was as expected. With ``--ui`` it leaves Airflow up for a person.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from pathlib import Path

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from dev.stack import AirflowStack, StackError

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".demo"
UI_PORT = 8080


def _run(airflow: AirflowStack, dag_id: str, task_id: str, expected: str) -> bool:
    started = time.monotonic()
    run_id = airflow.trigger(dag_id)
    print(f"\n== {dag_id}: DAG run {run_id}", flush=True)
    state = airflow.wait_for_run(dag_id, run_id)
    print(f"WfInstanceId   {airflow.xcom(dag_id, run_id, task_id, 'WfInstanceId')}")
    print(f"extra link     {airflow.links(dag_id, run_id, task_id).get('SchedulerX workflow instance')}")
    print("from the task's log:")
    for line in airflow.log(dag_id, run_id, task_id).splitlines():
        if any(word in line for word in ("orkflow instance", "Node", "NODE ", "(job ", "Started workflow")):
            print(f"  {line}")
    verdict = "as expected" if state == expected else f"EXPECTED {expected}"
    print(f"final state    {state} after {time.monotonic() - started:.1f} s ({verdict})", flush=True)
    return state == expected


def _demo(airflow: AirflowStack, emulator: EmulatorProcess) -> bool:
    good = _run(airflow, "example_schedulerx", "nightly_etl", "success")
    good &= _run(airflow, "example_schedulerx_failure", "broken_report", "failed")
    good &= _run(airflow, "example_schedulerx_deferrable", "nightly_etl", "success")
    starts = {workflow_id: emulator.starts(workflow_id) for workflow_id in (101, 102)}
    print(f"\nThe emulator counts these starts by workflow: {starts}")
    return good and starts == {101: 3, 102: 1}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ui", action="store_true", help=f"leave Airflow up at http://localhost:{UI_PORT}")
    arguments = parser.parse_args()
    # However this ends, what it has started ends too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    shutil.rmtree(HOME, ignore_errors=True)
    print(
        "Starting the emulator and Airflow (scheduler, DAG processor, triggerer, API server) ...", flush=True
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
