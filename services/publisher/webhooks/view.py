"""Edge: what a webhook may be told at this moment, and where to: its own row, its consumer's scope, the log's row.

Looked at right before each request: what a consumer may not hear any more, and what a stricter policy forbids, is not
sent however long it waited. It keeps no body.
"""

import json
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Row, select

from services.publisher.consumers import EVERY_ORG, Known
from services.publisher.envelope import Told
from services.publisher.log import FORGOTTEN, Scope, may_be_told
from services.publisher.webhooks.lease import held, with_consumer
from services.publisher.webhooks.retries import Endpoint
from shared.contracts.values import Instant
from shared.reach import reached
from shared.store import Store
from shared.tables import consumers, orgs, relay, updates, webhooks

_CONSUMER: Final = (
    consumers.c.orgs.label("consumer_orgs"),
    consumers.c.departed.label("consumer_departed"),
    consumers.c.created_at.label("consumer_since"),
)
_TOLD: Final = tuple(updates.c[name].label(f"told_{name}") for name in Told.__struct_fields__)


class Served(Struct, frozen=True, kw_only=True):
    """A webhook as its row stands while one replica holds its lease, and what it may hear now."""

    webhook_id: str
    consumer: str
    url: str
    secret: bytes
    previous: bytes | None
    previous_until: Instant | None
    position: int
    endpoint: Endpoint
    scope: Scope


async def served(store: Store, webhook_id: str, lease: str) -> Served | None:
    """Return a webhook as it stands; None where the lease was lost, or its consumer is gone. Raises Retry."""
    query = with_consumer(select(webhooks, *_CONSUMER)).where(held(webhook_id, lease))
    async with reached(), store.read() as connection:
        row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    return Served(
        webhook_id=row.webhook_id,
        consumer=row.consumer,
        url=row.url,
        secret=row.secret,
        previous=row.previous,
        previous_until=row.previous_until,
        position=row.position,
        endpoint=Endpoint(failures=row.failures, failing_since=row.failing_since, next_try_at=row.next_try_at),
        scope=_heard_by(row),
    )


async def tellable(store: Store, webhook_id: str, lease: str, position: int) -> Told | None:
    """Return an update as it may be told to a webhook now, None where it may not, or not by us. Raises Retry."""
    query = (
        with_consumer(select(*_TOLD, webhooks.c.orgs, webhooks.c.consumer, *_CONSUMER))
        .join(updates, updates.c.position == position)
        .outerjoin(orgs, orgs.c.org_id == updates.c.org_id)
        .where(held(webhook_id, lease), may_be_told())
    )
    async with reached(), store.read() as connection:
        row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    told = Told(**{name: getattr(row, f"told_{name}") for name in Told.__struct_fields__})
    return told if _heard_by(row).hears(told) else None


async def overtaken(store: Store, position: int) -> bool:
    """Say whether retention came as far as an update that is not there to be told. Raises Retry."""
    query = select(relay.c.position).where(relay.c.name == FORGOTTEN)
    async with reached(), store.read() as connection:
        return ((await connection.execute(query)).scalar_one_or_none() or 0) >= position


def _heard_by(row: Row[Any]) -> Scope:
    """Return what a webhook may hear now: of what it was made for, whatever lies within its consumer's scope."""
    known = Known(
        name=row.consumer,
        orgs=tuple(json.loads(row.consumer_orgs)),
        created_at=row.consumer_since,
        departed=json.loads(row.consumer_departed),
    )
    wanted = json.loads(row.orgs)
    if EVERY_ORG in wanted:
        return Scope(None if known.every_org else frozenset(known.orgs), frozenset(known.departed.values()))
    last_words = frozenset(known.departed[each] for each in wanted if each in known.departed)
    return Scope(frozenset(each for each in wanted if known.may_ask(each)), last_words)
