"""Which proxy a connection's calls go through, decided alike for both sides."""

from __future__ import annotations

from urllib.parse import urlsplit

from airflow_provider_schedulerx.api.connection.proxies import is_sendable
from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError


def proxy_for(settings: SchedulerXSettings) -> str | None:
    """The connection's own proxy, else what HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY of the environment say.

    :return: a URL with scheme ``http`` or ``https``, which may hold a password; None for no proxy.
    :raises SchedulerXConfigurationError: if the environment names another kind of proxy.
    """
    if settings.proxy:
        return settings.proxy
    # NO_PROXY has many dialects; requests knows that of most tools: host, suffix, port and network.
    from requests.utils import get_environ_proxies, select_proxy

    url = str(settings.endpoint)
    found = select_proxy(url, get_environ_proxies(url))
    if not found:
        return None
    proxy = found if "://" in found else f"http://{found}"
    try:
        parts = urlsplit(proxy)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        is_usable = is_usable and is_sendable(parts.username, parts.password)
    except ValueError:
        is_usable = False
    if not is_usable:
        # The value is not repeated: it may hold a password.
        raise SchedulerXConfigurationError(
            "the environment names a proxy that is not an http:// or https:// URL, or whose password is not of Latin-1; "
            "correct HTTPS_PROXY, HTTP_PROXY or "
            "ALL_PROXY, or set proxy in the connection",
            field="proxy",
        )
    return proxy
