"""Edge: which replica serves a webhook: one at a time, by a lease that ends by itself where the replica dies.

What another did meanwhile (replay, disable, delete, take over) takes the lease away, and nothing more is written by it.
"""

from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, update

from services.publisher.webhooks.order import WHOLE_ORG
from shared.contracts.values import Instant
from shared.reach import reached
from shared.store import Store
from shared.tables import consumers, updates, webhook_waits, webhooks

LEASE: Final = 60  # seconds a webhook is one replica's, unless renewed
ENABLED: Final = "enabled"
DISABLED: Final = "disabled"


class LeaseLostError(Exception):
    """Another replica serves the webhook now, or it was changed: nothing more is written."""


async def workable(store: Store, *, now: Instant, limit: int) -> list[str]:
    """Return the ids of webhooks with something to deliver that no replica serves. Raises Retry."""
    last = select(func.max(updates.c.position)).scalar_subquery()
    due = exists().where(webhook_waits.c.webhook_id == webhooks.c.webhook_id, *startable(now))
    query = (
        with_consumer(select(webhooks.c.webhook_id))
        .where(_free(now), or_(webhooks.c.next_try_at.is_(None), webhooks.c.next_try_at <= now))
        .where(or_(webhooks.c.position < last, due))
        .order_by(webhooks.c.position)  # who is furthest behind, first
        .limit(limit)
    )
    async with reached(), store.read() as connection:
        return list((await connection.execute(query)).scalars())


async def claim(store: Store, webhook_id: str, lease: str, *, now: Instant) -> bool:
    """Take the lease of a webhook unless another replica has it. Raises Retry."""
    taken = update(webhooks).where(webhooks.c.webhook_id == webhook_id, _free(now))
    async with reached(), store.write() as connection:
        done = await connection.execute(taken.values(lease_id=lease, lease_until=now + LEASE))
    return done.rowcount > 0


async def renew(store: Store, webhook_id: str, lease: str, *, now: Instant) -> None:
    """Keep a lease for as long again. Raises LeaseLostError, and Retry."""
    kept = update(webhooks).where(held(webhook_id, lease)).values(lease_until=now + LEASE)
    async with reached(), store.write() as connection:
        if not (await connection.execute(kept)).rowcount:
            raise LeaseLostError


async def release(store: Store, webhook_id: str, lease: str) -> None:
    """Give a lease back. Raises Retry."""
    freed = update(webhooks).where(held(webhook_id, lease)).values(lease_id=None, lease_until=None)
    async with reached(), store.write() as connection:
        await connection.execute(freed)


def held(webhook_id: str, lease: str) -> ColumnElement[bool]:
    """Return the condition, on webhooks, of one that is enabled and served under this lease."""
    return and_(webhooks.c.webhook_id == webhook_id, webhooks.c.lease_id == lease, webhooks.c.state == ENABLED)


def startable(now: Instant) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions, on webhook_waits, of a mailbox that may be tried now: no earlier word on its org waits."""
    of_org = webhook_waits.alias("word_on_org")
    behind = exists().where(
        of_org.c.webhook_id == webhook_waits.c.webhook_id,
        of_org.c.org_id == webhook_waits.c.org_id,
        of_org.c.mailbox_id == WHOLE_ORG,
        of_org.c.position < webhook_waits.c.position,
    )
    return webhook_waits.c.next_at <= now, ~behind


def with_consumer(query: Select[Any]) -> Select[Any]:
    """Join webhooks with who made them."""
    return query.select_from(webhooks).join(consumers, of_consumer())


def of_consumer() -> ColumnElement[bool]:
    """Return the condition, on webhooks and consumers, of who made one: a namesake added later is another."""
    return and_(consumers.c.name == webhooks.c.consumer, consumers.c.created_at <= webhooks.c.created_at)


def _free(now: Instant) -> ColumnElement[bool]:
    nobodys = or_(webhooks.c.lease_id.is_(None), webhooks.c.lease_until < now)
    return and_(webhooks.c.state == ENABLED, nobodys)
