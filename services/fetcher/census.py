"""The mailboxes of an organisation as its enumeration finds them, in the store: pages in bulk, each in one transaction.

Doing a page again changes nothing; versions, leases and readings are not touched here.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, and_, case, func, literal, not_, null, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.fetcher.directory import ERASED, Known, Verdict
from services.fetcher.mailboxes import lock
from shared.connections import IN_FORCE
from shared.contracts.values import Bucket, Generation, Instant, Kind, WorkingHours
from shared.store import Store
from shared.tables import mailboxes, orgs

AT_ONCE: Final = 200  # rows in one statement; old builds of SQLite bind 999 values

NOT_ERASED: Final[ColumnElement[bool]] = or_(mailboxes.c.reason.is_(None), mailboxes.c.reason != ERASED)
_HOURS: Final = msgspec.json.Decoder(WorkingHours)
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
        columns.version, columns.scope_run, columns.address, columns.kind, columns.time_zone, columns.working_hours,
        columns.leaving_bucket,
    )  # fmt: skip
    found: dict[str, Known] = {}
    async with store.read() as connection:
        for part in _parts(sorted(set(mailbox_ids))):
            chosen = query.where(columns.org_id == org_id, columns.mailbox_id.in_(part))
            found.update({row.mailbox_id: _known(row) for row in await connection.execute(chosen)})
    return found


async def record(store: Store, seen: Seen, verdicts: Sequence[Verdict]) -> None:
    """Remember a page of verdicts in one transaction; doing it again changes nothing.

    A time zone and working hours not learned this time are kept, and so is the time an active mailbox is due. What was
    read of one that is not active, or has another address, kind, time zone or other hours now, no longer counts, nor
    does a reading under way. One marked as leaving stays after all, and is read anew. One that is erased is left as is.
    """
    if not verdicts:
        return
    statement = _upsert(store, seen)
    async with store.write() as connection:
        if not await _stays(connection, seen.org_id):
            return
        await lock(store, connection, [(seen.org_id, verdict.mailbox_id) for verdict in verdicts])
        for part in _parts(sorted(verdicts, key=lambda verdict: verdict.mailbox_id)):  # new rows have an order, too
            await connection.execute(statement, [_record(seen, verdict) for verdict in part])


def _upsert(store: Store, seen: Seen) -> Any:
    table = mailboxes.c
    insert = store.upsert(mailboxes)
    new = insert.excluded
    kept = {name: new[name] for name in ("address", "kind", "bucket", "reason", "generation", "seen_run")}
    zone = case((new.time_zone == "", table.time_zone), else_=new.time_zone)
    hours = func.coalesce(new.working_hours, table.working_hours)
    worded = and_(table.time_zone == zone, table.working_hours.is_not_distinct_from(hours))
    same = and_(table.address == new.address, table.kind == new.kind, worded)
    marked = table.leaving_bucket.is_not(None)
    counts = and_(new.bucket == Bucket.ACTIVE, same, not_(marked))
    due_at = case((or_(new.due_at.is_(None), marked), new.due_at), else_=func.coalesce(table.due_at, new.due_at))
    changed = {
        "time_zone": zone,
        "working_hours": hours,
        "due_at": due_at,
        "read_generation": case((counts, table.read_generation), else_=null()),
        "dirty": case((and_(not_(same), table.lease_id.is_not(None)), true()), else_=table.dirty),
        "lease_id": case((or_(table.lease_id == seen.lease, marked), null()), else_=table.lease_id),
        "leaving_bucket": null(),
        "leaving_reason": null(),
    }
    return insert.on_conflict_do_update(index_elements=["org_id", "mailbox_id"], set_=kept | changed, where=NOT_ERASED)


async def mark_seen(store: Store, seen: Seen, mailbox_ids: Sequence[str]) -> None:
    """Remember that this run has seen these mailboxes, and nothing else of them yet."""
    if not mailbox_ids:
        return
    async with store.write() as connection:
        await lock(store, connection, [(seen.org_id, mailbox_id) for mailbox_id in mailbox_ids])
        for part in _parts(mailbox_ids):
            here = and_(mailboxes.c.org_id == seen.org_id, mailboxes.c.mailbox_id.in_(part))
            await connection.execute(update(mailboxes).where(here).values(seen_run=seen.run))


async def make_due(store: Store, seen: Seen, mailbox_ids: Sequence[str], *, now: Instant) -> None:
    """Let these mailboxes be read as soon as polling looks, unless they are marked as leaving, or erased."""
    if not mailbox_ids:
        return
    table = mailboxes.c
    later = or_(table.due_at.is_(None), table.due_at > now)
    async with store.write() as connection:
        await lock(store, connection, [(seen.org_id, mailbox_id) for mailbox_id in mailbox_ids])
        for part in _parts(mailbox_ids):
            here = and_(table.org_id == seen.org_id, table.mailbox_id.in_(part), NOT_ERASED)
            staying = and_(table.leaving_bucket.is_(None), later)
            await connection.execute(update(mailboxes).where(here, staying).values(due_at=now))


async def mark_scope(store: Store, seen: Seen, members: Sequence[tuple[str, str]]) -> None:
    """Remember that these (mailbox id, address) are in a scope group; what they are, the users stage says."""
    stub = {"kind": Kind.USER, "bucket": Bucket.EXCLUDED, "reason": "not_enumerated", "version": 0}
    insert = store.upsert(mailboxes)
    statement = insert.on_conflict_do_update(
        index_elements=["org_id", "mailbox_id"], set_={"scope_run": insert.excluded.scope_run}
    )
    async with store.write() as connection:
        if not await _stays(connection, seen.org_id):
            return
        await lock(store, connection, [(seen.org_id, mailbox_id) for mailbox_id, _ in members])
        for part in _parts(sorted(members)):
            rows = [
                _BLANK | stub | {"org_id": seen.org_id, "mailbox_id": mailbox_id, "address": address}
                | {"generation": seen.generation, "scope_run": seen.run}
                for mailbox_id, address in part
            ]  # fmt: skip
            await connection.execute(statement, rows)


async def mark_rooms(store: Store, seen: Seen, addresses: Sequence[str]) -> list[str]:
    """Remember that the mailboxes at these addresses are rooms; return those that were read as something else.

    What was read of those no longer counts, nor does a reading under way.
    """
    found: list[str] = []
    table = mailboxes.c
    async with store.write() as connection:
        for part in _parts(addresses):
            wrong = and_(table.org_id == seen.org_id, table.address.in_(part), table.kind != Kind.ROOM)
            names = (await connection.execute(select(table.mailbox_id).where(wrong))).scalars().all()
            await lock(store, connection, [(seen.org_id, name) for name in names])
            dirty = case((table.lease_id.is_not(None), true()), else_=table.dirty)
            statement = update(mailboxes).where(wrong).values(kind=Kind.ROOM, read_generation=null(), dirty=dirty)
            told = await connection.execute(statement.returning(table.mailbox_id, table.bucket))
            found.extend(row.mailbox_id for row in told if row.bucket == Bucket.ACTIVE)
    return found


async def unread(store: Store, org_id: str, generation: Generation, *, limit: int) -> int:
    """Count the mailboxes that wait for their first reading of this generation, `limit` at most."""
    table = mailboxes.c
    waiting = (
        select(literal(1))
        .where(
            table.org_id == org_id,
            table.bucket == Bucket.ACTIVE,
            table.generation == generation,  # others were not found yet, and nobody reads them before
            table.leaving_bucket.is_(None),
            or_(table.read_generation.is_(None), table.read_generation != generation),
        )
        .limit(limit)
        .subquery()
    )
    async with store.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(waiting))).scalar_one())


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
        address=found.address,
        kind=Kind(found.kind),
        time_zone=found.time_zone,
        working_hours=None if found.working_hours is None else _HOURS.decode(found.working_hours),
        leaving=found.leaving_bucket is not None,
    )


def _record(seen: Seen, verdict: Verdict) -> dict[str, Any]:
    return _BLANK | {
        "org_id": seen.org_id,
        "mailbox_id": verdict.mailbox_id,
        "address": verdict.address,
        "kind": (verdict.kind or Kind.USER).value,
        "bucket": verdict.bucket.value,
        "reason": verdict.reason,
        "time_zone": verdict.time_zone,
        "working_hours": None if verdict.working_hours is None else msgspec.json.encode(verdict.working_hours),
        "generation": seen.generation,
        "seen_run": seen.run,
        "version": 0,
        "due_at": seen.due_at if verdict.bucket in (Bucket.ACTIVE, Bucket.FAILING) else None,
    }


def _parts(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))


async def _stays(connection: AsyncConnection, org_id: str) -> bool:
    """Say whether the org is here to stay: a page in hand while it left must not bring addresses back."""
    found = select(orgs.c.org_id).where(orgs.c.org_id == org_id, orgs.c.state.in_(IN_FORCE))
    return (await connection.execute(found)).first() is not None
