"""What is reported, and that the documentation lists it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from airflow_provider_schedulerx import metrics
from airflow_provider_schedulerx.api.exceptions import SchedulerXAuthorizationError
from airflow_provider_schedulerx.api.polling import poller, reporting
from airflow_provider_schedulerx.api.polling.reporting import Metric
from airflow_provider_schedulerx.api.runs.kinds import WORKFLOW_RUNS
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.operators.schedulerx import ExecuteWorkflowOperator
from dev.harness.scripted_service import LIST, SUCCESS, ScriptedService, instead_of_the_network, settings_of
from dev.harness.virtual_time import run_simulated
from tests.conftest import ROOT


class Stats:
    """Takes what Airflow's Stats takes."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, float, dict[str, str]]] = []

    def incr(self, stat: str, count: int = 1, rate: float = 1, *, tags: Any = None) -> None:
        self.sent.append(("incr", stat, count, tags or {}))

    def gauge(
        self, stat: str, value: float, rate: float = 1, delta: bool = False, *, tags: Any = None
    ) -> None:
        self.sent.append(("gauge", stat, value, tags or {}))

    def timing(self, stat: str, dt: float, *, tags: Any = None) -> None:
        self.sent.append(("timing", stat, dt, tags or {}))

    def of(self, name: str) -> list[float]:
        return [value for _, stat, value, _ in self.sent if stat == name]


@pytest.fixture
def stats(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stats]:
    made = Stats()
    monkeypatch.setattr(metrics.stats, "client", lambda: made)
    metrics.report_polling()
    yield made
    reporting.set_reporter(None)


async def follow(run: int, poll_interval: float = 10) -> None:
    async with poller.shared_poller(settings_of(), WORKFLOW_RUNS, 1) as shared:
        subscription = shared.subscribe(run, poll_interval=poll_interval, age=0)
        try:
            async with asyncio.timeout(200):
                while True:
                    seen = await subscription.next()
                    if not isinstance(seen, Exception) and seen.status.is_terminal:
                        return
        finally:
            shared.unsubscribe(subscription)


def test_what_happens_is_reported(stats: Stats) -> None:
    async def main() -> None:
        service = ScriptedService(quota=30)
        with instead_of_the_network(poller, lambda _: service):
            runs = [service.start(1, (60, SUCCESS)) for _ in range(40)]

            def deny(call: Any) -> None:
                if call.operation.name == LIST:
                    raise SchedulerXAuthorizationError("denied")

            service.faults.append(deny)
            await asyncio.gather(*map(follow, runs), return_exceptions=True)

    run_simulated(main)
    assert max(stats.of("schedulerx.runs_followed")) == 40
    assert stats.of("schedulerx.runs_followed")[-1] == 0
    assert stats.of("schedulerx.list_refused") == [1]
    assert len(stats.of("schedulerx.calls.GetWorkflowInstance")) > 40
    assert stats.of("schedulerx.calls_throttled.GetWorkflowInstance")
    assert min(stats.of("schedulerx.rate.GetWorkflowInstance")) <= 50
    assert max(stats.of("schedulerx.stretch.GetWorkflowInstance")) > 2
    assert all(0 < delay < 120_000 for delay in stats.of("schedulerx.end_delay"))
    accounts = {tags["account"] for _, _, _, tags in stats.sent if "account" in tags}
    assert len(accounts) == 1
    assert re.fullmatch("[0-9a-f]{8}", accounts.pop())


def test_a_fault_of_the_metrics_harms_no_poll(stats: Stats, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise OSError("no StatsD here")

    monkeypatch.setattr(metrics.stats, "client", broken)

    async def main() -> None:
        service = ScriptedService()
        with instead_of_the_network(poller, lambda _: service):
            await follow(service.start(1, (20, SUCCESS)))

    run_simulated(main)


def test_reconciliations_are_counted_by_their_outcome(stats: Stats) -> None:
    metrics.count_reconciliation("found")
    assert stats.of("schedulerx.reconciliations.found") == [1]


def test_each_search_for_a_lost_start_is_counted(
    stats: Stats, hook: SchedulerXHook, emulator: EmulatorProcess
) -> None:
    emulator.add_fault("ExecuteWorkflow", "drop", when="after")
    operator = ExecuteWorkflowOperator(
        task_id="etl",
        workflow_id=1,
        instance_parameters={"n": 1},
        wait_for_completion=False,
        settling_time=0.5,
    )
    ti = SimpleNamespace(xcom_push=lambda **_: None, task_id="etl", map_index=-1)
    operator.execute(cast(Any, {"ti": ti, "outlet_events": {}}))
    assert (
        sum(
            map(
                sum,
                map(stats.of, (f"schedulerx.reconciliations.{name}" for name in ("found", "not_started"))),
            )
        )
        == 1
    )


def test_airflow_has_what_the_metrics_are_sent_to() -> None:
    found = metrics.stats.client()
    for name in ("incr", "gauge", "timing"):
        assert callable(getattr(found, name))
    found.incr("schedulerx.list_refused", 1, tags={})
    found.gauge("schedulerx.runs_followed", 1, tags={})
    found.timing("schedulerx.end_delay", 1.0, tags={"account": "0"})


def test_every_metric_is_documented() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    documented = set(re.findall(r"^\| `schedulerx\.([a-z_]+)", page, re.MULTILINE))
    assert documented == {metric.value for metric in Metric} | {"reconciliations"}
