"""What is read from Airflow's database, in one in memory: states of tasks, and what people may have edited."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_schedulerx.version_compat import versions

if not versions.has_run_page():
    pytest.skip("Airflow 3.1 and later", allow_module_level=True)

import airflow.models
from airflow.models.base import Base
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import Table, create_engine, event, insert, literal_column, update
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from airflow_provider_schedulerx.run_page import XCOM_CONSOLE_LINK, XCOM_JOB_CONSOLE_LINK, XCOM_RUN
from airflow_provider_schedulerx.run_page.encoding import encode
from airflow_provider_schedulerx.run_page.snapshot import Snapshot
from airflow_provider_schedulerx.run_page.stored import MAX_RUNS, dag_run_views, link_of, task_view
from dev.harness import postgres
from tests.run_page.test_snapshot import NOW, a_node, an_instance, unmasked

DAG_RUN, TASK, XCOM = (model.__table__ for model in (DagRun, TaskInstance, XComModel))
GOOD = encode(Snapshot.of(an_instance(a_node(1)), NOW, mask=unmasked))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    airflow.models.import_all_models()
    with contextlib.ExitStack() as stack:
        if request.param == "sqlite":
            # One connection for all threads: in another one there would be another database.
            engine = create_engine(
                "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
            )
        else:
            if postgres.programs() is None:
                pytest.skip("PostgreSQL is not installed")
            server = stack.enter_context(postgres.Postgres(tmp_path_factory.mktemp("postgres")))
            engine = create_engine(server.config["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
        Base.metadata.create_all(engine)
        yield engine
        engine.dispose()


@pytest.fixture
def session(database: Any) -> Iterator[Session]:
    with Session(database) as session:
        add(
            session,
            DAG_RUN,
            id=1,
            dag_id="d",
            run_id="r",
            run_type="manual",
            state="running",
            log_template_id=None,
            run_after=datetime(2026, 11, 25, tzinfo=UTC),
        )
        yield session
        session.rollback()


def add(session: Session, table: Table, **values: Any) -> None:
    session.execute(insert(table).values(**values))


def task(session: Session, name: str, state: str | None = "running", index: int = -1) -> None:
    ids = {"dag_id": "d", "run_id": "r", "task_id": name, "map_index": index}
    add(session, TASK, **ids, state=state, try_number=3, pool="p")


def xcom(session: Session, name: str, value: Any, index: int = -1, key: str = XCOM_RUN) -> None:
    ids = {"dag_run_id": 1, "dag_id": "d", "run_id": "r", "task_id": name, "map_index": index}
    add(session, XCOM, **ids, key=key, value=value)


@pytest.mark.parametrize("link", [XCOM_CONSOLE_LINK, XCOM_JOB_CONSOLE_LINK])
def test_a_task_with_its_snapshot_and_its_link(session: Session, link: str) -> None:
    task(session, "t", "deferred")
    xcom(session, "t", GOOD)
    xcom(session, "t", json.dumps("https://console/7"), key=link)
    view = task_view(session, "d", "r", "t", -1)
    assert view is not None
    assert view.snapshot is not None
    assert view.snapshot.instance_id == 36508287844
    assert (view.state, view.console_url, view.is_unreadable) == ("deferred", "https://console/7", False)
    assert view.try_number == 3


def test_neither_a_task_nor_a_run_that_is_not_there(session: Session) -> None:
    assert task_view(session, "d", "r", "t", -1) is None
    assert dag_run_views(session, "d", "other") is None
    assert dag_run_views(session, "d", "r") == ([], 0, False)


@pytest.mark.parametrize(
    ("value", "is_unreadable"),
    [("{", True), ({"version": 1}, True), (None, True), (GOOD + " " * 200_000, True), (json.loads(GOOD), False)],
    ids=["text", "object", "null", "too long", "indented by an editor"],
)  # fmt: skip
def test_what_someone_edited(session: Session, value: Any, is_unreadable: bool) -> None:
    task(session, "t")
    xcom(session, "t", value)
    view = task_view(session, "d", "r", "t", -1)
    assert view is not None
    assert view.is_unreadable is is_unreadable
    assert (view.snapshot is None) is is_unreadable


@pytest.mark.parametrize(
    "text", ["[" * 3_000 + "]" * 3_000, "{", "NaN"], ids=["deep", "no JSON", "no number"]
)
def test_what_no_parser_takes(session: Session, text: str) -> None:
    if text[0] != "[" and session.get_bind().dialect.name == "postgresql":
        pytest.skip("PostgreSQL takes JSON only")
    task(session, "t")
    xcom(session, "t", "replaced")
    xcom(session, "t", "replaced", key=XCOM_CONSOLE_LINK)
    session.execute(update(XCOM).values(value=literal_column(f"'{text}'")))
    view = task_view(session, "d", "r", "t", -1)
    assert view is not None
    assert (view.is_unreadable, view.console_url) == (True, None)
    found = dag_run_views(session, "d", "r")
    assert found is not None
    assert [view.is_unreadable for view in found[0]] == [True]


def test_a_dag_run_has_those_of_its_tasks_that_have_something(session: Session) -> None:
    task(session, "bare")
    task(session, "spoilt", None)
    xcom(session, "spoilt", [])
    for index in range(MAX_RUNS + 5):
        task(session, "mapped", "success", index)
        xcom(session, "mapped", GOOD, index)
    found = dag_run_views(session, "d", "r")
    assert found is not None
    views, total, is_over = found
    assert (len(views), total, is_over) == (MAX_RUNS, MAX_RUNS + 6, False)
    assert [view.label for view in views] == [
        "spoilt",
        *(f"mapped [{index}]" for index in range(MAX_RUNS - 1)),
    ]
    assert all(view.snapshot and view.try_number == 3 for view in views[1:])


def test_what_people_look_for_is_among_those_that_are_shown(session: Session) -> None:
    states = ("upstream_failed", "running", "up_for_retry", "skipped", "failed", "deferred", "queued", None)
    for index in range(MAX_RUNS):
        task(session, "a", "success", index)
        xcom(session, "a", GOOD, index)
    for index, state in enumerate(states):
        task(session, "b", state, index)
        xcom(session, "b", GOOD, index)
    found = dag_run_views(session, "d", "r")
    assert found is not None
    assert [view.state for view in found[0]][:9] == [
        *("upstream_failed", "up_for_retry", "failed"),  # something went wrong
        *("running", "skipped", "deferred", "queued", None),
        "success",
    ]


def test_no_more_is_read_than_is_shown_and_what_failed_always_is(session: Session, database: Any) -> None:
    for index in range(MAX_RUNS + 5):
        task(session, "mapped", "success" if index < MAX_RUNS + 4 else "failed", index)
        xcom(session, "mapped", GOOD, index)
    asked: list[str] = []

    def note(*arguments: Any) -> None:
        asked.append(str(arguments[2]))

    event.listen(database, "before_cursor_execute", note)
    try:
        found = dag_run_views(session, "d", "r")
    finally:
        event.remove(database, "before_cursor_execute", note)
    assert found is not None
    assert (found[0][0].map_index, found[0][0].state) == (MAX_RUNS + 4, "failed")
    values = [statement for statement in asked if "xcom.value" in statement]
    assert values
    assert all("LIMIT" in statement for statement in values)


URL = 'https://console/?name="a"&x=1'


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (URL, URL),
        (json.dumps(URL), URL),
        (json.dumps("https://例"), "https://例"),
        ('"https://console', None),
        (json.dumps(json.dumps(URL)), json.dumps(URL)),
        ({"a": 1}, None),
        (None, None),
    ],
    ids=str,
)
def test_a_link_is_stored_as_a_text_or_as_its_json(stored: object, expected: str | None) -> None:
    assert link_of(stored) == expected
