"""What experiments under faults share: workflows, and a judge that holds their runs against their tasks."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings, Scope
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.api.wire.transport import SyncTransport
from airflow_provider_schedulerx.emulator.process import EmulatorProcess

SUCCESS, FAILED = 4, 5
#: How a job that was stopped may end, besides.
_KILLED = 6


def definitions(
    workflows: Mapping[int, tuple[float, str]], jobs: Mapping[int, tuple[float, str]] | None = None
) -> dict[str, Any]:
    """For the emulator: workflows of two nodes, and jobs.

    :param workflows: id -> seconds and outcome of its runs.
    :param jobs: likewise.
    """
    return {
        "accounts": [{"access_key_id": "emulator", "access_key_secret": "emulator-secret"}],
        "namespaces": [{"id": "demo", "groups": ["etl"]}],
        "workflows": [
            {
                "id": workflow_id,
                "namespace": "demo",
                "group": "etl",
                "max_concurrency": 100_000,
                "nodes": [
                    {"name": "first", "duration": seconds / 2},
                    {"name": "second", "after": "first", "duration": seconds / 2, "outcome": outcome},
                ],
            }
            for workflow_id, (seconds, outcome) in workflows.items()
        ],
        "jobs": [
            {
                "id": job_id,
                "namespace": "demo",
                "group": "etl",
                "max_concurrency": 100_000,
                "duration": seconds,
                "outcome": outcome,
            }
            for job_id, (seconds, outcome) in (jobs or {}).items()
        ],
    }


def service_of(emulator: EmulatorProcess) -> tuple[SyncTransport, Scope]:
    """What calls an emulator, and where its workflows are."""
    connection = emulator.connection()
    settings = SchedulerXSettings.from_connection(
        login=connection["login"],
        password=connection["password"],
        host=connection["host"],
        extra=connection["extra"],
    )
    return SyncTransport(settings), settings.scope


def give_history(emulator: EmulatorProcess, workflow_ids: Iterable[int], job_ids: Iterable[int] = ()) -> None:
    """Make earlier runs, as every workflow and job in use has: they show that parameters differ between runs."""
    service, scope = service_of(emulator)
    job_ids = list(job_ids)
    for workflow_id in workflow_ids:
        for number in range(2):
            service.perform(calls.execute_workflow(scope, workflow_id, {"history": number}))
    for number in range(2 if job_ids else 0):
        for job_id in job_ids:
            service.perform(calls.execute_job(scope, job_id, {"history": number}))
        time.sleep(1)  # two starts of a job in a second are refused


@dataclass
class Verdict:
    """What a flavor of task has made of its cases.

    :ivar duplicates: runs that were started while an earlier one of the same task instance was active, or after
        one had succeeded.
    :ivar orphans: runs that no task followed to their end: still active, or ended without any task's having
        that as its result or having started another after their failure.
    :ivar wrong: task instances whose final state is not that of their last run.
    :ivar stopped: runs of which a node was stopped.
    :ivar may_stop: whether something in the experiment gives a reason to stop a run.
    """

    flavor: str
    tasks: int = 0
    runs: int = 0
    duplicates: list[int] = field(default_factory=list)
    orphans: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)
    may_stop: bool = True

    @property
    def is_clean(self) -> bool:
        return not (self.duplicates or self.orphans or self.wrong or (self.stopped and not self.may_stop))

    def __str__(self) -> str:
        return (
            f"{self.flavor:<9} {self.tasks:>6} {self.runs:>6} {len(self.duplicates):>11} {len(self.orphans):>8} "
            f"{len(self.wrong):>6} {len(self.stopped):>8}"
        )


HEADER = f"{'':<9} {'tasks':>6} {'runs':>6} {'duplicates':>11} {'orphans':>8} {'wrong':>6} {'stopped':>8}"


def judge(
    flavor: str,
    tasks: dict[int, tuple[str, int | None]],
    instances: list[dict[str, Any]],
    *,
    may_stop: bool = True,
) -> Verdict:
    """Hold runs against tasks.

    :param tasks: case -> final state of its task instance, and the ``WfInstanceId`` in its XCom.
    :param instances: all runs of the emulator.
    :param may_stop: whether something gives a reason to stop a run, such as a worker that ends in the last try.
    """
    verdict = Verdict(flavor, tasks=len(tasks), may_stop=may_stop)
    by_case: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for run in instances:
        parameters = json.loads(run["parameters"] or "{}")
        if parameters.get("flavor") == flavor:
            status = FAILED if run["status"] == _KILLED else run["status"]
            by_case[parameters["case"]].append({**run, "status": status})
    verdict.runs = sum(map(len, by_case.values()))
    for case, (state, wf_instance_id) in tasks.items():
        runs = by_case.pop(case, [])
        ids = [run["wf_instance_id"] for run in runs]
        for number, run in enumerate(runs):
            for earlier in runs[:number]:
                ended = earlier["ended"]
                if earlier["status"] == SUCCESS or ended is None or ended > run["created"]:
                    verdict.duplicates.append(run["wf_instance_id"])
                    break
            if run["stopped"]:
                verdict.stopped.append(run["wf_instance_id"])
            is_result = run["wf_instance_id"] == wf_instance_id
            was_replaced = run["status"] == FAILED and number + 1 < len(runs)
            if run["status"] not in (SUCCESS, FAILED) or not (is_result or was_replaced):
                verdict.orphans.append(run["wf_instance_id"])
        final = {SUCCESS: "success", FAILED: "failed"}.get(runs[-1]["status"]) if runs else "no run"
        if state != final or wf_instance_id != (ids[-1] if ids else None):
            verdict.wrong.append(f"case {case}: task {state} with {wf_instance_id}, runs {ids} end {final}")
    return verdict


def show(verdicts: Sequence[Verdict], but: str = "") -> None:
    """Print a table, and each thing that went wrong. :param but: flavor whose things are only counted."""
    print(f"\n{HEADER}")
    for verdict in verdicts:
        print(verdict)
    for verdict in verdicts:
        if verdict.flavor != but:
            for what in (*verdict.wrong, *(f"duplicate {run}" for run in verdict.duplicates)):
                print(f"{verdict.flavor}: {what}")
            for run in verdict.orphans:
                print(f"{verdict.flavor}: orphan {run}")
            for run in verdict.stopped if not verdict.may_stop else ():
                print(f"{verdict.flavor}: stopped without a reason: {run}")


def conclude(verdicts: Sequence[Verdict], but: str = "") -> int:
    """Print whether all is as promised. :param but: flavor that promises nothing. :return: exit status."""
    good = all(verdict.is_clean for verdict in verdicts if verdict.flavor != but)
    print(
        "\nNothing was started twice, lost, misreported or stopped without a reason."
        if good
        else "\nNOT as promised."
    )
    return 0 if good else 1
