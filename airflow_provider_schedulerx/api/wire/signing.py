"""Headers and signature of a request, V3 (API page "V3 request structure and signature").

On workers the signature is made by tea-openapi (:func:`sign`). The triggerer polls all day, and there that signer costs
a quarter of a poll's CPU; :class:`RequestSigner` does the same for less than a third of it. Tests hold both to the
published vector, to each other, and to what the official SDK sends, byte for byte.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_schedulerx import __version__
from airflow_provider_schedulerx.api.connection.endpoints import Endpoint
from airflow_provider_schedulerx.api.wire.calls import Call

if TYPE_CHECKING:
    from alibabacloud_credentials.models import CredentialModel

API_VERSION = "2019-04-30"
ALGORITHM = "ACS3-HMAC-SHA256"

_EMPTY_BODY_SHA256 = hashlib.sha256(b"").hexdigest()
_USER_AGENT = (
    f"AlibabaCloud ({platform.system()}; {platform.machine()}) Python/{platform.python_version()} "
    f"airflow-provider-schedulerx/{__version__}"
)


@dataclass(slots=True)
class SignedRequest:
    """What goes out, once. Its headers hold the signature and maybe a token, so ``repr`` leaves them out.

    :ivar target: path and query.
    """

    method: str
    target: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)


@dataclass(slots=True)
class _Signable:
    """What tea-openapi's signer reads of a request."""

    method: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    pathname: str = "/"


#: What stands in a template for the time of a request and for its nonce: no header can hold it.
_DATE, _NONCE = "\0date", "\0nonce"


class Template:
    """The headers that all requests of an operation share, and how the texts that are signed begin and end.

    :param headers: those that are signed, with lower-case names; a date and a nonce, which change, among them.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = {**headers, "x-acs-date": _DATE, "x-acs-signature-nonce": _NONCE}
        names = sorted(self._headers)
        self._signed = ";".join(names)
        lines = "\n".join([f"{name}:{self._headers[name].strip()}" for name in names])
        text = f"{lines}\n\n{self._signed}\n{_EMPTY_BODY_SHA256}"
        self._before, _, rest = text.partition(_DATE)
        self._between, _, self._after = rest.partition(_NONCE)

    def headers(self, date: str, nonce: str) -> dict[str, str]:
        """The headers of one request, in the order of the template."""
        return {**self._headers, "x-acs-date": date, "x-acs-signature-nonce": nonce}

    def authorization(
        self, call: Call[Any], date: str, nonce: str, access_key_id: str, access_key_secret: str
    ) -> str:
        """Make the ``Authorization`` header of one request, with as little work as possible."""
        canonical = (
            f"{call.operation.method}\n/\n{call.canonical_query}\n"
            f"{self._before}{date}{self._between}{nonce}{self._after}"
        )
        to_sign = f"{ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(access_key_secret.encode(), to_sign.encode(), "sha256").hex()
        return f"{ALGORITHM} Credential={access_key_id},SignedHeaders={self._signed},Signature={signature}"


class RequestSigner:
    """Signs the requests to one endpoint. What all requests of an operation share is put together once."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._credential: CredentialModel | None = None
        self._templates: dict[str, Template] = {}

    def sign(self, call: Call[Any], credential: CredentialModel) -> SignedRequest:
        """Put headers and signature to a call, as :func:`sign` does."""
        if credential is not self._credential:
            self._credential, self._templates = credential, {}
        name = call.operation.name
        template = self._templates.get(name)
        if template is None:
            template = self._templates[name] = Template(_headers(name, self._endpoint, credential))
        date, nonce = _new_date(), _new_nonce()
        headers = template.headers(date, nonce)
        if credential.type == "bearer":
            return _unsigned(call, headers)
        key_id, secret = credential.access_key_id, credential.access_key_secret
        headers["Authorization"] = template.authorization(call, date, nonce, key_id, secret)
        return SignedRequest(call.operation.method, call.target, headers)


def sign(call: Call[Any], endpoint: Endpoint, credential: CredentialModel) -> SignedRequest:
    """Put headers and signature to a call, with tea-openapi.

    All parameters travel in the query, also those of POST operations, so the body is empty. Every
    request has a nonce of its own, and must be sent at most once.
    """
    headers = _headers(call.operation.name, endpoint, credential)
    headers |= {"x-acs-date": _new_date(), "x-acs-signature-nonce": _new_nonce()}
    if credential.type == "bearer":
        return _unsigned(call, headers)
    headers["Authorization"] = sdk_authorization(
        call, headers, credential.access_key_id, credential.access_key_secret
    )
    return SignedRequest(call.operation.method, call.target, headers)


def sdk_authorization(
    call: Call[Any], headers: Mapping[str, str], access_key_id: str, access_key_secret: str
) -> str:
    """Make the ``Authorization`` header with tea-openapi.

    :param headers: those to sign, with lower-case names.
    """
    from alibabacloud_tea_openapi.utils import Utils

    request = _Signable(call.operation.method, call.query, headers)
    made: str = Utils.get_authorization(
        request, ALGORITHM, _EMPTY_BODY_SHA256, access_key_id, access_key_secret
    )
    return made


def _headers(operation: str, endpoint: Endpoint, credential: CredentialModel) -> dict[str, str]:
    """The headers of a request, all of which are signed; the date and the nonce are still to come."""
    headers = {
        "accept": "application/json",
        "host": endpoint.authority,
        "user-agent": _USER_AGENT,
        "x-acs-action": operation,
        "x-acs-content-sha256": _EMPTY_BODY_SHA256,
        "x-acs-date": "",
        "x-acs-signature-nonce": "",
        "x-acs-version": API_VERSION,
    }
    if credential.provider_name is not None:
        headers["x-acs-credentials-provider"] = credential.provider_name
    if credential.type == "bearer":
        headers["x-acs-bearer-token"] = credential.bearer_token
    elif credential.security_token:
        headers["x-acs-accesskey-id"] = credential.access_key_id
        headers["x-acs-security-token"] = credential.security_token
    return headers


def _unsigned(call: Call[Any], headers: dict[str, str]) -> SignedRequest:
    """A request that a token in its headers speaks for."""
    call = call.with_query({**call.query, "SignatureType": "BEARERTOKEN"})
    return SignedRequest(call.operation.method, call.target, headers)


def _new_date() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _new_nonce() -> str:
    return os.urandom(16).hex()
