"""From what alibabacloud-credentials raised to an error and its advice; its own texts quote answers and URLs.

It is a matter of authentication only if the server of tokens says so; one that is away, or has a fault of its own, may
be back soon. In any case nothing was sent to the service.
"""

from __future__ import annotations

import json
import re
import ssl
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_schedulerx.api.connection.credentials import CredentialSettings
from airflow_provider_schedulerx.api.connection.redaction import without_secrets
from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAuthenticationError,
    SchedulerXError,
    SchedulerXUnavailableError,
)

#: How an error of the default chain begins.
NOTHING_FOUND = "nothing in the SDK's default chain"

#: credential_type -> what to do where its server is not found.
_WHERE = {
    "ram_role_arn": "; in a VPC, set sts_endpoint to sts-vpc.<region>.aliyuncs.com",
    "oidc_role_arn": "; in a VPC, set sts_endpoint to sts-vpc.<region>.aliyuncs.com",
    "ecs_ram_role": "; it answers only on an ECS instance, and not through HTTP_PROXY",
    "credentials_uri": "; check credentials_uri, and HTTP_PROXY of the environment",
}


def credential_fault(error: Exception, settings: SchedulerXSettings) -> SchedulerXError:
    """The error for a credential that could not be fetched.

    :param error: what alibabacloud-credentials raised.
    """
    kind = settings.credential.credential_type
    final, text = _understand(error, settings)
    message = f"the credential (credential_type {kind!r}) could not be fetched: {text}"
    return SchedulerXAuthenticationError(message) if final else SchedulerXUnavailableError(message)


def _understand(error: Exception, settings: SchedulerXSettings) -> tuple[bool, str]:
    """Whether an exception is final, and what to say of it."""
    credential = settings.credential
    server = _server(credential)
    if isinstance(error, FileNotFoundError):
        return False, f"no such file: {error.filename}; mount the file, or correct its path in the connection"
    # By its name, as long as nothing else is needed of the SDK.
    if type(error).__name__ == "CredentialException":
        return _understand_refusal(error, server, settings)
    if _is_of_network(error):
        return (
            False,
            f"cannot reach {server}: {_network_reason(error, _WHERE.get(credential.credential_type, ''))}",
        )
    if isinstance(error, OSError):
        return False, f"{error.strerror or type(error).__name__}: {error.filename or server}"
    return False, f"the answer of {server} could not be understood ({type(error).__name__})"


def _understand_refusal(error: Exception, server: str, settings: SchedulerXSettings) -> tuple[bool, str]:
    text = str(error)
    if "No cached value" in text:
        return True, f"{server} issued a key that had already expired; check the clock of this machine"
    status = re.search(r"\b(?:http_code|HttpCode)\W{1,3}(\d{3})\b", text)
    if status is None or text.startswith(NOTHING_FOUND):
        # The chain names several reasons, of which a server that is away may be one.
        passing = re.search(r"(?:http_code|HttpCode)\W{1,3}5\d\d", text) is not None
        return not passing, f"{without_secrets(error, settings.secrets)}; {_advice('', settings.credential)}"
    code = _code(text)
    said = f"{server} answered {f'{code} ' if code else ''}(HTTP status {status[1]})"
    if status[1].startswith("5") or status[1] in ("408", "429") or code.startswith("Throttling"):
        return False, f"{said}, which may be temporary"
    return True, f"{said}; {_advice(code, settings.credential)}"


def _server(credential: CredentialSettings) -> str:
    if credential.credential_type == "ecs_ram_role":
        return "the metadata server 100.100.100.200"
    if credential.credential_type == "credentials_uri":
        host = urlsplit(str(credential.values.get("credentials_uri") or "")).hostname
        return f"the credentials server {host}" if host else "the credentials server"
    if credential.credential_type == "default":
        return "a server of the SDK's default chain"
    return f"the security token service {credential.values.get('sts_endpoint') or ''}".rstrip()


def _code(text: str) -> str:
    """``Code`` of an answer that the SDK quotes. Nothing else of it is taken, since it may hold a key."""
    try:
        code = json.loads(text.partition("result:")[2])["Code"]
    except (ValueError, KeyError, TypeError):
        return ""
    return code if isinstance(code, str) and re.fullmatch(r"[A-Za-z0-9.]{1,80}", code) else ""


#: Beginning of a code -> what to do (API pages "AssumeRole", "AssumeRoleWithOIDC", "Common errors of STS").
_ADVICE = {
    "NoPermission": "the role's trust policy must name the caller and its external_id, and the caller needs the "
    "policy AliyunSTSAssumeRoleAccess",
    "AuthenticationFail.NoPermission": "the role's trust policy must accept this OIDC provider and token",
    "AuthenticationFail.OIDCToken.Expired": "the file of oidc_token_file_path holds an old token: is it renewed?",
    "AuthenticationFail.OIDCToken": "check oidc_token_file_path and oidc_provider_arn",
    "EntityNotExist.Role": "check role_arn",
    "EntityNotExist": "check oidc_provider_arn and role_arn",
    "InvalidParameter.RoleArn": "check role_arn",
    "InvalidParameter.RoleSessionName": "check role_session_name",
    "InvalidParameter.DurationSeconds": "set role_session_expiration to at most the role's maximum session duration",
    "InvalidParameter.Policy": "check policy",
    "InvalidAccessKeyId": "check login (AccessKey id)",
    "SignatureDoesNotMatch": "check password (AccessKey secret)",
    "InvalidSecurityToken": "check security_token",
    "InvalidTimeStamp": "check the clock of this machine",
}


def _advice(code: str, credential: CredentialSettings) -> str:
    if credential.credential_type == "ecs_ram_role":
        return "attach a RAM role to this instance, and check role_name and disable_imds_v1"
    fields = "check the credential fields of the connection"
    return next((text for start, text in _ADVICE.items() if code.startswith(start)), fields)


def _is_of_network(error: Exception) -> bool:
    from requests import RequestException
    from Tea.exceptions import RetryError

    return isinstance(error, RetryError | RequestException)


def _network_reason(error: BaseException, where: str) -> str:
    """The innermost reason, without a URL.

    :param where: what to do if the server is not found.
    """
    from urllib3 import exceptions as http

    chain = [error]
    while (inner := _inner(chain[-1])) is not None and inner not in chain:
        chain.append(inner)

    def met(*kinds: Any) -> bool:
        return any(isinstance(each, kinds) for each in chain)

    if met(ssl.SSLCertVerificationError):
        return "its certificate is not trusted; SSL_CERT_FILE of the environment may name a private authority"
    if met(http.NameResolutionError):
        return f"its name does not resolve{where}"
    if met(http.ConnectTimeoutError) and not met(http.NewConnectionError):
        return f"no connection in time{where}"
    if met(http.ReadTimeoutError):
        return "no answer in time"
    last = chain[-1]
    text = (last.strerror if isinstance(last, OSError) else None) or str(last) or type(last).__name__
    return re.split(r"[?]|url:", text, maxsplit=1)[0].strip()[:200] + (
        where if met(http.NewConnectionError) else ""
    )


def _inner(error: BaseException) -> BaseException | None:
    candidates = (*error.args, getattr(error, "reason", None), error.__cause__, error.__context__)
    return next((each for each in candidates if isinstance(each, BaseException)), None)
