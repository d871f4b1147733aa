"""The published test vector, against both sides of our wire."""

from __future__ import annotations

import hashlib

import pytest
from alibabacloud_credentials.models import CredentialModel
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_schedulerx.api.connection.endpoints import Endpoint
from airflow_provider_schedulerx.api.wire import signing
from airflow_provider_schedulerx.api.wire.calls import Call, Operation
from airflow_provider_schedulerx.api.wire.signing import (
    RequestSigner,
    SignedRequest,
    Template,
    sdk_authorization,
    sign,
)
from airflow_provider_schedulerx.emulator.authentication import sign_v3
from airflow_provider_schedulerx.emulator.definitions import Account

KEY_ID, SECRET = "YourAccessKeyId", "YourAccessKeySecret"
SIGNATURE = "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
EMPTY = hashlib.sha256(b"").hexdigest()
QUERY = {"ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd", "RegionId": "cn-shanghai"}
HEADERS = {
    "host": "ecs.cn-shanghai.aliyuncs.com",
    "x-acs-action": "RunInstances",
    "x-acs-version": "2014-05-26",
    "x-acs-date": "2023-10-26T10:22:32Z",
    "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
    "x-acs-content-sha256": EMPTY,
}


VECTOR: Call[None] = Call(Operation("RunInstances", "POST", None), QUERY, lambda body: None)


DATE, NONCE = HEADERS["x-acs-date"], HEADERS["x-acs-signature-nonce"]
AUTHORIZATION = (
    f"ACS3-HMAC-SHA256 Credential={KEY_ID},SignedHeaders={';'.join(sorted(HEADERS))},Signature={SIGNATURE}"
)


def test_both_sides_give_the_published_signature() -> None:
    assert sdk_authorization(VECTOR, HEADERS, KEY_ID, SECRET) == AUTHORIZATION
    assert Template(HEADERS).authorization(VECTOR, DATE, NONCE, KEY_ID, SECRET) == AUTHORIZATION


TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)


@given(
    query=st.dictionaries(st.sampled_from(["WorkflowId", "InstanceParameters", "Namespace", "A"]), TEXT),
    headers=st.dictionaries(st.sampled_from(["host", "x-acs-security-token", "accept"]), TEXT),
    secret=TEXT,
)
def test_both_sides_give_the_same(query: dict[str, str], headers: dict[str, str], secret: str) -> None:
    call: Call[None] = Call(Operation("Any", "GET", None), query, lambda body: None)
    template = Template(headers)
    full = {**headers, "x-acs-date": DATE, "x-acs-signature-nonce": NONCE}
    assert template.headers(DATE, NONCE) == full
    assert template.authorization(call, DATE, NONCE, KEY_ID, secret) == sdk_authorization(
        call, full, KEY_ID, secret
    )


ENDPOINT = Endpoint("https", "schedulerx.cn-hangzhou.aliyuncs.com")
KEY = CredentialModel(access_key_id="id", access_key_secret="secret", type="access_key")
ROLE = CredentialModel(
    access_key_id="other",
    access_key_secret="another",
    security_token="token",
    type="ram_role_arn",
    provider_name="ram_role_arn/static_ak",
)
BEARER = CredentialModel(bearer_token="bearer", type="bearer", provider_name="bearer_token")


@pytest.mark.parametrize("before", [KEY, ROLE, BEARER])
@pytest.mark.parametrize("credential", [KEY, ROLE, BEARER])
def test_both_sides_send_the_same_headers_in_the_same_order(
    credential: CredentialModel, before: CredentialModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing.time, "strftime", lambda *_: DATE)
    monkeypatch.setattr(signing.os, "urandom", bytes)
    signer = RequestSigner(ENDPOINT)
    signer.sign(VECTOR, before)
    signed, expected = signer.sign(VECTOR, credential), sign(VECTOR, ENDPOINT, credential)
    assert list(signed.headers.items()) == list(expected.headers.items())
    assert (signed.method, signed.target) == (expected.method, expected.target)


def test_each_request_has_a_nonce_and_a_date_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = RequestSigner(ENDPOINT)
    dates = iter(["first", "second"])
    monkeypatch.setattr(signing.time, "strftime", lambda *_: next(dates))
    first, second = signer.sign(VECTOR, KEY).headers, signer.sign(VECTOR, KEY).headers
    assert (first["x-acs-date"], second["x-acs-date"]) == ("first", "second")
    for name in ("x-acs-signature-nonce", "Authorization"):
        assert first[name] != second[name]


def test_what_the_emulator_verifies_with_gives_the_published_signature() -> None:
    account = Account(KEY_ID, SECRET)
    assert sign_v3("POST", "/", QUERY, HEADERS, sorted(HEADERS), EMPTY, account) == SIGNATURE


def test_a_signed_request_does_not_show_its_headers() -> None:
    shown = repr(SignedRequest("GET", "/?a=query", {"Authorization": "Signature=x"}))
    assert "Signature" not in shown
    assert "query" not in shown
