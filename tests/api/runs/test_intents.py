from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.runs.intents import (
    MAX_KNOWN,
    MalformedIntentError,
    StartIntent,
    comparable,
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


def test_an_intent_begins_as_a_start_of_ours_of_which_nothing_is_known() -> None:
    intent = StartIntent("workflow", 1, SCOPE, "p")
    assert (intent.known, intent.earlier, intent.marker, intent.instance_id) == (None, (), None, None)
    assert (intent.began, intent.is_own, intent.is_over, intent.is_told) == (0.0, True, False, False)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"version": 2}, "version 2, not 3"),
        ({"version": None}, "version None, not 3"),
        ({"known": ["x"]}, "'x'"),
        ({"known": 5}, "iterable"),
        ({"earlier": None}, "iterable"),
        ({"scope": "digest"}, "mapping"),
        ({"scope": {"region": "r"}}, "'region'"),
        ({"definition_id": "1"}, "definition_id is not an integer"),
        ({"instance_id": "12"}, "instance_id is not an integer"),
        ({"kind": None}, "kind is not a string"),
        ({"more": 1}, "'more'"),
    ],
)
def test_what_is_not_ours_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(MalformedIntentError, match=why):
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
        ('{"a":1}', '{"a":1.0}', True),
        ('{"a":1}', '{"a":1.5}', False),
        ('{"a":1e400}', '{"a":1e500}', True),  # as far as a number reaches
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


def test_a_digest_is_stored_so_every_release_makes_the_same() -> None:
    canonical = rb'{"a":"\u00e9","b":[1,2]}'
    assert parameters_digest('{ "b": [1, 2.0], "a": "\u00e9" }') == hashlib.sha256(canonical).hexdigest()


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        # A JSON text, without its quotes; also of what is JSON itself, with backslashes.
        ('"20260101"', "20260101"),
        (r'"{\"a\":1}"', r"{\"a\":1}"),
        # In one line or several, with each backslash escaped, too.
        (r'{"a":"x\ny"}', r"{\"a\":\"x\\ny\"}"),
        ('{"a":"x\\ny",\n"b":1}', '{\\"a\\":\\"x\\\\ny\\",\n\\"b\\":1}'),
        # Quotes within a text within a JSON text.
        (r'{"a":"say \"hi\""}', json.dumps(r'{"a":"say \"hi\""}')),
    ],
)
def test_quotes_and_backslashes_may_be_more_or_fewer(sent: str, shown: str) -> None:
    assert has_parameters(shown, parameters_digest(sent))


def test_a_text_that_is_no_json_in_any_form_matches_no_other() -> None:
    assert not has_parameters(r"C:\data", parameters_digest(r"C:\dat"))
    assert not has_parameters('say "hi"', parameters_digest("say hi"))


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


@pytest.mark.parametrize(
    "text",
    ["{}", "[1]", '"quoted"', "plain", "", "7", r"{\"a\":1}", "{&quot;a&quot;:1}", "%7B%22a%22%3A1%7D"],
)
def test_what_can_be_read_in_some_form_is_whole(text: str) -> None:
    assert comparable(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        '{"a":',
        " [1, 2",
        '"{\\"a\\":',
        r"{\"a\":",
        "{&quot;a&quot;:",
        "%7B%22a%22%3A",
        '{"a":1...',
        "[" * 100_000,
    ],
)
def test_what_begins_as_json_and_is_none_is_not_whole(text: str) -> None:
    assert comparable(text) is None


def test_another_form_is_no_other_value() -> None:
    forms = ('{"a":1,"b":2}', '{"b": 2, "a": 1}', r"{\"a\":1,\"b\":2}", "{&quot;a&quot;:1,&quot;b&quot;:2}")
    assert len({comparable(form) for form in forms}) == 1
    assert comparable('{"a":2}') != comparable('{"a":1}')
    assert comparable("one") != comparable("other")
