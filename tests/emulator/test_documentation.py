"""The page on the emulator tells of every open behaviour, as the code has it."""

from __future__ import annotations

from airflow_provider_schedulerx.emulator import profile
from airflow_provider_schedulerx.emulator.behaviours import BEHAVIOURS, Behaviour
from tests.conftest import ROOT

HOSTILE = profile.parse("hostile")


def row(behaviour: Behaviour) -> str:
    """One line of the page's table; the default first."""
    values = sorted(behaviour.values, key=lambda value: value.name != behaviour.default)
    told = "<br>".join(f"`{value.name}` ({value.source}): {value.meaning}" for value in values)
    return f"| `{behaviour.key}` | {behaviour.question} | {told} | `{HOSTILE[behaviour.key]}` |"


def test_every_behaviour_is_told_in_the_docs() -> None:
    page = ROOT.joinpath("docs", "emulator.md").read_text(encoding="utf-8").splitlines()
    first = page.index(row(next(iter(BEHAVIOURS.values()))))
    assert page[first : first + len(BEHAVIOURS)] == [row(behaviour) for behaviour in BEHAVIOURS.values()]
    assert page[first + len(BEHAVIOURS)] == ""
