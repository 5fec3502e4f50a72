"""Decides who may read a mailbox now, and which hints one reading answers.

Every step is a pure function of a mailbox's row; the store carries many of them out in one transaction.
A row that is dirty owes a hint a reading: it is held by a lease, or due no later than a lease or a spacing ends.
"""

from enum import Enum, auto
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from shared.contracts.values import Bucket, Generation, Instant, Kind

# Buckets whose mailboxes may be read: active ones, and those that a good reading would heal.
READABLE: Final = frozenset({Bucket.ACTIVE, Bucket.FAILING, Bucket.DENIED, Bucket.NO_MAILBOX, Bucket.ON_PREMISES})
LEFT: Final = "left_directory"
SPACING: Final = 1000  # milliseconds from the start of a reading to the next that a hint brings about
GRACE: Final = 2  # seconds after the spacing by which whoever waits it out has read, or polling does instead
MARKED: Final = 0  # `since` of a live message that was asked for because the mailbox is dirty, not by a hint of its own


class Row(Struct, frozen=True, kw_only=True):
    """What the store keeps of a mailbox, as far as reading it goes."""

    org_id: str
    mailbox_id: str
    address: str
    kind: Kind
    generation: Generation  # of the enumeration that saw it last
    bucket: Bucket
    reason: str | None = None
    time_zone: str = ""
    working_hours: bytes | None = None  # JSON of WorkingHours
    version: int = 0
    lease_id: str | None = None
    lease_until: Instant | None = None
    dirty: bool = False
    started_ms: int | None = None
    waiting: str | None = None
    retry_at: Instant | None = None
    subscribed_until: Instant | None = None
    read_at: Instant | None = None
    read_generation: Generation | None = None
    failures: int = 0
    due_at: Instant | None = None
    sync_state: str | None = None


class Lease(Struct, frozen=True, kw_only=True):
    """Who reads: one message under one generation. A lease of an older generation no longer binds anybody."""

    generation: Generation
    message_id: str

    @property
    def name(self) -> str:
        """Return the lease as it is written in a row."""
        return f"{self.generation}:{self.message_id}"


class Later(Struct, frozen=True, kw_only=True):
    """A hint came too soon after a reading started: it claims again at `at_ms`, unless `version` has risen by then."""

    at_ms: int
    version: int


class Claim(Struct, frozen=True, kw_only=True):
    """A wish to read a mailbox now, for `seconds`.

    A reading since `since` answers it, but never a hint (`live`): clocks of replicas differ. `exact_ms` is `now` in
    milliseconds. A hint that was told `Later` comes again with that answer's version as `seen`.
    """

    lease: Lease
    since: Instant
    now: Instant
    seconds: int
    live: bool = False
    exact_ms: int | None = None
    seen: int | None = None

    @property
    def now_ms(self) -> int:
        """Return `now` in milliseconds, as exactly as it is known."""
        return self.now * 1000 if self.exact_ms is None else self.exact_ms


class Claimed(Enum):
    """Why a claim was not granted."""

    UNKNOWN = auto()
    NOT_READ = auto()  # the bucket says so, or the search of another generation has found it
    ANSWERED = auto()  # a reading answers it, or is sure to follow
    HELD = auto()  # somebody reads it now; a hint has made it dirty


Answer = Row | Claimed | Later


class Change(Struct, frozen=True, kw_only=True):
    """The row to write (None: nothing changes) and what to tell the caller."""

    row: Row | None = None
    answer: Answer


def claim(row: Row | None, wish: Claim) -> Change:
    """Grant or refuse a reading; a granted one answers with the row as it then stands, its version risen by one.

    A poll or a first reading needs no second reading where one is under way; only a hint makes the mailbox dirty.
    A mailbox that the generation has not seen yet may be one that its policy shuts out: it is read once it is found.
    """
    if row is None:
        return Change(answer=Claimed.UNKNOWN)
    if row.bucket not in READABLE or row.generation != wish.lease.generation:
        return Change(answer=Claimed.NOT_READ)
    if row.lease_id != wish.lease.name:  # else it is tried again, or was delivered again
        if _answers(row, wish):
            return Change(answer=Claimed.ANSWERED)
        if (until := _held_until(row, wish.lease, wish.now)) is not None:
            marked = _marked(row, until) if wish.live else None
            return Change(row=marked, answer=Claimed.HELD)
        if wish.live and wish.seen is None and _just_started(row, wish):
            return _deferred(row)
    return _take(row, wish, started_ms=wish.now_ms)


def leave(row: Row | None, wish: Claim) -> Change:
    """Take the lease over from whoever reads: a mailbox that leaves must not be published by them."""
    return Change(answer=Claimed.UNKNOWN) if row is None else _take(row, wish, started_ms=row.started_ms)


def _answers(row: Row, wish: Claim) -> bool:
    """Say whether a reading answers the wish: one that began after it, as far as that can be known without clocks.

    Whoever starts a reading clears `dirty`, so what was asked for because of it is answered once it is gone.
    """
    if wish.seen is not None:
        return row.version > wish.seen
    if wish.live:
        return wish.since == MARKED and not row.dirty
    if row.bucket is not Bucket.ACTIVE or row.read_generation != wish.lease.generation:
        return False
    return row.read_at is not None and wish.since <= row.read_at <= wish.now  # a clock ahead of ours answers nothing


def _held_until(row: Row, lease: Lease, now: Instant) -> Instant | None:
    """Return until when somebody else holds the mailbox, None where nobody does."""
    if row.lease_id is None or row.lease_until is None or row.lease_until <= now:
        return None
    holder = row.lease_id.partition(":")[0]
    outdated = holder.isdecimal() and int(holder) < lease.generation
    return None if outdated or row.lease_id == lease.name else row.lease_until


def _just_started(row: Row, wish: Claim) -> bool:
    """Say whether the last reading started less than the spacing ago; a clock that runs behind postpones nothing."""
    return row.started_ms is not None and 0 <= wish.now_ms - row.started_ms < SPACING


def _deferred(row: Row) -> Change:
    """Let the first hint wait and read for all; further ones are answered, for the mailbox is due if the first dies."""
    at_ms = (row.started_ms or 0) + SPACING
    until = at_ms // 1000 + GRACE
    if row.dirty and row.due_at is not None and row.due_at <= until:
        return Change(answer=Claimed.ANSWERED)
    return Change(row=_marked(row, until), answer=Later(at_ms=at_ms, version=row.version))


def _marked(row: Row, until: Instant) -> Row | None:
    """Return the row dirty and due by then, None where it is so already: a storm writes it once."""
    if row.dirty and row.due_at is not None and row.due_at <= until:
        return None
    return replace(row, dirty=True, due_at=until if row.due_at is None else min(row.due_at, until))


def _take(row: Row, wish: Claim, *, started_ms: int | None) -> Change:
    """Start a reading; while it holds the lease nobody need ask for another.

    One that never ends, its message parked or lost, is made up for when its lease does, however far off polling was.
    """
    until = wish.now + wish.seconds
    taken = replace(
        row,
        version=row.version + 1,
        lease_id=wish.lease.name,
        lease_until=until,
        dirty=False,
        started_ms=started_ms,
        waiting=None,
        retry_at=None,
        due_at=None if row.due_at is None else until,
    )
    return Change(row=taken, answer=taken)


def no_sooner(due_at: Instant | None, until: Instant) -> Instant | None:
    """Return when a mailbox is due that is not asked for before `until`; None where it is not polled."""
    return None if due_at is None else max(due_at, until)


def shelve(row: Row | None, wish: Claim) -> Change:
    """Remember a message that may not be carried out while its organisation needs attention: due once it is over."""
    if row is None:
        return Change(answer=Claimed.UNKNOWN)
    if row.bucket not in READABLE:
        return Change(answer=Claimed.NOT_READ)
    if (until := _held_until(row, wish.lease, wish.now)) is not None:
        return Change(row=_marked(row, until) if wish.live else None, answer=Claimed.HELD)
    kept = freed(row) if row.lease_id == wish.lease.name else row
    due_at = wish.now if row.due_at is None else min(row.due_at, wish.now)
    return written(replace(kept, due_at=due_at, dirty=row.dirty or wish.live))


def freed(row: Row) -> Row:
    """Return a row nobody holds, whose reading does not wait."""
    return replace(row, lease_id=None, lease_until=None, waiting=None, retry_at=None)


def written(row: Row) -> Change:
    """Return the change to a row of which the caller is told, too."""
    return Change(row=row, answer=row)
