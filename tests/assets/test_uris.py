"""URIs of workflows: one spelling for each, and errors that say how they look."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from airflow.providers.common.compat.sdk import Asset

from airflow_provider_schedulerx.assets.schedulerx import (
    convert_asset_to_openlineage,
    create_asset,
    sanitize_uri,
)
from dev.harness.rest import IS_AIRFLOW_2

URI = "schedulerx://cn-hangzhou/4a06d5ea/demo.defaultGroup/101"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (URI, URI),
        ("SchedulerX://CN-Hangzhou/4a06d5ea/demo.defaultGroup/101/", URI),
        ("schedulerx://cn-hangzhou/4a06d5ea/demo%2EdefaultGroup/0101", URI),
        ("schedulerx://public/ns/g/nightly etl", "schedulerx://public/ns/g/nightly%20etl"),
        ("schedulerx://public/ns/g/a%2Fb", "schedulerx://public/ns/g/a%2Fb"),
        pytest.param(
            "schedulerx://public/ns/g/每日",
            "schedulerx://public/ns/g/%E6%AF%8F%E6%97%A5",
            marks=pytest.mark.skipif(IS_AIRFLOW_2, reason="Airflow 2 takes ASCII only"),
        ),
    ],
)
def test_all_spellings_become_one(given: str, expected: str) -> None:
    """Through Airflow, which finds the handler by the provider's asset-uris."""
    assert Asset(uri=given).uri == expected
    assert Asset(uri=expected).uri == expected


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("schedulerx:///ns/g/101", "does not have the form of a region id"),
        ("schedulerx://Hang Zhou/ns/g/101", "does not have the form of a region id"),
        ("schedulerx://user@cn-hangzhou/ns/g/101", "does not have the form"),
        ("schedulerx://cn-hangzhou/ns/101", "after the region it has 2 parts, not 3"),
        ("schedulerx://cn-hangzhou", "after the region it has 0 parts, not 3"),
        ("schedulerx://cn-hangzhou/ns/g/101/7", "after the region it has 4 parts, not 3"),
        ("schedulerx://cn-hangzhou//g/101", "namespace is empty"),
        ("schedulerx://cn-hangzhou/ns/%20/101", "group is empty"),
        ("schedulerx://cn-hangzhou/ns/g/101?status=4", "it takes no query"),
        ("schedulerx://cn-hangzhou/ns/g/99999999999999999999", "workflow must be between 1 and"),
    ],
)
def test_a_wrong_uri_is_refused_with_its_form(uri: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        sanitize_uri(urlsplit(uri))
    assert "Write schedulerx://region/namespace/group/workflow" in str(caught.value)


@pytest.mark.skipif(IS_AIRFLOW_2, reason="Airflow 2 only warns")
def test_airflow_refuses_it_when_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match="parts, not 3"):
        Asset(uri="schedulerx://cn-hangzhou/ns/101")


def test_an_asset_is_made_of_its_parts() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asset = create_asset(region="cn-hangzhou", namespace="ns", group="a/b", workflow=101, extra={"x": 1})
    assert (asset.uri, asset.extra) == ("schedulerx://cn-hangzhou/ns/a%2Fb/101", {"x": 1})
    named = create_asset(region="cn-hangzhou", namespace="ns", group="g", workflow="每日")
    assert named.uri.endswith("/g/%E6%AF%8F%E6%97%A5")


def test_openlineage_has_a_name_for_it() -> None:
    dataset = convert_asset_to_openlineage(Asset(uri=URI), SimpleNamespace())
    assert (dataset.namespace, dataset.name) == (
        "schedulerx://cn-hangzhou",
        "4a06d5ea/demo.defaultGroup/101",
    )
