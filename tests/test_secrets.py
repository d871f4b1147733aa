"""Secrets reach no log, message or repr, also when the SDK is told to print everything."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from airflow_provider_schedulerx.emulator.process import EmulatorProcess

SECRETS = ("sts-secret", "tok+en/ one=", "tok%2Ben", "bear-token", "proxy-secret")

PROGRAM = textwrap.dedent(
    """
    import logging, sys
    logging.basicConfig(level=logging.DEBUG)
    from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
    hook = SchedulerXHook()
    print(hook, hook.settings, hook.get_conn())
    print(hook.test_connection())
    print(hook.execute_workflow(1, {"a": 1}))
    for call in (lambda: hook.get_workflow(99), lambda: hook.execute_workflow(6)):
        try:
            call()
        except Exception as error:
            logging.exception("failed")
            print(repr(error), vars(error))
    """
)


@pytest.mark.parametrize("kind", ["sts", "bearer"])
def test_nothing_that_is_printed_holds_a_secret(emulator: EmulatorProcess, kind: str, tmp_path) -> None:
    import json

    connection = emulator.connection()
    if kind == "sts":
        connection |= {"login": "STS.one", "password": "sts-secret"}
        connection["extra"] |= {"security_token": "tok+en/ one="}
    else:
        connection |= {"login": "", "password": ""}
        connection["extra"] |= {"credential_type": "bearer", "bearer_token": "bear-token"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={
            **os.environ,
            "AIRFLOW_HOME": str(tmp_path),
            "DEBUG": "sdk",
            "AIRFLOW_CONN_SCHEDULERX_DEFAULT": json.dumps(connection),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    assert "(True, 'Connected" in printed
    assert "x-acs-action" in printed, "the SDK should have printed its headers"
    assert ": ***" in printed
    for secret in SECRETS:
        assert secret not in printed
