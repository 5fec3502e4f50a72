"""Decides at which wall times a rule occurs: dateutil for weeks, months and years, own arithmetic for finer rules.

Refuses nothing, and never searches beyond the last wall time asked for, but for the coarse rules of dateutil, which
look ahead at most to the year 9999 (a second or two).
"""

from calendar import monthrange
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, tzinfo
from itertools import islice, product, takewhile

from dateutil import rrule

from deploy.sandbox.calendar.fine_rules import SECONDS, fine_walls
from deploy.sandbox.calendar.moments import instant, instant_of
from deploy.sandbox.calendar.rules import argument, of_dateutil
from deploy.sandbox.calendar.values import Moment, Rule

LONG_AGO = datetime(1, 1, 1)  # noqa: DTZ001 -- a wall time
COARSE = (rrule.YEARLY, rrule.MONTHLY, rrule.WEEKLY)
PLAIN = frozenset({"bymonth", "bymonthday", "byhour", "byminute", "bysecond"})  # all that SKIP can be applied to


def walls(rule: Rule, start: datetime, zone: tzinfo, last: datetime, first: datetime = LONG_AGO) -> Iterator[datetime]:
    """Yield the wall times of a rule that began at `start`, in order, up to `last` and to its UNTIL.

    Wall times before `first` may be left out. `start` itself comes only if the rule names it.
    """
    found = takewhile(lambda wall: wall <= last, _unlimited(rule, start, first, last))
    if rule.until is None:
        return found
    until = rule.until
    return takewhile(lambda wall: not_after(wall, zone, until), found)


def not_after(wall: datetime, zone: tzinfo, until: Moment) -> bool:
    """Whether a wall time is not after an UNTIL; a date lets its whole day through."""
    if until.date_only:
        return wall.date() <= until.wall.date()
    return instant(wall, zone) <= instant_of(until)


def _unlimited(rule: Rule, start: datetime, first: datetime, last: datetime) -> Iterator[datetime]:
    """Yield the wall times of a rule, its COUNT observed."""
    if rule.freq in SECONDS:
        begin = start if rule.count is not None else first
        return islice(fine_walls(rule, start, begin, last), rule.count)
    if rule.skip != "OMIT" and rule.freq in {rrule.YEARLY, rrule.MONTHLY} and not rule.weekdays and _plain(rule):
        return islice(_skipping(rule, start), rule.count)
    return iter(rrule.rrule(COARSE[rule.freq], dtstart=start, **of_dateutil(rule)))


def _plain(rule: Rule) -> bool:
    return all(name in PLAIN for name, _ in rule.by)


def _skipping(rule: Rule, start: datetime) -> Iterator[datetime]:
    """Yield the wall times of a rule of months or years whose missing dates move (RFC 7529 4.1)."""
    seen = start - timedelta(seconds=1)
    for year, month in _months(rule, start):
        for wall in sorted(_in_month(rule, start, year, month)):
            if wall > seen:
                seen = wall
                yield wall


def _months(rule: Rule, start: datetime) -> Iterator[tuple[int, int]]:
    """Yield the months in which a rule of months or years looks for its dates."""
    named = argument(rule, "bymonth")
    if rule.freq == rrule.YEARLY:
        years = range(start.year, 9999, rule.interval)
        every = range(1, 13) if argument(rule, "bymonthday") else (start.month,)
        yield from product(years, sorted(set(named or every)))
        return
    for number in range(start.year * 12 + start.month - 1, 9999 * 12, rule.interval):
        if not named or number % 12 + 1 in named:
            yield number // 12, number % 12 + 1


def _in_month(rule: Rule, start: datetime, year: int, month: int) -> Iterable[datetime]:
    """Return the wall times of one month, those of a date it lacks moved to its last day or to the next month."""
    length = monthrange(year, month)[1]
    days = {_existing(day, length, rule.skip) for day in argument(rule, "bymonthday", (start.day,))}
    times = product(
        argument(rule, "byhour", (start.hour,)),
        argument(rule, "byminute", (start.minute,)),
        argument(rule, "bysecond", (start.second,)),
    )
    begin = start.replace(year=year, month=month, day=1)
    return [
        begin.replace(hour=hour, minute=minute, second=second) + timedelta(days=day - 1)
        for day, (hour, minute, second) in product(days - {0}, list(times))
    ]


def _existing(day: int, length: int, skip: str) -> int:
    """Return the day of the month meant; one that does not exist is the last, or the day after the last.

    Counted from the end, a day before the first does not exist either: 0 stands for none.
    """
    if day < 0:
        return max(length + 1 + day, 0)
    return min(day, length if skip == "BACKWARD" else length + 1)
