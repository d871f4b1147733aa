"""A pytest plugin, ``-p dev.skips``: the end of a run says what was skipped, and what to install to run it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator

import pytest

_OTHER_AIRFLOW = "make matrix (needs another version of Airflow)"
#: What a skip's reason contains -> the command after which the test runs. The first match counts.
REMEDIES = (
    ("PostgreSQL|Redis|SQLite", "dev/install-services"),
    ("browser|Chromium", "apt-get install chromium"),
    (
        "Airflow 2|Airflow 3|task state store|a retry knows nothing|leaves no note|flask_appbuilder",
        _OTHER_AIRFLOW,
    ),
    ("network namespaces", "run as root"),
    ("npm", "connect to the npm registry"),
    ("could not import|not installed|uv builds", "make .venv/ready"),
)


def remedy(reason: str) -> str:
    """Return the command after which a test that was skipped for this reason runs."""
    return next((command for words, command in REMEDIES if re.search(words, reason)), "no remedy is known")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None]:
    yield
    # A wrapper around pytest's own summary, so that nothing but the closing line follows.
    reports = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in reports)
    terminalreporter.section("skipped here, and what to install")
    if not reasons:
        terminalreporter.write_line("Nothing was skipped.")
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"{count} test{'s' * (count > 1)}: {reason} -> {remedy(reason)}")
