"""Deletes what is held of an org that left: at Microsoft first, while there is a way in, then here.

Doing it again deletes nothing more. Where Microsoft turns us away its subscriptions are left to lapse, and counted.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Table, delete, select, tuple_

from services.fetcher import checking, promises
from services.fetcher.context import Context
from services.fetcher.plans import ENDED, Answer
from shared import connections
from shared.broker import Broker, Delivery, Done
from shared.connections import DISCONNECTING, IN_FORCE, Connected
from shared.contracts.messages import OrgPurge, OrgPurged
from shared.errors import Retry
from shared.graph import GraphClient, GraphError
from shared.identity import IdentityError
from shared.store import Store
from shared.tables import enumerations, mailboxes, orgs, streams, subscriptions

PAGE: Final = 500
AT_ONCE: Final = 8  # batches of deletions under way
PATIENCE: Final = 30.0  # seconds that Microsoft has in all; what is left then lapses within a week
SETTLED: Final = 2.0  # seconds after which nobody here takes the org for connected any more (Tenants holds it for one)
PASSES: Final = 5
_TABLES: Final = {
    "subscriptions": subscriptions,
    "mailboxes": mailboxes,
    "enumerations": enumerations,
    "streams": streams,
}


async def purge(context: Context, broker: Broker, message: OrgPurge, _delivery: Delivery) -> Done:
    """Delete all of an org up to the message's generation, and answer with how much of what kind.

    Raises Retry while the org is not disconnecting yet, or the broker does not answer.
    """
    org = await connections.connected(context.store, message.org_id)
    if org is not None and org.generation > message.generation:  # it is connected anew: what it has now stays
        return _answered(message, Counter())
    if org is not None and org.state in IN_FORCE:
        raise Retry("not_disconnecting", after=2.0)
    if org is not None and org.state != DISCONNECTING:  # it is asked for anew: what there was is gone
        return _answered(message, Counter())
    counts = await _at_microsoft(context, org) if org is not None else Counter[str]()
    for _ in range(PASSES):
        gone = await _here(context.store, message.org_id)
        forgotten = await broker.forget(message.org_id, "fetcher", parked=True, generation=message.generation)
        counts += gone + Counter(messages=forgotten)
        if not gone.total():
            break
        await asyncio.sleep(SETTLED)  # whoever took it for connected just before may still be writing
    return _answered(message, counts)


def _answered(message: OrgPurge, counts: Counter[str]) -> Done:
    told = {name: counts[name] for name in ("subscriptions_deleted", "subscriptions_left", "messages", *_TABLES)}
    return Done((OrgPurged(org_id=message.org_id, purge_id=message.purge_id, service="fetcher", counts=told),))


async def _here(store: Store, org_id: str) -> Counter[str]:
    """Delete an org's rows, a page a transaction, and return how many of which table."""
    gone: Counter[str] = Counter()
    for name, table in _TABLES.items():
        while count := await _page(store, table, org_id):
            gone[name] += count
    return gone


async def _page(store: Store, table: Table, org_id: str) -> int:
    key = tuple_(*table.primary_key)
    chosen = select(*table.primary_key).where(table.c.org_id == org_id).order_by(*table.primary_key)
    async with store.write() as connection:
        rows = (await connection.execute(chosen.limit(PAGE).with_for_update())).all()
        if rows:
            await connection.execute(delete(table).where(key.in_([tuple(row) for row in rows])))
    return len(rows)


async def _at_microsoft(context: Context, org: Connected) -> Counter[str]:
    """Delete an org's subscriptions: those we know of, then those Microsoft lists as sent to our address.

    The rows go page by page with them, so that whoever takes this up after a crash has less to do.
    """
    counts: Counter[str] = Counter()
    try:
        farewell = Farewell(context.tenants.client(org))
        while ids := await _known(context.store, org.org_id):
            gone = await farewell.delete(ids)
            counts += Counter(subscriptions_deleted=gone, subscriptions_left=len(ids) - gone)
            counts["subscriptions"] += await _drop(context.store, ids)
        counts["subscriptions_deleted"] += await farewell.delete(await farewell.unknown(context.settings.notify_url))
    except (GraphError, IdentityError):
        counts["subscriptions_left"] += len(await _known(context.store, org.org_id, limit=None))
    return counts


async def _known(store: Store, org_id: str, *, limit: int | None = PAGE) -> list[str]:
    column = subscriptions.c.subscription_id
    query = select(column).where(subscriptions.c.org_id == org_id, column.is_not(None)).order_by(column).limit(limit)
    async with store.read() as connection:
        return list((await connection.execute(query)).scalars())


async def _drop(store: Store, subscription_ids: Sequence[str]) -> int:
    statement = delete(subscriptions).where(subscriptions.c.subscription_id.in_(subscription_ids))
    async with store.write() as connection:
        return int((await connection.execute(statement)).rowcount)


class Farewell:
    """Deletions at Microsoft within a time; once it turns us away, or the time is over, nothing more is asked."""

    def __init__(self, client: GraphClient) -> None:
        """Begin the time."""
        self._client = client
        self._until = asyncio.get_running_loop().time() + PATIENCE
        self._over = False

    async def delete(self, subscription_ids: Sequence[str]) -> int:
        """Return how many are gone; a pause Microsoft orders is kept, as far as the time allows."""
        waiting = list(subscription_ids)
        while waiting and not self._over:
            answers = await checking.delete_all(self._client, waiting, at_once=AT_ONCE)
            refused = {name: answer for name, answer in answers.items() if answer.status not in ENDED}
            waiting = list(refused)
            passing = [answer for answer in refused.values() if _passes(answer)]
            self._over = len(passing) < len(refused)  # not wanted for one is not wanted for all
            if waiting and not self._over:
                await self._wait(max(answer.retry_after or 1.0 for answer in passing))
        return len(subscription_ids) - len(waiting)

    async def unknown(self, notify_url: str) -> list[str]:
        """Return what Microsoft still lists as sent to our address. Raises GraphError and IdentityError."""
        if self._over or not notify_url:
            return []
        return [each.id for each in await promises.listing(self._client) if each.notification_url == notify_url]

    async def _wait(self, seconds: float) -> None:
        left = self._until - asyncio.get_running_loop().time()
        self._over = seconds >= left
        if not self._over:
            await asyncio.sleep(seconds)


def _passes(answer: Answer) -> bool:
    return answer.status in (0, 424, 429) or answer.status >= 500


async def drop_orphans(store: Store) -> int:
    """Delete rows of orgs that do not exist, should a purge have been outrun; return how many, a page of each table."""
    count = 0
    for table in _TABLES.values():
        none = ~select(orgs.c.org_id).where(orgs.c.org_id == table.c.org_id).exists()
        query = select(table.c.org_id).where(none).distinct().limit(1)
        async with store.read() as connection:
            found = (await connection.execute(query)).scalar_one_or_none()
        if found is not None:
            count += await _page(store, table, found)
    return count
