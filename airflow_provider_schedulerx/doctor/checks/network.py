"""The way to the endpoint: its name, proxies and TLS. No call is made."""

from __future__ import annotations

import base64
import http.client
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError
from airflow_provider_schedulerx.doctor.findings import Finding, fail, ok, unknown, warn
from airflow_provider_schedulerx.doctor.session import Session, within

if TYPE_CHECKING:
    from cryptography import x509

    from airflow_provider_schedulerx.api.connection.endpoints import Endpoint

_SECONDS = 5.0
_NAME_SECONDS = 10.0
_SOON_EXPIRED = 14


def endpoint(session: Session) -> Iterator[Finding]:
    """Where the service is."""
    settings = session.settings
    assert settings is not None  # noqa: S101 - checks say what they need
    where = settings.endpoint
    host = _host_and_port(where)[0]
    if host.startswith("schedulerx-vpc."):
        kind, what = "vpc", "the VPC endpoint of the region, reached only from inside it"
    elif host.endswith(".aliyuncs.com"):
        kind, what = "public", "the Internet endpoint"
    else:
        kind, what = "own", "set by host of the connection; it is not one of Alibaba Cloud's names"
    if where.scheme == "http" and not _is_loopback(host):
        yield warn(
            "endpoint",
            kind,
            f"{where}, {what}: not encrypted, so a security token and the parameters of runs can be read on the way",
            "Remove http:// from host.",
        )
        return
    yield ok("endpoint", kind, f"{where}, {what}")


def proxy(session: Session) -> Iterator[Finding]:
    """Which proxy the calls go through."""
    from airflow_provider_schedulerx.api.wire.proxy import proxy_for

    assert session.settings is not None  # noqa: S101 - checks say what they need
    try:
        session.proxy = proxy_for(session.settings)
    except SchedulerXConfigurationError as error:
        session.lacking["network"] = "the proxy cannot be used"
        yield fail("proxy", "unusable", error.message)
        return
    if session.proxy is None:
        yield ok("proxy", "none", "neither the connection nor the environment names one for this endpoint")
        return
    session.scrubber.add_name(urlsplit(session.proxy).hostname, "proxy")
    session.scrubber.add_secret(urlsplit(session.proxy).password)
    origin = (
        "proxy of the connection" if session.settings.proxy else "the environment (HTTPS_PROXY and the like)"
    )
    yield ok("proxy", _plain(session.proxy), f"{_plain(session.proxy)}, from {origin}")


def dns(session: Session) -> Iterator[Finding]:
    """Whether the endpoint's name leads somewhere."""
    settings = session.settings
    assert settings is not None  # noqa: S101 - checks say what they need
    host, port = _host_and_port(settings.endpoint)
    via = session.proxy
    if via is not None:
        target = urlsplit(via)
        host, port = target.hostname or "", target.port or 3128
    named = "the proxy" if via else "the endpoint"
    try:
        answered = within(_NAME_SECONDS, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except OSError as error:
        session.lacking["network"] = f"{named} has no address"
        vpc = (
            "VPC endpoints resolve only inside their region's VPC: set network to public, or run this there. "
        )
        yield fail(
            "dns",
            "fails",
            f"the name {host} does not resolve: {'no answer' if isinstance(error, TimeoutError) else error.strerror or error}",
            (vpc if host.startswith("schedulerx-vpc.") else "")
            + "Check host, region_id and network, and DNS of this machine.",
        )
        return
    found = {str(each[4][0]) for each in answered}
    private = all(ipaddress.ip_address(address.partition("%")[0]).is_private for address in found)
    kind = "private" if private else "public"
    if settings.endpoint.scheme == "http" and (problem := _unreachable(host, port)):
        session.lacking["network"] = f"{named} cannot be reached"
        yield fail("dns", kind, f"{host} resolves, but port {port} does not answer: {problem}", _REACH)
        return
    through = " (the proxy; it resolves the endpoint's name)" if via else ""
    yield ok(
        "dns",
        kind,
        f"{host}{through} leads to {'a' if len(found) == 1 else len(found)} {kind} address{'es' if len(found) > 1 else ''}",
    )


_REACH = "Check host, port and network, and that a firewall or security group lets this machine connect."


def tls(session: Session) -> Iterator[Finding]:
    """Who vouches for the endpoint, and whether that is trusted here."""
    from airflow_provider_schedulerx.api.wire.tls import tls_context

    settings = session.settings
    assert settings is not None  # noqa: S101 - checks say what they need
    where, via = settings.endpoint, session.proxy
    if where.scheme == "http":
        yield ok("tls", "none", "the connection asks for http: nothing is encrypted")
        return
    if via and urlsplit(via).scheme != "http":
        yield unknown("tls", "the proxy itself is reached by TLS, which this command does not examine")
        return
    try:
        certificate = _certificate(where, via, tls_context(settings.ca_file, "doctor"))
    except ssl.SSLCertVerificationError as error:
        session.lacking["network"] = "the certificate is not trusted"
        issuer = _issuer_of_untrusted(where, via)
        yield fail(
            "tls",
            issuer,
            f"the certificate, issued by {issuer}, is not trusted: {error.verify_message}",
            "If that is your own authority, or a proxy that looks into TLS, put its certificate into a PEM file on every "
            "worker and triggerer, and set ca_file. If the certificate is for another host, check host.",
        )
    except (OSError, http.client.HTTPException) as error:
        session.lacking["network"] = "no TLS connection can be made"
        yield _no_connection(where, via, error)
    else:
        yield _described(certificate, settings.ca_file)


def _certificate(where: Endpoint, via: str | None, context: ssl.SSLContext) -> x509.Certificate:
    from cryptography import x509

    host, port = _host_and_port(where)
    through = urlsplit(via) if via else None
    connection = http.client.HTTPSConnection(
        (through.hostname or "") if through else host,
        (through.port or 80) if through else port,
        timeout=_SECONDS,
        context=context,
    )
    if through:
        headers = {}
        if through.username:
            login = f"{unquote(through.username)}:{unquote(through.password or '')}"
            headers["Proxy-Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        connection.set_tunnel(host, port, headers)
    try:
        connection.connect()
        encoded = connection.sock.getpeercert(binary_form=True)
    finally:
        connection.close()
    return x509.load_der_x509_certificate(encoded or b"")


def _issuer_of_untrusted(where: Endpoint, via: str | None) -> str:
    context = ssl.create_default_context()
    # Only to say who issued it; nothing is sent over this connection.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        return _issuer(_certificate(where, via, context))
    except Exception:
        return "an unknown authority"


def _issuer(certificate: x509.Certificate) -> str:
    from cryptography.x509.oid import NameOID

    for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        for attribute in certificate.issuer.get_attributes_for_oid(oid):
            return str(attribute.value)[:80]
    return "an authority without a name"


def _described(certificate: x509.Certificate, ca_file: str | None) -> Finding:
    issuer = _issuer(certificate)
    days = (certificate.not_valid_after_utc - datetime.now(UTC)).days
    private = (
        ", a private authority trusted through ca_file" if ca_file and not _is_trusted_anyway(issuer) else ""
    )
    text = f"issued by {issuer}{private}, valid for {days} more days"
    if days < _SOON_EXPIRED:
        return warn("tls", issuer, text, "Whoever runs this endpoint has to renew it.")
    return ok("tls", issuer, text)


def _is_trusted_anyway(issuer: str) -> bool:
    return any(issuer in str(authority) for authority in ssl.create_default_context().get_ca_certs())


def _no_connection(where: Endpoint, via: str | None, error: Exception) -> Finding:
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        return fail(
            "tls",
            "fails",
            f"the handshake with {where} fails: {reason}",
            "Is it really https? host may begin with http://.",
        )
    if via and "Tunnel connection failed" in str(error):
        return fail(
            "tls",
            "fails",
            f"the proxy refuses: {error}",
            "Check proxy and proxy_password, and that it lets this host through.",
        )
    reason = (
        "timed out" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or str(error)
    )
    what = f"the proxy {_plain(via)}" if via else str(where)
    return fail("tls", "fails", f"{what} cannot be reached: {reason}", _REACH)


def _unreachable(host: str, port: int) -> str | None:
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        return "timed out" if isinstance(error, TimeoutError) else error.strerror or str(error)
    return None


def _host_and_port(where: Endpoint) -> tuple[str, int]:
    parts = urlsplit(str(where))
    return parts.hostname or "", parts.port or (443 if where.scheme == "https" else 80)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _plain(proxy: str | None) -> str:
    """A proxy without user and password."""
    if proxy is None:
        return "none"
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
