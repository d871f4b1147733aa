"""Gives the credential that requests are signed with, and outlives a fault of the server of tokens.

alibabacloud-credentials fetches a new key a quarter of an hour before the old one ends, and raises if that
fails, though the old one is still good. Here the last good key is used until the service itself refuses it.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from airflow_provider_schedulerx.api.connection.redaction import queries_unlogged
from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
from airflow_provider_schedulerx.api.exceptions import SchedulerXAuthenticationError, SchedulerXError
from airflow_provider_schedulerx.api.wire import faults

if TYPE_CHECKING:
    from alibabacloud_credentials.models import CredentialModel

log = logging.getLogger(__name__)

#: Their credential never changes, so asking for it once is enough.
_STATIC = ("access_key", "sts", "bearer")
#: Seconds after a fault, before a new credential is asked for again while the old one is used.
_TRY_AGAIN = 30.0


class CredentialSource:
    """The credential of one connection. Any number of threads may use it.

    :raises SchedulerXConfigurationError: if alibabacloud-credentials does not take the fields.
    """

    def __init__(self, settings: SchedulerXSettings) -> None:
        self._settings = settings
        self._client = settings.credential_client()
        self._lock = threading.Lock()
        self._last: CredentialModel | None = None
        self._fault: SchedulerXError | None = None
        self._ask_at = float("inf") if settings.credential.credential_type in _STATIC else 0.0

    @property
    def at_hand(self) -> CredentialModel | None:
        """The credential, if it can be given without asking anybody."""
        return self._last if time.monotonic() < self._ask_at else None

    def get(self) -> CredentialModel:
        """The credential. May take as long as a call to the server of tokens does.

        :raises SchedulerXUnavailableError: if that server is away and no earlier credential is left.
        :raises SchedulerXAuthenticationError: if that server refuses, and no earlier credential is left.
        """
        known = self.at_hand
        if known is not None:
            return known
        # While one thread asks, the others use what there is.
        if not self._lock.acquire(blocking=self._last is None):
            known = self._last
            if known is not None:
                return known
            return self.get()
        try:
            return self._ask()
        finally:
            self._lock.release()

    def _ask(self) -> CredentialModel:
        try:
            with queries_unlogged():
                found = self._client.get_credential()
        except Exception as error:
            fault = faults.credential_fault(error, self._settings)
            if self._last is None:
                # From None: such exceptions carry URLs and bodies, and those may carry secrets.
                raise fault from None
            if self._fault is None:
                log.warning("The last credential is used on: %s", fault)
            self._fault = fault
            self._ask_at = time.monotonic() + _TRY_AGAIN
            return self._last
        self._last, self._fault = found, None
        return found

    def explain(self, refusal: SchedulerXAuthenticationError) -> SchedulerXError:
        """What to raise where the service refused the credential: why there is no newer one, if that is known."""
        fault = self._fault
        if fault is None:
            return refusal
        self._last, self._fault, self._ask_at = None, None, 0.0
        fault.operation = refusal.operation
        return fault
