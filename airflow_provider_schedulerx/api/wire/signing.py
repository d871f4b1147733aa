"""Headers and signature of a request, V3 (API page "V3 request structure and signature").

The signature is tea-openapi's. Only the headers are put together here, since its own client does more than a
poll may cost. Tests hold both to the published vector and, byte for byte, to what the official SDK sends.
"""

from __future__ import annotations

import hashlib
import platform
import time
import uuid
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


def sign(call: Call[Any], endpoint: Endpoint, credential: CredentialModel) -> SignedRequest:
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
        "x-acs-signature-nonce": uuid.uuid4().hex,
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
    headers["Authorization"] = authorization(
        call.operation.method, call.query, headers, credential.access_key_id, credential.access_key_secret
    )
    return SignedRequest(call.operation.method, call.target, headers)


@dataclass(slots=True)
class _Signable:
    """What tea-openapi's signer reads of a request."""

    method: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    pathname: str = "/"


def authorization(
    method: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    access_key_id: str,
    access_key_secret: str,
) -> str:
    """Return the ``Authorization`` header of a request with an empty body.

    :param headers: all headers to sign.
    """
    from alibabacloud_tea_openapi.utils import Utils

    signed: str = Utils.get_authorization(
        _Signable(method, query, headers), ALGORITHM, _EMPTY_BODY_SHA256, access_key_id, access_key_secret
    )
    return signed
