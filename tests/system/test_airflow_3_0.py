"""The retry of a failed run on Airflow 3.0, in an environment of its own: that version alone resumes a deferred one with
the event of the previous try.
"""

from __future__ import annotations

import subprocess

import pytest

from dev.harness.environment import python_of
from tests.conftest import ROOT

pytestmark = pytest.mark.airflow


def test_a_failure_and_its_retry_start_two_runs_on_airflow_3_0() -> None:
    command = (str(python_of("3.0.6")), "-m", "pytest", "-p", "no:cacheprovider", "-q", "--no-header")
    test = "tests/system/test_real_retries.py"
    done = subprocess.run((*command, test), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
