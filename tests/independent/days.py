"""Decides which days of a year, month or week a rule's day parts name (RFC 5545 3.3.10, RFC 7529 4.1 for SKIP).

Refuses times of day. Days are numbered from 1970-01-01.
"""

from calendar import monthrange

from tests.independent.rules import Rule
from tests.independent.values import civil, day_number


def day_allowed(rule: Rule, day: int) -> bool:
    """Say whether every day part of the rule admits this day; an ordinal before a weekday has no meaning here."""
    here = civil(day)
    length = monthrange(here.year, here.month)[1]
    year = range(day_number(here.year, 1, 1), day_number(here.year, 12, 31) + 1)
    return (
        _admits(rule.get("BYMONTH"), {here.month})
        and _admits(rule.get("BYMONTHDAY"), {here.day, here.day - length - 1})
        and _admits(rule.get("BYYEARDAY"), {day - year.start + 1, day - year.stop})
        and _admits(tuple(weekday for _, weekday in rule.by_day), {here.weekday()})
        and (not rule.get("BYWEEKNO") or day in _days_of_weeks(rule, here.year))
    )


def days_of_week(rule: Rule, begin: int, first: int) -> set[int]:
    """Return the days a weekly rule names in the week that begins there."""
    days = range(begin, begin + 7)
    if not rule.by_day:
        days = range(begin + (first - begin) % 7, begin + (first - begin) % 7 + 1)
    return {day for day in days if day_allowed(rule, day)}


def days_of_months(rule: Rule, year: int, months: tuple[int, ...], first: int) -> set[int]:
    """Return the days a yearly rule (twelve months) or monthly rule (one month) names.

    Each part gives a set of days, and a day must be in all of them. Where no part names a day, the start's does.
    """
    admitted = tuple(month for month in months if not rule.get("BYMONTH") or month in rule.get("BYMONTH"))
    sets = []
    if rule.get("BYYEARDAY"):
        sets += [_days_of_year(rule, year), _days_in(year, admitted)]
    if rule.get("BYMONTHDAY"):
        sets.append(_month_days(rule, year, admitted, rule.get("BYMONTHDAY")))
    if rule.get("BYWEEKNO"):
        sets += [_days_of_weeks(rule, year), _days_in(year, admitted)]
    if rule.by_day:
        sets.append(_weekdays(rule, year, admitted))
    elif rule.get("BYWEEKNO") and len(sets) == 2:
        sets.append({day for day in _days_in(year, admitted) if (day - first) % 7 == 0})
    return set.intersection(*sets) if sets else _like_the_start(rule, year, admitted, first)


def _days_in(year: int, months: tuple[int, ...]) -> set[int]:
    return {day for month in months for day in _month(year, month)}


def _admits(wanted: tuple[int, ...], has: set[int]) -> bool:
    return not wanted or not has.isdisjoint(wanted)


def _month(year: int, month: int) -> range:
    begin = day_number(year, month, 1)
    return range(begin, begin + monthrange(year, month)[1])


def _like_the_start(rule: Rule, year: int, months: tuple[int, ...], first: int) -> set[int]:
    if rule.frequency == "YEARLY" and not rule.get("BYMONTH"):
        months = (civil(first).month,)
    return _month_days(rule, year, months, (civil(first).day,))


def _month_days(rule: Rule, year: int, months: tuple[int, ...], wanted: tuple[int, ...]) -> set[int]:
    days = set()
    for month in months:
        inside = _month(year, month)
        for number in wanted:
            day = inside.start + number - 1 if number > 0 else inside.stop + number
            days |= _kept(rule, day, inside)
    return days


def _kept(rule: Rule, day: int, inside: range) -> set[int]:
    # RFC 7529 4.1: a day that does not exist is left out, or becomes the last valid day before or the first after it.
    if day in inside:
        return {day}
    beyond = day >= inside.stop
    match rule.skip:
        case "BACKWARD":
            return {inside.stop - 1 if beyond else inside.start - 1}
        case "FORWARD":
            return {inside.stop if beyond else inside.start}
        case _:
            return set()


def _days_of_year(rule: Rule, year: int) -> set[int]:
    inside = range(day_number(year, 1, 1), day_number(year, 12, 31) + 1)
    days = set()
    for number in rule.get("BYYEARDAY"):
        days |= _kept(rule, inside.start + number - 1 if number > 0 else inside.stop + number, inside)
    return days


def _days_of_weeks(rule: Rule, year: int) -> set[int]:
    # A week is named by the year it belongs to; its days that lie in this calendar year are this year's.
    days = set()
    for owner in (year - 1, year, year + 1):
        begin, end = _first_week(rule, owner), _first_week(rule, owner + 1)
        for number in rule.get("BYWEEKNO"):
            week = begin + (number - 1) * 7 if number > 0 else end + number * 7
            if begin <= week < end:
                days |= set(range(week, week + 7))
    return days & set(range(day_number(year, 1, 1), day_number(year, 12, 31) + 1))


def _first_week(rule: Rule, year: int) -> int:
    # The first week has at least four days in the year, so it is the one that holds January 4.
    fourth = day_number(year, 1, 4)
    return fourth - (civil(fourth).weekday() - rule.week_start) % 7


def _weekdays(rule: Rule, year: int, months: tuple[int, ...]) -> set[int]:
    whole_year = rule.frequency == "YEARLY" and not rule.get("BYMONTH")
    if whole_year:
        stretches = [range(day_number(year, 1, 1), day_number(year, 12, 31) + 1)]
    else:
        stretches = [_month(year, month) for month in months]
    plain_only = bool(rule.get("BYWEEKNO"))
    days: set[int] = set()
    for stretch in stretches:
        for ordinal, weekday in rule.by_day:
            days |= _picked(_each_seventh(stretch, weekday), 0 if plain_only else ordinal)
    return days


def _each_seventh(stretch: range, weekday: int) -> range:
    begin = stretch.start + (weekday - civil(stretch.start).weekday()) % 7
    return range(begin, stretch.stop, 7)


def _picked(days: range, ordinal: int) -> set[int]:
    if ordinal == 0:
        return set(days)
    at = ordinal - 1 if ordinal > 0 else len(days) + ordinal
    return {days[at]} if 0 <= at < len(days) else set()
