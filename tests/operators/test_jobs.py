"""Jobs by themselves: operator, sensor and trigger over real sockets, against the emulator.

What holds for every kind of run is tested with workflows. Here is what only jobs have, and that the promises hold for
them, too.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException, Asset, TaskDeferred

from airflow_provider_schedulerx.api.runs.events import Outcome, TerminalEvent
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.exceptions import (
    RunFailedError,
    RunLostError,
    RunNotFollowableError,
    RunNotStartableError,
    RunSensorError,
    RunStoppedError,
    RunUndecidedError,
    SchedulerXAuthorizationError,
    SchedulerXConfigurationError,
    SchedulerXRejectedError,
)
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.operators import launching
from airflow_provider_schedulerx.operators.schedulerx import ExecuteJobOperator
from airflow_provider_schedulerx.sensors.schedulerx import JobInstanceSensor
from airflow_provider_schedulerx.triggers.schedulerx import JobInstanceTrigger
from airflow_provider_schedulerx.version_compat import stores
from dev.harness.rest import IS_AIRFLOW_2
from tests.task_instance import Store, TaskInstance

#: Seconds that separate two starts of one job, in the emulator's fast time.
A_SECOND = 0.15


@pytest.fixture(autouse=True)
def connection(hook: SchedulerXHook, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is there, the task state store needs no Airflow 3.3, and a second is a tenth of one."""
    monkeypatch.setattr(stores, "store_for_good", lambda store, key, value: store.set(key, value))
    monkeypatch.setattr(launching, "_LEAST_SPREAD", 0.11)
    monkeypatch.setattr(launching, "_SPREAD", 0.5)


def operator(**arguments: Any) -> ExecuteJobOperator:
    return ExecuteJobOperator(
        **{
            "task_id": "run",
            "job_id": 23,
            "poll_interval": 0.1,
            "poll_failure_tolerance": 3,
            "settling_time": 1,
            "retry_delay": timedelta(0),
            "instance_parameters": {"unique": time.time_ns()},
            **arguments,
        }
    )


ids = itertools.count(7000)


def new_job(emulator: EmulatorProcess, history: int = 2, **details: Any) -> int:
    """Add a job, with runs of other parameters before."""
    job_id = next(ids)

    def define(**details: Any) -> None:
        job = {"id": job_id, "namespace": "demo", "group": "etl", "max_concurrency": 1000, **details}
        emulator.add_workflows(
            {"namespaces": [{"id": "demo", "groups": ["etl", "reporting"]}], "jobs": [job]}
        )

    # Long enough to be stopped, however busy the machine is.
    define(duration=100_000)
    hook = SchedulerXHook()
    for number in range(history):
        hook.stop_job_instance(job_id, hook.execute_job(job_id, {"history": number}))
        time.sleep(A_SECOND)
    define(**{"duration": 100_000, **details})
    return job_id


def active(emulator: EmulatorProcess, job_id: int) -> list[int]:
    return [run["wf_instance_id"] for run in emulator.job_instances(job_id) if run["status"] in (1, 2, 3)]


def kept() -> TaskInstance:
    """A task instance on Airflow 3.3."""
    return TaskInstance(Store())


# A try.


def test_success(emulator: EmulatorProcess, task_log: Callable[[], str]) -> None:
    job_id = new_job(emulator, history=0, duration=2, name="tidy", log_lines=2)
    ti = kept()
    run = ti.run(operator(job_id=job_id, instance_parameters={"a": "é"}))
    (made,) = emulator.job_instances(job_id)
    assert (made["wf_instance_id"], made["parameters"]) == (run, '{"a":"é"}')
    assert ti.xcoms["JobInstanceId"] == run
    assert ti.xcoms["_link_JobInstanceLink"] == f"{emulator.endpoint}/console/{job_id}/{run}"
    log = task_log()
    for line in (
        f"Started job {job_id}: JobInstanceId={run}, RequestId=",
        f"Job instance {run} in the console: {emulator.endpoint}/console/{job_id}/{run}",
        f"Job instance {run} is RUNNING",
        f"Job instance {run} is SUCCESS",
        f"Job instance {run} succeeded",
    ):
        assert line in log
    assert "orkflow" not in log
    assert "ode" not in log, "a job has no nodes"
    assert "é" not in log


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ("failed", "FAILED"),
        ("killed", "KILLED"),
        ("rejected", "REJECTED"),
        ("partial_failed", "PARTIAL_FAILED"),
        ("skipped", "SKIPPED"),
        ("99", "REMOVED"),
    ],
)
def test_what_is_over_and_not_good_fails(
    emulator: EmulatorProcess, task_log: Callable[[], str], outcome: str, says: str
) -> None:
    job_id = new_job(
        emulator, history=0, duration=1, name="odd", outcome=outcome, result="disk full", log_lines=3
    )
    with pytest.raises(RunFailedError, match=f"job {job_id}.*{says}"):
        operator(job_id=job_id).execute(kept().context)
    log = task_log()
    assert f"is {says}" in log
    assert "disk full" in log
    if outcome in ("failed", "killed", "rejected", "partial_failed"):
        assert "odd: step 3 of 3" in log, "the last lines of its own log"


@pytest.mark.parametrize("status", [0, 42])
def test_a_status_that_nobody_knows_is_never_success(emulator: EmulatorProcess, status: int) -> None:
    job_id = new_job(emulator, history=0, duration=1, outcome=str(status))
    with pytest.raises(RunLostError, match=f"status {status}, which is not documented"):
        operator(job_id=job_id).execute(kept().context)


def test_a_disabled_job(emulator: EmulatorProcess) -> None:
    job_id = new_job(emulator, history=0, duration=1, enabled=False)
    with pytest.raises(SchedulerXRejectedError, match="check_job_status=False"):
        operator(job_id=job_id).execute(kept().context)
    assert emulator.job_starts(job_id) == 0
    operator(job_id=job_id, check_job_status=False).execute(kept().context)
    assert emulator.job_starts(job_id) == 1


def test_a_job_that_is_not_there_is_final(emulator: EmulatorProcess) -> None:
    with pytest.raises(RunNotStartableError, match="jobId=999 is not existed"):
        operator(job_id=999).execute(kept().context)


def test_designation(emulator: EmulatorProcess) -> None:
    job_id = new_job(emulator, history=0, duration=1)
    operator(job_id=job_id, designate_type="worker", worker="w@10.0.0.1:2").execute(kept().context)
    time.sleep(A_SECOND)
    operator(job_id=job_id, designate_type="label", worker_label="gray").execute(kept().context)
    assert [run["worker"] for run in emulator.job_instances(job_id)] == ["w@10.0.0.1:2", "gray"]


@pytest.mark.parametrize(
    ("arguments", "field", "says"),
    [
        ({"designate_type": "worker"}, "worker", "set worker, or leave designate_type out"),
        ({"designate_type": "label"}, "worker_label", "set worker_label"),
        ({"designate_type": "worker", "worker": " "}, "worker", "set worker"),
        ({"worker": "w@1:2"}, "designate_type", "set designate_type='worker'"),
        ({"worker_label": "gray"}, "designate_type", "set designate_type='label'"),
        (
            {"designate_type": "label", "worker_label": "g", "worker": "w"},
            "worker",
            "designate_type='worker'",
        ),
        ({"designate_type": 1, "worker": "w"}, "designate_type", "'worker', 'label'"),
        # A template is something, whatever it becomes.
        ({"designate_type": "workers", "worker": "{{ w }}"}, "designate_type", "'worker', 'label'"),
        ({"worker": "{{ w }}"}, "designate_type", "set designate_type='worker'"),
        ({"designate_type": "worker", "worker_label": "{{ g }}"}, "worker", "set worker"),
        ({"designate_type": "label", "worker_label": "{{ g }}", "worker": "w"}, "worker", "leave it out"),
        ({"job_id": "x"}, "job_id", "must be an integer"),
        ({"check_job_status": "no"}, "check_job_status", "True or False"),
        ({"instance_parameters": "x" * 1001}, "instance_parameters", "1001 bytes"),
    ],
)
def test_bad_input_is_refused_when_the_file_is_parsed(
    arguments: dict[str, Any], field: str, says: str
) -> None:
    with pytest.raises(SchedulerXConfigurationError, match=says) as caught:
        operator(**arguments)
    assert caught.value.field == field


def test_a_template_is_checked_when_it_is_rendered(emulator: EmulatorProcess) -> None:
    task = operator(designate_type="worker", worker="{{ params.worker }}")
    task.worker = ""
    with pytest.raises(RunNotStartableError, match="set worker"):
        task.execute(kept().context)
    assert {"job_id", "instance_parameters", "worker", "worker_label", "group_id"} <= set(
        task.template_fields
    )


def test_a_job_is_found_by_its_exact_name(emulator: EmulatorProcess) -> None:
    job_id = new_job(emulator, history=0, duration=1, name="by its name")
    new_job(emulator, history=0, name="by its name, too")
    ti = kept()
    ti.run(operator(job_id=None, job_name="by its name"))
    assert (emulator.job_starts(job_id), ti.xcoms["job_id"]) == (1, job_id)
    with pytest.raises(RunNotStartableError, match=f"'by its name' \\({job_id}\\)"):
        operator(job_id=None, job_name="by its other name").execute(kept().context)


def test_the_sensor_finds_it_too(emulator: EmulatorProcess, hook: SchedulerXHook) -> None:
    job_id = new_job(emulator, history=0, duration=1, name="seen by a sensor")
    run = hook.execute_job(job_id)

    def named(name: str) -> JobInstanceSensor:
        return JobInstanceSensor(
            task_id="w", job_name=name, job_instance_id=run, poke_interval=0.2, timeout=60
        )

    ti = kept()
    assert named("seen by a sensor").execute(ti.context) == run
    assert ti.xcoms["_link_JobInstanceLink"].endswith(f"/console/{job_id}/{run}")
    with pytest.raises(RunNotFollowableError, match="no job is named 'seen by a senso'"):
        named("seen by a senso").execute(kept().context)


@pytest.mark.parametrize("arguments", [{"job_id": None}, {"job_name": "tidy"}])
def test_one_of_id_and_name_is_needed(arguments: dict[str, Any]) -> None:
    with pytest.raises(SchedulerXConfigurationError, match=r"job_id \(its id\) or job_name"):
        operator(**arguments)


def test_assets_and_openlineage_learn_of_the_run(emulator: EmulatorProcess) -> None:
    job_id = new_job(emulator, history=0, duration=1)
    event = SimpleNamespace(extra={})

    class OutletEvents(dict[str, Any]):
        def __getitem__(self, asset: Any) -> Any:
            return event

    task = operator(job_id=job_id, outlets=[Asset("warehouse")])
    context: Any = {**kept().context, "outlet_events": OutletEvents()}
    run = task.execute(context)
    url = f"{emulator.endpoint}/console/{job_id}/{run}"
    assert event.extra == {"JobInstanceId": run, "job_id": job_id, "console_url": url, "status": "SUCCESS"}
    pytest.importorskip("airflow.providers.openlineage")
    lineage = task.get_openlineage_facets_on_complete(None)
    assert lineage is not None
    facet = lineage.run_facets["schedulerx"]
    assert (facet.jobId, facet.jobInstanceId, facet.externalUrl) == (job_id, run, url)


# Never twice, never lost.


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_starts_no_second_run(emulator: EmulatorProcess, when: str) -> None:
    job_id = new_job(emulator, duration=5)
    emulator.add_fault("ExecuteJob", "drop", when=when)
    operator(job_id=job_id).execute(kept().context)
    assert emulator.job_starts(job_id) == 3


def test_a_lost_run_is_found_behind_many_others(emulator: EmulatorProcess) -> None:
    """More than one page of runs began since; with 10 in the list it would be out of sight."""
    job_id = new_job(emulator, duration=100_000)
    task = operator(job_id=job_id, wait_for_completion=False, settling_time=12)
    emulator.add_fault("ExecuteJob", "drop", when="after")
    stranger = SchedulerXHook()

    def others() -> None:
        while emulator.job_starts(job_id) < 3:
            time.sleep(0.02)
        for number in range(60):
            time.sleep(0.11)
            stranger.execute_job(job_id, {"stranger": number})

    crowd = threading.Thread(target=others)
    crowd.start()
    run = task.execute(kept().context)
    crowd.join()
    assert [each["wf_instance_id"] for each in emulator.job_instances(job_id)].index(run) == 2
    assert emulator.job_starts(job_id) == 63


@pytest.mark.parametrize("order", ["newest_first", "oldest_first", "unordered"])
@pytest.mark.parametrize("length", ["all", "10"])
def test_whatever_the_list_looks_like_no_second_run_is_started(
    emulator: EmulatorProcess, order: str, length: str
) -> None:
    job_id = new_job(emulator, history=12)
    emulator.set_profile(f"list_order={order},job_list_length={length},late_refusal=500")
    task = operator(job_id=job_id, wait_for_completion=False)
    run = task.execute(kept().context)
    assert active(emulator, job_id) == [run]


def test_without_parameters_a_lost_run_is_left_to_a_person(emulator: EmulatorProcess) -> None:
    job_id = new_job(emulator)
    emulator.add_fault("ExecuteJob", "drop", when="after")
    with pytest.raises(RunUndecidedError, match="no parameters by which its run could be distinguished"):
        operator(job_id=job_id, instance_parameters=None).execute(kept().context)
    assert len(active(emulator, job_id)) == 1


@pytest.mark.parametrize("refusal", ["duplicate", "error"])
def test_tasks_that_start_one_job_in_the_same_second_all_start_it_once(
    emulator: EmulatorProcess, refusal: str, task_log: Callable[[], str]
) -> None:
    job_id = new_job(emulator, duration=1)
    emulator.set_profile(f"same_second={refusal}")
    results: list[int] = []

    def start(number: int) -> None:
        if IS_AIRFLOW_2:
            # It notes for each thread which operator runs, and knows only the first thread.
            executing = import_module("airflow.models.baseoperator").ExecutorSafeguard
            executing._sentinel.callers = {}
        made = operator(job_id=job_id, instance_parameters={"number": number}, run_marker=refusal == "error")
        ti = kept()
        ti.map_index = number
        results.append(made.execute(ti.context))

    tasks = [threading.Thread(target=start, args=(number,)) for number in range(4)]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    assert len(set(results)) == 4
    assert emulator.job_starts(job_id) == 2 + 4
    assert "starting again in" in task_log()


def test_a_retry_takes_the_run_up_and_a_clear_stops_it(emulator: EmulatorProcess) -> None:
    job_id = new_job(emulator)
    ti = kept()
    emulator.add_fault("GetJobInstance", "error", status=403, code="Forbidden.RAM")
    with pytest.raises((RunLostError, SchedulerXAuthorizationError)):
        ti.run(operator(job_id=job_id))
    (first,) = active(emulator, job_id)
    assert ti.run(operator(job_id=job_id, wait_for_completion=False)) == first
    ti.clear()
    time.sleep(A_SECOND)
    second = ti.run(operator(job_id=job_id, wait_for_completion=False))
    assert second != first
    assert active(emulator, job_id) == [second]


def test_restart_and_if_running(emulator: EmulatorProcess) -> None:
    job_id = new_job(emulator)
    other = SchedulerXHook().execute_job(job_id, {"stranger": 1})
    time.sleep(A_SECOND)
    arguments: dict[str, Any] = {"job_id": job_id, "wait_for_completion": False}
    assert operator(**arguments, if_running="reattach").execute(kept().context) == other
    with pytest.raises(AirflowSkipException):
        operator(**arguments, if_running="skip").execute(kept().context)
    ti = kept()
    waiting: dict[str, Any] = {"job_id": job_id, "timeout": 0.3, "cancel_on_kill": False}
    with pytest.raises(RunLostError):
        ti.run(operator(**waiting))
    first = active(emulator, job_id)[-1]
    time.sleep(A_SECOND)
    with pytest.raises(RunLostError):
        ti.run(operator(**waiting, on_retry="restart"))
    assert len(active(emulator, job_id)) == 2
    assert first not in active(emulator, job_id)


def test_rerun_failed_runs_the_same_instance_again(emulator: EmulatorProcess) -> None:
    job_id = new_job(emulator, history=0, duration=2, outcome=["failed", "success"])
    ti = kept()
    task = operator(job_id=job_id, on_retry="rerun_failed")
    with pytest.raises(RunFailedError):
        ti.run(task)
    ti.run(operator(job_id=job_id, on_retry="rerun_failed"))
    (run,) = emulator.job_instances(job_id)
    assert (run["status"], run["nodes"][0]["attempt"]) == (4, 1)


def test_a_timeout_stops_the_run(emulator: EmulatorProcess) -> None:
    job_id = new_job(emulator, history=0)
    with pytest.raises(RunStoppedError, match=r"within timeout=1 s; it was stopped"):
        operator(job_id=job_id, timeout=1).execute(kept().context)
    assert active(emulator, job_id) == []


def test_a_kill_stops_the_run(emulator: EmulatorProcess) -> None:
    job_id = new_job(emulator, history=0)
    task = operator(job_id=job_id, durable=False)

    def kill() -> None:
        while not active(emulator, job_id):
            time.sleep(0.02)
        time.sleep(0.3)
        task.on_kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(Exception, match="stopped|killed|KILLED|FAILED"):
        task.execute(kept().context)
    killer.join()
    assert active(emulator, job_id) == []


# Deferred.


async def fire(made: JobInstanceTrigger) -> TerminalEvent:
    """Run a trigger as a triggerer does: through its serialized form; exactly one event must come."""
    path, arguments = made.serialize()
    assert path == "airflow_provider_schedulerx.triggers.schedulerx.JobInstanceTrigger"
    again = JobInstanceTrigger(**json.loads(json.dumps(arguments)))
    (event,) = [event.payload async for event in again.run()]
    return TerminalEvent.parse(
        json.loads(json.dumps(event)),
        made.kind,
        definition_id=made.definition_id,
        instance_id=made.instance_id,
    )


@pytest.mark.parametrize("outcome", ["success", "failed", "partial_failed"])
def test_a_deferred_task_ends_as_one_that_is_not(emulator: EmulatorProcess, outcome: str) -> None:
    job_id = new_job(emulator, history=0, duration=5, outcome=outcome)
    task = operator(job_id=job_id, deferrable=True)
    ti = kept()
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(ti.context)
    trigger = deferred.value.trigger
    assert isinstance(trigger, JobInstanceTrigger)
    trigger.deferred_at = None  # nothing is held back here
    ended = asyncio.run(fire(trigger))
    assert ended.outcome is Outcome.ENDED
    resume = operator(job_id=job_id, deferrable=True)
    arguments = {"event": ended.to_payload(), **(deferred.value.kwargs or {})}
    if outcome == "success":
        assert resume.execute_complete(ti.context, **arguments) == trigger.instance_id
    else:
        with pytest.raises(RunFailedError, match=outcome.upper()):
            resume.execute_complete(ti.context, **arguments)
    assert emulator.job_starts(job_id) == 1


def test_many_triggers_of_one_job_share_their_calls(
    emulator: EmulatorProcess, connect: Callable[..., None]
) -> None:
    job_id = new_job(emulator, history=0, duration=20)
    hook = SchedulerXHook()
    runs = []
    for _ in range(12):
        runs.append(hook.execute_job(job_id))
        time.sleep(0.11)
    before = {name: emulator.calls(name) for name in ("GetJobInstanceList", "GetJobInstance")}

    async def main() -> list[TerminalEvent]:
        waits = [JobInstanceTrigger(job_id=job_id, job_instance_id=run, poll_interval=1) for run in runs]
        return list(await asyncio.gather(*map(fire, waits)))

    ended = asyncio.run(main())
    assert {event.outcome for event in ended} == {Outcome.ENDED}
    calls = {name: emulator.calls(name) - count for name, count in before.items()}
    assert calls["GetJobInstanceList"] <= 8
    assert calls["GetJobInstance"] <= 24


def test_a_user_who_ends_a_deferred_task_stops_the_run(emulator: EmulatorProcess) -> None:
    job_id = new_job(emulator, history=0)
    run = SchedulerXHook().execute_job(job_id)
    asyncio.run(JobInstanceTrigger(job_id=job_id, job_instance_id=run).on_kill())
    assert active(emulator, job_id) == []


# The sensor.

CONTEXT: Any = {"ti": SimpleNamespace(xcom_push=lambda **_: None, task=None)}


def sensor(job_id: int, run: int, **arguments: Any) -> JobInstanceSensor:
    return JobInstanceSensor(
        **{"task_id": "wait", "job_id": job_id, "job_instance_id": run, "poke_interval": 0.1, **arguments}
    )


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_sensor_waits_for_success_and_fails_fast(emulator: EmulatorProcess, deferrable: bool) -> None:
    hook = SchedulerXHook()
    good, bad = (
        new_job(emulator, history=0, duration=1, outcome=outcome) for outcome in ("success", "failed")
    )
    run, broken = hook.execute_job(good), hook.execute_job(bad)
    time.sleep(0.3)
    assert sensor(good, run, deferrable=deferrable).execute(CONTEXT) == run
    with pytest.raises(RunFailedError, match=f"job {bad}"):
        sensor(bad, broken, deferrable=deferrable).execute(CONTEXT)


def test_the_sensor_defers_to_the_trigger_of_jobs(emulator: EmulatorProcess) -> None:
    job_id = new_job(emulator, history=0)
    run = SchedulerXHook().execute_job(job_id)
    made = sensor(job_id, run, deferrable=True, timeout=100)
    with pytest.raises(TaskDeferred) as deferred:
        made.execute(CONTEXT)
    assert isinstance(deferred.value.trigger, JobInstanceTrigger)
    assert deferred.value.trigger.cancel_on_kill is False
    event = {"version": 1, "outcome": "undecided", "definition_id": job_id, "instance_id": run, "run": None}
    with pytest.raises(RunSensorError, match=f"Job instance {run} can no longer be followed"):
        made.execute_complete(CONTEXT, {**event, "message": "m"}, **(deferred.value.kwargs or {}))


def test_the_sensor_is_final_about_bad_input(emulator: EmulatorProcess) -> None:
    with pytest.raises(SchedulerXConfigurationError, match="job_instance_id"):
        sensor(1, 0)
    made = sensor(1, 1)
    made.job_instance_id = "None"
    with pytest.raises(RunNotFollowableError, match="job_instance_id is empty"):
        made.execute(CONTEXT)


# The hook.


def test_the_hook_lists_runs_through_all_pages(emulator: EmulatorProcess) -> None:
    job_id = new_job(emulator, history=0)
    hook = SchedulerXHook()
    runs = []
    for _ in range(12):
        runs.append(hook.execute_job(job_id))
        time.sleep(0.11)
    emulator.set_profile("list_order=oldest_first")
    newest_first = runs[::-1]
    assert [each.job_instance_id for each in hook.list_job_instances(job_id)] == newest_first
    middle = emulator.job_instances(job_id)[6]["created"]
    assert [each.job_instance_id for each in hook.list_job_instances(job_id, start=middle)] == newest_first[
        :6
    ]
    hook.stop_job_instance(job_id, runs[3])
    assert [each.job_instance_id for each in hook.list_job_instances(job_id, status=5)] == [runs[3]]


def test_the_hook_lists_jobs(emulator: EmulatorProcess) -> None:
    job_id = new_job(emulator, history=0, name="listed by the hook", enabled=False)
    hook = SchedulerXHook()
    (found,) = hook.list_jobs("listed by the hook")
    assert (found.job_id, found.is_enabled, found.max_concurrency) == (job_id, False, 1000)
    assert job_id not in {each.job_id for each in hook.list_jobs(is_enabled=True)}
    assert hook.get_job(job_id) == found


def test_a_retry_whose_worker_was_not_rendered_starts_nothing_anywhere(emulator: EmulatorProcess) -> None:
    job_id = new_job(emulator, history=0, name="by-worker", duration=1, outcome="failed")
    arguments = {"job_id": None, "job_name": "by-worker", "designate_type": "label"}
    ti = kept()
    with pytest.raises(RunFailedError):
        ti.run(operator(**arguments, worker_label="gray"))
    again = operator(**arguments, worker_label="{{ params.label }}")
    again.worker_label = ""
    with pytest.raises(RunNotStartableError, match="worker_label"):
        ti.run(again)
    assert len(emulator.job_instances(job_id)) == 1
