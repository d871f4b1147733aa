"""All types of credential make real signed calls; temporary keys are renewed, and outlast a server that is away.

The token service, the metadata server and the service are the emulator's, over real sockets: what is signed,
exchanged, expired and refused here is done by the protocols of Alibaba Cloud, not by a mock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_schedulerx.api import exceptions as errors
from airflow_provider_schedulerx.api.connection.credentials import CREDENTIAL_TYPES, CredentialSettings
from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings, Scope
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.api.wire.async_transport import AsyncTransport
from airflow_provider_schedulerx.api.wire.credential_source import CredentialSource
from airflow_provider_schedulerx.api.wire.transport import SyncTransport
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from tests.conftest import WORKFLOWS

SCOPE = Scope("cn-hangzhou", "demo", None, "etl")
READ = calls.list_namespaces(SCOPE)
ROLE = "acs:ram::1144881807903942:role/airflow"
PROVIDER = "acs:ram::1144881807903942:oidc-provider/emulator"
METADATA_PATH = "/latest/meta-data/ram/security-credentials/airflow"
KEY = {"access_key_id": "emulator", "access_key_secret": "emulator-secret"}

#: Types whose keys are issued by a server -> by which, as the emulator counts them.
FETCHED = {
    "ram_role_arn": "AssumeRole",
    "oidc_role_arn": "AssumeRoleWithOIDC",
    "ecs_ram_role": "metadata",
    "credentials_uri": "metadata",
}


@pytest.fixture(scope="module")
def _cloud() -> Iterator[EmulatorProcess]:
    with EmulatorProcess(
        *("--workflows", str(WORKFLOWS), "--quota", "1000000"),
        *("--tls", "--token-port", "0", "--metadata-port", "0"),
    ) as cloud:
        yield cloud


@pytest.fixture
def cloud(_cloud: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatorProcess]:
    """An emulator with everything that issues keys."""

    def as_new() -> None:
        _cloud.clear_faults()
        _cloud.set_issuer(lifetime=None, away=None)
        _cloud.set_metadata(mode="both", role_name="airflow")

    as_new()
    # The SDK calls the token service by https, and the metadata server at 100.100.100.200: both are reached as they
    # would be with a private authority and through a proxy.
    monkeypatch.setenv("SSL_CERT_FILE", _cloud.token_ca_file)
    monkeypatch.setenv("HTTP_PROXY", _cloud.metadata)
    yield _cloud
    as_new()


@pytest.fixture
def fields(
    cloud: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, dict[str, Any]]:
    """The fields that each type of credential needs here."""
    from alibabacloud_credentials.utils import auth_util

    # The SDK reads the environment when it is imported.
    monkeypatch.setattr(auth_util, "environment_access_key_id", "emulator")
    monkeypatch.setattr(auth_util, "environment_access_key_secret", "emulator-secret")
    token_file = tmp_path / "token"
    token_file.write_text(cloud.oidc_token())
    oidc = {"oidc_provider_arn": PROVIDER, "oidc_token_file_path": str(token_file)}
    sts = {"role_arn": ROLE, "sts_endpoint": cloud.token_service}
    return {
        "access_key": KEY,
        "sts": {
            "access_key_id": "STS.one",
            "access_key_secret": "sts-secret",
            "security_token": "tok+en/ one=",
        },
        "ram_role_arn": {**KEY, **sts},
        "ecs_ram_role": {},
        "oidc_role_arn": {**oidc, **sts},
        "credentials_uri": {"credentials_uri": f"{cloud.metadata}{METADATA_PATH}?token=uri-secret"},
        "bearer": {"bearer_token": "bear-token"},
        "default": {},
    }


def settings(cloud: EmulatorProcess, credential_type: str, **fields: Any) -> SchedulerXSettings:
    extra = {
        "region_id": "cn-hangzhou",
        "credential_type": credential_type,
        "ca_file": cloud.ca_file,
        **fields,
    }
    return SchedulerXSettings.from_connection(host=cloud.endpoint, extra=extra)


class Sync:
    """Both sides, as one interface."""

    def __init__(self, made: SchedulerXSettings) -> None:
        self._transport = SyncTransport(made, max_retry_seconds=0)

    async def perform(self, call: calls.Call[Any]) -> Any:
        return self._transport.perform(call)

    async def __aenter__(self) -> Sync:
        return self

    async def __aexit__(self, *exception: object) -> None:
        pass


def deferred(made: SchedulerXSettings) -> AsyncTransport:
    return AsyncTransport(made, max_retry_seconds=0)


SIDES = pytest.mark.parametrize("side", [Sync, deferred], ids=["sync", "deferred"])


def perform(side: Callable[..., Any], made: SchedulerXSettings, call: calls.Call[Any] = READ) -> Any:
    async def once() -> Any:
        async with side(made) as transport:
            return await transport.perform(call)

    return asyncio.run(once())


def test_every_type_is_tried(fields: dict[str, dict[str, Any]]) -> None:
    assert fields.keys() == CREDENTIAL_TYPES.keys()


@SIDES
@pytest.mark.parametrize("credential_type", CREDENTIAL_TYPES)
def test_every_type_makes_signed_calls(
    cloud: EmulatorProcess, fields: dict[str, dict[str, Any]], side: Callable[..., Any], credential_type: str
) -> None:
    kind = FETCHED.get(credential_type, "")
    before = cloud.issued(kind)
    made = settings(cloud, credential_type, **fields[credential_type])
    assert {namespace.uid for namespace in perform(side, made)} == {"demo", "empty"}
    # The metadata server gives all who ask the same key.
    assert cloud.issued(kind) - before in ((0, 1) if kind == "metadata" else (1 if kind else 0,))


@SIDES
@pytest.mark.parametrize("credential_type", ["ram_role_arn", "oidc_role_arn"])
def test_a_key_is_used_until_it_grows_old(
    cloud: EmulatorProcess, fields: dict[str, dict[str, Any]], side: Callable[..., Any], credential_type: str
) -> None:
    """The SDK asks for another 15 minutes before a key expires, which here is 2 to 3 s after it was issued."""
    cloud.set_issuer(lifetime=903)
    kind = FETCHED[credential_type]

    async def use() -> list[int]:
        issued: list[int] = []
        async with side(settings(cloud, credential_type, **fields[credential_type])) as transport:
            deadline = time.monotonic() + 30
            while len(set(issued)) < 2 and time.monotonic() < deadline:
                assert await transport.perform(READ)
                issued.append(cloud.issued(kind))
                await asyncio.sleep(0.05)
        return issued

    before = cloud.issued(kind)
    issued = asyncio.run(use())
    assert sorted(set(issued)) == [before + 1, before + 2]
    assert issued.count(before + 1) > 1, "calls that used the same key"


@SIDES
def test_keys_that_expire_in_seconds_are_renewed(
    cloud: EmulatorProcess, fields: dict[str, dict[str, Any]], side: Callable[..., Any]
) -> None:
    cloud.set_issuer(lifetime=3)

    async def use() -> None:
        async with contextlib.AsyncExitStack() as stack:
            made = [settings(cloud, kind, **fields[kind]) for kind in FETCHED]
            transports = [await stack.enter_async_context(side(each)) for each in made]
            for transport in transports:
                assert await transport.perform(READ)
            before = {server: cloud.issued(server) for server in FETCHED.values()}
            await asyncio.sleep(3.1)  # the service refuses these keys now
            for transport in transports:
                assert await transport.perform(READ)
            for server, issued in before.items():
                assert cloud.issued(server) > issued

    asyncio.run(use())


@pytest.mark.parametrize(
    ("side", "first", "then"),
    [(Sync, "drop", "error"), (deferred, "error", "drop")],
    ids=["sync", "deferred"],
)
def test_a_server_that_is_away_is_not_missed_while_the_key_is_good(
    cloud: EmulatorProcess,
    fields: dict[str, dict[str, Any]],
    side: Callable[..., Any],
    first: str,
    then: str,
) -> None:
    """The SDK alone fails every call at once, or uses an expired key (``ecs_ram_role``)."""
    cloud.set_issuer(lifetime=8)
    start = calls.execute_workflow(SCOPE, 1) if side is Sync else READ

    async def use() -> None:
        async with contextlib.AsyncExitStack() as stack:
            made = {kind: settings(cloud, kind, **fields[kind]) for kind in FETCHED}
            transports = {kind: await stack.enter_async_context(side(each)) for kind, each in made.items()}
            for transport in transports.values():
                assert await transport.perform(READ)
            cloud.set_issuer(away=first)
            for _ in range(3):
                for transport in transports.values():
                    assert await transport.perform(READ)
            cloud.set_issuer(away=then)
            await asyncio.sleep(8.1)  # the keys have expired, and nobody gives others
            before = cloud.counters()["calls"]
            for kind, transport in transports.items():
                with pytest.raises(errors.SchedulerXUnavailableError, match=kind) as caught:
                    await transport.perform(start)
                assert "uri-secret" not in str(caught.value)
            assert cloud.counters()["calls"] == before, "nothing was sent"
            cloud.set_issuer(away=None)
            for transport in transports.values():
                assert await transport.perform(READ)

    asyncio.run(use())


def test_a_server_that_is_away_is_asked_now_and_then(
    cloud: EmulatorProcess, fields: dict[str, dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """Not at every call: each try may take 15 s."""
    cloud.set_issuer(lifetime=600)  # below 15 minutes, so the SDK wants another for each call
    made = SyncTransport(settings(cloud, "ram_role_arn", **fields["ram_role_arn"]), max_retry_seconds=0)
    assert made.perform(READ)
    cloud.set_issuer(away="error")
    for _ in range(20):
        assert made.perform(READ)
    warned = [each.getMessage() for each in caplog.records if "the current key is used" in each.getMessage()]
    assert len(warned) == 1
    assert "ServiceUnavailable (HTTP status 503)" in warned[0]
    for secret in ("emulator-secret", "STS."):
        assert secret not in caplog.text


@SIDES
def test_a_key_that_was_revoked_is_not_used_again(
    cloud: EmulatorProcess, fields: dict[str, dict[str, Any]], side: Callable[..., Any]
) -> None:
    """The SDK alone uses it until a quarter of an hour before its expiry."""

    async def use() -> None:
        async with side(settings(cloud, "ram_role_arn", **fields["ram_role_arn"])) as transport:
            assert await transport.perform(READ)
            before = cloud.issued("AssumeRole")
            assert await transport.perform(READ)
            cloud.revoke_issued()
            with pytest.raises(errors.SchedulerXAuthenticationError, match="Inactive"):
                await transport.perform(READ)
            assert cloud.issued("AssumeRole") == before
            for _ in range(3):
                assert await transport.perform(READ)
            assert cloud.issued("AssumeRole") == before + 1

    asyncio.run(use())


# What the token service checks, and what people are told.


@pytest.mark.parametrize(
    ("role", "change", "says"),
    [
        ({}, {"access_key_secret": "wrong-secret"}, "SignatureDoesNotMatch .*check password"),
        ({}, {"access_key_id": "nobody"}, "InvalidAccessKeyId.NotFound .*check login"),
        ({}, {"access_key_id": "disabled", "access_key_secret": "x"}, "InvalidAccessKeyId.Inactive"),
        ({}, {"role_arn": "acs:ram::1144881807903942:role/nobody"}, "EntityNotExist.Role .*check role_arn"),
        ({}, {"role_arn": "airflow"}, "InvalidParameter.RoleArn .*check role_arn"),
        ({}, {"role_session_name": "x"}, "InvalidParameter.RoleSessionName .*role_session_name"),
        ({}, {"role_session_expiration": 7200}, "InvalidParameter.DurationSeconds .*maximum session"),
        ({}, {"policy": {"Version": "1"}}, "InvalidParameter.PolicyGrammar .*check policy"),
        ({"trusted": ["denied"]}, {}, "NoPermission .*trust policy"),
        ({"external_id": "secret-id"}, {}, "NoPermission .*external_id"),
        ({"external_id": "secret-id"}, {"external_id": "other"}, "NoPermission .*external_id"),
        ({}, {"access_key_id": "denied", "access_key_secret": "denied-secret"}, "AliyunSTSAssumeRoleAccess"),
        ({}, {"security_token": "stray"}, "InvalidSecurityToken.* check security_token"),
    ],
)
def test_a_role_that_cannot_be_assumed_says_why(
    cloud: EmulatorProcess, fields: dict[str, dict[str, Any]], role: dict, change: dict, says: str
) -> None:
    cloud.add_role(arn="acs:ram::1144881807903942:role/checked", **role)
    given = {**fields["ram_role_arn"], "role_arn": "acs:ram::1144881807903942:role/checked", **change}
    for side in (Sync, deferred):
        with pytest.raises(errors.SchedulerXAuthenticationError, match=says) as caught:
            perform(side, settings(cloud, "ram_role_arn", **given))
        assert "secret" not in str(caught.value).replace("AccessKey secret", "")


@pytest.mark.parametrize(
    ("role", "change"),
    [
        ({"external_id": "an-id"}, {"external_id": "an-id"}),
        ({"max_seconds": 7200}, {"role_session_expiration": 7200, "role_session_name": "air.flow@x-1"}),
        ({"trusted": ["emulator"]}, {}),
        # The SDK signs a space of the policy otherwise than documented.
        ({}, {"policy": '{"Version": "1", "Statement": [{"Effect": "Allow", "Action": "edas:*", "Resource": "a b"}]}'}),
        ({"trusted": ["STS.plain"]},
         {"access_key_id": "STS.plain", "access_key_secret": "s", "security_token": "plain+token/=="}),
    ],
    ids=["external_id", "duration", "trusted", "policy", "from_sts"],
)  # fmt: skip
def test_a_role_can_be_assumed_with_all_that_a_connection_takes(
    cloud: EmulatorProcess, fields: dict[str, dict[str, Any]], role: dict, change: dict
) -> None:
    cloud.add_account(access_key_id="STS.plain", access_key_secret="s", security_token="plain+token/==")
    cloud.add_role(arn="acs:ram::1144881807903942:role/checked", **role)
    given = {**fields["ram_role_arn"], "role_arn": "acs:ram::1144881807903942:role/checked", **change}
    assert perform(Sync, settings(cloud, "ram_role_arn", **given))


@SIDES
def test_a_session_policy_narrows_what_the_role_may_do(
    cloud: EmulatorProcess, fields: dict[str, dict[str, Any]], side: Callable[..., Any]
) -> None:
    statement = {"Effect": "Allow", "Action": ["edas:ReadSchedulerxWorkflowQuery"], "Resource": "*"}
    for kind in ("ram_role_arn", "oidc_role_arn"):
        policy = {"Version": "1", "Statement": [statement]}
        made = settings(cloud, kind, **fields[kind], policy=policy)
        assert perform(side, made, calls.get_workflow(SCOPE, 1)).name == "good"
        with pytest.raises(errors.SchedulerXAuthorizationError):
            perform(side, made)


@pytest.mark.parametrize(
    ("wanted", "change", "says"),
    [
        ({"seconds": -1}, {}, "AuthenticationFail.OIDCToken.Expired .*is it renewed"),
        (None, {}, "AuthenticationFail.OIDCToken.Invalid .*oidc_token_file_path"),
        ({"audience": "kubernetes"}, {}, "AuthenticationFail.NoPermission .*trust policy"),
        ({}, {"oidc_provider_arn": PROVIDER + "2"}, "AuthenticationFail.NoPermission .*OIDC provider"),
        ({}, {"role_arn": "acs:ram::1144881807903942:role/nobody"}, "EntityNotExist.Role"),
    ],
    ids=["expired", "garbage", "audience", "provider", "role"],
)
def test_a_token_of_a_pod_that_is_refused_says_why(
    cloud: EmulatorProcess, fields: dict[str, dict[str, Any]], wanted: dict | None, change: dict, says: str
) -> None:
    given = {**fields["oidc_role_arn"], **change}
    token = "not.a.token" if wanted is None else cloud.oidc_token(**wanted)
    Path(given["oidc_token_file_path"]).write_text(token)
    for side in (Sync, deferred):
        with pytest.raises(errors.SchedulerXAuthenticationError, match=says) as caught:
            perform(side, settings(cloud, "oidc_role_arn", **given))
        assert token not in str(caught.value)


def test_a_token_file_is_read_again_for_each_exchange(
    cloud: EmulatorProcess, fields: dict[str, dict[str, Any]]
) -> None:
    """Kubernetes replaces it before the token expires."""
    cloud.set_issuer(lifetime=2)
    file = Path(fields["oidc_role_arn"]["oidc_token_file_path"])
    file.write_text(cloud.oidc_token(seconds=2))
    made = SyncTransport(settings(cloud, "oidc_role_arn", **fields["oidc_role_arn"]), max_retry_seconds=0)
    assert made.perform(READ)
    time.sleep(2.1)
    with pytest.raises(errors.SchedulerXAuthenticationError, match="OIDCToken.Expired"):
        made.perform(READ)
    file.write_text(cloud.oidc_token())
    assert made.perform(READ)


@SIDES
def test_a_missing_token_file_is_named(
    cloud: EmulatorProcess, fields: dict[str, dict[str, Any]], side: Callable[..., Any]
) -> None:
    given = {**fields["oidc_role_arn"], "oidc_token_file_path": "/no/such/token"}
    with pytest.raises(errors.SchedulerXUnavailableError, match="/no/such/token"):
        perform(side, settings(cloud, "oidc_role_arn", **given))


@SIDES
@pytest.mark.parametrize(
    ("change", "environment", "says"),
    [
        (
            {"sts_endpoint": "127.0.0.1:1"},
            {},
            "cannot reach the security token service 127.0.0.1:1: Connection refused",
        ),
        ({}, {"SSL_CERT_FILE": None}, "certificate is not trusted; SSL_CERT_FILE"),
        ({"sts_endpoint": "sts.invalid"}, {}, "does not resolve; in a VPC, set sts_endpoint"),
    ],
    ids=["refused", "certificate", "name"],
)
def test_a_token_service_that_cannot_be_reached_says_what_to_set(
    cloud: EmulatorProcess,
    fields: dict[str, dict[str, Any]],
    side: Callable[..., Any],
    change: dict,
    environment: dict,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from Tea.core import TeaCore

    monkeypatch.setattr(TeaCore, "_sessions", {})  # which keep the authorities that they were made with
    for name in environment:
        monkeypatch.delenv(name)
    with pytest.raises(errors.SchedulerXUnavailableError, match=says):
        perform(side, settings(cloud, "ram_role_arn", **{**fields["ram_role_arn"], **change}))


# The metadata server.


@SIDES
@pytest.mark.parametrize(
    ("mode", "fields_given", "works"),
    [
        ("normal", {}, True),
        ("both", {}, True),
        ("tokens", {}, True),
        ("both", {"role_name": "airflow"}, True),
        ("both", {"role_name": "nobody"}, False),
        ("tokens", {"disable_imds_v1": True}, True),
        ("normal", {"disable_imds_v1": True}, False),
    ],
)
def test_the_metadata_server_is_asked_in_every_mode(
    cloud: EmulatorProcess, side: Callable[..., Any], mode: str, fields_given: dict, works: bool
) -> None:
    cloud.set_metadata(mode=mode)
    made = settings(cloud, "ecs_ram_role", **fields_given)
    if works:
        assert perform(side, made)
        return
    with pytest.raises(errors.SchedulerXAuthenticationError, match="HTTP status 404.*check role_name"):
        perform(side, made)


AT_ITS_ADDRESS = """
from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings, Scope
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.api.wire.transport import SyncTransport
from airflow_provider_schedulerx.emulator.process import EmulatorProcess

with EmulatorProcess("--metadata-port", "80", "--metadata-host", "100.100.100.200") as cloud:
    cloud.set_metadata(mode="tokens")
    extra = {"region_id": "cn-hangzhou", "credential_type": "ecs_ram_role"}
    settings = SchedulerXSettings.from_connection(host=cloud.endpoint, extra=extra)
    print(SyncTransport(settings).perform(calls.list_namespaces(Scope("cn-hangzhou"))))
"""


def test_the_metadata_server_is_found_at_its_address(tmp_path: Path) -> None:
    """In a network namespace, where 100.100.100.200 is the machine itself, and nothing else can be reached."""
    network = "ip link set lo up && ip addr add 100.100.100.200/32 dev lo"
    try:
        subprocess.run(["unshare", "-rn", "sh", "-c", network], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine allows no network namespaces")
    program = tmp_path / "program.py"
    program.write_text(AT_ITS_ADDRESS)
    done = subprocess.run(
        ["unshare", "-rn", "sh", "-c", f'{network} && exec "$0" "$1"', sys.executable, str(program)],
        env={name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "name='demo'" in done.stdout


# The default chain.


def test_the_default_chain_starts_no_thread_and_leaves_signals_alone(
    cloud: EmulatorProcess, fields: dict[str, dict[str, Any]]
) -> None:
    """By SIGTERM Airflow stops a task; the SDK up to 1.0.8 replaces its handler."""
    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    threads = set(threading.enumerate())
    for kind in ("default", "ecs_ram_role"):
        made = settings(cloud, kind, **fields[kind])
        assert perform(Sync, made)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(made.credential_client).result(30)
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert set(threading.enumerate()) <= threads


@SIDES
def test_the_default_chain_goes_on_to_the_role_of_the_instance(
    cloud: EmulatorProcess, side: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # without profiles
    cloud.set_issuer(lifetime=3)

    async def use() -> None:
        async with side(settings(cloud, "default")) as transport:
            assert await transport.perform(READ)
            await asyncio.sleep(3.1)
            assert await transport.perform(READ)
            cloud.set_issuer(away="error")
            await asyncio.sleep(3.1)
            with pytest.raises(errors.SchedulerXUnavailableError, match="ecs_ram_role: .*HttpCode=503"):
                await transport.perform(READ)

    asyncio.run(use())


@SIDES
def test_an_empty_default_chain_says_what_was_tried(
    cloud: EmulatorProcess, side: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    cloud.set_metadata(role_name="")  # an instance without a role
    with pytest.raises(errors.SchedulerXAuthenticationError, match="env: .*profile: .*ecs_ram_role: "):
        perform(side, settings(cloud, "default"))


# Secrets.


class Answering:
    """A credentials server with one answer."""

    def __init__(self, body: dict[str, str], status: int = 200) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                raw = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_port}/credentials?token=uri-secret"

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self.uri

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()


HELD = {
    "AccessKeyId": "STS.key",
    "AccessKeySecret": "issued-secret",
    "SecurityToken": "issued-token",
    "Expiration": "2001-01-01T00:00:00Z",
}


@SIDES
@pytest.mark.parametrize(
    ("body", "status", "kind", "says"),
    [
        (
            {**HELD, "Code": "Failed"},
            200,
            errors.SchedulerXAuthenticationError,
            "error retrieving credentials",
        ),
        ({**HELD, "Code": "Success"}, 200, errors.SchedulerXAuthenticationError, "check the clock"),
        (
            {**HELD, "Code": "Nope"},
            403,
            errors.SchedulerXAuthenticationError,
            r"answered Nope \(HTTP status 403",
        ),
        (
            {**HELD, "Code": "Oops"},
            502,
            errors.SchedulerXUnavailableError,
            r"answered Oops \(HTTP status 502",
        ),
        (
            {**HELD, "Code": "Success", "Expiration": "soon"},
            200,
            errors.SchedulerXUnavailableError,
            "understood",
        ),
    ],
    ids=["failed", "expired", "forbidden", "bad gateway", "malformed"],
)
def test_what_a_credentials_server_answers_is_not_shown(
    cloud: EmulatorProcess,
    side: Callable[..., Any],
    body: dict[str, str],
    status: int,
    kind: type[Exception],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("HTTP_PROXY")
    caplog.set_level(logging.DEBUG, "credentials")
    with Answering(body, status) as uri, pytest.raises(kind, match=says) as caught:
        perform(side, settings(cloud, "credentials_uri", credentials_uri=uri))
    text = f"{caught.value} {caught.value!r} {vars(caught.value)} {caplog.text} {''.join(capfd.readouterr())}"
    for secret in ("issued-secret", "issued-token", "uri-secret"):
        assert secret not in text
    assert caught.value.__suppress_context__


# Many threads: a triggerer asks in a thread for each call.


class Slow:
    """A client of alibabacloud-credentials whose server answers when it is let."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.asked = 0
        self.may_answer = threading.Event()
        self.error: Exception | None = None
        self.lifetime = 100.0
        self.cloud_credential = SimpleNamespace(type_name="ram_role_arn", provider=self)

    def get_credentials(self) -> Any:
        self.asked += 1
        self.may_answer.wait(30)
        if self.error is not None:
            raise self.error
        from alibabacloud_credentials.provider.refreshable import Credentials

        expires = int(self._clock() + self.lifetime)
        return Credentials(access_key_id=f"key-{self.asked}", access_key_secret="s", expiration=expires)


@pytest.fixture
def slow() -> tuple[Slow, CredentialSource, list[float]]:
    now = [1000.0]
    client = Slow(lambda: now[0])
    made = SimpleNamespace(
        credential=CredentialSettings("ram_role_arn", {}), credential_client=lambda: client, secrets=()
    )
    source = CredentialSource(made, lambda: now[0])  # type: ignore[arg-type]
    return client, source, now


def test_threads_that_have_no_key_wait_for_one_try(slow: tuple[Slow, CredentialSource, list[float]]) -> None:
    client, source, _ = slow
    client.error = ValueError("no JSON")
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(source.get) for _ in range(20)]
        while client.asked == 0:
            time.sleep(0.001)
        time.sleep(0.1)  # for the others to wait; a late one makes a try of its own
        client.may_answer.set()
        for each in waiting:
            with pytest.raises(
                errors.SchedulerXUnavailableError, match=r"could not be understood \(ValueError\)"
            ):
                each.result(30)
    assert client.asked < 20
    client.error = None
    assert source.get().access_key_id


def test_threads_that_have_a_good_key_do_not_wait(slow: tuple[Slow, CredentialSource, list[float]]) -> None:
    client, source, _ = slow
    client.may_answer.set()
    assert source.get().access_key_id == "key-1"
    client.may_answer.clear()
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(source.get)
        while client.asked == 1:
            time.sleep(0.001)
        assert [source.get().access_key_id for _ in range(50)] == ["key-1"] * 50
        client.may_answer.set()
        assert renewing.result(30).access_key_id == "key-2"


def test_a_key_that_the_sdk_holds_on_to_beyond_its_expiry_is_not_used(
    slow: tuple[Slow, CredentialSource, list[float]],
) -> None:
    client, source, now = slow
    client.may_answer.set()
    client.lifetime = -1.0
    with pytest.raises(errors.SchedulerXAuthenticationError, match="check the clock"):
        source.get()
    assert client.asked == 2, "a second client was asked"
    client.lifetime = 100.0
    assert source.get()
    now[0] += 200
    client.error = ValueError()
    with pytest.raises(errors.SchedulerXUnavailableError):
        source.get()
