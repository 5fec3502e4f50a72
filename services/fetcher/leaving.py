"""The mailboxes that leave an organisation, in the store: marked page by page, counted, and removed by the sweep.

Until the sweep has carried out what is marked consumers keep what they hold, and nobody reads the mailbox.
"""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import ColumnElement, and_, bindparam, case, func, null, or_, select, update

from services.fetcher.census import NOT_ERASED, Seen
from services.fetcher.directory import PUBLISHED, Verdict, is_held
from services.fetcher.due import LEFT
from services.fetcher.guard import Removals
from services.fetcher.mailboxes import lock
from shared.contracts.values import Bucket
from shared.store import Store
from shared.tables import mailboxes

FOR_GOOD: Final = 2**40  # an instant nobody will see: no reading is under way, and none may begin
_HERE: Final = and_(mailboxes.c.org_id == bindparam("k_org"), mailboxes.c.mailbox_id == bindparam("k_mailbox"))
_HELD: Final = or_(
    mailboxes.c.bucket == Bucket.ACTIVE, and_(mailboxes.c.bucket.in_(sorted(PUBLISHED)), mailboxes.c.version > 0)
)


class Leaver(Struct, frozen=True, kw_only=True):
    """A mailbox that the sweep removes: into which bucket, why, and whether consumers know of it (`told`)."""

    mailbox_id: str
    bucket: Bucket
    reason: str
    told: bool


async def mark(store: Store, seen: Seen, verdicts: Sequence[Verdict]) -> None:
    """Remember what becomes of these mailboxes once the sweep may carry it out; doing it again changes no outcome.

    Their leases are taken for good, so that no reading of this generation ends or begins.
    """
    if not verdicts:
        return
    statement = (
        update(mailboxes)
        .where(_HERE, NOT_ERASED)
        .values(
            leaving_bucket=bindparam("v_bucket"),
            leaving_reason=bindparam("v_reason"),
            seen_run=seen.run,
            generation=seen.generation,
            version=mailboxes.c.version + 1,
            lease_id=f"{seen.generation}:leaving",
            lease_until=FOR_GOOD,
            due_at=null(),
            dirty=False,
        )
    )
    async with store.write() as connection:
        await lock(store, connection, [(seen.org_id, verdict.mailbox_id) for verdict in verdicts])
        rows = [_row(seen, verdict.mailbox_id, verdict.bucket, verdict.reason) for verdict in verdicts]
        await connection.execute(statement, rows)


async def removals(store: Store, seen: Seen) -> Removals:
    """Count the mailboxes that consumers know of, and those of them that this run's sweep would remove."""
    going = func.count(case((_leaves(seen), 1)))
    query = select(going, func.count()).where(mailboxes.c.org_id == seen.org_id, _HELD, NOT_ERASED)
    async with store.read() as connection:
        found = (await connection.execute(query)).one()
    return Removals(going=found[0], known=found[1])


async def leavers(store: Store, seen: Seen, limit: int) -> list[Leaver]:
    """Return up to `limit` mailboxes that this run's sweep removes: not seen by it, or seen and marked."""
    table = mailboxes.c
    marked = and_(table.seen_run == seen.run, table.leaving_bucket.is_not(None))
    query = (
        select(
            table.mailbox_id,
            table.bucket,
            table.version,
            case((marked, table.leaving_bucket), else_=Bucket.REMOVED.value).label("to_bucket"),
            case((marked, table.leaving_reason), else_=LEFT).label("to_reason"),
        )
        .where(table.org_id == seen.org_id, _leaves(seen), NOT_ERASED)
        .order_by(table.mailbox_id)
        .limit(limit)
    )
    async with store.read() as connection:
        return [
            Leaver(
                mailbox_id=row.mailbox_id,
                bucket=Bucket(row.to_bucket),
                reason=row.to_reason or "unknown",
                told=is_held(Bucket(row.bucket), row.version),
            )
            for row in await connection.execute(query)
        ]


async def remove(store: Store, seen: Seen, leavers: Sequence[Leaver]) -> None:
    """Put leavers into their buckets and free their leases; one whose lease was lost meanwhile is left alone."""
    table = mailboxes.c
    ours = or_(table.lease_id == seen.lease, bindparam("k_told").is_(False))
    statement = (
        update(mailboxes)
        .where(_HERE, ours, NOT_ERASED)
        .values(
            bucket=bindparam("v_bucket"),
            reason=bindparam("v_reason"),
            leaving_bucket=null(),
            leaving_reason=null(),
            read_generation=null(),
            lease_id=null(),
            lease_until=null(),
            due_at=null(),
            waiting=null(),
            retry_at=null(),
            dirty=False,
        )
    )
    if not leavers:
        return
    async with store.write() as connection:
        await lock(store, connection, [(seen.org_id, leaver.mailbox_id) for leaver in leavers])
        rows = [_row(seen, each.mailbox_id, each.bucket, each.reason) | {"k_told": each.told} for each in leavers]
        await connection.execute(statement, rows)


def _leaves(seen: Seen) -> ColumnElement[bool]:
    table = mailboxes.c
    absent = and_(or_(table.seen_run.is_(None), table.seen_run != seen.run), table.bucket != Bucket.REMOVED)
    return or_(absent, table.leaving_bucket.is_not(None))


def _row(seen: Seen, mailbox_id: str, bucket: Bucket, reason: str | None) -> dict[str, Any]:
    return {"k_org": seen.org_id, "k_mailbox": mailbox_id, "v_bucket": bucket.value, "v_reason": reason}
