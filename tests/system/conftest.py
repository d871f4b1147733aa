"""What several tests with a running Airflow share."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dev import pictures
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser; the test is skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no browser here: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic"],
        )
        yield browser
        browser.close()


@pytest.fixture
def shoot(tmp_path: Path) -> Callable[..., None]:
    """Take a screenshot, which becomes the documentation's if ``make pictures`` asks for it (:mod:`dev.pictures`).

    A picture that shows a path of this machine is refused. ``fold`` names what is folded before, such as the error
    whose traceback shows them.
    """
    folder = Path(os.environ.get(pictures.FOLDER, tmp_path))

    def take(page: Any, name: str, *, fold: str = "", **options: Any) -> None:
        if fold:
            page.get_by_text(re.compile(f"^{fold}: ")).first.click()
            page.get_by_text("task_runner.py").first.wait_for(state="hidden")
        # Looking for a text in a log scrolls it aside.
        page.evaluate("document.querySelectorAll('*').forEach(each => { each.scrollLeft = 0 })")
        shown = page.locator("body").inner_text()
        for path in (str(ROOT), sys.prefix, str(tmp_path.parent)):
            assert path not in shown, f"{name}.png would show {path}"
        page.screenshot(path=folder / f"{name}.png", **options)

    return take
