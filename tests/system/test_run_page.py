"""The run, drawn in Airflow: what people see, in a real browser, below a prefix.

``make pictures`` makes the screenshots of the documentation anew.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.run_page import XCOM_RUN
from airflow_provider_schedulerx.run_page.paths import task_path
from dev.harness.rest import AIRFLOW
from dev.harness.stack import AirflowStack
from dev.harness.waiting import wait_for
from tests.conftest import ROOT

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(AIRFLOW < (3, 1), reason="plugins have tabs from Airflow 3.1 on"),
]

PREFIX = "/airflow"
OVER = ("success", "failed")


def workflow(number: int, name: str, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": number, "name": name, "namespace": "demo", "group": "etl", "max_concurrency": 50, "nodes": nodes,
    }  # fmt: skip


def partition(number: int) -> str:
    """Name of one of many nodes."""
    return "第一分区" if number == 0 else f"partition {number}"


EVIL = "<img src=x onerror=alert(1)><b onmouseover=alert(1)>bold</b>"
WORKFLOWS = {
    "accounts": [{"access_key_id": "emulator", "access_key_secret": "emulator-secret"}],
    "namespaces": [{"id": "demo", "groups": ["etl"]}],
    "workflows": [
        workflow(
            101,
            "nightly-etl",
            [
                {"name": "extract", "duration": 8, "result": "extracted 1200 rows"},
                {
                    "name": "transform",
                    "after": "extract",
                    "duration": 20,
                    "result": "1188 rows kept",
                },
                {"name": "check", "after": "extract", "duration": 6, "result": "signed with emulator-secret"},
                {
                    "name": "load",
                    "after": ["transform", "check"],
                    "duration": 5,
                    "result": "1188 rows loaded",
                },
            ],
        ),
        workflow(
            102,
            "broken-report",
            [
                {"name": "collect", "duration": 2, "result": "ok"},
                {
                    "name": "render",
                    "after": "collect",
                    "duration": 2,
                    "outcome": "failed",
                    "result": "disk full: /data/report.pdf",
                },
                {"name": "mail", "after": "render", "duration": 1},
            ],
        ),
        workflow(103, "long-haul", [{"name": "haul", "duration": 600}, {"name": "unload", "after": "haul"}]),
        workflow(
            104,
            "large",
            [
                {
                    "name": partition(n),
                    "duration": 1,
                    "result": EVIL if n == 298 else "disk full" if n == 299 else f"{n * 37} rows",
                    **({"after": partition(n - 20)} if n >= 20 else {}),
                    **({"outcome": "failed"} if n == 299 else {}),
                }
                for n in range(300)
            ],
        ),
        workflow(
            105, "quick", [{"name": "one", "duration": 2}, {"name": "two", "after": "one", "duration": 1}]
        ),
        workflow(
            106, "relay", [{"name": "one", "duration": 20}, {"name": "two", "after": "one", "duration": 900}]
        ),
        workflow(
            107,
            "chain",
            [
                {"name": f"link {n}", "duration": 3, **({"after": f"link {n - 1}"} if n else {})}
                for n in range(15)
            ],
        ),
    ],
    "jobs": [
        {
            "id": 301,
            "name": "nightly-report",
            "namespace": "demo",
            "group": "etl",
            "duration": 6,
            "result": "4 pages",
        }
    ],
}


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    file = tmp_path_factory.mktemp("emulator") / "workflows.yaml"
    file.write_text(yaml.safe_dump(WORKFLOWS, allow_unicode=True))
    with EmulatorProcess("--workflows", str(file), "--quota", "1000000") as emulator:
        yield emulator


@pytest.fixture(scope="module")
def airflow(emulator: EmulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    config = {
        "AIRFLOW__API__WORKERS": "2",
        # On a busy machine, the first task would otherwise fail to start, as the API server is still slow.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        # Past which snapshots are stored; the retry of a task clears them through it.
        "AIRFLOW__CORE__XCOM_BACKEND": "tests.run_page.strict_backend.StrictBackend",
    }
    connections = {"schedulerx_default": emulator.connection()}
    home = tmp_path_factory.mktemp("airflow")
    with AirflowStack(
        home, ROOT / "tests" / "system" / "run_page_dags", connections, config, prefix=PREFIX
    ) as stack:
        yield stack


@pytest.fixture
def page(chromium: Any, airflow: AirflowStack) -> Iterator[Any]:
    """A page whose scripts must raise nothing, and whose frames must not break the policy."""
    context = chromium.new_context(viewport={"width": 1440, "height": 950})
    context.set_default_timeout(30_000)
    # Below a prefix, the login of Airflow 3.1 forgets which page was asked for.
    token = airflow._authorization.removeprefix("Bearer ")
    context.add_cookies([{"name": "_token", "value": token, "url": airflow.url}])
    page = context.new_page()
    problems: list[str] = []
    # Airflow's own UI has some, too: it gives up requests when another page is opened.
    page.on(
        "pageerror", lambda error: problems.append(str(error)) if "/schedulerx/" in str(error.stack) else None
    )
    page.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))
    page.on(
        "console",
        lambda message: problems.append(message.text) if "Content Security Policy" in message.text else None,
    )
    yield page
    context.close()
    assert problems == []


@pytest.fixture(scope="module")
def runs(airflow: AirflowStack) -> dict[str, str]:
    """DAG runs that go on while the first of them are looked at."""
    names = ("page_failed", "page_mapped", "page_long", "page_long_deferred", "page_large", "page_job")
    return {name: airflow.trigger(name) for name in names}


class Run:
    """A task's run, in Airflow's UI."""

    def __init__(
        self, airflow: AirflowStack, dag_id: str, run_id: str, task_id: str, index: int = -1
    ) -> None:
        self.airflow, self.dag_id, self.run_id, self.task_id, self.index = (
            airflow,
            dag_id,
            run_id,
            task_id,
            index,
        )

    @property
    def of_airflow(self) -> str:
        mapped = "" if self.index < 0 else f"/mapped/{self.index}"
        return f"{self.airflow.url}/dags/{self.dag_id}/runs/{self.run_id}/tasks/{self.task_id}{mapped}"

    @property
    def of_ours(self) -> str:
        path = task_path(self.dag_id, self.task_id, self.index, self.run_id)
        return f"{self.airflow.url}/schedulerx{path}"

    def stored(self) -> Any:
        index = "" if self.index < 0 else f"&map_index={self.index}"
        path = (
            f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{self.task_id}/xcomEntries/{XCOM_RUN}"
        )
        try:
            value = self.airflow.api("GET", f"{path}?deserialize=true{index}")["value"]
        except urllib.error.HTTPError:
            return None
        return json.loads(value) if isinstance(value, str) else value

    def open_tab(self, page: Any) -> Any:
        page.goto(self.of_airflow)
        page.get_by_role("link", name="SchedulerX run", exact=True).click()
        frame = page.frame_locator("iframe")
        frame.locator("#run").wait_for()
        return frame


def states(frame: Any) -> dict[str, str]:
    """Names of the drawn nodes -> their state, as text."""
    found = frame.locator("svg.dag g").evaluate_all(
        "all => all.map(g => [g.querySelector('.name').textContent, g.querySelector('.state-text').textContent])"
    )
    return dict(found)


@pytest.mark.parametrize("dag_id", ["page_sync", "page_deferred"])
def test_a_run_is_drawn_from_its_first_node_to_its_end(
    page: Any, airflow: AirflowStack, dag_id: str, shoot: Callable[..., None]
) -> None:
    run = Run(airflow, dag_id, airflow.trigger(dag_id), "etl")
    wait_for("a snapshot", run.stored, 60)
    frame = run.open_tab(page)
    frame.locator("svg").get_by_text("extract", exact=True).wait_for()
    seen: list[dict[str, str]] = []

    def is_over() -> bool:
        now = states(frame)
        if not seen or seen[-1] != now:
            seen.append(now)
        return set(seen[-1].values()) == {"SUCCESS"}

    assert states(frame)["load"] == "WAITING"
    wait_for("transform runs", lambda: states(frame)["transform"] == "RUNNING" or is_over(), 60, 0.2)
    shoot(page, f"run-{dag_id.removeprefix('page_')}")
    wait_for("the end", is_over, 120, 0.2)
    # How many pictures there were says how busy the machine was.
    assert len(seen) >= 2, "it renews itself without a reload"
    wait_for("its task is over", lambda: airflow.task(dag_id, run.run_id, "etl")["state"] in OVER, 60)
    assert airflow.task(dag_id, run.run_id, "etl")["state"] == "success"
    wait_for("the picture is final", lambda: frame.locator("main[data-active='0']").count(), 30)
    assert frame.locator("h1 .state").inner_text() == "SUCCESS"
    assert re.search(r"Seen \d+ s ago, nodes \d+ s ago", frame.locator(".note").first.inner_text())
    row = frame.get_by_role("row", name=re.compile("transform"))
    assert "20 s" in row.inner_text()
    assert "signed with ***" in frame.get_by_role("row", name=re.compile("check")).inner_text()
    stored = json.dumps(run.stored())
    assert "emulator-secret" not in stored
    assert "127.0.0.1" not in stored
    assert frame.get_by_text("Open in the console").is_hidden(), "the frame opens no windows"


def test_the_extra_link_leads_to_the_same_page(
    page: Any, airflow: AirflowStack, runs: dict[str, str]
) -> None:
    run = Run(airflow, "page_failed", runs["page_failed"], "report")
    assert airflow.wait_for_run("page_failed", run.run_id) == "failed"
    links = airflow.links("page_failed", run.run_id, "report")
    assert links["SchedulerX run"] == run.of_ours
    page.goto(run.of_airflow)
    page.get_by_role("link", name="Details", exact=True).click()
    link = page.locator("a[href*='/schedulerx/run/']")
    if link.get_attribute("target") == "_blank":
        with page.context.expect_page() as opened:
            link.click()
        page = opened.value
    else:
        link.click()
    page.locator("svg.dag").wait_for()
    assert page.url == run.of_ours
    console = page.get_by_role("link", name="Open in the console")
    assert console.get_attribute("href") == links["SchedulerX workflow instance"]
    page.get_by_role("link", name="Back to Airflow").click()
    page.get_by_role("link", name="SchedulerX run", exact=True).first.wait_for()
    assert urllib.parse.unquote(page.url) == run.of_airflow


def test_a_failed_run_shows_its_failed_nodes_first(
    page: Any, airflow: AirflowStack, runs: dict[str, str], shoot: Callable[..., None]
) -> None:
    run = Run(airflow, "page_failed", runs["page_failed"], "report")
    airflow.wait_for_run("page_failed", run.run_id)
    frame = run.open_tab(page)
    frame.locator("h1 .state", has_text="FAILED").wait_for()
    first = frame.locator("tbody tr").first
    assert "render" in first.inner_text()
    assert "disk full: /data/report.pdf" in first.inner_text()
    assert states(frame)["render"] == "FAILED"
    shoot(page, "run-failed")


@pytest.mark.parametrize("dag_id", ["page_long", "page_long_deferred"])
def test_a_killed_task_is_never_shown_as_running(
    page: Any, airflow: AirflowStack, runs: dict[str, str], dag_id: str, shoot: Callable[..., None]
) -> None:
    run = Run(airflow, dag_id, runs[dag_id], "haul")
    wait_for("nodes are seen", lambda: (run.stored() or {}).get("nodes"), 60)
    frame = run.open_tab(page)
    wait_for("it runs", lambda: states(frame).get("haul") == "RUNNING", 30)
    if dag_id == "page_long_deferred":
        # Its trigger has to have taken the task up, or no code of ours runs.
        wait_for("deferred", lambda: airflow.task(dag_id, run.run_id, "haul")["state"] == "deferred", 30)
    airflow.set_task_state(dag_id, run.run_id, "haul", "failed")
    wait_for("not running any more", lambda: states(frame).get("haul") != "RUNNING", 30, 0.2)
    assert states(frame)["haul"] in ("was RUNNING", "FAILED")
    assert frame.locator(".is-RUNNING").count() == 0
    if states(frame)["haul"] == "was RUNNING":
        assert frame.get_by_text("Nobody follows this run").is_visible()
    shoot(page, "run-killed")


def test_a_cleared_task_starts_with_an_empty_page_and_draws_its_new_run(
    page: Any, airflow: AirflowStack
) -> None:
    run = Run(airflow, "page_deferred", airflow.trigger("page_deferred"), "etl")
    assert airflow.wait_for_run("page_deferred", run.run_id) == "success"
    first = run.stored()["instance_id"]
    frame = run.open_tab(page)
    assert str(first) in frame.locator("h1").inner_text()
    assert frame.locator("#run .warning").count() == 0, "though it was deferred, this is its latest try"
    airflow.clear_task("page_deferred", run.run_id, "etl")
    wait_for("another run", lambda: (run.stored() or {}).get("instance_id", first) != first, 60)
    second = run.stored()["instance_id"]
    frame = run.open_tab(page)
    frame.locator("h1", has_text=str(second)).wait_for()
    assert str(first) not in frame.locator("#run").inner_text()
    assert "earlier try" not in frame.locator("#run").inner_text()


def test_each_mapped_task_has_its_own_run_and_the_dag_run_has_all(
    page: Any, airflow: AirflowStack, runs: dict[str, str], shoot: Callable[..., None]
) -> None:
    dag_id = "page_mapped"
    assert airflow.wait_for_run(dag_id, runs[dag_id]) == "success"
    ids = [Run(airflow, dag_id, runs[dag_id], "load", index).stored()["instance_id"] for index in range(3)]
    assert len(set(ids)) == 3
    frame = Run(airflow, dag_id, runs[dag_id], "load", 1).open_tab(page)
    assert str(ids[1]) in frame.locator("h1").inner_text()
    # Many runs are polled with one list, which tells no nodes; those come from what the quota has to spare.
    assert states(frame).keys() == {"one", "two"}
    assert set(states(frame).values()) <= {"SUCCESS", "was RUNNING", "was WAITING"}

    page.goto(f"{airflow.url}/dags/{dag_id}/runs/{runs[dag_id]}")
    page.get_by_role("link", name="SchedulerX runs", exact=True).click()
    frame = page.frame_locator("iframe")
    frame.locator("svg.dag").nth(2).wait_for()
    rows = frame.locator("table").first.locator("tbody tr").all_inner_texts()
    assert [str(each) in row for each, row in zip(ids, rows, strict=True)] == [True] * 3
    shoot(page, "run-dag-run")
    frame.get_by_role("link", name="load [2]").click()
    frame.locator("h1", has_text=str(ids[2])).wait_for()


@pytest.mark.parametrize("task_id", ["waiting", "deferred"])
def test_a_run_of_a_job_has_a_state_times_and_a_result(
    page: Any, airflow: AirflowStack, runs: dict[str, str], task_id: str, shoot: Callable[..., None]
) -> None:
    run = Run(airflow, "page_job", runs["page_job"], task_id)
    assert airflow.wait_for_run("page_job", run.run_id) == "success"
    frame = run.open_tab(page)
    title = f"Job 301, instance {run.stored()['instance_id']} SUCCESS"
    assert frame.locator("h1").inner_text() == title
    assert re.search(r"Seen .* ago\. Start .*\. End .*\. Took \d+ s\.", frame.locator(".note").inner_text())
    assert "nightly-report (job 301)" in frame.locator("tbody").inner_text()
    assert "4 pages" in frame.locator("tbody").inner_text()
    assert frame.locator("svg.dag").count() == 0
    shoot(page, "run-job")
    page.goto(run.of_ours)
    console = page.get_by_role("link", name="Open in the console").get_attribute("href")
    assert console == airflow.links("page_job", run.run_id, task_id)["SchedulerX job instance"]


def test_another_operators_task_gets_a_quiet_sentence(page: Any, airflow: AirflowStack) -> None:
    run_id = airflow.trigger("page_sync")
    wait_for(
        "it is over", lambda: airflow.task_instances("page_sync", run_id).get(("other", -1)) == "success", 60
    )
    frame = Run(airflow, "page_sync", run_id, "other").open_tab(page)
    assert frame.locator("#run").inner_text() == "This task has no SchedulerX run."
    assert frame.locator("#run .warning").count() == 0


def test_three_hundred_nodes_scroll_and_zoom(
    page: Any, airflow: AirflowStack, runs: dict[str, str], shoot: Callable[..., None]
) -> None:
    run = Run(airflow, "page_large", runs["page_large"], "large")
    wait_for("nodes are seen", lambda: (run.stored() or {}).get("nodes"), 60)
    frame = run.open_tab(page)
    wait_for("drawn", lambda: frame.locator("svg.dag g.node").count() == 300, 30)
    wait_for("it is over", lambda: frame.locator("main[data-active='0']").count(), 60)
    assert EVIL in frame.locator("tbody tr").last.inner_text(), "text stays text"
    frame = run.open_tab(page)
    box = frame.locator(".drawing")
    frame.locator(".zoom").wait_for()
    shoot(page, "run-large")
    place = "each => { const { left, right } = each.getBoundingClientRect(); return [left, right]; }"
    (left, right), (first, last) = frame.locator("g.is-FAILED").evaluate(place), box.evaluate(place)
    assert first <= left < right <= last, "it opens at what failed"
    width = "each => each.getBoundingClientRect().width"
    inner, outer = frame.locator("svg.dag").evaluate(width), box.evaluate(width)
    assert inner > outer, "it scrolls"
    assert frame.locator("html").evaluate("each => each.scrollWidth <= each.clientWidth"), "the page does not"
    frame.get_by_role("button", name="Zoom out").click()
    assert frame.locator("svg.dag").evaluate(width) < inner
    frame.get_by_role("button", name="Fit").click()
    assert frame.locator("svg.dag").evaluate(width) <= outer + 1
    frame.get_by_role("button", name="Zoom in").click()
    box.evaluate("each => { each.scrollLeft = 40 }")
    zoomed = frame.locator("svg.dag").evaluate(width)
    page.wait_for_timeout(6_000)
    assert box.evaluate("each => each.scrollLeft") == 40, "a renewal moves nothing"
    assert frame.locator("svg.dag").evaluate(width) == zoomed


def test_dark_as_airflow_is(
    page: Any, airflow: AirflowStack, runs: dict[str, str], shoot: Callable[..., None]
) -> None:
    run = Run(airflow, "page_failed", runs["page_failed"], "report")
    airflow.wait_for_run("page_failed", run.run_id)
    page.add_init_script("localStorage.setItem('theme', 'dark')")
    frame = run.open_tab(page)
    frame.locator("svg.dag").wait_for()
    colour = "() => getComputedStyle(document.body).backgroundColor"
    assert frame.locator("html").get_attribute("data-theme") == "dark"
    assert frame.locator("html").evaluate(colour) == "rgb(17, 24, 39)"
    shoot(page, "run-dark")
    page.evaluate("document.documentElement.classList.replace('dark', 'light')")
    wait_for("light", lambda: frame.locator("html").get_attribute("data-theme") == "light", 10)
    page.goto(run.of_ours)
    assert page.locator("html").get_attribute("data-theme") == "dark", "by the extra link as well"


def test_a_phone_shows_it_without_scrolling_aside(
    page: Any, airflow: AirflowStack, shoot: Callable[..., None]
) -> None:
    run = Run(airflow, "page_sync", airflow.trigger("page_sync"), "etl")
    wait_for("a snapshot", run.stored, 60)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(run.of_ours)
    page.locator("svg.dag").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    heights = "all => Math.min(...all.map(each => each.getBoundingClientRect().height))"
    assert page.locator("svg.dag text").evaluate_all(heights) >= 9
    shoot(page, "run-phone")


# Over HTTP.


def get(airflow: AirflowStack, url: str) -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Authorization": airflow._authorization})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


SNAPSHOT = {
    "version": 1, "kind": "workflow", "definition_id": 101, "instance_id": 7, "status": 3, "observed_at": 1.0, "nodes_observed_at": 1.0,
    "nodes_total": 1, "edges": [], "nodes": [{"job": 1, "status": 3, "name": "<script>alert(1)</script>"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (SNAPSHOT, "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ({**SNAPSHOT, "nodes": 7}, "not a snapshot"),
        ({**SNAPSHOT, "status": {"$ref": "#"}}, "not a snapshot"),
        ({**SNAPSHOT, "edges": [[0, 5]]}, "not a snapshot"),
        ({**SNAPSHOT, "nodes": [{**SNAPSHOT["nodes"][0], "result": "x" * 5_000_000}]}, "not a snapshot"),  # type: ignore[index]
        ("<script>alert(1)</script>", "not a snapshot"),
        ([], "not a snapshot"),
        (None, "not a snapshot"),
    ],
    ids=["script", "nodes", "status", "edges", "5 MB", "text", "list", "null"],
)
def test_an_edited_snapshot_is_no_more_than_text(
    airflow: AirflowStack, runs: dict[str, str], value: Any, expected: str
) -> None:
    run = Run(airflow, "page_failed", runs["page_failed"], "report")
    airflow.wait_for_run("page_failed", run.run_id)
    with changed_xcom(airflow, run, XCOM_RUN, value):
        for url in (run.of_ours, f"{airflow.url}/schedulerx/dagrun/page_failed/{run.run_id}"):
            status, text = get(airflow, url)
            assert status == 200
            assert "<script>alert" not in text
            assert "Traceback" not in text
            assert len(text) < 100_000
            assert expected in text or "unreadable" in text
    # Nor was there one in a process that hid it.
    assert "run_page/" not in (airflow.home / "api-server.log").read_text()


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "data:text/html,x", "http://", "https://[", '"><script>', {"a": 1}],
    ids=str,
)
def test_an_edited_link_is_none(airflow: AirflowStack, runs: dict[str, str], url: Any) -> None:
    run = Run(airflow, "page_failed", runs["page_failed"], "report")
    airflow.wait_for_run("page_failed", run.run_id)
    assert "Open in the console" in get(airflow, run.of_ours)[1]
    with changed_xcom(airflow, run, "_link_WorkflowInstanceLink", url):
        status, text = get(airflow, run.of_ours)
    assert status == 200
    assert "Open in the console" not in text


class changed_xcom:
    """Store a value as whoever may edit XComs can; afterwards, the one from before."""

    def __init__(self, airflow: AirflowStack, run: Run, key: str, value: Any) -> None:
        self.file = airflow.home / "airflow.db"
        self.where = (run.dag_id, run.run_id, run.task_id, key)
        self.value = value

    def _set(self, text: str) -> str:
        with sqlite3.connect(self.file, timeout=30) as database:
            where = "dag_id = ? AND run_id = ? AND task_id = ? AND key = ?"
            (before,) = database.execute(f"SELECT value FROM xcom WHERE {where}", self.where).fetchone()
            database.execute(f"UPDATE xcom SET value = ? WHERE {where}", (text, *self.where))
        return str(before)

    def __enter__(self) -> None:
        self.before = self._set(json.dumps(self.value))

    def __exit__(self, *exception: object) -> None:
        self._set(self.before)


def test_a_thousand_views_are_no_call_of_the_service(
    airflow: AirflowStack, emulator: EmulatorProcess, runs: dict[str, str]
) -> None:
    for dag_id in ("page_failed", "page_mapped"):
        airflow.wait_for_run(dag_id, runs[dag_id])
    for dag_id in ("page_long", "page_long_deferred"):
        if airflow.task(dag_id, runs[dag_id], "haul")["state"] != "failed":
            airflow.set_task_state(dag_id, runs[dag_id], "haul", "failed")
    run = Run(airflow, "page_failed", runs["page_failed"], "report")
    before = wait_for("nothing calls any more", lambda: settled_calls(emulator), 60)
    for number in range(1_000):
        status, _ = get(airflow, f"{run.of_ours}{'?part=1' if number % 10 else ''}")
        assert status == 200
    assert emulator.counters() == before


def settled_calls(emulator: EmulatorProcess) -> dict[str, Any] | None:
    """The counters of the service, if they do not rise any more."""
    before = emulator.counters()
    time.sleep(3)
    return before if emulator.counters() == before else None


def test_deferred_runs_among_many_are_drawn_while_they_run(
    page: Any, airflow: AirflowStack, emulator: EmulatorProcess, shoot: Callable[..., None]
) -> None:
    """Many runs are polled with one list, which shows no nodes; those come from what the quota has to spare."""
    emulator.set_profile("documented,list_length=300")
    run_id = airflow.trigger("page_many")
    runs = [Run(airflow, "page_many", run_id, "relay", index) for index in range(30)]

    def is_drawn(run: Run) -> bool:
        snapshot = run.stored() or {}
        # When it deferred, the first node was running.
        nodes = {node["name"]: node["status"] for node in snapshot.get("nodes", ())}
        return snapshot.get("status") == 3 and nodes == {"one": 4, "two": 3}

    wait_for("each has its nodes", lambda: all(is_drawn(run) for run in runs), 360, 5)
    # One tab more than other tasks have, and none of their names is to wrap.
    page.set_viewport_size({"width": 1680, "height": 950})
    frame = runs[29].open_tab(page)
    assert states(frame) == {"one": "SUCCESS", "two": "RUNNING"}
    assert frame.locator("h1 .state").inner_text() == "RUNNING"
    shoot(page, "run-mapped")
