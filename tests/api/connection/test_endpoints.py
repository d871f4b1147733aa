from __future__ import annotations

import pytest

from airflow_provider_schedulerx.api.connection.endpoints import REGIONS, check_region, resolve_endpoint
from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError

#: By the page "Endpoints".
WITHOUT_VPC = ("public", "ap-southeast-8")


@pytest.mark.parametrize("region", REGIONS)
def test_public_endpoint_is_the_same_for_every_region(region: str) -> None:
    assert str(resolve_endpoint(region)) == "https://schedulerx.aliyuncs.com"


@pytest.mark.parametrize("region", [region for region in REGIONS if region not in WITHOUT_VPC])
def test_vpc_endpoint_names_the_region(region: str) -> None:
    assert str(resolve_endpoint(region, "vpc")) == f"https://schedulerx-vpc.{region}.aliyuncs.com"


def test_a_region_that_opened_after_this_release_works() -> None:
    assert str(resolve_endpoint("sa-east-1", "vpc")) == "https://schedulerx-vpc.sa-east-1.aliyuncs.com"


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("example.com", None, "https://example.com"),
        ("example.com", 8443, "https://example.com:8443"),
        ("example.com:8443", None, "https://example.com:8443"),
        ("example.com:8443", 8443, "https://example.com:8443"),
        ("example.com", 0, "https://example.com"),
        ("example.com", 443, "https://example.com"),
        ("example.com:443", None, "https://example.com"),
        ("http://example.com:80", None, "http://example.com"),
        ("http://example.com", 443, "http://example.com:443"),
        ("http://127.0.0.1:8190", None, "http://127.0.0.1:8190"),
        ("https://example.com/", None, "https://example.com"),
        (" example.com ", None, "https://example.com"),
        ("http://[::1]:8190", None, "http://[::1]:8190"),
    ],
)
def test_an_explicit_host_beats_region_and_network(host: str, port: int | None, expected: str) -> None:
    assert str(resolve_endpoint("cn-hangzhou", "vpc", host, port)) == expected


@pytest.mark.parametrize(
    ("arguments", "field", "says"),
    [
        ({"network": "vpn"}, "network", "public, vpc"),
        ({"region_id": "public", "network": "vpc"}, "network", "no VPC endpoint"),
        ({"region_id": "ap-southeast-8", "network": "vpc"}, "network", "set network to 'public'"),
        ({"region_id": "cn_hangzou"}, "region_id", "did you mean 'cn-hangzhou'"),
        ({"region_id": "Hangzhou region"}, "region_id", "form of a region id"),
        ({"host": "ftp://example.com"}, "host", "neither http nor https"),
        ({"host": "example.com/path"}, "host", "not a host name"),
        ({"host": "https://ak:secret@example.com"}, "host", "login and password"),
        ({"host": "exa mple.com"}, "host", "not a host name"),
        ({"host": "example.com:99999"}, "host", "above 65535"),
        ({"host": "example.com:80", "port": 81}, "port", "port 80"),
        ({"port": 81}, "port", "host is not"),
    ],
)
def test_wrong_values_name_the_field_and_the_remedy(arguments: dict, field: str, says: str) -> None:
    with pytest.raises(SchedulerXConfigurationError, match=says) as caught:
        resolve_endpoint(**{"region_id": "cn-hangzhou", **arguments})
    assert caught.value.field == field
    assert "secret" not in str(caught.value).replace("AccessKey secret", "")


@pytest.mark.parametrize("port", [None, 0, 443])
def test_without_a_host_the_port_may_be_that_of_https(port: int | None) -> None:
    assert str(resolve_endpoint("cn-hangzhou", port=port)) == "https://schedulerx.aliyuncs.com"


def test_check_region_returns_the_region() -> None:
    assert check_region("public") == "public"
