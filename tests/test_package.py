"""The package as Airflow sees it: metadata, layers, and what importing it costs."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager

import airflow_provider_schedulerx
from airflow_provider_schedulerx.api.connection.credentials import CREDENTIAL_TYPES
from airflow_provider_schedulerx.api.connection.settings import KNOWN_FIELDS
from airflow_provider_schedulerx.get_provider_info import get_provider_info
from benchmarks.import_cost import BARE, OURS
from dev.harness.rest import IS_AIRFLOW_2

PACKAGE = Path(airflow_provider_schedulerx.__file__).parent

#: layer -> layers of this package that it may import.
LAYERS = {
    "api": {"api"},
    "exceptions": {"api"},
    "connection_form": {"api"},
    "version_compat": {"version_compat"},
    "metrics": {"api", "version_compat"},
    "hooks": {"api", "exceptions", "connection_form", "version_compat", "metrics", "hooks"},
    "assets": {"api"},
    "base": {"exceptions", "hooks", "version_compat"},
    "drawing": {"drawing"},
    "run_page": {"api", "drawing", "version_compat", "run_page"},
    "plugins": {"api", "version_compat", "run_page", "plugins"},
    "links": {"version_compat", "run_page", "links"},
    "triggers": {"api", "exceptions", "version_compat", "metrics", "hooks", "links", "run_page", "triggers"},
    "operators": {
        "api",
        "base",
        "exceptions",
        "version_compat",
        "metrics",
        "hooks",
        "links",
        "run_page",
        "triggers",
        "operators",
    },
    "sensors": {
        "api",
        "base",
        "exceptions",
        "version_compat",
        "hooks",
        "links",
        "run_page",
        "triggers",
        "sensors",
    },
    "doctor": {"api", "hooks", "doctor"},
    "cli": {"api", "exceptions", "hooks", "doctor", "cli", "version_compat"},
    "__main__": {"cli"},
    "emulator": {"emulator", "drawing"},
    "get_provider_info": {"connection_form"},
}


def imports_of(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE))
)
def test_no_layer_imports_upward(file: Path) -> None:
    layer = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imports_of(file):
        if name.startswith("airflow_provider_schedulerx.") and layer != "__init__":
            imported = name.split(".")[1]
            assert imported in LAYERS[layer] | {"__version__"}, f"{layer} imports {imported}"
        if layer in ("api", "drawing", "emulator"):
            assert not name.startswith("airflow."), f"{layer} imports {name}"


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE))
)
def test_what_differs_between_versions_of_airflow_is_in_one_package(file: Path) -> None:
    same_everywhere: tuple[str, ...] = (
        "airflow.cli.cli_config.",
        "airflow.listeners.",
        "airflow.providers.common.compat.",
        "airflow.triggers.base.",
        "airflow.providers.openlineage.",
    )
    if file.parent.name == "run_page":
        # Read by the API server of Airflow 3.1 and later only, whose plugins may use them.
        same_everywhere += ("airflow.api_fastapi.", "airflow.models.")
    if file.parent.name != "version_compat":
        for name in imports_of(file):
            assert not name.startswith("airflow.") or name.startswith(same_everywhere), name


def test_provider_info_is_valid() -> None:
    import airflow

    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_the_entry_point_leads_to_it() -> None:
    (entry,) = (
        entry
        for entry in entry_points(group="apache_airflow_provider")
        if entry.value.startswith("airflow_provider_schedulerx")
    )
    assert entry.name == "provider_info"
    assert entry.load() is get_provider_info


def test_airflow_knows_the_provider() -> None:
    manager = ProvidersManager()
    assert manager.providers["airflow-provider-schedulerx"].version == airflow_provider_schedulerx.__version__
    hook = manager.hooks["schedulerx"]
    assert hook is not None
    assert hook.hook_name == "Alibaba Cloud SchedulerX"
    assert (
        "airflow_provider_schedulerx.links.schedulerx.WorkflowInstanceLink" in manager.extra_links_class_names
    )


def test_the_form_has_every_field_that_a_connection_takes() -> None:
    (connection,) = get_provider_info()["connection-types"]
    aliases = {"access_key_id", "access_key_secret", "region"}  # login, password, and another provider's name
    assert connection["conn-fields"].keys() == {*KNOWN_FIELDS} - aliases
    types = connection["conn-fields"]["credential_type"]["schema"]["enum"]
    assert types == [*CREDENTIAL_TYPES, None]


@pytest.mark.parametrize("command", [["list"], ["hooks"], ["links"]], ids=lambda command: command[0])
def test_airflow_lists_it_without_a_warning(command: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "providers", *command, "--output", "json"],
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    # One row of the answer a line. What is wrong with other providers is not our business.
    lines = (done.stdout + done.stderr).lower().replace("}, {", "}\n{").splitlines()
    ours = [line for line in lines if "schedulerx" in line]
    assert ours
    for line in ours:
        assert "warn" not in line
        assert "error" not in line


HEAVY = ("alibabacloud", "Tea", "darabonba", "aiohttp", "requests", "fastapi", "starlette")


def printed_by(program: str, home: Path) -> list[str]:
    """The words that a program prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "AIRFLOW_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_what_a_dag_file_imports_brings_no_sdk(tmp_path: Path) -> None:
    modules = sorted(
        f"airflow_provider_schedulerx.{layer}.{file.stem}"
        for layer in ("hooks", "links", "operators", "plugins", "sensors", "triggers")
        for file in (PACKAGE / layer).glob("*.py")
        # lineage is imported by OpenLineage only; the event trigger needs Airflow 3.
        if file.stem not in ("__init__", "lineage", *(("event",) if IS_AIRFLOW_2 else ()))
    )
    program = (
        "import sys\n"
        "from airflow.providers.common.compat.sdk import BaseHook, BaseOperator, BaseOperatorLink, XCom\n"
        "before = set(sys.modules)\n"
        f"import {', '.join(modules)}\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    brought = printed_by(program, tmp_path)
    assert "airflow_provider_schedulerx.operators.schedulerx" in brought
    heavy = [name for name in brought if name.split(".")[0].startswith(HEAVY)]
    assert heavy == []


def test_a_dag_file_imports_airflow_and_what_declares_a_task(tmp_path: Path) -> None:
    program = (
        f"{BARE}; import sys; before = set(sys.modules); import {OURS}; "
        "print(*sorted(set(sys.modules) - before))"
    )
    brought = set(printed_by(program, tmp_path))
    ours = {name for name in brought if name.split(".")[0] == PACKAGE.name}
    assert f"{PACKAGE.name}.operators.schedulerx" in ours
    assert brought == ours
    # How a run is started, followed, polled and stopped is for workers and the triggerer.
    worker_only = ("launching", "run_owner", "start", "start_store", "following", "task_run", "interrupts")
    assert not ours & {f"{PACKAGE.name}.operators.{name}" for name in worker_only}
    assert not {name for name in ours if name.startswith(f"{PACKAGE.name}.api.wire")}
    assert f"{PACKAGE.name}.api.polling.poller" not in ours
