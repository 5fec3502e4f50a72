"""Edge: which secret addresses show which mailbox's busy time; the secret word is shown once, its SHA-256 is kept.

It refuses whatever lies beyond the present scope of the consumer that made the feed.
"""

import hashlib
import json
import re
import secrets
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Row, and_, delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.publisher.consumers import EVERY_ORG, Known
from services.publisher.timeline import GONE
from shared.connections import DISCONNECTING
from shared.contracts.values import Instant
from shared.errors import Reject
from shared.reach import reached
from shared.store import Store
from shared.tables import consumers, feeds, orgs, timelines

MOST_FEEDS: Final = 1000  # of one consumer
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_FEED_ID: Final = re.compile(r"[0-9a-f]{32}")


class Feed(Struct, frozen=True, kw_only=True):
    """A feed: which mailbox it shows, and for which consumer it was made."""

    feed_id: str
    consumer: str
    org_id: str
    mailbox_id: str
    created_at: Instant


async def make(store: Store, known: Known, org_id: str, mailbox_id: str, *, now: Instant) -> tuple[Feed, str]:
    """Make a feed and return it with its secret word: 256 random bits, of which only the SHA-256 is kept.

    Raises Reject: `too_many_feeds`, or `mailbox_unknown` where the mailbox, the org or the consumer left meanwhile.
    """
    secret = secrets.token_urlsafe(32)
    made = Feed(
        feed_id=secrets.token_hex(16), consumer=known.name, org_id=org_id, mailbox_id=mailbox_id, created_at=now
    )
    async with reached(), store.write() as connection:
        await store.publication_lock(connection)  # under which mailboxes and orgs leave
        if not await _there(connection, made):
            raise Reject("mailbox_unknown")
        count = select(func.count()).select_from(feeds).where(feeds.c.consumer == known.name)
        if (await connection.execute(count)).scalar_one() >= MOST_FEEDS:
            raise Reject("too_many_feeds")
        row = {name: getattr(made, name) for name in Feed.__struct_fields__}
        await connection.execute(feeds.insert().values(row | {"secret_hash": _hash(secret)}))
    return made, secret


async def listed(store: Store, known: Known, org_id: str) -> tuple[Feed, ...]:
    """Return a consumer's feeds of an org, oldest first."""
    mine = and_(feeds.c.consumer == known.name, feeds.c.org_id == org_id)
    query = select(feeds).where(mine).order_by(feeds.c.created_at, feeds.c.feed_id)
    async with reached(), store.read() as connection:
        return tuple(_feed(row) for row in await connection.execute(query))


async def revoke(store: Store, known: Known, org_id: str, feed_id: str) -> bool:
    """Delete a consumer's feed, whose address shows nothing from now on; False where it has none such."""
    if not _FEED_ID.fullmatch(feed_id):
        return False
    mine = and_(feeds.c.consumer == known.name, feeds.c.org_id == org_id, feeds.c.feed_id == feed_id)
    async with reached(), store.write() as connection:
        return (await connection.execute(delete(feeds).where(mine))).rowcount > 0


async def opened(store: Store, secret: str) -> Feed | None:
    """Return the feed whose secret word this is, or None; also where its org has left its consumer's scope."""
    if not _SECRET.fullmatch(secret):
        return None
    made_by = and_(consumers.c.name == feeds.c.consumer, consumers.c.created_at <= feeds.c.created_at)
    query = select(feeds, consumers.c.orgs).join(consumers, made_by).where(feeds.c.secret_hash == _hash(secret))
    async with reached(), store.read() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None or not _within(row.orgs, row.org_id) else _feed(row)


async def _there(connection: AsyncConnection, made: Feed) -> bool:
    """Say whether a feed may be made: who asks, the org and the mailbox as they stand now, held until it is."""
    asker = select(consumers.c.orgs).where(consumers.c.name == made.consumer).with_for_update()
    scope = (await connection.execute(asker)).scalar_one_or_none()
    org = exists().where(orgs.c.org_id == made.org_id, orgs.c.state != DISCONNECTING)
    shown = exists().where(
        timelines.c.org_id == made.org_id,
        timelines.c.mailbox_id == made.mailbox_id,
        timelines.c.bucket.not_in(sorted(bucket.value for bucket in GONE)),
    )
    there = (await connection.execute(select(and_(org, shown)))).scalar_one()
    return scope is not None and _within(scope, made.org_id) and bool(there)


def _within(scope: str, org_id: str) -> bool:
    orgs_in_scope = json.loads(scope)
    return org_id in orgs_in_scope or EVERY_ORG in orgs_in_scope


def _feed(row: Row[Any]) -> Feed:
    return Feed(**{name: getattr(row, name) for name in Feed.__struct_fields__})


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
