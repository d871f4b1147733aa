"""Fixtures for tests of your own DAGs; pytest loads them by itself where this provider is installed.

``schedulerx_emulator``
    A running :class:`~airflow_provider_schedulerx.emulator.process.EmulatorProcess`, and the Airflow connection
    ``schedulerx_default`` to it. One process serves the whole session (under pytest-xdist, one for each worker); runs,
    faults, counters, quota, accounts, workflows and profile are those of the one test.

``schedulerx_run_dag``
    Runs a DAG to its end as ``dag.test()`` does, and returns the DAG run. Takes the arguments of ``dag.test()``. The
    DAG may be made in the test, and need not be in a file. Airflow's database is an SQLite file of this session, made
    at first use; the one that Airflow is configured to use is never touched.

Settings, in ``[tool.pytest.ini_options]``: ``schedulerx_workflows``, a YAML file of workflows (relative to the
project's root); ``schedulerx_speed``, how much faster their jobs run (10); and ``schedulerx_profile``, what the
emulator does where the service's documentation leaves it open (``documented``). One test chooses another profile
with ``schedulerx_emulator.set_profile("hostile")``, several run under each of some with
``@pytest.mark.parametrize("schedulerx_emulator", ["documented", "hostile"], indirect=True)``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_schedulerx.emulator.process import EmulatorProcess


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("schedulerx_workflows", "YAML file of the emulator's workflows", default="")
    parser.addini(
        "schedulerx_profile", "what the emulator does where it is not documented", default="documented"
    )
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
    _schedulerx_emulator_process: EmulatorProcess,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> EmulatorProcess:
    """A local SchedulerX as at its start, to which the Airflow connection ``schedulerx_default`` leads."""
    emulator = _schedulerx_emulator_process
    if not emulator.is_running:  # a test has stopped it
        emulator.restart()
    emulator.reset()
    emulator.set_profile(getattr(request, "param", request.config.getini("schedulerx_profile")))
    monkeypatch.setenv("AIRFLOW_CONN_SCHEDULERX_DEFAULT", json.dumps(emulator.connection()))
    return emulator


@pytest.fixture(scope="session")
def _schedulerx_airflow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty database of Airflow."""
    from airflow_provider_schedulerx.emulator import dag_runs

    folder = tmp_path_factory.mktemp("airflow")
    try:
        dag_runs.make_database(folder)
    except RuntimeError as error:
        pytest.fail(str(error), pytrace=False)
    return folder


@pytest.fixture
def schedulerx_run_dag(_schedulerx_airflow_folder: Path) -> Iterator[Callable[..., Any]]:
    """Run a DAG to its end, in a database of this session: ``schedulerx_run_dag(dag, run_conf={...}).state``."""
    from airflow_provider_schedulerx.emulator import dag_runs

    with dag_runs.database(_schedulerx_airflow_folder):
        yield dag_runs.run
