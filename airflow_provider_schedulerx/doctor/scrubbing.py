"""Keeps secrets out of every report, and names of the account out of what is pasted into an issue."""

from __future__ import annotations

import re

_ACCOUNT = re.compile(r"(?<!\d)\d{16}(?!\d)")
_ADDRESS = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_ADDRESS6 = re.compile(r"(?<![0-9a-fA-F:])(?:[0-9a-fA-F]{0,4}:){3,7}[0-9a-fA-F]{0,4}(?![0-9a-fA-F:])")

_SHORTEST_SECRET = 5

#: What the block to paste says about itself.
PROMISE = (
    "No secret is in here. The AccessKey id is shortened. Account, namespace, group, names, addresses and own hosts are "
    "replaced. Region, endpoint of Alibaba Cloud, RequestIds and ids of workflows and runs are kept."
)


def shortened(identifier: str) -> str:
    """Enough of an id to tell it from others, and too little to use it."""
    if len(identifier) < 12:
        return f"{identifier[:2]}..."
    return f"{identifier[:4]}...{identifier[-4:]}"


class Scrubber:
    """Learns what must not be shown as the examination meets it."""

    def __init__(self) -> None:
        self._secrets: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def add_secret(self, secret: str | None, shown: str = "***") -> None:
        """:param shown: what stands for it everywhere."""
        # A shorter one is no secret, and would be found in every other word.
        if secret and len(secret) >= _SHORTEST_SECRET:
            self._secrets[secret] = shown

    def add_name(self, name: object, kind: str) -> None:
        """:param kind: what stands for it in a block to paste."""
        if name and str(name) not in self._names:
            self._names[str(name)] = f"<{kind}>"

    def without_secrets(self, text: str) -> str:
        """Fit for the person who runs the command."""
        return _replaced(text, self._secrets)

    def anonymous(self, text: str) -> str:
        """Fit for everybody."""
        text = _replaced(self.without_secrets(text), self._names, whole_words=True)
        text = _ADDRESS.sub("<address>", _ACCOUNT.sub("<account>", text))
        return _ADDRESS6.sub("<address>", text)


def _replaced(text: str, by: dict[str, str], whole_words: bool = False) -> str:
    # The longest first: one may be part of another.
    for old in sorted(by, key=len, reverse=True):
        pattern = re.escape(old)
        text = re.sub(rf"(?<!\w){pattern}(?!\w)" if whole_words else pattern, lambda _: by[old], text)  # noqa: B023
    return text
