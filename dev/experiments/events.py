"""Runs that the service's own schedule starts drive DAGs, while the triggerer is killed: no event twice, none missing.

``python -m dev.experiments.events`` starts the emulator and a real Airflow (3.3 or later), lets 10 workflows start 20 runs
each by themselves within some 100 seconds, kills the triggerer again and again with ``kill -9``, and compares. If that fails,
it says which runs have no event or several, and what the triggerer's log says of them.

The emulator lists 300 runs of a workflow. If it lists 10 (``--profile documented``), a triggerer that takes longer to start
than 10 runs do, on a busy machine, misses some, and its log says so.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from dev.harness.stack import AirflowStack
from dev.harness.waiting import StackError, wait_for

T = TypeVar("T")

_HERE = Path(__file__).resolve().parent
_FIRST = 7000
#: What a watcher logs when it begins.
_WATCHING = "Watching workflow"


@dataclass(frozen=True)
class Outcome:
    """What came of the runs.

    :ivar runs: that the schedule has started, and that have succeeded.
    :ivar doubles: runs with more than one event.
    :ivar missing: runs without an event.
    :ivar processed: runs that a task of a DAG has seen.
    :ivar gaps: how often a watcher has said that ends may have been missed.
    :ivar revived: components that have ended by themselves, and were started again.
    :ivar seconds: from the first start until all was done.
    """

    runs: int
    events: int
    doubles: list[int]
    missing: list[int]
    processed: int
    kills: int
    gaps: int
    revived: list[str]
    dag_runs: int
    list_calls: int
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether each run gave one event, and each was processed."""
        return not self.doubles and not self.missing and self.runs == self.events == self.processed


def emulator_with(folder: Path, workflows: int, profile: str) -> EmulatorProcess:
    """An emulator with workflows of 2 s, which nobody has started yet."""
    known = {
        "accounts": [{"access_key_id": "emulator", "access_key_secret": "emulator-secret"}],
        "namespaces": [{"id": "demo", "groups": ["etl"]}],
        "workflows": [
            {
                "id": number,
                "name": f"scheduled-{number}",
                "namespace": "demo",
                "group": "etl",
                "max_concurrency": 5,
                "nodes": [{"name": "a", "duration": 1}, {"name": "b", "duration": 1, "after": "a"}],
            }
            for number in range(_FIRST, _FIRST + workflows)
        ],
    }
    file = folder / "workflows.yaml"
    file.write_text(json.dumps(known))
    return EmulatorProcess("--workflows", str(file), "--quota", "10000", profile=profile)


def experiment(
    home: Path, emulator: EmulatorProcess, *, workflows: int, runs: int, interval: float, kill_every: float
) -> Outcome:
    """Do it.

    :param runs: of each workflow.
    :param interval: seconds between two of them.
    :param kill_every: seconds between two kills of the triggerer.
    """
    config = {
        "SCHEDULERX_EVENT_WORKFLOWS": str(workflows),
        # A triggerer that was killed is taken for alive for so long.
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "4",
    }
    connections = {"schedulerx_default": emulator.connection(calls_per_minute=1000)}
    with AirflowStack(home, _HERE / "event_dags", connections, config) as airflow:
        wait_for("all is watched", lambda: _log(airflow).count(_WATCHING) >= workflows, 180, pause=1.0)
        began = time.monotonic()
        for number in range(_FIRST, _FIRST + workflows):
            emulator.set_schedule(number, "fixed_rate", interval, runs=runs)
        kills, watched = 0, workflows
        revived: list[str] = []
        next_kill = began + kill_every / 2
        while len(ended := _ended(emulator)) < workflows * runs:
            # One that is killed before it watches would only leave a gap.
            if time.monotonic() > next_kill and _log(airflow).count(_WATCHING) >= watched:
                airflow.kill_component("triggerer")
                watched = _log(airflow).count(_WATCHING) + workflows
                airflow.start_component("triggerer")
                kills += 1
                next_kill = time.monotonic() + kill_every
            revived += airflow.revive()
            time.sleep(0.1)

        def wait(what: str, is_true: Callable[[], bool]) -> None:
            def look() -> bool:
                revived.extend(airflow.revive())
                return is_true()

            try:
                wait_for(what, look, 180, pause=2.0)
            except StackError as error:
                raise StackError(f"{error}\n{_explanation(airflow, workflows, ended)}") from None

        wait("each end has given an event", lambda: ended <= set(_events(airflow)))
        # Would there be more?
        time.sleep(8)
        events = Counter(_events(airflow))
        # Airflow gives a DAG run the events up to the first that its scheduler saw, and the others to the next run. So that
        # each has a next one, each workflow runs once more.
        for number in range(_FIRST, _FIRST + workflows):
            emulator.set_schedule(number, "fixed_rate", interval, runs=1)
        wait("each event is processed", lambda: events.keys() <= _processed(airflow, workflows))
        processed = _processed(airflow, workflows) & events.keys()
        outcome = Outcome(
            runs=len(ended),
            events=events.total(),
            doubles=[number for number, count in events.items() if count > 1],
            missing=sorted(ended - set(events)),
            processed=len(processed),
            kills=kills,
            gaps=_log(airflow).count("may have been missed"),
            revived=revived,
            dag_runs=_dag_runs(airflow),
            list_calls=emulator.calls("ListWorkflowInstance"),
            seconds=time.monotonic() - began,
        )
        if not outcome.is_good:
            print(_explanation(airflow, workflows, ended))
        return outcome


def _explanation(airflow: AirflowStack, workflows: int, ended: set[int]) -> str:
    """Which runs are not as they should be, and what the log of the triggerers says of them."""
    events, processed = Counter(_events(airflow)), _processed(airflow, workflows)
    wrong = {
        "no event": sorted(ended - events.keys()),
        "several events": sorted(number for number, count in events.items() if count > 1),
        "an event that no task has seen": sorted(ended & events.keys() - processed),
    }
    numbers = [str(number) for found in wrong.values() for number in found]
    told = [
        line
        for line in _log(airflow).splitlines()
        if any(word in line for word in (*numbers, "may have been missed", "cannot be", _WATCHING, "rror"))
    ]
    return "\n".join([*(f"{what}: {found}" for what, found in wrong.items()), *told])


def _log(airflow: AirflowStack) -> str:
    """What all triggerers have logged."""
    return (airflow.home / "triggerer.log").read_text(errors="replace")


def _ended(emulator: EmulatorProcess) -> set[int]:
    return {
        run["wf_instance_id"] for run in emulator.instances() if run["is_scheduled"] and run["status"] == 4
    }


def _events(airflow: AirflowStack) -> list[int]:
    found: list[Mapping[str, Any]] = _patiently(
        lambda: list(airflow._pages("/assets/events", "asset_events"))
    )
    return [event["extra"]["payload"]["WfInstanceId"] for event in found]


def _patiently(ask: Callable[[], T]) -> T:
    """Ask again where SQLite was locked, which the API answers with 500."""
    for _ in range(30):
        try:
            return ask()
        except urllib.error.HTTPError as error:
            if error.code != 500:
                raise
            time.sleep(1)
    return ask()


def _processed(airflow: AirflowStack, workflows: int) -> set[int]:
    return _patiently(lambda: _seen_by_tasks(airflow, workflows))


def _seen_by_tasks(airflow: AirflowStack, workflows: int) -> set[int]:
    found: set[int] = set()
    for number in range(_FIRST, _FIRST + workflows):
        path = f"/dags/after_{number}/dagRuns/~/taskInstances"
        for entry in airflow._pages(f"{path}/~/xcomEntries", "xcom_entries", "&xcom_key=return_value"):
            run = airflow.xcom(f"after_{number}", entry["run_id"], "seen", "return_value")
            found.update(run or [])
    return found


def _dag_runs(airflow: AirflowStack) -> int:
    return _patiently(lambda: len(list(airflow._pages("/dags/~/dagRuns", "dag_runs"))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workflows", type=int, default=10)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--interval", type=float, default=5)
    parser.add_argument("--kill-every", type=float, default=25)
    parser.add_argument(
        "--profile", default="list_length=300", help="of the emulator; documented: 10 runs are listed"
    )
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        emulator_with(Path(folder), arguments.workflows, arguments.profile) as emulator,
    ):
        outcome = experiment(
            Path(folder) / "airflow",
            emulator,
            workflows=arguments.workflows,
            runs=arguments.runs,
            interval=arguments.interval,
            kill_every=arguments.kill_every,
        )
    print(outcome)
    if not outcome.is_good:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
