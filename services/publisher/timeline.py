"""What is published of one mailbox, as one value; and its row, as one compact line in the database.

Coverage unknown has neither blocks nor events. A mailbox no longer read leaves a gravestone: a row without address and
content, whose generation and version keep late messages from bringing it back.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from shared.contracts.messages import AvailabilitySnapshot, PublicEvent
from shared.contracts.values import Block, Bucket, Coverage, Instant, Window, WorkingHours

_BLOCKS = msgspec.json.Decoder(tuple[Block, ...])
_EVENTS = msgspec.json.Decoder(tuple[PublicEvent, ...])
_HOURS = msgspec.json.Decoder(WorkingHours)
_ENCODER = msgspec.json.Encoder()

GONE = frozenset({Bucket.REMOVED, Bucket.EXCLUDED, Bucket.GUEST, Bucket.NO_MAILBOX, Bucket.ON_PREMISES})

ERASED = "erased"  # the reason of a mailbox of which nothing but its id may be kept


class Timeline(Struct, frozen=True, kw_only=True):
    """A mailbox as published: `events` is None under free/busy, `reason` a fixed word where coverage is unknown."""

    org_id: str
    mailbox_id: str
    address: str
    generation: int
    version: int
    coverage: Coverage
    bucket: Bucket
    reason: str | None = None
    time_zone: str
    window: Window
    as_of: Instant
    blocks: tuple[Block, ...] = ()
    events: tuple[PublicEvent, ...] | None = None
    working_hours: WorkingHours | None = None

    @property
    def gone(self) -> bool:
        """Say whether this is a gravestone: the mailbox is not read (any more)."""
        return self.bucket in GONE

    @property
    def erased(self) -> bool:
        """Say whether nothing but the mailbox's id may be kept, or told."""
        return self.gone and self.reason == ERASED


def covered(snapshot: AvailabilitySnapshot) -> Timeline:
    """Return the timeline a snapshot stands for."""
    return Timeline(
        org_id=snapshot.org_id,
        mailbox_id=snapshot.mailbox.mailbox_id,
        address=snapshot.mailbox.address,
        generation=snapshot.generation,
        version=snapshot.version,
        coverage=Coverage.FULL,
        bucket=Bucket.ACTIVE,
        time_zone=snapshot.time_zone,
        window=snapshot.window,
        as_of=snapshot.as_of,
        blocks=snapshot.blocks,
        events=snapshot.events,
        working_hours=snapshot.mailbox.working_hours,
    )


def row_of(timeline: Timeline) -> dict[str, Any]:
    """Return a timeline as the values of its row."""
    return {
        "org_id": timeline.org_id,
        "mailbox_id": timeline.mailbox_id,
        "address": timeline.address,
        "generation": timeline.generation,
        "version": timeline.version,
        "coverage": timeline.coverage.value,
        "bucket": timeline.bucket.value,
        "reason": timeline.reason,
        "time_zone": timeline.time_zone,
        "window_start": timeline.window.start,
        "window_end": timeline.window.end,
        "as_of": timeline.as_of,
        "blocks": _ENCODER.encode(timeline.blocks),
        "events": None if timeline.events is None else _ENCODER.encode(timeline.events),
        "working_hours": None if timeline.working_hours is None else _ENCODER.encode(timeline.working_hours),
    }


def from_row(row: Mapping[str, Any]) -> Timeline:
    """Return the timeline of a row."""
    return Timeline(
        org_id=row["org_id"],
        mailbox_id=row["mailbox_id"],
        address=row["address"],
        generation=row["generation"],
        version=row["version"],
        coverage=Coverage(row["coverage"]),
        bucket=Bucket(row["bucket"]),
        reason=row["reason"],
        time_zone=row["time_zone"],
        window=Window(row["window_start"], row["window_end"]),
        as_of=row["as_of"],
        blocks=_BLOCKS.decode(row["blocks"]),
        events=None if row["events"] is None else _EVENTS.decode(row["events"]),
        working_hours=None if row["working_hours"] is None else _HOURS.decode(row["working_hours"]),
    )
