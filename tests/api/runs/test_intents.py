from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.runs.intents import (
    MAX_KNOWN,
    MalformedIntentError,
    StartIntent,
    has_parameters,
    parameters_digest,
)

SCOPE = Scope(region_id="r", namespace="n", namespace_source="s", group_id="g")
INTENT = StartIntent(
    "workflow", 1, SCOPE, "p", known=(3, 2, 1), earlier=(4,), marker="m", began=5.0, instance_id=36508287844
)


@pytest.mark.parametrize("intent", [INTENT, StartIntent("workflow", 1, Scope("r"), "p", is_over=True)])
def test_it_survives_json(intent: StartIntent) -> None:
    assert StartIntent.from_json(json.loads(json.dumps(intent.to_json()))) == intent


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": None},
        {"known": ["x"]},
        {"known": 5},
        {"earlier": None},
        {"scope": "digest"},
        {"scope": {"region": "r"}},
        {"definition_id": "1"},
        {"instance_id": "12"},
        {"kind": None},
        {"more": 1},
    ],
)
def test_what_is_not_ours_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedIntentError):
        StartIntent.from_json({**INTENT.to_json(), **change})


def test_a_missing_field_is_refused() -> None:
    data = INTENT.to_json()
    del data["known"]
    with pytest.raises(MalformedIntentError):
        StartIntent.from_json(data)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (None, "", True),
        ('{"a":1,"b":2}', '{"b": 2, "a": 1}', True),
        ('{"a":1}', '{"a":2}', False),
        ('{"a":1}', "", False),
        ("plain", "plain", True),
        ("plain", '"plain"', True),
        ("[1,2]", "[2,1]", False),
        ("\ud800", "\ud801", False),
    ],
)
def test_parameters_are_compared_by_value(one: str | None, other: str, equal: bool) -> None:
    assert (parameters_digest(one) == parameters_digest(other)) is equal


@pytest.mark.parametrize(
    ("shown", "is_ours"),
    [
        ('{"a":1,"b":"x"}', True),
        ('{"b": "x", "a": 1}', True),
        (r"{\"a\":1,\"b\":\"x\"}", True),
        (r'"{\"a\":1,\"b\":\"x\"}"', True),
        ('{"a":1.0,"b":"\\u0078"}', True),
        ('{"a":2,"b":"x"}', False),
        (r"{\"a\":2,\"b\":\"x\"}", False),
        ("", False),
        (None, False),
        ("[" * 100_000, False),
    ],
)
def test_what_the_service_shows_is_compared_in_every_form(shown: str | None, is_ours: bool) -> None:
    assert has_parameters(shown, parameters_digest('{"a":1,"b":"x"}')) is is_ours


@pytest.mark.parametrize("text", ["plain", "20260101", "true", "", r"C:\new", '"quoted"', "a=1&b=2"])
def test_text_matches_itself(text: str) -> None:
    assert has_parameters(text, parameters_digest(text))


def test_an_empty_text_and_none_are_the_same() -> None:
    assert has_parameters(None, parameters_digest(""))
    assert has_parameters("", parameters_digest(None))


def test_only_what_was_listed_is_older() -> None:
    """Nothing documents that ids rise: the run of a start may have a lower one than the known runs."""
    intent = StartIntent("workflow", 1, SCOPE, "p", known=(30, 20), earlier=(25,))
    assert [run for run in (10, 20, 25, 27, 30, 40) if intent.is_older(run)] == [20, 25, 30]
    assert not StartIntent("workflow", 1, SCOPE, "p").is_older(1)
    assert not StartIntent("workflow", 1, SCOPE, "p", known=()).is_older(1)


def test_a_run_that_was_listed_but_is_not_remembered_is_older() -> None:
    intent = StartIntent("workflow", 1, SCOPE, "p", known=tuple(range(1000, 1000 - MAX_KNOWN, -1)))
    assert intent.is_older(1)
    assert not intent.is_older(1001)


def test_parameters_of_which_only_the_quotes_are_escaped_are_the_same() -> None:
    text = '{"cfg":"{\\"z\\":1}"}'
    assert has_parameters(text.replace('"', '\\"'), parameters_digest(text))
