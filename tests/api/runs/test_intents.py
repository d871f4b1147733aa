from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.runs.intents import (
    MalformedIntentError,
    StartIntent,
    parameters_digest,
    scope_digest,
)

INTENT = StartIntent("a" * 32, 1, "s", "p", known=(3, 2, 1), marker="m", wf_instance_id=36508287844)


@pytest.mark.parametrize("intent", [INTENT, StartIntent("a", 1, "s", "p")])
def test_it_survives_json(intent: StartIntent) -> None:
    assert StartIntent.from_json(json.loads(json.dumps(intent.to_json()))) == intent


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": None},
        {"known": ["x"]},
        {"known": 5},
        {"wf_instance_id": "12"},
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


def test_each_part_of_the_scope_counts() -> None:
    scope = Scope(region_id="r", namespace="n", namespace_source="s", group_id="g")
    others = [
        Scope(region_id="x", namespace="n", namespace_source="s", group_id="g"),
        Scope(region_id="r", namespace="x", namespace_source="s", group_id="g"),
        Scope(region_id="r", namespace="n", namespace_source=None, group_id="g"),
        Scope(region_id="r", namespace="n", namespace_source="s", group_id="x"),
    ]
    digests = {scope_digest(each, 1) for each in (scope, *others)} | {scope_digest(scope, 2)}
    assert len(digests) == 6
