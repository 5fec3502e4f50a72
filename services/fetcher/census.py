"""The mailboxes of an organisation as its enumeration finds them, in the store: pages in bulk, each in one transaction.

Doing a page again changes nothing; versions, leases and readings are not touched here.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import and_, case, func, null, or_, select, update

from services.fetcher.directory import Known, Verdict
from services.fetcher.due import Row
from services.fetcher.mailboxes import READ, lock, row_of
from shared.contracts.values import Bucket, Generation, Instant, Kind
from shared.store import Store
from shared.tables import mailboxes

AT_ONCE: Final = 200  # rows in one statement; old builds of SQLite bind 999 values

_BLANK: Final[dict[str, Any]] = {"time_zone": "", "dirty": False, "failures": 0}


class Seen(Struct, frozen=True, kw_only=True):
    """One enumeration's look at a page: whose, in which run and generation; `lease` is what it holds mailboxes by."""

    org_id: str
    run: str
    generation: Generation
    lease: str
    due_at: Instant


async def known(store: Store, org_id: str, mailbox_ids: Iterable[str]) -> dict[str, Known]:
    """Return what is known of these mailboxes of an org."""
    columns = mailboxes.c
    query = select(
        columns.mailbox_id, columns.bucket, columns.reason, columns.generation, columns.read_generation,
        columns.version, columns.scope_run,
    )  # fmt: skip
    found: dict[str, Known] = {}
    async with store.read() as connection:
        for part in _parts(sorted(set(mailbox_ids))):
            chosen = query.where(columns.org_id == org_id, columns.mailbox_id.in_(part))
            found.update({row.mailbox_id: _known(row) for row in await connection.execute(chosen)})
    return found


async def record(store: Store, seen: Seen, verdicts: Sequence[Verdict]) -> None:
    """Remember a page of verdicts in one transaction; doing it again changes nothing.

    A time zone not learned this time is kept, and so is the time an active mailbox is due. What was read of one that
    is not active no longer counts.
    """
    table = mailboxes.c
    insert = store.upsert(mailboxes)
    new = insert.excluded
    kept = {name: new[name] for name in ("address", "kind", "bucket", "reason", "generation", "seen_run")}
    statement = insert.on_conflict_do_update(
        index_elements=["org_id", "mailbox_id"],
        set_=kept
        | {
            "time_zone": case((new.time_zone == "", table.time_zone), else_=new.time_zone),
            "due_at": case((new.due_at.is_(None), null()), else_=func.coalesce(table.due_at, new.due_at)),
            "read_generation": case((new.bucket == Bucket.ACTIVE, table.read_generation), else_=null()),
            "lease_id": case((table.lease_id == seen.lease, null()), else_=table.lease_id),
        },
    )
    if not verdicts:
        return
    async with store.write() as connection:
        await lock(store, connection, [(seen.org_id, verdict.mailbox_id) for verdict in verdicts])
        for part in _parts(verdicts):
            await connection.execute(statement, [_record(seen, verdict) for verdict in part])


async def mark_seen(store: Store, seen: Seen, mailbox_ids: Sequence[str]) -> None:
    """Remember that this run has seen these mailboxes, and nothing else of them yet."""
    if not mailbox_ids:
        return
    async with store.write() as connection:
        await lock(store, connection, [(seen.org_id, mailbox_id) for mailbox_id in mailbox_ids])
        for part in _parts(mailbox_ids):
            here = and_(mailboxes.c.org_id == seen.org_id, mailboxes.c.mailbox_id.in_(part))
            await connection.execute(update(mailboxes).where(here).values(seen_run=seen.run))


async def mark_scope(store: Store, seen: Seen, members: Sequence[tuple[str, str]]) -> None:
    """Remember that these (mailbox id, address) are in a scope group; what they are, the users stage says."""
    stub = {"kind": Kind.USER, "bucket": Bucket.EXCLUDED, "reason": "not_enumerated", "version": 0}
    insert = store.upsert(mailboxes)
    statement = insert.on_conflict_do_update(
        index_elements=["org_id", "mailbox_id"], set_={"scope_run": insert.excluded.scope_run}
    )
    async with store.write() as connection:
        await lock(store, connection, [(seen.org_id, mailbox_id) for mailbox_id, _ in members])
        for part in _parts(members):
            rows = [
                _BLANK | stub | {"org_id": seen.org_id, "mailbox_id": mailbox_id, "address": address}
                | {"generation": seen.generation, "scope_run": seen.run}
                for mailbox_id, address in part
            ]  # fmt: skip
            await connection.execute(statement, rows)


async def mark_rooms(store: Store, seen: Seen, addresses: Sequence[str]) -> None:
    """Remember that the mailboxes at these addresses are rooms."""
    async with store.write() as connection:
        for part in _parts(addresses):
            here = and_(mailboxes.c.org_id == seen.org_id, mailboxes.c.address.in_(part))
            await connection.execute(update(mailboxes).where(here).values(kind=Kind.ROOM))


async def unseen(store: Store, seen: Seen, limit: int) -> list[Row]:
    """Return up to `limit` mailboxes that this run has not seen and that are not yet removed."""
    query = (
        select(*(mailboxes.c[name] for name in READ))
        .where(
            mailboxes.c.org_id == seen.org_id,
            or_(mailboxes.c.seen_run.is_(None), mailboxes.c.seen_run != seen.run),
            mailboxes.c.bucket != Bucket.REMOVED,
        )
        .order_by(mailboxes.c.mailbox_id)
        .limit(limit)
    )
    async with store.read() as connection:
        return [row_of(row) for row in await connection.execute(query)]


async def any_seen(store: Store, seen: Seen) -> bool:
    """Say whether this run has seen any mailbox at all."""
    query = select(mailboxes.c.mailbox_id).where(mailboxes.c.org_id == seen.org_id, mailboxes.c.seen_run == seen.run)
    async with store.read() as connection:
        return (await connection.execute(query.limit(1))).first() is not None


def _known(found: Any) -> Known:
    return Known(
        bucket=Bucket(found.bucket),
        reason=found.reason,
        generation=found.generation,
        read_generation=found.read_generation,
        version=found.version,
        scope_run=found.scope_run,
    )


def _record(seen: Seen, verdict: Verdict) -> dict[str, Any]:
    return _BLANK | {
        "org_id": seen.org_id,
        "mailbox_id": verdict.mailbox_id,
        "address": verdict.address,
        "kind": verdict.kind.value,
        "bucket": verdict.bucket.value,
        "reason": verdict.reason,
        "time_zone": verdict.time_zone,
        "generation": seen.generation,
        "seen_run": seen.run,
        "version": 0,
        "due_at": seen.due_at if verdict.bucket in (Bucket.ACTIVE, Bucket.FAILING) else None,
    }


def _parts(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))
