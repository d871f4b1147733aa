"""Credentials: the kinds that a connection can hold, and what each one needs.

All of them are carried out by alibabacloud-credentials, which refreshes temporary ones by itself.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError

if TYPE_CHECKING:
    from alibabacloud_credentials.client import Client as CredentialClient


@dataclass(frozen=True, slots=True)
class _Kind:
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


_KEY = ("access_key_id", "access_key_secret")
_SESSION = ("role_session_name", "role_session_expiration", "policy", "sts_endpoint")

#: credential_type -> the fields that it needs and that it takes besides.
CREDENTIAL_TYPES: Mapping[str, _Kind] = {
    "access_key": _Kind(_KEY),
    "sts": _Kind((*_KEY, "security_token")),
    "ram_role_arn": _Kind((*_KEY, "role_arn"), ("security_token", "external_id", *_SESSION)),
    "ecs_ram_role": _Kind((), ("role_name", "disable_imds_v1")),
    "oidc_role_arn": _Kind(("role_arn", "oidc_provider_arn", "oidc_token_file_path"), _SESSION),
    "credentials_uri": _Kind(("credentials_uri",)),
    "bearer": _Kind(("bearer_token",)),
    "default": _Kind(),
}

#: Fields of a connection that hold secrets.
SECRET_FIELDS = ("access_key_secret", "security_token", "bearer_token")

#: Fields that requests carry, or are signed with.
_SENT = ("access_key_id", *SECRET_FIELDS)

#: Every field that some credential type reads.
CREDENTIAL_FIELDS = tuple(
    dict.fromkeys(name for kind in CREDENTIAL_TYPES.values() for name in (*kind.needs, *kind.takes))
)

# Where a field comes from, for messages that send people there.
_WHERE = {
    "access_key_id": "login (AccessKey id)",
    "access_key_secret": "password (AccessKey secret)",
}

# What alibabacloud-credentials reads by itself inside a pod with RRSA or beside a credentials server.
_ENVIRONMENT = {
    "role_arn": "ALIBABA_CLOUD_ROLE_ARN",
    "oidc_provider_arn": "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
    "oidc_token_file_path": "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
    "credentials_uri": "ALIBABA_CLOUD_CREDENTIALS_URI",
}

_MIN_SESSION_SECONDS = 900

# "acs:ram::<account id>:role/<name>" (API page "AssumeRole").
_ROLE_ARN = re.compile(r"acs:ram::(\d+):role/")

_CALLER = ("access_key_id", "role_arn", "role_name", "credentials_uri", "bearer_token")

#: What a header can carry, and a key or token consists of. A line break would end the header, and the error of an HTTP
#: library about it quotes the token.
_SENDABLE = re.compile(r"[\x20-\x7e]*")

_STS_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:\d{1,5})?")


@dataclass(frozen=True, slots=True)
class CredentialSettings:
    """A checked credential. Its values never show in ``repr``.

    :ivar credential_type: a key of :data:`CREDENTIAL_TYPES`.
    :ivar values: the fields that this type takes.
    """

    credential_type: str
    values: Mapping[str, Any] = field(repr=False)

    @property
    def account_id(self) -> str | None:
        """The Alibaba Cloud account, where an ARN names it."""
        arn = str(self.values.get("role_arn") or "")
        if self.credential_type == "oidc_role_arn" and not arn:
            arn = os.environ.get(_ENVIRONMENT["role_arn"], "")
        found = _ROLE_ARN.match(arn)
        return found[1] if found else None

    @property
    def caller(self) -> tuple[object, ...]:
        """What tells one identity from another. May hold secrets: never show it."""
        return tuple(self.values.get(name) for name in _CALLER)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must never be shown."""
        query = urlsplit(str(self.values.get("credentials_uri") or "")).query
        fields = (str(self.values[name]) for name in SECRET_FIELDS if self.values.get(name))
        return (*fields, query) if query else tuple(fields)

    def client(self, proxy: str | None = None) -> CredentialClient:
        """Make the client of alibabacloud-credentials, which gives and refreshes the credential.

        No call is made yet, except by ``default``, which may look for files.

        :param proxy: proxy for the calls to the security token service.
        """
        from alibabacloud_credentials.client import Client
        from alibabacloud_credentials.models import Config

        if self.credential_type == "default":
            from airflow_provider_schedulerx.api.connection.default_chain import DefaultChain

            return Client(provider=DefaultChain())
        if self.credential_type == "ecs_ram_role":
            from alibabacloud_credentials.provider import EcsRamRoleCredentialsProvider

            # What Client makes of this type starts a thread that nobody ends, for each hook.
            return Client(provider=EcsRamRoleCredentialsProvider(**self.values, async_update_enabled=False))
        # A credentials server is local: a proxy would not reach it.
        through_proxy = self.credential_type in ("ram_role_arn", "oidc_role_arn")
        return Client(
            Config(type=self.credential_type, proxy=proxy if through_proxy else None, **self.values)
        )


def choose_credential(credential_type: str | None, given: Mapping[str, Any]) -> CredentialSettings:
    """Check the credential fields of a connection.

    :param credential_type: a key of :data:`CREDENTIAL_TYPES`; None chooses ``access_key`` or ``sts`` if a
        key is given and ``default`` if nothing is.
    :param given: the credential fields that are not blank.
    :raises SchedulerXConfigurationError: naming a field that is missing, malformed or contradicts the type.
    """
    given = dict(_without_space(given))
    chosen = credential_type or _inferred_type(given)
    kind = CREDENTIAL_TYPES.get(chosen)
    if kind is None:
        raise SchedulerXConfigurationError(
            f"credential_type {chosen!r} is not one of {', '.join(CREDENTIAL_TYPES)}", field="credential_type"
        )
    for name in kind.needs:
        if name not in given and not os.environ.get(_ENVIRONMENT.get(name, "")):
            environment = (
                f", or the environment variable {_ENVIRONMENT[name]}" if name in _ENVIRONMENT else ""
            )
            raise SchedulerXConfigurationError(
                f"credential_type {chosen!r} needs {_WHERE.get(name, name)}{environment}, which is not set",
                field=name,
            )
    for name in given:
        if name not in kind.needs and name not in kind.takes:
            users = [other for other, it in CREDENTIAL_TYPES.items() if name in (*it.needs, *it.takes)]
            raise SchedulerXConfigurationError(
                f"{_WHERE.get(name, name)} is set but credential_type {chosen!r} does not use it; "
                f"clear it, or set credential_type to {' or '.join(users)}",
                field=name,
            )
    return CredentialSettings(chosen, {name: _checked(name, value) for name, value in given.items()})


def check_sendable(name: str, value: str | None) -> None:
    """Check that a request can carry a key or a token.

    :param name: what a sentence calls it.
    :raises SchedulerXConfigurationError: if not. It does not repeat the value.
    """
    if not _SENDABLE.fullmatch(value or ""):
        raise SchedulerXConfigurationError(
            f"{_WHERE.get(name, name)} has a character that no key or token has, such as a line break or one outside "
            "of ASCII: copy it anew",
            field=name,
        )


def _without_space(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Leave out what stands around a text, such as the line break of the file that it comes from."""
    for name, value in given.items():
        text = value.strip() if isinstance(value, str) else value
        if text != "":
            yield name, text


def _inferred_type(given: Mapping[str, Any]) -> str:
    if any(name in given for name in _KEY):
        return "sts" if "security_token" in given else "access_key"
    return "default"


def _checked(name: str, value: Any) -> Any:
    if name == "role_session_expiration":
        if isinstance(value, str) and value.strip().isdecimal() and len(value) < 10:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < _MIN_SESSION_SECONDS:
            raise SchedulerXConfigurationError(
                f"role_session_expiration must be a number of seconds, at least {_MIN_SESSION_SECONDS}",
                field=name,
            )
        return value
    if name == "disable_imds_v1":
        if isinstance(value, bool):
            return value
        if str(value).strip().lower() in ("true", "false"):
            return str(value).strip().lower() == "true"
        raise SchedulerXConfigurationError("disable_imds_v1 must be true or false", field=name)
    if name == "policy":
        return _policy(value)
    if not isinstance(value, str):
        raise SchedulerXConfigurationError(
            f"{_WHERE.get(name, name)} must be text, not {type(value).__name__}", field=name
        )
    if name in _SENT:
        check_sendable(name, value)
    if name == "credentials_uri":
        return _web_address(name, value)
    return _sts_host(value) if name == "sts_endpoint" else value


def _web_address(name: str, value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        # It is not repeated: its query may be a secret.
        raise SchedulerXConfigurationError(
            f"{name} must be a URL such as http://127.0.0.1:7002/credentials", field=name
        )
    return value


def _policy(value: Any) -> str:
    """The policy as JSON without a space: the SDK signs a space otherwise than the service does."""
    try:
        policy = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        policy = None
    if not isinstance(policy, Mapping):
        raise SchedulerXConfigurationError(
            'policy must be a JSON object, such as {"Version": "1", "Statement": [...]}', field="policy"
        )
    return json.dumps(policy, separators=(",", ":")).replace(" ", "\\u0020")


def _sts_host(value: str) -> str:
    """The SDK wants a host without a scheme, and always calls it by https."""
    host = value.strip().removeprefix("https://").rstrip("/")
    if not _STS_HOST.fullmatch(host):
        raise SchedulerXConfigurationError(
            "sts_endpoint must be a host name, such as sts-vpc.cn-hangzhou.aliyuncs.com; it is always called by https",
            field="sts_endpoint",
        )
    return host
