"""What a try leaves for the next one. A dictionary that takes JSON only stands in for Airflow's task state store."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.runs.intents import StartIntent
from airflow_provider_schedulerx.exceptions import RunUndecidedError
from airflow_provider_schedulerx.operators.start_store import STATE_KEY, StartStore

context = pytest.importorskip("airflow.sdk.execution_time.context", reason="of Airflow 3")
pytestmark = pytest.mark.skipif(
    not hasattr(context, "NEVER_EXPIRE"), reason="the task state store is of Airflow 3.3"
)

INTENT = StartIntent("workflow", 1, Scope("r"), "digest", known=(3,), began=5.0)
FOUND = replace(INTENT, instance_id=7)


class Kept(dict[str, Any]):
    """:ivar is_broken: as where Airflow refuses to write."""

    is_broken = False

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        if self.is_broken:
            raise RuntimeError("no longer the current try")
        assert retention is context.NEVER_EXPIRE
        self[key] = json.loads(json.dumps(value))

    def delete(self, key: str) -> None:
        del self[key]


class Log(list[str]):
    def warning(self, text: str, *values: Any) -> None:
        self.append(text % values)


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def log() -> Log:
    return Log()


def store(
    kept: Kept | None, log: Log, *, max_tries: int = 2, try_number: int = 1, durable: bool = True
) -> StartStore:
    ti = SimpleNamespace(max_tries=max_tries, try_number=try_number)
    context: Any = {"ti": ti, "task_state_store": kept}
    return StartStore(context, durable=durable, log=log)


def test_the_next_try_finds_what_was_saved(kept: Kept, log: Log) -> None:
    assert store(kept, log).load() is None
    store(kept, log).save(INTENT)
    assert store(kept, log, try_number=2).load() == (INTENT, False)


def test_the_try_that_wrote_it_is_written_down(kept: Kept, log: Log) -> None:
    store(kept, log, try_number=2).save(INTENT)
    assert list(kept) == [STATE_KEY] == ["schedulerx_start"], "where a later version of the provider looks"
    assert kept[STATE_KEY]["try_number"] == 2
    StartStore({"ti": object(), "task_state_store": kept}, durable=True, log=log).save(INTENT)  # type: ignore[typeddict-item]
    assert kept[STATE_KEY]["try_number"] == 1  # in dag.test(), say


def test_clearing_a_task_raises_its_max_tries(kept: Kept, log: Log) -> None:
    store(kept, log, max_tries=2).save(INTENT)
    assert store(kept, log, max_tries=4, try_number=3).load() == (INTENT, True)


def test_a_start_from_before_the_clear_remains_one(kept: Kept, log: Log) -> None:
    store(kept, log).save(INTENT, of_this_life=False)
    assert store(kept, log).load() == (INTENT, True)


@pytest.mark.parametrize("kept_state", [None, Kept()])
def test_nothing_is_kept_without_a_store_or_where_it_is_not_wanted(kept_state: Kept | None, log: Log) -> None:
    nothing = store(kept_state, log, durable=kept_state is None)
    assert not nothing.is_kept
    nothing.save(INTENT)
    nothing.keep(INTENT)
    nothing.discard()
    nothing.mark_over(7)
    assert nothing.load() is None
    assert not kept_state
    assert not log


def test_an_empty_store_keeps(log: Log) -> None:
    assert store(Kept(), log).is_kept


def test_what_is_discarded_is_gone(kept: Kept, log: Log) -> None:
    store(kept, log).save(INTENT)
    store(kept, log).discard()
    assert store(kept, log).load() is None


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        ("garbled", "string indices"),
        ({}, "intent"),
        ({"intent": INTENT.to_json()}, "max_tries"),
        ({"intent": {"version": 1}, "max_tries": 2}, "version 1"),
        ({"intent": replace(INTENT, kind="flow").to_json(), "max_tries": 2}, "flow"),
    ],
)
def test_what_cannot_be_read_may_hide_a_run(kept: Kept, log: Log, stored: Any, why: str) -> None:
    kept[STATE_KEY] = stored
    with pytest.raises(
        RunUndecidedError, match=rf"cannot be read \(.*{why}.*\).*clear the task's stored state"
    ):
        store(kept, log).load()


def test_a_try_is_the_current_one_unless_airflow_hides_its_store(kept: Kept, log: Log) -> None:
    """Airflow 3.3 answers a try that is over as if nothing were stored. In doubt it is the current one."""
    one = store(kept, log)
    one.save(INTENT)
    assert one.is_current()
    kept.clear()
    assert not one.is_current()
    assert store(None, log).is_current()
    assert store(kept, log, durable=False).is_current()

    answers: list[Any] = [None, {"intent": {}}]
    kept.get = lambda key: answers.pop(0)  # type: ignore[method-assign,assignment]
    assert one.is_current(), "the first was the answer to another question"
    assert answers == []

    def away(key: str) -> None:
        raise OSError(key)

    kept.get = away  # type: ignore[method-assign,assignment]
    assert one.is_current()


def test_a_save_that_airflow_refuses_ends_the_try(kept: Kept, log: Log) -> None:
    kept.is_broken = True
    with pytest.raises(RuntimeError):
        store(kept, log).save(INTENT)


def test_a_run_that_cannot_be_written_down_is_a_warning_only(kept: Kept, log: Log) -> None:
    store(kept, log).keep(FOUND)
    assert store(kept, log).load() == (FOUND, False)
    kept.is_broken = True
    store(kept, log).keep(replace(FOUND, instance_id=8))
    assert store(kept, log).load() == (FOUND, False)
    assert log == [
        "Instance 8 could not be written to the task state store (RuntimeError: no longer the current try); a retry "
        "would look for it"
    ]


def test_a_stopped_run_is_marked_as_over(kept: Kept, log: Log) -> None:
    store(kept, log).save(FOUND)
    store(kept, log).mark_over(7)
    assert store(kept, log).load() == (replace(FOUND, is_over=True), False)


def test_only_the_run_of_this_life_is_marked_as_over(kept: Kept, log: Log) -> None:
    store(kept, log).mark_over(7)
    assert not kept
    store(kept, log).save(FOUND)
    store(kept, log).mark_over(8)
    store(kept, log, max_tries=4).mark_over(7)
    assert store(kept, log).load() == (FOUND, False)


def test_marking_a_run_as_over_never_raises(kept: Kept, log: Log) -> None:
    store(kept, log).save(FOUND)
    kept.is_broken = True
    store(kept, log).mark_over(7)
    kept[STATE_KEY] = "garbled"
    store(kept, log).mark_over(7)
