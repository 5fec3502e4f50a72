"""Decides which occurrences a series has, and what overrides make of them (RFC 5545 3.8.4.4, 3.8.5).

Refuses to count past LIMIT occurrences of one rule, so that a rule by the second ends.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from tests.independent.events import Event, Extra, Moment
from tests.independent.recurrence import Span, walls
from tests.independent.rules import Rule
from tests.independent.values import DAY, Length, read_written
from tests.independent.zones import UNIVERSAL, first_instant

LIMIT = 500_000
Key = tuple[str, int]


class Occurrence(NamedTuple):
    """One instance: its wall clock in the series' zone, and the instants it lasts from and to."""

    wall: int
    begin: int
    end: int


class Busy(NamedTuple):
    """What an instance contributes: UTC seconds [begin, end) and a status."""

    begin: int
    end: int
    status: str


def busy_of_series(masters: list[Event], overrides: list[Event], window: Span) -> Iterator[Busy]:
    """Yield what all events of one UID contribute, clipped to nothing: callers clip."""
    current = _newest(overrides)
    for override in current:
        if override.status:
            alone = place(override, override.start.wall)
            yield Busy(alone.begin, alone.end, override.status)
    for master in _newest(masters):
        if not _can_contribute(master, current):
            continue
        replaced = {_key(master, override.recurrence_id) for override in current if override.recurrence_id}
        followers = sorted(
            (override for override in current if override.and_future), key=lambda event: _original(event).instant
        )
        for occurrence in occurrences(master, _widened(window, followers)):
            if not replaced or replaced.isdisjoint(_keys(occurrence)):
                yield from _contribution(master, occurrence, followers)


def _can_contribute(master: Event, overrides: list[Event]) -> bool:
    ranged = any(override.and_future for override in overrides)
    lasts = master.length > (0, 0) or any(extra.seconds for extra in master.extras)
    return ranged or (lasts and master.status is not None)


def occurrences(event: Event, window: Span) -> list[Occurrence]:
    """Return the instances that may touch the window, before overrides."""
    reach = event.length.days * DAY + event.length.seconds + 3 * DAY
    span = Span(window.low - reach, window.high + 3 * DAY)
    found = {event.start.wall: place(event, event.start.wall)}
    for rule in event.rules:
        found |= {wall: place(event, wall) for wall in ruled(rule, event, span)}
    for extra in sorted(event.extras, key=lambda extra: extra.seconds or 0):
        occurrence = _extra(event, extra)
        found[occurrence.wall] = occurrence
    for rule in event.exception_rules:
        for wall in ruled(rule, event, span):
            found.pop(wall, None)
    excluded = {_key(event, moment) for moment in event.exceptions}
    return [found[wall] for wall in found if not excluded or excluded.isdisjoint(_keys(found[wall]))]


def ruled(rule: Rule, event: Event, span: Span) -> Iterator[int]:
    """Yield the wall clocks a rule itself names from the start on. A start the rule misses is not counted by COUNT."""
    if rule.until:
        span = Span(span.low, min(span.high, read_written(rule.until).wall + 3 * DAY))
    for wall in islice(walls(rule, event.start.wall, span), rule.count or LIMIT):
        if _within_until(rule, event, wall):
            yield wall


def place(event: Event, wall: int) -> Occurrence:
    """Place an instance: whole days from local midnight to local midnight, timed ones by exact elapsed time."""
    return _placed(event.start, wall, event.length)


def _placed(start: Moment, wall: int, length: Length) -> Occurrence:
    if start.is_date:
        begin = first_instant(start.zone, wall)
        return Occurrence(wall, begin, first_instant(start.zone, wall + length.days * DAY) + length.seconds)
    begin = start.zone.instant(wall)
    return Occurrence(wall, begin, begin + length.seconds)


def _within_until(rule: Rule, event: Event, wall: int) -> bool:
    if not rule.until:
        return True
    until = read_written(rule.until)
    if until.is_date or (event.start.is_date and not until.is_utc):
        return wall // DAY <= until.wall // DAY
    if not until.is_utc:
        return wall <= until.wall
    return place(event, wall).begin <= until.wall


def _extra(event: Event, extra: Extra) -> Occurrence:
    if extra.start.is_date:
        return place(event, extra.start.wall + event.start.wall % DAY)
    zone, begin = event.start.zone, extra.start.instant
    wall = begin + zone.offset(begin)
    if extra.seconds is not None:
        return Occurrence(wall, begin, begin + extra.seconds)
    days = zone.instant(wall + event.length.days * DAY) - begin if event.length.days else 0
    return Occurrence(wall, begin, begin + days + event.length.seconds)


def _day(event: Event, moment: Moment) -> int:
    if moment.zone is UNIVERSAL and not moment.is_date:
        return (moment.wall + event.start.zone.offset(moment.wall)) // DAY
    return moment.wall // DAY


def _key(event: Event, moment: Moment) -> Key:
    if event.start.is_date or moment.is_date:
        return ("day", _day(event, moment))
    return ("at", moment.instant)


def _keys(occurrence: Occurrence) -> tuple[Key, Key]:
    return ("day", occurrence.wall // DAY), ("at", occurrence.begin)


def _newest(events: list[Event]) -> list[Event]:
    # RFC 5545 3.8.7.4: a higher SEQUENCE revises the same event or instance; equals cannot be told apart and all stay.
    highest: dict[Key, int] = {}
    for event in events:
        highest[_identity(event)] = max(event.sequence, highest.get(_identity(event), 0))
    return [event for event in events if event.sequence == highest[_identity(event)]]


def _identity(event: Event) -> Key:
    if event.recurrence_id is None:
        return ("series", 0)
    original = event.recurrence_id
    return ("day", original.wall) if original.is_date else ("at", original.instant)


def _original(override: Event) -> Moment:
    return override.recurrence_id or override.start


def _shift(master: Event, follower: Event) -> int:
    original = _original(follower)
    if master.start.is_date:
        return (_day(master, follower.start) - _day(master, original)) * DAY
    return _wall_in(master, follower.start) - _wall_in(master, original)


def _wall_in(master: Event, moment: Moment) -> int:
    return moment.instant + master.start.zone.offset(moment.instant)


def _widened(window: Span, followers: Iterable[Event]) -> Span:
    margin = 0
    for follower in followers:
        length = follower.length.days * DAY + follower.length.seconds
        margin = max(margin, length + abs(follower.start.instant - _original(follower).instant) + 2 * DAY)
    return Span(window.low - margin, window.high + margin)


def _contribution(master: Event, occurrence: Occurrence, followers: list[Event]) -> Iterator[Busy]:
    status = master.status
    for follower in reversed(followers):
        if _original(follower).instant <= occurrence.begin:
            wall = occurrence.wall + _shift(master, follower)
            occurrence, status = _placed(master.start, wall, follower.length), follower.status
            break
    if status:
        yield Busy(occurrence.begin, occurrence.end, status)
