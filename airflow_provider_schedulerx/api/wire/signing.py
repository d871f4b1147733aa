"""Headers and signature of a request, V3 (API page "V3 request structure and signature").

On workers the signature is made by tea-openapi (:func:`sdk_authorization`). The triggerer polls all day, and there
that signer costs a quarter of a poll's CPU; :func:`authorization` does the same for a third of it. Tests hold
both to the published vector, to each other, and to what the official SDK sends, byte for byte.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import platform
import time
from collections.abc import Callable, Mapping
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


#: Makes the ``Authorization`` header: call, headers to sign (with lower-case names), AccessKey id and secret.
Signer = Callable[[Call[Any], Mapping[str, str], str, str], str]


def authorization(
    call: Call[Any], headers: Mapping[str, str], access_key_id: str, access_key_secret: str
) -> str:
    """Make the header with as little work as possible."""
    names = sorted(headers)
    signed = ";".join(names)
    lines = "\n".join([f"{name}:{headers[name].strip()}" for name in names])
    canonical = (
        f"{call.operation.method}\n/\n{call.canonical_query}\n{lines}\n\n{signed}\n{_EMPTY_BODY_SHA256}"
    )
    to_sign = f"{ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.digest(access_key_secret.encode(), to_sign.encode(), "sha256").hex()
    return f"{ALGORITHM} Credential={access_key_id},SignedHeaders={signed},Signature={signature}"


def sdk_authorization(
    call: Call[Any], headers: Mapping[str, str], access_key_id: str, access_key_secret: str
) -> str:
    """Make the header with tea-openapi."""
    from alibabacloud_tea_openapi.utils import Utils

    request = _Signable(call.operation.method, call.query, headers)
    made: str = Utils.get_authorization(
        request, ALGORITHM, _EMPTY_BODY_SHA256, access_key_id, access_key_secret
    )
    return made


def sign(
    call: Call[Any], endpoint: Endpoint, credential: CredentialModel, signer: Signer = authorization
) -> SignedRequest:
    """Put headers and signature to a call.

    All parameters travel in the query, also those of POST operations, so the body is empty. Every
    request has a nonce of its own, and must be sent at most once.
    """
    # All of them are signed.
    headers = {
        "accept": "application/json",
        "host": endpoint.authority,
        "user-agent": _USER_AGENT,
        "x-acs-action": call.operation.name,
        "x-acs-content-sha256": _EMPTY_BODY_SHA256,
        "x-acs-date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "x-acs-signature-nonce": os.urandom(16).hex(),
        "x-acs-version": API_VERSION,
    }
    if credential.provider_name is not None:
        headers["x-acs-credentials-provider"] = credential.provider_name
    if credential.type == "bearer":
        headers["x-acs-bearer-token"] = credential.bearer_token
        call = call.with_query({**call.query, "SignatureType": "BEARERTOKEN"})
        return SignedRequest(call.operation.method, call.target, headers)
    if credential.security_token:
        headers["x-acs-accesskey-id"] = credential.access_key_id
        headers["x-acs-security-token"] = credential.security_token
    headers["Authorization"] = signer(call, headers, credential.access_key_id, credential.access_key_secret)
    return SignedRequest(call.operation.method, call.target, headers)
