"""Temporary keys: made here, accepted by the emulator's service until they expire."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from airflow_provider_schedulerx.emulator.definitions import DEFAULT_OWNER, Account

#: Seconds for which an expired key is remembered, so that it differs from one that never existed.
_REMEMBERED = 3600.0


@dataclass
class Issuer:
    """What the token service and the metadata server share. Tests change it while it runs.

    :ivar accounts: of the service's authenticator.
    :ivar lifetime: seconds that keys live, whatever a caller asks for; None gives what it asks for.
    :ivar away: how the servers do not answer: ``drop`` cuts the connection, ``error`` is HTTP 503; None answers.
    :ivar issued: how many keys were made, by the kind of server.
    """

    accounts: MutableMapping[str, Account]
    clock: Callable[[], float] = time.time
    lifetime: float | None = None
    away: str | None = None
    issued: dict[str, int] = field(default_factory=dict)
    _made: dict[str, float] = field(default_factory=dict)

    def issue(
        self, kind: str, seconds: float, *, denied: tuple[str, ...] = (), owner: str = DEFAULT_OWNER
    ) -> Account:
        """Make a key.

        :param seconds: for which it is good.
        :param denied: RAM actions that it may not use.
        """
        now = self.clock()
        # Answers give the expiry in whole seconds.
        expires = float(int(now + (seconds if self.lifetime is None else self.lifetime)))
        account = Account(
            access_key_id=f"STS.{secrets.token_hex(12)}",
            access_key_secret=secrets.token_urlsafe(33),
            security_token=secrets.token_urlsafe(180),
            denied=denied,
            expires=expires,
            owner=owner,
            user=kind,
        )
        self._forget(now - _REMEMBERED)
        self.accounts[account.access_key_id] = account
        self._made[account.access_key_id] = expires
        self.issued[kind] = self.issued.get(kind, 0) + 1
        return account

    def revoke(self) -> None:
        """Make all keys inactive that were issued so far."""
        for key in self._made:
            self.accounts[key] = replace(self.accounts[key], active=False)

    def _forget(self, before: float) -> None:
        for key in [key for key, expires in self._made.items() if expires < before]:
            del self._made[key]
            self.accounts.pop(key, None)


def as_time(seconds: float | None) -> str:
    """Epoch seconds as answers give them."""
    return f"{datetime.fromtimestamp(seconds or 0, UTC):%Y-%m-%dT%H:%M:%SZ}"
