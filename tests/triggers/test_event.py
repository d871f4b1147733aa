"""The trigger for asset watchers, over real sockets against the emulator, with a store that stands in for Airflow's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from dev.harness.rest import IS_AIRFLOW_2

if IS_AIRFLOW_2:
    pytest.skip("events start DAGs from Airflow 3.0 on", allow_module_level=True)

from airflow.triggers.base import BaseEventTrigger

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError
from airflow_provider_schedulerx.api.runs.ends import Cursor, mark_of
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.triggers import event as module
from airflow_provider_schedulerx.triggers import watching as watching_module
from airflow_provider_schedulerx.triggers.cursors import CursorStore
from airflow_provider_schedulerx.triggers.event import WorkflowEventTrigger


class Assets:
    """Airflow's state stores of some assets, in memory, and its storing of events.

    :ivar events: payloads that were stored.
    :ivar gone: whose store is gone, since no DAG uses the asset any more.
    """

    def __init__(self, count: int = 1) -> None:
        self.values: list[dict[str, Any]] = [{} for _ in range(count)]
        self.events: list[dict[str, Any]] = []
        self.gone: list[dict[str, Any]] = []
        self.fails = 0

    def accessors(self) -> Any:
        """What the triggerer puts on a trigger, as far as it is used."""
        stores = {str(number): _Store(self, values) for number, values in enumerate(self.values)}
        return SimpleNamespace(_by_name=stores, _by_uri={})

    def store(self, payload: dict[str, Any]) -> None:
        """Store an event and, with it, what the listener writes down."""
        self.events.append(payload)
        for values in self.values:
            values.setdefault(f"schedulerx.delivered.{payload['watcher']}", []).append(
                [payload["WfInstanceId"], mark_of(payload["status"] == "SUCCESS", payload["EndTime"])]
            )

    @property
    def runs(self) -> list[int]:
        return [payload["WfInstanceId"] for payload in self.events]


class _Store:
    def __init__(self, assets: Assets, values: dict[str, Any]) -> None:
        self._assets, self._values = assets, values

    async def aget(self, key: str, default: Any = None) -> Any:
        await self._answer()
        values = {} if self._is_gone() else self._values
        return json.loads(json.dumps(values.get(key, default)))

    async def aset(self, key: str, value: Any) -> None:
        await self._answer()
        if self._is_gone():
            raise RuntimeError("there is no such asset")
        self._values[key] = json.loads(json.dumps(value))

    def _is_gone(self) -> bool:
        return any(values is self._values for values in self._assets.gone)

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self._assets.fails:
            self._assets.fails -= 1
            raise RuntimeError("the database is away")


@asynccontextmanager
async def watching(
    assets: Assets | None, *, stores: bool = True, stored_after: float = 0.0, **arguments: Any
) -> AsyncIterator[list[dict[str, Any]]]:
    """Run a trigger as a triggerer does, until the block ends as if it was killed.

    :param stores: False loses all events on the way to the database.
    :param stored_after: seconds that they take there.
    :return: the payloads it gave.
    """
    made = WorkflowEventTrigger(**{"workflow_id": 1, "poll_interval": 0.2, **arguments})
    path, kwargs = made.serialize()
    assert path == "airflow_provider_schedulerx.triggers.event.WorkflowEventTrigger"
    trigger = WorkflowEventTrigger(**json.loads(json.dumps(kwargs)))
    trigger.asset_state_store = assets.accessors() if assets else None
    given: list[dict[str, Any]] = []

    async def run() -> None:
        async for event in trigger.run():
            payload = json.loads(json.dumps(event.payload))
            given.append(payload)
            if assets and stores:
                asyncio.get_running_loop().call_later(stored_after, assets.store, payload)

    task = asyncio.create_task(run())
    try:
        yield given
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(is_true: Callable[[], Any], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not is_true():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def looked(emulator: EmulatorProcess, times: int = 2) -> None:
    """Wait for so many more lists."""
    before = emulator.calls("ListWorkflowInstance")
    await until(lambda: emulator.calls("ListWorkflowInstance") >= before + times)


@pytest.fixture(autouse=True)
def _no_spacing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SPACING", 0.0)


@pytest.fixture
def hook(emulator: EmulatorProcess, connect: Callable[..., None]) -> SchedulerXHook:
    emulator.reset()
    connect(emulator.connection(calls_per_minute=10_000))
    return SchedulerXHook()


def _has(given: list[Any], count: int) -> bool:
    return len(given) >= count


def test_events_of_ends_that_are_seen_together_are_spaced(
    hook: SchedulerXHook, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow gives a DAG run only the events up to the first that its scheduler sees."""
    monkeypatch.setattr(module, "_SPACING", 0.7)

    async def main() -> list[float]:
        assets = Assets()
        times: list[float] = []
        async with watching(assets, poll_interval=1) as given:
            await looked(emulator)
            emulator.set_schedule(1, "fixed_rate", 0.1, runs=3)
            for count in (1, 2, 3):
                await until(partial(_has, given, count))
                times.append(asyncio.get_running_loop().time())
        return times

    first, second, third = asyncio.run(main())
    assert min(second - first, third - second) > 0.5


def test_ends_are_noticed_and_stored_while_an_event_waits_for_its_turn(
    hook: SchedulerXHook, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_SPACING", "_SPACE"):
        monkeypatch.setattr(module, name, 3600.0)

    async def main() -> None:
        assets = Assets()
        (values,) = assets.values

        def known() -> set[int]:
            return {number for key in values if "cursor" in key for number in values[key]["cursor"]["listed"]}

        async with watching(assets) as given:
            await looked(emulator)
            first, second = hook.execute_workflow(1), hook.execute_workflow(1)
            await until(lambda: second in known() and len(given) == 1)
            third = hook.execute_workflow(1)
            await until(lambda: third in known())
            assert given[0]["WfInstanceId"] == first
        # What has waited is not lost.
        monkeypatch.setattr(module, "_SPACING", 0.0)
        async with watching(assets):
            await until(lambda: len(assets.runs) >= 3)
            await looked(emulator, 3)
        assert sorted(assets.runs) == [first, second, third]

    asyncio.run(main())


@pytest.mark.parametrize("seconds", [0.1, 1, 4, 6])
def test_a_workflow_that_ends_often_has_its_events_within_a_bound(seconds: float) -> None:
    """However often, and for however long."""
    now = 0.0
    delays: list[float] = []
    waiting: list[float] = []
    arrivals = [number * seconds for number in range(3000)]
    while arrivals or waiting:
        if not waiting:
            now = max(now, arrivals[0])
        while arrivals and arrivals[0] <= now:
            waiting.append(arrivals.pop(0))
        delays.append(now - waiting.pop(0))
        now += module.spacing(len(waiting))
    assert max(delays) <= 66


def test_each_end_from_the_first_look_on_fires_once(hook: SchedulerXHook, emulator: EmulatorProcess) -> None:
    async def main() -> list[dict[str, Any]]:
        hook.execute_workflow(1)
        await asyncio.sleep(1)
        assets = Assets()
        async with watching(assets) as given:
            await looked(emulator)
            emulator.set_schedule(1, "fixed_rate", 0.4, data_offset=-86400, runs=4)
            await until(lambda: len(given) == 4)
            await looked(emulator, 4)
        return given

    given = asyncio.run(main())
    runs = emulator.instances(1)
    assert [payload["WfInstanceId"] for payload in given] == [run["wf_instance_id"] for run in runs[1:]]
    first = SchedulerXHook().get_workflow_instance(1, runs[1]["wf_instance_id"])
    assert {**given[0], "watcher": "x"} == {
        "WfInstanceId": first.wf_instance_id,
        "workflow_id": 1,
        "workflow_name": "good",
        "status": "SUCCESS",
        "ScheduleTime": first.schedule_time,
        "DataTime": first.data_time,
        "StartTime": first.start_time,
        "EndTime": first.end_time,
        "console_url": f"{emulator.endpoint}/console/1/{first.wf_instance_id}",
        "watcher": "x",
    }
    assert first.data_time != first.schedule_time


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [(["success"], []), (["failed"], ["FAILED"]), (("success", "failed"), ["FAILED"])],
)
def test_only_the_wanted_ends_fire(
    hook: SchedulerXHook, emulator: EmulatorProcess, statuses: Any, expected: list[str]
) -> None:
    async def main() -> list[str]:
        async with watching(Assets(), workflow_id=2, statuses=statuses) as given:
            await looked(emulator)
            hook.execute_workflow(2)
            await until(lambda: emulator.instances(2)[-1]["status"] == 5)
            await looked(emulator, 3)
            return [payload["status"] for payload in given]

    assert asyncio.run(main()) == expected


def test_watchers_of_one_asset_with_different_statuses_keep_to_their_own(
    hook: SchedulerXHook, emulator: EmulatorProcess
) -> None:
    async def main() -> list[list[str]]:
        assets = Assets()
        async with (
            watching(assets, workflow_id=2, statuses=["success"]) as good,
            watching(assets, workflow_id=2, statuses=["failed"]) as bad,
            watching(assets, workflow_id=2, statuses=["success", "failed"]) as both,
        ):
            await looked(emulator)
            number = hook.execute_workflow(2)
            await until(lambda: bad and both)
            (node,) = [node for node in hook.get_workflow_instance(2, number).nodes if node.status.is_bad]
            hook.retry_job_instance(node.job_id, node.job_instance_id or 0)
            await until(lambda: good and len(both) == 2)
            await looked(emulator, 3)
        assert len({payload["watcher"] for payload in assets.events}) == 3
        return [[payload["status"] for payload in given] for given in (good, bad, both)]

    assert asyncio.run(main()) == [["SUCCESS"], ["FAILED"], ["FAILED", "SUCCESS"]]


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(
    ("statuses", "expected"), [(["success"], ["SUCCESS"]), (["success", "failed"], ["FAILED", "SUCCESS"])]
)
def test_a_run_that_is_continued_under_its_id_ends_again(
    hook: SchedulerXHook, emulator: EmulatorProcess, statuses: Any, expected: list[str], restarts: bool
) -> None:
    async def main() -> list[dict[str, Any]]:
        assets = Assets()
        async with watching(assets, workflow_id=2, statuses=statuses):
            await looked(emulator)
            number = hook.execute_workflow(2)
            await until(lambda: emulator.instances(2)[-1]["status"] == 5)
            await until(lambda: len(assets.events) == len(expected) - 1)
            await looked(emulator, 3)
        # Ends of one second are one, if nobody sees the run at work in between.
        await asyncio.sleep(1.1)
        async with watching(assets, workflow_id=2, statuses=statuses) if restarts else nullcontext():
            (bad,) = [node for node in hook.get_workflow_instance(2, number).nodes if node.status.is_bad]
            hook.retry_job_instance(bad.job_id, bad.job_instance_id or 0)
            await until(lambda: emulator.instances(2)[-1]["status"] == 4)
        async with watching(assets, workflow_id=2, statuses=statuses):
            await until(lambda: len(assets.events) >= len(expected))
            await looked(emulator, 3)
        return assets.events

    assert [payload["status"] for payload in asyncio.run(main())] == expected


@pytest.mark.parametrize("count", [1, 3])
def test_a_successor_goes_on_at_the_cursor_wherever_the_one_before_was_killed(
    hook: SchedulerXHook, emulator: EmulatorProcess, count: int
) -> None:
    """With several assets on one trigger, too, of which the last one came later."""

    async def main() -> Assets:
        assets = Assets(count)
        async with watching(assets):
            await looked(emulator)
            emulator.set_schedule(1, "fixed_rate", 0.25, runs=12)
            await until(lambda: len(assets.events) >= 2)
        # Its events are lost on the way to the database.
        async with watching(assets, stores=False) as lost:
            await until(lambda: len(lost) >= 2)
        assets.values[-1:] = [{}] if count > 1 else assets.values[-1:]
        for _ in range(3):
            async with watching(assets) as given:
                await until(partial(bool, given))
        async with watching(assets):
            await until(lambda: len(assets.events) >= 12)
            await looked(emulator, 5)
        return assets

    assets = asyncio.run(main())
    assert sorted(assets.runs) == [run["wf_instance_id"] for run in emulator.instances(1)]


def test_runs_that_are_pushed_out_of_the_list_before_they_end_are_not_forgotten(
    hook: SchedulerXHook, emulator: EmulatorProcess
) -> None:
    async def main() -> list[int]:
        # Longer than the others, and older than all that the list of 10 shows when it ends.
        slow = hook.execute_workflow(3)
        assets = Assets()
        async with watching(assets, workflow_id=3, statuses=["failed"]):
            await looked(emulator)
            for _ in range(12):
                hook.execute_workflow(3)
                await asyncio.sleep(0.05)
            await looked(emulator)
        async with watching(assets, workflow_id=3, statuses=["failed"]) as given:
            await looked(emulator)
            hook.stop_workflow_instance(3, slow)
            await until(lambda: given)
            return [slow, *(payload["WfInstanceId"] for payload in given)]

    slow, *given = asyncio.run(main())
    assert given == [slow]


def test_an_end_with_a_status_that_is_not_documented_counts_as_failed(
    hook: SchedulerXHook, emulator: EmulatorProcess
) -> None:
    emulator.set_profile("stopped_state=7")

    async def main() -> list[str]:
        async with watching(Assets(), workflow_id=3, statuses=["failed"]) as given:
            await looked(emulator)
            hook.stop_workflow_instance(3, hook.execute_workflow(3))
            await until(lambda: given)
            return [payload["status"] for payload in given]

    assert asyncio.run(main()) == ["FAILED"]


def test_a_gap_is_reported(
    hook: SchedulerXHook, emulator: EmulatorProcess, task_log: Callable[[], str]
) -> None:
    async def main() -> int:
        assets = Assets()
        hook.execute_workflow(1)
        async with watching(assets):
            await looked(emulator)
        for _ in range(14):
            hook.execute_workflow(1)
        await asyncio.sleep(1)
        async with watching(assets) as given:
            await until(lambda: len(given) >= 10)
            await looked(emulator, 4)
            return len(given)

    # The list shows 10 of 14; the first of all was pending, so it is asked for.
    assert asyncio.run(main()) == 11
    log = task_log()
    assert "Ends of workflow 1 may have been missed: none of the 1 runs known before is among the 10" in log
    assert "Lower poll_interval" in log


def test_without_a_store_the_first_look_only_sets_the_cursor(
    hook: SchedulerXHook, emulator: EmulatorProcess
) -> None:
    """Airflow below 3.3."""

    async def main() -> list[int]:
        async with watching(None) as given:
            await looked(emulator)
            hook.execute_workflow(1)
            await until(lambda: given)
        async with watching(None) as given:
            await looked(emulator, 3)
            assert given == []
            run = hook.execute_workflow(1)
            await until(lambda: given)
            await looked(emulator, 3)
            return [run, *(payload["WfInstanceId"] for payload in given)]

    run, *given = asyncio.run(main())
    assert given == [run]


def test_a_store_that_is_away_holds_events_back_and_loses_none(
    hook: SchedulerXHook, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch, task_log: Any
) -> None:
    monkeypatch.setattr(watching_module, "_PAUSE", 0.1)

    async def main() -> list[int]:
        assets = Assets()
        async with watching(assets) as given:
            await looked(emulator)
            assets.fails = 5
            run = hook.execute_workflow(1)
            await until(lambda: given)
            assert not assets.fails
            return [run, *(payload["WfInstanceId"] for payload in given)]

    run, *given = asyncio.run(main())
    assert given == [run]
    assert task_log().count("The asset's state cannot be read or written: RuntimeError") == 1


@pytest.mark.parametrize("gone", [0, 1])
def test_the_cursor_that_was_saved_last_counts(gone: int) -> None:
    """One that is larger may be of before, from an asset that was not in use for a while."""
    assets = Assets(2)
    stores = SimpleNamespace(asset_state_store=assets.accessors())
    before = Cursor(settled={number: mark_of(True, None) for number in range(9)})
    later = Cursor(pending={100: None})

    async def main() -> Cursor | None:
        store = CursorStore(stores, "watcher", "source")
        await store.save(before)
        assets.gone.append(assets.values[gone])
        await store.save(later)
        assets.gone.clear()
        return await CursorStore(stores, "watcher", "source").load()

    assert asyncio.run(main()) == later


@pytest.mark.parametrize("gone", [0, 1])
def test_an_asset_that_no_dag_uses_any_more_does_not_hold_up_the_others_of_its_trigger(
    hook: SchedulerXHook, emulator: EmulatorProcess, gone: int
) -> None:
    async def main() -> list[int]:
        assets = Assets(2)
        async with watching(assets):
            await looked(emulator)
            assets.gone.append(assets.values[gone])
            first = hook.execute_workflow(1)
            await until(lambda: assets.runs == [first])
            await looked(emulator, 3)
        # It is used again, and its store still has the cursor of then.
        assets.gone.clear()
        async with watching(assets):
            await looked(emulator)
            second = hook.execute_workflow(1)
            await until(lambda: len(assets.runs) > 1)
            await looked(emulator, 3)
        assert assets.runs == [first, second]
        return assets.runs

    assert asyncio.run(main())


def test_without_the_listener_a_living_triggerer_takes_its_events_for_stored(
    hook: SchedulerXHook, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching_module, "_STORED_AFTER", 0.3)

    async def main() -> list[int]:
        assets = Assets()
        async with watching(assets, stores=False) as given:
            await looked(emulator)
            hook.execute_workflow(1)
            await until(lambda: given)
            await asyncio.sleep(0.4)
            await looked(emulator, 3)
        async with watching(assets) as given:
            await looked(emulator, 3)
            return [payload["WfInstanceId"] for payload in given]

    assert asyncio.run(main()) == []


def test_another_place_is_watched_from_its_first_look_on(
    hook: SchedulerXHook,
    emulator: EmulatorProcess,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cursor of another group says nothing of this one."""
    monkeypatch.setattr("airflow_provider_schedulerx.triggers.settings._SHARED_SECONDS", 0.1)

    async def main() -> list[int]:
        assets = Assets()
        async with watching(assets, workflow_id=None, workflow_name="good"):
            await looked(emulator)
        for _ in range(2):
            emulator.rerun(5)
        await asyncio.sleep(1)
        connect(emulator.connection(calls_per_minute=10_000, group_id="reporting"))
        emulator.add_workflows(
            {
                "namespaces": [{"id": "demo", "groups": ["etl", "reporting"]}],
                "workflows": [
                    {"id": 77, "name": "good", "namespace": "demo", "group": "reporting"}
                    | {"nodes": [{"name": "a", "duration": 0.1}]}
                ],
            }
        )
        emulator.rerun(77)
        await asyncio.sleep(0.5)
        async with watching(assets, workflow_id=None, workflow_name="good") as given:
            await looked(emulator, 3)
            assert given == []
            run = emulator.rerun(77)
            await until(lambda: given)
            return [run, given[0]["WfInstanceId"], given[0]["workflow_id"]]

    run, given, workflow_id = asyncio.run(main())
    assert (given, workflow_id) == (run, 77)


def test_an_end_that_another_triggerer_has_reported_meanwhile_gives_no_second_event(
    hook: SchedulerXHook, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow has taken this one for dead, and has given the trigger to another, too."""
    monkeypatch.setattr(module, "spacing", lambda waiting: 2.0)

    async def main() -> list[int]:
        assets = Assets()
        async with watching(assets) as given:
            await looked(emulator)
            runs = [hook.execute_workflow(1), hook.execute_workflow(1)]
            await until(lambda: given and emulator.instances(1)[-1]["status"] == 4)
            await looked(emulator)
            async with watching(assets):
                await until(lambda: len(assets.events) >= 2)
                # Now it would be the turn of the first one.
                await asyncio.sleep(2.5)
        assert sorted(assets.runs) == runs
        return assets.runs

    assert asyncio.run(main())


def test_an_end_that_two_triggerers_notice_at_once_gives_one_event(
    hook: SchedulerXHook, emulator: EmulatorProcess, task_log: Callable[[], str]
) -> None:
    """The one that was taken for dead has lost its watcher, before anyone tells it."""

    async def main() -> None:
        assets = Assets()
        async with watching(assets, stored_after=1.0) as given, watching(assets, stored_after=1.0) as others:
            await looked(emulator)
            run = hook.execute_workflow(1)
            await until(lambda: emulator.instances(1)[-1]["status"] == 4)
            await until(lambda: assets.runs)
            await looked(emulator, 5)
        assert [payload["WfInstanceId"] for payload in given + others] == [run]

    asyncio.run(main())
    assert "Another triggerer has begun to watch workflow 1, too" in task_log()


def test_a_watcher_whose_rival_is_gone_reports_again(
    hook: SchedulerXHook, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two triggerers may both begin with a new trigger, until each sees whose it is."""
    monkeypatch.setattr(watching_module, "_TAKEN_PAUSE", 0.5)

    async def main() -> None:
        assets = Assets()
        async with watching(assets) as given:
            await looked(emulator)
            async with watching(assets):
                await looked(emulator)
            run = hook.execute_workflow(1)
            await until(lambda: given)
        assert assets.runs == [run]

    asyncio.run(main())


@pytest.mark.parametrize("is_taken", [True, False])
def test_a_name_that_moves_to_another_workflow_is_followed(
    hook: SchedulerXHook,
    emulator: EmulatorProcess,
    monkeypatch: pytest.MonkeyPatch,
    is_taken: bool,
    task_log: Any,
) -> None:
    """Renamed to make room for its successor."""
    monkeypatch.setattr(module, "_NAME_SECONDS", 0.5)
    monkeypatch.setattr(module, "_LONG_PAUSE", 0.2)
    monkeypatch.setattr("airflow_provider_schedulerx.triggers.definitions._SHARED_SECONDS", 0.1)

    def define(**names: str) -> None:
        workflows = [
            {
                "id": int(key[1:]),
                "name": name,
                "namespace": "demo",
                "group": "etl",
                "nodes": [{"name": "a", "duration": 0.1}],
            }
            for key, name in names.items()
        ]
        emulator.add_workflows(
            {"namespaces": [{"id": "demo", "groups": ["etl", "reporting"]}], "workflows": workflows}
        )

    log: list[str] = []

    def told(text: str) -> int:
        log.append(task_log())
        return "".join(log).count(text)

    async def main() -> None:
        define(w81="moves")
        async with watching(Assets(), workflow_id=None, workflow_name="moves") as given:
            await looked(emulator)
            first = emulator.rerun(81)
            await until(lambda: given)
            define(w81="moves-old", w82="moves" if is_taken else "other")
            if is_taken:
                await until(lambda: told("Watching workflow 'moves'") == 2)
                second = emulator.rerun(82)
                await until(lambda: len(given) == 2)
                assert [(each["WfInstanceId"], each["workflow_id"]) for each in given] == [
                    (first, 81),
                    (second, 82),
                ]
            else:
                await until(lambda: told("no workflow is named 'moves'"))

    asyncio.run(main())


def test_faults_are_told_once_and_waited_out(
    hook: SchedulerXHook,
    emulator: EmulatorProcess,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    task_log: Callable[[], str],
) -> None:
    """The name is unknown at first, then the key is wrong, then the network is away."""
    for name in ("_PAUSE", "_LONG_PAUSE"):
        monkeypatch.setattr(module, name, 0.2)
    monkeypatch.setattr("airflow_provider_schedulerx.triggers.settings._SHARED_SECONDS", 0.1)

    async def main() -> list[dict[str, Any]]:
        async with watching(Assets(), workflow_id=None, workflow_name="later") as given:
            await until(lambda: emulator.calls("ListWorkFlows") >= 4)
            emulator.add_workflows(
                {
                    "namespaces": [{"id": "demo", "groups": ["etl", "reporting"]}],
                    "workflows": [
                        {"id": 78, "name": "later", "namespace": "demo", "group": "etl"}
                        | {"nodes": [{"name": "a", "duration": 0.1}]}
                    ],
                }
            )
            await looked(emulator)
            emulator.add_fault(
                "ListWorkflowInstance", "error", status=400, code="SignatureDoesNotMatch", count=2
            )
            await until(lambda: not emulator.pending_faults())
            await looked(emulator)
            emulator.add_fault("ListWorkflowInstance", "drop", count=3)
            await until(lambda: not emulator.pending_faults())
            await looked(emulator)
            emulator.rerun(78)
            await until(lambda: given)
            return given

    assert [payload["workflow_name"] for payload in asyncio.run(main())] == ["later"]
    log = task_log()
    assert (
        log.count("The runs of workflow 'later' cannot be listed: ListWorkFlows: no workflow is named") == 1
    )
    assert log.count("cannot be listed: ListWorkflowInstance") == 2
    assert log.count("can be listed again") == 3


def test_many_watchers_of_a_workflow_cost_the_calls_of_one(
    hook: SchedulerXHook, emulator: EmulatorProcess
) -> None:
    async def main(count: int) -> int:
        async with asyncio.TaskGroup() as group:
            before = emulator.calls("ListWorkflowInstance")
            for number in range(count):
                # Each is another trigger, since its arguments differ.
                group.create_task(watch(0.5 + number / 1000))
        return emulator.calls("ListWorkflowInstance") - before

    async def watch(poll_interval: float) -> None:
        async with watching(Assets(), poll_interval=poll_interval):
            await asyncio.sleep(3)

    one, many = asyncio.run(main(1)), asyncio.run(main(40))
    assert many <= 2 * one


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "no workflow is given: set workflow_id .its id. or workflow_name"),
        ({"workflow_id": 1, "workflow_name": "x"}, "not both"),
        ({"workflow_id": "x"}, "workflow_id must be an integer"),
        ({"workflow_name": ""}, "workflow_name is empty"),
        ({"workflow_id": 1, "statuses": "success"}, "statuses must be a list of some of 'success', 'failed'"),
        ({"workflow_id": 1, "statuses": []}, "statuses must be a list"),
        ({"workflow_id": 1, "statuses": ["SUCCESS"]}, "statuses must be one of 'success', 'failed'"),
        ({"workflow_id": 1, "statuses": 4}, "statuses must be a list of some of 'success', 'failed', not 4"),
        # Nobody renders the arguments of a watcher.
        (
            {"workflow_name": "{{ var.value.name }}"},
            "workflow_name is a template: '{{ var.value.name }}'. An event",
        ),
        ({"workflow_id": "{{ var.value.id }}"}, "workflow_id is a template"),
        ({"workflow_id": 1, "group_id": "{% raw %}"}, "group_id is a template"),
        ({"workflow_id": 1, "poll_interval": 0}, "poll_interval must be a positive number"),
    ],
)
def test_bad_arguments_are_refused_when_the_dag_is_parsed(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(SchedulerXConfigurationError, match=says):
        WorkflowEventTrigger(**arguments)


@pytest.mark.parametrize("fault", [RuntimeError("nobody expects this"), asyncio.CancelledError()])
def test_a_poll_that_ends_unexpectedly_does_not_end_the_watcher(
    hook: SchedulerXHook,
    emulator: EmulatorProcess,
    monkeypatch: pytest.MonkeyPatch,
    task_log: Callable[[], str],
    fault: BaseException,
) -> None:
    follow = watching_module.Watch._follow
    faults = [fault]

    async def fails_once(self: Any, number: int, poller: Any) -> Any:
        if faults:
            raise faults.pop()
        return await follow(self, number, poller)

    monkeypatch.setattr(watching_module.Watch, "_follow", fails_once)

    async def main() -> list[int]:
        emulator.set_profile("stopped_state=7")  # a list does not say how the run is, so it is polled
        async with watching(Assets(), workflow_id=3, statuses=["failed"]) as given:
            await looked(emulator)
            hook.stop_workflow_instance(3, hook.execute_workflow(3))
            await until(lambda: given)
            await looked(emulator, 3)
        return [payload["WfInstanceId"] for payload in given]

    assert asyncio.run(main()) == [emulator.instances(3)[-1]["wf_instance_id"]]
    assert not faults
    assert "cannot be polled" in task_log()


def test_arguments_of_a_newer_version_are_kept_and_reported(
    hook: SchedulerXHook, emulator: EmulatorProcess, task_log: Callable[[], str]
) -> None:
    made = WorkflowEventTrigger(workflow_id=1, poll_interval=0.2)
    path, arguments = made.serialize()
    newer = {**arguments, "version": arguments["version"] + 1, "nodes": ["a"]}
    trigger = WorkflowEventTrigger(**newer)
    assert trigger.serialize() == (path, newer)
    assert trigger.watcher != made.watcher
    # Or an upgrade would lose the cursor of every watcher.
    assert WorkflowEventTrigger(**{**newer, "nodes": None}).watcher == made.watcher

    async def main() -> None:
        async with watching(Assets(), **newer):
            await looked(emulator)

    asyncio.run(main())
    assert (
        "Arguments of a newer version of this provider are ignored: nodes. Upgrade the triggerer"
        in task_log()
    )


@pytest.mark.parametrize("version", [{}, {"version": 1}])
def test_a_misspelt_argument_is_refused_when_the_dag_is_parsed(version: Any) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'status_list'"):
        WorkflowEventTrigger(workflow_id=1, status_list=["failed"], **version)


def test_equal_triggers_are_one_for_airflow() -> None:
    one = WorkflowEventTrigger(workflow_id="0101", statuses=["success", "failed"])
    other = WorkflowEventTrigger(workflow_id=101, statuses=("failed", "success", "failed"))
    assert BaseEventTrigger.hash(*one.serialize()) == BaseEventTrigger.hash(*other.serialize())
    assert (
        one.watcher
        == WorkflowEventTrigger(workflow_id=101, statuses=["failed", "success"], poll_interval=5).watcher
    )
    assert one.watcher != WorkflowEventTrigger(workflow_id=101).watcher
