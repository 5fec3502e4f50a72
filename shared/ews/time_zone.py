"""Decides which Windows zone a mailbox's rules mean: the best-known one whose clock shows the same all year.

Pure. It refuses to guess: rules that no zone keeps in that year have no name.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct
from tzlocal.windows_tz import win_tz

from shared import zones
from shared.ews.elements import Element, child, text

KNOWN: Final = (
    "UTC", "GMT Standard Time", "W. Europe Standard Time", "GTB Standard Time", "FLE Standard Time",
    "Eastern Standard Time", "Central Standard Time", "Mountain Standard Time", "Pacific Standard Time",
    "US Mountain Standard Time", "Alaskan Standard Time", "Hawaiian Standard Time", "Atlantic Standard Time",
    "Newfoundland Standard Time", "E. South America Standard Time", "Argentina Standard Time",
    "SA Pacific Standard Time", "Israel Standard Time", "Egypt Standard Time", "South Africa Standard Time",
    "Turkey Standard Time", "Russian Standard Time", "Arab Standard Time", "Arabian Standard Time",
    "Iran Standard Time", "Pakistan Standard Time", "India Standard Time", "Nepal Standard Time",
    "Bangladesh Standard Time", "SE Asia Standard Time", "China Standard Time", "Singapore Standard Time",
    "Tokyo Standard Time", "Korea Standard Time", "AUS Eastern Standard Time", "AUS Central Standard Time",
    "Cen. Australia Standard Time", "E. Australia Standard Time", "W. Australia Standard Time",
    "New Zealand Standard Time",
)  # fmt: skip
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LAST: Final = 5  # the order that means the last such day of a month


class Turn(Struct, frozen=True):
    """When a clock is changed: the `order`th `day` (0 Monday to 6 Sunday; 5 is the last) of `month`, at `second` of it.

    `bias` is what is then added to the zone's own, in minutes. Month 0 stands for never.
    """

    bias: int
    second: int
    order: int
    month: int
    day: int


class ZoneRules(Struct, frozen=True):
    """A zone as Exchange prints it: `bias` is UTC less local time in minutes; its clock turns twice a year or never."""

    bias: int
    standard: Turn
    daylight: Turn


def zone_rules(element: Element) -> ZoneRules | None:
    """Return a printed zone's rules, None where they make no sense: the zone is an extra, and never worth an error."""
    standard, daylight = child(element, "StandardTime"), child(element, "DaylightTime")
    try:
        bias = int(text(child(element, "Bias")))
        if standard is None or daylight is None or abs(bias) > 24 * 60:
            return None
        return ZoneRules(bias, _turn(standard), _turn(daylight))
    except ValueError:
        return None


@lru_cache(maxsize=512)
def zone_name(rules: ZoneRules, year: int, known: str = "") -> str:
    """Return the Windows name of a zone that shows the same as the rules all through the year, "" where none does.

    A zone that is `known` goes before all others: many show the same.
    """
    try:
        shown = _shown(rules, year)
    except (ValueError, OverflowError):
        return ""
    names = (known, *_names()) if known else _names()
    return next((name for name in names if _keeps(name, shown)), "")


@lru_cache(maxsize=1)
def _names() -> tuple[str, ...]:
    known = frozenset(KNOWN)
    return (*KNOWN, *(name for name in sorted(win_tz) if name not in known))


def _keeps(name: str, shown: tuple[tuple[datetime, int], ...]) -> bool:
    zone = zones.resolve(name)
    return zone is not None and all(_minutes(zone, instant) == minutes for instant, minutes in shown)


def _minutes(zone: ZoneInfo, instant: datetime) -> float:
    """Return the minutes ahead of UTC at an instant."""
    offset = instant.astimezone(zone).utcoffset()
    return 0 if offset is None else offset.total_seconds() / 60


def _shown(rules: ZoneRules, year: int) -> tuple[tuple[datetime, int], ...]:
    """Return instants of the year with the minutes ahead of UTC then: every tenth day, and around each turn."""
    days = [datetime(year, 1, 1, 12, tzinfo=UTC) + timedelta(days=10 * step) for step in range(36)]
    standard, daylight = -(rules.bias + rules.standard.bias), -(rules.bias + rules.daylight.bias)
    if not rules.standard.month or not rules.daylight.month or standard == daylight:
        return tuple((day, standard) for day in days)
    begins = _instant(rules.daylight, year, standard)
    ends = _instant(rules.standard, year, daylight)
    around = [turn + timedelta(seconds=step) for turn in (begins, ends) for step in (-1, 0)]
    return tuple(
        (instant, daylight if _in_daylight(instant, begins, ends) else standard) for instant in (*days, *around)
    )


def _in_daylight(instant: datetime, begins: datetime, ends: datetime) -> bool:
    if begins < ends:
        return begins <= instant < ends
    return not ends <= instant < begins


def _instant(turn: Turn, year: int, minutes: int) -> datetime:
    """Return when a clock that is so many minutes ahead of UTC is turned in a year."""
    first = datetime(year, turn.month, 1, tzinfo=UTC)
    day = first + timedelta(days=(turn.day - first.weekday()) % 7 + 7 * (turn.order - 1))
    while day.month != turn.month:
        day -= timedelta(days=7)
    return day + timedelta(seconds=turn.second) - timedelta(minutes=minutes)


def _turn(element: Element) -> Turn:
    """Return a printed turn. Raises ValueError."""
    hour, minute, second = (int(part) for part in text(child(element, "Time")).split(".")[0].split(":"))
    turn = Turn(
        bias=int(text(child(element, "Bias"))),
        second=hour * 3600 + minute * 60 + second,
        order=int(text(child(element, "DayOrder"))),
        month=int(text(child(element, "Month"))),
        day=_DAYS.index(text(child(element, "DayOfWeek"))),
    )
    if not (abs(turn.bias) <= 24 * 60 and 0 <= turn.second < 24 * 3600 + 1):
        raise ValueError("a turn of the clock has another form")
    if not (0 <= turn.order <= _LAST and 0 <= turn.month <= 12):
        raise ValueError("a turn of the clock has another form")
    return turn
