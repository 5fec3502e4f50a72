"""Decides which time zone a name means: an IANA name, a Windows name, or one of the spellings of UTC.

Refuses to guess: a name it does not know is None. Windows names follow CLDR's default territory (001).
"""

from datetime import datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

from tzlocal.windows_tz import tz_win, win_tz

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- civil dates are written as if in UTC, without a zone
UTC_SPELLINGS = ("z", "tzone://microsoft/utc", "coordinated universal time", "(utc) coordinated universal time")

NO_PLACES = frozenset({"localtime", "posixrules", "Factory"})  # files beside the zones: this machine's clock, or none


@cache
def _names() -> dict[str, str]:
    """Map every known name in lower case to its IANA name; where both worlds use a name, IANA's meaning wins."""
    names = dict.fromkeys(UTC_SPELLINGS, "UTC")
    names.update((windows.casefold(), iana) for windows, iana in win_tz.items())
    names.update((iana.casefold(), iana) for iana in available_timezones() - NO_PLACES)
    return names


@lru_cache(maxsize=4096)
def iana_name(name: str) -> str | None:
    """Return the IANA name, in its own spelling, of an IANA or Windows name in any case; None where unknown."""
    return _names().get(name.strip().casefold())


@lru_cache(maxsize=4096)
def resolve(name: str) -> ZoneInfo | None:
    """Return the zone that an IANA or Windows name means, or None where it is not known."""
    iana = iana_name(name)
    return None if iana is None else ZoneInfo(iana)


@lru_cache(maxsize=4096)
def windows_name(iana: str) -> str:
    """Return the Windows name of a zone where that name maps back to exactly this zone, else the name given.

    So `iana_name(windows_name(x)) == iana_name(x)` for every known x: nothing is lost on the way out and back.
    """
    windows = tz_win.get(iana)
    return windows if windows is not None and iana_name(windows) == iana else iana


@lru_cache(maxsize=65536)
def local_midnight(date_seconds: int, zone: ZoneInfo) -> int:
    """Return the UTC second at which a civil date begins in a zone.

    The date is given as its midnight written as if in UTC. Where midnight does not exist this is the first instant
    of the date, where it occurs twice the first of the two. A date that the zone left out begins with the next one.
    """
    wall = EPOCH + timedelta(seconds=date_seconds)
    offset = _offset(zone, wall)
    begins = date_seconds - offset
    try:
        shown = begins + _offset_at(zone, begins)
    except OverflowError:  # the first or last day there is: no zone changes its clock then
        return begins
    if shown == date_seconds:
        return begins
    return _first_not_before(zone, date_seconds, begins - (shown - date_seconds), begins)


def _first_not_before(zone: ZoneInfo, date_seconds: int, low: int, high: int) -> int:
    """Find the instant of the gap: the first one at which the wall clock has reached the date."""
    while low < high:
        middle = (low + high) // 2
        if middle + _offset_at(zone, middle) >= date_seconds:
            high = middle
        else:
            low = middle + 1
    return low


def _offset(zone: ZoneInfo, wall: datetime) -> int:
    """Return the seconds ahead of UTC at a wall time: its first occurrence, or before the gap (PEP 495, fold 0)."""
    offset = zone.utcoffset(wall)
    return 0 if offset is None else int(offset.total_seconds())


def _offset_at(zone: ZoneInfo, instant: int) -> int:
    """Return the seconds ahead of UTC at an instant."""
    shown = zone.fromutc((EPOCH + timedelta(seconds=instant)).replace(tzinfo=zone))
    return int((shown.replace(tzinfo=None) - EPOCH).total_seconds()) - instant
