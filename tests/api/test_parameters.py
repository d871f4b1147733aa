from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError
from airflow_provider_schedulerx.api.parameters import (
    check_id,
    check_seconds,
    check_time,
    encode_instance_parameters,
)


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1), ("36508287844", 36508287844), (" 7 ", 7), (2**63 - 1, 2**63 - 1), ("000" * 20 + "7", 7)],
)
def test_ids_may_be_numbers_or_rendered_templates(value: Any, number: int) -> None:
    assert check_id("workflow_id", value) == number


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "is empty"),
        ("", "is empty"),
        ("None", "is empty"),
        (0, "between 1 and"),
        (-5, "between 1 and"),
        (2**63, "between 1 and"),
        pytest.param("9" * 5000, "between 1 and", id="digits"),
        pytest.param(10**5000, "more than 40 digits", id="huge"),
        pytest.param(-(10**5000), "more than 40 digits", id="minus huge"),
        (True, "must be an integer"),
        (1.5, "must be an integer"),
        ("1.5", "must be an integer"),
        ("abc", "must be an integer"),
        ("٣", "must be an integer"),
        ([1], "must be an integer"),
    ],
)
def test_other_ids_are_refused(value: Any, says: str) -> None:
    with pytest.raises(SchedulerXConfigurationError, match=f"wf_instance_id .*{says}") as caught:
        check_id("wf_instance_id", value)
    assert caught.value.field == "wf_instance_id"


def test_objects_become_compact_utf8_json() -> None:
    assert encode_instance_parameters({"天": ["a b", 1, None, True]}) == '{"天":["a b",1,null,true]}'


def test_text_is_sent_as_it_is() -> None:
    assert encode_instance_parameters(" a=1 & b ") == " a=1 & b "
    assert encode_instance_parameters("") == ""
    assert encode_instance_parameters(None) is None


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=1200))
def test_the_limit_counts_bytes_of_utf8(text: str) -> None:
    size = len(text.encode())
    if size <= 1000:
        assert encode_instance_parameters(text) == text
    else:
        with pytest.raises(SchedulerXConfigurationError, match=f"{size} bytes"):
            encode_instance_parameters(text)


def test_exactly_a_thousand_bytes_pass() -> None:
    assert encode_instance_parameters("é" * 500) == "é" * 500
    with pytest.raises(SchedulerXConfigurationError, match="1001 bytes"):
        encode_instance_parameters("é" * 500 + "a")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"x", "not bytes"),
        ({1, 2}, "not set"),
        ({"x": b"y"}, "bytes"),
        (float("inf"), "JSON"),
        ({"at": datetime(2024, 1, 1)}, "datetime"),
        ({"x": float("nan")}, "JSON"),
        ("\ud800", "surrogate"),
    ],
)
def test_what_cannot_be_sent_is_refused(value: Any, says: str) -> None:
    with pytest.raises(SchedulerXConfigurationError, match=says) as caught:
        encode_instance_parameters(value)
    assert caught.value.field == "instance_parameters"


@given(st.dictionaries(st.text(alphabet=st.characters(codec="utf-8"), max_size=5), st.integers(), max_size=5))
def test_json_survives_the_way(value: dict[str, int]) -> None:
    encoded = encode_instance_parameters(value)
    assert encoded is not None
    assert json.loads(encoded) == value


@pytest.mark.parametrize(
    ("value", "seconds"), [(1, 1.0), (0.5, 0.5), (timedelta(minutes=2), 120.0), (1e10, 1e10)]
)
def test_a_duration_is_seconds_or_a_timedelta(value: Any, seconds: float) -> None:
    assert check_seconds("timeout", value) == seconds


@pytest.mark.parametrize(
    "value",
    [0, -1, True, "5", None, float("nan"), float("inf"), timedelta(0), timedelta.max, 1.1e10, 10**400],
    ids=lambda value: f"{value!r:.20}",
)
def test_a_duration_that_no_date_could_bear_is_refused(value: Any) -> None:
    """Airflow would fail to defer a task with its end, when its run has been started."""
    with pytest.raises(SchedulerXConfigurationError, match="timeout must be a positive number of seconds"):
        check_seconds("timeout", value)


def test_the_end_of_the_longest_duration_is_a_time() -> None:
    now = 1.8e9
    assert check_time("deadline", now + 1e10) == now + 1e10
    assert check_time("deadline", 5) == 5.0
    assert check_time("deadline", None) is None


@pytest.mark.parametrize("value", [0, -1, True, "5", float("nan"), float("inf"), 1.1e11, 10**400])
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(SchedulerXConfigurationError, match="deadline must be a time in epoch seconds"):
        check_time("deadline", value)
