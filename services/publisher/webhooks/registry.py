"""Edge: webhooks in the store: made, looked at, changed, disabled, deleted by whose they are, or by an operator.

Every change takes the lease away, so what a replica had under way for it is not written over the change.
"""

import json
import re
import secrets
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Row, and_, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.publisher.webhooks.lease import DISABLED, ENABLED, with_consumer
from shared.contracts.values import DAY, Instant
from shared.errors import Reject
from shared.reach import reached
from shared.store import Store
from shared.tables import consumers, deliveries, webhook_waits, webhooks

ID: Final = re.compile(r"wh_[0-9a-f]{24}")
OWNER_GONE: Final = "owner_gone"
MOST: Final = 20  # webhooks of one consumer
BOTH_SIGN: Final = DAY  # seconds that the secret before signs beside a new one
_FREED: Final = {"lease_id": None, "lease_until": None}
_WELL: Final = {"failures": 0, "failing_since": None, "next_try_at": None}


class Webhook(Struct, frozen=True, kw_only=True):
    """A webhook as its row stands, its secrets sealed, and how many of its mailboxes wait."""

    webhook_id: str
    consumer: str
    url: str
    orgs: tuple[str, ...]
    secret: bytes
    previous: bytes | None
    position: int
    state: str
    reason: str | None
    created_at: Instant
    failures: int
    failing_since: Instant | None
    next_try_at: Instant | None
    previous_until: Instant | None
    waiting: int
    oldest: int | None  # the position that the mailbox that waits longest goes on at


class Fresh(Struct, frozen=True, kw_only=True):
    """A webhook to be made: whose it is, its sealed secret, and the position it begins after."""

    webhook_id: str
    consumer: str
    url: str
    orgs: tuple[str, ...]
    secret: bytes
    position: int


def new_id() -> str:
    """Return an id for a webhook; it is no secret."""
    return f"wh_{secrets.token_hex(12)}"


async def make(store: Store, fresh: Fresh, *, owner_since: Instant, now: Instant) -> None:
    """Put a webhook into the store; its owner is the consumer of that name that was added at `owner_since`.

    Raises Reject: `owner_gone`, `too_many_webhooks`; and Retry.
    """
    row = {
        **msgspec.structs.asdict(fresh),
        "orgs": json.dumps(fresh.orgs),
        "state": ENABLED,
        "created_at": now,
        "failures": 0,
    }
    owner = select(consumers.c.created_at).where(consumers.c.name == fresh.consumer).with_for_update()
    count = select(func.count()).select_from(webhooks).where(webhooks.c.consumer == fresh.consumer)
    async with reached(), store.write() as connection:
        if (await connection.execute(owner)).scalar_one_or_none() != owner_since:  # locked: of two one is the last
            raise Reject(OWNER_GONE)
        if (await connection.execute(count)).scalar_one() >= MOST:
            raise Reject("too_many_webhooks")
        await connection.execute(webhooks.insert().values(row))


async def of(store: Store, consumer: str | None = None, webhook_id: str | None = None) -> list[Webhook]:
    """Return webhooks, the oldest first: all, or those of a consumer, or the one of an id. Raises Retry."""
    waits = webhook_waits.c.webhook_id == webhooks.c.webhook_id
    waiting = select(func.count()).where(waits).correlate(webhooks).scalar_subquery().label("waiting")
    oldest = select(func.min(webhook_waits.c.position)).where(waits).correlate(webhooks).scalar_subquery()
    query = with_consumer(select(webhooks, waiting, oldest.label("oldest"))).where(_its(consumer, webhook_id))
    query = query.order_by(webhooks.c.created_at, webhooks.c.webhook_id)
    async with reached(), store.read() as connection:
        return [_webhook(row) for row in await connection.execute(query)]


async def change(store: Store, webhook_id: str, *, url: str | None = None, orgs: Sequence[str] | None = None) -> None:
    """Send to another URL, or tell of other orgs, from now on. Raises Retry."""
    values: dict[str, Any] = {**_FREED}
    values |= {} if url is None else {"url": url}
    values |= {} if orgs is None else {"orgs": json.dumps(list(orgs))}
    await _update(store, webhook_id, values)


async def rotate(store: Store, webhook_id: str, secret: bytes, *, now: Instant) -> None:
    """Sign with a new secret, and for a day with the one before as well. Raises Retry."""
    await _update(
        store, webhook_id, {"previous": webhooks.c.secret, "secret": secret, "previous_until": now + BOTH_SIGN}
    )


async def replay(store: Store, webhook_id: str, *, after: int) -> None:
    """Go on from a position: what lies up to it counts as delivered, whatever waits. Raises Retry."""
    async with reached(), store.write() as connection:
        await connection.execute(_one(webhook_id).values(position=after, **_FREED))
        await connection.execute(delete(webhook_waits).where(webhook_waits.c.webhook_id == webhook_id))


async def enable(store: Store, webhook_id: str, *, position: int | None = None, now: Instant) -> None:
    """Deliver again from where it was, or from a position, and try at once whatever waits. Raises Retry."""
    values: dict[str, Any] = {"state": ENABLED, "reason": None, **_WELL, **_FREED}
    ours = webhook_waits.c.webhook_id == webhook_id
    async with reached(), store.write() as connection:
        if position is not None:
            values["position"] = position
        await connection.execute(_one(webhook_id).values(values))  # first: a round that is being written ends before
        if position is not None:
            await connection.execute(delete(webhook_waits).where(ours))
        await connection.execute(update(webhook_waits).where(ours).values(attempts=0, first_at=now, next_at=now))


async def disable(store: Store, webhook_id: str, reason: str) -> None:
    """Deliver nothing more until it is enabled again. Raises Retry."""
    await _update(store, webhook_id, {"state": DISABLED, "reason": reason, **_FREED})


async def remove(store: Store, webhook_id: str) -> None:
    """Delete a webhook and all that is known of it. Raises Retry."""
    async with reached(), store.write() as connection:
        await forget(connection, webhooks.c.webhook_id == webhook_id)


async def forget(connection: AsyncConnection, which: ColumnElement[bool]) -> None:
    """Delete the webhooks that a condition names, with what waits for them and what was sent to them."""
    found = select(webhooks.c.webhook_id).where(which).order_by(webhooks.c.webhook_id).with_for_update()
    named = (await connection.execute(found)).scalars().all()  # a round that is being written ends before
    for table in (webhook_waits, deliveries):
        await connection.execute(delete(table).where(table.c.webhook_id.in_(named)))
    await connection.execute(delete(webhooks).where(webhooks.c.webhook_id.in_(named)))


async def sent(store: Store, webhook_id: str, *, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Return rows of the delivery log, the latest first. Raises Retry."""
    query = select(deliveries).where(deliveries.c.webhook_id == webhook_id)
    query = query if before is None else query.where(deliveries.c.delivery < before)
    async with reached(), store.read() as connection:
        return (await connection.execute(query.order_by(deliveries.c.delivery.desc()).limit(limit))).all()


async def note(store: Store, row: dict[str, Any]) -> None:
    """Add a row to the delivery log. Raises Retry."""
    async with reached(), store.write() as connection:
        await connection.execute(deliveries.insert().values(row))


async def _update(store: Store, webhook_id: str, values: dict[str, Any]) -> None:
    async with reached(), store.write() as connection:
        await connection.execute(_one(webhook_id).values(values))


def _one(webhook_id: str) -> Any:
    return update(webhooks).where(webhooks.c.webhook_id == webhook_id)


def _its(consumer: str | None, webhook_id: str | None) -> ColumnElement[bool]:
    wanted = [] if consumer is None else [webhooks.c.consumer == consumer]
    return and_(True, *wanted, *([] if webhook_id is None else [webhooks.c.webhook_id == webhook_id]))  # noqa: FBT003


def _webhook(row: Row[Any]) -> Webhook:
    found = {name: getattr(row, name) for name in Webhook.__struct_fields__}
    return Webhook(**{**found, "orgs": tuple(json.loads(row.orgs))})
