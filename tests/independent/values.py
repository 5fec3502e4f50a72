"""Decides what a DATE, DATE-TIME, DURATION or PERIOD text means (RFC 5545 3.3); wall-clock times are counted in
seconds as if the clock stood in UTC. Refuses, as Malformed, whatever the grammar does not allow."""

import re
from datetime import date
from typing import NamedTuple, Protocol

DAY = 86_400
_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)\Z", re.ASCII)
_DATE_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(Z?)\Z", re.ASCII | re.IGNORECASE)
_DURATION = re.compile(
    r"([+-]?)P(?:(\d+)W)?(?:(\d+)D)?(T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?\Z", re.ASCII | re.IGNORECASE
)
_EPOCH = date(1970, 1, 1).toordinal()


class Malformed(ValueError):  # noqa: N818 -- reads as the claim it makes where it is raised
    """The text is not what the specification allows there."""


class Zone(Protocol):
    """How wall-clock times and instants (UTC seconds) belong together."""

    def instant(self, wall: int) -> int:
        """Place a wall-clock time: the first of two, and with the offset before the gap where there is none."""

    def offset(self, instant: int) -> int:
        """Return the seconds the wall clock is ahead of UTC at an instant."""


class Written(NamedTuple):
    """A date or date-time as written: its wall clock, whether it is a date, and whether it ended in Z."""

    wall: int
    is_date: bool
    is_utc: bool


class Length(NamedTuple):
    """A duration: nominal days, then exact seconds."""

    days: int
    seconds: int


def day_number(year: int, month: int, day: int) -> int:
    """Return days since 1970-01-01."""
    try:
        return date(year, month, day).toordinal() - _EPOCH
    except ValueError as error:
        raise Malformed("date") from error


def civil(day: int) -> date:
    """Return the date of a day number."""
    return date.fromordinal(day + _EPOCH)


def read_written(text: str) -> Written:
    """Read a DATE or DATE-TIME by its form; a leap second is read as second 59."""
    text = text.strip()
    if found := _DATE.match(text):
        return Written(day_number(*map(int, found.groups())) * DAY, is_date=True, is_utc=False)
    found = _DATE_TIME.match(text)
    if found is None:
        raise Malformed("date-time")
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    if hour > 23 or minute > 59 or second > 60:
        raise Malformed("time")
    clock = hour * 3600 + minute * 60 + min(second, 59)
    return Written(day_number(year, month, day) * DAY + clock, is_date=False, is_utc=bool(found.group(7)))


def read_length(text: str) -> Length:
    """Read a DURATION; a negative one is malformed, because no event ends before it starts."""
    found = _DURATION.match(text.strip())
    if found is None or not any(found.group(2, 3, 5, 6, 7)):
        raise Malformed("duration")
    sign = found.group(1)
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.group(2, 3, 5, 6, 7))
    length = Length(weeks * 7 + days, hours * 3600 + minutes * 60 + seconds)
    if sign == "-" and length != (0, 0):
        raise Malformed("negative duration")
    return length


def read_offset(text: str) -> int:
    """Read a UTC offset (+hhmm or +hhmmss) as seconds."""
    found = re.match(r"([+-])(\d\d)(\d\d)(\d\d)?\Z", text.strip(), re.ASCII)
    if found is None:
        raise Malformed("offset")
    hours, minutes, seconds = (int(part or 0) for part in found.groups()[1:])
    size = hours * 3600 + minutes * 60 + seconds
    return -size if found.group(1) == "-" else size
