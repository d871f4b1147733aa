"""The page's HTML: what it says, and that nothing stored can be more than text."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from airflow_provider_schedulerx.api.models import Edge
from airflow_provider_schedulerx.run_page.content import dag_run_part, page, refusal, task_part
from airflow_provider_schedulerx.run_page.snapshot import Snapshot
from airflow_provider_schedulerx.run_page.spoken import duration
from airflow_provider_schedulerx.run_page.view import OVER, TaskView
from tests.run_page.test_snapshot import NOW, a_job, a_node, an_instance, unmasked

RUN = Snapshot.of(
    an_instance(
        a_node(1, 4, start_time="2026-11-25 05:41:38", end_time="2026-11-25 05:42:00", result="1200 rows"),
        a_node(2, 5, attempt=2, result="disk full"),
        a_node(3, 3),
        edges=(Edge(0, 1), Edge(1, 2), Edge(1, 3)),
    ),
    NOW,
    mask=unmasked,
)
RUNNING = TaskView("d", "r/1", "etl", -1, "deferred", RUN)


class Page(HTMLParser):
    """Which elements and attributes there are, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(view: TaskView, after: float = 4.0) -> str:
    return Page(task_part(view, NOW + after)).text


def test_a_run_with_its_nodes_the_failed_ones_first() -> None:
    text = shown(RUNNING)
    assert "Workflow 101, instance 36508287844 RUNNING" in text
    assert "Seen 4 s ago, nodes 4 s ago." in text
    text = text[text.index("Result") :]
    assert text.index("node 2 (job 2)") < text.index("node 1 (job 1)") < text.index("node 3 (job 3)")
    assert "22 s" in text
    assert "2 retries" in shown(RUNNING)
    assert "disk full" in text
    assert 'data-active="1"' in task_part(RUNNING, NOW)


@pytest.mark.parametrize(
    "state", ["failed", "success", "skipped", "up_for_retry", "queued", "scheduled", None]
)
def test_a_run_that_nobody_follows_is_never_shown_as_running(state: str | None) -> None:
    part = task_part(replace(RUNNING, state=state), NOW)
    text = Page(part).text
    assert "was RUNNING" in text
    assert "is-RUNNING" not in part
    assert ("Nobody follows this run" if state else "of an earlier try") in text
    assert f'data-active="{int(state not in OVER)}"' in part


def test_one_that_has_ended_is_as_it_ended_whatever_the_task_is() -> None:
    ended = replace(RUN, status=type(RUN.status)(5))
    text = shown(replace(RUNNING, state="failed", snapshot=ended))
    assert "Nobody follows" not in text
    assert "instance 36508287844 FAILED" in text
    assert "was RUNNING" not in text, "its nodes were seen when it had ended"
    earlier = replace(RUNNING, snapshot=replace(ended, nodes_observed_at=NOW - 30))
    assert "was RUNNING" in shown(earlier)
    assert "The run has ended since its nodes were seen." in shown(earlier)


@pytest.mark.parametrize(
    ("state", "task_try", "is_earlier"),
    [(None, 1, True), ("scheduled", 2, True), ("running", 2, True), ("failed", 2, True),
     ("queued", 1, False), ("running", 1, False), ("success", 1, False)],
)  # fmt: skip
@pytest.mark.parametrize("status", [3, 4])
def test_the_run_of_an_earlier_try_is_not_shown_as_that_of_the_new_one(
    state: str | None, task_try: int, is_earlier: bool, status: int
) -> None:
    """A cleared task keeps what is stored until it starts again, and a trigger's last write may come after that."""
    snapshot = replace(RUN, status=type(RUN.status)(status), try_number=1)
    view = replace(RUNNING, state=state, try_number=task_try, snapshot=snapshot)
    part = task_part(view, NOW)
    assert ("This is the run of an earlier try" in part) is is_earlier
    if is_earlier:
        assert f"was {snapshot.status.name}" in part
        assert f"is-{snapshot.status.name}" not in part.partition("<svg")[0]
        assert "is-RUNNING" not in part
    text = Page(dag_run_part([view], 1, False, NOW, "")).text
    assert (f"was {snapshot.status.name}" in text.partition("Seen 0 s")[0]) is (is_earlier or view.is_stale)


def test_a_snapshot_or_task_without_a_number_of_its_try_is_of_no_earlier_one() -> None:
    for numbers in ((None, 2), (1, None), (None, None)):
        view = replace(RUNNING, try_number=numbers[1], snapshot=replace(RUN, try_number=numbers[0]))
        assert "earlier try" not in shown(view)


def test_a_run_of_a_job_has_a_state_times_and_a_result_but_no_drawing() -> None:
    job = a_job(
        5,
        job_name="nightly",
        result="disk full",
        start_time="2026-11-25 05:41:38",
        end_time="2026-11-25 05:42:00",
    )
    view = replace(RUNNING, state="failed", snapshot=Snapshot.of(job, NOW, mask=unmasked))
    text = shown(view)
    assert "Job 501, instance 77 FAILED" in text
    assert "Seen 4 s ago. Start 2026-11-25 05:41:38. End 2026-11-25 05:42:00. Took 22 s." in text
    assert "nightly (job 501)" in text
    assert "disk full" in text
    part = task_part(view, NOW)
    assert "<svg" not in part
    assert "nodes" not in text.lower()
    killed = replace(view, snapshot=Snapshot.of(a_job(6), NOW, mask=unmasked), map_index=2)
    of_all = Page(dag_run_part([replace(RUNNING, map_index=0), killed], 2, True, NOW, "")).text
    assert of_all.index("etl [2]") < of_all.index("etl [0]"), "every bad end comes first"
    assert "job 501" in of_all
    assert "workflow 101" in of_all


def test_a_job_that_nobody_follows_is_never_shown_as_running() -> None:
    part = task_part(replace(RUNNING, state="failed", snapshot=Snapshot.of(a_job(), NOW, mask=unmasked)), NOW)
    assert "was RUNNING" in part
    assert "is-RUNNING" not in part


def test_a_time_ahead_of_ours_is_not_shown_as_now() -> None:
    """A clock is wrong, or someone edited the snapshot."""
    assert "Seen 0 s ago, nodes 0 s ago." in shown(RUNNING, -4)
    assert "Seen 2 h ahead of this server's clock, nodes 2 h ahead of this server's clock." in shown(
        RUNNING, -7_200
    )
    far = replace(RUNNING, snapshot=replace(RUN, observed_at=1e11, nodes_observed_at=None))
    assert "ahead of this server's clock." in shown(far)


def test_silence_is_said() -> None:
    assert "Nothing was stored" not in shown(RUNNING, 3_599)
    assert "Nothing was stored for 1 h 1 min. The triggerer or worker may be down" in shown(RUNNING, 3_660)
    assert "Nothing was stored" not in shown(replace(RUNNING, state="success"), 7_000)


def test_no_run_is_a_quiet_sentence() -> None:
    assert shown(replace(RUNNING, snapshot=None, state="running")) == "This task has no SchedulerX run yet."
    assert shown(replace(RUNNING, snapshot=None, state="success")) == "This task has no SchedulerX run."


def test_a_task_that_has_a_run_is_not_said_to_have_none() -> None:
    """It did not wait for its run, or nothing could be stored."""
    view = replace(RUNNING, snapshot=None, state="success", console_url="https://console/7")
    assert shown(view).startswith(
        "Nothing is stored of this task's run, for instance because the task did not wait"
    )
    assert [attributes["href"] for tag, attributes in Page(task_part(view, NOW)).elements if tag == "a"] == [
        "https://console/7"
    ]
    assert shown(replace(view, state="running")).startswith("Nothing is stored of this task's run yet.")


def test_what_is_left_out_is_counted() -> None:
    assert "7 more nodes are not shown" in shown(replace(RUNNING, snapshot=replace(RUN, nodes_total=10)))


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "//evil", "http:evil", "ftp://x/y", "https://[",
     "https://x/" + "y" * 3_000, "https://x/\ud800", "https://x/\0", ""],
)  # fmt: skip
def test_only_web_links_become_links(url: str) -> None:
    assert "<a " not in task_part(replace(RUNNING, console_url=url), NOW)


def test_a_web_link_does_and_stays_in_its_attribute() -> None:
    part = task_part(replace(RUNNING, console_url='https://x/?a=1&b="><script>alert(1)</script>'), NOW)
    (link,) = [attributes for tag, attributes in Page(part).elements if tag == "a"]
    assert link["href"] == 'https://x/?a=1&b="><script>alert(1)</script>'
    assert (link["target"], link["rel"]) == ("_blank", "noopener noreferrer")
    assert "<script" not in part


EVIL = "</title></text></svg><script>alert(1)</script><img src=x onerror=alert(1)>\"'"


def test_no_text_is_ever_markup() -> None:
    nodes = tuple(replace(node, name=EVIL, result=EVIL, start_time=EVIL, end_time=EVIL) for node in RUN.nodes)
    run = replace(RUN, nodes=nodes, start_time=EVIL, end_time=EVIL)
    view = TaskView(EVIL, EVIL, EVIL, -1, EVIL, run)
    for part in (
        task_part(view, NOW),
        dag_run_part([view], 1, False, NOW, "/schedulerx"),
        page(refusal(EVIL, EVIL), "/schedulerx", f"/dags/{EVIL}"),
    ):
        elements = Page(part).elements
        assert {tag for tag, _ in elements} & {"img", "iframe"} == set()
        assert [
            attributes for tag, attributes in elements if tag == "script" and not attributes.get("src")
        ] == []
        names = {name for _, attributes in elements for name in attributes}
        assert not [name for name in names if name.startswith("on") or name == "style"]


def test_a_page_has_no_inline_script_or_style_since_the_policy_forbids_them() -> None:
    elements = Page(page(task_part(RUNNING, NOW), "/airflow/schedulerx")).elements
    scripts = [attributes for tag, attributes in elements if tag == "script"]
    assert scripts == [{"src": "/airflow/schedulerx/static/run.js"}]
    assert not [tag for tag, attributes in elements if tag == "style" or "style" in attributes]


def test_a_dag_run_lists_all_its_runs_the_failed_ones_first() -> None:
    failed = replace(RUN, status=type(RUN.status)(5), nodes=(), edges=())
    views = [
        replace(RUNNING, map_index=0),
        replace(RUNNING, map_index=1, snapshot=None, is_unreadable=True),
        replace(RUNNING, map_index=2, snapshot=failed),
    ]
    part = dag_run_part(views, 150, False, NOW, "/airflow/schedulerx")
    text = Page(part).text
    assert "3 of 150 runs are shown." in text
    assert text.index("etl [2]") < text.index("etl [0]")
    assert "unreadable" in text
    links = [attributes["href"] for tag, attributes in Page(part).elements if tag == "a"]
    assert "/airflow/schedulerx/run/d/etl/2/r%2F1" in links
    assert "No SchedulerX run yet." in Page(dag_run_part([], 0, False, NOW, "")).text
    assert "No task of this DAG run has" in Page(dag_run_part([], 0, True, NOW, "")).text


def test_a_dag_run_shows_first_what_people_look_for() -> None:
    """Also among the drawings, of which there are not as many as runs."""
    done, bad = (replace(RUN, status=type(RUN.status)(status)) for status in (4, 5))
    views = [
        replace(RUNNING, map_index=0, state="success", snapshot=done),
        replace(RUNNING, map_index=1, state="skipped", snapshot=bad),
        replace(RUNNING, map_index=2, state="running"),
        replace(RUNNING, map_index=3, state="failed"),
        replace(RUNNING, map_index=4, state="up_for_retry", snapshot=bad),
        replace(RUNNING, map_index=5, state="failed", snapshot=None, is_unreadable=True),
    ]
    text = Page(dag_run_part(views, 6, False, NOW, "")).text
    shown = re.findall(r"etl \[(\d)\]", text)
    assert shown == ["1", "3", "4", "5", "2", "0", "1", "3", "4", "2", "0"], (
        "of the table, then of the drawings"
    )


def test_a_dag_run_draws_no_more_than_a_page_can_hold() -> None:
    large = Snapshot.of(an_instance(*(a_node(number) for number in range(1, 301))), NOW, mask=unmasked)
    views = [replace(RUNNING, map_index=index, snapshot=large) for index in range(20)]
    part = dag_run_part(views, 20, False, NOW, "")
    assert len(re.findall(r"href=\"/run/", part)) == 20
    assert part.count("<svg") == 2
    assert "The other runs are drawn on their own pages." in part
    assert len(part) < 500_000
    one = dag_run_part([replace(RUNNING, snapshot=large)] * 2 + [RUNNING] * 5, 7, False, NOW, "")
    assert one.count("<svg") == 2, "what comes later is not drawn before"
    assert "drawn on their own pages" not in dag_run_part([RUNNING] * 20, 20, False, NOW, "")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-11-25 05:41:38", "2026-11-25 05:41:46", "8 s"),
        ("2026-11-25 05:41:38", "2026-11-25 05:44:43", "3 min 5 s"),
        ("2026-11-25 05:41:38", "2026-11-25 07:41:38", "2 h"),
        ("2026-11-25 05:41:38", "2026-11-28 09:00:00", "3 d 3 h"),
        ("2026-11-25 05:41:38", "2026-11-25 05:41:30", ""),
        ("2026-11-25 05:41:38", None, ""),
        ("2026-11-25 05:41:38", "2026-11-25 05:41:38+08:00", ""),
        ("soon", "later", ""),
    ],
)
def test_durations(start: Any, end: Any, expected: str) -> None:
    assert duration(start, end) == expected
