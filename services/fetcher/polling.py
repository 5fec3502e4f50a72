"""Publishes readings of mailboxes whose time has come: what owes a hint a reading at once, the rest as there is room.

A mailbox that is taken and not read, because the process ended in between, is due again some minutes later.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from services.fetcher.context import Context
from services.fetcher.due import MARKED
from services.fetcher.mailboxes import Due
from shared import clock, logs
from shared.broker import Broker
from shared.connections import EWS, GRAPH
from shared.contracts.messages import MailboxRead
from shared.contracts.values import Instant

PAGE: Final = 500
ROOM: Final = 1000  # messages that wait in the backfill lane at most, so that an org newly connected waits behind few
UNSETTLED: Final = 300  # seconds until a mailbox is due again whose reading never came about
INTERVAL: Final = 1.0
AGAIN: Final = 0.25  # seconds between two looks at the lane's depth
BREATH: Final = 0.05  # seconds in which hints that fall due are gathered
BACKFILL: Final = "fetcher.backfill"
LANES: Final = {GRAPH: BACKFILL, EWS: "fetcher.exchange"}  # where readings wait that no hint brought about


class Look(Struct, frozen=True):
    """What one look came to: so many readings asked for, and whether more wait for room or for their turn."""

    published: int
    more: bool


async def poll(context: Context, broker: Broker, stop: asyncio.Event) -> None:
    """Look for due mailboxes every second, and when told to at once for what owes a hint a reading, until stopped.

    A store or broker that is away is asked again; that it is away is logged once.
    """
    ticks = asyncio.get_running_loop().time
    failing, next_polls = False, ticks()
    while not stop.is_set():
        context.due.clear()
        polls = ticks() >= next_polls
        try:
            look = await publish_due(context, broker, clock.now(), polls=polls)
            pause, failing = AGAIN if look.more else INTERVAL, False
        except Exception as error:  # noqa: BLE001 -- polling outlives whatever befalls store and broker
            if not failing:
                context.log.error("polling.failed", **logs.failure(error))  # noqa: TRY400 -- never its text
            pause, failing, polls = INTERVAL, True, True
        if polls:
            next_polls = ticks() + pause
        await asyncio.sleep(BREATH)
        await _told(context.due, next_polls - ticks())


async def publish_due(context: Context, broker: Broker, now: Instant, *, polls: bool = True) -> Look:
    """Publish readings of up to a page of mailboxes that owe a hint one, and, if `polls`, of others that are due.

    Of those, no more than the lane has room for: what is further behind lies in the store, where every org has its
    share, and not in a queue.
    """
    until = now + UNSETTLED
    hinted = await context.mailboxes.take_due(now, limit=PAGE, until=until, hinted=True)
    await _publish(broker, hinted, now)
    kinds = sorted(await context.mailboxes.kinds_due(now)) if polls else []
    if not kinds:
        return Look(len(hinted), more=len(hinted) == PAGE)
    looks = [await _publish_lane(context, broker, now, kind=kind) for kind in kinds]
    return Look(len(hinted) + sum(look.published for look in looks), more=any(look.more for look in looks))


async def _publish_lane(context: Context, broker: Broker, now: Instant, *, kind: str) -> Look:
    room = min(PAGE, ROOM - await broker.depth(LANES[kind]))
    others = await context.mailboxes.take_due(now, limit=room, until=now + UNSETTLED, kind=kind) if room > 0 else []
    await _publish(broker, others, now)
    return Look(len(others), more=len(others) >= room)


async def _publish(broker: Broker, found: Sequence[Due], now: Instant) -> None:
    if found:
        await broker.publish([_read(each, now) for each in found])


def _read(found: Due, now: Instant) -> MailboxRead:
    return MailboxRead(
        org_id=found.org_id,
        generation=found.generation,
        mailbox_id=found.mailbox_id,
        since=MARKED if found.hinted else now,
        live=found.hinted,
        exchange=found.exchange,
    )


async def _told(due: asyncio.Event, seconds: float) -> None:
    """Return when told to look, or after so many seconds."""
    try:
        await asyncio.wait_for(due.wait(), max(seconds, 0.0))
    except TimeoutError:
        return
