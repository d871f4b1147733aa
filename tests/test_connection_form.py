"""The connection form that Airflow below 3.2 builds from the hook; test_browser.py looks at the later one."""

from __future__ import annotations

import pytest

from airflow_provider_schedulerx.connection_form import CONNECTION_FIELDS
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook


def test_what_is_hidden_and_relabelled_needs_no_form_library() -> None:
    behaviour = SchedulerXHook.get_ui_field_behaviour()
    assert behaviour["hidden_fields"] == ["schema"]
    assert behaviour["relabeling"]["login"] == "AccessKey ID"
    assert behaviour.keys() == {"hidden_fields", "relabeling", "placeholders"}


def test_the_hook_itself_says_what_the_form_has() -> None:
    """Airflow below 3.2 asks a hook only for what its class itself defines, and not for what it inherits."""
    for name in ("get_connection_form_widgets", "get_ui_field_behaviour"):
        assert name in vars(SchedulerXHook)


def test_every_field_has_a_widget_that_airflow_takes() -> None:
    pytest.importorskip("flask_appbuilder.fieldwidgets", reason="of Airflow 2")
    from airflow.providers_manager import ProvidersManager

    found = ProvidersManager().connection_form_widgets
    fields = {info.field_name: info for name, info in found.items() if name.startswith("extra__schedulerx__")}
    assert fields.keys() == CONNECTION_FIELDS.keys()
    for name, info in fields.items():
        assert info.is_sensitive is (CONNECTION_FIELDS[name]["schema"].get("format") == "password"), name
