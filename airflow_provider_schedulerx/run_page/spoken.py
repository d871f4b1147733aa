"""Times as people say them."""

from __future__ import annotations

from datetime import datetime


def duration(start: str | None, end: str | None) -> str:
    """Return the time between two of the service's texts. Their zone is not documented, but is one and the same."""
    try:
        seconds = (datetime.fromisoformat(end or "") - datetime.fromisoformat(start or "")).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return ""
    return spoken(seconds) if seconds >= 0 else ""


#: Seconds by which clocks of several machines may differ before it is worth saying.
_CLOCKS_DIFFER = 10.0


def ago(at: float, now: float) -> str:
    """Return how long ago an instant was, both in epoch seconds."""
    if at - now > _CLOCKS_DIFFER:
        return f"{spoken(at - now)} ahead of this server's clock"
    return f"{spoken(max(0.0, now - at))} ago"


def spoken(seconds: float) -> str:
    """Return a duration as people say it: ``20 s``, ``3 min 5 s``, ``2 h 10 min``, ``3 d 4 h``."""
    whole = int(seconds)
    units = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))
    for size, name, smaller, smaller_name in units:
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{whole} s"
