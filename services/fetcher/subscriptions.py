"""What is kept of each mailbox's subscription, in the store: wanted, claimed by one replica, remembered in batches.

It decides nothing about one; no secret is kept. Rows of mailboxes are locked before rows of subscriptions, both by key.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import BigInteger, ColumnElement, and_, bindparam, delete, func, null, select, true, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.fetcher import plans
from services.fetcher.mailboxes import Key, lock
from services.fetcher.plans import Row
from shared.connections import CONNECTED, IN_FORCE
from shared.contracts.values import Bucket, Generation, Instant
from shared.store import Store
from shared.tables import mailboxes, orgs, subscriptions

LEASE: Final = 600  # seconds; longer than a call to Microsoft lasts, on replicas whose clocks are five minutes apart
AT_ONCE: Final = 200  # rows in one statement; old builds of SQLite bind 999 values

_NAMES: Final = (
    "org_id", "mailbox_id", "subscription_id", "expires_at", "wanted", "act_at", "failures", "reason",
)  # fmt: skip
COLUMNS: Final = tuple(subscriptions.c[name] for name in _NAMES)
KEY: Final = tuple_(subscriptions.c.org_id, subscriptions.c.mailbox_id)
MAILBOX: Final = and_(
    mailboxes.c.org_id == subscriptions.c.org_id, mailboxes.c.mailbox_id == subscriptions.c.mailbox_id
)
_THERE: Final = and_(mailboxes.c.org_id == bindparam("k_org"), mailboxes.c.mailbox_id == bindparam("k_mailbox"))
_WRITTEN: Final = _NAMES[2:]
_WRITE: Final = (
    update(subscriptions)
    .where(subscriptions.c.org_id == bindparam("k_org"), subscriptions.c.mailbox_id == bindparam("k_mailbox"))
    .values({name: bindparam(f"v_{name}") for name in _WRITTEN})
)


class Change(Struct, frozen=True, kw_only=True):
    """What a step made of a row; `after` None where nothing is left to keep."""

    before: Row
    after: Row | None


class Target(Struct, frozen=True, kw_only=True):
    """Whose subscription it is, and its org as it stands."""

    row: Row
    tenant_id: str
    generation: Generation
    connected: bool  # if it needs attention instead, nobody reads for it at present


async def due_orgs(store: Store, now: Instant) -> dict[str, bool]:
    """Return the connected orgs of which something is to be done, by id; True where not all of it is to be made new."""
    made = func.count(subscriptions.c.subscription_id).label("made")
    query = (
        select(subscriptions.c.org_id, made)
        .join(orgs, orgs.c.org_id == subscriptions.c.org_id)
        .where(subscriptions.c.act_at <= now, orgs.c.state == CONNECTED)
        .group_by(subscriptions.c.org_id)
        .order_by(subscriptions.c.org_id)
    )
    async with store.read() as connection:
        return {row.org_id: row.made > 0 for row in await connection.execute(query)}


async def claim(store: Store, org_id: str, now: Instant, *, limit: int, making: bool = True) -> list[Row]:
    """Take up to `limit` rows of an org whose time has come; unless written they come again when the lease ends.

    Rows of which there is nothing at Microsoft yet are left alone unless `making`.
    """
    made: ColumnElement[bool] = true() if making else subscriptions.c.subscription_id.is_not(null())
    chosen = (
        select(subscriptions.c.org_id, subscriptions.c.mailbox_id)
        .where(subscriptions.c.org_id == org_id, subscriptions.c.act_at <= now, made)
        .order_by(subscriptions.c.act_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found: list[Row] = []
    async with store.write() as connection:
        keys = [(row.org_id, row.mailbox_id) for row in await connection.execute(chosen)]
        for part in parts(keys):
            taken = update(subscriptions).where(KEY.in_(part)).values(act_at=now + LEASE).returning(*COLUMNS)
            found += [row_of(row) for row in await connection.execute(taken)]
    return found


async def write(store: Store, changes: Sequence[Change], now: Instant) -> list[Row | None]:
    """Remember what steps came to, in one transaction with what mailboxes may count on; return the rows as they stand.

    A mailbox that had a subscription and cannot count on hints any more is due at once.
    """
    keys = [(each.before.org_id, each.before.mailbox_id) for each in changes]
    if not changes:
        return []
    async with store.write() as connection:
        await lock_both(store, connection, keys)
        found = {(row.org_id, row.mailbox_id): row for row in await rows_of(connection, keys)}
        settled = {
            key: plans.settled(found.get(key), each.before, each.after, now)
            for key, each in zip(keys, changes, strict=True)
        }
        kept = [row for row in settled.values() if row is not None]
        gone = [key for key in found if settled[key] is None]
        if kept:
            await connection.execute(_WRITE, [_values(row) for row in kept])
        if gone:
            await connection.execute(delete(subscriptions).where(KEY.in_(gone)))
        await promise(connection, {key: plans.hints_until(settled[key], now) for key in found}, now)
    return [settled[key] for key in keys]


async def promise(connection: AsyncConnection, until: Mapping[Key, Instant | None], now: Instant) -> None:
    """Let mailboxes count on hints up to then; one that did and cannot any more is due at once, if it is read."""
    lapsed = [
        {"k_org": org_id, "k_mailbox": mailbox_id} for (org_id, mailbox_id), instant in until.items() if instant is None
    ]
    if lapsed:
        due = update(mailboxes).where(
            _THERE,
            mailboxes.c.subscribed_until.is_not(None),
            mailboxes.c.bucket == Bucket.ACTIVE,
            mailboxes.c.due_at > now,
        )
        await connection.execute(due.values(due_at=now), lapsed)
    if until:
        values = [
            {"k_org": org_id, "k_mailbox": mailbox_id, "v_until": instant}
            for (org_id, mailbox_id), instant in until.items()
        ]
        told = bindparam("v_until", type_=BigInteger)
        changed = update(mailboxes).where(_THERE, mailboxes.c.subscribed_until.is_distinct_from(told))
        await connection.execute(changed.values(subscribed_until=told), values)


async def lookup(store: Store, subscription_ids: Iterable[str]) -> dict[str, Target]:
    """Return whose these subscriptions are, by id; only wanted ones of orgs in force."""
    query = (
        select(*COLUMNS, orgs.c.tenant_id, orgs.c.generation, orgs.c.state)
        .join(orgs, orgs.c.org_id == subscriptions.c.org_id)
        .where(subscriptions.c.wanted, orgs.c.state.in_(IN_FORCE))
    )
    found: dict[str, Target] = {}
    async with store.read() as connection:
        for part in parts(sorted(set(subscription_ids))):
            for row in await connection.execute(query.where(subscriptions.c.subscription_id.in_(part))):
                found[row.subscription_id] = Target(
                    row=row_of(row),
                    tenant_id=row.tenant_id,
                    generation=row.generation,
                    connected=row.state == CONNECTED,
                )
    return found


async def make_due(store: Store, keys: Sequence[Key], now: Instant) -> None:
    """Let mailboxes be read as soon as their org is read again: a hint of them came while it is not."""
    values = [{"k_org": org_id, "k_mailbox": mailbox_id} for org_id, mailbox_id in keys]
    if not values:
        return
    async with store.write() as connection:
        await lock(store, connection, keys)
        hinted = update(mailboxes).where(_THERE, mailboxes.c.due_at.is_not(None)).values(due_at=now, dirty=True)
        await connection.execute(hinted, values)


async def of_org(store: Store, org_id: str) -> list[Row]:
    """Return every row of an org, by mailbox."""
    query = select(*COLUMNS).where(subscriptions.c.org_id == org_id).order_by(subscriptions.c.mailbox_id)
    async with store.read() as connection:
        return [row_of(row) for row in await connection.execute(query)]


async def once_read(store: Store, rows: Sequence[Row]) -> set[Key]:
    """Return which of these mailboxes a reading has ever started of; of the others the first one is still to come."""
    columns = (mailboxes.c.org_id, mailboxes.c.mailbox_id)
    found: set[Key] = set()
    async with store.read() as connection:
        for part in parts([(row.org_id, row.mailbox_id) for row in rows]):
            query = select(*columns).where(tuple_(*columns).in_(part), mailboxes.c.version > 0)
            found.update((row.org_id, row.mailbox_id) for row in await connection.execute(query))
    return found


async def lock_both(store: Store, connection: AsyncConnection, keys: Sequence[Key]) -> None:
    """Lock mailboxes, then their subscriptions, in the one order of all."""
    await lock(store, connection, keys)
    if not store.is_sqlite:
        query = select(subscriptions.c.mailbox_id).where(KEY.in_(sorted(set(keys))))
        await connection.execute(query.order_by(*COLUMNS[:2]).with_for_update())


async def rows_of(connection: AsyncConnection, keys: Sequence[Key]) -> list[Row]:
    """Return the rows of these mailboxes, read in the caller's transaction."""
    return [row_of(row) for row in await connection.execute(select(*COLUMNS).where(KEY.in_(sorted(set(keys)))))]


def row_of(found: Any) -> Row:
    """Return a row as the store gave it, whatever other columns it came with."""
    return Row(**{name: getattr(found, name) for name in _NAMES})


def parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Cut a sequence into pieces that one statement takes."""
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))


def _values(row: Row) -> dict[str, Any]:
    return {"k_org": row.org_id, "k_mailbox": row.mailbox_id} | {f"v_{name}": getattr(row, name) for name in _WRITTEN}
