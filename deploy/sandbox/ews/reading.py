"""Reads the small things of requests: moments, numbers, words, and the time zone that times are meant in.

What the schema would not let through is refused as Exchange does, with ErrorSchemaValidation.
"""

import re
from datetime import UTC, datetime, timedelta, timezone

from lxml import etree

from deploy.sandbox.ews import zone_rules
from deploy.sandbox.ews.soap import T, violation
from deploy.sandbox.ews.zone_rules import Rules, Turn
from shared.contracts.values import EARLIEST, LATEST, Instant

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,9}", re.ASCII)
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)(\.\d+)?", re.ASCII)


def moment(said: str | None, *, zone: Rules | None = None, up: bool = False) -> Instant:
    """Return an xs:dateTime as UTC seconds, in `zone` (UTC where there is none) unless it says itself which it is in.

    `up` rounds a fraction up; what lies outside the years 1 to 9999 of UTC is at their end. Raises SoapFault.
    """
    match = _MOMENT.fullmatch((said or "").strip())
    if match is None:
        raise violation("A time is invalid according to its datatype dateTime.")
    text, fraction, offset = match.groups()
    try:
        wall = datetime.fromisoformat(text).replace(tzinfo=_zone(offset))
        seconds = int(wall.timestamp()) + (up and fraction is not None and fraction.strip(".0") != "")
    except (ValueError, OverflowError):
        raise violation("A time is invalid according to its datatype dateTime.") from None
    instant = zone_rules.instant_of(zone, seconds) if zone is not None and offset is None else seconds
    return min(max(instant, EARLIEST), LATEST)


def _zone(offset: str | None) -> timezone:
    if offset in {None, "Z"}:
        return UTC
    assert offset is not None, "the line above has seen to it"
    minutes = int(offset[1:3]) * 60 + int(offset[4:])
    return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))


def number(said: str | None) -> int:
    """Return an xs:int. Raises SoapFault."""
    if _NUMBER.fullmatch((said or "").strip()) is None:
        raise violation("A number is invalid according to its datatype int.")
    return int((said or "").strip())


def child(parent: etree._Element, path: str) -> etree._Element:
    """Return what must be there. Raises SoapFault."""
    found = parent.find(path)
    if found is None:
        name = path.rpartition("}")[2]
        raise violation(f"The element has incomplete content: '{name}' is missing.")
    return found


def word(parent: etree._Element, path: str) -> str:
    """Return the text of what must be there. Raises SoapFault."""
    return (child(parent, path).text or "").strip()


def time_zone(element: etree._Element) -> Rules:
    """Return the rules that a t:TimeZone gives. Raises SoapFault."""
    bias = number(word(element, f"{T}Bias"))
    turns = (_turn(child(element, f"{T}{name}")) for name in ("StandardTime", "DaylightTime"))
    return Rules(bias=bias, standard=next(turns), daylight=next(turns))


def _turn(element: etree._Element) -> Turn:
    match = _TIME.fullmatch(word(element, f"{T}Time"))
    weekday = word(element, f"{T}DayOfWeek")
    year = element.find(f"{T}Year")
    month = number(word(element, f"{T}Month"))
    if match is None or weekday not in zone_rules.WEEKDAYS or not 0 <= month <= 12:
        raise violation("The time zone is invalid.")
    hours, minutes, seconds = (int(part) for part in match.groups()[:3])
    return Turn(
        bias=number(word(element, f"{T}Bias")),
        time=hours * 3600 + minutes * 60 + seconds,
        order=max(1, number(word(element, f"{T}DayOrder"))),
        month=month,
        weekday=zone_rules.WEEKDAYS.index(weekday),
        year=None if year is None or not number(year.text) else number(year.text),
    )
