"""When a snapshot is stored, by a worker and by a triggerer, and that storing never gets in anyone's way."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from airflow_provider_schedulerx.api.models import WorkflowInstance, WorkflowInstanceStatus
from airflow_provider_schedulerx.run_page import XCOM_RUN, queue, writer
from airflow_provider_schedulerx.run_page.encoding import decode, encode
from airflow_provider_schedulerx.run_page.queue import TriggerSnapshotWriter
from airflow_provider_schedulerx.run_page.snapshot import Snapshot
from airflow_provider_schedulerx.run_page.writer import NullWriter, TaskSnapshotWriter
from airflow_provider_schedulerx.version_compat import connections, supervisors, versions, xcoms
from dev.harness.virtual_time import run_simulated
from tests.run_page.test_snapshot import a_job, a_node, an_instance

pytestmark = pytest.mark.skipif(not versions.has_run_page(), reason="Airflow 3.1 and later")

RUNNING = WorkflowInstance(101, 7, WorkflowInstanceStatus.RUNNING)
ENDED = replace(RUNNING, status=WorkflowInstanceStatus.SUCCESS)
NODES = replace(RUNNING, nodes=(a_node(1), a_node(2, 1)))


def key(task: str) -> dict[str, Any]:
    return {"dag_id": "d", "task_id": task, "run_id": "r", "map_index": -1}


class InProcessSupervisor:
    """Takes the messages that Airflow's supervisor does, as that of ``dag.test()``: what a process stores passes through
    here.

    :ivar takes: seconds that each takes.
    """

    def __init__(self) -> None:
        self.stored: list[tuple[float, str, Snapshot]] = []
        self.values: dict[str, Any] = {}
        self.takes = 0.0
        self.now = 0.0
        self.error: Exception | None = None
        self.asked = 0
        self.under_way = 0

    def send(self, message: Any) -> Any:
        self.now += self.takes
        return self._answer(message, self.now)

    async def asend(self, message: Any) -> Any:
        self.under_way += 1
        assert self.under_way == 1, "one at a time"
        await asyncio.sleep(self.takes)
        self.under_way -= 1
        return self._answer(message, asyncio.get_running_loop().time())

    def _answer(self, message: Any, now: float) -> Any:
        self.asked += 1
        if self.error is not None:
            raise self.error
        assert message.key == XCOM_RUN
        if type(message).__name__ == "GetXCom":
            return types.SimpleNamespace(value=self.values.get(message.task_id))
        assert type(message).__name__ == "SetXCom"
        self.values[message.task_id] = message.value
        self.stored.append((now, message.task_id, decode(message.value)))
        return None


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> InProcessSupervisor:
    from airflow.sdk.execution_time import task_runner

    supervisor = InProcessSupervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


@pytest.fixture
def in_task(supervisor: InProcessSupervisor) -> Callable[[WorkflowInstance, float], None]:
    """Observe at a time in a worker."""
    its = TaskSnapshotWriter(key("t"), logging.getLogger("task"), lambda: supervisor.now)

    def observe(instance: WorkflowInstance, at: float) -> None:
        supervisor.now = at
        its.observe(instance)

    return observe


def times(supervisor: InProcessSupervisor) -> list[float]:
    return [at for at, _, _ in supervisor.stored]


def test_changes_are_stored_at_most_every_few_seconds(
    supervisor: InProcessSupervisor, in_task: Callable[..., None]
) -> None:
    for second in range(12):
        in_task(replace(NODES, start_time=f"2026-11-25 05:41:{second:02}"), float(second))
    assert times(supervisor) == [0, 3, 6, 9]


def test_an_unchanged_run_is_stored_with_a_heartbeat(
    supervisor: InProcessSupervisor, in_task: Callable[..., None]
) -> None:
    for second in range(0, 180, 5):
        # A poll without nodes says nothing of them.
        in_task(NODES if second % 10 else RUNNING, float(second))
    assert times(supervisor) == [0, 5, 65, 125]
    assert all(len(snapshot.nodes) == 2 for at, _, snapshot in supervisor.stored if at)


def test_a_job_instance_is_not_new_because_a_list_shows_less_of_it(
    supervisor: InProcessSupervisor, in_task: Callable[..., None]
) -> None:
    for second in range(0, 60, 5):
        in_task(a_job(job_name=None if second % 10 else "nightly"), float(second))
    assert times(supervisor) == [0]
    in_task(a_job(4, result="done"), 61.0)
    (_, _, snapshot) = supervisor.stored[-1]
    assert snapshot.job is not None
    assert (snapshot.job.name, snapshot.job.result) == ("nightly", "done")


def test_how_it_ended_is_stored_at_once(
    supervisor: InProcessSupervisor, in_task: Callable[..., None]
) -> None:
    in_task(NODES, 0.0)
    in_task(ENDED, 0.5)
    in_task(ENDED, 1.0)
    assert times(supervisor) == [0, 0.5]
    assert supervisor.stored[-1][2].status is WorkflowInstanceStatus.SUCCESS
    assert len(supervisor.stored[-1][2].nodes) == 2


def test_a_worker_that_resumes_keeps_the_nodes_its_trigger_stored(supervisor: InProcessSupervisor) -> None:
    supervisor.values["t"] = encode(Snapshot.of(NODES, 5.0, mask=str))
    TaskSnapshotWriter(key("t"), logging.getLogger("task")).observe(ENDED)
    (stored,) = supervisor.stored
    assert len(stored[2].nodes) == 2
    assert stored[2].nodes_observed_at == 5.0
    supervisor.values["t"] = {"version": 1, "nodes": "edited"}
    TaskSnapshotWriter(key("t"), logging.getLogger("task")).observe(ENDED)
    assert supervisor.stored[-1][2].nodes == (), "what someone put there is no reason to fail"


def test_a_fault_is_said_once_and_stops_nothing(
    supervisor: InProcessSupervisor, in_task: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    supervisor.error = RuntimeError("the API server is away")
    for second in range(0, 300, 5):
        in_task(replace(NODES, start_time=str(second)), float(second))
    assert len(caplog.records) == 1
    assert supervisor.asked == 5, "once a minute"
    supervisor.error = None
    in_task(ENDED, 301.0)
    assert times(supervisor) == [301], "the end is stored whatever was before"


def test_a_timeout_that_comes_while_the_task_writes_is_its_own_and_the_end_is_stored(
    supervisor: InProcessSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow 3.1 and ``dag.test()`` write in the task's own thread, where its time limit strikes."""
    monkeypatch.setattr(supervisors, "takes_requests_from_threads", lambda: False)
    its = TaskSnapshotWriter(key("t"), logging.getLogger("task"), lambda: supervisor.now)
    with monkeypatch.context() as struck:
        struck.setattr(xcoms, "store_xcom", _strike)
        with pytest.raises(KeyboardInterrupt):
            its.observe(RUNNING)
    its.observe(ENDED)
    assert supervisor.stored[-1][2].status is WorkflowInstanceStatus.SUCCESS


def _strike(*_: Any) -> None:
    raise KeyboardInterrupt


def test_slow_writes_take_a_tenth_of_the_time_at_most(
    supervisor: InProcessSupervisor, in_task: Callable[..., None]
) -> None:
    supervisor.takes = 2.0
    at = 0.0
    while at < 300:
        in_task(replace(NODES, start_time=str(at)), at)
        at = max(at + 1, supervisor.now)
    assert 10 <= len(supervisor.stored) <= 16


def in_this_thread(ring: Callable[[], None]) -> Callable[[], None]:
    return ring


def in_another_thread(ring: Callable[[], None]) -> Callable[[], None]:
    """Have a thread that was there before get the signal: a process with several gives an alarm to any of them."""
    asked = threading.Event()

    def wait_and_ring() -> None:
        asked.wait()
        ring()

    other = threading.Thread(target=wait_and_ring)
    other.start()

    def ring_there() -> None:
        asked.set()
        other.join()

    return ring_there


@pytest.mark.parametrize("ringing", [in_this_thread, in_another_thread])
def test_an_alarm_waits_until_the_answer_is_read(
    supervisor: InProcessSupervisor,
    monkeypatch: pytest.MonkeyPatch,
    ringing: Callable[[Callable[[], None]], Callable[[], None]],
) -> None:
    """Or the next request of the task would get the answer to this one. Wherever it arrives, Python runs its handler here."""
    events: list[str] = []
    ring = ringing(lambda: signal.pthread_kill(threading.get_ident(), signal.SIGALRM))

    def interrupted(message: Any) -> None:
        ring()
        events.append("answered")

    def alarm(number: int, frame: Any) -> None:
        events.append("alarm")
        raise TimeoutError

    monkeypatch.setattr(supervisor, "send", interrupted)
    before = signal.signal(signal.SIGALRM, alarm)
    try:
        with pytest.raises(TimeoutError):
            xcoms.store_xcom(key("t"), XCOM_RUN, {})
        assert signal.getsignal(signal.SIGALRM) is alarm
    finally:
        signal.signal(signal.SIGALRM, before)
    assert events == ["answered", "alarm"]


def test_a_task_without_an_alarm_has_none_afterwards(supervisor: InProcessSupervisor) -> None:
    before = signal.getsignal(signal.SIGALRM)
    xcoms.store_xcom(key("t"), XCOM_RUN, encode(Snapshot.of(ENDED, 0.0, mask=str)))
    assert signal.getsignal(signal.SIGALRM) is before


def test_secrets_that_airflow_knows_are_not_stored(supervisor: InProcessSupervisor) -> None:
    connections.mask_secret("hunter2-hunter2")
    TaskSnapshotWriter(key("t"), logging.getLogger("task")).observe(
        an_instance(a_node(1, result="the key was hunter2-hunter2"))
    )
    assert supervisor.stored[0][2].nodes[0].result == "the key was ***"


def test_a_snapshot_knows_of_which_try_it_is(supervisor: InProcessSupervisor) -> None:
    ti = types.SimpleNamespace(**key("t"), try_number=2)
    writer.for_task(ti, logging.getLogger("task")).observe(NODES)

    async def follow() -> None:
        writer.for_trigger(ti).observe(NODES)
        await asyncio.sleep(5)

    run_simulated(follow)
    assert [snapshot.try_number for _, _, snapshot in supervisor.stored] == [2, 2]


def test_nothing_is_stored_outside_of_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(
        sys.modules["airflow.sdk.execution_time.task_runner"], "SUPERVISOR_COMMS", raising=False
    )
    ti = types.SimpleNamespace(**key("t"))
    assert isinstance(writer.for_task(ti, logging.getLogger()), NullWriter)
    assert isinstance(writer.for_trigger(ti), NullWriter)


def test_nor_before_airflow_3_1(supervisor: InProcessSupervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    ti = types.SimpleNamespace(**key("t"))
    assert isinstance(writer.for_trigger(ti), TriggerSnapshotWriter)
    assert isinstance(writer.for_trigger(None), NullWriter)
    monkeypatch.setattr("airflow.__version__", "3.0.6")
    assert isinstance(writer.for_task(ti, logging.getLogger()), NullWriter)
    assert isinstance(writer.for_trigger(ti), NullWriter)


class SlowSupervisor(InProcessSupervisor):
    """Takes requests from several threads, as that of Airflow 3.2 does, and lets them wait while it is ``away``."""

    def __init__(self) -> None:
        super().__init__()
        self._thread_lock = threading.Lock()
        self.back = threading.Event()
        self.back.set()

    def send(self, message: Any) -> Any:
        with self._thread_lock:
            assert self.back.wait(60)
            return super().send(message)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowSupervisor]:
    from airflow.sdk.execution_time import task_runner

    slow = SlowSupervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", slow, raising=False)
    yield slow
    slow.back.set()


def test_a_poll_does_not_wait_for_an_api_that_is_away(
    slow: SlowSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PATIENCE", 0.01)
    monkeypatch.setattr(writer, "PATIENCE_AT_THE_END", 60.0)
    its = TaskSnapshotWriter(key("t"), logging.getLogger("task"), lambda: slow.now)
    slow.back.clear()
    for second in range(0, 100, 10):
        slow.now = float(second)
        its.observe(replace(NODES, start_time=str(second)))
    assert slow.stored == [], "each of them returned while the first write was under way"
    threading.Timer(0.05, slow.back.set).start()
    its.observe(ENDED)
    assert [snapshot.status.name for _, _, snapshot in slow.stored] == ["RUNNING", "SUCCESS"]
    assert slow.asked == 2, "none was begun meanwhile"


def test_the_end_waits_no_longer_than_it_says_for_an_earlier_write_and_its_own_together(
    slow: SlowSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def wait(write: Any, seconds: float) -> bool:
        waited.append(seconds)
        slow.now += seconds
        # The earlier write is done at the last moment, and the next one never.
        return len(waited) == 2

    its = TaskSnapshotWriter(key("t"), logging.getLogger("task"), lambda: slow.now)
    # No thread, which could outlast this test.
    monkeypatch.setattr(writer._Write, "start", lambda write: None)
    monkeypatch.setattr(writer._Write, "wait", wait)
    its.observe(NODES)
    began = slow.now
    its.observe(ENDED)
    assert len(waited) == 3
    assert slow.now - began <= writer.PATIENCE_AT_THE_END


def test_how_it_ended_is_given_up_if_airflow_stays_away(
    slow: SlowSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PATIENCE", 0.01)
    monkeypatch.setattr(writer, "PATIENCE_AT_THE_END", 0.01)
    slow.back.clear()
    its = TaskSnapshotWriter(key("t"), logging.getLogger("task"))
    its.observe(NODES)
    its.observe(ENDED)
    assert slow.stored == []


def test_a_late_fault_is_said_at_the_next_poll(
    slow: SlowSupervisor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "PATIENCE", 0.01)
    its = TaskSnapshotWriter(key("t"), logging.getLogger("task"))
    slow.error = RuntimeError("away")
    slow.back.clear()
    its.observe(NODES)
    assert not caplog.records
    monkeypatch.setattr(writer, "PATIENCE_AT_THE_END", 60.0)
    slow.back.set()
    its.observe(ENDED)
    assert [record.message for record in caplog.records] == [
        "The run's page in Airflow is out of date, because storing it failed: RuntimeError('away')"
    ]


def test_a_supervisor_without_a_lock_is_asked_from_the_main_thread_only(
    supervisor: InProcessSupervisor, in_task: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of Airflow 3.1 would give one thread the answer for another."""
    asked_from = []
    monkeypatch.setattr(supervisor, "send", lambda _: asked_from.append(threading.current_thread()))
    in_task(NODES, 0.0)
    assert asked_from == [threading.main_thread()]


class OldSupervisor(InProcessSupervisor):
    """That of Airflow 3.1 ends if it cannot reach the API, and its task with it."""


class Api:
    """Airflow's API, as far as it says that it is there."""

    def __init__(self) -> None:
        self.status = 200
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                assert self.path == "/airflow/execution/health"
                self.send_response(api.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/airflow"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    from airflow.sdk.execution_time import task_runner

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", OldSupervisor(), raising=False)
    # Also where the machine has a proxy for the Internet.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    api = Api()
    yield api
    api.stop()


@pytest.mark.parametrize("is_default", [True, False])
def test_a_supervisor_that_an_absent_api_would_end_is_not_asked_then(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_default: bool
) -> None:
    from airflow.sdk.execution_time import task_runner

    if is_default:
        monkeypatch.delenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", raising=False)
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", f"{api.url}/")
    else:
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", f"{api.url}/execution/")
    supervisor: Any = task_runner.SUPERVISOR_COMMS
    its = TaskSnapshotWriter(key("t"), logging.getLogger("task"), lambda: supervisor.now)
    its.observe(NODES)
    assert len(supervisor.stored) == 1
    api.status = 404
    supervisor.now = 70.0
    its.observe(NODES)
    assert len(supervisor.stored) == 2, "who refuses is there"
    asked = supervisor.asked
    api.status = 503
    supervisor.now = 140.0
    its.observe(NODES)
    api.stop()
    its.observe(ENDED)
    assert supervisor.asked == asked
    assert [record.message for record in caplog.records] == [
        "The run's page in Airflow is out of date, because storing it failed: "
        f"ConnectionError('Airflow does not answer at {api.url}/execution/health')"
    ]


# In a triggerer.


@pytest.mark.parametrize("count", [3, 500])
def test_what_takes_long_to_mask_does_not_hold_up_the_event_loop(
    supervisor: InProcessSupervisor, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    masked_in = set()

    def mask(text: str) -> str:
        masked_in.add(threading.current_thread() is threading.main_thread())
        return text

    monkeypatch.setattr(queue, "masked", mask)

    async def follow() -> None:
        its = TriggerSnapshotWriter(key("t"))
        its.observe(replace(RUNNING, nodes=tuple(a_node(number) for number in range(1, count + 1))))
        while not supervisor.stored:  # noqa: ASYNC110  # in real time, as threads are
            await asyncio.sleep(0.01)

    asyncio.run(follow())
    assert masked_in == {count == 3}
    assert len(supervisor.stored[0][2].nodes) == count


def test_a_trigger_is_never_delayed_and_its_end_comes_through(supervisor: InProcessSupervisor) -> None:
    supervisor.takes = 1.0

    async def follow() -> None:
        loop = asyncio.get_running_loop()
        its = TriggerSnapshotWriter(key("t"))
        for instance in (NODES, replace(RUNNING, start_time="x"), ENDED):
            its.observe(instance)
        assert loop.time() == 0
        its.close()
        await asyncio.sleep(20)

    run_simulated(follow)
    ((at, _, snapshot),) = supervisor.stored
    assert snapshot.status is WorkflowInstanceStatus.SUCCESS, "only the newest counts"
    assert at <= 2.0


def test_what_waits_when_a_trigger_ends_is_not_stored_after_the_worker_has(
    supervisor: InProcessSupervisor,
) -> None:
    async def follow() -> None:
        for number in range(10):  # ahead in the queue
            TriggerSnapshotWriter(key(f"other{number}")).observe(NODES)
        await asyncio.sleep(0.1)
        cancelled, ended = TriggerSnapshotWriter(key("cancelled")), TriggerSnapshotWriter(key("ended"))
        cancelled.observe(NODES)
        cancelled.close()
        ended.observe(ENDED)
        ended.close()
        await asyncio.sleep(60)

    run_simulated(follow)
    assert {task for _, task, _ in supervisor.stored} == {f"other{number}" for number in range(10)}


@pytest.mark.parametrize("run", [RUNNING, ENDED], ids=["runs", "has ended"])
def test_what_is_being_prepared_when_a_trigger_ends_is_not_stored_late(
    supervisor: InProcessSupervisor, run: WorkflowInstance
) -> None:
    """After a clear, the next try may have begun; after the end, the worker has stored more."""
    supervisor.takes = 5.0

    async def follow() -> None:
        its = TriggerSnapshotWriter(key("t"))
        # Without nodes: those that were stored are looked up first.
        its.observe(run)
        await asyncio.sleep(1)
        its.close()
        await asyncio.sleep(60)

    run_simulated(follow)
    assert supervisor.asked == 1, "they were looked up"
    assert supervisor.stored == []


@pytest.mark.parametrize("next_run", [replace(RUNNING, start_time="x"), ENDED], ids=["runs", "has ended"])
def test_nodes_that_wait_to_be_stored_are_not_lost_to_a_poll_without_them(
    supervisor: InProcessSupervisor, next_run: WorkflowInstance
) -> None:
    async def follow() -> None:
        its = TriggerSnapshotWriter(key("t"))
        its.observe(NODES)
        its.observe(next_run)
        await asyncio.sleep(5)

    run_simulated(follow)
    ((_, _, snapshot),) = supervisor.stored
    assert snapshot.status is WorkflowInstanceStatus(next_run.status)
    assert len(snapshot.nodes) == 2


def test_newer_nodes_are_not_lost_to_older_ones_that_are_stored(supervisor: InProcessSupervisor) -> None:
    newer = replace(RUNNING, nodes=(a_node(1, 4), a_node(2)))

    async def follow() -> None:
        its = TriggerSnapshotWriter(key("t"))
        supervisor.takes = 2.0
        its.observe(NODES)
        await asyncio.sleep(1)
        # Before those are stored, and too soon after to be stored at once.
        its.observe(newer)
        await asyncio.sleep(10)
        its.observe(RUNNING)
        await asyncio.sleep(60)

    run_simulated(follow)
    assert [node.status for node in supervisor.stored[-1][2].nodes] == [node.status for node in newer.nodes]


def test_a_thousand_waiting_runs_store_once_a_second_and_changes_first(
    supervisor: InProcessSupervisor,
) -> None:
    supervisor.takes = 0.005
    changed_at = 3_300.0

    async def follow_all() -> float:
        loop = asyncio.get_running_loop()
        writers = [TriggerSnapshotWriter(key(f"t{number}")) for number in range(1_000)]
        while loop.time() < 4_000:
            for number, each in enumerate(writers):
                is_ended = number == 999 and loop.time() >= changed_at
                each.observe(ENDED if is_ended else NODES)
            await asyncio.sleep(30)
        return loop.time()

    lasted = run_simulated(follow_all)
    assert len(supervisor.stored) <= lasted / queue.MIN_PAUSE_OF_ALL + 1
    last_seen: dict[str, float] = {}
    gaps = []
    for at, task, _ in supervisor.stored:
        gaps.append(at - last_seen.get(task, at))
        last_seen[task] = at
    assert len(last_seen) == 1_000
    assert max(gaps) < 1_200, "each has its heartbeat, if a slower one"
    ended = next(
        at for at, _, snapshot in supervisor.stored if snapshot.status is WorkflowInstanceStatus.SUCCESS
    )
    assert ended < changed_at + 31, "a change does not wait for heartbeats"


def test_one_slow_write_is_not_held_against_the_next(supervisor: InProcessSupervisor) -> None:
    """The first wakes up Airflow's API in the supervisor, which takes seconds on a busy machine."""
    supervisor.takes = 3.0

    async def follow() -> None:
        its = TriggerSnapshotWriter(key("t"))
        for second in range(0, 20, 5):
            its.observe(replace(NODES, start_time=str(second)))
            await asyncio.sleep(5)
            supervisor.takes = 0.01

    run_simulated(follow)
    assert [round(at) for at in times(supervisor)] == [3, 10, 15]


def test_a_slow_supervisor_is_left_alone(supervisor: InProcessSupervisor) -> None:
    supervisor.takes = 2.0

    async def follow_all() -> None:
        writers = [TriggerSnapshotWriter(key(f"t{number}")) for number in range(50)]
        for second in range(600):
            for each in writers:
                each.observe(replace(NODES, start_time=str(second)))
            await asyncio.sleep(1)

    run_simulated(follow_all)
    assert len(supervisor.stored) <= 600 / 22 + 3


def test_a_cancelled_trigger_never_cancels_a_request(supervisor: InProcessSupervisor) -> None:
    """The triggerer of Airflow 3.1 would take the answer for that to its next request."""
    supervisor.takes = 5.0

    async def follow() -> None:
        async def trigger() -> None:
            TriggerSnapshotWriter(key("t")).observe(NODES)
            await asyncio.sleep(100)

        task = asyncio.create_task(trigger())
        await asyncio.sleep(2)
        task.cancel()
        await asyncio.sleep(20)

    run_simulated(follow)
    assert len(supervisor.stored) == 1
    assert supervisor.under_way == 0


def test_a_fault_in_a_triggerer_is_said_once(
    supervisor: InProcessSupervisor, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor.error = RuntimeError("away")

    async def follow() -> None:
        its = TriggerSnapshotWriter(key("t"))
        for second in range(0, 300, 5):
            its.observe(replace(NODES, start_time=str(second)))
            await asyncio.sleep(5)
        supervisor.error = None
        its.observe(ENDED)
        await asyncio.sleep(5)

    run_simulated(follow)
    assert len([record for record in caplog.records if "snapshot" in record.message]) == 1
    assert [snapshot.status.name for _, _, snapshot in supervisor.stored] == ["SUCCESS"]


def test_a_trigger_that_starts_anew_keeps_the_nodes(supervisor: InProcessSupervisor) -> None:
    supervisor.values["t"] = encode(Snapshot.of(NODES, 5.0, mask=str))

    async def follow() -> None:
        its = TriggerSnapshotWriter(key("t"))
        its.observe(replace(RUNNING, start_time="x"))
        await asyncio.sleep(5)

    run_simulated(follow)
    assert len(supervisor.stored[0][2].nodes) == 2
