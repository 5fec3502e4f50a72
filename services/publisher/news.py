"""Writes what consumers are told: the public bodies of the update log, built field by field.

It decides nothing about whether something is told; that is `changes` and `plan`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args

import msgspec

from services.publisher.moments import moment
from services.publisher.timeline import Timeline
from shared.contracts.messages import PublicEvent
from shared.contracts.public import (
    AvailabilityUpdated,
    BusyBlock,
    EventDetails,
    MailboxRemoved,
    OrgRemoved,
    Span,
    Weekday,
    WeeklyHours,
    WeeklyPeriod,
)
from shared.contracts.values import Block, Coverage, Instant, Window, WorkingHours

UPDATED = "availability.updated.v1"
REMOVED = "mailbox.removed.v1"
ORG_REMOVED = "org.removed.v1"
_DAYS: tuple[Weekday, ...] = get_args(Weekday)
_ENCODER = msgspec.json.Encoder()


def told_of_changes(timeline: Timeline, ranges: Iterable[Window], *, now: Instant) -> Iterator[dict[str, Any]]:
    """Yield one row of the update log for each range that changed."""
    for span in ranges:
        yield _row(timeline, UPDATED, _ENCODER.encode(update(timeline, span)), now)


def told_of_removal(last: Timeline, reason: str, *, now: Instant) -> dict[str, Any]:
    """Return the row of the update log that tells consumers to drop a mailbox. `last` is what was published of it."""
    body = MailboxRemoved(org_id=last.org_id, mailbox_id=last.mailbox_id, mailbox=last.address, reason=reason)
    return _row(last, REMOVED, _ENCODER.encode(body), now)


def told_of_departure(org_id: str, generation: int, *, now: Instant) -> dict[str, Any]:
    """Return the row of the update log that tells consumers to drop an org. It is of no mailbox."""
    return {
        "org_id": org_id,
        "mailbox_id": "",
        "generation": generation,
        "type": ORG_REMOVED,
        "created_at": now,
        "body": _ENCODER.encode(OrgRemoved(org_id=org_id)),
    }


def update(timeline: Timeline, span: Window) -> AvailabilityUpdated:
    """Return what a consumer is told of one range of a timeline."""
    return AvailabilityUpdated(
        org_id=timeline.org_id,
        mailbox_id=timeline.mailbox_id,
        mailbox=timeline.address,
        time_zone=timeline.time_zone,
        version=timeline.version,
        as_of=moment(timeline.as_of),
        coverage=timeline.coverage,
        privacy=privacy(timeline),
        window=Span(start=moment(timeline.window.start), end=moment(timeline.window.end)),
        start=moment(span.start),
        end=moment(span.end),
        busy=busy(timeline.blocks, span),
        events=events(timeline.events, span),
        working_hours=weekly(timeline.working_hours),
        reason=timeline.reason if timeline.coverage is Coverage.UNKNOWN else None,
    )


def privacy(timeline: Timeline) -> Literal["free-busy", "details"]:
    """Say how much is shown of this mailbox's events."""
    return "free-busy" if timeline.events is None else "details"


def busy(blocks: tuple[Block, ...], span: Window) -> tuple[BusyBlock, ...]:
    """Return the blocks of a sorted line within a span, clipped to it."""
    first = bisect_right(blocks, span.start, key=_end)
    after = bisect_left(blocks, span.end, key=_start)
    return tuple(
        BusyBlock(start=moment(max(block.start, span.start)), end=moment(min(block.end, span.end)), status=block.status)
        for block in blocks[first:after]
    )


def events(shown: tuple[PublicEvent, ...] | None, span: Window) -> tuple[EventDetails, ...] | None:
    """Return the events that share time with a span, each with its own times; None under free/busy."""
    if shown is None:
        return None
    return tuple(_details(event) for event in shown if event.start < span.end and span.start < event.end)


def weekly(hours: WorkingHours | None) -> WeeklyHours | None:
    """Return working hours as consumers see them: days with the same hours together; None where they are not known."""
    if hours is None:
        return None
    days: dict[tuple[int, int], list[Weekday]] = {}
    for each in hours.periods:
        days.setdefault((each.start, each.end), []).append(_DAYS[each.day])
    periods = (WeeklyPeriod(days=tuple(on), start=_clock(start), end=_clock(end)) for (start, end), on in days.items())
    return WeeklyHours(time_zone=hours.time_zone or "UTC", periods=tuple(periods))


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _details(event: PublicEvent) -> EventDetails:
    return EventDetails(
        start=moment(event.start),
        end=moment(event.end),
        status=event.status,
        all_day=event.all_day,
        private=event.private,
        event_id=event.event_id,
        subject=event.subject,
        organizer=event.organizer,
        attendees=event.attendees,
        location=event.location,
        preview=event.preview,
        join_url=event.join_url,
        provider=event.provider,
    )


def _row(timeline: Timeline, kind: str, body: bytes, now: Instant) -> dict[str, Any]:
    return {
        "org_id": timeline.org_id,
        "mailbox_id": timeline.mailbox_id,
        "generation": timeline.generation,
        "type": kind,
        "created_at": now,
        "body": body,
    }


def _start(block: Block) -> Instant:
    return block.start


def _end(block: Block) -> Instant:
    return block.end
