"""The emulator's token service and metadata server, by clients that share no code with the provider."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from alibabacloud_tea_openapi import utils_models as tea
from alibabacloud_tea_openapi.client import Client

from airflow_provider_schedulerx.emulator.process import EmulatorError, EmulatorProcess

ROLE = "acs:ram::1144881807903942:role/airflow"
PATH = "/latest/meta-data/ram/security-credentials/"
TOKEN = "X-aliyun-ecs-metadata-token"


@pytest.fixture(scope="module")
def _cloud() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--token-port", "0", "--metadata-port", "0") as cloud:
        yield cloud


@pytest.fixture
def cloud(_cloud: EmulatorProcess) -> EmulatorProcess:
    _cloud.set_issuer(lifetime=None, away=None)
    _cloud.set_metadata(mode="both", role_name="airflow")
    return _cloud


def ask(
    url: str, method: str = "GET", headers: dict[str, str] | None = None, ca_file: str = ""
) -> tuple[int, str]:
    context = ssl.create_default_context(cafile=ca_file) if ca_file else None
    request = urllib.request.Request(url, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, context=context, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def sts(cloud: EmulatorProcess, **parameters: str) -> dict[str, Any]:
    """An unsigned call."""
    query = urlencode({"Version": "2015-04-01", "Format": "JSON", **parameters})
    status, body = ask(f"{cloud.token_service}/?{query}", ca_file=cloud.token_ca_file)
    return {"status": status, **json.loads(body)}


def official(endpoint: str, key: dict[str, str], **more: Any) -> Client:
    return Client(
        tea.Config(**key, endpoint=urlsplit(endpoint).netloc, protocol=urlsplit(endpoint).scheme, **more)
    )


def call(client: Client, action: str, version: str, query: dict[str, str]) -> dict[str, Any]:
    parameters = tea.Params(
        action=action,
        version=version,
        protocol=client._protocol,
        pathname="/",
        method="POST",
        auth_type="AK",
        style="RPC",
        req_body_type="formData",
        body_type="json",
    )
    from darabonba.runtime import RuntimeOptions

    answer: dict[str, Any] = client.call_api(parameters, tea.OpenApiRequest(query=query), RuntimeOptions())[
        "body"
    ]
    return answer


def test_a_role_is_assumed_by_a_request_that_the_official_client_signs(cloud: EmulatorProcess) -> None:
    key = {"access_key_id": "emulator", "access_key_secret": "emulator-secret"}
    client = official(cloud.token_service, key, ca=cloud.token_ca_file)
    answer = call(client, "AssumeRole", "2015-04-01", {"RoleArn": ROLE, "RoleSessionName": "alice"})
    assert answer["AssumedRoleUser"]["Arn"] == f"{ROLE}/alice"
    assert answer["AssumedRoleUser"]["AssumedRoleId"].endswith(":alice")
    assert answer.keys() == {"RequestId", "AssumedRoleUser", "Credentials"}
    issued = answer["Credentials"]
    given = {
        "access_key_id": issued["AccessKeyId"],
        "access_key_secret": issued["AccessKeySecret"],
        "security_token": issued["SecurityToken"],
    }
    listed = call(
        official(cloud.endpoint, given), "ListNamespaces", "2019-04-30", {"RegionId": "cn-hangzhou"}
    )
    assert listed["Data"]["Namespaces"][0]["Name"] == "demo"
    seconds = time.mktime(time.strptime(issued["Expiration"], "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(
        time.gmtime()
    )
    assert 3500 < seconds <= 3601


@pytest.mark.parametrize(
    ("parameters", "status", "code"),
    [
        ({"Action": "AssumeRole", "RoleArn": ROLE, "RoleSessionName": "x"}, 400, "MissingAccessKeyId"),
        ({"Action": "GetCallerIdentity"}, 404, "InvalidAction.NotFound"),
        ({"Action": "AssumeRole", "Version": "2019-04-30"}, 400, "InvalidVersion"),
        ({"Action": "AssumeRoleWithOIDC"}, 400, "MissingRoleArn"),
        ({"Action": "AssumeRoleWithOIDC", "RoleArn": ROLE}, 400, "MissingOIDCProviderArn"),
        (
            {
                "Action": "AssumeRoleWithOIDC",
                "RoleArn": ROLE,
                "OIDCProviderArn": "p",
                "OIDCToken": "\u5929.\u5929",
            },
            400,
            "AuthenticationFail.OIDCToken.Invalid",
        ),
    ],
)
def test_the_token_service_refuses_as_it_is_documented(
    cloud: EmulatorProcess, parameters: dict[str, str], status: int, code: str
) -> None:
    answer = sts(cloud, **parameters)
    assert (answer["status"], answer["Code"]) == (status, code)
    assert answer["RequestId"]


def test_an_expired_key_is_refused_by_the_service(cloud: EmulatorProcess) -> None:
    cloud.set_issuer(lifetime=1)
    _, body = ask(f"{cloud.metadata}{PATH}airflow")
    issued = json.loads(body)
    given = {
        "access_key_id": issued["AccessKeyId"],
        "access_key_secret": issued["AccessKeySecret"],
        "security_token": issued["SecurityToken"],
    }
    time.sleep(1.1)
    with pytest.raises(Exception, match="InvalidSecurityToken.Expired"):
        call(official(cloud.endpoint, given), "ListNamespaces", "2019-04-30", {"RegionId": "cn-hangzhou"})


def test_the_metadata_server_wants_a_token_where_it_is_hardened(cloud: EmulatorProcess) -> None:
    cloud.set_metadata(mode="tokens")
    assert ask(cloud.metadata + PATH)[0] == 403
    assert ask(cloud.metadata + PATH, headers={TOKEN: "made up"})[0] == 401
    url = f"{cloud.metadata}/latest/api/token"
    for seconds in ("", "0", "21601", "x"):
        assert ask(url, "PUT", {f"{TOKEN}-ttl-seconds": seconds})[0] == 400
    status, token = ask(url, "PUT", {f"{TOKEN}-ttl-seconds": "1"})
    assert status == 200
    assert ask(cloud.metadata + PATH, headers={TOKEN: token}) == (200, "airflow")
    assert json.loads(ask(f"{cloud.metadata}{PATH}airflow", headers={TOKEN: token})[1])["Code"] == "Success"
    time.sleep(1.1)
    assert ask(cloud.metadata + PATH, headers={TOKEN: token})[0] == 401
    cloud.set_metadata(mode="normal")
    assert ask(url, "PUT", {f"{TOKEN}-ttl-seconds": "1"})[0] == 404
    assert ask(cloud.metadata + PATH)[0] == 200


def test_the_remote_control_refuses_what_it_does_not_know(cloud: EmulatorProcess) -> None:
    for change in (
        lambda: cloud.set_issuer(away="maybe"),
        lambda: cloud.set_issuer(life=1),
        lambda: cloud.set_metadata(mode="v3"),
        lambda: cloud.add_role(arn=ROLE, name="x"),
    ):
        with pytest.raises(EmulatorError, match="Error"):
            change()


def test_a_restarted_emulator_has_the_same_ports_and_authority() -> None:
    cloud = EmulatorProcess("--token-port", "0", "--metadata-port", "0")
    with cloud:
        before = (cloud.token_service, cloud.metadata, cloud.token_ca_file)
        cloud.kill()
        cloud.restart()
        assert (cloud.token_service, cloud.metadata, cloud.token_ca_file) == before
        assert sts(cloud, Action="AssumeRoleWithOIDC")["Code"] == "MissingRoleArn"


def test_neither_server_is_there_unless_asked_for() -> None:
    with EmulatorProcess() as plain:
        assert (plain.token_service, plain.metadata, plain.token_ca_file) == ("", "", "")
        with pytest.raises(EmulatorError):
            plain.add_role(arn=ROLE)
