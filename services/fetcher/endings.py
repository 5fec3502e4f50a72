"""Decides what a reading leaves behind: how it ended, why it waits, when the mailbox is due again.

Every step is a pure function of a mailbox's row, as in due.py. A hint is never forgotten here: what is dirty stays so.
"""

from msgspec import Struct
from msgspec.structs import replace

from services.fetcher.due import READABLE, Change, Claimed, Lease, Row, freed, no_sooner, written
from shared.contracts.values import Bucket, Instant, Version


class Ending(Struct, frozen=True, kw_only=True):
    """How a reading ended: under which lease and version, in which bucket, and when the mailbox is due again.

    `read_at` is when a complete reading started, None where there was none. `waiting` says, in a fixed word, why the
    mailbox must not be read before it is due. `checked`: the server said that nothing changed since the last complete
    reading, which still holds. `sync_state` is the server's word up to where its changes are known now.
    """

    lease: Lease
    version: Version
    bucket: Bucket
    reason: str | None = None
    read_at: Instant | None = None
    waiting: str | None = None
    checked: bool = False
    sync_state: str | None = None
    now: Instant
    due_at: Instant | None


def end(row: Row | None, ending: Ending) -> Change:
    """Free the lease and remember how the reading ended; a hint that arrived meanwhile makes the mailbox due at once.

    Where the lease was lost meanwhile nothing changes: whoever has it now knows better. A mailbox that is no longer
    to be read stays so.
    """
    if row is None:
        return Change(answer=Claimed.UNKNOWN)
    if row.lease_id != ending.lease.name or row.version != ending.version:
        return Change(answer=row)
    if row.bucket not in READABLE:
        return written(freed(row))
    complete = ending.read_at is not None
    ended = replace(
        freed(row),
        bucket=ending.bucket,
        reason=ending.reason,
        waiting=ending.waiting,
        retry_at=None if ending.waiting is None else ending.due_at,
        read_at=ending.read_at if complete else row.read_at,
        read_generation=ending.lease.generation if complete else row.read_generation,
        failures=0 if complete or ending.checked else row.failures + 1,
        sync_state=ending.sync_state if complete or ending.checked else row.sync_state,
        due_at=ending.now if row.dirty and ending.waiting is None else ending.due_at,
    )
    return written(ended)


class Pause(Struct, frozen=True, kw_only=True):
    """Why a reading waits (a fixed word) and until when it is tried again."""

    reason: str
    until: Instant


def postpone(row: Row | None, lease: Lease, pause: Pause, *, seconds: int) -> Change:
    """Keep the lease while its message waits, and `seconds` longer: hints coalesce instead of adding readings."""
    if row is None:
        return Change(answer=Claimed.UNKNOWN)
    if row.lease_id != lease.name:
        return Change(answer=row)
    until = pause.until + seconds
    due_at = no_sooner(row.due_at, until)
    kept = replace(row, lease_until=until, waiting=pause.reason, retry_at=pause.until, due_at=due_at)
    return written(kept)


def put_off(row: Row | None, lease: Lease, pause: Pause) -> Change:
    """Free the lease of a reading that was turned away with its whole organisation; the mailbox is due after a pause.

    That says nothing of the mailbox: its bucket and its failures stay, and so does what it owes a hint.
    """
    if row is None:
        return Change(answer=Claimed.UNKNOWN)
    if row.lease_id != lease.name:
        return Change(answer=row)
    due_at = pause.until if row.bucket in READABLE else row.due_at
    return written(replace(freed(row), waiting=pause.reason, retry_at=pause.until, due_at=due_at))


def outdated(row: Row | None, lease: Lease, now: Instant) -> Change:
    """Free the lease of a message whose generation has passed; whoever asked meanwhile is served at once."""
    if row is None:
        return Change(answer=Claimed.UNKNOWN)
    if row.lease_id != lease.name:
        return Change(answer=row)
    due_at = now if row.dirty and row.bucket in READABLE else row.due_at
    return written(replace(freed(row), due_at=due_at))
