"""What differs between versions of Airflow, on the one that is here."""

from __future__ import annotations

import importlib

import pytest

from airflow_provider_schedulerx import version_compat
from dev.harness.rest import AIRFLOW

SECRET = "a-secret-of-this-test"


def test_a_masked_secret_is_redacted() -> None:
    redact = None
    for name in ("airflow.sdk.log", *version_compat._MASKERS):
        try:
            redact = importlib.import_module(name).redact
        except (ImportError, AttributeError):
            continue
        break
    assert redact is not None
    version_compat.mask_secret(SECRET)
    assert SECRET not in redact(f"with {SECRET} in it")


def test_an_airflow_that_masks_nowhere_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_compat, "_MASKERS", ("airflow.nowhere",))
    with pytest.raises(ImportError, match=r"airflow\.nowhere"):
        version_compat.mask_secret(SECRET)


def test_triggers_are_told_of_kills_from_3_3_on() -> None:
    assert version_compat.triggers_are_told_of_kills() is (AIRFLOW >= (3, 3))
