"""Decides which zone a name stands for and how its wall clock and UTC belong together (RFC 5545 3.3.5, 3.6.5).

A known name wins over the file's own VTIMEZONE; refuses nothing: an unknown name is read in the mailbox's zone.
"""

import re
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from tzlocal.windows_tz import win_tz

from tests.independent.values import DAY, Zone
from tests.independent.windows_labels import LABELS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOWEST = int((datetime(1, 1, 3, tzinfo=UTC) - _EPOCH).total_seconds())
_HIGHEST = int((datetime(9999, 12, 29, tzinfo=UTC) - _EPOCH).total_seconds())
_PREFIX = re.compile(r"\((?:UTC|GMT)[^)]*\)\s*", re.IGNORECASE)


class NamedZone:
    """A zone of the tz database."""

    def __init__(self, name: str) -> None:
        self._rules = ZoneInfo(name)

    def instant(self, wall: int) -> int:
        """Place a wall-clock time; zoneinfo's fold 0 is the first of two, and the offset before a gap."""
        naive = _EPOCH.replace(tzinfo=None) + timedelta(seconds=_within(wall))
        return wall - _seconds(naive.replace(tzinfo=self._rules).utcoffset())

    def offset(self, instant: int) -> int:
        """Return the seconds ahead of UTC."""
        return _seconds((_EPOCH + timedelta(seconds=_within(instant))).astimezone(self._rules).utcoffset())


class WrittenZone:
    """A zone with the onsets a VTIMEZONE spells out: rising instants, and the offset from each on."""

    def __init__(self, before: int, onsets: list[tuple[int, int]]) -> None:
        self._instants = [instant for instant, _ in onsets]
        self._offsets = [before, *(offset for _, offset in onsets)]

    def instant(self, wall: int) -> int:
        """Place a wall-clock time in the earliest stretch that shows it, else with the offset before the gap."""
        low = bisect_right(self._instants, wall - 2 * DAY)
        high = bisect_right(self._instants, wall + 2 * DAY)
        for stretch in range(low, high + 1):
            instant = wall - self._offsets[stretch]
            if self._stretch(instant) == stretch:
                return instant
        for stretch in range(low, high):
            onset = self._instants[stretch]
            if onset + self._offsets[stretch] <= wall < onset + self._offsets[stretch + 1]:
                return wall - self._offsets[stretch]
        return wall - self._offsets[high]

    def offset(self, instant: int) -> int:
        """Return the seconds ahead of UTC."""
        return self._offsets[self._stretch(instant)]

    def _stretch(self, instant: int) -> int:
        return bisect_right(self._instants, instant)


UNIVERSAL = WrittenZone(0, [])


def first_instant(zone: Zone, midnight: int) -> int:
    """Return the first instant at which the zone's clock shows that midnight or later."""
    instant = zone.instant(midnight)
    if instant + zone.offset(instant) == midnight:
        return instant
    low, high = instant - 2 * DAY, instant
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if middle + zone.offset(middle) >= midnight else (middle, high)
    return high


def known_zone(name: str) -> Zone | None:
    """Return the zone of an IANA or Windows name, whatever its case and quotes."""
    key = name.strip().strip('"').strip().casefold()
    iana = _iana_names().get(key) or _windows_names().get(key)
    return _named(iana) if iana else None


def alias_zone(name: str) -> Zone | None:
    """Return the zone of a name that wraps a known one: a path prefix, a shown label, Microsoft's own URI for UTC."""
    bare = name.strip().strip('"').strip()
    if bare.casefold() == "tzone://microsoft/utc":
        return UNIVERSAL
    if bare.startswith("/"):
        pieces = bare.split("/")
        found = (known_zone("/".join(pieces[at:])) for at in range(1, len(pieces)))
        return next((zone for zone in found if zone), None)
    label = _PREFIX.sub("", bare, count=1).strip()
    windows = _labels().get(label.casefold())
    return known_zone(windows or label) if windows or label != bare else None


@cache
def _named(name: str) -> NamedZone:
    return NamedZone(name)


@cache
def _iana_names() -> dict[str, str]:
    unfit = {"Factory", "localtime", "posixrules"}
    return {name.casefold(): name for name in available_timezones() if name not in unfit}


@cache
def _windows_names() -> dict[str, str]:
    return {name.casefold(): iana for name, iana in win_tz.items()}


@cache
def _labels() -> dict[str, str]:
    return {label.casefold(): name for label, name in LABELS.items()}


def _within(seconds: int) -> int:
    return min(max(seconds, _LOWEST), _HIGHEST)


def _seconds(offset: timedelta | None) -> int:
    return int((offset or timedelta()).total_seconds())
