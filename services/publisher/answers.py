"""What HTTP requests are answered with and what they may bring: closed values, from which the OpenAPI page is built."""

from typing import Annotated, Literal

from msgspec import Meta, field

from shared.contracts.public import BusyBlock, EventDetails, Moment, PublicMessage, Span, WeeklyHours
from shared.contracts.values import Address, Bucket, Coverage, Kind, MailboxId, OrgId, Reason, Version

MOST_ASKED = 1000
Count = Annotated[int, Meta(ge=0)]
Privacy = Literal["free-busy", "details"]
Zoned = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, description="RFC 3339 with its offset.")]
FeedId = Annotated[str, Meta(examples=["0123456789abcdef0123456789abcdef"])]
Minutes = Annotated[int, Meta(ge=5, le=1440, description="Minutes of a slot.")]
View = Annotated[
    str,
    Meta(
        pattern=r"^[0-3]*$",
        description="A digit for each slot from `from` on: 0 free or working elsewhere, 1 tentative, 2 busy or of a "
        "status unknown to Microsoft itself, 3 out of office; the highest within the slot.",
        examples=["22222222"],
    ),
]


class MailboxEntry(PublicMessage, frozen=True, kw_only=True, omit_defaults=True):
    """A mailbox of an org, read or not. Without `as_of` and `version` nothing was ever published of it.

    An erased mailbox is named by its id. `waiting` says why its reading is to be tried again, `next_try_at` when that
    is; `subscribed`: hints of changes are promised at present. `failures` counts those in a row.
    """

    mailbox_id: MailboxId
    mailbox: Address
    kind: Kind
    bucket: Bucket
    coverage: Coverage
    reason: Reason | None = None
    as_of: Moment | None = None
    version: Version | None = None
    waiting: Reason | None = None
    next_try_at: Moment | None = None
    subscribed: bool = False
    failures: Count = 0


class MailboxPage(PublicMessage, frozen=True, kw_only=True):
    """One page of an org's mailboxes; `next` goes into the parameter `cursor`, and is null on the last page."""

    mailboxes: tuple[MailboxEntry, ...]
    next: str | None


class Availability(PublicMessage, frozen=True, kw_only=True, omit_defaults=True):
    """In [from, to) this mailbox's blocks are exactly `busy`; every update up to `position` is in it.

    Without `working_hours` they are not known; `availability_view` is there where `interval` was asked for.
    """

    org_id: OrgId
    mailbox_id: MailboxId
    mailbox: Address
    time_zone: str
    version: Version
    as_of: Moment
    coverage: Literal["full"]
    privacy: Privacy
    window: Span
    start: Moment = field(name="from")
    end: Moment = field(name="to")
    busy: tuple[BusyBlock, ...]
    events: tuple[EventDetails, ...] | None = None
    interval: Minutes | None = None
    availability_view: View | None = None
    working_hours: WeeklyHours | None = None
    position: Count


class FreeBusyAsked(PublicMessage, frozen=True, kw_only=True):
    """Asks for several mailboxes at once, by address or by mailbox id; the time asked for is at most 62 days.

    With an `interval` each answer has an `availability_view`; all together they have at most 4,000,000 digits.
    """

    mailboxes: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=320)], ...], Meta(min_length=1, max_length=MOST_ASKED)
    ]
    start: Zoned = field(name="from")
    end: Zoned = field(name="to")
    interval: Minutes | None = None


class FreeBusyError(PublicMessage, frozen=True, kw_only=True, omit_defaults=True):
    """Why there is no answer for a mailbox; `window` is what is covered, where the time asked for is not."""

    code: Literal["mailbox_unknown", "availability_unknown", "outside_window"]
    reason: Reason | None = None
    window: Span | None = None


class FreeBusy(PublicMessage, frozen=True, kw_only=True, omit_defaults=True):
    """One mailbox's answer: either `busy`, complete for the time asked for, or `error`; never both, never neither."""

    mailbox: str
    busy: tuple[BusyBlock, ...] | None = None
    error: FreeBusyError | None = None
    availability_view: View | None = None
    working_hours: WeeklyHours | None = None
    time_zone: str | None = None
    as_of: Moment | None = None
    version: Version | None = None


class FreeBusyAnswer(PublicMessage, frozen=True, kw_only=True, omit_defaults=True):
    """One answer for each mailbox, in the order asked."""

    start: Moment = field(name="from")
    end: Moment = field(name="to")
    interval: Minutes | None = None
    mailboxes: tuple[FreeBusy, ...]


class FeedMade(PublicMessage, frozen=True, kw_only=True):
    """A new feed. `path` is its secret address on this server: whoever knows it reads it, and it is not shown again."""

    feed: FeedId
    mailbox_id: MailboxId
    created_at: Moment
    path: Annotated[str, Meta(examples=["/v1/calendars/WORDWORDWORDWORDWORDWORDWORDWORDWORDWORDWOR.ics"])]


class FeedEntry(PublicMessage, frozen=True, kw_only=True):
    """A feed that was made; its address cannot be shown again."""

    feed: FeedId
    mailbox_id: MailboxId
    created_at: Moment


class Feeds(PublicMessage, frozen=True, kw_only=True):
    """A consumer's feeds of one org, oldest first."""

    feeds: tuple[FeedEntry, ...]


class Enumeration(PublicMessage, frozen=True, kw_only=True, omit_defaults=True):
    """How the last search for the org's mailboxes goes."""

    started_at: Moment
    finished_at: Moment | None = None
    paused_until: Moment | None = None
    last_error: str | None = None
    last_error_at: Moment | None = None


class CoverageCounts(PublicMessage, frozen=True, kw_only=True):
    """Of the mailboxes to be read: how many are known, and how many are not."""

    full: Count
    unknown: Count


class Reading(PublicMessage, frozen=True, kw_only=True):
    """The first reading: how many of the mailboxes to be read were read at least once under the present generation."""

    done: Count
    of: Count


class Held(PublicMessage, frozen=True, kw_only=True):
    """A removal of so many mailboxes at once that it waits for an operator's word."""

    removal: Count
    of: Count


class Subscriptions(PublicMessage, frozen=True, kw_only=True):
    """Of how many mailboxes Microsoft is asked to send hints, for how many it does; `reasons` counts why not."""

    wanted: Count
    live: Count
    reasons: dict[str, Count]


class OrgStatus(PublicMessage, frozen=True, kw_only=True, omit_defaults=True):
    """How an org does. `errors` counts the mailboxes that cannot be read by their reasons.

    In the state `attention` Microsoft turns the org away: `reason` and `sentence` say what its admin must do. `waiting`
    counts the mailboxes whose reading is to be tried again by reasons. No mailbox is known as of an earlier instant
    than `oldest_as_of`, of those that are read and known.
    """

    org_id: OrgId
    state: str
    generation: int
    reason: str | None = None
    sentence: str | None = None
    connected_at: Moment | None = None
    buckets: dict[str, Count]
    coverage: CoverageCounts
    errors: dict[str, Count]
    first_reading: Reading
    enumeration: Enumeration | None = None
    held: Held | None = None
    waiting: dict[str, Count]
    subscriptions: Subscriptions
    oldest_as_of: Moment | None = None
