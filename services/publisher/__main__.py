"""Wires the publisher: readings into the store, the update log to the consumers' exchange, HTTP beside them."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from services.publisher.bell import Bell
from services.publisher.handler import batches, handler
from services.publisher.purging import purges
from services.publisher.relay import relay
from services.publisher.retention import retain
from services.publisher.settings import Settings
from services.publisher.web import served
from shared import logs, process
from shared.broker import Consumer
from shared.coalesce import Coalesce
from shared.config import Deployment
from shared.process import Rim

LINGER = 0.025  # seconds a reading waits for others, to be published in one transaction with them; a live one does not
LEAVING = 5.0  # seconds the relay has, at the end, for the page in hand


async def run(_: Deployment, settings: Settings, rim: Rim, *, bound: Callable[[int], None] = lambda _: None) -> None:
    """Publish until told to stop; return once what is in hand is settled. `bound` is given the HTTP port.

    Raises Halt as the broker's loop does, and OSError where the port is taken.
    """
    async with served(rim.store, rim.health, host=settings.host, port=settings.port) as port:
        bound(port)
        logs.get("publisher").info("http.listening", port=port)
        try:
            async with asyncio.TaskGroup() as group:
                await _publish(settings, rim, group)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None


async def _publish(settings: Settings, rim: Rim, group: asyncio.TaskGroup) -> None:
    bell, ended = Bell(), asyncio.Event()
    relaying = group.create_task(relay(rim.store, rim.broker, health=rim.health, bell=bell, stop=ended))
    group.create_task(retain(rim.store, days=settings.keep_updates_days, stop=ended))
    rim.health.set("publisher", ready=True)
    try:
        await rim.broker.run(_consumers(settings, rim, bell), service="publisher", stop=rim.stop)
    finally:
        rim.health.set("publisher", ready=False)
        ended.set()
    await _left(relaying)


def _consumers(settings: Settings, rim: Rim, bell: Bell) -> tuple[Consumer, ...]:
    """Return a consumer for each lane. Live readings share transactions among themselves: none waits for backfill."""
    hurry = partial(bell.ring, hurry=True)
    live = Coalesce(batches(rim.store, wake=hurry), limit=settings.batch)
    backfill = Coalesce(batches(rim.store, wake=bell.ring), limit=settings.batch, linger=LINGER)
    purge = purges(rim.store, rim.broker, wake=hurry)
    return (
        Consumer(queue="publisher.live", handle=handler(live), in_flight=settings.in_flight),
        Consumer(queue="publisher.snapshots", handle=handler(backfill), in_flight=settings.in_flight),
        Consumer(queue="publisher.purge", handle=purge, in_flight=1),
    )


async def _left(relaying: asyncio.Task[None]) -> None:
    """Give the relay time for the page in hand; what it leaves stays in the log."""
    await asyncio.wait([relaying], timeout=LEAVING)
    relaying.cancel()
    with suppress(asyncio.CancelledError):
        await relaying


if __name__ == "__main__":
    process.main("publisher", Settings, run)
