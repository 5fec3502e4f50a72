"""Decides which points of time the values of a calendar file mean, and how wall times and instants belong together.

What the iCalendar library does not accept as a date, a time or a duration is malformed: ValueError.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from icalendar.prop import vDDDTypes

from deploy.sandbox.calendar.lines import Property
from deploy.sandbox.calendar.timezones import FileZones
from deploy.sandbox.calendar.values import Addition, Length, Moment

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- walls and instants are counted from it without a zone
ONE_DAY = timedelta(days=1)
DAYS = re.compile(r"(\d+)([WD])")
TIME_AFTER_COLON = re.compile(r"^(?P<zone>.*):(?P<value>\d{8}(T\d{6}Z?)?)$")


def instant(wall: datetime, zone: tzinfo) -> int:
    """Return the UTC second of a wall time: the first of two; in a gap as if the clock had not changed yet."""
    offset = zone.utcoffset(wall)
    assert offset is not None, "every zone here knows its offset"
    return int((wall - EPOCH - offset).total_seconds())


def wall_at(moment: int, zone: tzinfo) -> datetime:
    """Return the wall time a zone shows at a UTC second; at the edges of year 1 and 9999, where none is, UTC's."""
    plain = EPOCH + timedelta(seconds=moment)
    try:
        return zone.fromutc(plain.replace(tzinfo=zone)).replace(tzinfo=None, fold=0)
    except OverflowError:
        return plain


def instant_of(moment: Moment) -> int:
    """Return the UTC second of a moment; a date counts from the midnight of its own zone."""
    return instant(moment.wall, moment.zone)


def as_date(moment: Moment, home: ZoneInfo) -> Moment:
    """Return the date a moment means to an all-day series of a calendar in zone `home`.

    A time in UTC is the instant of a local midnight (so Exchange writes it), unless it is itself the first or the last
    minute of a day, which is how others write a date.
    """
    wall = moment.wall
    if moment.utc and (wall.hour, wall.minute) not in {(0, 0), (23, 59)}:
        wall = wall_at(instant_of(moment), home)
    return Moment(wall.replace(hour=0, minute=0, second=0), UTC, date_only=True)


def read_moment(entry: Property, zones: FileZones, notes: list[str]) -> Moment:
    """Return the moment of a DTSTART, DTEND or RECURRENCE-ID; an unknown zone becomes the calendar's and is noted."""
    repaired = TIME_AFTER_COLON.match(entry.value)
    if repaired is None:
        return _moment(entry.value, _zone(entry.parameters.get("TZID", ""), zones, notes), zones.home)
    name = f"{entry.parameters.get('TZID', '')}:{repaired['zone']}"
    return _moment(repaired["value"], _zone(name, zones, notes), zones.home)


def read_exclusions(entry: Property, zones: FileZones, notes: list[str]) -> Iterator[Moment]:
    """Yield the moments of an EXDATE; a malformed one is noted."""
    zone = _zone(entry.parameters.get("TZID", ""), zones, notes)
    for value in values(entry):
        try:
            yield _moment(value, zone, zones.home)
        except ValueError:
            notes.append("bad_exdate")


def read_additions(entry: Property, zones: FileZones, notes: list[str]) -> Iterator[Addition]:
    """Yield the starts of an RDATE, with the length of each PERIOD; a malformed one is noted."""
    zone = _zone(entry.parameters.get("TZID", ""), zones, notes)
    for value in values(entry):
        try:
            yield _addition(value, zone, zones.home)
        except ValueError:
            notes.append("bad_rdate")


def _addition(value: str, zone: tzinfo | None, home: ZoneInfo) -> Addition:
    start, _, end = value.partition("/")
    begins = _moment(start, zone, home)
    if not end:
        return Addition(begins)
    length = read_length(end) if "P" in end.upper() else _between(begins, _moment(end, zone, home))
    if length.seconds < 0 or length.days < 0:
        raise ValueError("a period ends before it starts")
    return Addition(begins, length)


def _between(start: Moment, end: Moment) -> Length:
    return Length(seconds=instant_of(end) - instant_of(start))


def values(entry: Property) -> list[str]:
    """Return the values of a comma-separated property."""
    return [value.strip() for value in entry.value.split(",") if value.strip()]


def _zone(name: str, zones: FileZones, notes: list[str]) -> tzinfo | None:
    """Return the zone of a TZID, or None for a floating time."""
    if not name:
        return None
    zone = zones.find(name)
    if zone is None:
        notes.append("unknown_zone")
    return zone or zones.home


def _moment(value: str, zone: tzinfo | None, home: ZoneInfo) -> Moment:
    """Read a DATE or DATE-TIME; without a zone it floats, and is in the calendar's."""
    match vDDDTypes.from_ical(value):  # type: ignore[no-untyped-call]
        case datetime(tzinfo=None) as wall:
            return Moment(wall, zone or home, floating=zone is None)
        case datetime() as wall:  # a Z wins over a TZID beside it
            return Moment(wall.replace(tzinfo=None), UTC, utc=True)
        case date() as day:
            return Moment(datetime(day.year, day.month, day.day), home, date_only=True)  # noqa: DTZ001 -- a wall time
        case _:
            raise ValueError("neither a date nor a date with a time")


def naive(value: str) -> datetime | None:
    """Return the wall time of a value, its Z disregarded, or None where it is malformed."""
    try:
        return _moment(value, UTC, ZoneInfo("UTC")).wall
    except ValueError:
        return None


def read_length(value: str) -> Length:
    """Return a DURATION: weeks and days by the calendar, hours and below as time that passes (may be negative)."""
    whole = vDDDTypes.from_ical(value)  # type: ignore[no-untyped-call]
    if not isinstance(whole, timedelta):
        raise ValueError("not a duration")  # noqa: TRY004 -- malformed text, not a wrong type
    sign = -1 if value.startswith("-") else 1
    before_time = value.upper().partition("T")[0]
    days = sign * sum(int(size) * (7 if unit == "W" else 1) for size, unit in DAYS.findall(before_time))
    return Length(days, int((whole - days * ONE_DAY).total_seconds()))
