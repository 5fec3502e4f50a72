"""Decides what a time zone's rules are as EWS writes them: a bias and two turns a year, in minutes behind UTC.

Such rules hold for the year they were read in; a zone that turns more than twice a year, or never, has none to give.
"""

from calendar import monthrange
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from msgspec import Struct

from shared.contracts.values import DAY, EARLIEST, LATEST, Instant

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LAST = 5  # the order that stands for the last such weekday of a month


class Turn(Struct, frozen=True, kw_only=True):
    """When the clock is set to one of its two times, and what that time adds to the bias, in minutes.

    `time` is in seconds after midnight, on the clock that ends then; month 0 stands for never. A `year` makes `order`
    the day of the month.
    """

    bias: int = 0
    time: int = 0
    order: int = 0
    month: int = 0
    weekday: int = 6
    year: int | None = None


class Rules(Struct, frozen=True, kw_only=True):
    """A zone: minutes behind UTC in standard time, and the turns to standard and to daylight time."""

    bias: int = 0
    standard: Turn = Turn()
    daylight: Turn = Turn()

    @property
    def fixed(self) -> bool:
        """Whether the clock is never set."""
        return not (self.standard.month and self.daylight.month)


@lru_cache(maxsize=65_536)
def ahead(rules: Rules, instant: Instant) -> int:
    """Return the seconds a zone's clock is ahead of UTC at an instant."""
    standard = -60 * (rules.bias + rules.standard.bias)
    if rules.fixed:
        return standard
    to_daylight, to_standard = _turns(rules, _year(instant + standard))
    if to_daylight < to_standard:
        summer = to_daylight <= instant < to_standard
    else:  # the southern half of the world
        summer = not to_standard <= instant < to_daylight
    return -60 * (rules.bias + rules.daylight.bias) if summer else standard


def wall_of(rules: Rules, instant: Instant) -> int:
    """Return an instant on a zone's clock, written as if in UTC."""
    return instant + ahead(rules, instant)


def instant_of(rules: Rules, wall: int) -> Instant:
    """Return the instant of a time on a zone's clock, written as if in UTC: the first of two, the later of none."""
    daylight, standard = (60 * (rules.bias + turn.bias) + wall for turn in (rules.daylight, rules.standard))
    return daylight if wall_of(rules, daylight) == wall else standard


def _year(seconds: int) -> int:
    return datetime.fromtimestamp(min(max(seconds, EARLIEST), LATEST), UTC).year


@lru_cache(maxsize=4096)
def _turns(rules: Rules, year: int) -> tuple[Instant, Instant]:
    """Return the instants of a year at which daylight time and standard time begin."""
    to_daylight = _wall(rules.daylight, year) + 60 * (rules.bias + rules.standard.bias)
    to_standard = _wall(rules.standard, year) + 60 * (rules.bias + rules.daylight.bias)
    return to_daylight, to_standard


def _wall(turn: Turn, year: int) -> int:
    first, length = monthrange(year, turn.month)
    if turn.year is not None:
        day = turn.order
    else:
        day = 1 + (turn.weekday - first) % 7 + 7 * (min(turn.order, LAST) - 1)
        day -= 7 * (day > length)
    return int(datetime(year, turn.month, day, tzinfo=UTC).timestamp()) + turn.time


@lru_cache(maxsize=4096)
def rules_of(zone: ZoneInfo, year: int) -> Rules:
    """Return the rules of a zone as they are in a year."""
    begins, ends = (int(datetime(each, 1, 1, tzinfo=UTC).timestamp()) for each in (year, year + 1))
    found = _changes(zone, begins, ends)
    offsets = sorted({offset for _, before, after in found for offset in (before, after)})
    if len(found) != 2 or len(offsets) != 2:
        return Rules(bias=-_offset(zone, begins) // 60)
    low, high = offsets
    turns = {after: _turn(instant + before, bias=(low - after) // 60) for instant, before, after in found}
    return Rules(bias=-low // 60, standard=turns[low], daylight=turns[high])


def _changes(zone: ZoneInfo, first: Instant, last: Instant) -> list[tuple[Instant, int, int]]:
    """Return each instant at which a zone's clock is set, with the seconds ahead of UTC before and after."""
    found = []
    for begins in range(first, last, DAY):
        before, after = _offset(zone, begins), _offset(zone, begins + DAY)
        if before != after:
            low, high = begins, begins + DAY
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(zone, middle) == before else (low, middle)
            found.append((high, before, after))
    return found


def _offset(zone: ZoneInfo, instant: Instant) -> int:
    ahead_now = datetime.fromtimestamp(instant, zone).utcoffset()
    assert ahead_now is not None, "a zone has an offset"
    return int(ahead_now.total_seconds())


def _turn(wall: int, *, bias: int) -> Turn:
    """Return the turn that happens at a wall time, the last of its weekday where it is among the last seven days."""
    when = datetime.fromtimestamp(wall, UTC)
    last = when.day + 7 > monthrange(when.year, when.month)[1]
    order = LAST if last else (when.day - 1) // 7 + 1
    return Turn(bias=bias, time=wall % DAY, order=order, month=when.month, weekday=when.weekday())
