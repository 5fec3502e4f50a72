"""Publishes readings of mailboxes whose time has come: published first, remembered then.

A mailbox taken and not settled, because the process ended in between, is due again a minute later.
"""

import asyncio
from typing import Final

from services.fetcher import due
from services.fetcher.context import Context
from services.fetcher.mailboxes import Due
from shared import clock, logs
from shared.broker import Broker
from shared.contracts.messages import MailboxRead
from shared.contracts.values import Instant

PAGE: Final = 500
UNSETTLED: Final = 60
INTERVAL: Final = 1.0


async def poll(context: Context, broker: Broker, stop: asyncio.Event) -> None:
    """Look for due mailboxes every second until `stop` is set; a store that fails is asked again."""
    while not stop.is_set():
        try:
            while await publish_due(context, broker, clock.now()) == PAGE and not stop.is_set():
                pass
        except Exception as error:  # noqa: BLE001 -- polling outlives whatever befalls the store
            context.log.error("polling.failed", **logs.failure(error))  # noqa: TRY400 -- never its text
        try:
            await asyncio.wait_for(stop.wait(), INTERVAL)
        except TimeoutError:
            continue


async def publish_due(context: Context, broker: Broker, now: Instant) -> int:
    """Publish readings for up to a page of due mailboxes and return how many."""
    taken = now + UNSETTLED
    found = await context.mailboxes.take_due(now, limit=PAGE, until=taken)
    if found:
        await broker.publish([_read(each, now) for each in found])
        interval = context.settings.poll_seconds
        times = [(each, due.next_due(now, interval, each.mailbox_id)) for each in found]
        await context.mailboxes.settle_due(times, taken=taken)
    return len(found)


def _read(found: Due, now: Instant) -> MailboxRead:
    return MailboxRead(
        org_id=found.org_id, generation=found.generation, mailbox_id=found.mailbox_id, since=now, live=True
    )
