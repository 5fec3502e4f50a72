"""What Graph's getSchedule asks and answers, as closed values in its own words; and a mailbox's answer in them.

It refuses to give an empty list or view where nothing is known: such a schedule has `error`, and nothing beside it.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct

from services.publisher import news
from services.publisher.answers import MOST_ASKED, FreeBusyError, View
from services.publisher.timeline import Timeline
from services.publisher.views import availability_view
from services.publisher.walls import wall
from shared import zones
from shared.contracts.messages import PublicEvent
from shared.contracts.public import PublicMessage, Weekday, WeeklyHours
from shared.contracts.values import Instant, Window

GraphStatus = Literal["free", "tentative", "busy", "oof", "workingElsewhere", "unknown"]
_STATUSES: Final[dict[str, GraphStatus]] = {
    "free": "free",
    "tentative": "tentative",
    "busy": "busy",
    "oof": "oof",
    "elsewhere": "workingElsewhere",
}
# Exchange's response codes: the nearest of those that getSchedule gives.
_CODES: Final = {
    "mailbox_unknown": ("ErrorMailRecipientNotFound", "There is no such mailbox."),
    "availability_unknown": ("ErrorFreeBusyGenerationFailed", "It is not known when this mailbox is busy"),
    "outside_window": ("ErrorInvalidTimeInterval", "The time asked for is not covered"),
}


_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?(Z|[+-][0-9]{2}:[0-9]{2})?$"
_Name = Annotated[str, Meta(min_length=1, max_length=320, examples=["person0001@contoso.com"])]


class ZonedTime(PublicMessage, frozen=True, kw_only=True, rename="camel"):
    """A time by the clock of a zone: an IANA or a Windows name. An offset in `dateTime` goes before the zone."""

    date_time: Annotated[str, Meta(pattern=_TIME, examples=["2026-03-02T10:00:00.0000000"])]
    time_zone: Annotated[str, Meta(max_length=128, examples=["W. Europe Standard Time"])] = "UTC"


class ScheduleAsked(PublicMessage, frozen=True, kw_only=True, rename="camel"):
    """Graph's request; the names of its members may begin with a capital letter."""

    schedules: Annotated[tuple[_Name, ...], Meta(min_length=1, max_length=MOST_ASKED)]
    start_time: Annotated[ZonedTime, Meta(examples=[{"dateTime": "2026-03-02T08:00:00", "timeZone": "Europe/Berlin"}])]
    end_time: Annotated[ZonedTime, Meta(examples=[{"dateTime": "2026-03-02T16:00:00", "timeZone": "Europe/Berlin"}])]
    availability_view_interval: Annotated[
        Annotated[int, Meta(ge=5, le=1440)] | Annotated[str, Meta(pattern=r"^[0-9]{1,4}$")], Meta(examples=[60])
    ] = 30


class ScheduleItem(PublicMessage, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Under free/busy a block within the time asked for; under details an event with its own times.

    A private event has only these, `status` and `isPrivate`. Without `isPrivate` nothing is told of it.
    """

    status: GraphStatus
    start: ZonedTime
    end: Annotated[
        ZonedTime, Meta(examples=[{"dateTime": "2026-03-02T11:00:00.0000000", "timeZone": "W. Europe Standard Time"}])
    ]
    subject: str | None = None
    location: str | None = None
    is_private: bool | None = None


class NamedZone(PublicMessage, frozen=True, kw_only=True):
    """A time zone by its Windows name, or its IANA name where no Windows name means the same."""

    name: Annotated[str, Meta(examples=["W. Europe Standard Time"])]


class ScheduleHours(PublicMessage, frozen=True, kw_only=True, rename="camel"):
    """Working hours that are alike on each of these days."""

    days_of_week: tuple[Weekday, ...]
    start_time: Annotated[str, Meta(examples=["08:00:00.0000000"])]
    end_time: Annotated[str, Meta(examples=["17:00:00.0000000"])]
    time_zone: NamedZone


class ScheduleError(PublicMessage, frozen=True, kw_only=True, rename="camel"):
    """Why there is no answer: Exchange's nearest response code; the message ends with our own words for it."""

    message: str
    response_code: str


class Schedule(PublicMessage, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One schedule: a view and items, or an error. Without `workingHours` they are not known, or differ by the day."""

    schedule_id: _Name
    availability_view: View | None = None
    schedule_items: tuple[ScheduleItem, ...] | None = None
    working_hours: ScheduleHours | None = None
    error: ScheduleError | None = None


class Schedules(PublicMessage, frozen=True, kw_only=True):
    """One schedule for each one asked about, in that order."""

    value: tuple[Schedule, ...]


class Clock(Struct, frozen=True):
    """The zone an answer is written in, and the name it was asked for by."""

    zone: ZoneInfo
    name: str

    def at(self, instant: Instant) -> ZonedTime:
        """Return an instant by this clock, in Graph's way."""
        return _at(instant, self.zone, self.name)


@lru_cache(maxsize=16_384)  # calendars meet on the same quarters of an hour: 6,000 of them in 62 days
def _at(instant: Instant, zone: ZoneInfo, name: str) -> ZonedTime:
    shown = wall(instant, zone).replace(tzinfo=None).isoformat(timespec="seconds")
    return ZonedTime(date_time=f"{shown}.0000000", time_zone=name)


def schedule(name: str, timeline: Timeline, span: Window, minutes: int, clock: Clock) -> Schedule:
    """Return a mailbox's schedule over a span that its window covers."""
    return Schedule(
        schedule_id=name,
        availability_view=availability_view(timeline.blocks, span, minutes),
        schedule_items=tuple(_items(timeline, span, clock)),
        working_hours=hours(news.weekly(timeline.working_hours)),
    )


def failed(name: str, refusal: FreeBusyError) -> Schedule:
    """Return the schedule of a mailbox that has no answer."""
    code, words = _CODES[refusal.code]
    message = f"{words} ({refusal.code}{f': {refusal.reason}' if refusal.reason else ''})"
    return Schedule(schedule_id=name, error=ScheduleError(message=message, response_code=code))


def hours(weekly: WeeklyHours | None) -> ScheduleHours | None:
    """Return working hours in Graph's shape, which has the same hours on every day; None where they do not fit."""
    if weekly is None or len(weekly.periods) != 1 or weekly.periods[0].end == "24:00":
        return None
    (period,) = weekly.periods
    return ScheduleHours(
        days_of_week=period.days,
        start_time=f"{period.start}:00.0000000",
        end_time=f"{period.end}:00.0000000",
        time_zone=NamedZone(name=zones.windows_name(weekly.time_zone)),
    )


def _items(timeline: Timeline, span: Window, clock: Clock) -> Iterator[ScheduleItem]:
    if timeline.events is None:
        for block in timeline.blocks:
            start, end = max(block.start, span.start), min(block.end, span.end)
            if start < end:
                yield ScheduleItem(status=_status(block.status), start=clock.at(start), end=clock.at(end))
        return
    for event in timeline.events:
        if event.start < span.end and span.start < event.end:
            yield _event(event, clock)


def _event(event: PublicEvent, clock: Clock) -> ScheduleItem:
    return ScheduleItem(
        status=_status(event.status),
        start=clock.at(event.start),
        end=clock.at(event.end),
        subject=event.subject or None,
        location=event.location or None,
        is_private=event.private,
    )


def _status(word: str) -> GraphStatus:
    return _STATUSES.get(word, "unknown")
