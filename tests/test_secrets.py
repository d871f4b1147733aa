"""Secrets and parameters reach no log, message or repr, though every logger and the SDKs print everything they can."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_schedulerx.api.connection import redaction
from airflow_provider_schedulerx.api.connection.credentials import CREDENTIAL_TYPES
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from tests.api.connection.test_credentials import _cloud, cloud, fields

__all__ = ["_cloud", "cloud", "fields"]

#: What must not be printed: secrets and tokens as they are and percent-encoded, parameters, and signed queries.
SECRETS = (
    *("sts-secret", "emulator-secret", "tok+en/ one=", "tok%2Ben", "bear-token", "uri-secret"),
    *("parameter-secret", "InstanceParameters=", "WorkflowId=", "Signature=", "SecurityToken="),
)

PROGRAM = textwrap.dedent(
    """
    import asyncio, json, logging, os, sys
    from urllib.parse import quote
    from airflow_provider_schedulerx import api
    from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
    from airflow_provider_schedulerx.exceptions import SchedulerXError

    everything = logging.StreamHandler(sys.stderr)

    def everything_at_debug():
        # Airflow has its own handlers, with a level.
        logging.root.setLevel(logging.DEBUG)
        if everything not in logging.root.handlers:
            logging.root.addHandler(everything)
        for name in list(logging.root.manager.loggerDict):
            logging.getLogger(name).setLevel(logging.DEBUG)

    issued = set()

    def see(source):
        key = source._key.credential
        issued.update(filter(None, (key.access_key_secret, key.security_token, key.bearer_token)))

    def tried(call):
        try:
            print(call())
        except SchedulerXError as error:
            logging.exception("failed")
            print(repr(error), vars(error))

    async def deferred(hook):
        scope = (await hook.aget_settings()).scope
        async with api.async_transport.AsyncTransport(hook.settings, 0) as transport:
            for call in (
                api.calls.list_namespaces(scope),
                api.calls.get_workflow(scope, 99),
                api.calls.execute_workflow(scope, 1, {"p": "parameter-secret"}),
            ):
                try:
                    print(await transport.perform(call))
                except SchedulerXError as error:
                    logging.exception("failed")
                    print(repr(error), vars(error))
            see(transport.session.credentials)

    for kind in json.loads(os.environ["KINDS"]):
        hook = SchedulerXHook(f"sx_{kind}")
        transport = hook.get_conn()
        everything_at_debug()
        print(hook, hook.settings, transport)
        tried(hook.test_connection)
        tried(lambda: hook.execute_workflow(1, {"p": "parameter-secret"}))
        tried(lambda: hook.get_workflow(99))
        see(transport._credentials)
        asyncio.run(deferred(SchedulerXHook(f"sx_{kind}")))
        # And with nobody there, where libraries quote the URL in exceptions.
        away = SchedulerXHook(f"sx_{kind}_away")
        tried(lambda: away.single_try_transport.perform(
            api.calls.execute_workflow(away.scope, 1, {"p": "parameter-secret"})))
    print("kinds done")
    with open(os.environ["ISSUED"], "w") as file:
        json.dump(sorted(issued | {quote(each, safe="") for each in issued}), file)
    """
)


def connection(kind: str, cloud: EmulatorProcess, given: dict[str, Any], host: str | None = None) -> str:
    given = dict(given)
    return json.dumps(
        {
            "conn_type": "schedulerx",
            "login": given.pop("access_key_id", None),
            "password": given.pop("access_key_secret", None),
            "host": host or cloud.endpoint,
            "extra": {
                "region_id": "cn-hangzhou",
                "namespace": "demo",
                "group_id": "etl",
                "ca_file": cloud.ca_file,
                "credential_type": kind,
                **given,
            },
        }
    )


def test_nothing_that_is_printed_holds_a_secret(
    cloud: EmulatorProcess, fields: dict[str, dict[str, Any]], tmp_path: Any
) -> None:
    connections = {}
    for kind, given in fields.items():
        connections[f"AIRFLOW_CONN_SX_{kind.upper()}"] = connection(kind, cloud, given)
        connections[f"AIRFLOW_CONN_SX_{kind.upper()}_AWAY"] = connection(
            kind, cloud, given, "https://127.0.0.1:1"
        )
    issued = tmp_path / "issued"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={
            **os.environ,
            **connections,
            "AIRFLOW_HOME": str(tmp_path),
            "DEBUG": "sdk",
            "PYTHONASYNCIODEBUG": "1",
            "KINDS": json.dumps(list(fields)),
            "ISSUED": str(issued),
            "ALIBABA_CLOUD_ACCESS_KEY_ID": "emulator",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "emulator-secret",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    printed = done.stdout + done.stderr
    assert "kinds done" in printed, printed[-5000:]
    assert printed.count("(True, 'Connected") == len(CREDENTIAL_TYPES), printed
    assert printed.count("could not be fetched") == 0
    # They did print: the SDK its request lines, urllib3 its own.
    assert "> GET ... HTTP/1.1" in printed
    assert '"GET /?... HTTP/1.1" 200' in printed
    token = fields["oidc_role_arn"]["oidc_token_file_path"]
    with open(token) as file:
        secrets = (*SECRETS, file.read(), *json.loads(issued.read_text()))
    assert len(secrets) > len(SECRETS) + 8
    for secret in secrets:
        lines = [line for line in printed.splitlines() if secret in line]
        assert not lines, (secret, lines[:3])


TASKS = textwrap.dedent(
    """
    import json, os
    from airflow.sdk import DAG
    from airflow_provider_schedulerx.operators.schedulerx import ExecuteWorkflowOperator

    with DAG("secret", schedule=None) as dag:
        for kind in json.loads(os.environ["KINDS"]):
            for deferrable in (False, True):
                ExecuteWorkflowOperator(
                    task_id=f"{kind}_{'deferred' if deferrable else 'sync'}",
                    schedulerx_conn_id=f"sx_{kind}",
                    workflow_id=1,
                    instance_parameters={"p": "parameter-secret"},
                    deferrable=deferrable,
                    poll_interval=0.5,
                )

    if __name__ == "__main__":
        print("ended as", dag.test().state)
    """
)


@pytest.mark.airflow
def test_no_task_log_at_debug_holds_a_token(
    cloud: EmulatorProcess, fields: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Airflow's own masker does not know the tokens that a server issues, nor anything percent-encoded."""
    kinds = ["oidc_role_arn", "credentials_uri"]
    program = tmp_path / "dags" / "secret.py"
    program.parent.mkdir()
    program.write_text(TASKS)
    env = {
        **os.environ,
        **{f"AIRFLOW_CONN_SX_{kind.upper()}": connection(kind, cloud, fields[kind]) for kind in kinds},
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(program.parent),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
        "DEBUG": "sdk",
        "KINDS": json.dumps(kinds),
    }
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"], env=env, check=True, capture_output=True
    )
    done = subprocess.run(
        [sys.executable, str(program)], env=env, capture_output=True, text=True, check=False
    )
    logs = "".join(path.read_text() for path in (tmp_path / "logs").rglob("*.log"))
    printed = done.stdout + done.stderr + logs
    assert "ended as success" in printed, printed[-5000:]
    assert "urllib3.connectionpool" in printed
    token = Path(fields["oidc_role_arn"]["oidc_token_file_path"]).read_text()
    # Not Airflow's own word at DEBUG that it is about to mask a connection, which quotes it whole. The rendered
    # arguments of the operator are printed by Airflow, too, so parameters are looked for in queries only.
    ours = [line for line in printed.splitlines() if "MaskSecret(" not in line]
    for secret in ("uri-secret", token, "InstanceParameters=", "Signature=", "SecurityToken="):
        lines = [line for line in ours if secret in line]
        assert not lines, (secret, lines[:3])


def test_only_our_own_requests_are_left_out_of_urllib3s_log(caplog: pytest.LogCaptureFixture) -> None:
    redaction.guard_sdk_logs()
    log = logging.getLogger("urllib3.connectionpool")
    with caplog.at_level(logging.DEBUG, "urllib3.connectionpool"):
        log.debug('%s "%s %s"', "https://theirs", "GET", "/?a=theirs")
        with redaction.queries_unlogged():
            log.debug('%s "%s %s"', "https://ours", "GET", "/?a=ours&b=x")
        log.debug('%s "%s %s"', "https://theirs", "GET", "/?a=theirs")
    assert [record.getMessage() for record in caplog.records] == [
        'https://theirs "GET /?a=theirs"',
        'https://ours "GET /?..."',
        'https://theirs "GET /?a=theirs"',
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "Max retries exceeded with url: /p?token=x (Caused by y)",
            "Max retries exceeded with url: /p?... (Caused by y)",
        ),
        ("https://h/?a=b&c=d", "https://h/?..."),
        ("'https://h:1?a=b' failed", "'https://h:1?...' failed"),
        ("is this port really https? host may begin", "is this port really https? host may begin"),
    ],
)
def test_queries_are_left_out_of_texts(text: str, shown: str) -> None:
    assert redaction.without_queries(text) == shown
