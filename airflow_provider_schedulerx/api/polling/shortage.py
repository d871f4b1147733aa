"""One line in the log when a budget becomes too small for what is promised, and one when it is enough again."""

from __future__ import annotations

import logging
from collections.abc import Callable

from airflow_provider_schedulerx.api.polling.reporting import log_for_process

log: logging.Logger = logging.getLogger(__name__)

#: Share of the rate that is to be enough before a shortage is called over, so that its lines do not flicker.
_OVER = 0.9


class ShortageLog:
    """Whether the budget of an operation is too small, as the log knows it.

    :param operation: its name.
    :param on_change: called at the beginning and the end of a shortage.
    """

    def __init__(self, operation: str, on_change: Callable[[], None]) -> None:
        self._operation = operation
        self._on_change = on_change
        self._is_short = False

    def update(self, needed: float, rate: float, limit: int) -> None:
        """Take in the calls a minute that are needed, allowed at present, and allowed at most."""
        if not self._is_short and needed > rate:
            self._is_short = True
            self._on_change()
            log_for_process(
                log,
                logging.WARNING,
                "Runs are polled later than poll_interval: they need %.0f calls of %s a minute, and %.0f are allowed "
                "at present (calls_per_minute=%d). Raise poll_interval, run fewer triggerers, or raise "
                "calls_per_minute if the account's quota allows",
                needed,
                self._operation,
                rate,
                limit,
            )
        elif self._is_short and needed < _OVER * rate:
            self._is_short = False
            self._on_change()
            log_for_process(
                log,
                logging.INFO,
                "Runs are polled within poll_interval again: %.0f calls of %s a minute are needed, and %.0f are allowed",
                needed,
                self._operation,
                rate,
            )
