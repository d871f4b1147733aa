"""The plugin as each process of Airflow loads it, with and without tabs."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_schedulerx.links.schedulerx import JOB_LINKS, RUN_LINKS, persist_links
from airflow_provider_schedulerx.plugins.schedulerx import SchedulerXPlugin
from airflow_provider_schedulerx.run_page import paths
from airflow_provider_schedulerx.version_compat.versions import has_run_page
from dev.harness.rest import AIRFLOW

NAMES = ["SchedulerX run", "SchedulerX runs"]
from_3_1 = pytest.mark.skipif(AIRFLOW < (3, 1), reason="plugins have tabs from Airflow 3.1 on")


def test_which_airflow_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_run_page() is (AIRFLOW >= (3, 1))
    for version, expected in (("2.11.2", False), ("3.0.6", False), ("3.1.0", True), ("3.10.0.dev0", True)):
        monkeypatch.setattr("airflow.__version__", version)
        assert has_run_page() is expected


def test_nothing_appears_where_airflow_has_no_tabs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow.__version__", "3.0.6")
    assert SchedulerXPlugin().external_views == []
    assert SchedulerXPlugin().fastapi_apps == []


@from_3_1
def test_the_setting_removes_the_tabs_and_not_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [view["name"] for view in SchedulerXPlugin().external_views] == NAMES
    monkeypatch.setenv("AIRFLOW__SCHEDULERX__RUN_TAB", "False")
    assert SchedulerXPlugin().external_views == []
    (app,) = SchedulerXPlugin().fastapi_apps
    assert app["url_prefix"] == "/schedulerx"
    assert [link.name for link in RUN_LINKS] == ["SchedulerX workflow instance", "SchedulerX run"]
    assert [link.name for link in JOB_LINKS] == ["SchedulerX job instance", "SchedulerX run"]


@from_3_1
@pytest.mark.parametrize(
    ("base_url", "href"),
    [
        (None, "/schedulerx/run/"),
        ("http://localhost:8080", "/schedulerx/run/"),
        ("https://x.example/airflow/", "/airflow/schedulerx/run/"),
        ("https://x.example/a/b", "/a/b/schedulerx/run/"),
    ],
)
def test_tabs_are_below_the_prefix(monkeypatch: pytest.MonkeyPatch, base_url: str | None, href: str) -> None:
    if base_url:
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    assert SchedulerXPlugin().external_views[0]["href"].startswith(href)
    ids = SimpleNamespace(
        dag_id="d", task_id="group.t", map_index=3, run_id="manual__2026-11-25T00:00:00+00:00"
    )
    path = "schedulerx/run/d/group.t/3/manual__2026-11-25T00%3A00%3A00%2B00%3A00"
    expected = f"{base_url.rstrip('/')}/{path}" if base_url else path
    assert paths.task_url(ids) == expected


@pytest.mark.parametrize(
    ("text", "index"),
    [("3", 3), ("-1", -1), ("{MAP_INDEX}", -1), ("%7BMAP_INDEX%7D", -1), ("999999999", 999_999_999),
     ("٣", None), ("9" * 50, None), ("-2", None), ("", None), ("{map_index}", None)],
)  # fmt: skip
def test_the_placeholder_of_a_task_that_is_not_mapped_stays(text: str, index: int | None) -> None:
    assert paths.map_index_of(text) == index


def test_the_link_to_the_page_says_nothing_outside_of_airflow() -> None:
    pushed: list[Any] = []
    console = SimpleNamespace(console_link=lambda *_: "https://console")
    kind = SimpleNamespace(name="job", instance_noun="job instance")
    ti = SimpleNamespace(xcom_push=lambda **value: pushed.append(value))
    persist_links({"ti": ti}, console, kind, 1, 2, log=logging.getLogger())  # type: ignore[typeddict-item]
    assert pushed == [{"key": "_link_JobInstanceLink", "value": "https://console"}]


def run_python(program: str, home: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "AIRFLOW_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower()
    return done.stdout.splitlines()[-1]


@from_3_1
@pytest.mark.parametrize("is_lazy", ["True", "False"])
def test_airflow_loads_it_with_providers_lazy_or_not_and_without_fastapi(
    is_lazy: str, tmp_path: Path
) -> None:
    program = (
        "import json, sys\n"
        "import airflow.plugins_manager as manager\n"
        "before = 'fastapi' in sys.modules\n"
        "import airflow_provider_schedulerx.plugins.schedulerx as ours\n"
        "from importlib.metadata import entry_points\n"
        "(entry,) = [e for e in entry_points(group='airflow.plugins') if e.name == 'schedulerx']\n"
        "plugin = entry.load()()\n"
        "views = [view['name'] for view in plugin.external_views]\n"
        "after = 'fastapi' in sys.modules\n"
        "print(json.dumps([views, before, after]))"
    )
    views, before, after = json.loads(
        run_python(program, tmp_path, AIRFLOW__CORE__LAZY_DISCOVER_PROVIDERS=is_lazy)
    )
    assert views == NAMES
    assert after is before


@pytest.mark.parametrize("is_lazy", ["True", "False"])
def test_airflow_plugins_lists_it_once_and_without_a_warning(is_lazy: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "plugins", "--output", "json"],
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LAZY_LOAD_PLUGINS": "False",
             "AIRFLOW__CORE__LAZY_DISCOVER_PROVIDERS": is_lazy},
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    plugins = json.loads(done.stdout[done.stdout.index("[{") :])
    (ours,) = [plugin for plugin in plugins if plugin["name"] == "schedulerx"]
    assert "SchedulerXPlugin" in ours["source"]
    if AIRFLOW >= (3, 1):
        assert all(name in str(ours["external_views"]) for name in NAMES)
    else:
        ours = {name: value for name, value in ours.items() if str(value) not in ("", "[]")}
        assert ours.keys() <= {"name", "source"}, "nothing of it appears"
    printed = (done.stdout + done.stderr).lower()
    assert not [
        line for line in printed.splitlines() if "schedulerx" in line and ("warn" in line or "error" in line)
    ]
