"""The recipe of a stop, with values in and values out: which faults end it, and how often it polls."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import pytest

from airflow_provider_schedulerx.api import exceptions as errors
from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.models import WorkflowInstance
from airflow_provider_schedulerx.api.runs.kinds import WORKFLOW_RUNS
from airflow_provider_schedulerx.api.runs.recipes import drive
from airflow_provider_schedulerx.api.runs.stopping import stop_recipe
from airflow_provider_schedulerx.api.wire.calls import STOP_INSTANCE

SCOPE = Scope("cn-hangzhou", namespace="n", group_id="g")
NOT_EXISTED = errors.SchedulerXNotFoundError("not existed")
RESET = errors.SchedulerXUnavailableError("reset")


def instance(status: int) -> WorkflowInstance:
    node = {"JobId": 7, "JobInstanceId": 8, "Status": status}
    data = {"WfInstanceInfo": {"Status": status}, "WfInstanceDag": {"Nodes": [node], "Edges": []}}
    call = WORKFLOW_RUNS.get_call(SCOPE, 1, 5)
    seen = call.parse({"Success": True, "Data": data})
    assert isinstance(seen, WorkflowInstance)
    return seen


class Stop:
    """A stop of a run that shows what a script says.

    :param script: (seconds, what a poll shows from then on).
    :param refusal: what each ``StopInstance`` raises.
    """

    def __init__(
        self, *script: tuple[float, Any], timeout: float = 3600, refusal: Exception | None = None
    ) -> None:
        self.script, self.refusal, self.now = script, refusal, 100.0
        self.polls: list[float] = []
        self.stops = 0
        recipe = stop_recipe(
            WORKFLOW_RUNS,
            SCOPE,
            1,
            5,
            timeout=timeout,
            log=logging.getLogger("stop"),
        )
        self.last = drive(recipe, self.perform, sleep=self.sleep, clock=lambda: self.now)

    @property
    def seconds(self) -> float:
        return self.now - 100

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def perform(self, call: Any) -> Any:
        if call.operation is STOP_INSTANCE:
            self.stops += 1
            if self.refusal is not None:
                raise self.refusal
            return None
        self.polls.append(self.seconds)
        shown = [shown for since, shown in self.script if since <= self.seconds][-1]
        if isinstance(shown, Exception):
            raise shown
        return shown


def test_a_new_run_that_shows_late_is_stopped() -> None:
    made = Stop((0, NOT_EXISTED), (50, instance(3)), (55, instance(5)))
    assert made.stops >= 1
    assert made.last == instance(5)


@pytest.mark.parametrize("before", [[], [(0, RESET)], [(0, instance(3))]], ids=["at once", "fault", "seen"])
def test_a_run_that_stays_unknown_is_given_up_after_a_minute(before: list[Any]) -> None:
    since = 30 if before else 0
    made = Stop(*before, (since, NOT_EXISTED))
    assert since + 60 < made.seconds <= since + 75
    assert made.last == (instance(3) if before and before[0][1] is not RESET else None)


def test_it_is_unknown_only_if_nothing_else_was_seen_between() -> None:
    made = Stop((0, NOT_EXISTED), (40, instance(3)), (50, NOT_EXISTED), (90, instance(3)), (100, instance(5)))
    assert made.last == instance(5)


@pytest.mark.parametrize("shown", [NOT_EXISTED, RESET, instance(3)])
def test_its_time_ends_it_whatever_is_seen(shown: Any, caplog: pytest.LogCaptureFixture) -> None:
    made = Stop((0, shown), timeout=20)
    assert made.seconds == 20
    said = "could not be polled for 20 s" if isinstance(shown, Exception) else "had not ended after 20 s"
    assert caplog.text.count(said) == 1
    assert caplog.text.count("Stopping workflow instance 5: ") == (1 if isinstance(shown, Exception) else 0)


def test_a_run_that_cannot_be_stopped_is_polled_ever_more_seldom() -> None:
    polls = Stop((0, instance(3))).polls
    assert polls[:5] == [0, 1, 3, 7, 12]
    assert len(polls) <= 80
    # Nodes that start meanwhile are stopped soon nevertheless.
    assert max(later - earlier for earlier, later in itertools.pairwise(polls)) <= 360


@pytest.mark.parametrize(
    ("status", "refusal", "is_warning"),
    [
        (1, errors.SchedulerXAmbiguousError("give the RequestId", service_message="is not running"), False),
        (1, errors.SchedulerXAmbiguousError("no answer"), True),
        (1, errors.SchedulerXAuthorizationError("denied", service_message="denied"), True),
        (3, errors.SchedulerXAmbiguousError("give the RequestId", service_message="is not running"), True),
    ],
)
def test_a_node_that_has_not_begun_may_be_refused_without_a_warning(
    status: int, refusal: Exception, is_warning: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """``StopInstance`` is documented for what runs, so a wide workflow would warn of each node that waits."""
    caplog.set_level(logging.INFO)
    Stop((0, instance(status)), (20, instance(5)), refusal=refusal)
    said = [record for record in caplog.records if "was not stopped" in record.getMessage()]
    assert [record.levelno for record in said] == [logging.WARNING if is_warning else logging.INFO]
    assert ("RequestId" in caplog.text) is (status == 3)
