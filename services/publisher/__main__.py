"""Wires the publisher: readings into the store, the update log to the consumers' exchange, HTTP beside them."""

import asyncio
import resource
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from services.publisher.api import OPERATIONS
from services.publisher.bell import Bell, Bells
from services.publisher.following import Following, Limits
from services.publisher.gate import Gate
from services.publisher.handler import batches, handler
from services.publisher.purging import purges
from services.publisher.rates import Rate
from services.publisher.relay import relay
from services.publisher.retention import retain
from services.publisher.settings import Settings
from services.publisher.web import served
from services.publisher.webhooks.delivery import Post
from services.publisher.webhooks.running import deliver_for_ever, post_office
from shared import logs, process
from shared.broker import Consumer
from shared.coalesce import Coalesce
from shared.config import Deployment
from shared.process import Rim

LINGER = 0.025  # seconds a reading waits for others, to be published in one transaction with them; a live one does not
SPARE = 1000  # files that are no followers: other requests, the database, the broker
LEAVING = 5.0  # seconds the relay has, at the end, for the page in hand


async def run(
    deployment: Deployment, settings: Settings, rim: Rim, *, bound: Callable[[int], None] = lambda _: None
) -> None:
    """Publish until told to stop; return once what is in hand is settled. `bound` is given the HTTP port.

    Raises Halt as the broker's loop does, and OSError where the port is taken.
    """
    _allow_connections(settings.followers)
    followed = Bell()
    following = Following(rim.store, followed, Limits(each=settings.followers_each, total=settings.followers))
    gate = _gate(settings)
    async with (
        post_office(deployment, settings, rim.store, gate.tally) as post,
        served(
            rim.store,
            rim.health,
            host=settings.host,
            port=settings.port,
            following=following,
            gate=gate,
            post=post,
        ) as port,
    ):
        bound(port)
        logs.get("publisher").info("http.listening", port=port)
        try:
            async with asyncio.TaskGroup() as group:
                await _publish(settings, rim, group, followed, post)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None


def _gate(settings: Settings) -> Gate:
    strangers = settings.strangers_per_minute
    return Gate(
        OPERATIONS,
        each=Rate(per_minute=settings.requests_per_minute, burst=settings.requests_burst),
        strangers=Rate(per_minute=strangers, burst=strangers),
        keep_days=settings.keep_accesses_days,
    )


async def _publish(settings: Settings, rim: Rim, group: asyncio.TaskGroup, followed: Bell, post: Post) -> None:
    bell, delivering, ended = Bell(), Bell(), asyncio.Event()
    relaying = group.create_task(relay(rim.store, rim.broker, health=rim.health, bell=bell, stop=ended))
    group.create_task(retain(rim.store, days=settings.keep_updates_days, stop=ended))
    group.create_task(deliver_for_ever(post, delivering, stop=ended))
    rim.health.set("publisher", ready=True)
    try:
        bells = Bells(bell, followed, delivering)
        await rim.broker.run(_consumers(settings, rim, bells), service="publisher", stop=rim.stop)
    finally:
        rim.health.set("publisher", ready=False)
        ended.set()
    await _left(relaying)


def _consumers(settings: Settings, rim: Rim, bell: Bells) -> tuple[Consumer, ...]:
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


def _allow_connections(followers: int) -> None:
    """Let this process have as many files open as its followers need, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = followers + SPARE
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


async def _left(relaying: asyncio.Task[None]) -> None:
    """Give the relay time for the page in hand; what it leaves stays in the log."""
    await asyncio.wait([relaying], timeout=LEAVING)
    relaying.cancel()
    with suppress(asyncio.CancelledError):
        await relaying


if __name__ == "__main__":
    process.main("publisher", Settings, run)
