"""Decides who may read a mailbox now, when it is read next, and what a reading leaves behind.

Every step is a pure function of a mailbox's row; the store carries many of them out in one transaction.
"""

import zlib
from enum import Enum, auto
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from shared.contracts.values import DAY, Bucket, Generation, Instant, Kind, Version

# Buckets whose mailboxes may be read: active ones, and those that a good reading would heal.
READABLE: Final = frozenset({Bucket.ACTIVE, Bucket.FAILING, Bucket.DENIED, Bucket.NO_MAILBOX, Bucket.ON_PREMISES})
FIRST_PAUSE: Final = 900  # seconds until a failing mailbox is tried again; doubles up to:
LONGEST_PAUSE: Final = 6 * 3600
LEFT: Final = "left_directory"
SPREAD: Final = 3600  # the roll of the day is spread over at most so many seconds


class Row(Struct, frozen=True, kw_only=True):
    """What the store keeps of a mailbox, as far as reading it goes."""

    org_id: str
    mailbox_id: str
    address: str
    kind: Kind
    bucket: Bucket
    reason: str | None = None
    time_zone: str = ""
    version: int = 0
    lease_id: str | None = None
    lease_until: Instant | None = None
    dirty: bool = False
    read_at: Instant | None = None
    read_generation: Generation | None = None
    failures: int = 0
    due_at: Instant | None = None


class Lease(Struct, frozen=True, kw_only=True):
    """Who reads: one message under one generation. A lease of an older generation no longer binds anybody."""

    generation: Generation
    message_id: str

    @property
    def name(self) -> str:
        """Return the lease as it is written in a row."""
        return f"{self.generation}:{self.message_id}"


class Claim(Struct, frozen=True, kw_only=True):
    """A wish to read a mailbox now, for `seconds`, unless a reading since `since` answers it."""

    lease: Lease
    since: Instant
    now: Instant
    seconds: int


class Claimed(Enum):
    """Why a claim was not granted."""

    UNKNOWN = auto()
    NOT_READ = auto()  # the bucket says so
    ANSWERED = auto()  # a reading since then answers it
    HELD = auto()  # somebody reads it now and has been told that it is dirty


class Change(Struct, frozen=True, kw_only=True):
    """The row to write (None: nothing changes) and what to tell the caller."""

    row: Row | None = None
    answer: Row | Claimed


def claim(row: Row | None, wish: Claim) -> Change:
    """Grant or refuse a reading; a granted one answers with the row as it then stands, its version risen by one."""
    if row is None:
        return Change(answer=Claimed.UNKNOWN)
    if row.bucket not in READABLE:
        return Change(answer=Claimed.NOT_READ)
    if _answers(row, wish):
        return Change(answer=Claimed.ANSWERED)
    if _held(row, wish):
        return Change(row=replace(row, dirty=True), answer=Claimed.HELD)
    return _take(row, wish)


def leave(row: Row | None, wish: Claim) -> Change:
    """Take the lease over from whoever reads: a mailbox that leaves must not be published by them."""
    return Change(answer=Claimed.UNKNOWN) if row is None else _take(row, wish)


def _answers(row: Row, wish: Claim) -> bool:
    """Say whether what consumers hold of the mailbox now was read since then, under this generation."""
    if row.bucket is not Bucket.ACTIVE or row.read_generation != wish.lease.generation:
        return False
    return row.read_at is not None and row.read_at >= wish.since


def _held(row: Row, wish: Claim) -> bool:
    if row.lease_id is None or row.lease_until is None or row.lease_until <= wish.now:
        return False
    holder = row.lease_id.partition(":")[0]
    outdated = holder.isdecimal() and int(holder) < wish.lease.generation
    return not outdated and row.lease_id != wish.lease.name


def _take(row: Row, wish: Claim) -> Change:
    taken = replace(
        row, version=row.version + 1, lease_id=wish.lease.name, lease_until=wish.now + wish.seconds, dirty=False
    )
    return Change(row=taken, answer=taken)


class Ending(Struct, frozen=True, kw_only=True):
    """How a reading ended: under which lease and version, in which bucket, and when the mailbox is due again.

    `read_at` is when a complete reading started, None where there was none.
    """

    lease: Lease
    version: Version
    bucket: Bucket
    reason: str | None = None
    read_at: Instant | None = None
    now: Instant
    due_at: Instant | None


def end(row: Row | None, ending: Ending) -> Change:
    """Free the lease and remember how the reading ended; a hint that arrived meanwhile makes the mailbox due at once.

    Where the lease was lost meanwhile nothing changes: whoever has it now knows better.
    """
    if row is None:
        return Change(answer=Claimed.UNKNOWN)
    if row.lease_id != ending.lease.name or row.version != ending.version:
        return Change(answer=row)
    complete = ending.read_at is not None
    ended = replace(
        row,
        bucket=ending.bucket,
        reason=ending.reason,
        lease_id=None,
        lease_until=None,
        dirty=False,
        read_at=ending.read_at if complete else row.read_at,
        read_generation=ending.lease.generation if complete else row.read_generation,
        failures=0 if complete else row.failures + 1,
        due_at=ending.now if row.dirty and ending.due_at is not None else ending.due_at,
    )
    return Change(row=ended, answer=ended)


def postpone(row: Row | None, lease: Lease, until: Instant) -> Change:
    """Keep the lease while its message waits to be tried again, so that hints coalesce instead of adding readings."""
    if row is None:
        return Change(answer=Claimed.UNKNOWN)
    if row.lease_id != lease.name:
        return Change(answer=row)
    kept = replace(row, lease_until=until)
    return Change(row=kept, answer=kept)


def outdated(row: Row | None, lease: Lease, now: Instant) -> Change:
    """Free the lease of a message whose generation has passed; whoever asked meanwhile is served at once."""
    if row is None:
        return Change(answer=Claimed.UNKNOWN)
    if row.lease_id != lease.name:
        return Change(answer=row)
    due = now if row.dirty and row.due_at is not None else row.due_at
    freed = replace(row, lease_id=None, lease_until=None, dirty=False, due_at=due)
    return Change(row=freed, answer=freed)


def remove(row: Row | None, lease: Lease) -> Change:
    """Remember that a mailbox has left the directory."""
    if row is None:
        return Change(answer=Claimed.UNKNOWN)
    mine = row.lease_id == lease.name
    gone = replace(
        row,
        bucket=Bucket.REMOVED,
        reason=LEFT,
        dirty=False,
        due_at=None,
        read_generation=None,
        lease_id=None if mine else row.lease_id,
        lease_until=None if mine else row.lease_until,
    )
    return Change(row=gone, answer=gone)


def next_due(now: Instant, interval: int, mailbox_id: str) -> Instant:
    """Return when a mailbox is read next: after the interval, and soon after the UTC day rolls, as the window does.

    The roll is spread over the interval or an hour, evenly by mailbox, the same for a mailbox every day.
    """
    midnight = now - now % DAY + DAY
    spread = zlib.crc32(mailbox_id.encode()) % max(1, min(interval, SPREAD))
    return min(now + interval, midnight + spread)


def next_try(now: Instant, failures: int) -> Instant:
    """Return when a failing mailbox is tried again, `failures` in a row behind it."""
    return now + min(LONGEST_PAUSE, FIRST_PAUSE << min(max(failures, 0), 10))
