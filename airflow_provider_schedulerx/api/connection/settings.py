"""What a connection says, checked as a whole before anything is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow_provider_schedulerx.api.connection import console
from airflow_provider_schedulerx.api.connection.ca_file import check_ca_file
from airflow_provider_schedulerx.api.connection.credentials import (
    CREDENTIAL_FIELDS,
    CredentialSettings,
    choose_credential,
)
from airflow_provider_schedulerx.api.connection.endpoints import Endpoint, check_region, resolve_endpoint
from airflow_provider_schedulerx.api.connection.fields import (
    UnknownField,
    as_seconds,
    as_text,
    check_connection_type,
    describe_unknown,
    find_unknown,
    parse_extra,
)
from airflow_provider_schedulerx.api.connection.proxies import proxy_with_password
from airflow_provider_schedulerx.api.connection.redaction import guard_sdk_logs, without_secrets
from airflow_provider_schedulerx.api.connection.scope import SCOPE_FIELDS, Scope
from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError

if TYPE_CHECKING:
    from alibabacloud_credentials.client import Client as CredentialClient

__all__ = ["KNOWN_FIELDS", "SchedulerXSettings", "Scope"]

#: Seconds to wait for a connection.
DEFAULT_CONNECT_TIMEOUT = 5.0
#: Seconds to wait for an answer. Long, since a start whose answer is not awaited is an ambiguous one.
DEFAULT_READ_TIMEOUT = 30.0

#: The service's quota, by operation and account (API page "OpenAPI issues").
DEFAULT_CALLS_PER_MINUTE = 100

_TEXT_FIELDS = (
    *SCOPE_FIELDS,
    "network",
    "credential_type",
    "account",
    "proxy",
    "proxy_password",
    "ca_file",
    "console_url",
    "calls_per_minute",
    "region",  # what other hooks of the official Alibaba provider call it
)

#: Every field of extra that is read.
KNOWN_FIELDS = (*_TEXT_FIELDS, "connect_timeout", "read_timeout", *CREDENTIAL_FIELDS)


@dataclass(frozen=True, slots=True)
class SchedulerXSettings:
    """Everything that calls need to know. Secrets never show in ``repr``.

    :ivar connect_timeout: seconds.
    :ivar read_timeout: seconds.
    :ivar proxy: ``http://`` or ``https://`` URL, which may hold a password.
    :ivar ca_file: path of a PEM file with certificate authorities to trust besides the usual ones.
    :ivar console_url: template of the console's URL, with fields from :data:`.console.CONSOLE_URL_FIELDS`.
    :ivar calls_per_minute: calls of each operation that one triggerer process may make in a minute.
    :ivar account_name: the Alibaba Cloud account, if the connection names it; see :attr:`account`.
    :ivar unknown_fields: fields of the connection's extra that nothing reads.
    """

    scope: Scope
    endpoint: Endpoint
    credential: CredentialSettings
    connect_timeout: float = DEFAULT_CONNECT_TIMEOUT
    read_timeout: float = DEFAULT_READ_TIMEOUT
    proxy: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    console_url: str = console.DEFAULT_CONSOLE_URL
    calls_per_minute: int = DEFAULT_CALLS_PER_MINUTE
    account_name: str | None = None
    unknown_fields: tuple[UnknownField, ...] = ()

    def credential_client(self) -> CredentialClient:
        """Make what gives and refreshes the credential; from here on the SDKs may log.

        :raises SchedulerXConfigurationError: if alibabacloud-credentials does not take the fields.
        """
        guard_sdk_logs()
        try:
            return self.credential.client(self.proxy)
        except Exception as error:
            raise SchedulerXConfigurationError(
                f"credential_type {self.credential.credential_type!r} cannot be used: "
                f"{without_secrets(error, self.secrets)}",
                field="credential_type",
            ) from None

    @property
    def identity(self) -> tuple[object, ...]:
        """What has to be equal for two users to share connections. Holds secrets: never show it."""
        credential = (self.credential.credential_type, *sorted(self.credential.values.items()))
        network = (self.connect_timeout, self.read_timeout, self.proxy, self.ca_file)
        return (self.endpoint, credential, network)

    @property
    def account(self) -> tuple[object, ...]:
        """Whose quota is used: the service counts calls by operation and account. Holds no secret.

        Connections that name the same ``account`` share it, and so does a role of that account, whose ARN names it.
        Where the account is not known, each identity has a quota of its own.
        """
        name = self.account_name or self.credential.account_id
        if name:
            return ("account", name)
        # As a digest, since a credentials URI or a bearer token may be a secret.
        identity = hashlib.sha256(repr(self.credential.caller).encode()).hexdigest()
        return (self.endpoint, self.credential.credential_type, identity)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no message or log may contain."""
        quoted = urlsplit(self.proxy).password if self.proxy else None
        # As it is in the URL, and as it was given.
        return (*self.credential.secrets, *((quoted, unquote(quoted)) if quoted else ()))

    def console_link(self, definition_id: int, instance_id: int, kind: str = "workflow") -> str:
        """Return the URL at which a person looks at a run.

        :param definition_id: of the workflow or the job.
        :param instance_id: of its run.
        :param kind: ``workflow`` or ``job``.
        """
        return console.console_link(self.console_url, self.scope, definition_id, instance_id, kind)

    @classmethod
    def from_connection(
        cls,
        *,
        conn_type: str | None = "schedulerx",
        login: str | None = None,
        password: str | None = None,
        host: str | None = None,
        port: int | None = None,
        extra: str | Mapping[str, Any] | None = None,
        **arguments: str | None,
    ) -> SchedulerXSettings:
        """Check the fields of a connection and put them together.

        :param conn_type: ``schedulerx`` or ``alibaba_cloud``.
        :param extra: JSON text as Airflow stores it, or an object.
        :param arguments: ``region_id``, ``namespace``, ``namespace_source``, ``group_id``: override the extra's.
        :raises SchedulerXConfigurationError: naming the field that is wrong, and the remedy.
        """
        check_connection_type(conn_type)
        given = parse_extra(extra)
        unknown = find_unknown(given, KNOWN_FIELDS, conn_type or "")
        try:
            scope = _scope(given, arguments)
            texts = {name: as_text(name, given.get(name)) for name in _TEXT_FIELDS}
            return cls(
                scope=scope,
                endpoint=resolve_endpoint(scope.region_id, texts["network"] or "public", host, port),
                credential=choose_credential(
                    texts["credential_type"], _credential_fields(login, password, given)
                ),
                connect_timeout=as_seconds(
                    "connect_timeout", given.get("connect_timeout", DEFAULT_CONNECT_TIMEOUT)
                ),
                read_timeout=as_seconds("read_timeout", given.get("read_timeout", DEFAULT_READ_TIMEOUT)),
                proxy=proxy_with_password(texts["proxy"], texts["proxy_password"]),
                ca_file=check_ca_file(texts["ca_file"]),
                console_url=console.check_console_url(texts["console_url"], scope),
                calls_per_minute=_calls_per_minute(texts["calls_per_minute"]),
                account_name=texts["account"],
                unknown_fields=unknown,
            )
        except SchedulerXConfigurationError as error:
            if not unknown:
                raise
            # What is said to be missing may be there under a name that is not quite right.
            raise SchedulerXConfigurationError(
                f"{error.message}. {describe_unknown(unknown)}", field=error.field
            ) from None


def _scope(given: Mapping[str, Any], arguments: Mapping[str, str | None]) -> Scope:
    values = {name: as_text(name, given.get(name)) for name in SCOPE_FIELDS}
    values["region_id"] = values["region_id"] or as_text("region", given.get("region"))
    values |= {name: as_text(name, value) for name, value in arguments.items() if value not in (None, "")}
    region_id = values.pop("region_id")
    if not region_id:
        raise SchedulerXConfigurationError(
            "region_id is not set; give it as an argument or in the connection's extra, "
            "for example 'cn-hangzhou'",
            field="region_id",
        )
    return Scope(check_region(region_id), **values)


def _credential_fields(login: str | None, password: str | None, extra: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: extra[name] for name in CREDENTIAL_FIELDS if name in extra}
    if fields.get("disable_imds_v1") is False:
        # What it is anyway. Airflow 2's form saves a box that was left alone so, whatever the type.
        del fields["disable_imds_v1"]
    for name, value, where in (
        ("access_key_id", login, "login"),
        ("access_key_secret", password, "password"),
    ):
        if not value:
            continue
        if fields.setdefault(name, value) != value:
            raise SchedulerXConfigurationError(
                f"{where} and {name} in the connection's extra differ; clear one of them", field=name
            )
    return fields


def _calls_per_minute(value: str | None) -> int:
    if value is None:
        return DEFAULT_CALLS_PER_MINUTE
    if not value.isdecimal() or len(value) > 6 or not 0 < int(value) <= 100_000:
        raise SchedulerXConfigurationError(
            "calls_per_minute must be a whole number from 1; with N triggerers, the account's quota divided by N",
            field="calls_per_minute",
        )
    return int(value)
