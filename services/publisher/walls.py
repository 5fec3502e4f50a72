"""Reads and writes instants by the clock on the wall of a time zone.

A time that occurs twice is its first occurrence; one that is left out is read with the offset before the gap.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from shared.contracts.values import EARLIEST, LATEST, Instant

_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)


def wall(instant: Instant, zone: ZoneInfo) -> datetime:
    """Return what the clock shows at an instant; in UTC on the first and the last day there is."""
    utc = _BEGIN + timedelta(seconds=instant)
    try:
        return utc.astimezone(zone)
    except OverflowError:
        return utc


def instant_at(shown: datetime, zone: ZoneInfo) -> Instant:
    """Return the instant of a time shown by a clock, rounded down to the second; an offset of its own goes first.

    Raises ValueError where there is no such instant (RFC 5545, 3.3.5 for times that occur twice or never).
    """
    placed = shown if shown.tzinfo is not None else shown.replace(tzinfo=zone, fold=0)
    offset = placed.utcoffset()
    seconds = (shown.replace(tzinfo=UTC) - _BEGIN - (offset or timedelta())) // timedelta(seconds=1)
    if not EARLIEST <= seconds <= LATEST:
        raise ValueError("no instant")
    return seconds
