"""Decides what an RRULE or EXRULE says. Garbage is a ValueError: the caller then lets the event happen once.

What the iCalendar library refuses is garbage, and so is what RFC 5545 rules out and no calendar can mean:
an interval of nothing, values out of range, a calendar scale other than the Gregorian.
"""

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from dateutil import rrule
from icalendar.prop import vRecur

from deploy.sandbox.calendar.lines import Property
from deploy.sandbox.calendar.moments import read_moment
from deploy.sandbox.calendar.timezones import FileZones
from deploy.sandbox.calendar.values import Moment, Rule

FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
MOST_COUNTED = 1_000_000_000  # beyond every bound
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
RANGES = {  # the rule part, dateutil's argument, the smallest and largest size, whether it may count from the end
    "BYSECOND": ("bysecond", 0, 59, False),
    "BYMINUTE": ("byminute", 0, 59, False),
    "BYHOUR": ("byhour", 0, 23, False),
    "BYMONTHDAY": ("bymonthday", 1, 31, True),
    "BYYEARDAY": ("byyearday", 1, 366, True),
    "BYWEEKNO": ("byweekno", 1, 53, True),
    "BYMONTH": ("bymonth", 1, 12, False),
    "BYSETPOS": ("bysetpos", 1, 366, True),
}


def read_rule(value: str, zone: tzinfo) -> Rule:
    """Return a recurrence rule; a floating UNTIL is in `zone`, the series' own (ValueError for garbage).

    A negative COUNT means no end, as Exchange writes it; numbers before the weekdays count only in months and years.
    """
    parts: Mapping[str, list[Any]] = vRecur.from_ical(value)
    frequency = str(_only(parts, "FREQ", "")).upper()
    scale, skip = (str(_only(parts, name, default)).upper() for name, default in SCALES)
    interval = int(_only(parts, "INTERVAL", 1))
    if frequency not in FREQUENCIES or scale != "GREGORIAN" or skip not in {"OMIT", "BACKWARD", "FORWARD"}:
        raise ValueError("not a Gregorian recurrence")
    if interval < 1:
        raise ValueError("an interval of nothing")
    count = int(_only(parts, "COUNT", -1))
    return Rule(
        freq=FREQUENCIES.index(frequency),  # dateutil counts them in the same order
        interval=interval,
        count=min(count, MOST_COUNTED) if count >= 0 else None,
        until=_until(value, zone),
        week_start=WEEKDAYS.index(str(_only(parts, "WKST", "MO")).upper()),
        skip=skip,
        by=tuple((argument, _numbers(parts[name], name)) for name, (argument, *_) in RANGES.items() if parts.get(name)),
        weekdays=tuple(_weekday(day) for day in parts.get("BYDAY", ())),
    )


SCALES = (("RSCALE", "GREGORIAN"), ("SKIP", "OMIT"))


def _only(parts: Mapping[str, list[Any]], name: str, default: Any) -> Any:
    held = parts.get(name)
    return getattr(held[0], "value", held[0]) if held else default  # SKIP comes as an enumeration


def _numbers(held: list[Any], name: str) -> tuple[int, ...]:
    """Return the numbers of a BY part, each within its range."""
    _, least, most, signed = RANGES[name]
    numbers = tuple(int(str(number)) for number in held)
    sizes = (abs(number) if signed else number for number in numbers)
    if not all(least <= size <= most for size in sizes):
        raise ValueError("out of range")
    return numbers


def _weekday(day: Any) -> tuple[int, int]:
    """Return (weekday, which), `which` being 0 for every one."""
    text = str(day).strip().upper()
    which = text[:-2] or "+0"
    if text[:-2] and not 1 <= abs(int(which)) <= 53:
        raise ValueError("out of range")
    return WEEKDAYS.index(text[-2:]), int(which)


def _until(value: str, zone: tzinfo) -> Moment | None:
    """Return the UNTIL of a rule, read from its text, since the library forgets whether it was written in UTC."""
    pairs = (part.partition("=") for part in value.split(";"))
    written = next((held.strip() for name, _, held in pairs if name.strip().upper() == "UNTIL"), "")
    if not written:
        return None
    moment = read_moment(Property("UNTIL", {}, written), FileZones(ZoneInfo("UTC"), {}), [])
    return moment if moment.utc or moment.date_only else Moment(moment.wall, zone)


def argument(rule: Rule, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Return one of dateutil's by* arguments of a rule, or the default where the rule does not say."""
    return next((held for held_name, held in rule.by if held_name == name), default)


def of_dateutil(rule: Rule) -> dict[str, Any]:
    """Return a rule as dateutil's keyword arguments, without its UNTIL, which is judged by instants."""
    days = [rrule.weekday(day, which) if which else rrule.weekday(day) for day, which in rule.weekdays]
    given: dict[str, Any] = {"byweekday": days} if days else {}
    given |= dict(rule.by)
    return given | {"interval": rule.interval, "count": rule.count, "wkst": rule.week_start}
