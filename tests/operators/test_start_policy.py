"""The arguments that decide about a start, and the marker."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError
from airflow_provider_schedulerx.operators.start_policy import (
    IfRunning,
    OnRetry,
    check_literal_parameters,
    run_marker,
)


def test_these_are_the_choices() -> None:
    assert get_args(OnRetry) == ("reattach", "restart", "rerun_failed")
    assert get_args(IfRunning) == ("start", "reattach", "skip", "fail")


TI: dict[str, Any] = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "max_tries": 2}


def marker(key: str = "airflow_run", **more: Any) -> str:
    return run_marker(SimpleNamespace(**{**TI, **more}), key)


def test_all_tries_of_a_task_instance_share_the_marker() -> None:
    assert marker(try_number=1) == marker(try_number=2)
    # A later version of the provider has to find the runs of this one.
    assert marker() == hashlib.sha256(b"d\0r\0t\0-1\x002\0airflow_run").hexdigest()[:16]


@pytest.mark.parametrize(
    "other",
    [
        {"dag_id": "x"},
        {"run_id": "x"},
        {"task_id": "x"},
        {"map_index": 0},
        {"max_tries": 3},
        {"key": "other"},
    ],
)
def test_no_other_task_instance_has_it_nor_does_a_cleared_one(other: dict[str, Any]) -> None:
    assert marker(**other) != marker()


def test_parts_do_not_run_into_each_other() -> None:
    assert marker(dag_id="dr", run_id="") != marker(dag_id="d", run_id="r")


def test_what_airflow_does_not_say_is_empty() -> None:
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t")
    assert run_marker(ti, "k") == hashlib.sha256(b"d\0r\0t\0\0\0k").hexdigest()[:16]


def test_parameters_that_are_written_out_are_checked_with_the_marker() -> None:
    check_literal_parameters("{{ ds }}" * 500, "airflow_run")  # nobody knows what becomes of it
    check_literal_parameters({"a": "x" * 970}, None)
    with pytest.raises(SchedulerXConfigurationError):
        check_literal_parameters({"a": "x" * 1000}, None)
    with pytest.raises(SchedulerXConfigurationError):
        check_literal_parameters({"a": "x" * 970}, "airflow_run")
    # {"a":"...","k":"<16 characters>"}, of which 1,000 bytes are allowed.
    most = 1000 - len('{"a":"","k":""}') - 16
    check_literal_parameters({"a": "x" * most}, "k")
    with pytest.raises(SchedulerXConfigurationError):
        check_literal_parameters({"a": "x" * (most + 1)}, "k")
    with pytest.raises(SchedulerXConfigurationError):
        check_literal_parameters("not an object", "airflow_run")
