"""The proxy of a connection: URL and password, two fields, since Airflow masks values by the names of their fields."""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError


def proxy_with_password(url: str | None, password: str | None) -> str | None:
    """Return the URL with the password in it. None if there is no proxy.

    :raises SchedulerXConfigurationError: if the URL is none, holds a password itself, or names no user for it.
    """
    if url is None:
        if password is not None:
            raise SchedulerXConfigurationError(
                "proxy_password is set but proxy is not; set proxy, or clear proxy_password",
                field="proxy_password",
            )
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SchedulerXConfigurationError(
            "proxy must be a URL such as http://proxy.example:3128", field="proxy"
        )
    if parts.password:
        raise SchedulerXConfigurationError(
            "proxy contains a password, which Airflow would show; move it to proxy_password", field="proxy"
        )
    if not is_sendable(parts.username, password):
        raise SchedulerXConfigurationError(
            "proxy_password, or the user in proxy, has a character outside of Latin-1, which HTTP cannot send to a proxy",
            field="proxy_password",
        )
    if password is None:
        return url
    if not parts.username:
        raise SchedulerXConfigurationError(
            "proxy_password is set but proxy names no user; give it as http://user@proxy.example:3128",
            field="proxy",
        )
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username}:{quote(password, safe='')}@{host}").geturl()


def is_sendable(*texts: str | None) -> bool:
    """Return whether a request can carry the name and the password of a proxy's user: the HTTP libraries take Latin-1.

    :param texts: percent-encoded, or not.
    """
    return all(ord(character) < 256 for text in texts for character in unquote(text or ""))
