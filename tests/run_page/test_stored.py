"""What is read from Airflow's database."""

from __future__ import annotations

import json

import pytest

from airflow_provider_schedulerx import version_compat

if not version_compat.has_run_page():
    pytest.skip("Airflow 3.1 and later", allow_module_level=True)

from airflow_provider_schedulerx.run_page.stored import link_of

URL = 'https://console/?name="a"&x=1'


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (URL, URL),
        (json.dumps(URL), URL),
        (json.dumps("https://例"), "https://例"),
        ('"https://console', None),
        (json.dumps(json.dumps(URL)), json.dumps(URL)),
        ({"a": 1}, None),
        (None, None),
    ],
    ids=str,
)
def test_a_link_is_stored_as_a_text_or_as_its_json(stored: object, expected: str | None) -> None:
    assert link_of(stored) == expected
