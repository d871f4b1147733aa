"""Keeps secrets and parameters out of text, and out of the logs that libraries write by themselves.

The Alibaba SDKs log headers and queries when ``DEBUG=sdk`` is set, and whole exceptions when a credential cannot
be refreshed; those quote URLs with tokens, and bodies with keys. urllib3 logs the query of every request.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_SECRET_HEADERS = re.compile(
    r"^([<>] (?:authorization|x-acs-security-token|x-acs-bearer-token|proxy-authorization|"
    r"x-aliyun-ecs-metadata-token) : ).*$",
    re.IGNORECASE | re.MULTILINE,
)
# "> GET /credentialstoken=secret HTTP/1.1": the SDK leaves out the question mark.
_REQUEST_LINE = re.compile(r"^(> \w+ )\S*( HTTP/)", re.MULTILINE)
# Of a URL, whole or in part: "https://h/p?a=b", "/?a=b", "url: /?a=b".
_QUERY = re.compile(r"(?<=[\w/])\?[^\s'\")>]+")


# What a request carries that nobody may read, as a query, a header or a text to sign quotes it, also percent-encoded.
_REQUEST_SECRETS = re.compile(
    r"((?:InstanceParameters|x-acs-security-token|x-acs-bearer-token|SecurityToken|BearerToken)\s*(?:=|:|%3D|%253D|%3A)\s*)"
    r".*?(?=&|%26|%2526|\s|[<>\"\\]|$)",
    re.IGNORECASE,
)


def without_request(text: str) -> str:
    """A text of the service, or of something on the way, that may quote the request: without its tokens and parameters."""
    return _REQUEST_SECRETS.sub(r"\1***", text)


def without_queries(text: str) -> str:
    """A text in which every query string of a URL is left out."""
    return _QUERY.sub("?...", text)


def without_quotation(text: str) -> str:
    """A text of alibabacloud-credentials up to the URL query or the response body that it quotes."""
    return re.split(r"\bresult\b|\?", text, maxsplit=1)[0].strip(" ,:")


def without_secrets(error: BaseException, secrets: tuple[str, ...]) -> str:
    """The text of an exception of alibabacloud-credentials, fit to be shown."""
    if isinstance(error, FileNotFoundError):
        return f"no such file: {error.filename}"
    text = without_quotation(str(getattr(error, "message", None) or error))
    for secret in secrets:
        text = text.replace(secret, "***")
    return text or type(error).__name__


_is_ours: ContextVar[bool] = ContextVar("schedulerx_request", default=False)


@contextmanager
def queries_unlogged() -> Iterator[None]:
    """Within this block, what urllib3 logs has no query strings; the logs of others stay as they are."""
    token = _is_ours.set(True)
    try:
        yield
    finally:
        _is_ours.reset(token)


class _Rewriting(logging.Filter):
    """Puts a cleaned text in the place of a record's."""

    def cleaned(self, text: str) -> str:
        raise NotImplementedError

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self.cleaned(record.getMessage()), None
        return True


class _HeaderFilter(_Rewriting):
    def cleaned(self, text: str) -> str:
        return _SECRET_HEADERS.sub(r"\1***", _REQUEST_LINE.sub(r"\1...\2", text))


class _CredentialFilter(_Rewriting):
    def cleaned(self, text: str) -> str:
        return without_quotation(text)

    def filter(self, record: logging.LogRecord) -> bool:
        # We raise these ourselves, in our own words.
        return not record.exc_info and super().filter(record)


class _QueryFilter(_Rewriting):
    def cleaned(self, text: str) -> str:
        return without_queries(text)

    def filter(self, record: logging.LogRecord) -> bool:
        if not _is_ours.get():
            return True
        if record.exc_info:
            # Such an exception quotes the URL again.
            record.exc_info = record.exc_text = None
        return super().filter(record)


_FILTERS: dict[str, logging.Filter] = {
    "darabonba-core": _HeaderFilter(),
    "alibabacloud-tea": _HeaderFilter(),
    "credentials": _CredentialFilter(),
    "urllib3.connectionpool": _QueryFilter(),
    "urllib3.connection": _QueryFilter(),
    "urllib3.util.retry": _QueryFilter(),
}


def guard_sdk_logs() -> None:
    """Put the filters to the libraries' loggers. Doing it again changes nothing."""
    for name, log_filter in _FILTERS.items():
        logging.getLogger(name).addFilter(log_filter)
