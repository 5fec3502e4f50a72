"""The small values that messages are made of: instants, intervals, statuses, buckets, mailboxes.

Instants inside the pipeline are whole seconds since 1970-01-01T00:00:00Z; intervals are half-open, [start, end).
"""

import re
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

EARLIEST = -62_135_596_800  # 0001-01-01T00:00:00Z
LATEST = 253_402_300_799  # 9999-12-31T23:59:59Z
DAY = 86_400

Instant = Annotated[int, Meta(ge=EARLIEST, le=LATEST, description="Seconds since 1970-01-01T00:00:00Z, UTC.")]
OrgId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
        description="The platform's own id of an organisation; no dots, so that it is one word of a routing key.",
    ),
]
MailboxId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$",
        description="The directory's stable id of a mailbox; no dots, so that it is one word of a routing key.",
    ),
]
Address = Annotated[str, Meta(min_length=3, max_length=320, description="A mailbox's SMTP address in lower case.")]
Generation = Annotated[int, Meta(ge=1, description="Raised by every connect, policy change and disconnect of an org.")]
Version = Annotated[int, Meta(ge=1, description="The number of a reading of one mailbox, taken when it starts.")]
Reason = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$", description="A fixed word, safe to log and count.")]

ORG_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")


class Status(StrEnum):
    """How a block of time counts; the words are Graph's, but `elsewhere` for workingElsewhere."""

    FREE = "free"
    ELSEWHERE = "elsewhere"
    UNKNOWN = "unknown"
    TENTATIVE = "tentative"
    BUSY = "busy"
    OOF = "oof"


class Coverage(StrEnum):
    """What is known of a mailbox. Unknown is never shown as free."""

    FULL = "full"
    UNKNOWN = "unknown"


class Kind(StrEnum):
    """What sort of mailbox it is (mailboxSettings.userPurpose)."""

    USER = "user"
    ROOM = "room"
    EQUIPMENT = "equipment"
    SHARED = "shared"
    OTHER = "other"


class Bucket(StrEnum):
    """Why a directory object is or is not read. Every object has exactly one."""

    ACTIVE = "active"
    EXCLUDED = "excluded"
    GUEST = "guest"
    NO_MAILBOX = "no_mailbox"
    ON_PREMISES = "on_premises"
    ON_ANOTHER_CONNECTION = "on_another_connection"
    DENIED = "denied"
    FAILING = "failing"
    REMOVED = "removed"


class Window(Struct, frozen=True, array_like=True):
    """The half-open span [start, end) a snapshot speaks of, in UTC seconds."""

    start: Instant
    end: Instant

    def __post_init__(self) -> None:
        """Refuse a window that holds no time (ValueError; a ValidationError when decoding)."""
        if self.end <= self.start:
            raise ValueError("a window ends after it starts")


class Block(Struct, frozen=True, array_like=True):
    """One half-open interval [start, end) of one status, in UTC seconds."""

    start: Instant
    end: Instant
    status: Status


class WorkPeriod(Struct, frozen=True, array_like=True):
    """One stretch of work on one day of the week (0 is Monday), [start, end) in minutes of the day by its own clock."""

    day: Annotated[int, Meta(ge=0, le=6)]
    start: Annotated[int, Meta(ge=0, le=1440)]
    end: Annotated[int, Meta(ge=0, le=1440)]

    def __post_init__(self) -> None:
        """Refuse a stretch that holds no time (ValueError; a ValidationError when decoding)."""
        if self.end <= self.start:
            raise ValueError("a stretch of work ends after it starts")


class WorkingHours(Struct, frozen=True, kw_only=True):
    """When somebody works, week by week: sorted stretches that do not overlap. `time_zone` as Mailbox.time_zone."""

    time_zone: Annotated[str, Meta(max_length=128)] = ""
    periods: Annotated[tuple[WorkPeriod, ...], Meta(max_length=64)] = ()


class Mailbox(Struct, frozen=True, kw_only=True):
    """Which mailbox a message speaks of. `time_zone` is as Microsoft gave it: a Windows or an IANA name, or empty.

    `working_hours` is None where they are not known.
    """

    mailbox_id: MailboxId
    address: Address
    kind: Kind = Kind.USER
    time_zone: Annotated[str, Meta(max_length=128)] = ""
    working_hours: WorkingHours | None = None
