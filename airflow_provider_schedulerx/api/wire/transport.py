"""The synchronous side: one connection's calls over tea-openapi's ``call_api``.

The library's gateway seam is used, not its default path: there we sign with the code that the
asynchronous side shares, and get status, headers and body of every answer. The default path
loses the status of an error page that is not JSON, and decides itself what is an error.

Two limits of the library remain. ``HTTP_PROXY`` and ``HTTPS_PROXY`` of the environment are used,
but ``NO_PROXY`` is not. And it logs by itself, which :mod:`.redaction` keeps free of secrets.
"""

from __future__ import annotations

import re
import ssl
from typing import Any, TypeVar

import requests
import tenacity
import urllib3
from alibabacloud_gateway_spi.client import Client as GatewaySpi
from alibabacloud_tea_openapi import utils_models as tea_models
from alibabacloud_tea_openapi.client import Client as TeaClient
from darabonba.exceptions import RetryError, UnretryableException
from darabonba.runtime import RuntimeOptions
from Tea.exceptions import RetryError as TeaRetryError

from airflow_provider_schedulerx.api.connection.redaction import without_secrets
from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAuthenticationError,
    SchedulerXError,
    SchedulerXUnavailableError,
)
from airflow_provider_schedulerx.api.wire import retrying
from airflow_provider_schedulerx.api.wire.calls import Call, Operation
from airflow_provider_schedulerx.api.wire.responses import Response, interpret, undecided
from airflow_provider_schedulerx.api.wire.signing import API_VERSION, sign

T = TypeVar("T")


class _Gateway(GatewaySpi):  # type: ignore[misc]
    """Signs one call and hands its answer back untouched."""

    def __init__(self, call: Call[Any], settings: SchedulerXSettings) -> None:
        super().__init__()
        self._call = call
        self._settings = settings

    def modify_configuration(self, context: Any, attribute_map: Any) -> None:
        """Nothing to change: the endpoint is resolved already."""

    def modify_request(self, context: Any, attribute_map: Any) -> None:
        credential = context.request.credential.get_credential()
        signed = sign(self._call, self._settings.endpoint, credential)
        context.request.query = dict(signed.query)
        context.request.headers = signed.headers

    def modify_response(self, context: Any, attribute_map: Any) -> None:
        response = context.response
        response.deserialized_body = Response(response.status_code, response.headers, response.body)


class SyncTransport:
    """Carries out calls, with the retries of :mod:`.retrying`. Connections are pooled by the library.

    :param max_retry_seconds: seconds after which no further try begins; 0 means one try.
    """

    def __init__(
        self, settings: SchedulerXSettings, max_retry_seconds: float = retrying.MAX_RETRY_SECONDS
    ) -> None:
        self._settings = settings
        self._policy = retrying.policy(max_retry_seconds)
        self._credential = settings.credential_client()

    def perform(self, call: Call[T]) -> T:
        """Carry out a call.

        :raises SchedulerXError: when no further try is allowed.
        """
        result: T = tenacity.Retrying(**self._policy)(self._perform_once, call)
        return result

    def _perform_once(self, call: Call[T]) -> T:
        return interpret(call, self.send(call))

    def send(self, call: Call[Any]) -> Response:
        """Sign a call and send it, once.

        :return: whatever was answered, not interpreted.
        :raises SchedulerXUnavailableError: if the request did not leave, or a read was not answered.
        :raises SchedulerXAmbiguousError: if a request that changes something was not answered.
        """
        settings = self._settings
        # A client per call costs next to nothing (it holds no connections) and makes calls from
        # several threads independent of each other.
        client = TeaClient(
            tea_models.Config(
                credential=self._credential,
                region_id=settings.scope.region_id,
                endpoint=settings.endpoint.authority,
                protocol=settings.endpoint.scheme,
                connect_timeout=_milliseconds(settings.connect_timeout),
                read_timeout=_milliseconds(settings.read_timeout),
                http_proxy=settings.proxy,
                https_proxy=settings.proxy,
                ca=settings.ca_file,
                # Not the version of the signature, which is V3: this sends call_api to the gateway seam.
                signature_version="v4",
            )
        )
        client.set_gateway_client(_Gateway(call, settings))
        try:
            response = client.call_api(
                tea_models.Params(
                    action=call.operation.name,
                    version=API_VERSION,
                    protocol=settings.endpoint.scheme,
                    pathname="/",
                    method=call.operation.method,
                    auth_type="AK",
                    style="RPC",
                    req_body_type="formData",
                    body_type="json",
                ),
                tea_models.OpenApiRequest(),
                RuntimeOptions(),
            )
        except UnretryableException as error:
            # From None: the library's exceptions carry URLs and bodies, and those may carry secrets.
            raise _fault(call.operation, error, settings) from None
        response_: Response = response["body"]
        return response_


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _fault(
    operation: Operation, error: UnretryableException, settings: SchedulerXSettings
) -> SchedulerXError:
    """Tell apart what failed on the way, from the exception that the library has wrapped twice."""
    cause: BaseException = error.inner_exception
    if error.last_request is None:
        return _credential_fault(operation, cause, settings)
    if isinstance(cause, RetryError) and cause.__context__ is not None:
        cause = cause.__context__
    reasons = _reasons(cause)
    if _surely_not_sent(reasons):
        return SchedulerXUnavailableError(
            f"cannot reach {settings.endpoint}: {_plain(reasons[-1])}{_advice(reasons, settings)}",
            operation=operation.name,
        )
    return undecided(operation, f"no answer from {settings.endpoint}: {_plain(reasons[-1])}")


def _credential_fault(
    operation: Operation, cause: BaseException, settings: SchedulerXSettings
) -> SchedulerXError:
    """The credential could not be had, so nothing was sent."""
    kind = settings.credential.credential_type
    if isinstance(cause, requests.RequestException | RetryError | TeaRetryError | OSError):
        is_file = isinstance(cause, FileNotFoundError)
        reason = without_secrets(cause, settings.secrets) if is_file else _plain(_reasons(cause)[-1])
        return SchedulerXUnavailableError(
            f"the credential (credential_type {kind!r}) cannot be had: {reason}", operation=operation.name
        )
    return SchedulerXAuthenticationError(
        f"the credential (credential_type {kind!r}) cannot be had: {without_secrets(cause, settings.secrets)}; "
        "check the credential fields of the connection",
        operation=operation.name,
    )


def _reasons(error: BaseException) -> list[BaseException]:
    """An exception and what lies behind it, outermost first."""
    chain = [error]
    while True:
        current = chain[-1]
        inner = [arg for arg in current.args if isinstance(arg, BaseException)]
        found = getattr(current, "reason", None)
        for candidate in (
            *(inner[:1]),
            found if isinstance(found, BaseException) else None,
            current.__cause__,
            current.__context__,
        ):
            if candidate is not None and candidate not in chain:
                chain.append(candidate)
                break
        else:
            return chain


_NEVER_CONNECTED = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    requests.exceptions.ConnectTimeout,
)

# What OpenSSL calls a failed handshake. Other TLS errors can also come after the request was sent.
_HANDSHAKE = (
    "CERTIFICATE_VERIFY_FAILED",
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNSUPPORTED_PROTOCOL",
    "NO_PROTOCOLS_AVAILABLE",
    "TLSV1_ALERT_PROTOCOL_VERSION",
    "SSLV3_ALERT_HANDSHAKE_FAILURE",
)


def _surely_not_sent(reasons: list[BaseException]) -> bool:
    """Whether a fault surely came before the request left. Anything not known to be so is not."""
    if _met(reasons, ssl.SSLCertVerificationError, *_NEVER_CONNECTED):
        return True
    if any(isinstance(reason, ssl.SSLError) and reason.reason in _HANDSHAKE for reason in reasons):
        return True
    return _met(reasons, requests.exceptions.ProxyError) and "Tunnel connection failed" in str(reasons[-1])


def _advice(reasons: list[BaseException], settings: SchedulerXSettings) -> str:
    if _met(reasons, requests.exceptions.ProxyError):
        return "; check proxy of the connection, and HTTPS_PROXY of the environment"
    if _met(reasons, ssl.SSLCertVerificationError):
        return "; if the certificate is of a private authority, set ca_file"
    if _met(reasons, ssl.SSLError):
        return "; is this port really https? host may begin with http://"
    if _met(reasons, urllib3.exceptions.NameResolutionError):
        if settings.endpoint.authority.startswith("schedulerx-vpc."):
            return "; VPC endpoints resolve only inside their region's VPC: check network"
        return "; check host, region_id and network"
    return "; check host and network, and that this machine may connect to it"


def _met(reasons: list[BaseException], *kinds: type[BaseException]) -> bool:
    return any(isinstance(reason, kinds) for reason in reasons)


def _plain(reason: BaseException) -> str:
    """One line of text without the URL, which carries the caller's parameters."""
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    if isinstance(reason, TimeoutError | requests.exceptions.Timeout):
        return "timed out"
    text = re.sub(r"\s+", " ", str(reason)) or type(reason).__name__
    return re.sub(r"(/\?|url: )\S*", r"\1...", text)[:300]
