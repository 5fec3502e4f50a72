"""The values of a calendar file: what was read (`Calendar`, `Series`, `Event`) and what comes of it (`Item`).

Decides nothing but the order of versions of one event; refuses nothing.
"""

from datetime import datetime, tzinfo

from msgspec import Struct


class Problem(Struct, frozen=True):
    """Something in a file that was skipped or read in a way its producer may not have meant.

    `place` names the component and its line ("VEVENT 3 (line 41)"), `reason` is a fixed word; neither holds contents.
    """

    place: str
    reason: str


class Person(Struct, frozen=True):
    """A name and an address, each empty where the file has none."""

    name: str
    address: str


class Item(Struct, frozen=True, kw_only=True):
    """One instance, as calendarView lists it. `start` and `end` are UTC seconds, half-open.

    An all-day item has the midnights of its dates written as if in UTC, the end exclusive; the mailbox's zone places
    it. `type` is singleInstance, occurrence or exception; `show_as` is one of Graph's words.
    """

    item_id: str
    series_id: str | None = None
    type: str = "singleInstance"
    all_day: bool = False
    start: int
    end: int
    show_as: str = "busy"
    sensitivity: str = "normal"
    cancelled: bool = False
    response: str = "none"
    is_organizer: bool = True
    subject: str = ""
    body: str = ""
    location: str = ""
    categories: tuple[str, ...] = ()
    organizer: Person | None = None
    attendees: tuple[Person, ...] = ()
    join_url: str = ""


class Moment(Struct, frozen=True):
    """A point of the calendar: a wall time in a zone. A date is its midnight; `date_only` tells the two apart."""

    wall: datetime
    zone: tzinfo
    date_only: bool = False
    utc: bool = False
    floating: bool = False


class Length(Struct, frozen=True):
    """How long an event lasts: whole days by the calendar, then seconds that really pass (RFC 5545 3.3.6)."""

    days: int = 0
    seconds: int = 0


class Rule(Struct, frozen=True, kw_only=True):
    """One RRULE or EXRULE. `by` holds dateutil's by* arguments; `until` is the last moment allowed, inclusive."""

    freq: int
    interval: int = 1
    count: int | None = None
    until: Moment | None = None
    week_start: int = 0
    skip: str = "OMIT"
    by: tuple[tuple[str, tuple[int, ...]], ...] = ()
    weekdays: tuple[tuple[int, int], ...] = ()  # (weekday, which one of the period; 0 for every one)


class Addition(Struct, frozen=True):
    """One RDATE: a further start, and how long that instance lasts where the file says so (a PERIOD)."""

    start: Moment
    length: Length | None = None


class Event(Struct, frozen=True, kw_only=True):
    """One VEVENT: a master, a single event, or the override of one instance (`recurrence_id`)."""

    place: str
    uid: str
    version: tuple[int, str, int]  # SEQUENCE, the later of DTSTAMP and LAST-MODIFIED, place in the file
    start: Moment
    length: Length
    recurrence_id: Moment | None = None
    and_future: bool = False
    rules: tuple[Rule, ...] = ()
    exception_rules: tuple[Rule, ...] = ()
    additions: tuple[Addition, ...] = ()
    exclusions: tuple[Moment, ...] = ()
    shown: Item

    @property
    def all_day(self) -> bool:
        """Whether it lasts whole dates."""
        return self.start.date_only


class Series(Struct, frozen=True):
    """All that a file says under one UID: the newest master, if any, and the newest override of each instance."""

    series_id: str
    master: Event | None
    overrides: tuple[Event, ...] = ()


class Calendar(Struct, frozen=True):
    """What one file gave, and what was added or taken away since.

    `placed` are items put there one by one, `hidden` the ids of items or series that are no longer shown.
    """

    time_zone: str
    series: tuple[Series, ...] = ()
    problems: tuple[Problem, ...] = ()
    placed: tuple[Item, ...] = ()
    hidden: frozenset[str] = frozenset()


def newest(events: list[Event]) -> Event:
    """Return the newest version of one event: higher SEQUENCE, then the later stamp, then the later in the file."""
    return max(events, key=lambda event: event.version)
