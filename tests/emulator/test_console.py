"""The emulator's own console, over HTTP; a browser looks at it in test_browser.py."""

from __future__ import annotations

import urllib.error
import urllib.request
import xml.etree.ElementTree as ET

import pytest

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook


def page(emulator: EmulatorProcess, path: str) -> str:
    with urllib.request.urlopen(f"{emulator.endpoint}{path}", timeout=10) as response:
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        text: str = response.read().decode()
        return text


def drawn(text: str) -> ET.Element:
    return ET.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])


def test_a_run_is_drawn_with_its_states(emulator: EmulatorProcess, hook: SchedulerXHook) -> None:
    run = hook.execute_workflow(3, {"text": "<b>&"})
    text = page(emulator, f"/console/3/{run}")
    assert "&lt;b&gt;&amp;" in text
    assert "<b>" not in text
    assert 'http-equiv="refresh"' in text
    svg = drawn(text)
    assert len(svg.findall("g")) == 3
    assert len([path for path in svg.findall("path") if path.get("marker-end")]) == 2
    boxes = {group.findtext("title"): group.find("rect") for group in svg.findall("g")}
    assert set(boxes) == {
        "left (job 301): RUNNING",
        "right (job 302): RUNNING",
        "after (job 303): WAITING",
    }
    tops = {title: float(box.get("y", "")) for title, box in boxes.items() if title and box is not None}
    assert (
        tops["left (job 301): RUNNING"] == tops["right (job 302): RUNNING"] < tops["after (job 303): WAITING"]
    )
    hook.stop_workflow_instance(3, run)
    text = page(emulator, f"/console/3/{run}")
    assert 'http-equiv="refresh"' not in text
    assert text.count(">FAILED</") >= 5, (
        "state in words: the run, two nodes in the table and two in the drawing"
    )
    assert "killed from server" in text


@pytest.mark.parametrize("zone", ["+08:00", "-05:00"])
def test_its_times_are_those_of_the_service(
    emulator: EmulatorProcess, hook: SchedulerXHook, zone: str
) -> None:
    emulator.set_profile(f"time_zone={zone}")
    run = hook.execute_workflow(3)
    started = hook.get_workflow_instance(3, run).start_time
    text = page(emulator, f"/console/3/{run}")
    assert text.count(str(started)) >= 3, "of the run, of its first nodes and of their logs"
    for shown in (text, page(emulator, "/console/")):
        assert f"Times are those of the service: UTC{zone}." in shown


def test_the_index_leads_to_every_run(emulator: EmulatorProcess, hook: SchedulerXHook) -> None:
    run = hook.execute_workflow(1)
    text = page(emulator, "/console/")
    assert f'<a href="/console/1/{run}">{run}</a>' in text
    assert "spans groups (workflow 4)" in text


@pytest.mark.parametrize("path", ["/console/1/1", "/console/x/y", "/console/99/36508287845", "/console/3/-1"])
def test_what_is_not_there_is_not_found(emulator: EmulatorProcess, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        page(emulator, path)
    assert caught.value.code == 404


def test_the_service_is_as_closed_as_before(emulator: EmulatorProcess) -> None:
    for path in ("/", "/consol", "/counters"):
        with pytest.raises(urllib.error.HTTPError):
            page(emulator, path)


def test_a_job_has_its_page_and_is_in_the_index(emulator: EmulatorProcess, hook: SchedulerXHook) -> None:
    run = hook.execute_job(21, {"text": "<b>&"})
    text = page(emulator, f"/console/21/{run}")
    assert f"Job instance {run}" in text
    assert "&lt;b&gt;&amp;" in text
    assert "<svg" not in text, "a job has no DAG"
    assert f'<a href="/console/21/{run}">{run}</a>' in page(emulator, "/console/")
    with pytest.raises(urllib.error.HTTPError):
        page(emulator, f"/console/22/{run}")
