"""The adversary of dev/experiments/polling_machine.py, for less than a minute; longer by ``POLLING_MACHINE_EXAMPLES``."""

from __future__ import annotations

import os

from dev.experiments.polling_machine import play


def test_whatever_the_service_does_every_run_is_polled_and_nothing_is_left() -> None:
    play(int(os.environ.get("POLLING_MACHINE_EXAMPLES", "60")))
