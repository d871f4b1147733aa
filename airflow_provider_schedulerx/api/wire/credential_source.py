"""Gives the credential that requests are signed with: a key is used for as long as it is valid, and no longer.

alibabacloud-credentials asks for a new key a quarter of an hour before the old one expires, and raises if it gets none,
though the old one is still good. For ``ecs_ram_role`` it is the other way round: it keeps the old key, also when that
has expired.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_schedulerx.api.connection.credentials import check_sendable
from airflow_provider_schedulerx.api.connection.redaction import queries_unlogged
from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXAuthenticationError,
    SchedulerXConfigurationError,
    SchedulerXError,
)
from airflow_provider_schedulerx.api.wire.credential_faults import credential_fault

if TYPE_CHECKING:
    from alibabacloud_credentials.models import CredentialModel

log: logging.Logger = logging.getLogger(__name__)

#: Their credential never changes, so asking for it once is enough.
_STATIC = ("access_key", "sts", "bearer")
#: Seconds before its expiry from which alibabacloud-credentials asks for a new key.
_RENEWED_BEFORE = 900.0
#: Seconds after a fault or a refusal, before a new key is asked for again: each try may take 15 s.
_TRY_AGAIN = 10.0
#: Seconds before its expiry from which a key is not used: a call takes time.
_MARGIN = 1.0
#: Seconds for which a key is good whose expiry the SDK does not say, which is less than it keeps clear of it.
_UNSAID_LIFETIME = 600.0


@dataclass(frozen=True, slots=True)
class _Key:
    """:ivar expires: epoch seconds; infinity for a key that does not expire, or of which nobody knows."""

    credential: CredentialModel = field(repr=False)
    expires: float


class CredentialSource:
    """The credential of one connection. Any number of threads may use it.

    :param clock: gives epoch seconds.
    :raises SchedulerXConfigurationError: if alibabacloud-credentials does not take the fields.
    """

    def __init__(self, settings: SchedulerXSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._client = settings.credential_client()
        self._asking = threading.Lock()
        self._asked = 0
        self._key: _Key | None = None
        self._ask_at = float("-inf")
        self._refused_at = float("-inf")
        #: Why there is no newer key.
        self._fault: SchedulerXError | None = None

    @property
    def _is_static(self) -> bool:
        return self._settings.credential.credential_type in _STATIC

    @property
    def at_hand(self) -> CredentialModel | None:
        """The credential, if it can be given without asking anybody."""
        key, now = self._key, self._clock()
        return key.credential if key is not None and now < min(self._ask_at, key.expires - _MARGIN) else None

    def get(self) -> CredentialModel:
        """The credential. May take as long as a call to the server of tokens does.

        :raises SchedulerXUnavailableError: if that server is away and no good key is left.
        :raises SchedulerXAuthenticationError: if that server refuses, and no good key is left.
        """
        if (known := self.at_hand) is not None:
            return known
        asked, good = self._asked, self._good_key()
        # While one thread asks, the others use the key that is good, or wait for what that one gets.
        if not self._asking.acquire(blocking=good is None):
            assert good is not None  # noqa: S101 - or it would have waited
            return good.credential
        try:
            if self._asked == asked:
                self._ask()
            key, fault = self._good_key(), self._fault
        finally:
            self._asking.release()
        if key is not None:
            return key.credential
        # From None: what lies behind it carries URLs and bodies, and those may carry secrets.
        raise (fault or self._no_key()) from None

    def _ask(self) -> None:
        try:
            with queries_unlogged():
                key = self._fetch()
                if key.expires - _MARGIN <= self._clock():
                    # The SDK holds on to it. A new client has nothing to hold on to.
                    self._client = self._settings.credential_client()
                    key = self._fetch()
            _check_sendable(key.credential)
        except SchedulerXConfigurationError as error:
            kind = self._settings.credential.credential_type
            self._on_fault(
                SchedulerXAuthenticationError(
                    f"the credential (credential_type {kind!r}) cannot be used: {error.message}"
                )
            )
        except Exception as error:
            self._on_fault(credential_fault(error, self._settings))
        else:
            self._key, self._fault = key, None
            self._ask_at = key.expires - _RENEWED_BEFORE
        self._asked += 1

    def _on_fault(self, fault: SchedulerXError) -> None:
        if (key := self._good_key()) is not None:
            left = key.expires - self._clock()
            log.warning("%s; the current key is used, which is valid for another %d s", fault, left)
            self._ask_at = self._clock() + _TRY_AGAIN
        self._fault = fault

    def _good_key(self) -> _Key | None:
        key = self._key
        return key if key is not None and self._clock() < key.expires - _MARGIN else None

    def _fetch(self) -> _Key:
        if self._is_static:
            return _Key(self._client.get_credential(), float("inf"))
        from alibabacloud_credentials.models import CredentialModel

        # Not get_credential(), whose model does not say when the key expires.
        wrapped = self._client.cloud_credential
        found = wrapped.provider.get_credentials()
        credential = CredentialModel(
            access_key_id=found.get_access_key_id(),
            access_key_secret=found.get_access_key_secret(),
            security_token=found.get_security_token(),
            type=wrapped.type_name,
            provider_name=found.get_provider_name(),
        )
        expires = found.get_expiration()
        return _Key(credential, self._clock() + _UNSAID_LIFETIME if expires is None else float(expires))

    def _no_key(self) -> SchedulerXError:
        kind = self._settings.credential.credential_type
        return SchedulerXAuthenticationError(
            f"the credential (credential_type {kind!r}) had already expired when it was fetched: "
            "check the clock of this machine"
        )

    def explain(self, refusal: SchedulerXAuthenticationError) -> SchedulerXError:
        """What to raise where the service refused the credential: why there is no newer one, if that is known.

        A key that was issued is not used again: it may have been revoked, or a clock may be wrong.
        """
        fault, now = self._fault, self._clock()
        if fault is None and self._is_static:
            return refusal
        if now - self._refused_at >= _TRY_AGAIN:
            self._refused_at = now
            self._client = self._settings.credential_client()
            self._key, self._ask_at = None, float("-inf")
        if fault is None:
            return refusal
        self._fault = None
        fault.operation = refusal.operation
        return fault


def _check_sendable(credential: CredentialModel) -> None:
    """:raises SchedulerXConfigurationError: if a request cannot carry what an environment or a server has given."""
    for name in ("access_key_id", "access_key_secret", "security_token", "bearer_token"):
        check_sendable(f"its {name.replace('_', ' ')}", getattr(credential, name))
