"""Gives the credential for each call, and lets calls go on while the server that issues it is away.

alibabacloud-credentials asks for a new key 15 minutes before the old one expires, and fails every call if it gets none,
although the old one is still good. For ``ecs_ram_role`` it is the other way round: it goes on with the old key, also
when that has expired. Here a key is used as long as it is good, and no longer.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_schedulerx.api.connection.credentials import CredentialSettings
from airflow_provider_schedulerx.api.connection.redaction import without_quotation

if TYPE_CHECKING:
    from alibabacloud_credentials.client import Client
    from alibabacloud_credentials.models import CredentialModel

log = logging.getLogger(__name__)

#: Seconds without another try after a failed one, as long as the key is good.
_PAUSE = 10.0
#: Seconds before its expiry in which a key is no longer used after a failed try: a call takes time.
_MARGIN = 1.0
#: Seconds for which a key is good whose expiry the SDK does not tell: less than the 15 minutes it keeps clear of it.
_UNTOLD_LIFETIME = 600.0


class CredentialServerError(OSError):
    """What issues the credential did not answer, or not as it should. It may do so later."""


@dataclass(frozen=True, slots=True)
class _Key:
    credential: CredentialModel
    expires: float

    def __repr__(self) -> str:
        return f"_Key(expires={self.expires})"


class CredentialSource:
    """The credential of a connection, always good when it is given. For several threads.

    :param make_client: makes a client of alibabacloud-credentials.
    """

    def __init__(
        self,
        settings: CredentialSettings,
        make_client: Callable[[], Client],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._make_client = make_client
        self._client = make_client()
        self._clock = clock
        self._fetching = threading.Lock()
        self._fetched = 0
        self._failure: BaseException | None = None
        self._key: _Key | None = None
        self._next_try = float("-inf")

    def get_credential(self) -> CredentialModel:
        """Return the credential for one call, fetched anew where that is due.

        :raises CredentialServerError: if it could not be fetched now.
        :raises CredentialException: of alibabacloud-credentials, if it is refused.
        :raises OSError: if a file cannot be read.
        """
        key, now = self._key, self._clock()
        good = key is not None and now < key.expires - _MARGIN
        if key is not None and good and now < self._next_try:
            return key.credential
        fetched = self._fetched
        # Whoever has a good key does not wait for a new one.
        if not self._fetching.acquire(blocking=not good):
            assert key is not None  # noqa: S101 - it is good
            return key.credential
        try:
            if self._fetched == fetched:
                self._fetch(key if good else None)
            failure, key = self._failure, self._key
        finally:
            self._fetching.release()
        if failure is not None or key is None:
            raise failure or CredentialServerError("no credential")
        return key.credential

    def _fetch(self, good: _Key | None) -> None:
        """Fetch a key, or keep the good one."""
        try:
            key = self._ask()
            if key.expires <= self._clock():
                # The SDK holds on to it. A new client has nothing to hold on to.
                self._client = self._make_client()
                key = self._ask()
            self._key, self._failure, self._next_try = key, None, float("-inf")
        except Exception as error:
            failure = explain(error, self._settings)
            if good is None:
                self._failure = failure
            else:
                self._keep(good, failure)
        self._fetched += 1

    def _keep(self, key: _Key, failure: BaseException) -> None:
        log.warning(
            "The credential (credential_type %r) could not be renewed: %s. The present one is good for another %d s",
            self._settings.credential_type,
            failure,
            key.expires - self._clock(),
        )
        self._failure = None
        self._next_try = self._clock() + _PAUSE

    def _ask(self) -> _Key:
        wrapped = self._client.cloud_credential
        provider = getattr(wrapped, "provider", None)
        if provider is None:  # a bearer token
            return _Key(self._client.get_credential(), float("inf"))
        from alibabacloud_credentials.models import CredentialModel

        found = provider.get_credentials()
        credential = CredentialModel(
            access_key_id=found.get_access_key_id(),
            access_key_secret=found.get_access_key_secret(),
            security_token=found.get_security_token(),
            type=wrapped.type_name,
            provider_name=found.get_provider_name(),
        )
        told = getattr(found, "get_expiration", lambda: None)()
        return _Key(credential, self._clock() + _UNTOLD_LIFETIME if told is None else float(told))


def explain(error: Exception, settings: CredentialSettings) -> Exception:
    """Say in our words why no credential was given; those of the SDK quote answers and URLs with secrets."""
    from alibabacloud_credentials.exceptions import CredentialException
    from requests import RequestException
    from Tea.exceptions import RetryError

    server = _server(settings)
    if isinstance(error, RetryError | RequestException):
        return CredentialServerError(f"cannot reach {server}: {_network_reason(error)}")
    if isinstance(error, OSError):
        return error  # a file
    if not isinstance(error, CredentialException):
        return CredentialServerError(
            f"the answer of {server} could not be understood ({type(error).__name__})"
        )
    final, text = _understand(str(error), server, settings)
    explained: Exception = CredentialException(text) if final else CredentialServerError(text)
    return explained


def _understand(text: str, server: str, settings: CredentialSettings) -> tuple[bool, str]:
    """Whether a text of the SDK is final, and what to say of it."""
    if "No cached value" in text:
        return True, f"{server} gave a key that has expired already: check the clock of this machine"
    status = re.search(r"\b(?:http_code|HttpCode)\W{1,3}(\d{3})\b", text)
    if status is None:
        return True, f"{without_quotation(text)}: {_advice('', settings)}"
    code = _code(text)
    said = f"{server} answered {f'{code} ' if code else ''}(HTTP status {status[1]})"
    if int(status[1]) >= 500 or status[1] == "429" or code.startswith("Throttling"):
        return False, said
    return True, f"{said}: {_advice(code, settings)}"


def _server(settings: CredentialSettings) -> str:
    values = settings.values
    if settings.credential_type == "ecs_ram_role":
        return "the metadata server 100.100.100.200"
    if settings.credential_type == "credentials_uri":
        host = urlsplit(str(values.get("credentials_uri") or "")).hostname
        return f"the credentials server {host}" if host else "the credentials server"
    if settings.credential_type == "default":
        return "a server of the SDK's default chain"
    return f"the security token service {values.get('sts_endpoint') or ''}".rstrip()


def _code(text: str) -> str:
    """``Code`` of an answer that the SDK quotes. Nothing else of it is taken, since it may hold a key."""
    try:
        code = json.loads(text.partition("result:")[2])["Code"]
    except (ValueError, KeyError, TypeError):
        return ""
    return code if isinstance(code, str) and re.fullmatch(r"[A-Za-z0-9.]{1,80}", code) else ""


#: Beginning of a code -> what to do (API pages "AssumeRole", "AssumeRoleWithOIDC", "Common errors of STS").
_ADVICE = (
    ("NoPermission", "the role's trust policy must name the caller and its external_id, and the caller needs "
     "the policy AliyunSTSAssumeRoleAccess"),
    ("AuthenticationFail.NoPermission", "the role's trust policy must take this OIDC provider and token"),
    ("AuthenticationFail.OIDCToken.Expired", "the file of oidc_token_file_path holds an old token: is it renewed"),
    ("AuthenticationFail.OIDCToken", "check oidc_token_file_path and oidc_provider_arn"),
    ("EntityNotExist.Role", "check role_arn"),
    ("EntityNotExist", "check oidc_provider_arn and role_arn"),
    ("InvalidParameter.RoleArn", "check role_arn"),
    ("InvalidParameter.RoleSessionName", "check role_session_name"),
    ("InvalidParameter.DurationSeconds", "set role_session_expiration to at most the role's maximum session duration"),
    ("InvalidParameter.Policy", "check policy"),
    ("InvalidAccessKeyId", "check login (AccessKey id)"),
    ("SignatureDoesNotMatch", "check password (AccessKey secret)"),
    ("InvalidSecurityToken", "check security_token"),
    ("InvalidTimeStamp", "check the clock of this machine"),
)  # fmt: skip


def _advice(code: str, settings: CredentialSettings) -> str:
    if settings.credential_type == "ecs_ram_role":
        return "attach a RAM role to this instance, and check role_name and disable_imds_v1"
    return next(
        (text for start, text in _ADVICE if code.startswith(start)), "check the fields of the credential"
    )


def _network_reason(error: BaseException) -> str:
    """The innermost reason, without a URL."""
    seen: list[Any] = [error]
    while (inner := _inner(seen[-1])) is not None and inner not in seen:
        seen.append(inner)
    names = {type(each).__name__ for each in seen}
    if "SSLCertVerificationError" in names:
        return "its certificate is not trusted; SSL_CERT_FILE of the environment may name a private authority"
    if "NameResolutionError" in names or "gaierror" in names:
        return "its name does not resolve; in a VPC, set sts_endpoint to sts-vpc.<region>.aliyuncs.com"
    if names & {"ConnectTimeoutError", "ConnectTimeout"}:
        return "no connection in time; in a VPC, set sts_endpoint to sts-vpc.<region>.aliyuncs.com"
    if names & {"ReadTimeoutError", "ReadTimeout"}:
        return "no answer in time"
    last = seen[-1]
    text = (last.strerror if isinstance(last, OSError) else None) or str(last) or type(last).__name__
    return re.split(r"[?]|url:", text, maxsplit=1)[0].strip()[:200]


def _inner(error: BaseException) -> BaseException | None:
    found = [it for it in error.args if isinstance(it, BaseException)]
    found += [it for it in (getattr(error, "reason", None), error.__cause__, error.__context__) if it]
    return next((it for it in found if isinstance(it, BaseException)), None)
