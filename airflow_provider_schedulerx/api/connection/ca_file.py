"""The file of private certificate authorities that a connection names, parsed once as long as it stays the same.

Every task and trigger checks its connection, and parsing a full bundle takes some 40 ms: a thousand triggers would
block their event loop for 40 s.
"""

from __future__ import annotations

import functools
import os
import ssl
import stat

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError


def check_ca_file(path: str | None) -> str | None:
    """Return the path, if there is a PEM file of certificates.

    :raises SchedulerXConfigurationError: if there is not.
    """
    if path is None:
        return None
    try:
        found = os.stat(path)
        is_file = stat.S_ISREG(found.st_mode)
    except (OSError, ValueError):
        is_file = False
    if not is_file:
        raise SchedulerXConfigurationError(
            f"ca_file {path!r} is not a file on this machine; every worker and triggerer needs it",
            field="ca_file",
        )
    try:
        _parse(path, found.st_ino, found.st_mtime_ns, found.st_size)
    except OSError as error:
        raise SchedulerXConfigurationError(
            f"ca_file {path!r} is not a PEM file of certificates: {error.strerror}", field="ca_file"
        ) from None
    return path


@functools.lru_cache(maxsize=64)
def _parse(path: str, inode: int, modified: int, size: int) -> None:
    """Errors are not remembered: a wrong file may be put right."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
