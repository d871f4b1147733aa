"""An identity provider for OIDC, as a cluster has one: makes the tokens of pods, and tells genuine ones.

Its tokens are JWTs with an HMAC signature (HS256), which clients carry without looking into them.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from typing import Any

AUDIENCE = "sts.aliyuncs.com"


class IdentityProvider:
    """Knows its tokens by a key that it makes for itself."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def token(self, expires: float, audience: str = AUDIENCE) -> str:
        """Make a token.

        :param expires: epoch seconds.
        """
        header = {"alg": "HS256", "typ": "JWT"}
        claims = {
            "iss": "https://emulator.invalid",
            "sub": "system:serviceaccount:airflow:worker",
            "aud": audience,
            "exp": expires,
        }
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
        return f"{signed}.{self._signature(signed)}"

    def claims(self, token: str) -> dict[str, Any] | None:
        """Return what a token says. None if it is not one of ours; whether it has expired is the caller's matter."""
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(self._signature(signed).encode(), signature.encode()):
            return None
        text = signed.partition(".")[2]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return claims

    def _signature(self, signed: str) -> str:
        return _encoded(hmac.digest(self._key, signed.encode(), "sha256"))


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
