"""How calls follow each other within a budget: in bursts where that harms nobody, and evenly where it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_provider_schedulerx.api.polling.congestion import now

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.polling.demands import Demands

#: Seconds in which the budget may be used once. More than a minute, because two calls can arrive
#: closer together than they were sent.
WINDOW = 62.0
#: Calls that may follow each other at once where calls are spread out: so many, or this share of the limit.
_FEW, _FEW_SHARE = 2, 0.1


def pause_between(
    sent: Sequence[float],
    due_sent: Sequence[float],
    allowed: int,
    demands: Demands,
    *,
    is_recovering: bool,
    promised_at: float,
) -> float:
    """Seconds until the next call, in a window that has room for one; 0 or less means now.

    :param sent: when calls were made in the window.
    :param due_sent: when those of them were made that somebody was promised by then.
    :param allowed: calls in the window.
    :param is_recovering: whether the rate grows back after a congestion.
    :param promised_at: by when the call was promised, in the event loop's time.
    """
    at = now()
    if not sent:
        return 0.0
    if is_recovering:
        # While the rate grows back, everything is spread out, so that a burst does not end in the next refusal.
        return sent[-1] + 60.0 / allowed - at
    if promised_at > at:
        return min(_wait_for_free_call(sent, allowed, demands), promised_at - at)
    if len(sent) * 2 <= allowed or len(due_sent) < (few := max(_FEW, int(allowed * _FEW_SHARE))):
        return 0.0
    # The second half of the budget is spread out, so that a burst does not mean a minute of silence; but for a few
    # calls, if there were none for a while, so that nobody waits without need. Calls that nobody was promised do not
    # count here: nobody waits longer because of them.
    return due_sent[-few] + few * 60.0 / allowed - at


def _wait_for_free_call(sent: Sequence[float], allowed: int, demands: Demands) -> float:
    """Seconds until a call that nobody was promised yet.

    Half of what promises leave over may be used at once, and the rest evenly until that is free again; but for what
    those who poll several times a minute need until then.
    """
    needed = demands.needed
    if len(sent) * 2 <= allowed - needed:
        return 0.0
    next_free = sent[0] + WINDOW - now()
    # Where there is not enough for the promises, nothing is kept: all have to wait for their turns.
    kept = demands.repeated * next_free / WINDOW if needed < allowed else 0.0
    if (left := allowed - len(sent) - kept) < 1:
        return next_free
    return sent[-1] + max(60.0 / allowed, next_free / left) - now()
