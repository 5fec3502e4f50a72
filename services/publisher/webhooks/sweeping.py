"""Edge: what was sent is kept for a while, a webhook goes with its consumer, and secrets follow the keys."""

import asyncio
import json
from contextlib import suppress
from typing import Final

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.publisher.webhooks.lease import of_consumer, with_consumer
from services.publisher.webhooks.order import WHOLE_ORG
from services.publisher.webhooks.registry import forget
from services.publisher.webhooks.signing import Keys, reseal
from shared import clock, logs
from shared.contracts.values import DAY, Instant
from shared.errors import Retry
from shared.reach import reached
from shared.store import Store
from shared.tables import consumers, deliveries, webhook_waits, webhooks
from shared.vault import VaultError

KEPT: Final = 30 * DAY  # seconds that an attempt is kept
MOST: Final = 1000  # attempts that are kept of one webhook
PAUSE: Final = 300.0  # seconds between two sweeps


async def sweep_for_ever(store: Store, keys: Keys, stop: asyncio.Event) -> None:
    """Sweep every few minutes until `stop` is set, and seal secrets anew where the keys were rotated."""
    while not stop.is_set():
        try:
            await sweep(store, now=clock.now())
            await reseal(store, keys)
        except (Retry, VaultError) as pause:
            logs.get("publisher").warning("webhooks.paused", reason=pause.reason)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), PAUSE)


async def sweep(store: Store, *, now: Instant) -> None:
    """Delete webhooks whose consumer is gone, and attempts that are old or too many. Raises Retry."""
    theirs = exists().where(of_consumer()).select_from(consumers).correlate(webhooks)
    counted = select(deliveries.c.webhook_id).group_by(deliveries.c.webhook_id).having(func.count() > MOST)
    async with reached(), store.write() as connection:
        await forget(connection, ~theirs)
        for table in (webhook_waits, deliveries):  # written while their webhook was deleted
            await connection.execute(delete(table).where(table.c.webhook_id.not_in(select(webhooks.c.webhook_id))))
        await _forget_departed(connection)
        await connection.execute(delete(deliveries).where(deliveries.c.at < now - KEPT))
        for webhook_id in (await connection.execute(counted)).scalars().all():
            await trim(connection, webhook_id)


async def _forget_departed(connection: AsyncConnection) -> None:
    """Take out of webhooks the names of orgs that left their consumer's scope, once the word on that is delivered."""
    waits = select(webhook_waits.c.org_id).where(webhook_waits.c.mailbox_id == WHOLE_ORG)
    query = with_consumer(select(webhooks, consumers.c.orgs.label("scope"), consumers.c.departed))
    for row in (await connection.execute(query.where(consumers.c.departed != "{}"))).all():
        waiting = set((await connection.execute(waits.where(webhook_waits.c.webhook_id == row.webhook_id))).scalars())
        told = {each for each, position in json.loads(row.departed).items() if position <= row.position}
        named = json.loads(row.orgs)
        kept = [each for each in named if each not in told - waiting or each in json.loads(row.scope)]
        if kept != named:
            anew = update(webhooks).where(webhooks.c.webhook_id == row.webhook_id, webhooks.c.orgs == row.orgs)
            await connection.execute(anew.values(orgs=json.dumps(kept)))


async def trim(connection: AsyncConnection, webhook_id: str) -> None:
    """Delete all but the latest attempts of one webhook."""
    ours = deliveries.c.webhook_id == webhook_id
    query = select(deliveries.c.delivery).where(ours).order_by(deliveries.c.delivery.desc()).offset(MOST).limit(1)
    last = (await connection.execute(query)).scalar_one_or_none()
    if last is not None:
        await connection.execute(delete(deliveries).where(ours, deliveries.c.delivery <= last))
