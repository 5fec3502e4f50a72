"""What consumers receive: CloudEvents 1.0 in structured mode, with closed schemas; nothing here is private.

Instants are RFC 3339 in UTC; intervals are half-open, [from, to).
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from shared.contracts.values import Address, Coverage, MailboxId, OrgId, Status, Version

Moment = Annotated[
    str,
    Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$", description="RFC 3339, UTC, seconds."),
]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Position = Annotated[int, Meta(ge=1, description="Place in the update log; rises with every published change.")]


class PublicMessage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mark of a value that may leave the deployment."""


class BusyBlock(PublicMessage, frozen=True, kw_only=True):
    """One half-open interval of one status."""

    start: Moment
    end: Moment
    status: Status


class EventDetails(PublicMessage, frozen=True, kw_only=True, omit_defaults=True):
    """One event under the details policy; a private one has only its times, its status and `private`.

    `provider` is whose online meeting `join_url` joins: teams, skype, zoom, google_meet, webex, goto or other.
    """

    start: Moment
    end: Moment
    status: str
    all_day: bool = False
    private: bool = False
    event_id: str = ""
    subject: str = ""
    organizer: str = ""
    attendees: tuple[str, ...] = ()
    location: str = ""
    preview: str = ""
    join_url: str = ""
    provider: str = ""


class Span(PublicMessage, frozen=True, kw_only=True):
    """A half-open span of time."""

    start: Moment
    end: Moment


class WeeklyPeriod(PublicMessage, frozen=True, kw_only=True):
    """Working time from `start` to `end` (hours and minutes, 24:00 for the end of the day) on each of these days."""

    days: tuple[Weekday, ...]
    start: Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    end: Annotated[str, Meta(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]


class WeeklyHours(PublicMessage, frozen=True, kw_only=True):
    """When somebody works, by the clock of an IANA time zone. They say nothing of being free or busy."""

    time_zone: str
    periods: tuple[WeeklyPeriod, ...]


class AvailabilityUpdated(PublicMessage, frozen=True, kw_only=True, omit_defaults=True):
    """In [from, to) this mailbox's blocks are exactly `busy`; apply it by replacing that range.

    Outside `window` nothing is known, nor of `working_hours` where they are absent. Where `coverage` is unknown,
    `reason` says why and nothing in the range holds.
    """

    org_id: OrgId
    mailbox_id: MailboxId
    mailbox: Address
    time_zone: str
    version: Version
    as_of: Moment
    coverage: Coverage
    privacy: Literal["free-busy", "details"]
    window: Span
    start: Moment = field(name="from")
    end: Moment = field(name="to")
    busy: tuple[BusyBlock, ...]
    events: tuple[EventDetails, ...] | None = None
    working_hours: WeeklyHours | None = None
    reason: str | None = None


class MailboxRemoved(PublicMessage, frozen=True, kw_only=True):
    """Says: the mailbox is no longer read; drop what you hold of it."""

    org_id: OrgId
    mailbox_id: MailboxId
    mailbox: Address
    reason: str


class OrgRemoved(PublicMessage, frozen=True, kw_only=True):
    """Says: the organisation left; drop everything you hold of it. Nothing of it follows, unless it connects anew."""

    org_id: OrgId
    reason: Literal["disconnected"] = "disconnected"


class CloudEvent(PublicMessage, frozen=True, kw_only=True):
    """The envelope (CloudEvents 1.0, JSON format, structured mode). `sequence` is the zero-padded log position."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: Literal["availability.updated.v1", "mailbox.removed.v1", "org.removed.v1"]
    subject: str
    time: Moment
    datacontenttype: Literal["application/json"] = "application/json"
    orgid: OrgId
    sequence: Annotated[str, Meta(pattern=r"^[0-9]{19}$")]
    data: AvailabilityUpdated | MailboxRemoved | OrgRemoved
