"""Fixtures for tests of your own DAGs; pytest loads them by itself where this provider is installed.

``schedulerx_emulator``
    A running :class:`~airflow_provider_schedulerx.emulator.process.EmulatorProcess` without faults, and the
    Airflow connection ``schedulerx_default`` to it. One process serves the whole session.

Settings, in ``[tool.pytest.ini_options]``: ``schedulerx_workflows``, a YAML file of workflows (relative to the
project's root), and ``schedulerx_speed``, how much faster their jobs run (10).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_schedulerx.emulator.process import EmulatorProcess


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("schedulerx_workflows", "YAML file of the emulator's workflows", default="")
    parser.addini("schedulerx_speed", "how much faster the emulator's jobs run", default="10")


@pytest.fixture(scope="session")
def _schedulerx_emulator_process(pytestconfig: pytest.Config) -> Iterator[EmulatorProcess]:
    from airflow_provider_schedulerx.emulator.process import EmulatorProcess

    if find_spec("yaml") is None:
        pytest.fail("no PyYAML here: pip install 'airflow-provider-schedulerx[emulator]'", pytrace=False)
    arguments = ["--speed", pytestconfig.getini("schedulerx_speed"), "--quota", "1000000"]
    if workflows := pytestconfig.getini("schedulerx_workflows"):
        arguments += ["--workflows", str(pytestconfig.rootpath / workflows)]
    with EmulatorProcess(*arguments) as emulator:
        yield emulator


@pytest.fixture
def schedulerx_emulator(
    _schedulerx_emulator_process: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EmulatorProcess]:
    """A local SchedulerX without faults, to which the Airflow connection ``schedulerx_default`` leads."""
    emulator = _schedulerx_emulator_process
    emulator.clear_faults()
    monkeypatch.setenv("AIRFLOW_CONN_SCHEDULERX_DEFAULT", json.dumps(emulator.connection()))
    yield emulator
    emulator.clear_faults()
