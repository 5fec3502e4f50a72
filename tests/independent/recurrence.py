"""Decides on which wall-clock times a rule falls, period by period, as sets that are intersected (RFC 5545 3.3.10).

Refuses to know zones, COUNT and UNTIL; the start itself is the caller's to add.
"""

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

from tests.independent.days import day_allowed, days_of_months, days_of_week
from tests.independent.rules import Rule
from tests.independent.values import DAY, civil, day_number

_LAST_YEAR = 9998
_UNITS = {"HOURLY": 3600, "MINUTELY": 60, "SECONDLY": 1}


class Span(NamedTuple):
    """The wall clocks that matter: from `low` up to, not including, `high`."""

    low: int
    high: int


def walls(rule: Rule, start: int, span: Span) -> Iterator[int]:
    """Yield the rule's wall clocks from `start` on within the span, rising and each once.

    With COUNT nothing before the span is left out, because everything counts.
    """
    low = start if rule.count else max(start, span.low)
    latest = None
    for members in _periods(rule, start, Span(low, span.high)):
        for wall in _chosen(rule, members):
            if low <= wall < span.high and (latest is None or wall > latest):
                yield wall
                latest = wall


def _chosen(rule: Rule, members: list[int]) -> list[int]:
    positions = rule.get("BYSETPOS")
    if not positions:
        return members
    size = len(members)
    return [members[at] for at in sorted({p - 1 if p > 0 else size + p for p in positions}) if 0 <= at < size]


def _periods(rule: Rule, start: int, span: Span) -> Iterator[list[int]]:
    if rule.frequency in _UNITS:
        yield from _short_periods(rule, start, span)
        return
    times = _times_of_day(rule, start)
    for days in _long_periods(rule, start // DAY, span):
        yield [day * DAY + time for day in sorted(days) for time in times]


def _long_periods(rule: Rule, first: int, span: Span) -> Iterator[set[int]]:
    low, high = span.low // DAY, span.high // DAY
    match rule.frequency:
        case "YEARLY":
            yield from _years(rule, first, low, high)
        case "MONTHLY":
            yield from _months(rule, first, low, high)
        case "WEEKLY":
            week = first - (civil(first).weekday() - rule.week_start) % 7
            for begin in _steps(week, 7 * rule.interval, low, high):
                yield days_of_week(rule, begin, first)
        case _:
            for day in _steps(first, rule.interval, low, high):
                yield {day} if day_allowed(rule, day) else set()


def _steps(first: int, step: int, low: int, high: int) -> Iterator[int]:
    # Whole steps are jumped over; the one before the span is kept, for periods that reach into it.
    skipped = max(0, (low - first) // step - 1)
    last = min(high, day_number(_LAST_YEAR, 12, 31))
    yield from range(first + skipped * step, last + 1, step)


def _years(rule: Rule, first: int, low: int, high: int) -> Iterator[set[int]]:
    begin = civil(first).year
    last = min(civil(min(high, day_number(_LAST_YEAR, 1, 1))).year, _LAST_YEAR)
    skipped = max(0, (civil(low).year - begin) // rule.interval - 1)
    for year in range(begin + skipped * rule.interval, last + 1, rule.interval):
        yield days_of_months(rule, year, tuple(range(1, 13)), first)


def _months(rule: Rule, first: int, low: int, high: int) -> Iterator[set[int]]:
    begin, from_month = _month_number(first), _month_number(low)
    skipped = max(0, (from_month - begin) // rule.interval - 1)
    for number in count(begin + skipped * rule.interval, rule.interval):
        year, month = number // 12, number % 12 + 1
        if year > _LAST_YEAR or day_number(year, month, 1) > high:
            return
        yield days_of_months(rule, year, (month,), first)


def _month_number(day: int) -> int:
    return civil(day).year * 12 + civil(day).month - 1


def _times_of_day(rule: Rule, start: int) -> list[int]:
    time = start % DAY
    hours = rule.get("BYHOUR") or (time // 3600,)
    minutes = rule.get("BYMINUTE") or (time // 60 % 60,)
    seconds = rule.get("BYSECOND") or (time % 60,)
    return [hour * 3600 + minute * 60 + second for hour in hours for minute in minutes for second in seconds]


def _short_periods(rule: Rule, start: int, span: Span) -> Iterator[list[int]]:
    unit = _UNITS[rule.frequency]
    named = _named_times(rule, unit)
    for day in range(max(start, span.low) // DAY, span.high // DAY + 1):
        if not day_allowed(rule, day):
            continue
        for begin in _aligned(named, unit * rule.interval, day * DAY, start // unit * unit):
            if begin < span.high:
                yield _period_members(rule, begin, start)


def _aligned(named: frozenset[int], step: int, midnight: int, origin: int) -> Iterator[int]:
    # The named times that are whole intervals away from the start: the same set whichever side is walked through.
    aligned = range((origin - midnight) % step, DAY, step)
    times = sorted(time for time in named if time in aligned) if len(named) < len(aligned) else aligned
    return (midnight + time for time in times if time in named)


def _named_times(rule: Rule, unit: int) -> frozenset[int]:
    hours = rule.get("BYHOUR") or tuple(range(24))
    minutes = (0,) if unit == 3600 else rule.get("BYMINUTE") or tuple(range(60))
    seconds = (0,) if unit >= 60 else rule.get("BYSECOND") or tuple(range(60))
    return frozenset(hour * 3600 + minute * 60 + second for hour in hours for minute in minutes for second in seconds)


def _period_members(rule: Rule, begin: int, start: int) -> list[int]:
    match rule.frequency:
        case "HOURLY":
            minutes = rule.get("BYMINUTE") or (start // 60 % 60,)
        case _:
            minutes = (begin // 60 % 60,)
    seconds = (begin % 60,) if rule.frequency == "SECONDLY" else rule.get("BYSECOND") or (start % 60,)
    hour = begin - begin % 3600
    return [hour + minute * 60 + second for minute in minutes for second in seconds]
