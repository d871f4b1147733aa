"""What a connection says, checked as a whole before anything is sent."""

from __future__ import annotations

import difflib
import logging
import os
import ssl
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from airflow_provider_schedulerx.api.connection.credentials import (
    CREDENTIAL_FIELDS,
    CredentialSettings,
    choose_credential,
)
from airflow_provider_schedulerx.api.connection.endpoints import Endpoint, check_region, resolve_endpoint
from airflow_provider_schedulerx.api.connection.redaction import guard_sdk_logs, without_secrets
from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError

if TYPE_CHECKING:
    from alibabacloud_credentials.client import Client as CredentialClient

log = logging.getLogger(__name__)

#: Seconds to wait for a connection.
DEFAULT_CONNECT_TIMEOUT = 5.0
#: Seconds to wait for an answer. Long, since a start whose answer is not awaited is an ambiguous one.
DEFAULT_READ_TIMEOUT = 30.0

#: The service's quota, by operation and account (API page "OpenAPI issues").
DEFAULT_CALLS_PER_MINUTE = 100

#: The instance list of a namespace; deeper links of the console are not documented.
DEFAULT_CONSOLE_URL = (
    "https://schedulerx2.console.aliyun.com/{region_id}/InstanceList?namespace={namespace}&source=schedulerx"
)
CONSOLE_URL_FIELDS = (
    "region_id",
    "namespace",
    "namespace_source",
    "group_id",
    "workflow_id",
    "wf_instance_id",
)

_SCOPE_FIELDS = ("region_id", "namespace", "namespace_source", "group_id")
_OWN_FIELDS = (
    *_SCOPE_FIELDS,
    "network",
    "credential_type",
    "connect_timeout",
    "read_timeout",
    "proxy",
    "proxy_password",
    "ca_file",
    "console_url",
    "calls_per_minute",
    "region",  # what other hooks of the official Alibaba provider call it
)


@dataclass(frozen=True, slots=True)
class Scope:
    """What every operation is asked within.

    :ivar region_id: ``RegionId``.
    :ivar namespace: ``Namespace``, the namespace's uid.
    :ivar namespace_source: ``NamespaceSource``, "only for special third parties"; None leaves it out.
    :ivar group_id: ``GroupId``, the application group.
    """

    region_id: str
    namespace: str | None = None
    namespace_source: str | None = None
    group_id: str | None = None

    def require(self, *names: str) -> None:
        """:raises SchedulerXConfigurationError: if one of these fields is not set."""
        for name in names:
            if not getattr(self, name):
                raise SchedulerXConfigurationError(
                    f"{name} is not set; give it as an argument or in the connection's extra", field=name
                )


@dataclass(frozen=True, slots=True)
class SchedulerXSettings:
    """Everything that calls need to know. Secrets never show in ``repr``.

    :ivar connect_timeout: seconds.
    :ivar read_timeout: seconds.
    :ivar proxy: ``http://`` or ``https://`` URL, which may hold a password.
    :ivar ca_file: path of a PEM file with certificate authorities to trust besides the usual ones.
    :ivar console_url: template of the console's URL, with fields from :data:`CONSOLE_URL_FIELDS`.
    :ivar calls_per_minute: calls of each operation that one triggerer process may make in a minute.
    """

    scope: Scope
    endpoint: Endpoint
    credential: CredentialSettings
    connect_timeout: float = DEFAULT_CONNECT_TIMEOUT
    read_timeout: float = DEFAULT_READ_TIMEOUT
    proxy: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    console_url: str = DEFAULT_CONSOLE_URL
    calls_per_minute: int = DEFAULT_CALLS_PER_MINUTE

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
        """Whose quota is used: the service counts calls by operation and account."""
        values = self.credential.values
        named = (values.get("access_key_id"), values.get("role_arn"), values.get("role_name"))
        return (self.endpoint, self.credential.credential_type, *named)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no message or log may contain."""
        quoted = urlsplit(self.proxy).password if self.proxy else None
        # As it is in the URL, and as it was given.
        return (*self.credential.secrets, *((quoted, unquote(quoted)) if quoted else ()))

    def console_link(self, workflow_id: int, wf_instance_id: int) -> str:
        """Return the URL at which a person looks at a workflow instance."""
        values = {name: getattr(self.scope, name) or "" for name in _SCOPE_FIELDS}
        values |= {"workflow_id": workflow_id, "wf_instance_id": wf_instance_id}
        return self.console_url.format(**{key: quote(str(value), safe="") for key, value in values.items()})

    @classmethod
    def from_connection(
        cls,
        *,
        login: str | None = None,
        password: str | None = None,
        host: str | None = None,
        port: int | None = None,
        extra: Mapping[str, Any] | None = None,
        **arguments: str | None,
    ) -> SchedulerXSettings:
        """Check the fields of a connection and put them together.

        :param arguments: ``region_id``, ``namespace``, ``namespace_source``, ``group_id``: beat the extra's.
        :raises SchedulerXConfigurationError: naming the field that is wrong, and the remedy.
        """
        # A form saves blank fields as "" or null: they are not set.
        given = {key: value for key, value in (extra or {}).items() if value is not None and value != ""}
        _warn_of_unknown(given)
        texts = {name: _text(name, given.get(name)) for name in _OWN_FIELDS if not name.endswith("timeout")}
        texts["region_id"] = texts["region_id"] or texts["region"]
        texts |= {name: _text(name, value) for name, value in arguments.items() if value not in (None, "")}
        scope_values = {name: texts[name] for name in _SCOPE_FIELDS}

        region_id = scope_values.pop("region_id")
        if not region_id:
            raise SchedulerXConfigurationError(
                "region_id is not set; give it as an argument or in the connection's extra, "
                "for example 'cn-hangzhou'",
                field="region_id",
            )
        scope = Scope(check_region(region_id), **scope_values)
        return cls(
            scope=scope,
            endpoint=resolve_endpoint(region_id, texts["network"] or "public", host, port),
            credential=choose_credential(
                texts["credential_type"], _credential_fields(login, password, given)
            ),
            connect_timeout=_seconds("connect_timeout", given, DEFAULT_CONNECT_TIMEOUT),
            read_timeout=_seconds("read_timeout", given, DEFAULT_READ_TIMEOUT),
            proxy=_proxy(texts["proxy"], texts["proxy_password"]),
            ca_file=_ca_file(texts["ca_file"]),
            console_url=_console_url(texts["console_url"]),
            calls_per_minute=_calls_per_minute(texts["calls_per_minute"]),
        )


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


def _warn_of_unknown(given: Mapping[str, Any]) -> None:
    known = {*_OWN_FIELDS, *CREDENTIAL_FIELDS}
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            log.warning("The SchedulerX connection's extra has a field that is not used: %s%s", name, hint)


def _text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise SchedulerXConfigurationError(f"{name} must be text, not {type(value).__name__}", field=name)
    return str(value).strip() or None


def _seconds(name: str, given: Mapping[str, Any], default: float) -> float:
    value = given.get(name, default)
    try:
        seconds = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = float("nan")
    if not 0 < seconds <= 3600:
        raise SchedulerXConfigurationError(
            f"{name} must be a number of seconds above 0 and at most 3600, not {value!r:.40}", field=name
        )
    return seconds


def _proxy(url: str | None, password: str | None) -> str | None:
    """The proxy with its password. They are two fields, since Airflow masks values by the names of their fields."""
    if url is None:
        if password is not None:
            raise SchedulerXConfigurationError(
                "proxy_password is set but proxy is not; set proxy, or clear proxy_password",
                field="proxy_password",
            )
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SchedulerXConfigurationError(
            "proxy must be a URL such as http://proxy.example:3128", field="proxy"
        )
    if parts.password:
        raise SchedulerXConfigurationError(
            "proxy contains a password, which Airflow would show; move it to proxy_password", field="proxy"
        )
    if password is None:
        return url
    if not parts.username:
        raise SchedulerXConfigurationError(
            "proxy_password is set but proxy names no user; give it as http://user@proxy.example:3128",
            field="proxy",
        )
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username}:{quote(password, safe='')}@{host}").geturl()


def _ca_file(value: str | None) -> str | None:
    if value is not None and not os.path.isfile(value):
        raise SchedulerXConfigurationError(
            f"ca_file {value!r} is not a file on this machine; every worker and triggerer needs it",
            field="ca_file",
        )
    if value is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
        except OSError as error:
            raise SchedulerXConfigurationError(
                f"ca_file {value!r} is not a PEM file of certificates: {error.strerror}", field="ca_file"
            ) from None
    return value


def _calls_per_minute(value: str | None) -> int:
    if value is None:
        return DEFAULT_CALLS_PER_MINUTE
    if not value.isdecimal() or not 0 < int(value) <= 100_000:
        raise SchedulerXConfigurationError(
            "calls_per_minute must be a whole number from 1; with N triggerers, the account's quota divided by N",
            field="calls_per_minute",
        )
    return int(value)


def _console_url(value: str | None) -> str:
    if value is None:
        return DEFAULT_CONSOLE_URL
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(value) if name is not None]
    except ValueError as error:
        raise SchedulerXConfigurationError(
            f"console_url is not a template: {error}", field="console_url"
        ) from None
    for name in names:
        if name not in CONSOLE_URL_FIELDS:
            raise SchedulerXConfigurationError(
                f"console_url has the field {{{name}}}; it may have "
                + ", ".join(f"{{{known}}}" for known in CONSOLE_URL_FIELDS),
                field="console_url",
            )
    if urlsplit(value).scheme not in ("http", "https"):
        raise SchedulerXConfigurationError(
            "console_url must begin with http:// or https://", field="console_url"
        )
    return value
