"""Who may see a run's page: over HTTP, with the roles of the FAB auth manager."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from typing import Any, NamedTuple

import pytest
import yaml

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.run_page.paths import task_path
from dev.harness.rest import AIRFLOW
from dev.harness.stack import COMPONENTS, AirflowStack
from tests.conftest import ROOT
from tests.system.test_run_page import WORKFLOWS

pytest.importorskip("airflow.providers.fab", reason="apache-airflow-providers-fab is not installed")
pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(AIRFLOW < (3, 1), reason="plugins have tabs from Airflow 3.1 on"),
]

#: user -> its role.
USERS = {
    "admin": "Admin",
    "viewer": "Viewer",
    "user": "User",
    "public": "Public",
    "other": "Other",
    "no_xcom": "NoXCom",
}
#: own role -> what it may read.
ROLES = {
    "Other": ["Website", "DAG Runs", "Task Instances", "XComs", "DAG:page_sync"],
    "NoXCom": ["Website", "DAG Runs", "Task Instances", "DAGs"],
}
PROGRAM = """
import json, sys
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
roles, users = json.loads(sys.argv[1])
with get_application_builder() as builder:
    for name, resources in roles.items():
        role = builder.sm.add_role(name)
        for resource in resources:
            builder.sm.add_permission_to_role(role, builder.sm.create_permission("can_read", resource))
    for name, role in users.items():
        assert builder.sm.add_user(name, name, name, f"{name}@x.example", builder.sm.find_role(role), password=name)
"""


class FabStack(AirflowStack):
    """:ivar tokens: user -> its authorization."""

    def _log_in(self) -> None:
        subprocess.run([sys.executable, "-c", PROGRAM, json.dumps([ROLES, USERS])], env=self.env, check=True)
        self.tokens = {
            name: "Bearer "
            + self._call("POST", "/auth/token", {"username": name, "password": name})["access_token"]
            for name in USERS
        }
        self._authorization = self.tokens["admin"]


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FabStack]:
    file = tmp_path_factory.mktemp("emulator") / "workflows.yaml"
    file.write_text(yaml.safe_dump(WORKFLOWS, allow_unicode=True))
    config = {
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        # Airflow 3.2 asks for it whatever the auth manager is.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
    }
    with EmulatorProcess("--workflows", str(file), "--quota", "100000", "--speed", "10") as emulator:
        with FabStack(
            tmp_path_factory.mktemp("airflow"),
            ROOT / "tests" / "system" / "run_page_dags",
            {"schedulerx_default": emulator.connection()},
            config,
            # The tasks themselves run by dag.test().
            components={"api-server": COMPONENTS["api-server"]},
        ) as stack:
            yield stack


RUN_DAG = """
import sys
from airflow.models.dagbag import DagBag
folder, dag_id = sys.argv[1:]
print("RUN", DagBag(folder).dags[dag_id].test().run_id)
"""


def run_dag(airflow: FabStack, dag_id: str) -> str:
    """Run a DAG in a process of its own. :return: its run id."""
    done = subprocess.run(
        [sys.executable, "-c", RUN_DAG, airflow.env["AIRFLOW__CORE__DAGS_FOLDER"], dag_id],
        env=airflow.env,
        check=True,
        capture_output=True,
        text=True,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RUN ")]
    return line.removeprefix("RUN ")


@pytest.fixture(scope="module")
def run_id(airflow: FabStack) -> str:
    return run_dag(airflow, "not_yours")


class Answer(NamedTuple):
    status: int
    headers: Message
    text: str


def get(airflow: FabStack, path: str, user: str | None) -> Answer:
    headers = {} if user is None else {"Authorization": airflow.tokens[user]}
    request = urllib.request.Request(f"{airflow.url}{path}", headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as response:
            return Answer(response.status, response.headers, response.read().decode())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers, error.read().decode())


def of_task(run_id: str, dag_id: str = "not_yours") -> str:
    return f"/schedulerx{task_path(dag_id, 'etl', -1, run_id)}"


def of_dag_run(run_id: str, dag_id: str = "not_yours") -> str:
    return f"/schedulerx/dagrun/{dag_id}/{run_id}"


def assert_closed(answer: Answer) -> None:
    """It is a page, and gives nothing away."""
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.text.startswith("<!doctype html>")
    assert "Workflow" not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("path", [of_task, of_dag_run], ids=["task", "dag run"])
@pytest.mark.parametrize(
    ("user", "status"),
    [
        (None, 401),
        ("public", 403),
        ("other", 403),
        ("no_xcom", 403),
        ("viewer", 200),
        ("user", 200),
        ("admin", 200),
    ],
)
def test_who_may_read_task_instances_and_xcoms_of_that_dag_sees_it(
    airflow: FabStack, run_id: str, user: str | None, status: int, path: Any
) -> None:
    answer = get(airflow, path(run_id), user)
    assert answer.status == status
    if status == 200:
        assert "105" in answer.text
        assert answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
    else:
        assert_closed(answer)


def test_the_other_user_may_see_its_own_dag(airflow: FabStack, run_id: str) -> None:
    own = run_dag(airflow, "page_sync")
    assert get(airflow, of_task(own, "page_sync"), "other").status == 200
    assert get(airflow, of_task(run_id), "other").status == 403


@pytest.mark.parametrize("user", [None, "admin", "other"])
@pytest.mark.parametrize("path", [of_task, of_dag_run], ids=["task", "dag run"])
@pytest.mark.parametrize("dag_id", ["~", "%7E"])
def test_any_dag_is_no_dag(airflow: FabStack, run_id: str, user: str | None, path: Any, dag_id: str) -> None:
    answer = get(airflow, path(run_id).replace("not_yours", dag_id), user)
    assert answer.status == 404
    assert_closed(answer)


def test_another_dag_in_the_query_changes_nothing(airflow: FabStack, run_id: str) -> None:
    for query in ("?dag_id=page_sync", "?part=1&dag_id=page_sync"):
        answer = get(airflow, of_task(run_id) + query, "other")
        assert answer.status == 403
        assert "Workflow" not in answer.text


@pytest.mark.parametrize(
    "path",
    ["/run/not_yours/etl/-1/none", "/run/not_yours/none/-1/none", "/dagrun/not_yours/none", "/", "/run/x", "/static/x",
     "/static/..%2Fapp.py", "/static/%2e%2e/app.py", "/docs", "/openapi.json"],
)  # fmt: skip
def test_what_is_not_there_is_not_found(airflow: FabStack, path: str) -> None:
    answer = get(airflow, f"/schedulerx{path}", "admin")
    assert answer.status == 404
    assert_closed(answer)


@pytest.mark.parametrize("user", ["viewer", "user"])
def test_the_link_leads_there_who_sees_no_tabs_of_plugins(airflow: FabStack, run_id: str, user: str) -> None:
    assert get(airflow, "/api/v2/plugins", user).status == 403, "which is why there is a link"
    links = get(airflow, f"/api/v2/dags/not_yours/dagRuns/{run_id}/taskInstances/etl/links", user)
    url = json.loads(links.text)["extra_links"]["SchedulerX run"]
    assert url == f"{airflow.url}{of_task(run_id)}"
    assert "105" in get(airflow, url.removeprefix(airflow.url), user).text


def test_files_are_everybodys(airflow: FabStack) -> None:
    for name, kind in (("run.js", "text/javascript"), ("run.css", "text/css"), ("page.css", "text/css")):
        answer = get(airflow, f"/schedulerx/static/{name}", None)
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith(kind)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_session_that_ends_while_the_page_is_open_is_said(
    airflow: FabStack, run_id: str, chromium: Any
) -> None:
    with sqlite3.connect(airflow.home / "airflow.db", timeout=30) as database:
        # As long as the task runs, the page renews itself.
        database.execute("UPDATE task_instance SET state = 'running' WHERE dag_id = 'not_yours'")
    context = chromium.new_context(base_url=airflow.url)
    try:
        token = airflow.tokens["viewer"].removeprefix("Bearer ")
        context.add_cookies([{"name": "_token", "value": token, "url": airflow.url}])
        page = context.new_page()
        page.goto(of_task(run_id))
        page.locator("svg.dag").wait_for()
        context.clear_cookies()
        page.get_by_role("heading", name="You are not logged in").wait_for(timeout=60_000)
        assert page.locator("svg.dag").count() == 0
        assert page.get_by_role("link", name="Back to Airflow").is_visible()
    finally:
        context.close()
