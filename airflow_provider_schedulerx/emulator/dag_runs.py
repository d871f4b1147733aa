"""Runs a DAG inline, as ``dag.test()`` does, in an Airflow database that belongs to the tests alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

_BUNDLE = "schedulerx-tests"


def _configuration(folder: Path) -> dict[str, str]:
    """What leads Airflow to the database of a folder, and to no DAG files, which are not this DAG's business."""
    dags = folder / "dags"
    bundle = {
        "name": _BUNDLE,
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(dags)},
    }
    return {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
    }


def make_database(folder: Path) -> None:
    """Make an empty database: it takes Airflow some seconds.

    :raises RuntimeError: if Airflow could not make it, with what Airflow printed.
    """
    (folder / "dags").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env={**os.environ, **_configuration(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"airflow db migrate failed: {done.stdout}{done.stderr}")


@contextmanager
def database(folder: Path) -> Iterator[None]:
    """Let this process use the database of a folder, and afterwards its own again."""
    settings: Any = import_module("airflow.settings")

    def connect() -> None:
        settings.dispose_orm()
        settings.configure_vars()
        settings.configure_orm()

    with mock.patch.dict(os.environ, _configuration(folder)):
        connect()
        try:
            yield
        finally:
            settings.dispose_orm()
    connect()


def run(dag: Any, **arguments: Any) -> Any:
    """Run a DAG to its end.

    :param arguments: those of ``dag.test()``.
    :return: the DAG run, of Airflow's ``DagRun``.
    """
    _make_known(dag)
    return dag.test(**arguments)


def _make_known(dag: Any) -> None:
    """Airflow 3 makes runs only of DAGs that it has read from a file; this one may come from a test."""
    for module in ("airflow.dag_processing.dagbag", "airflow.models.dagbag"):
        if find_spec(module) and hasattr(bags := import_module(module), "sync_bag_to_db"):
            break
    else:
        return
    bundles: Any = import_module("airflow.dag_processing.bundles.manager")
    bundles.DagBundlesManager().sync_bundles_to_db()
    bag = bags.DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    bag.bag_dag(dag)
    bags.sync_bag_to_db(bag, _BUNDLE, None)
