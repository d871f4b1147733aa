"""The tutorial, followed in a browser as it is printed: the same commands, the same files, the same clicks.

``make pictures`` makes its screenshots anew.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from dev import pictures
from dev.harness.rest import IS_AIRFLOW_2
from dev.harness.stack import AirflowStack
from tests.conftest import ROOT

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(IS_AIRFLOW_2, reason="the tutorial is written for Airflow 3"),
]

PAGE = (ROOT / "docs" / "tutorial.md").read_text()
FILES = dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL))
PORT = "8190"


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    # Pictures show the port that the page names; tests may run beside others.
    with EmulatorProcess("--port", PORT if pictures.FOLDER in os.environ else "0") as emulator:
        yield emulator


@pytest.fixture(scope="module")
def airflow(emulator: EmulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    home = tmp_path_factory.mktemp("tutorial")
    dags = home / "dags"
    dags.mkdir()
    for name in ("tutorial_green", "tutorial_red"):
        (dags / f"{name}.py").write_text(FILES[f"airflow/dags/{name}.py"])
    with AirflowStack(home, dags, {}) as stack:
        port = emulator.endpoint.rpartition(":")[2]
        subprocess.run(
            ["bash", "-euc", FILES["connection.sh"].replace(PORT, port)],
            env={**stack.env, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            check=True,
        )
        yield stack


@pytest.fixture
def page(chromium: Any, airflow: AirflowStack) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1440, "height": 800}, base_url=airflow.url)
    context.set_default_timeout(30_000)
    yield context.new_page()
    context.close()


def trigger(page: Any, dag_id: str, task_id: str) -> str:
    """Trigger a DAG and open its task, as the tutorial says. :return: the id of the DAG run."""
    page.goto(f"/dags/{dag_id}")
    page.get_by_role("button", name="Trigger").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Trigger", exact=True).click()
    page.get_by_role("dialog").wait_for(state="hidden")
    run = page.locator(f"a[href*='/dags/{dag_id}/runs/manual__']").first
    run.wait_for()
    run_id: str = run.get_attribute("href").partition("/runs/")[2].partition("/")[0].partition("?")[0]
    # The square in the grid; the task's name leads to all its runs.
    page.locator(f"a[href*='/runs/'][href$='/tasks/{task_id}']").first.click()
    return run_id


def test_the_connection_is_shown_and_can_be_tested(page: Any, shoot: Callable[..., None]) -> None:
    page.goto("/connections")
    page.get_by_text("schedulerx_default", exact=True).wait_for()
    page.get_by_role("button", name="Test Connection").click()
    toast = page.get_by_role("status").filter(has_text="Test Connection")
    toast.get_by_text("2 workflows in namespace").wait_for()
    shoot(page, "tutorial-connection")


def test_the_green_run(page: Any, airflow: AirflowStack, shoot: Callable[..., None]) -> None:
    run_id = trigger(page, "tutorial_green", "etl")
    page.get_by_role("link", name="SchedulerX run", exact=True).click()
    frame = page.frame_locator("iframe")
    for node in ("extract", "transform", "check", "load"):
        frame.locator("svg").get_by_text(node, exact=True).wait_for()
    # On a busy machine the run may have ended before the page shows it.
    frame.locator("svg .is-RUNNING, svg .is-SUCCESS").first.wait_for()
    shoot(page, "tutorial-run")
    assert airflow.wait_for_run("tutorial_green", run_id) == "success"
    page.get_by_role("link", name="Logs", exact=True).click()
    page.get_by_text("Started workflow 101").wait_for()
    page.get_by_text(re.compile("Nodes of workflow instance")).click()
    page.get_by_text(re.compile("NODE +STATE +ATTEMPT")).wait_for()
    shoot(page, "tutorial-green")


def test_the_red_run(page: Any, airflow: AirflowStack, shoot: Callable[..., None]) -> None:
    run_id = trigger(page, "tutorial_red", "report")
    assert airflow.wait_for_run("tutorial_red", run_id) == "failed"
    page.reload()
    page.get_by_text(re.compile("Last 10 lines of the log of node render")).click()
    page.get_by_text("render: ERROR disk full: /data/report.pdf").first.wait_for()
    shoot(page, "tutorial-red", fold="RunFailedError")
