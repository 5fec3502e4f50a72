"""Decides at which wall times a rule occurs: dateutil for rules about weekdays and weeks, own arithmetic for others.

Refuses nothing, and never searches beyond the last wall time asked for, but for dateutil, which looks for the next
occurrence up to the year 9999 (a second or two where there is none).
"""

from calendar import monthrange
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, tzinfo
from itertools import islice, product, takewhile
from typing import Literal

from dateutil import rrule

from deploy.sandbox.calendar.fine_rules import SECONDS, fine_walls
from deploy.sandbox.calendar.moments import instant, instant_of
from deploy.sandbox.calendar.rules import argument, of_dateutil
from deploy.sandbox.calendar.values import Moment, Rule

LONG_AGO = datetime(1, 1, 1)  # noqa: DTZ001 -- a wall time
COARSE: tuple[Literal[0, 1, 2], ...] = (rrule.YEARLY, rrule.MONTHLY, rrule.WEEKLY)
PLAIN = frozenset({"bymonth", "bymonthday", "byhour", "byminute", "bysecond"})  # parts that name days by number


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
    if rule.freq in SECONDS and not (rule.freq == rrule.WEEKLY and argument(rule, "bysetpos")):
        begin = start if rule.count is not None else first
        return islice(fine_walls(rule, start, begin, last), rule.count)
    if rule.freq in {rrule.YEARLY, rrule.MONTHLY} and not rule.weekdays and all(name in PLAIN for name, _ in rule.by):
        return islice(_by_month_days(rule, start, last), rule.count)
    return iter(rrule.rrule(COARSE[rule.freq], dtstart=start, **of_dateutil(rule)))


def _by_month_days(rule: Rule, start: datetime, last: datetime) -> Iterator[datetime]:
    """Yield the wall times of a rule of months or years about days of the month; missing ones as SKIP says.

    dateutil gives the same where missing dates are left out, but looks at every day of every year; and it knows no SKIP
    (RFC 7529 4.1).
    """
    seen = start - timedelta(seconds=1)
    for year, month in _months(rule, start, last):
        for wall in sorted(_in_month(rule, start, year, month)):
            if wall > seen:
                seen = wall
                yield wall


def _months(rule: Rule, start: datetime, last: datetime) -> Iterator[tuple[int, int]]:
    """Yield the months in which a rule of months or years looks for its dates."""
    named = argument(rule, "bymonth")
    if rule.freq == rrule.YEARLY:
        years = range(start.year, last.year + 1, rule.interval)
        every = tuple(range(1, 13)) if argument(rule, "bymonthday") else (start.month,)
        yield from product(years, sorted(set(named or every)))
        return
    for number in range(start.year * 12 + start.month - 1, last.year * 12 + 12, rule.interval):
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
    """Return the day of the month meant; one that does not exist is the last, the day after the last, or none (0).

    Counted from the end, a day before the first is none.
    """
    if day < 0:
        return max(length + 1 + day, 0)
    if day <= length:
        return day
    return {"OMIT": 0, "BACKWARD": length, "FORWARD": length + 1}[skip]
