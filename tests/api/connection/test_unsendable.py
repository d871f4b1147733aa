"""Keys, tokens and passwords with what no header can carry: they are said at once, and nothing of them is shown.

A line break at the end is what ``echo`` leaves in a file, and a Kubernetes secret made of one has it.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from airflow_provider_schedulerx.api import exceptions as errors
from airflow_provider_schedulerx.api.connection.credentials import choose_credential
from airflow_provider_schedulerx.api.wire import calls
from tests.api.wire.test_both_transports import GOOD, Send, read_request, send
from tests.api.wire.test_transport import SCOPE, server

__all__ = ["send"]

KEY = {"access_key_id": "LTAIkey", "access_key_secret": "hush-secret"}


def test_what_stands_around_a_key_is_left_out() -> None:
    made = choose_credential(
        None,
        {
            "access_key_id": " LTAIkey\n",
            "access_key_secret": "\thush-secret\r\n",
            "security_token": "tok+en=\n",
        },
    )
    assert made.credential_type == "sts"
    assert made.values == {**KEY, "security_token": "tok+en="}
    assert set(made.secrets) == {"hush-secret", "tok+en="}


def test_a_key_of_nothing_but_space_is_none() -> None:
    assert (
        choose_credential(None, {"access_key_id": " \n", "access_key_secret": ""}).credential_type
        == "default"
    )


@pytest.mark.parametrize("value", ["to\nken", "to\tken", "t\x00ken", "tök", "密码", "\ud83d"])
@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("access_key_id", "login (AccessKey id)"),
        ("access_key_secret", "password (AccessKey secret)"),
        ("security_token", "security_token"),
        ("bearer_token", "bearer_token"),
    ],
)
def test_what_is_inside_is_refused_without_being_shown(field: str, named: str, value: str) -> None:
    kind, given = ("bearer", {}) if field == "bearer_token" else ("sts", {**KEY, "security_token": "token"})
    with pytest.raises(errors.SchedulerXConfigurationError) as caught:
        choose_credential(kind, {**given, field: value})
    assert caught.value.field == field
    assert caught.value.message.startswith(f"{named} has a character that")
    assert value not in str(caught.value)


@pytest.mark.parametrize("call", [calls.list_workflow_instances(SCOPE, 1), calls.execute_workflow(SCOPE, 1)])
@pytest.mark.parametrize("token", ["sts-token\n", "sts\ntoken", "stš-token"])
def test_one_that_a_server_issues_is_said_before_anything_is_sent(send: Send, call: Any, token: str) -> None:
    """Otherwise the library's error quotes it, and a start that certainly was none counts as an ambiguous one."""
    issued = {
        "Code": "Success",
        "AccessKeyId": "STS.key",
        "AccessKeySecret": "hush-secret",
        "SecurityToken": token,
        "Expiration": "2099-01-01T00:00:00Z",
    }
    body = json.dumps(issued).encode()

    def issue(peer: Any) -> None:
        read_request(peer)
        peer.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
        )

    received: list[bytes] = []

    def serve(peer: Any) -> None:
        received.append(read_request(peer))
        peer.sendall(GOOD)

    with (
        server(issue) as tokens,
        server(serve) as service,
        pytest.raises(errors.SchedulerXAuthenticationError) as caught,
    ):
        send(
            [call],
            f"http://{service}",
            login=None,
            password=None,
            credential_type="credentials_uri",
            credentials_uri=f"http://{tokens}/",
        )
    assert not any(received)
    assert "security token has a character that" in str(caught.value)
    assert "sts" not in str(caught.value)


def test_a_password_of_a_proxy_is_sent_alike_on_both_sides(send: Send) -> None:
    received: list[bytes] = []

    def serve(peer: Any) -> None:
        received.append(read_request(peer))
        peer.sendall(GOOD)

    password = "pä:ss/w ord@"
    with server(serve) as authority:
        proxy = {"proxy": f"http://user@{authority}", "proxy_password": password}
        send([calls.list_workflow_instances(SCOPE, 1)], "http://service.test", **proxy)
    header = b"proxy-authorization: basic " + b64encode(f"user:{password}".encode("latin-1")).lower()
    assert header in received[0].lower()


@pytest.mark.parametrize("call", [calls.list_workflow_instances(SCOPE, 1), calls.execute_workflow(SCOPE, 1)])
@pytest.mark.parametrize("is_environments", [False, True])
def test_one_that_cannot_be_sent_is_said(
    send: Send, call: Any, is_environments: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = {"proxy": "http://user@proxy.test:3128", "proxy_password": "密码"}
    if is_environments:
        monkeypatch.setenv("HTTP_PROXY", "http://user:%E5%AF%86%E7%A0%81@proxy.test:3128")
        proxy = {}
    with pytest.raises(errors.SchedulerXConfigurationError, match="Latin-1") as caught:
        send([call], "http://service.test", **proxy)
    assert "密码" not in str(caught.value)
