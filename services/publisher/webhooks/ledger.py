"""Edge: what a webhook delivers next, and what became of it, in the store: its cursor and the mailboxes that wait.

The cursor passes what was delivered and what waits, so nothing is left out; it is written under the lease alone.
"""

from typing import Any, Final

from msgspec import Struct
from sqlalchemy import ColumnElement, Row, and_, delete, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.publisher.log import FORGOTTEN, may_be_told, within
from services.publisher.webhooks.lease import DISABLED, LEASE, LeaseLostError, held, startable
from services.publisher.webhooks.order import WHOLE_ORG, Ahead, Key
from services.publisher.webhooks.retries import Attempt, Endpoint, Wait
from services.publisher.webhooks.view import Served
from shared.contracts.values import Instant
from shared.reach import reached
from shared.store import Store
from shared.tables import deliveries, orgs, relay, updates, webhook_waits, webhooks

TOGETHER: Final = 8  # updates of a mailbox that waited, delivered in one go
_KEY: Final = ("webhook_id", "org_id", "mailbox_id")


class Waiting(Struct, frozen=True, kw_only=True):
    """A mailbox that waits and may be tried, with its next positions; without any it waits for nothing any more."""

    key: Key
    wait: Wait
    positions: tuple[int, ...]


class Put(Struct, frozen=True, kw_only=True):
    """Where a mailbox waits from now on: the position to go on at; `found`: an update is known to lie there."""

    key: Key
    position: int
    wait: Wait
    found: bool = True


class Made(Struct, frozen=True, kw_only=True):
    """An attempt that was made: at which position (0: a test), the how-manieth, when."""

    position: int
    number: int
    at: Instant
    attempt: Attempt


class Settlement(Struct, frozen=True, kw_only=True):
    """What is written after a round, all together or not at all. `hurry`: whatever waits is due now."""

    reached: int
    endpoint: Endpoint
    puts: tuple[Put, ...] = ()
    over: tuple[Key, ...] = ()  # these wait no more
    made: tuple[Made, ...] = ()
    hurry: bool = False
    disabled: str | None = None


async def due(store: Store, hook: Served, *, now: Instant, limit: int) -> list[Waiting]:
    """Return mailboxes that wait and may be tried now, the longest due first. Raises Retry."""
    query = (
        select(webhook_waits)
        .where(webhook_waits.c.webhook_id == hook.webhook_id, *startable(now))
        .order_by(webhook_waits.c.next_at, webhook_waits.c.position)
        .limit(limit)
    )
    async with reached(), store.read() as connection:
        rows = (await connection.execute(query)).all()
        return [
            Waiting(
                key=Key(row.org_id, row.mailbox_id),
                wait=Wait(attempts=row.attempts, first_at=row.first_at, next_at=row.next_at),
                positions=await _positions(connection, row, upto=hook.position),
            )
            for row in rows
        ]


async def ahead(store: Store, hook: Served, *, limit: int) -> tuple[list[Ahead], int]:
    """Return the next updates after the cursor of mailboxes that do not wait, and where the cursor comes with them.

    Raises Retry.
    """
    own, of_org = webhook_waits.alias("own"), webhook_waits.alias("of_org")
    waits = _same(own, hook) & (own.c.mailbox_id == updates.c.mailbox_id)
    org_waits = _same(of_org, hook) & (of_org.c.mailbox_id == WHOLE_ORG)
    async with reached(), store.read() as connection:
        last = (await connection.execute(select(func.max(updates.c.position)))).scalar_one() or 0
        query = (
            select(updates.c.position, updates.c.org_id, updates.c.mailbox_id, of_org.c.position.label("behind"))
            .outerjoin(orgs, orgs.c.org_id == updates.c.org_id)
            .outerjoin(own, waits)
            .outerjoin(of_org, org_waits)
            .where(updates.c.position > hook.position, updates.c.position <= last)
            .where(within(hook.scope), may_be_told(), own.c.webhook_id.is_(None))
            .order_by(updates.c.position)
            .limit(limit)
        )
        rows = (await connection.execute(query)).all()
    found = [
        Ahead(position=row.position, org_id=row.org_id, mailbox_id=row.mailbox_id, org_waits=row.behind is not None)
        for row in rows
    ]
    return found, found[-1].position if len(found) == limit else max(last, hook.position)


async def forgotten(store: Store, hook: Served) -> bool:
    """Say whether retention deleted something that was still to be delivered; to be asked after it was read.

    Raises Retry.
    """
    gone = select(relay.c.position).where(relay.c.name == FORGOTTEN).scalar_subquery()
    oldest = select(func.min(webhook_waits.c.position)).where(webhook_waits.c.webhook_id == hook.webhook_id)
    async with reached(), store.read() as connection:
        row = (await connection.execute(select(gone, oldest.scalar_subquery()))).one()
    return (row[0] or 0) > min(hook.position, hook.position if row[1] is None else row[1] - 1)


async def settle(store: Store, hook: Served, lease: str, done: Settlement, *, now: Instant) -> None:
    """Write what became of a round, and keep the lease. Raises LeaseLostError, having written nothing, and Retry."""
    values: dict[str, Any] = {
        "position": done.reached,
        "failures": done.endpoint.failures,
        "failing_since": done.endpoint.failing_since,
        "next_try_at": done.endpoint.next_try_at,
        "lease_until": now + LEASE,
    }
    if done.disabled is not None:
        values |= {"state": DISABLED, "reason": done.disabled, "lease_id": None, "lease_until": None}
    async with reached(), store.write() as connection:
        kept = update(webhooks).where(held(hook.webhook_id, lease), webhooks.c.position == hook.position)
        if not (await connection.execute(kept.values(values))).rowcount:
            raise LeaseLostError
        await _write_waits(store, connection, hook.webhook_id, done)
        if done.hurry:
            late = update(webhook_waits).where(webhook_waits.c.webhook_id == hook.webhook_id)
            await connection.execute(late.where(webhook_waits.c.next_at > now).values(next_at=now))
        if done.made:
            await connection.execute(deliveries.insert(), [_delivery(hook.webhook_id, each) for each in done.made])


async def _positions(connection: AsyncConnection, row: Row[Any], *, upto: int) -> tuple[int, ...]:
    query = (
        select(updates.c.position)
        .where(updates.c.org_id == row.org_id, updates.c.mailbox_id == row.mailbox_id)
        .where(updates.c.position >= row.position, updates.c.position <= upto)
        .order_by(updates.c.position)
        .limit(1 if row.mailbox_id == WHOLE_ORG else TOGETHER)
    )
    return tuple((await connection.execute(query)).scalars())


async def _write_waits(store: Store, connection: AsyncConnection, webhook_id: str, done: Settlement) -> None:
    if done.over:
        key = tuple_(webhook_waits.c.org_id, webhook_waits.c.mailbox_id)
        none = delete(webhook_waits).where(webhook_waits.c.webhook_id == webhook_id, key.in_(done.over))
        await connection.execute(none)
    if done.puts:
        insert = store.upsert(webhook_waits)
        changed = {name: insert.excluded[name] for name in ("position", "attempts", "first_at", "next_at")}
        rows = [_row(webhook_id, put) for put in done.puts]
        await connection.execute(insert.on_conflict_do_update(index_elements=_KEY, set_=changed), rows)
    for put in done.puts:
        if put.key.mailbox_id == WHOLE_ORG and put.found:
            await _supersede(connection, webhook_id, put)


async def _supersede(connection: AsyncConnection, webhook_id: str, put: Put) -> None:
    """Have an org's mailboxes wait behind the word that it left: what was told of them before is nothing any more."""
    before = update(webhook_waits).where(
        webhook_waits.c.webhook_id == webhook_id,
        webhook_waits.c.org_id == put.key.org_id,
        webhook_waits.c.mailbox_id != WHOLE_ORG,
        webhook_waits.c.position <= put.position,
    )
    await connection.execute(before.values(position=put.position + 1, attempts=0))


def _row(webhook_id: str, put: Put) -> dict[str, Any]:
    return {
        "webhook_id": webhook_id,
        "org_id": put.key.org_id,
        "mailbox_id": put.key.mailbox_id,
        "position": put.position,
        "attempts": put.wait.attempts,
        "first_at": put.wait.first_at,
        "next_at": put.wait.next_at,
    }


def _delivery(webhook_id: str, made: Made) -> dict[str, Any]:
    return {
        "webhook_id": webhook_id,
        "position": made.position,
        "at": made.at,
        "attempt": made.number,
        "outcome": made.attempt.outcome,
        "status": made.attempt.status,
        "duration_ms": made.attempt.duration_ms,
    }


def _same(waits: Any, hook: Served) -> ColumnElement[bool]:
    return and_(waits.c.webhook_id == hook.webhook_id, waits.c.org_id == updates.c.org_id)
