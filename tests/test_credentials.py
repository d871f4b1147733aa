"""Credentials that are fetched: they are used, refreshed by themselves, and their secrets stay inside."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_schedulerx.api import exceptions as errors
from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings, Scope
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.api.wire.transport import SyncTransport
from airflow_provider_schedulerx.emulator.process import EmulatorProcess

READ = calls.list_namespaces(Scope("cn-hangzhou"))


class Issuer:
    """A credentials server: every request gets a new key and token, which the emulator knows."""

    def __init__(self, emulator: EmulatorProcess) -> None:
        issuer = self
        self.emulator = emulator
        self.issued = 0
        self.lifetime = timedelta(hours=1)
        self.fails = False

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(issuer.issue()).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_port}/credentials?token=uri-secret"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def issue(self) -> dict[str, str]:
        self.issued += 1
        key, secret, token = (
            f"{name}-{self.issued}" for name in ("STS.key", "issued-secret", "issued-token")
        )
        self.emulator.add_account(access_key_id=key, access_key_secret=secret, security_token=token)
        return {
            "Code": "Failed" if self.fails else "Success",
            "AccessKeyId": key,
            "AccessKeySecret": secret,
            "SecurityToken": token,
            "Expiration": f"{datetime.now(UTC) + self.lifetime:%Y-%m-%dT%H:%M:%SZ}",
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def issuer(emulator: EmulatorProcess) -> Iterator[Issuer]:
    issuer = Issuer(emulator)
    yield issuer
    issuer.close()


def transport(emulator: EmulatorProcess, **extra: Any) -> SyncTransport:
    settings = SchedulerXSettings.from_connection(
        host=emulator.endpoint, extra={"region_id": "cn-hangzhou", **extra}
    )
    return SyncTransport(settings, max_retry_seconds=0)


def test_a_fetched_credential_is_used_until_it_grows_old(emulator: EmulatorProcess, issuer: Issuer) -> None:
    made = transport(emulator, credential_type="credentials_uri", credentials_uri=issuer.uri)
    for _ in range(5):
        assert made.perform(READ)
    assert issuer.issued == 1


def test_a_credential_that_grows_old_is_replaced_by_itself(
    emulator: EmulatorProcess, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = transport(emulator, credential_type="credentials_uri", credentials_uri=issuer.uri)
    assert made.perform(READ)
    cached = made._credentials._client.cloud_credential.provider._credentials_cache._cached_value
    monkeypatch.setattr(cached, "_stale_time", 1)  # as if its time had come
    assert made.perform(READ)
    assert issuer.issued == 2


def test_a_refused_credential_shows_neither_keys_nor_query(emulator: EmulatorProcess, issuer: Issuer) -> None:
    issuer.fails = True
    made = transport(emulator, credential_type="credentials_uri", credentials_uri=issuer.uri)
    with pytest.raises(
        errors.SchedulerXAuthenticationError, match="credential_type 'credentials_uri'"
    ) as caught:
        made.perform(READ)
    text = f"{caught.value} {caught.value!r} {vars(caught.value)}"
    for secret in ("issued-secret", "issued-token", "uri-secret"):
        assert secret not in text
    assert caught.value.__suppress_context__


def test_a_credentials_server_that_is_away_surely_started_nothing(
    emulator: EmulatorProcess,
    issuer: Issuer,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    issuer.close()
    caplog.set_level(logging.DEBUG)
    made = transport(emulator, credential_type="credentials_uri", credentials_uri=issuer.uri)
    with pytest.raises(errors.SchedulerXUnavailableError, match="could not be fetched") as caught:
        made.perform(calls.execute_workflow(Scope("cn-hangzhou", "demo", None, "etl"), 1))
    assert "uri-secret" not in str(caught.value)
    assert "Refresh credentials failed" in caplog.text
    assert "uri-secret" not in caplog.text
    assert "uri-secret" not in "".join(capfd.readouterr())


def test_a_missing_token_file_is_named(emulator: EmulatorProcess) -> None:
    made = transport(
        emulator,
        credential_type="oidc_role_arn",
        role_arn="acs:ram::1:role/r",
        oidc_provider_arn="acs:ram::1:oidc-provider/p",
        oidc_token_file_path="/no/such/token",
    )
    with pytest.raises(errors.SchedulerXUnavailableError, match="/no/such/token"):
        made.perform(READ)


def test_bearer_tokens_work(emulator: EmulatorProcess) -> None:
    assert transport(emulator, credential_type="bearer", bearer_token="bear-token").perform(READ)


def test_sts_tokens_work(emulator: EmulatorProcess) -> None:
    settings = SchedulerXSettings.from_connection(
        login="STS.one",
        password="sts-secret",
        host=emulator.endpoint,
        extra={"region_id": "cn-hangzhou", "security_token": "tok+en/ one="},
    )
    assert SyncTransport(settings).perform(READ)


def test_the_default_chain_finds_the_environment(
    emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from alibabacloud_credentials.utils import auth_util

    # The SDK reads the environment when it is imported.
    monkeypatch.setattr(auth_util, "environment_access_key_id", "emulator")
    monkeypatch.setattr(auth_util, "environment_access_key_secret", "emulator-secret")
    made = transport(emulator)
    assert made._settings.credential.credential_type == "default"
    assert made.perform(READ)
