from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_schedulerx.api import exceptions as errors
from airflow_provider_schedulerx.api.models import (
    JobInstance,
    JobInstanceStatus,
    WorkflowInstance,
    WorkflowInstanceNode,
    WorkflowInstanceStatus,
)
from airflow_provider_schedulerx.api.runs.tracking import (
    HEARTBEAT_SECONDS,
    MAX_UNKNOWN_STATUS_POLLS,
    RunTracker,
    Verdict,
    aligned,
    failure_message,
    has_failed,
    is_over,
    node_table,
)


def node(job_id: int, status: int, **more: Any) -> WorkflowInstanceNode:
    return WorkflowInstanceNode(job_id, job_id + 1000, f"job{job_id}", JobInstanceStatus(status), **more)


def instance(status: int, *nodes: WorkflowInstanceNode) -> WorkflowInstance:
    return WorkflowInstance(1, 2, WorkflowInstanceStatus(status), nodes=nodes)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (1, "ACTIVE"),
        (2, "ACTIVE"),
        (3, "ACTIVE"),
        (4, "SUCCESS"),
        (5, "FAILED"),
        (0, "ACTIVE"),
        (6, "ACTIVE"),
    ],
)
def test_the_first_look_decides_only_on_documented_ends(status: int, verdict: str) -> None:
    assert RunTracker(60).observe(instance(status), 0)[0] is Verdict[verdict]


def test_an_unknown_status_is_followed_for_a_bounded_number_of_polls_and_is_never_success() -> None:
    tracker = RunTracker(60)
    for _ in range(MAX_UNKNOWN_STATUS_POLLS - 1):
        assert tracker.observe(instance(17), 0)[0] is Verdict.ACTIVE
    assert tracker.observe(instance(3), 0)[0] is Verdict.ACTIVE  # a known one begins the count anew
    for _ in range(MAX_UNKNOWN_STATUS_POLLS - 1):
        assert tracker.observe(instance(17), 0)[0] is Verdict.ACTIVE
    assert tracker.observe(instance(17), 0)[0] is Verdict.UNDECIDED


def test_each_change_is_told_once() -> None:
    tracker = RunTracker(60)
    told = [
        tracker.observe(instance(3, node(1, 3), node(2, 1)), 0)[1],
        tracker.observe(instance(3, node(1, 3), node(2, 1)), 1)[1],
        tracker.observe(instance(3, node(1, 4), node(2, 3, work_addr="w:1")), 2)[1],
        tracker.observe(instance(5, node(1, 4), node(2, 5, result="no\nspace", attempt=1)), 3)[1],
    ]
    assert told == [
        ["Workflow instance 2 is RUNNING", "Node job1 (job 1) is RUNNING"],
        [],
        ["Node job1 (job 1) is SUCCESS", "Node job2 (job 2) is RUNNING (worker: w:1)"],
        [
            "Node job2 (job 2) is FAILED (result: no space, attempt: 1)",
            "Workflow instance 2 is FAILED",
        ],
    ]


def test_a_heartbeat_line_comes_now_and_then() -> None:
    tracker = RunTracker(60)
    tracker.observe(instance(3, node(1, 3)), 0)
    assert tracker.observe(instance(3, node(1, 3)), HEARTBEAT_SECONDS - 1)[1] == []
    assert tracker.observe(instance(3, node(1, 3)), HEARTBEAT_SECONDS)[1] == [
        "Workflow instance 2 is still RUNNING; running: job1 (job 1)"
    ]
    assert tracker.observe(instance(3, node(1, 3)), HEARTBEAT_SECONDS + 1)[1] == []


def test_a_heartbeat_of_a_run_without_a_running_node_names_none() -> None:
    tracker = RunTracker(60)
    tracker.observe(instance(1, node(1, 1)), 0)
    assert tracker.observe(instance(1, node(1, 1)), HEARTBEAT_SECONDS)[1] == [
        "Workflow instance 2 is still WAITING"
    ]


@pytest.mark.parametrize(
    "error",
    [
        errors.SchedulerXUnavailableError("x"),
    ],
)
def test_passing_faults_are_tolerated_for_a_time_that_a_good_look_resets(
    error: errors.SchedulerXError,
) -> None:
    tracker = RunTracker(60)
    assert tracker.observe_failure(error, 100)
    assert tracker.observe_failure(error, 160)
    tracker.observe(instance(3), 161)
    assert tracker.observe_failure(error, 165)
    assert tracker.observe_failure(error, 225)
    assert not tracker.observe_failure(error, 225.1)


def test_two_failed_polls_are_too_few_however_far_apart_they_are() -> None:
    """Where the quota is short, intervals are stretched."""
    tracker = RunTracker(60)
    error = errors.SchedulerXUnavailableError("x")
    assert tracker.observe_failure(error, 0)
    assert tracker.observe_failure(error, 1000)
    assert not tracker.observe_failure(error, 2000)


def test_a_good_poll_between_begins_the_count_of_failed_polls_anew() -> None:
    tracker = RunTracker(60)
    error = errors.SchedulerXUnavailableError("x")
    tracker.observe_failure(error, 0)
    tracker.observe(instance(3), 10)
    assert tracker.observe_failure(error, 20)
    assert tracker.observe_failure(error, 1020)
    assert tracker.observe_failure(error, 2020) is False


def test_any_number_of_polls_may_fail_within_the_tolerance() -> None:
    tracker = RunTracker(60)
    error = errors.SchedulerXUnavailableError("x")
    assert all(tracker.observe_failure(error, 1000.0 + at) for at in range(61))
    assert not tracker.observe_failure(error, 1060.1)


def test_throttling_is_no_sign_of_a_sick_run() -> None:
    tracker = RunTracker(60)
    assert all(tracker.observe_failure(errors.SchedulerXThrottledError("x"), 100.0 * at) for at in range(50))
    # Nor does it hide one.
    sick = errors.SchedulerXUnavailableError("x")
    assert tracker.observe_failure(sick, 6000)
    assert tracker.observe_failure(errors.SchedulerXThrottledError("x"), 6050)
    assert tracker.observe_failure(sick, 6055)
    assert not tracker.observe_failure(sick, 6070)


def test_a_run_that_is_not_existed_has_the_settling_time_and_is_news_once() -> None:
    tracker = RunTracker(600, settling_time=30)
    missing = errors.SchedulerXNotFoundError("x")
    assert tracker.observe_failure(missing, 100)
    assert tracker.is_news
    assert tracker.observe_failure(missing, 130)
    assert not tracker.is_news
    assert tracker.observe_failure(errors.SchedulerXUnavailableError("x"), 130)
    assert tracker.is_news
    assert not tracker.observe_failure(missing, 130.1)
    assert tracker.observe_failure(errors.SchedulerXThrottledError("x"), 131)
    assert tracker.is_news
    tracker.observe(instance(3), 140)
    assert tracker.observe_failure(missing, 165)
    assert tracker.is_news


@pytest.mark.parametrize(
    ("status", "nodes", "over", "failed"),
    [
        (3, [node(1, 5)], False, False),
        (4, [node(1, 4)], True, False),
        (5, [], True, True),
        (6, [node(1, 6), node(2, 1)], True, True),
        (7, [node(1, 5), node(2, 3)], False, False),
        (6, [node(1, 4), node(2, 1)], True, False),
        # Without its nodes nobody can say whether one is at work.
        (42, [], False, False),
        (42, [node(1, 5), node(2, 2)], False, False),
        # A node whose status nobody has described may be at work.
        (42, [node(1, 5), node(2, 0)], False, False),
        (42, [node(1, 5), node(2, 77)], False, False),
    ],
)
def test_a_run_whose_stop_was_requested_may_end_in_a_status_that_nobody_has_described(
    status: int, nodes: list[WorkflowInstanceNode], over: bool, failed: bool
) -> None:
    assert is_over(instance(status, *nodes)) is over
    assert has_failed(instance(status, *nodes)) is failed


@pytest.mark.parametrize("status", [0, 42])
def test_nothing_but_its_status_says_that_a_job_instance_is_over(status: int) -> None:
    run = JobInstance(11, 3, JobInstanceStatus(status))
    assert not is_over(run)
    assert not has_failed(run)


def test_an_unknown_status_is_a_failure_if_a_node_failed_and_none_is_in_progress() -> None:
    tracker = RunTracker(60)
    seen = [
        tracker.observe(instance(6, node(1, 6), node(2, 1)), 0)[0] for _ in range(MAX_UNKNOWN_STATUS_POLLS)
    ]
    assert seen == [Verdict.ACTIVE] * (MAX_UNKNOWN_STATUS_POLLS - 1) + [Verdict.FAILED]


@pytest.mark.parametrize(
    "error",
    [
        errors.SchedulerXAuthorizationError("x"),
        errors.SchedulerXAuthenticationError("x"),
        errors.SchedulerXConfigurationError("x"),
        errors.SchedulerXRejectedError("x"),
    ],
)
def test_lasting_faults_end_it_at_once(error: errors.SchedulerXError) -> None:
    assert RunTracker(60).observe_failure(error, 0) is False


def test_the_failure_message_names_the_bad_nodes() -> None:
    failed = instance(
        5, node(1, 4), node(2, 5, result="disk full", work_addr="w:1", attempt=2), node(3, 9), node(4, 1)
    )
    assert failure_message(failed) == (
        "Workflow instance 2 of workflow 1 failed: "
        "job2 (job 2) FAILED (result: disk full, worker: w:1, attempt: 2); job3 (job 3) REJECTED"
    )
    assert "names no failed node" in failure_message(instance(5))


@pytest.mark.parametrize(
    ("status", "attempt", "shown"),
    [
        (4, None, ""),
        (4, 0, ""),
        (4, 1, " (attempt: 1)"),
        (5, 0, " (attempt: 0)"),
    ],
)
def test_a_first_attempt_is_worth_a_word_only_if_it_failed(
    status: int, attempt: int | None, shown: str
) -> None:
    told = RunTracker(60).observe(instance(3, node(1, status, attempt=attempt)), 0)[1]
    assert told[1] == f"Node job1 (job 1) is {JobInstanceStatus(status).name}{shown}"


@pytest.mark.parametrize(("length", "shown"), [(200, "x" * 200), (201, "x" * 197 + "...")])
def test_a_long_result_is_cut_to_200_characters(length: int, shown: str) -> None:
    failed = instance(5, node(1, 5, result="x" * length))
    assert failure_message(failed).endswith(f"FAILED (result: {shown})")


def test_a_node_of_which_little_is_known_has_empty_cells() -> None:
    assert node_table(instance(3, node(1, 1), node(2, 3, attempt=0, work_addr="w:1"))) == (
        "NODE          STATE    ATTEMPT  START  DURATION  WORKER  RESULT\n"
        "job1 (job 1)  WAITING\n"
        "job2 (job 2)  RUNNING  0                         w:1"
    )


def test_rows_of_different_lengths_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="shorter"):
        aligned([("a", "b"), ("c",)])


def test_columns_line_up_beside_wide_characters() -> None:
    """A terminal and a log show a Chinese character two columns wide."""
    assert aligned([("NAME", "ON"), ("日报", "no"), ("导入x", "yes"), ("plain", "no")]) == (
        "NAME   ON\n日报   no\n导入x  yes\nplain  no"
    )


def test_the_node_table_lines_up() -> None:
    table = node_table(
        instance(
            5,
            node(
                1, 4, start_time="2023-01-03 18:00:01", end_time="2023-01-03 18:01:31", attempt=0, result="ok"
            ),
            node(2, 5, start_time="garbled", end_time="2023-01-03 18:01:31", result="x" * 300),
        )
    ).splitlines()
    assert table[0].split() == ["NODE", "STATE", "ATTEMPT", "START", "DURATION", "WORKER", "RESULT"]
    assert "0:01:30" in table[1]
    assert table[1].index("ok") == table[0].index("RESULT")
    assert table[2].endswith("x...")
