"""Turns Graph's events into raw ones: times parsed, words unjudged.

It refuses a time it cannot place with certainty, and never decodes what the policy did not ask for. Decoded values
hold no references in circles, so the garbage collector need not follow them (gc=False).
"""

import re
from datetime import datetime
from functools import lru_cache
from typing import Final

from msgspec import Struct, field

from shared import zones
from shared.contracts.messages import RawDetails, RawEvent
from shared.contracts.values import DAY, LATEST

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 -- Graph prints times without an offset, the zone beside them
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME: Final = re.compile(r"(T\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z?", re.ASCII)


class Moment(Struct, frozen=True, rename="camel", gc=False):
    """Graph's dateTimeTimeZone: 2026-03-01T09:00:00.0000000 and the name of a zone."""

    date_time: str
    time_zone: str | None = None


class Response(Struct, frozen=True, gc=False):
    """The mailbox owner's answer to an invitation."""

    response: str | None = None


class TimesOnly(Struct, frozen=True, rename="camel", kw_only=True, gc=False):
    """An event as far as free/busy needs it."""

    start: Moment
    end: Moment
    show_as: str | None = None
    is_all_day: bool | None = None
    is_cancelled: bool | None = None
    response_status: Response | None = None

    def details(self) -> RawDetails | None:
        """Return nothing: nothing was asked for."""
        return None

    @property
    def sensitivity_word(self) -> str:
        """Return the default: not asked for, because it changes nothing under free/busy."""
        return "normal"


class EmailAddress(Struct, frozen=True, gc=False):
    """A name and an address, either of which may be missing."""

    name: str | None = None
    address: str | None = None


class Person(Struct, frozen=True, rename="camel", gc=False):
    """An organizer or an attendee."""

    email_address: EmailAddress | None = None


class Place(Struct, frozen=True, rename="camel", gc=False):
    """A location by its name."""

    display_name: str | None = None


class OnlineMeeting(Struct, frozen=True, rename="camel", gc=False):
    """The link to join by."""

    join_url: str | None = None


class WithDetails(TimesOnly, frozen=True, rename="camel", kw_only=True, gc=False):
    """An event with what the details policy publishes."""

    id: str = ""
    sensitivity: str | None = None
    subject: str | None = None
    organizer: Person | None = None
    attendees: list[Person] | None = None
    location: Place | None = None
    body_preview: str | None = None
    online_meeting: OnlineMeeting | None = None

    def details(self) -> RawDetails | None:
        """Return the details as plain texts, empty where Graph has none."""
        people = (_person(attendee) for attendee in self.attendees or ())
        return RawDetails(
            event_id=self.id,
            subject=self.subject or "",
            organizer=_person(self.organizer),
            attendees=tuple(text for text in people if text),
            location=(self.location and self.location.display_name) or "",
            preview=self.body_preview or "",
            join_url=(self.online_meeting and self.online_meeting.join_url) or "",
        )

    @property
    def sensitivity_word(self) -> str:
        """Return Graph's word; where it is missing the event counts as private."""
        return self.sensitivity or "private"


class Page(Struct, frozen=True):
    """One page of a calendar view under free/busy; without `value` it is no page."""

    value: list[TimesOnly]
    next_link: str | None = field(default=None, name="@odata.nextLink")


class PageWithDetails(Struct, frozen=True):
    """One page of a calendar view under the details policy."""

    value: list[WithDetails]
    next_link: str | None = field(default=None, name="@odata.nextLink")


def raw(event: TimesOnly) -> RawEvent:
    """Return the event with its times as UTC seconds, or its dates as midnights written as if in UTC if all-day.

    Starts are rounded down and ends up to whole seconds. Raises ValueError for a time that cannot be placed.
    """
    all_day = event.is_all_day is True
    if all_day:
        start, end = _wall_seconds(event.start, up=False), _wall_seconds(event.end, up=True)
        start, end = start - start % DAY, end + -end % DAY
    else:
        start, end = seconds(event.start, up=False), seconds(event.end, up=True)
    return RawEvent(
        start,
        min(LATEST, end),
        event.show_as or "unknown",
        event.sensitivity_word,
        all_day,
        event.is_cancelled is True,
        (event.response_status and event.response_status.response) or "",
        event.details(),
    )


def seconds(moment: Moment, *, up: bool) -> int:
    """Return a moment as UTC seconds, rounded up or down. Raises ValueError for a zone or a form not known."""
    name = moment.time_zone or "UTC"
    wall = _wall_seconds(moment, up=up)
    if name == "UTC":
        return wall
    zone = zones.resolve(name)
    if zone is None:
        raise ValueError("the zone of a time is not known")
    offset = zone.utcoffset(datetime.fromisoformat(moment.date_time[:19]))
    if offset is None:
        raise ValueError("the zone of a time is not known")
    return wall - int(offset.total_seconds())


def _wall_seconds(moment: Moment, *, up: bool) -> int:
    """Return a printed time as if it were UTC. A calendar has few dates and fewer times of day: both are kept."""
    printed = moment.date_time
    return _midnight(printed[:10]) + _time_of_day(printed[10:], up)


@lru_cache(maxsize=16_384)
def _midnight(printed: str) -> int:
    if _DATE.fullmatch(printed) is None:
        raise ValueError("a date has another form")
    return (datetime.fromisoformat(printed) - _EPOCH).days * DAY


@lru_cache(maxsize=4096)
def _time_of_day(printed: str, up: bool) -> int:  # noqa: FBT001 -- a key of the cache, and private
    match = _TIME.fullmatch(printed)
    if match is None:
        raise ValueError("a time has another form")
    since = datetime.fromisoformat(f"1970-01-01{match[1]}") - _EPOCH
    return since.seconds + (up and match[2] is not None and match[2].strip("0") != "")


def _person(person: Person | None) -> str:
    if person is None or person.email_address is None:
        return ""
    return person.email_address.address or person.email_address.name or ""
