"""Every second: which orgs wait for verification, which are due for a search of their mailboxes.

Both are claimed in the store, so that of several authorizers one acts; neither loop sleeps past `stop`.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from msgspec import Struct

from services.authorizer import due, verdicts
from services.authorizer.desk import Desk, settle
from shared import clock, logs
from shared.broker import Broker
from shared.contracts.messages import MailboxEnumerate
from shared.health import Health

TICK: Final = 1.0
GRACE: Final = 10.0  # seconds that verifications in hand have left once told to stop


class Wakes(Struct, frozen=True):
    """What is set when there is something to do before the second is over."""

    verify: asyncio.Event
    enumerate: asyncio.Event


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
        if not asked or not await _published(broker, asked, stop):
            return
        await due.remember(desk.store, asked, next_at=clock.now() + desk.settings.enumerate_every)
        for org in asked:
            logs.get("authorizer").info("mailboxes.asked_for", org_id=org.org_id, generation=org.generation)

    await _every_second(tick, stop=stop, wake=wakes.enumerate, show=partial(health.set, "authorizer.enumerating"))


async def _published(broker: Broker, asked: tuple[due.Due, ...], stop: asyncio.Event) -> bool:
    """Publish the jobs; False where `stop` came first while the broker was away: the claims run out by themselves."""
    jobs = [MailboxEnumerate(org_id=org.org_id, generation=org.generation, run=uuid.uuid4().hex) for org in asked]
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
