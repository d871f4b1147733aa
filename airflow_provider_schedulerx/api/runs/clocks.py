"""How long it takes from one time of the service to another: times without a zone, in a zone that nobody documents."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

#: Where clocks go forward in spring, of the service's regions: us-west-1, us-east-1, eu-west-1, eu-central-1.
_ZONES = ("America/Los_Angeles", "America/New_York", "Europe/London", "Europe/Berlin")
_HOUR = timedelta(hours=1)


def shortest_seconds(begin: datetime, end: datetime) -> float:
    """Seconds from ``begin`` to ``end``, both naive, in that zone of the service's regions where they are fewest."""
    return ((end - begin) - max(_skipped(zone, begin, end) for zone in _ZONES)).total_seconds()


def _skipped(name: str, begin: datetime, end: datetime) -> timedelta:
    """What the clocks of a zone have skipped between two of its times: an hour, or nothing."""
    try:
        zone = ZoneInfo(name)
    except ZoneInfoNotFoundError:  # a machine without the database: then it may be any night
        return _HOUR
    try:
        skipped = (zone.utcoffset(end) or timedelta()) - (zone.utcoffset(begin) or timedelta())
    except OverflowError:  # of times at the edge of the calendar, which a service that makes them up may show
        return timedelta()
    return max(skipped, timedelta())
