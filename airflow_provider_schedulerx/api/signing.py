"""Headers and signature of a request, V3 (API page "V3 request structure and signature")."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alibabacloud_tea_openapi.utils import Utils

from airflow_provider_schedulerx import __version__
from airflow_provider_schedulerx.api.calls import Call
from airflow_provider_schedulerx.api.endpoints import Endpoint

if TYPE_CHECKING:
    from alibabacloud_credentials.models import CredentialModel

API_VERSION = "2019-04-30"
ALGORITHM = "ACS3-HMAC-SHA256"

_EMPTY_BODY_SHA256 = hashlib.sha256(b"").hexdigest()
_USER_AGENT = Utils.get_user_agent(f"airflow-provider-schedulerx/{__version__}")


@dataclass(slots=True)
class SignedRequest:
    """What goes out, in the shape that the SDK's signing function reads.

    Its headers hold the signature and maybe a token, so ``repr`` leaves them out.
    """

    method: str
    pathname: str
    query: dict[str, str]
    headers: dict[str, str] = field(repr=False)


def sign(call: Call[object], endpoint: Endpoint, credential: CredentialModel) -> SignedRequest:
    """Put headers and signature to a call.

    All parameters travel in the query, also those of POST operations, so the body is empty. Every
    call has a nonce of its own, and a signed request must be sent at most once.
    """
    request = SignedRequest(
        method=call.operation.method,
        pathname="/",
        query=dict(call.query),
        headers={
            "host": endpoint.authority,
            "x-acs-version": API_VERSION,
            "x-acs-action": call.operation.name,
            "user-agent": _USER_AGENT,
            "x-acs-date": Utils.get_timestamp(),
            "x-acs-signature-nonce": Utils.get_nonce(),
            "accept": "application/json",
            "x-acs-content-sha256": _EMPTY_BODY_SHA256,
        },
    )
    if credential.provider_name is not None:
        request.headers["x-acs-credentials-provider"] = credential.provider_name
    if credential.type == "bearer":
        request.headers["x-acs-bearer-token"] = credential.bearer_token
        request.query["SignatureType"] = "BEARERTOKEN"
        return request
    if credential.security_token:
        request.headers["x-acs-accesskey-id"] = credential.access_key_id
        request.headers["x-acs-security-token"] = credential.security_token
    request.headers["Authorization"] = Utils.get_authorization(
        request, ALGORITHM, _EMPTY_BODY_SHA256, credential.access_key_id, credential.access_key_secret
    )
    return request
