from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_schedulerx.api.connection.credentials import CREDENTIAL_TYPES
from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError

KEY = {"login": "the-id", "password": "the-secret"}
EXTRA = {"region_id": "cn-hangzhou", "namespace": "ns", "group_id": "g"}

#: A complete set of fields for each credential type.
COMPLETE: dict[str, dict[str, Any]] = {
    "access_key": KEY,
    "sts": {**KEY, "security_token": "the-token"},
    "ram_role_arn": {**KEY, "role_arn": "acs:ram::1:role/r"},
    "ecs_ram_role": {"role_name": "r"},
    "oidc_role_arn": {
        "role_arn": "acs:ram::1:role/r",
        "oidc_provider_arn": "acs:ram::1:oidc-provider/p",
        "oidc_token_file_path": "/var/run/token",
    },
    "credentials_uri": {"credentials_uri": "http://127.0.0.1:1/"},
    "bearer": {"bearer_token": "the-token"},
    "default": {},
}


def settings(**fields: Any) -> SchedulerXSettings:
    """Fields of the connection by name; those that are not login, password, host or port go to extra."""
    outer = {name: fields.pop(name) for name in ("login", "password", "host", "port") if name in fields}
    arguments = fields.pop("arguments", {})
    return SchedulerXSettings.from_connection(**outer, extra={**EXTRA, **fields}, **arguments)


def test_every_credential_type_is_covered_here() -> None:
    assert COMPLETE.keys() == CREDENTIAL_TYPES.keys()


@pytest.mark.parametrize("credential_type", COMPLETE)
def test_each_type_is_chosen_when_complete_and_gives_a_client(credential_type: str) -> None:
    made = settings(credential_type=credential_type, **COMPLETE[credential_type])
    assert made.credential.credential_type == credential_type
    assert made.credential.client() is not None


@pytest.mark.parametrize(
    ("credential_type", "missing"),
    [(name, field) for name, kind in CREDENTIAL_TYPES.items() for field in kind.needs],
)
def test_a_missing_field_is_named(credential_type: str, missing: str) -> None:
    outer = {"access_key_id": "login", "access_key_secret": "password"}
    fields = {
        key: value for key, value in COMPLETE[credential_type].items() if key != outer.get(missing, missing)
    }
    with pytest.raises(SchedulerXConfigurationError, match="which is not set") as caught:
        settings(credential_type=credential_type, **fields)
    assert caught.value.field == missing
    assert outer.get(missing, missing) in str(caught.value)


def test_fields_from_the_pod_environment_need_not_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIBABA_CLOUD_ROLE_ARN", "arn")
    monkeypatch.setenv("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "arn")
    monkeypatch.setenv("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "/token")
    assert settings(credential_type="oidc_role_arn").credential.credential_type == "oidc_role_arn"


@pytest.mark.parametrize(
    ("fields", "chosen"),
    [(KEY, "access_key"), ({**KEY, "security_token": "t"}, "sts"), ({}, "default")],
)
def test_the_type_is_inferred_only_where_it_is_plain(fields: dict, chosen: str) -> None:
    assert settings(**fields).credential.credential_type == chosen


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"credential_type": "magic"}, "credential_type", "is not one of"),
        ({"role_arn": "arn"}, "role_arn", "ram_role_arn or oidc_role_arn"),
        ({**KEY, "role_arn": "arn"}, "role_arn", "does not use it"),
        ({**KEY, "credential_type": "default"}, "access_key_id", "does not use it"),
        ({"login": "only-id"}, "access_key_secret", "which is not set"),
        ({"password": "only-secret"}, "access_key_id", "which is not set"),
        ({**KEY, "access_key_id": "another"}, "access_key_id", "differ"),
        (
            {**COMPLETE["ram_role_arn"], "credential_type": "ram_role_arn", "role_session_expiration": "60"},
            "role_session_expiration",
            "at least 900",
        ),
        ({"credential_type": "ecs_ram_role", "disable_imds_v1": "maybe"}, "disable_imds_v1", "true or false"),
        ({"credential_type": "bearer", "bearer_token": 5}, "bearer_token", "must be text"),
        ({"region_id": ""}, "region_id", "not set"),
        ({"region_id": None}, "region_id", "not set"),
        ({"network": "lan"}, "network", "public, vpc"),
        ({"namespace": ["x"]}, "namespace", "must be text"),
        ({"connect_timeout": "soon"}, "connect_timeout", "number of seconds"),
        ({"connect_timeout": 0}, "connect_timeout", "number of seconds"),
        ({"read_timeout": -1}, "read_timeout", "number of seconds"),
        ({"read_timeout": True}, "read_timeout", "number of seconds"),
        ({"proxy": "socks5://x"}, "proxy", "http://proxy"),
        ({"ca_file": "/no/such.pem"}, "ca_file", "every worker"),
        ({"ca_file": __file__}, "ca_file", "not a PEM file"),
        ({"console_url": "https://x/{instance}"}, "console_url", "{wf_instance_id}"),
        ({"console_url": "https://x/{region_id.__class__}"}, "console_url", "may have"),
        ({"proxy": "http://u:p@proxy:1"}, "proxy", "move it to proxy_password"),
        ({"proxy": "http://proxy:1", "proxy_password": "p"}, "proxy", "names no user"),
        ({"proxy_password": "p"}, "proxy_password", "proxy is not"),
        ({"console_url": "https://x/{"}, "console_url", "not a template"),
        ({"console_url": "javascript:alert(1)"}, "console_url", "http://"),
    ],
)
def test_wrong_fields_are_named_with_the_remedy(fields: dict, field: str, says: str) -> None:
    with pytest.raises(SchedulerXConfigurationError, match=says.replace("{", "[{]")) as caught:
        settings(**fields)
    assert caught.value.field == field
    for secret in ("the-secret", "only-secret"):
        assert secret not in str(caught.value)


def test_blank_fields_of_a_saved_form_are_not_set() -> None:
    blank = dict.fromkeys(("network", "credential_type", "role_arn", "proxy", "ca_file", "console_url"), "")
    made = settings(**KEY, **blank, connect_timeout="", read_timeout=None)
    assert (made.connect_timeout, made.read_timeout) == (5.0, 30.0)
    assert made.credential.credential_type == "access_key"


def test_a_box_that_was_left_alone_in_the_form_of_airflow_2_is_not_set() -> None:
    """As its connection form, used in a browser, has saved it."""
    saved = {"role_session_expiration": None, "disable_imds_v1": False, "calls_per_minute": None}
    assert settings(**KEY, **saved).credential.credential_type == "access_key"
    assert settings(credential_type="ecs_ram_role", **saved).credential.values == {}


def test_arguments_beat_the_extra() -> None:
    made = settings(arguments={"region_id": "cn-beijing", "namespace": "other", "group_id": None})
    assert (made.scope.region_id, made.scope.namespace, made.scope.group_id) == ("cn-beijing", "other", "g")


def test_a_connection_of_the_official_provider_works() -> None:
    made = SchedulerXSettings.from_connection(
        extra={"access_key_id": "i", "access_key_secret": "s", "region": "cn-beijing"}
    )
    assert made.credential.credential_type == "access_key"
    assert made.scope.region_id == "cn-beijing"


def test_a_misspelt_extra_is_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        settings(group="g2")
    assert "not used: group; did you mean group_id?" in caplog.text


def test_secrets_do_not_show() -> None:
    made = settings(
        **COMPLETE["sts"],
        credential_type="sts",
        proxy="http://user@proxy.example:3128",
        proxy_password="proxy/secret",
    )
    assert made.proxy == "http://user:proxy%2Fsecret@proxy.example:3128"
    assert set(made.secrets) == {"the-secret", "the-token", "proxy/secret", "proxy%2Fsecret"}
    for secret in made.secrets:
        assert secret not in repr(made)


def test_console_link_quotes_its_parts(tmp_path: Path) -> None:
    made = settings(namespace="a b/c", console_url="https://c/{namespace}/{workflow_id}?i={wf_instance_id}")
    assert made.console_link(7, 8) == "https://c/a%20b%2Fc/7?i=8"
    assert settings().console_link(7, 8) == (
        "https://schedulerx2.console.aliyun.com/cn-hangzhou/InstanceList?namespace=ns&source=schedulerx"
    )
