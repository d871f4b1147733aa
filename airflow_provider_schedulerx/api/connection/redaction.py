"""Keeps secrets out of text, and out of the logs that the Alibaba SDKs write by themselves.

The SDKs log headers when ``DEBUG=sdk`` is set, and whole exceptions when a credential cannot be
refreshed; those quote URLs with tokens, and bodies with keys.
"""

from __future__ import annotations

import logging
import re

_SECRET_HEADERS = re.compile(
    r"^([<>] (?:authorization|x-acs-security-token|x-acs-bearer-token|proxy-authorization) : ).*$",
    re.IGNORECASE | re.MULTILINE,
)


def without_quotation(text: str) -> str:
    """A text of alibabacloud-credentials up to the URL query or the response body that it quotes."""
    return re.split(r"\bresult\b|\?", text, maxsplit=1)[0].strip(" ,:")


def without_secrets(error: BaseException, secrets: tuple[str, ...]) -> str:
    """The text of an exception of alibabacloud-credentials, fit to be shown."""
    if isinstance(error, FileNotFoundError):
        return f"no such file: {error.filename}"
    text = without_quotation(str(error))
    for secret in secrets:
        text = text.replace(secret, "***")
    return text or type(error).__name__


class _HeaderFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = _SECRET_HEADERS.sub(r"\1***", record.getMessage())
        record.args = None
        return True


class _CredentialFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        # We raise these ourselves, in our own words.
        if record.exc_info:
            return False
        record.msg = without_quotation(record.getMessage())
        record.args = None
        return True


_FILTERS = {"darabonba-core": _HeaderFilter(), "credentials": _CredentialFilter()}


def guard_sdk_logs() -> None:
    """Put the filters to the SDKs' loggers. Doing it again changes nothing."""
    for name, log_filter in _FILTERS.items():
        logging.getLogger(name).addFilter(log_filter)
