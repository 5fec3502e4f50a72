"""What a request to find time brings and what it is answered with: closed values, described for the OpenAPI page."""

from typing import Annotated, Literal

from msgspec import Meta, field

from services.publisher.answers import Count, FreeBusyError
from shared.contracts.public import Moment, PublicMessage, WeeklyHours
from shared.contracts.values import Coverage, Version

MOST_DAYS = 62
MOST_PERIODS = 62
MOST_GROUPS = 20
MOST_PARTICIPANTS = 200
MOST_SLOTS = 200
ROOMS = "rooms"

Name = Annotated[str, Meta(min_length=1, max_length=320, description="A mailbox's address or id.")]
GroupName = Annotated[str, Meta(min_length=1, max_length=64)]
Blocking = Literal["busy", "oof", "tentative", "unknown", "elsewhere"]
Cause = Literal["busy", "hours", "window", "unknown"]
Role = Literal["required", "optional", "member"]
Hours = Literal["own", "ignored"] | WeeklyHours
Buffer = Annotated[int, Meta(ge=0, le=480)]


class SlotsPeriod(PublicMessage, frozen=True, kw_only=True):
    """Time to search in, [from, to), RFC 3339. Periods that meet or overlap count as one."""

    start: str = field(name="from")
    end: str = field(name="to")


class SlotsParticipant(PublicMessage, frozen=True, kw_only=True):
    """Who takes part. `working_hours` holds for this one instead of the request's."""

    mailbox: Name
    working_hours: Hours | None = None


class SlotsGroup(PublicMessage, frozen=True, kw_only=True):
    """At least `need` of the members must be free."""

    name: GroupName
    need: Annotated[int, Meta(ge=1, le=MOST_PARTICIPANTS)]
    members: Annotated[tuple[SlotsParticipant, ...], Meta(min_length=1, max_length=MOST_PARTICIPANTS)]


class SlotsAsked(PublicMessage, frozen=True, kw_only=True):
    """Asks when people are free together. All in all at most 200 participants, over at most 62 days.

    Starts are those at which the clock of `time_zone` shows a multiple of `step_minutes`. `rooms` is short for a
    group named `rooms` of which one is needed, its working hours ignored. Buffers must be free of what is `blocking`,
    and may lie outside of periods and working hours. The status `unknown` always blocks.
    """

    periods: Annotated[tuple[SlotsPeriod, ...], Meta(min_length=1, max_length=MOST_PERIODS)]
    duration_minutes: Annotated[int, Meta(ge=1, le=1440)]
    step_minutes: Literal[5, 10, 15, 30, 60] = 30
    time_zone: Annotated[str, Meta(max_length=128, description="An IANA or Windows name.")] = "UTC"
    required: Annotated[tuple[SlotsParticipant, ...], Meta(max_length=MOST_PARTICIPANTS)] = ()
    optional: Annotated[tuple[SlotsParticipant, ...], Meta(max_length=MOST_PARTICIPANTS)] = ()
    groups: Annotated[tuple[SlotsGroup, ...], Meta(max_length=MOST_GROUPS)] = ()
    rooms: Annotated[tuple[Name, ...], Meta(max_length=MOST_PARTICIPANTS)] = ()
    working_hours: Hours = "own"
    buffer_before_minutes: Buffer = 0
    buffer_after_minutes: Buffer = 0
    blocking: Annotated[tuple[Blocking, ...], Meta(max_length=5)] = ("busy", "oof", "tentative", "unknown")
    limit: Annotated[int, Meta(ge=1, le=MOST_SLOTS)] = 20
    rank: Literal["earliest", "fewest_conflicts"] = "earliest"
    ignore_unknown: bool = False
    explain: bool = False


class GroupFree(PublicMessage, frozen=True, kw_only=True):
    """Which members of a group are free, in the order asked."""

    group: GroupName
    free: tuple[Name, ...]


class Slot(PublicMessage, frozen=True, kw_only=True):
    """Time at which all that is required is free; `free` are those of the optional participants that are, too.

    Of the required participants in `unverified` it is not known: only where the request says `ignore_unknown`.
    """

    start: Moment
    end: Moment
    free: tuple[Name, ...]
    groups: tuple[GroupFree, ...]
    unverified: tuple[Name, ...]


class SlotsStanding(PublicMessage, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one participant. With `error` part of the time asked about is not known, or none of it.

    `working_hours` says whether any were looked at; `not_known`: its own were asked for, and there are none.
    """

    mailbox: Name
    role: Role
    group: GroupName | None = None
    coverage: Coverage
    error: FreeBusyError | None = None
    working_hours: Literal["applied", "ignored", "not_known"]
    time_zone: str | None = None
    as_of: Moment | None = None
    version: Version | None = None
    position: Count | None = None


class ParticipantBlocks(PublicMessage, frozen=True, kw_only=True, omit_defaults=True):
    """How many of the starts one participant stands in the way of, by cause; one start may have several.

    `alone`, of a required one: at so many starts nothing else stands in the way.
    """

    mailbox: Name
    role: Role
    group: GroupName | None = None
    blocks: Count
    alone: Count | None = None
    busy: Count
    hours: Count
    window: Count
    unknown: Count


class GroupBlocks(PublicMessage, frozen=True, kw_only=True):
    """At how many of the starts too few of a group are free; at `alone` of them nothing else stands in the way."""

    group: GroupName
    blocks: Count
    alone: Count


class Missing(PublicMessage, frozen=True, kw_only=True, omit_defaults=True):
    """What stands in the way of one start: a required participant with its causes, or a group with who is free."""

    mailbox: Name | None = None
    causes: tuple[Cause, ...] | None = None
    group: GroupName | None = None
    free: tuple[Name, ...] | None = None


class Miss(PublicMessage, frozen=True, kw_only=True):
    """Time that is no slot, and everything that stands in its way."""

    start: Moment
    end: Moment
    missing: tuple[Missing, ...]


class Explanation(PublicMessage, frozen=True, kw_only=True):
    """Who blocks what. `starts`: how many were looked at. `misses` are the five with the least in their way."""

    starts: Count
    participants: tuple[ParticipantBlocks, ...]
    groups: tuple[GroupBlocks, ...]
    misses: tuple[Miss, ...]


class SlotsAnswer(PublicMessage, frozen=True, kw_only=True, omit_defaults=True):
    """The slots in the order of `rank`, at most `limit` of the `found`.

    `complete`: no participant has an error. There is an explanation where nothing was found.
    """

    complete: bool
    found: Count
    slots: tuple[Slot, ...]
    participants: tuple[SlotsStanding, ...]
    explanation: Explanation | None = None
