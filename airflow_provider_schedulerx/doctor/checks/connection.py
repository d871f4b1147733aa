"""What the connection says, and which credential it leads to. Nothing is sent to SchedulerX."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError, SchedulerXError
from airflow_provider_schedulerx.doctor.findings import Finding, count, fail, ok, warn
from airflow_provider_schedulerx.doctor.scrubbing import shortened
from airflow_provider_schedulerx.doctor.session import Session, within

#: Seconds to wait for a credential, which may come from a server.
CREDENTIAL_SECONDS = 15.0


def connection(session: Session) -> Iterator[Finding]:
    """Read and check the connection."""
    conn_id = session.hook.schedulerx_conn_id
    try:
        settings = session.hook.settings
    except SchedulerXConfigurationError as error:
        session.lacking["settings"] = "the connection is wrong"
        yield fail("connection", "wrong", error.message, "Correct it in Airflow, and run this command again.")
        return
    except Exception as error:
        session.lacking["settings"] = "the connection cannot be read"
        yield _unreadable(conn_id, error)
        return
    session.settings = settings
    _protect(session)
    yield ok("connection", conn_id, f"Airflow knows {conn_id}, and its fields fit together")


def _unreadable(conn_id: str, error: Exception) -> Finding:
    key, variable = "connection", f"AIRFLOW_CONN_{conn_id.upper()}"
    check_variable = f"Check that {variable} is JSON or a URI, with special characters percent-encoded."
    if "NotFound" not in type(error).__name__:
        # Its text may quote the connection, and that holds secrets.
        return fail(
            key,
            "unreadable",
            f"Airflow cannot read connection {conn_id!r} ({type(error).__name__})",
            f"{check_variable} If the connection is in the database: can it be reached, and is the fernet key right?",
        )
    if variable in os.environ:
        # Airflow has logged why, and gone on looking for it elsewhere.
        return fail(key, "unreadable", f"{variable} is set, but Airflow cannot read it", check_variable)
    return fail(
        key,
        "missing",
        f"Airflow has no connection {conn_id!r}",
        "Check the spelling (airflow connections list), or create it.",
    )


def _protect(session: Session) -> None:
    settings = session.settings
    assert settings is not None  # noqa: S101 - set by the caller
    for secret in settings.secrets:
        session.scrubber.add_secret(secret)
    values = settings.credential.values
    if values.get("access_key_id"):
        session.scrubber.add_secret(str(values["access_key_id"]), shortened(str(values["access_key_id"])))
    scope = settings.scope
    for name, kind in (
        (scope.namespace, "namespace"),
        (scope.group_id, "group"),
        (scope.namespace_source, "source"),
        (values.get("role_arn"), "role"),
        (values.get("role_name"), "role"),
        (values.get("oidc_provider_arn"), "provider"),
        (session.hook.schedulerx_conn_id, "connection"),
        (settings.account_name, "account"),
        (settings.ca_file, "file"),
    ):
        session.scrubber.add_name(name, kind)
    host = settings.endpoint.authority.rpartition(":")[0] or settings.endpoint.authority
    if not host.endswith(".aliyuncs.com"):
        session.scrubber.add_name(settings.endpoint.authority, "host")
        session.scrubber.add_name(host, "host")


def unknown_fields(session: Session) -> Iterator[Finding]:
    """Fields of the connection's extra that nothing reads."""
    assert session.settings is not None  # noqa: S101 - checks say what they need
    found = session.settings.unknown_fields
    if not found:
        yield ok("unknown_fields", "none", "every field of the connection's extra is known")
        return
    yield warn(
        "unknown_fields",
        len(found),
        f"{count(len(found), 'field')} of the connection's extra that nothing reads: {', '.join(map(str, found))}",
        "Correct their names, or remove them.",
    )


def scope(session: Session) -> Iterator[Finding]:
    """Region, namespace and group, without which a task cannot do anything."""
    asked = session.scope
    missing = [name for name in ("namespace", "group_id") if not getattr(asked, name)]
    shown = f"region {asked.region_id}, namespace {asked.namespace or '-'}, group {asked.group_id or '-'}"
    if not missing:
        yield ok("scope", "set", shown)
        return
    names = " and ".join(missing)
    for name in missing:
        session.lacking[name] = f"{name} is not set"
    session.lacking["scope"] = f"{names} {'is' if len(missing) == 1 else 'are'} not set"
    yield fail(
        "scope",
        f"{names} missing",
        f"{shown}: the connection does not set {names}, so every task has to",
        f"Set {names} in the connection's extra, or give "
        + " and ".join(f"--{name.replace('_', '-')}" for name in missing)
        + " to examine what a task with that argument would meet.",
    )


def credential(session: Session) -> Iterator[Finding]:
    """Get the credential, which some kinds fetch from a server."""
    settings = session.settings
    assert settings is not None  # noqa: S101 - checks say what they need
    from airflow_provider_schedulerx.api.wire.credential_source import CredentialSource

    kind = settings.credential.credential_type
    try:
        got = within(CREDENTIAL_SECONDS, lambda: CredentialSource(settings).get())
    except TimeoutError:
        problem = (
            f"the credential (credential_type {kind!r}) could not be fetched within {CREDENTIAL_SECONDS:g} s"
        )
    except SchedulerXError as error:
        problem = error.message
    else:
        yield _described(session, kind, got)
        return
    session.lacking["credential"] = "there is no credential"
    if kind == "default":
        problem += "; nothing was found in environment, files or metadata: set login and password, or credential_type"
    yield fail("credential", kind, problem)


def _described(session: Session, kind: str, got: Any) -> Finding:
    values = session.settings.credential.values if session.settings else {}
    session.scrubber.add_secret(got.access_key_secret)
    session.scrubber.add_secret(got.security_token)
    session.scrubber.add_secret(getattr(got, "bearer_token", None))
    parts = [kind]
    if kind == "default" and got.provider_name:
        parts.append(f"found by {got.provider_name}")
    if got.access_key_id:
        session.scrubber.add_secret(got.access_key_id, shortened(got.access_key_id))
        parts.append(f"AccessKey id {shortened(got.access_key_id)}")
    parts += [str(values[name]) for name in ("role_arn", "role_name") if values.get(name)]
    if got.security_token:
        parts.append("temporary")
    return ok("credential", kind, ", ".join(parts))


def open_client(session: Session) -> Iterator[Finding]:
    """Make what asks the service."""
    from airflow_provider_schedulerx.doctor.client import Client

    assert session.settings is not None  # noqa: S101 - checks say what they need
    session.client = Client(session.settings, time.monotonic() + session.options.limit, sleep=session.sleep)
    yield from ()
