from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

pytest_plugins = ["pytester"]

# Before anything imports Airflow: a home of its own, and no proxy between parts of this machine.
_HOME = tempfile.mkdtemp(prefix="airflow-home-")
for _name in [name for name in os.environ if name.startswith("AIRFLOW") or "proxy" in name.lower()]:
    del os.environ[_name]
for _name in [name for name in os.environ if name.startswith("ALIBABA_CLOUD_")]:
    del os.environ[_name]
os.environ |= {
    "AIRFLOW_HOME": _HOME,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
}

from airflow_provider_schedulerx.api.wire import retrying  # noqa: E402
from airflow_provider_schedulerx.emulator.process import EmulatorProcess  # noqa: E402
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook  # noqa: E402

# The SDK's background scheduler speaks when Python exits, into streams that pytest has closed.
logging.getLogger("apscheduler").setLevel(logging.ERROR)

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile(
    "on a busy machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("on a busy machine")

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = Path(__file__).with_name("workflows.yaml")


@pytest.fixture(scope="module")
def _shared_emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--workflows", str(WORKFLOWS), "--speed", "10", "--quota", "1000000") as emulator:
        yield emulator


@pytest.fixture
def emulator(_shared_emulator: EmulatorProcess) -> Iterator[EmulatorProcess]:
    """An emulator without faults. Its workflows run ten times faster than the file says."""
    _shared_emulator.clear_faults()
    yield _shared_emulator
    _shared_emulator.clear_faults()
    _shared_emulator.set_quota(1_000_000)
    _shared_emulator.set_profile("documented")


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Define an Airflow connection for this test."""

    def define(connection: dict[str, Any], conn_id: str = "schedulerx_default") -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))

    return define


@pytest.fixture
def hook(emulator: EmulatorProcess, connect: Callable[..., None]) -> SchedulerXHook:
    connect(emulator.connection())
    return SchedulerXHook()


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries as always, but without their pauses."""
    monkeypatch.setattr(retrying, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(retrying, "_LONGEST_WAIT", 0.001)


@pytest.fixture
def task_log(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What hooks and operators have logged since the last call; Airflow prints it outside of a task."""
    return lambda: "".join(capsys.readouterr())
