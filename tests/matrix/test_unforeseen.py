"""What no profile of the emulator shows: people in the console, and answers that the documentation allows all the same."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from dev.experiments.scenarios import GOOD, ONE, SLOW, World

pytest.importorskip("airflow.sdk.execution_time.context", reason="of Airflow 3")

SUCCESS = 4


def before_try(world: World, number: int, do: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something just before a try of the task."""
    one_try = world.task._try

    def try_after() -> None:
        if world.task.ti.try_number == number:
            do()
        one_try()

    monkeypatch.setattr(world.task, "_try", try_after)


def go_on(world: World) -> None:
    """As a person does in the console: run the stopped nodes of the newest own run again."""
    run = world.service.own[-1]
    for node in list(run.nodes.values()):
        if node.is_retriable and node.status != SUCCESS:
            world.service.engine.retry(run, node)


@pytest.mark.parametrize("profile", ["documented", "documented,stopped_state=7"])
@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("waits", [5, 7200])
def test_a_stopped_run_that_a_person_continues_is_followed_by_the_retry(
    make: Callable[..., World], monkeypatch: pytest.MonkeyPatch, deferrable: bool, profile: str, waits: float
) -> None:
    world = make(deferrable=deferrable, profile=profile)
    with world.service.in_force():
        world.define(SLOW, retries=1, timeout=300)

        def continued() -> None:
            go_on(world)
            world.clock.sleep(waits)

        before_try(world, 2, continued, monkeypatch)
        world.task.run()
    first, *others = world.service.own
    assert others == []
    assert world.told == first.wf_instance_id
    assert (world.task.state == "success") is (first.status == SUCCESS)


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_stopped_run_that_a_person_continues_is_stopped_when_the_task_is_cleared(
    make: Callable[..., World], monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    world = make(deferrable=deferrable)
    with world.service.in_force():
        world.define(SLOW, retries=0, timeout=300)
        world.task.run()
        go_on(world)
        world.task.clear()
        world.task.run()
    first, second = world.service.own
    assert first.ended is not None
    assert first.ended <= second.created


# Answers.


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("ends", ["timeout", "success"])
def test_a_start_that_is_answered_with_the_run_of_somebody_else_gives_no_run_to_stop_or_to_succeed_with(
    make: Callable[..., World], deferrable: bool, ends: str
) -> None:
    """As a service may that lets a second start join the first, beyond the maximum concurrency."""
    world = make(deferrable=deferrable, profile="documented,when_full=join")
    with world.service.in_force():
        world.define(ONE, retries=3, timeout=40 if ends == "timeout" else None)
        stranger = world.service.start_as_a_stranger(ONE, '{"day":99}')
        world.clock.now += 2
        world.task.run()
    assert not stranger.stopped
    assert world.told != stranger.wf_instance_id
    if ends == "success":
        assert [run.status for run in world.service.own] == [SUCCESS]
        assert world.task.state == "success"


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_node_that_waits_may_have_no_status(make: Callable[..., World], deferrable: bool) -> None:
    """As it has no job instance yet: a serializer leaves out what is not set."""
    world = make(deferrable=deferrable, profile="documented,waiting_node_id=bare")
    with world.service.in_force():
        world.define(SLOW, retries=0)
        world.task.run()
    assert [run.status for run in world.service.own] == [SUCCESS]
    assert world.task.state == "success"


FORMS: dict[str, Callable[[str], str]] = {
    "other order": lambda text: json.dumps(json.loads(text), sort_keys=True, indent=1),
    "HTML": html.escape,
    "HTML of ASCII": lambda text: html.escape(text).encode("ascii", "xmlcharrefreplace").decode(),
    "URL": quote,
    "form": quote_plus,
    "cut": lambda text: text[:15],
    "cut, with dots": lambda text: f"{text[:12]}...",
    "JSON text, cut": lambda text: json.dumps(text)[:15],
    "nothing": lambda text: "",
}


@pytest.mark.parametrize("marker", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("is_started", [True, False])
def test_parameters_in_another_form_do_not_hide_the_run_of_a_lost_answer(
    make: Callable[..., World], form: str, marker: bool, is_started: bool
) -> None:
    world = make(marker=marker)

    def edit(operation: str, body: dict[str, Any]) -> None:
        if operation == "GetJobInstance":
            shown = body["Data"]["JobInstanceDetail"]
            shown["Parameters"] = FORMS[form](shown["Parameters"])

    world.service.edit = edit
    with world.service.in_force():
        world.define(GOOD, retries=2)
        world.service.add_fault("drop", **({"when": "after"} if is_started else {}))
        world.stranger_at("before", GOOD, '{"day":99}')
        world.task.run()
    runs = len(world.service.own)
    assert runs <= 1
    is_decided = world.task.state == "success"
    assert (runs == 1) if is_decided or is_started else (runs == 0)
    if form in ("other order", "HTML", "HTML of ASCII", "URL", "form"):
        assert is_decided


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("job", [False, True])
def test_a_run_may_be_unknown_for_as_long_as_settling_time_says(
    make: Callable[..., World], deferrable: bool, job: bool
) -> None:
    """Its id was answered, and neither a list nor a poll of its own shows it yet."""
    world = make(deferrable=deferrable, job=job)

    def edit(operation: str, body: dict[str, Any]) -> None:
        own = world.service.own
        if not own or world.clock.now - own[-1].created > 150:
            return
        if operation in ("GetWorkflowInstance", "GetJobInstance"):
            body.clear()
            body |= {"Success": False, "Code": 400, "Message": "jobInstance is not existed"}
        elif operation in ("ListWorkflowInstance", "GetJobInstanceList"):
            body["Data"] = {}

    world.service.edit = edit
    with world.service.in_force():
        world.define(SLOW, retries=0, settling_time=200)
        world.task.run()
    assert [run.status for run in world.service.own] == [SUCCESS]
    assert world.task.state == "success"


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("is_cleared", [False, True])
def test_nothing_is_started_beside_a_run_that_shows_neither_a_documented_status_nor_nodes(
    make: Callable[..., World], deferrable: bool, is_cleared: bool
) -> None:
    """Its stop cannot be seen to have done anything."""
    world = make(deferrable=deferrable)

    def edit(operation: str, body: dict[str, Any]) -> None:
        if operation == "GetWorkflowInstance":
            body["Data"] = {"WfInstanceInfo": {"Status": 7}}
        elif operation == "ListWorkflowInstance":
            for shown in body["Data"]["WfInstanceInfos"]:
                shown["Status"] = 7

    world.service.edit = edit
    with world.service.in_force():
        world.define(SLOW, retries=2, on_retry="reattach" if is_cleared else "restart")
        world.task.run()
        if is_cleared:
            world.clear()
    assert len(world.service.own) == 1
    assert world.task.state == "failed"


@pytest.mark.parametrize("marker", [False, True])
def test_a_node_that_is_no_job_does_not_hide_the_run_of_a_lost_answer(
    make: Callable[..., World], marker: bool
) -> None:
    """A workflow within the workflow, say, which GetJobInstance does not know."""
    world = make(marker=marker)

    def edit(operation: str, body: dict[str, Any]) -> None:
        if operation == "GetWorkflowInstance":
            node = {"JobId": 77, "JobInstanceId": 78, "JobName": "a workflow", "Status": 3}
            body["Data"]["WfInstanceDag"]["Nodes"].insert(0, node)

    world.service.edit = edit
    with world.service.in_force():
        world.define(GOOD, retries=2)
        world.service.add_fault("drop", when="after")
        world.task.run()
    assert [run.status for run in world.service.own] == [SUCCESS]
    assert world.task.state == "success"


@pytest.mark.parametrize("form", FORMS)
def test_that_older_runs_show_their_parameters_in_another_form_proves_nothing(
    make: Callable[..., World], form: str
) -> None:
    """The service shows those of the job, the same in each run, so that nobody can tell which run is ours."""
    world = make(profile="documented,parameters_shown=job")
    older: list[int] = []

    def edit(operation: str, body: dict[str, Any]) -> None:
        if operation == "GetJobInstance":
            shown = body["Data"]["JobInstanceDetail"]
            if shown["InstanceId"] < older[0]:
                shown["Parameters"] = FORMS[form](shown["Parameters"])

    world.service.edit = edit
    with world.service.in_force():
        world.define(GOOD, retries=2)
        older.append(max(world.service.engine.instances) + 4)
        world.service.add_fault("drop", when="after")
        world.task.run()
    assert len(world.service.own) == 1
