"""The page over HTTP, without the question who may see it, which tests/system/test_run_page_access.py asks of Airflow."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_schedulerx.version_compat import versions

if not versions.has_run_page():
    pytest.skip("Airflow 3.1 and later", allow_module_level=True)

from fastapi import HTTPException
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from airflow_provider_schedulerx.run_page import XCOM_RUN, paths
from airflow_provider_schedulerx.run_page import app as app_module
from tests.run_page.test_stored import DAG_RUN, GOOD, TASK, XCOM, add, database, session, task, xcom

__all__ = ["database", "session"]
HTML = "text/html; charset=utf-8"


class Client:
    """:ivar refusal: the status with which Airflow refuses this user, if it does.
    :ivar headers: of that refusal.
    :ivar asked: what Airflow or the database was asked for.
    """

    def __init__(self, session: Session) -> None:
        self.refusal: int | None = None
        self.headers: dict[str, str] = {}
        self.asked: list[str] = []
        app = app_module.make_app()
        for route in app.routes:
            for dependency in route.dependant.dependencies if isinstance(route, APIRoute) else ():
                if dependency.call is not app_module._could_be_there:
                    assert dependency.call is not None
                    # Those of the route itself have no name; the session is an argument.
                    instead = self._check if dependency.name is None else self._session
                    app.dependency_overrides[dependency.call] = instead
        self._http = TestClient(app, raise_server_exceptions=False)

        self._of_database = session

    def _session(self) -> Session:
        self.asked.append("the database")
        return self._of_database

    def _check(self) -> None:
        self.asked.append("who may read")
        if self.refusal is not None:
            raise HTTPException(self.refusal, headers=self.headers)

    def get(self, path: str) -> Any:
        return self._http.get(path)

    def post(self, path: str) -> Any:
        return self._http.post(path)


@pytest.fixture
def client(session: Session) -> Client:
    task(session, "t", "deferred")
    xcom(session, "t", GOOD)
    return Client(session)


@pytest.mark.parametrize("path", ["/run/d/t/-1/r", "/run/d/t/{MAP_INDEX}/r", "/dagrun/d/r"])
def test_a_page_is_closed_to_what_it_did_not_bring(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert "Workflow 101, instance 36508287844" in answer.text
    assert answer.text.startswith("<!doctype html>")
    assert answer.headers["Content-Type"] == HTML
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    part = client.get(f"{path}?part=1")
    assert part.text.startswith('<main id="run"')
    assert part.text in answer.text, "the script replaces it with the same"
    assert part.headers["Content-Security-Policy"] == policy


@pytest.mark.parametrize(
    "path",
    ["/run/d/none/-1/r", "/run/d/t/7/r", "/dagrun/d/none", "/dagrun/~/r", "/run/~/t/-1/r", "/", "/static/none",
     "/static/..%2Fapp.py", "/docs", "/openapi.json"],
)  # fmt: skip
def test_what_is_not_there_is_a_page_that_says_so(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == HTML
    assert "There is nothing here" in answer.text


@pytest.mark.parametrize(
    ("dag_id", "task_id", "run_id"),
    [
        ("夜间.etl", "gruppe.lädt-1", "manual__2026-11-25T00:00:00+00:00_~"),
        ("d", "run", "a/b/../c"),
        ("d", "t", "a b?part=1&x#y"),
        ("dagrun", "static", '"><script>'),
    ],
)
def test_any_id_finds_its_way_there_from_the_page_of_its_dag_run(
    client: Client, session: Session, dag_id: str, task_id: str, run_id: str
) -> None:
    if (dag_id, run_id) != ("d", "r"):
        of_run = {"run_type": "manual", "state": "running", "log_template_id": None}
        add(session, DAG_RUN, id=2, dag_id=dag_id, run_id=run_id, run_after=datetime.now(UTC), **of_run)
    ids = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": 3}
    add(session, TASK, **ids, state="failed", try_number=1, pool="p")
    add(session, XCOM, **ids, dag_run_id=2, key=XCOM_RUN, value=GOOD)
    of_run_page = client.get(f"/dagrun/{quote(dag_id, safe='')}/{quote(run_id, safe='')}")
    assert of_run_page.status_code == 200
    (href,) = re.findall(r'href="/schedulerx(/run/[^"]+)"', of_run_page.text)
    answer = client.get(href)
    assert answer.status_code == 200
    assert "Workflow 101, instance 36508287844" in answer.text
    back = paths.airflow_task_path(dag_id, task_id, 3, run_id)
    assert f'<a href="{back}">Back to Airflow</a>' in answer.text
    assert "<script>" not in answer.text


@pytest.mark.parametrize("path", ["/run/d/t/7x/r", "/run/d/t/-2/r", "/run/d/t/99999999999/r", "/run/d/t//r"])
def test_what_is_no_map_index_is_not_that_of_another_task(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "path", ["/run/d%00/t/-1/r", "/run/d/t%00/-1/r", "/run/d/t/-1/r%00", "/dagrun/d%00/r", "/dagrun/d/r%00"]
)
def test_no_database_is_asked_for_an_id_with_a_character_that_it_refuses(client: Client, path: str) -> None:
    """PostgreSQL refuses NUL with an error, already where Airflow looks up who may read the DAG."""
    asked = len(client.asked)
    answer = client.get(path)
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text
    assert len(client.asked) == asked


def test_a_refusal_keeps_what_its_status_promises(client: Client) -> None:
    answer = client.post("/run/d/t/-1/r")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")
    assert answer.headers["Content-Type"] == HTML
    client.refusal, client.headers = 401, {"WWW-Authenticate": "Bearer", "Cache-Control": "public"}
    answer = client.get("/run/d/t/-1/r")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("status", "title"),
    [(401, "You are not logged in"), (403, "You may not see this run"), (418, "This page cannot be shown")],
)
def test_a_refusal_is_a_page_and_its_part_too(client: Client, status: int, title: str) -> None:
    client.refusal = status
    for path in ("/run/d/t/-1/r", "/dagrun/d/r"):
        for query in ("", "?part=1"):
            answer = client.get(path + query)
            assert answer.status_code == status
            assert title in answer.text
            assert "Workflow" not in answer.text


def test_an_error_of_ours_is_a_page_without_a_traceback(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("secret of the database")

    monkeypatch.setattr(app_module.stored, "task_view", breaks)
    answer = client.get("/run/d/t/-1/r")
    assert answer.status_code == 500
    assert "This page cannot be shown" in answer.text
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(("name", "kind"), [("run.js", "text/javascript"), ("run.css", "text/css")])
def test_its_own_files_need_no_login(client: Client, name: str, kind: str) -> None:
    client.refusal = 401
    answer = client.get(f"/static/{name}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(kind)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
