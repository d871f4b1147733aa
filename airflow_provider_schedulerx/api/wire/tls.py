"""TLS contexts: one for each set of certificate authorities, built once.

Building one takes tens of milliseconds, so it belongs neither in every call nor on an event loop.
"""

from __future__ import annotations

import functools
import os
import ssl
import threading

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError

_building = threading.Lock()


def fingerprint(ca_file: str | None) -> tuple[object, ...]:
    """What changes when the file of certificate authorities does. Costs next to nothing."""
    if ca_file is None:
        return ()
    try:
        found = os.stat(ca_file)
    except OSError:
        return (ca_file,)
    return (ca_file, found.st_ino, found.st_mtime_ns, found.st_size)


def tls_context(ca_file: str | None, owner: str) -> ssl.SSLContext:
    """A context that trusts the machine's authorities and those in ``ca_file``. Slow the first time.

    :param owner: the HTTP library that uses it: some change the contexts they are given, so they share none.
    :raises SchedulerXConfigurationError: if the file cannot be read.
    """
    try:
        with _building:  # or a crowd that arrives together builds one each
            return _build(fingerprint(ca_file), owner)
    except OSError as error:
        raise SchedulerXConfigurationError(
            f"ca_file {ca_file!r} could not be read: {error.strerror}; is it still there?", field="ca_file"
        ) from None


@functools.lru_cache(maxsize=32)
def _build(authorities: tuple[object, ...], owner: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and paths.capath is None:
        # A slim image without authorities of its own.
        import certifi

        context.load_verify_locations(certifi.where())
    if authorities:
        context.load_verify_locations(str(authorities[0]))
    return context
