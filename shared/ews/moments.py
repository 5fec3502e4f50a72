"""Decides which instant a printed time means: UTC where it says nothing else, for UTC is what was asked for.

Pure; calendars keep to few times, so what was read is kept. It refuses every other form than XML Schema's dateTime,
and years outside 1 to 9999.
"""

import re
from datetime import datetime
from functools import lru_cache
from typing import Final

from shared.contracts.values import DAY, EARLIEST, LATEST, Instant

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 -- the offset is printed beside it, or UTC is meant
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME: Final = re.compile(r"(T\d\d:\d\d:\d\d)(?:\.(\d{1,18}))?(Z|[+-]\d\d:\d\d)?", re.ASCII)


@lru_cache(maxsize=8192)
def floor(printed: str) -> Instant:
    """Return a printed time as UTC seconds, rounded down to whole ones. Raises ValueError for what is no time."""
    instant = _instant(printed, up=False)
    if not EARLIEST <= instant <= LATEST:
        raise ValueError("a time outside the years there are")
    return instant


@lru_cache(maxsize=8192)
def ceiling(printed: str) -> Instant:
    """Return a printed time as UTC seconds, rounded up to whole ones. Raises ValueError for what is no time."""
    instant = _instant(printed, up=True)
    if not EARLIEST <= instant <= LATEST + 1:
        raise ValueError("a time outside the years there are")
    return min(instant, LATEST)


def _instant(printed: str, *, up: bool) -> int:
    bare = printed.strip()
    return _midnight(bare[:10]) + _rest(bare[10:], up=up)


@lru_cache(maxsize=4096)
def _midnight(printed: str) -> int:
    if _DATE.fullmatch(printed) is None:
        raise ValueError("a date has another form")
    return (datetime.fromisoformat(printed) - _EPOCH).days * DAY


@lru_cache(maxsize=4096)
def _rest(printed: str, *, up: bool) -> int:
    """Return the seconds from a date's beginning in UTC to a time of day with its offset."""
    match = _TIME.fullmatch(printed)
    if match is None:
        raise ValueError("a time has another form")
    since = datetime.fromisoformat(f"1970-01-01{match[1]}") - _EPOCH
    more = up and match[2] is not None and match[2].strip("0") != ""
    return since.seconds + more - _offset(match[3] or "Z")


def _offset(printed: str) -> int:
    if printed == "Z":
        return 0
    hours, minutes = int(printed[1:3]), int(printed[4:])
    if hours > 14 or minutes > 59:
        raise ValueError("an offset has another form")
    return (hours * 3600 + minutes * 60) * (-1 if printed[0] == "-" else 1)
