"""Decides what the working hours among a mailbox's settings mean: strictly read, and not known where anything is odd.

Graph tells one stretch for all the days it names. It refuses to guess at hours that end before they begin.
"""

import re
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from shared.contracts.values import Instant, WorkingHours
from shared.ews.time_zone import Turn, ZoneRules, zone_name
from shared.work_week import stretch, working_hours
from shared.zones import iana_name

_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{1,12}))?", re.ASCII)

Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class _Offset(Struct, frozen=True, rename="camel"):
    """When a clock of one's own is set (standardTimeZoneOffset, daylightTimeZoneOffset)."""

    time: str
    day_occurrence: int
    day_of_week: Day
    month: int
    year: int = 0
    daylight_bias: int = 0


class _Zone(Struct, frozen=True, rename="camel"):
    """A zone by its name (timeZoneBase), or by its rules as well (customTimeZone)."""

    name: str
    bias: int | None = None
    standard_offset: _Offset | None = None
    daylight_offset: _Offset | None = None


class _Hours(Struct, frozen=True, rename="camel"):
    """Graph's workingHours."""

    days_of_week: tuple[Day, ...]
    start_time: str
    end_time: str
    time_zone: _Zone


_DECODER: Final = msgspec.json.Decoder(_Hours)


def hours_said(said: Raw, now: Instant) -> WorkingHours | None:
    """Return the hours that a mailbox's settings state (JSON); None where they state none, or anything in them is odd.

    A zone by its rules is the one whose clock shows the same all through the year of `now`.
    """
    try:
        found = _DECODER.decode(said)
        start, end = _minutes(found.start_time, up=False), _minutes(found.end_time, up=True)
        zone = _zone_name(found.time_zone, datetime.fromtimestamp(now, UTC).year)
        return working_hours(zone, [stretch(_DAYS.index(day), start, end) for day in found.days_of_week])
    except (msgspec.DecodeError, ValueError):
        return None


def _minutes(printed: str, *, up: bool) -> int:
    """Return the minutes of a day that a time stands for, rounded to whole ones outward. Raises ValueError."""
    match = _CLOCK.fullmatch(printed)
    if match is None:
        raise ValueError("a time has another form")
    hours, minutes, seconds, fraction = int(match[1]), int(match[2]), int(match[3]), match[4] or ""
    return hours * 60 + minutes + (up and (seconds > 0 or fraction.strip("0") != ""))


def _zone_name(zone: _Zone, year: int) -> str:
    """Return the name of a zone that is known, "" for one that is not. Raises ValueError."""
    if iana_name(zone.name) is not None:
        return zone.name
    if zone.bias is None or zone.standard_offset is None or zone.daylight_offset is None or abs(zone.bias) > 24 * 60:
        return ""
    # Graph's text has zones ahead of UTC positive; its own example has Pacific time at 480, as Windows and Exchange do.
    return zone_name(ZoneRules(zone.bias, _turn(zone.standard_offset), _turn(zone.daylight_offset)), year)


def _turn(offset: _Offset) -> Turn:
    match = _CLOCK.fullmatch(offset.time)
    if match is None or offset.year or abs(offset.daylight_bias) > 24 * 60:
        raise ValueError("a turn of the clock has another form")
    if not (0 <= offset.day_occurrence <= 5 and 0 <= offset.month <= 12):
        raise ValueError("a turn of the clock has another form")
    second = int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])
    return Turn(offset.daylight_bias, second, offset.day_occurrence, offset.month, _DAYS.index(offset.day_of_week))
