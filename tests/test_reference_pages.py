"""The tables of the reference are those of the code: arguments with their defaults, errors, options."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import Any

import pytest

from airflow_provider_schedulerx import exceptions
from airflow_provider_schedulerx.cli.commands import COMMANDS
from airflow_provider_schedulerx.emulator import __main__ as emulator
from dev.experiments import matrix
from dev.experiments.scenarios import SCENARIOS
from dev.harness.rest import IS_AIRFLOW_2
from dev.releases import NEWEST, RELEASES
from tests.conftest import ROOT

PUBLIC = (
    *("operators.schedulerx", "sensors.schedulerx", "triggers.schedulerx", "triggers.event"),
    "hooks.schedulerx",
)
CONFIGURED = "`[operators] default_deferrable`, else `False`"


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text()


def documented_classes() -> dict[str, str]:
    """Class -> its section of the page on arguments."""
    sections = re.split(r"^## ", page("arguments"), flags=re.MULTILINE)[1:]
    return {section.partition("\n")[0].strip("`"): section for section in sections}


def public_classes() -> dict[str, type]:
    found: dict[str, type] = {}
    for place in PUBLIC:
        if place == "triggers.event" and IS_AIRFLOW_2:
            continue
        module = import_module(f"airflow_provider_schedulerx.{place}")
        for name, value in vars(module).items():
            if inspect.isclass(value) and value.__module__ == module.__name__ and not name.startswith("_"):
                found[name] = value
    return found


def rows(table: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("| `")
    ]


def default(name: str, value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    if name == "deferrable":
        return CONFIGURED
    return "`{}`".format(repr(value).replace("'", '"'))


def test_every_public_class_has_a_table() -> None:
    of_airflow_3 = {"WorkflowEventTrigger"} if IS_AIRFLOW_2 else set()
    assert set(documented_classes()) - of_airflow_3 == set(public_classes())


def arguments(cls: type) -> dict[str, inspect.Parameter]:
    """Those of a class and of the classes of this package that its ``**kwargs`` go to."""
    found: dict[str, inspect.Parameter] = {}
    # What a class fills in for its kind of run, under names such as workflow_id.
    filled_in = ("definition_id", "instance_id")
    for base in cls.__mro__:
        if base.__module__.startswith("airflow_provider_schedulerx") and "__init__" in vars(base):
            for argument in list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]:
                is_rest = argument.kind in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
                if not is_rest and argument.name not in filled_in:
                    found.setdefault(argument.name, argument)
    return found


@pytest.mark.parametrize("name", sorted(public_classes()))
def test_the_table_has_the_arguments_with_their_defaults(name: str) -> None:
    cls = public_classes()[name]
    templates = getattr(cls, "template_fields", ())
    wanted = [
        [
            f"`{argument.name}`",
            default(argument.name, argument.default),
            "yes" if argument.name in templates else "",
        ]
        for argument in arguments(cls).values()
    ]
    assert sorted(row[:3] for row in rows(documented_classes()[name])) == sorted(wanted)


def test_every_error_is_in_the_tables() -> None:
    text = page("errors")
    named = {name for row in rows(text) for name in re.findall(r"`(\w+Error)`", row[0])}
    assert named == {name for name in exceptions.__all__ if name.endswith("Error")}
    for row in rows(text.partition("## What went wrong")[0]):
        is_final = issubclass(getattr(exceptions, row[0].strip("`")), exceptions.AirflowFailException)
        assert row[2].startswith("no") is is_final, row[0]


def test_every_command_and_option_is_in_the_tables() -> None:
    text = page("command-line").partition("## The emulator")[0]
    assert {f"`{command.name}`" for command in COMMANDS} <= {row[0] for row in rows(text)}
    options = {
        flag for command in COMMANDS for it in command.arguments for flag in it.flags if flag.startswith("-")
    }
    assert {row[0].strip("`") for row in rows(text) if row[0].startswith("`-")} == options


def test_every_option_of_the_emulator_is_in_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["emulator", "--help"])
    with pytest.raises(SystemExit):
        emulator.main()
    known = re.findall(r"^  (--[a-z-]+)", capsys.readouterr().out, re.MULTILINE)
    table = rows(page("command-line").partition("## The emulator")[2])
    assert [row[0].strip("`") for row in table if row[0].startswith("`-")] == known


def test_the_versions_that_were_tried_are_those_of_the_matrix() -> None:
    table = page("versions").partition("## What was tried")[2]
    tried = dict(re.findall(r"^\| (\d+\.\d+\.\d+) \| ([\d., ]+) \|", table, re.MULTILINE))
    # There is no Python 3.14 here; the page says so.
    assert tried == {
        airflow: ", ".join(python for python in release.pythons if python != "3.14")
        for airflow, release in RELEASES.items()
    }


@pytest.mark.parametrize("name", ["tutorial", "managed", "testing"])
def test_what_is_to_be_installed_is_the_newest_airflow(name: str) -> None:
    text = page(name).partition("## On Airflow 2.11")[0]
    named = re.findall(r"apache-airflow==([\d.]+\d)|/constraints-(\d[\d.]+\d)/", text)
    assert {one or other for one, other in named} == {NEWEST}


def test_the_figures_of_the_matrix_are_those_of_its_long_form() -> None:
    seeds, variants = matrix.SEEDS, matrix.IN_TURN
    cases = len(matrix.pairwise()) * len(SCENARIOS) * seeds * variants
    wanted = (
        f"{len(matrix.pairwise())} profiles, {len(SCENARIOS)} scenarios, {seeds} seeds and {variants} of "
        f"{len(matrix.VARIANTS)} variants in turn (of workflows and of jobs) are {cases:,} cases"
    )
    assert wanted in " ".join(page("figures").split())
