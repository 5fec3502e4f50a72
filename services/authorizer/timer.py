"""Every second: which orgs wait for verification, which are due for a search of their mailboxes, which are leaving.

All are claimed in the store, so that of several authorizers one acts; no loop sleeps past `stop`.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from msgspec import Struct, field

from services.authorizer import due, leaving, verdicts
from services.authorizer.desk import Desk, settle
from services.authorizer.purging import Ask, Close, Purge
from shared import clock, logs
from shared.broker import Broker
from shared.contracts.messages import MailboxEnumerate, Message, OrgPurge, Purged
from shared.health import Health

TICK: Final = 1.0
GRACE: Final = 10.0  # seconds that verifications in hand have left once told to stop


class Wakes(Struct, frozen=True):
    """What is set when there is something to do before the second is over."""

    verify: asyncio.Event = field(default_factory=asyncio.Event)
    enumerate: asyncio.Event = field(default_factory=asyncio.Event)
    purge: asyncio.Event = field(default_factory=asyncio.Event)


async def keep_verifying(desk: Desk, *, stop: asyncio.Event, wakes: Wakes, health: Health) -> None:
    """Verify what waits, several orgs at a time, until told to stop; what is in hand then gets a moment to finish."""
    running: set[asyncio.Task[None]] = set()

    def done(task: asyncio.Task[None]) -> None:
        running.discard(task)
        wakes.verify.set()
        wakes.enumerate.set()
        if not task.cancelled() and (error := task.exception()):
            logs.get("authorizer").error("org.failed", **logs.failure(error))  # the store is away; the claim runs out

    async def tick() -> None:
        free = desk.settings.verifications - len(running)
        for claimed in await verdicts.claim(desk.store, now=clock.now(), limit=free) if free else ():
            task = asyncio.create_task(settle(desk, claimed))
            running.add(task)
            task.add_done_callback(done)

    await _every_second(tick, stop=stop, wake=wakes.verify, show=partial(health.set, "authorizer.verifying"))
    if running:
        _, late = await asyncio.wait(set(running), timeout=GRACE)
        for task in late:
            task.cancel()  # its claim runs out, and another process takes the org up
        await asyncio.gather(*late, return_exceptions=True)


async def keep_enumerating(desk: Desk, broker: Broker, *, stop: asyncio.Event, wakes: Wakes, health: Health) -> None:
    """Ask for a search of every org that is due, until told to stop."""

    async def tick() -> None:
        asked = await due.claim(desk.store, now=clock.now())
        if not asked or not await _published(broker, [_job(org) for org in asked], stop):
            return
        await due.remember(desk.store, asked, next_at=clock.now() + desk.settings.enumerate_every)
        for org in asked:
            logs.get("authorizer").info("mailboxes.asked_for", org_id=org.org_id, generation=org.generation)

    await _every_second(tick, stop=stop, wake=wakes.enumerate, show=partial(health.set, "authorizer.enumerating"))


def _job(org: due.Due) -> MailboxEnumerate:
    return MailboxEnumerate(org_id=org.org_id, generation=org.generation, run=uuid.uuid4().hex)


async def keep_purging(desk: Desk, broker: Broker, *, stop: asyncio.Event, wakes: Wakes, health: Health) -> None:
    """See every disconnection through to its receipt, until told to stop. One that fails holds up no other."""

    async def tick() -> None:
        failures = []
        for purge in await leaving.under_way(desk.store):
            try:
                await _go_on(desk, broker, purge, stop=stop)
            except Exception as error:  # noqa: BLE001 -- raised again below, once the others had their turn
                logs.get("authorizer").error("purge.failed", org_id=purge.org_id, **logs.failure(error))
                failures.append(error)
        if failures:
            raise failures[0]

    await _every_second(tick, stop=stop, wake=wakes.purge, show=partial(health.set, "authorizer.purging"))


async def _go_on(desk: Desk, broker: Broker, purge: Purge, *, stop: asyncio.Event) -> None:
    now, log = clock.now(), logs.get("authorizer").bind(org_id=purge.org_id, generation=purge.generation)
    match await leaving.next_step(desk.store, purge, now=now):
        case Ask(services=services):
            if await leaving.claim(desk.store, purge, now=now):
                await _published(broker, [_request(purge, service) for service in services], stop)
                log.info("purge.asked_for", count=len(services))
        case Close():
            await leaving.close(desk.store, purge, now=now)
            log.info("org.purged")


def _request(purge: Purge, service: Purged) -> OrgPurge:
    return OrgPurge(org_id=purge.org_id, generation=purge.generation, purge_id=purge.purge_id, service=service)


async def _published(broker: Broker, jobs: Sequence[Message], stop: asyncio.Event) -> bool:
    """Publish the jobs; False where `stop` came first while the broker was away: the claims run out by themselves."""
    publishing = asyncio.create_task(broker.publish(jobs))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({publishing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not publishing.done():
            await asyncio.wait({publishing}, timeout=GRACE)
        if publishing.done():
            await publishing
            return True
        return False
    finally:
        for task in (publishing, stopping):
            task.cancel()
        await asyncio.gather(publishing, stopping, return_exceptions=True)


async def _every_second(
    tick: Callable[[], Awaitable[None]], *, stop: asyncio.Event, wake: asyncio.Event, show: Callable[..., None]
) -> None:
    """Call `tick` each second, or sooner when woken; a failure is logged, shown as unready, and tried again."""
    while not stop.is_set():
        wake.clear()
        try:
            await tick()
        except Exception as error:  # noqa: BLE001 -- the store or the broker may be away for a while
            logs.get("authorizer").error("timer.failed", **logs.failure(error))
            show(ready=False)
        else:
            show(ready=True)
        await _pause(stop, wake)


async def _pause(stop: asyncio.Event, wake: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in (stop, wake)]
    await asyncio.wait(waiting, timeout=TICK, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
