"""The page's script in a real browser, without Airflow: when it renews the page, by a clock that jumps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_schedulerx import run_page
from airflow_provider_schedulerx.run_page import content

HOST = "http://airflow.test"
SCRIPT = Path(run_page.__file__).with_name("static") / "run.js"
#: Lets a test hide the page, as another tab does.
HIDE = "Object.defineProperty(document, 'hidden', { get: () => window.isHidden === true })"


class Shown:
    """A page that is open.

    :ivar looks: how often its script has asked for its part.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.looks = 0
        self.is_active = True
        page.clock.install()
        page.add_init_script(HIDE)
        page.route(f"{HOST}/**", self._answer)
        page.goto(f"{HOST}/page")

    def _part(self) -> str:
        return f'<main id="run" data-active="{int(self.is_active)}">look {self.looks}</main>'

    def _answer(self, route: Any) -> None:
        url = route.request.url
        if url.endswith("/run.js"):
            route.fulfill(path=SCRIPT, content_type="text/javascript")
        elif "/static/" in url:
            route.fulfill(body="", content_type="text/css")
        elif url.endswith("?part=1"):
            self.looks += 1
            route.fulfill(body=self._part(), content_type="text/html")
        else:
            route.fulfill(body=content.page(self._part(), ""), content_type="text/html")

    def pass_time(self, seconds: float) -> None:
        self.page.clock.run_for(int(seconds * 1000))

    def wait_for_look(self, number: int) -> None:
        """Wait until an answer is shown. What comes by the network does not come by the clock."""
        self.page.wait_for_function(f"document.getElementById('run').textContent === 'look {number}'")


@pytest.fixture
def shown(chromium: Any) -> Any:
    page = chromium.new_page()
    yield Shown(page)
    page.close()


def test_the_page_renews_itself_every_two_to_three_seconds(shown: Shown) -> None:
    for number in range(1, 11):
        shown.pass_time(2)
        assert shown.looks == number - 1
        shown.pass_time(1)
        shown.wait_for_look(number)


def test_a_page_that_nobody_sees_asks_for_nothing(shown: Shown) -> None:
    shown.page.evaluate("window.isHidden = true")
    for _ in range(60):
        shown.pass_time(1)
    assert shown.looks == 0
    shown.page.evaluate("window.isHidden = false; document.dispatchEvent(new Event('visibilitychange'))")
    shown.wait_for_look(1)


def test_a_run_that_is_over_is_not_asked_for_again_until_the_page_is_opened_or_seen_again(
    shown: Shown,
) -> None:
    shown.is_active = False
    shown.pass_time(3)
    shown.wait_for_look(1)
    for _ in range(60):
        shown.pass_time(1)
    assert shown.looks == 1
    # It may have been cleared meanwhile.
    shown.is_active = True
    shown.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    shown.wait_for_look(2)
    shown.pass_time(3)
    shown.wait_for_look(3)
