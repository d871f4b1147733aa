"""From what failed on the way to an error and its advice, once for both transports.

A transport knows whether a fault came before the connection stood (:func:`unreachable`: the request never left)
or later (:func:`no_answer`: it may have been carried out). Nothing is inferred from texts of exceptions.
"""

from __future__ import annotations

import socket
import ssl
from enum import Enum

from airflow_provider_schedulerx.api.connection.redaction import without_queries
from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
from airflow_provider_schedulerx.api.exceptions import SchedulerXError, SchedulerXUnavailableError
from airflow_provider_schedulerx.api.wire.calls import Operation
from airflow_provider_schedulerx.api.wire.responses import undecided

_SHOWN = 300


class Cause(Enum):
    """Why there is no connection, and what to do about it."""

    NAME = "check host, region_id and network"
    VPC_NAME = "VPC endpoints resolve only inside their region's VPC: check network"
    CONNECTION = "check host and network, and that this machine may connect to it"
    CERTIFICATE = "if the certificate is of a private authority, set ca_file"
    TLS = "is this port really https? host may begin with http://"
    PROXY = "check proxy of the connection"
    ENVIRONMENT_PROXY = "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment, or set proxy"


def cause_of(error: BaseException, settings: SchedulerXSettings, proxy: str | None) -> Cause:
    """Tell the cause of a connection that could not be made.

    :param error: what the operating system or the TLS library raised.
    :param proxy: the proxy that was used, if there was one.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return Cause.CERTIFICATE
    if isinstance(error, ssl.SSLError):
        return Cause.TLS
    if proxy:
        return Cause.PROXY if settings.proxy else Cause.ENVIRONMENT_PROXY
    if isinstance(error, socket.gaierror):
        return Cause.VPC_NAME if settings.endpoint.authority.startswith("schedulerx-vpc.") else Cause.NAME
    return Cause.CONNECTION


def unreachable(
    operation: Operation, error: BaseException, settings: SchedulerXSettings, proxy: str | None
) -> SchedulerXUnavailableError:
    """The error for a connection that could not be made, so that nothing was sent."""
    advice = cause_of(error, settings, proxy).value
    return SchedulerXUnavailableError(
        f"cannot reach {settings.endpoint}: {_plain(error, settings)}; {advice}", operation=operation.name
    )


def no_answer(operation: Operation, error: BaseException, settings: SchedulerXSettings) -> SchedulerXError:
    """The error for a request that may have left, and has no answer."""
    return undecided(
        operation,
        f"no answer from {settings.endpoint}: {_plain(error, settings)}; the service, or a proxy or firewall on the "
        "way, ended the connection: see whether read_timeout is long enough",
    )


def root(error: BaseException) -> BaseException:
    """What an exception was raised from, in the end. Not its context, which may be that of the caller."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _plain(error: BaseException, settings: SchedulerXSettings) -> str:
    """One line of text without queries, which carry the caller's parameters, and without secrets."""
    inner = next((arg for arg in reversed(error.args) if isinstance(arg, BaseException)), error)
    if isinstance(inner, OSError) and inner.strerror:
        text = str(inner.strerror)
    elif "timed out" in str(inner).lower() or isinstance(inner, TimeoutError):
        text = "timed out"
    else:
        text = str(inner) or type(inner).__name__
    for secret in settings.secrets:
        text = text.replace(secret, "***")
    return without_queries(" ".join(text.split()))[:_SHOWN]
