"""The published test vector, against both sides of our wire."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_schedulerx.api.wire.calls import Call, Operation
from airflow_provider_schedulerx.api.wire.signing import (
    SignedRequest,
    Signer,
    authorization,
    sdk_authorization,
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


@pytest.mark.parametrize("signer", [authorization, sdk_authorization])
def test_what_the_hook_signs_with_gives_the_published_signature(signer: Signer) -> None:
    assert signer(VECTOR, HEADERS, KEY_ID, SECRET) == (
        f"ACS3-HMAC-SHA256 Credential={KEY_ID},SignedHeaders={';'.join(sorted(HEADERS))},Signature={SIGNATURE}"
    )


TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)


@given(
    query=st.dictionaries(st.sampled_from(["WorkflowId", "InstanceParameters", "Namespace", "A"]), TEXT),
    headers=st.dictionaries(
        st.sampled_from(["host", "x-acs-date", "x-acs-security-token", "accept"]), TEXT, min_size=1
    ),
    secret=TEXT,
)
def test_both_signers_give_the_same(query: dict[str, str], headers: dict[str, str], secret: str) -> None:
    call: Call[None] = Call(Operation("Any", "GET", None), query, lambda body: None)
    assert authorization(call, headers, KEY_ID, secret) == sdk_authorization(call, headers, KEY_ID, secret)


def test_what_the_emulator_verifies_with_gives_the_published_signature() -> None:
    account = Account(KEY_ID, SECRET)
    assert sign_v3("POST", "/", QUERY, HEADERS, sorted(HEADERS), EMPTY, account) == SIGNATURE


def test_a_signed_request_does_not_show_its_headers() -> None:
    shown = repr(SignedRequest("GET", "/?a=query", {"Authorization": "Signature=x"}))
    assert "Signature" not in shown
    assert "query" not in shown
