"""The built documentation in a browser: every diagram is drawn, and nothing is loaded from elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dev import mermaid
from tests.conftest import ROOT

pytestmark = pytest.mark.airflow

PAGES = [page for page in sorted((ROOT / "docs").rglob("*.md")) if "```mermaid" in page.read_text()]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """URL and folder of the built site."""
    pytest.importorskip("mkdocs")
    if mermaid.script() is None:
        pytest.skip("no npm here, which delivers the script that draws diagrams")
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=True,
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()


def test_diagrams_are_drawn_and_nothing_is_loaded_from_elsewhere(
    chromium: Any, site: tuple[str, Path]
) -> None:
    url, folder = site
    built = [file for file in sorted(folder.rglob("*.html")) if 'class="mermaid"' in file.read_text()]
    assert len(built) >= len(PAGES) >= 4
    context = chromium.new_context(viewport={"width": 1300, "height": 900})
    page = context.new_page()
    elsewhere: list[str] = []
    page.on("request", lambda request: None if request.url.startswith(url) else elsewhere.append(request.url))
    for file in built:
        wanted = file.read_text().count('class="mermaid"')
        page.goto(f"{url}/{file.relative_to(folder).parent}/")
        # The theme replaces each block by a shadow root, into which nobody can look, but which has a height.
        page.wait_for_function(
            """wanted => {
                const drawn = [...document.querySelectorAll('div.mermaid')]
                return drawn.length === wanted && drawn.every(each => each.getBoundingClientRect().height > 50)
            }""",
            arg=wanted,
        )
        assert page.locator("pre.mermaid").count() == 0
        if folder_of_pictures := os.environ.get("SITE_PICTURES"):
            page.screenshot(path=f"{folder_of_pictures}/{file.parent.name}.png", full_page=True)
    context.close()
    assert elsewhere == []
