from __future__ import annotations

import contextlib
import shutil
import ssl
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_schedulerx.api.connection import ca_file
from airflow_provider_schedulerx.api.connection.credentials import CREDENTIAL_TYPES
from airflow_provider_schedulerx.api.connection.settings import KNOWN_FIELDS, SchedulerXSettings
from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError
from airflow_provider_schedulerx.emulator.tls import make_certificate

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

ROLE: dict[str, Any] = {**COMPLETE["ram_role_arn"], "credential_type": "ram_role_arn"}


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
        ({"console_url": "https://x/{workflow_id:d}"}, "console_url", "write {workflow_id}"),
        ({"console_url": "https://x/{workflow_id:>{wf_instance_id}}"}, "console_url", "write {workflow_id}"),
        ({"console_url": "https://x/{workflow_id!r}"}, "console_url", "write {workflow_id}"),
        ({"console_url": "https://x/{}"}, "console_url", "may have"),
        ({"console_url": "https://x/{0}"}, "console_url", "may have"),
        ({"console_url": "https://x/}"}, "console_url", "not a template"),
        ({"console_url": "https://[x/{workflow_id}"}, "console_url", "not a template of a URL"),
        ({"proxy": "http://[x"}, "proxy", "http://proxy"),
        ({"proxy": "http://proxy:99999"}, "proxy", "http://proxy"),
        ({"calls_per_minute": "9" * 5000}, "calls_per_minute", "whole number"),
        ({"calls_per_minute": 0}, "calls_per_minute", "whole number"),
        ({"account": ["1234"]}, "account", "must be text"),
        ({"connect_timeout": 10**400}, "connect_timeout", "number of seconds"),
        ({"region_id": "ap-southeast-8", "network": "vpc"}, "network", "no VPC endpoint"),
        ({**ROLE, "role_session_expiration": "9" * 5000}, "role_session_expiration", "at least 900"),
        (
            {"credential_type": "credentials_uri", "credentials_uri": "localhost"},
            "credentials_uri",
            "http://127",
        ),
        (
            {"credential_type": "credentials_uri", "credentials_uri": "http://[x"},
            "credentials_uri",
            "http://127",
        ),
        ({**ROLE, "policy": "Allow all"}, "policy", "must be a JSON object"),
        ({**ROLE, "policy": ["Allow"]}, "policy", "must be a JSON object"),
        ({**ROLE, "sts_endpoint": "http://sts.aliyuncs.com"}, "sts_endpoint", "called by https"),
        ({**ROLE, "sts_endpoint": "sts.aliyuncs.com/x"}, "sts_endpoint", "host name"),
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


@pytest.mark.parametrize("conn_type", ["http", "postgres", "generic", "", None])
def test_a_connection_of_another_type_is_refused(conn_type: str | None) -> None:
    with pytest.raises(SchedulerXConfigurationError, match="set it to 'schedulerx'") as caught:
        SchedulerXSettings.from_connection(
            conn_type=conn_type, login=KEY["login"], password=KEY["password"], extra=EXTRA
        )
    assert caught.value.field == "conn_type"


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ('["region_id"]', "of type array"),
        ('"region_id=cn-hangzhou"', "of type text"),
        ("5", "of type int"),
        ("true", "of type bool"),
        ("region_id: cn-hangzhou, password: typed-secret", "extra is not JSON"),
        ('{"region_id": "cn-hangzhou",}', "extra is not JSON"),
        (["region_id"], "of type array"),
    ],
)
def test_extra_that_is_not_a_json_object_says_so(extra: Any, says: str) -> None:
    with pytest.raises(SchedulerXConfigurationError, match=says) as caught:
        SchedulerXSettings.from_connection(extra=extra)
    assert caught.value.field == "extra"
    assert "typed-secret" not in str(caught.value)


@pytest.mark.parametrize("extra", [None, "", "  ", "null", "{}", {}])
def test_a_blank_extra_misses_the_region(extra: Any) -> None:
    with pytest.raises(SchedulerXConfigurationError, match="region_id is not set"):
        SchedulerXSettings.from_connection(extra=extra)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("group", "group_id"),
        ("groupid", "group_id"),
        ("GroupId", "group_id"),
        ("regionId", "region_id"),
        ("name-space", "namespace"),
        ("extra__schedulerx__ca_file", "ca_file"),
        ("call_per_minute", "calls_per_minute"),
        ("foo", None),
    ],
)
def test_a_field_that_is_not_used_is_named_with_the_nearest_known_one(name: str, nearest: str | None) -> None:
    (field,) = settings(**{name: "x"}).unknown_fields
    assert (field.name, field.nearest) == (name, nearest)
    assert (f"did you mean {nearest}?" in str(field)) is (nearest is not None)


def test_what_is_missing_may_be_there_under_another_name() -> None:
    with pytest.raises(SchedulerXConfigurationError, match="did you mean region_id") as caught:
        SchedulerXSettings.from_connection(extra={"regionid": "cn-hangzhou"})
    assert caught.value.field == "region_id"


def test_what_the_official_provider_wants_is_no_mistake_in_its_connections() -> None:
    extra = {**EXTRA, "auth_type": "AK", "access_key_id": "i", "access_key_secret": "s"}
    official = SchedulerXSettings.from_connection(conn_type="alibaba_cloud", extra=extra)
    assert official.unknown_fields == ()
    ours = SchedulerXSettings.from_connection(extra=extra)
    assert [field.name for field in ours.unknown_fields] == ["auth_type"]


# The quota of an account.


def test_two_users_of_a_named_account_share_its_quota() -> None:
    one = settings(login="one", password="s", account="1234")
    other = settings(login="other", password="s", account=1234, network="vpc")
    assert one.account == other.account
    assert one.account != settings(login="one", password="s", account="5678").account


def test_roles_of_an_account_share_its_quota_with_connections_that_name_it() -> None:
    one = settings(**KEY, credential_type="ram_role_arn", role_arn="acs:ram::1234:role/one")
    other = settings(**KEY, credential_type="ram_role_arn", role_arn="acs:ram::1234:role/other")
    assert one.account == other.account == settings(**KEY, account="1234").account
    assert (
        one.account != settings(**KEY, credential_type="ram_role_arn", role_arn="acs:ram::5:role/one").account
    )


@pytest.mark.parametrize(
    "pair",
    [
        [{"login": "one", "password": "s"}, {"login": "other", "password": "s"}],
        [{"credentials_uri": "http://127.0.0.1:1/a"}, {"credentials_uri": "http://127.0.0.1:1/b"}],
        [{"bearer_token": "a"}, {"bearer_token": "b"}],
        [{"role_name": "a"}, {"role_name": "b"}],
    ],
    ids=["access_key", "credentials_uri", "bearer", "ecs_ram_role"],
)
def test_identities_whose_account_is_not_known_share_no_quota(
    pair: list[dict[str, Any]], request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.id
    one, other = (settings(credential_type=kind, **fields) for fields in pair)
    assert one.account != other.account
    assert one.account == settings(credential_type=kind, **pair[0]).account


def test_the_key_of_a_quota_holds_no_secret() -> None:
    made = settings(credential_type="credentials_uri", credentials_uri="http://127.0.0.1:1/?token=uri-secret")
    assert made.secrets == ("token=uri-secret",), "the masker of Airflow gets it"
    assert "uri-secret" not in repr(made.account)
    assert "bear-token" not in repr(settings(credential_type="bearer", bearer_token="bear-token").account)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("sts-vpc.cn-hangzhou.aliyuncs.com", "sts-vpc.cn-hangzhou.aliyuncs.com"),
        ("https://sts.aliyuncs.com/", "sts.aliyuncs.com"),
        ("127.0.0.1:9443", "127.0.0.1:9443"),
    ],
)
def test_an_sts_endpoint_is_a_host(given: str, used: str) -> None:
    """The SDK would send a scheme as part of the header ``Host``."""
    assert settings(**ROLE, sts_endpoint=given).credential.values["sts_endpoint"] == used


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


@pytest.mark.parametrize("text", ["\ud800", "{workflow_id}", "%s", "a b/c?d#e", "\u5929"])
def test_a_console_link_never_fails(text: str) -> None:
    made = settings(
        namespace=text, console_url="https://c/{namespace}/{{x}}/{workflow_id}?i={wf_instance_id}"
    )
    for number in (1, 36508287844, 2**63):
        link = made.console_link(number, number)
        assert link.startswith("https://c/")
        assert link.endswith(f"/{{x}}/{number}?i={number}")


# A thousand triggers check the same connection after a restart of the triggerer.


def test_a_ca_file_is_parsed_again_only_when_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ca.pem"
    shutil.copy(make_certificate("127.0.0.1", tmp_path / "one").ca_file, file)
    parsed = []

    class Context(ssl.SSLContext):
        def load_verify_locations(self, *arguments: Any, **named: Any) -> None:
            parsed.append(arguments)
            super().load_verify_locations(*arguments, **named)

    monkeypatch.setattr(ca_file.ssl, "SSLContext", Context)
    for _ in range(1000):
        assert settings(**KEY, ca_file=str(file)).ca_file == str(file)
    assert len(parsed) == 1
    file.write_text("no certificate, and of another length")
    for _ in range(2):
        with pytest.raises(SchedulerXConfigurationError, match="not a PEM file"):
            settings(**KEY, ca_file=str(file))
    shutil.copy(make_certificate("127.0.0.1", tmp_path / "two").ca_file, file)
    settings(**KEY, ca_file=str(file))


# Whatever stands in a connection, it is refused with a message or gives settings.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@given(
    st.dictionaries(st.sampled_from([*KNOWN_FIELDS, "foo"]), JSON, max_size=4),
    st.none() | st.text(max_size=8),
    st.none() | st.integers(-1, 70000),
)
def test_any_extra_gives_settings_or_one_error(
    extra: dict[str, Any], host: str | None, port: int | None
) -> None:
    with contextlib.suppress(SchedulerXConfigurationError):
        made = SchedulerXSettings.from_connection(
            **KEY, host=host, port=port, extra={"region_id": "cn-hangzhou", **extra}
        )
        assert repr(made)
        assert made.account
        assert made.console_link(1, 2)
