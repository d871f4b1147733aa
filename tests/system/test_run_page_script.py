"""The page's script in a real browser, without Airflow: when it renews the page, by timers that a test fires."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_schedulerx import drawing, run_page
from airflow_provider_schedulerx.run_page import content

HOST = "http://airflow.test"
SCRIPT = Path(run_page.__file__).with_name("static") / "run.js"
#: Lets a test hide the page, as another tab does, and fire its timers.
IN_HAND = """
Object.defineProperty(document, 'hidden', { get: () => window.isHidden === true });
window.timers = [];
window.setTimeout = (call, milliseconds) => { timers.push([call, milliseconds]); return timers.at(-1); };
window.clearTimeout = (timer) => { timers = timers.filter(each => each !== timer); };
window.clock = 0; window.takes = 0;
performance.now = () => window.clock;
window.limits = []; window.aborts = [];
AbortSignal.timeout = (milliseconds) => {
  const abort = new AbortController();
  limits.push(milliseconds); aborts.push(abort);
  return abort.signal;
};
const reallyFetch = window.fetch;
window.fetch = (...given) => { window.clock += window.takes; return reallyFetch(...given); };
"""
#: Status and text of no answer at all, and of one that does not come.
AWAY, NEVER = (0, ""), (-1, "")


class Shown:
    """A page that is open.

    :ivar looks: how often its script has asked for its part.
    :ivar instead: status and text of what is answered in place of its part.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.looks = 0
        self.is_active = True
        self.instead: tuple[int, str] | None = None
        page.add_init_script(IN_HAND)
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
            status, text = self.instead or (200, self._part())
            if self.instead == AWAY:
                route.abort()
            elif self.instead != NEVER:
                route.fulfill(status=status, body=text, content_type="text/html")
        else:
            route.fulfill(body=content.page(self._part(), ""), content_type="text/html")

    @property
    def is_lost(self) -> bool:
        """Whether it says that it may be out of date."""
        lost: bool = self.page.get_by_text("This page could not be renewed").is_visible()
        assert (self.page.locator("#run.lost").count() == 1) is lost
        return lost

    def pass_time(self) -> int:
        """Fire the timer that is set, and wait for what it does. :return: the milliseconds after which it was to fire."""
        milliseconds: int = self.page.evaluate(
            "async () => { const [call, milliseconds] = timers.shift(); await call(); return milliseconds }"
        )
        return milliseconds

    def ask_in_vain(self) -> None:
        """Fire the timer that is set; what it asks for gets no answer."""
        number = self.looks + 1
        self.instead = NEVER
        self.page.evaluate("() => { const [call] = timers.shift(); window.waiting = call(); }")
        while self.looks < number:
            self.page.wait_for_timeout(20)

    def become_visible(self) -> None:
        """Come back to the page, and wait until its answer is shown."""
        number = self.looks + 1
        self.page.evaluate("window.isHidden = false; document.dispatchEvent(new Event('visibilitychange'))")
        self.page.get_by_text(f"look {number}", exact=True).wait_for()


@pytest.fixture
def shown(chromium: Any) -> Any:
    page = chromium.new_page()
    yield Shown(page)
    page.close()


def test_the_page_renews_itself_every_two_to_three_seconds(shown: Shown) -> None:
    for number in range(1, 6):
        assert 2000 <= shown.pass_time() <= 3000
        assert shown.looks == number
    assert shown.page.locator("#run").inner_text() == "look 5"


def test_a_page_that_nobody_sees_asks_for_nothing(shown: Shown) -> None:
    shown.page.evaluate("window.isHidden = true")
    for _ in range(5):
        shown.pass_time()
    assert shown.looks == 0
    shown.become_visible()
    assert shown.looks == 1


def test_a_run_that_is_over_is_asked_for_twice_a_minute_since_its_task_may_be_cleared(shown: Shown) -> None:
    shown.is_active = False
    shown.pass_time()
    for number in range(2, 5):
        assert shown.pass_time() == 30_000
        assert shown.looks == number
    shown.is_active = True
    assert shown.pass_time() == 30_000
    assert 2000 <= shown.pass_time() <= 3000
    assert shown.page.locator("#run").inner_text() == "look 6"


def test_a_run_that_is_over_is_asked_for_at_once_when_the_page_is_seen_again(shown: Shown) -> None:
    shown.is_active = False
    shown.pass_time()
    shown.page.evaluate("window.isHidden = true")
    shown.pass_time()
    assert shown.looks == 1
    shown.become_visible()
    assert shown.looks == 2


def test_a_server_that_takes_requests_and_never_answers_is_said(shown: Shown) -> None:
    """As through a network that is gone, where a browser waits for minutes."""
    shown.pass_time()
    shown.ask_in_vain()
    assert shown.page.evaluate("limits") == [10_000, 10_000]
    shown.page.evaluate("() => { aborts.at(-1).abort(); return waiting }")
    assert shown.is_lost
    shown.instead = None
    shown.pass_time()
    assert not shown.is_lost


LOG_IN = "<!doctype html><title>Log in</title><form></form>"


@pytest.mark.parametrize(
    "instead",
    [
        AWAY,
        (200, LOG_IN),
        (502, "<h1>Bad gateway</h1>"),
        (500, content.refusal("This page cannot be shown", "")),
    ],
    ids=["away", "a login", "a gateway", "an error"],
)
def test_a_page_that_cannot_be_renewed_says_so_until_it_can(shown: Shown, instead: Any) -> None:
    shown.pass_time()
    assert not shown.is_lost
    shown.instead = instead
    for _ in range(2):
        shown.pass_time()
        assert shown.is_lost
        assert shown.page.locator("#run").inner_text() == "look 1", "it shows what was seen last"
    shown.instead = None
    shown.pass_time()
    assert not shown.is_lost
    assert shown.page.locator("#run").inner_text() == "look 4"


def test_an_older_answer_never_replaces_a_newer_one(shown: Shown) -> None:
    shown.ask_in_vain()
    shown.instead = None
    shown.become_visible()
    shown.page.evaluate("() => { aborts[0].abort(); return waiting }")
    assert not shown.is_lost
    assert shown.page.locator("#run").inner_text() == "look 2"
    assert shown.page.evaluate("timers.length") == 1


def test_a_broad_drawing_that_appears_while_the_page_is_open_opens_at_what_failed(shown: Shown) -> None:
    nodes = [drawing.Node(str(number), "FAILED" if number == 40 else "SUCCESS") for number in range(50)]
    drawn = f'<div class="scroll drawing">{drawing.draw(nodes)}</div>'
    assert shown.page.locator(".drawing").count() == 0
    shown.page.add_style_tag(path=drawing.STYLESHEET)
    shown.instead = (200, f'<main id="run" data-active="1">{drawn}</main>')
    shown.pass_time()
    box = shown.page.locator(".drawing")
    at_failed: int = box.evaluate("each => each.scrollLeft")
    assert at_failed > 1_000
    box.evaluate("each => { each.scrollLeft = 40 }")
    shown.instead = (200, f'<main id="run" data-active="1"><p>changed</p>{drawn}</main>')
    shown.pass_time()
    assert shown.page.get_by_text("changed").is_visible()
    assert box.evaluate("each => each.scrollLeft") == 40, "a renewal moves nothing"


def test_an_answer_that_breaks_off_does_not_end_it(shown: Shown) -> None:
    shown.page.evaluate(
        """() => {
            const text = Response.prototype.text;
            Response.prototype.text = () => { Response.prototype.text = text; return Promise.reject(new TypeError()); };
        }"""
    )
    shown.pass_time()
    assert shown.is_lost
    shown.pass_time()
    assert not shown.is_lost


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_shown_in_place_of_the_run_until_it_ends(shown: Shown, status: int) -> None:
    shown.instead = (status, content.refusal("There is nothing here", "It may have been deleted."))
    shown.pass_time()
    assert not shown.is_lost
    assert shown.page.get_by_role("heading", name="There is nothing here").is_visible()
    shown.instead = None
    assert shown.pass_time() == 30_000
    assert shown.page.locator("#run").inner_text() == "look 2"


def test_a_page_that_takes_long_to_make_is_asked_for_less_often(shown: Shown) -> None:
    shown.page.evaluate("window.takes = 1000")
    shown.pass_time()
    shown.page.evaluate("window.takes = 10")
    assert shown.pass_time() == 10_000
    assert shown.pass_time() <= 3_000
