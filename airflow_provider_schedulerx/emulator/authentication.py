"""Authenticates callers: checks signatures V3 and V1 from their documentation, with no code of any client.

Only here is the other side of the wire written down independently: a request that passes was
signed as Alibaba Cloud documents it, not as our own signing happens to do it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from airflow_provider_schedulerx.emulator.definitions import Account

#: Seconds by which a request's time may differ from ours, and for which its nonce is remembered.
MAX_SKEW = 15 * 60

_V3 = "ACS3-HMAC-SHA256"
_NO_MATCH = "Specified signature is not matched with our calculation."


class GatewayError(Exception):
    """An error of the gateway, before the service itself: HTTP 4xx or 5xx and a textual ``Code``."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None, **body: object
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers: dict[str, str] = dict(headers or {})
        self.body = body


@dataclass(frozen=True)
class Request:
    """:ivar headers: with lower-case names.
    :ivar query: decoded, from the URL only.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    form: Mapping[str, str]

    def parameter(self, name: str) -> str | None:
        return self.query.get(name, self.form.get(name))


class Authenticator:
    """Remembers nonces, so that a request can be carried out only once."""

    def __init__(self, accounts: Mapping[str, Account], clock: Callable[[], float] = time.time) -> None:
        self.accounts: dict[str, Account] = dict(accounts)
        self._clock = clock
        self._nonces: dict[str, float] = {}

    def authenticate(self, request: Request) -> Account:
        """Say who signed a request.

        :raises GatewayError: as the gateway answers otherwise.
        """
        if (token := request.headers.get("x-acs-bearer-token")) is not None:
            return self._bearer(token, request)
        if request.headers.get("authorization", "").startswith(_V3 + " "):
            return self._v3(request)
        if request.parameter("Signature") is not None:
            return self._v1(request)
        raise GatewayError(400, "MissingAccessKeyId", "AccessKeyId is mandatory for this action.")

    def _bearer(self, token: str, request: Request) -> Account:
        if request.parameter("SignatureType") != "BEARERTOKEN":
            raise GatewayError(400, "MissingSignatureType", "SignatureType is mandatory for a bearer token.")
        for account in self.accounts.values():
            if account.bearer_token is not None and _same(account.bearer_token, token):
                self._use_nonce(request.headers.get("x-acs-signature-nonce"))
                return account
        raise GatewayError(403, "InvalidBearerToken", "The specified bearer token is invalid.")

    def _v3(self, request: Request) -> Account:
        fields = dict(
            part.strip().partition("=")[::2]
            for part in request.headers["authorization"].removeprefix(_V3).split(",")
        )
        account = self._account(fields.get("Credential", ""))
        self._check_time(request.headers.get("x-acs-date"))
        signed = fields.get("SignedHeaders", "").split(";")
        needed = {"host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce"}
        if account.security_token is not None:
            needed |= {"x-acs-security-token"}
        if account.security_token is None and "x-acs-security-token" in request.headers:
            needed |= {"x-acs-security-token"}
        payload = hashlib.sha256(request.body).hexdigest()
        if request.headers.get("x-acs-content-sha256", payload) != payload:
            raise GatewayError(400, "SignatureDoesNotMatch", "x-acs-content-sha256 does not match the body.")
        self._check_token(account, request.headers.get("x-acs-security-token"))
        if missing := sorted(name for name in needed if name not in signed or name not in request.headers):
            raise GatewayError(400, "IncompleteSignature", f"Not signed or not sent: {', '.join(missing)}.")
        expected = sign_v3(
            request.method, request.path, request.query, request.headers, signed, payload, account
        )
        if not _same(expected, fields.get("Signature", "")):
            raise GatewayError(400, "SignatureDoesNotMatch", _NO_MATCH)
        self._use_nonce(request.headers["x-acs-signature-nonce"])
        return account

    def _v1(self, request: Request) -> Account:
        parameters = {**request.query, **request.form}
        account = self._account(parameters.get("AccessKeyId", ""))
        self._check_time(parameters.get("Timestamp"))
        self._check_token(account, parameters.get("SecurityToken"))
        if (method := parameters.get("SignatureMethod")) != "HMAC-SHA1":
            raise GatewayError(400, "InvalidSignatureMethod", f"SignatureMethod {method} is not supported.")
        to_sign = string_to_sign_v1(request.method, parameters)
        if not _same(sign_v1(to_sign, account), parameters.get("Signature", "")):
            # The older SDK reads the text behind the colon.
            raise GatewayError(
                400, "SignatureDoesNotMatch", f"{_NO_MATCH} server string to sign is:{to_sign}"
            )
        self._use_nonce(parameters.get("SignatureNonce"))
        return account

    def _account(self, access_key_id: str) -> Account:
        account = self.accounts.get(access_key_id)
        if account is None or account.bearer_token is not None:
            raise GatewayError(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        if not account.active:
            raise GatewayError(400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled.")
        return account

    def _check_token(self, account: Account, token: str | None) -> None:
        if account.security_token is None and token is None:
            return
        if account.security_token is None or token != account.security_token:
            raise GatewayError(
                400,
                "InvalidSecurityToken.MismatchWithAccessKey",
                "Specified SecurityToken mismatch with the AccessKey.",
            )
        if account.expires is not None and account.expires <= self._clock():
            raise GatewayError(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")

    def _check_time(self, text: str | None) -> None:
        try:
            at = datetime.strptime(text or "", "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
        except ValueError:
            raise GatewayError(
                400, "InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted."
            ) from None
        if abs(at - self._clock()) > MAX_SKEW:
            raise GatewayError(
                400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired."
            )

    def _use_nonce(self, nonce: str | None) -> None:
        if not nonce:
            raise GatewayError(400, "MissingSignatureNonce", "SignatureNonce is mandatory for this action.")
        now = self._clock()
        while self._nonces and (oldest := next(iter(self._nonces.items())))[1] < now - MAX_SKEW:
            del self._nonces[oldest[0]]
        if nonce in self._nonces:
            raise GatewayError(400, "SignatureNonceUsed", "Specified signature nonce was used already.")
        self._nonces[nonce] = now


def _same(expected: str, given: str) -> bool:
    """Compare in constant time; as bytes, since texts that are not ASCII raise."""
    return hmac.compare_digest(expected.encode(errors="replace"), given.encode(errors="replace"))


def _encode(text: str) -> str:
    return quote(text, safe="-_.~", errors="replace")


def _canonical_query(query: Mapping[str, str]) -> str:
    return "&".join(f"{_encode(name)}={_encode(value)}" for name, value in sorted(query.items()))


def sign_v3(  # noqa: PLR0917 - the parts in the order in which they are signed
    method: str,
    path: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    signed_headers: list[str],
    payload_sha256: str,
    account: Account,
) -> str:
    """Signature V3 in hex (API page "V3 request structure and signature")."""
    canonical_headers = "".join(f"{name}:{headers.get(name, '').strip()}\n" for name in signed_headers)
    canonical = "\n".join(
        (
            method,
            path or "/",
            _canonical_query(query),
            canonical_headers,
            ";".join(signed_headers),
            payload_sha256,
        )
    )
    to_sign = f"{_V3}\n{hashlib.sha256(canonical.encode(errors='replace')).hexdigest()}"
    return hmac.new(account.access_key_secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()


def string_to_sign_v1(method: str, parameters: Mapping[str, str]) -> str:
    """What signature V1 of RPC style signs (API page "V2 RPC style request and signature")."""
    unsigned = {name: value for name, value in parameters.items() if name != "Signature"}
    return f"{method}&{_encode('/')}&{_encode(_canonical_query(unsigned))}"


def sign_v1(to_sign: str, account: Account) -> str:
    """Signature V1 in base64."""
    digest = hmac.new(f"{account.access_key_secret}&".encode(), to_sign.encode(), hashlib.sha1)
    return base64.b64encode(digest.digest()).decode()
