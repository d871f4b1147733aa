"""What differs between versions of Airflow, on the one that is here."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable

import pytest

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.version_compat import connections, deferrals, kills
from dev.harness.rest import AIRFLOW

SECRET = "a-secret-of-this-test"


URI_WITH_TOKEN = "http://127.0.0.1:9/credentials?auth=t0ken-of-the-uri"


def test_a_masked_secret_is_redacted() -> None:
    redact = None
    for name in ("airflow.sdk.log", *connections._MASKERS):
        try:
            redact = importlib.import_module(name).redact
        except (ImportError, AttributeError):
            continue
        break
    assert redact is not None
    connections.mask_secret(SECRET)
    assert SECRET not in redact(f"with {SECRET} in it")


def test_an_airflow_that_masks_nowhere_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_MASKERS", ("airflow.nowhere",))
    with pytest.raises(ImportError, match=r"airflow\.nowhere"):
        connections.mask_secret(SECRET)


def test_triggers_are_told_of_kills_from_3_3_on() -> None:
    assert kills.triggers_are_told_of_kills() is (AIRFLOW >= (3, 3))


def test_a_deferral_is_known_at_once_below_3_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow.sdk", None)  # as if it were not installed
    for name in [name for name in sys.modules if name.startswith("airflow.sdk.")]:
        monkeypatch.delitem(sys.modules, name)
    assert deferrals.seconds_until_a_deferral_is_known() == 0


def test_the_asynchronous_side_masks_the_secrets_of_a_connection(
    emulator: EmulatorProcess, connect: Callable[..., None]
) -> None:
    """What Airflow does not take for a secret by its name: a token within a URL."""
    from airflow.providers.common.compat.sdk import redact

    connection = emulator.connection(credential_type="credentials_uri", credentials_uri=URI_WITH_TOKEN)
    del connection["login"], connection["password"]
    connect(connection)
    assert "t0ken-of-the-uri" in str(redact(f"the token is {URI_WITH_TOKEN}"))
    asyncio.run(SchedulerXHook().aget_settings())
    assert "t0ken-of-the-uri" not in str(redact(f"the token is {URI_WITH_TOKEN}"))
