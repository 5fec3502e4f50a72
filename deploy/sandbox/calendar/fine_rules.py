"""Decides when a rule of weeks, days, hours, minutes or seconds occurs, day by day, without walking there first.

Gives what dateutil gives, but begins at any day at once and never searches beyond the last one, so that a rule which
never occurs again, or one of seconds that began long ago, costs no more than the days looked at.
"""

from calendar import isleap, monthrange
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import product

from dateutil import rrule
from msgspec import structs

from deploy.sandbox.calendar.rules import argument
from deploy.sandbox.calendar.values import Rule

SECONDS = {rrule.WEEKLY: 86_400, rrule.DAILY: 86_400, rrule.HOURLY: 3_600, rrule.MINUTELY: 60, rrule.SECONDLY: 1}
DATE_PARTS = ("bymonthday", "byyearday", "byweekno")
Time = tuple[int, int, int]


def fine_walls(rule: Rule, start: datetime, first: datetime, last: datetime) -> Iterator[datetime]:
    """Yield the wall times of a rule from the day of `first` to `last`, in order, none before `start`.

    COUNT and UNTIL are the caller's; a counted rule must be asked from its start.
    """
    checks = tuple(_checks(rule))
    if rule.freq == rrule.WEEKLY:  # a rule of days on which a week and a weekday must fit as well
        checks += (_week_check(rule, start),)
        rule = structs.replace(rule, freq=rrule.DAILY, interval=1)
    known: tuple[int, list[Time]] = (-1, [])
    for day, unit in _days(rule, start, max(first, start), last):
        if not all(check(day) for check in checks):
            continue
        if unit != known[0]:
            known = (unit, list(_times(rule, start, unit)))
        for hour, minute, second in known[1]:
            wall = day.replace(hour=hour, minute=minute, second=second)
            if start <= wall <= last:
                yield wall


def _days(rule: Rule, start: datetime, first: datetime, last: datetime) -> Iterator[tuple[datetime, int]]:
    """Yield each day on which the interval falls, with the first of the day's hours (minutes, seconds) it falls on."""
    size = SECONDS[rule.freq]
    units = 86_400 // size
    begun = (start.hour * 3_600 + start.minute * 60 + start.second) // size if units > 1 else 0
    origin, day = start.replace(hour=0, minute=0, second=0), first.replace(hour=0, minute=0, second=0)
    number, most = (day - origin).days, (last - origin).days
    while number <= most:
        unit = (begun - number * units) % rule.interval
        if unit < units:
            yield origin + timedelta(days=number), unit
        number += max(unit // units, 1)


def _checks(rule: Rule) -> Iterator[Callable[[datetime], bool]]:
    """Yield what the BY parts about dates demand of a day."""
    months, weeks = argument(rule, "bymonth"), argument(rule, "byweekno")
    month_days, year_days = argument(rule, "bymonthday"), argument(rule, "byyearday")
    weekdays = {weekday for weekday, _ in rule.weekdays}
    if weekdays:
        yield lambda day: day.weekday() in weekdays
    if months:
        yield lambda day: day.month in months
    if month_days:
        yield lambda day: _in(month_days, day.day, monthrange(day.year, day.month)[1])
    if year_days:
        yield lambda day: _in(year_days, day.timetuple().tm_yday, 365 + isleap(day.year))
    if weeks:
        yield lambda day: _week_fits(day, weeks, rule.week_start)


def _week_check(rule: Rule, start: datetime) -> Callable[[datetime], bool]:
    """Return what a rule of weeks demands of a day: a week of its interval, and its start's weekday unless it says."""
    behind = (start.weekday() - rule.week_start) % 7
    origin = start.replace(hour=0, minute=0, second=0)
    every_day = bool(rule.weekdays) or any(argument(rule, name) for name in DATE_PARTS)
    weekday, interval = start.weekday(), rule.interval
    return lambda day: ((day - origin).days + behind) // 7 % interval == 0 and (every_day or day.weekday() == weekday)


def _in(allowed: tuple[int, ...], number: int, length: int) -> bool:
    """Whether a number is allowed, counted from either end of its length."""
    return number in allowed or number - length - 1 in allowed


def _week_fits(day: datetime, weeks: tuple[int, ...], week_start: int) -> bool:
    number, year = _week(day, week_start)
    total, _ = _week(datetime(year, 12, 28), week_start)  # noqa: DTZ001 -- a civil date; it is always in the last week
    return _in(weeks, number, total)


def _week(day: datetime, week_start: int) -> tuple[int, int]:
    """Return the number of a day's week and the year it belongs to: the one most of its days are in."""
    middle = day - timedelta(days=(day.weekday() - week_start) % 7) + timedelta(days=3)
    return (middle.timetuple().tm_yday - 1) // 7 + 1, middle.year


def _times(rule: Rule, start: datetime, unit: int) -> Iterator[Time]:
    """Yield the times of a day whose first hour (minute, second) within the interval is `unit`."""
    size = SECONDS[rule.freq]
    for begun in range(unit, 86_400 // size, rule.interval):
        yield from _chosen(rule, list(_expanded(rule, start, begun * size)))


def _expanded(rule: Rule, start: datetime, seconds: int) -> Iterator[Time]:
    """Yield the times of one period, which begins `seconds` after midnight; finer parts come from BY or the start."""
    hour, minute, second = seconds // 3_600, seconds // 60 % 60, seconds % 60
    parts = (
        _part(rule, "byhour", hour if rule.freq >= rrule.HOURLY else None, start.hour),
        _part(rule, "byminute", minute if rule.freq >= rrule.MINUTELY else None, start.minute),
        _part(rule, "bysecond", second if rule.freq >= rrule.SECONDLY else None, start.second),
    )
    yield from product(*parts)


def _part(rule: Rule, name: str, fixed: int | None, started: int) -> tuple[int, ...]:
    """Return the hours (or minutes, or seconds) of a period: its own where it is that fine, if the rule allows it."""
    allowed = argument(rule, name)
    if fixed is None:
        return tuple(sorted(set(allowed))) or (started,)
    return (fixed,) if not allowed or fixed in allowed else ()


def _chosen(rule: Rule, times: list[Time]) -> list[Time]:
    """Return the times BYSETPOS chooses from one period."""
    positions = argument(rule, "bysetpos")
    if not positions:
        return times
    indexes = {position - 1 if position > 0 else len(times) + position for position in positions}
    return [time for index, time in enumerate(times) if index in indexes]
