"""Serves one webhook under one lease: mailboxes beside each other, each in order, until nothing is due or it pauses.

It goes by rounds: take what comes next, let it run for a while, write what became of it. Whatever is still under way
then has its place among the waiting, so nothing is lost whenever the process dies.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from msgspec import Struct

from services.publisher.webhooks.delivery import Course, Post, deliver
from services.publisher.webhooks.lanes import Lane
from services.publisher.webhooks.lease import LeaseLostError, release, renew
from services.publisher.webhooks.ledger import Put, Settlement, Waiting, ahead, due, forgotten, settle
from services.publisher.webhooks.order import Key, Laid, laid_out
from services.publisher.webhooks.retries import FORGOTTEN, Wait
from services.publisher.webhooks.view import Served, served
from shared import logs

ROOM: Final = 32  # mailboxes, or updates after the cursor, that are under way at a time
SLICE: Final = 0.5  # seconds until what is done is written, though others are still under way
RENEWED: Final = 15  # seconds after which a lease is renewed
LEAVING: Final = 4.0  # seconds that requests under way have at the end


class Taken(Struct, frozen=True, kw_only=True):
    """What a round begins with: where the cursor comes, and who waits or waits no more before anything is sent."""

    reached: int
    puts: tuple[Put, ...] = ()
    over: tuple[Key, ...] = ()


class Worker:
    """Serves one webhook."""

    def __init__(
        self, post: Post, webhook_id: str, lease: str, stop: asyncio.Event, over: Callable[[], bool] = lambda: False
    ) -> None:
        """Take what was claimed; once its turn is `over`, it finishes what is under way and begins nothing more."""
        self._store = post.store
        self._id = webhook_id
        self._course = Course(post, lease, stop, over)
        self._lanes: dict[asyncio.Task[None], Lane] = {}
        self._hook: Served | None = None
        self.found = False  # anything to deliver at all

    async def serve(self) -> None:
        """Deliver until nothing is due, the endpoint pauses, or it is told to stop. Raises Retry and VaultError."""
        try:
            with suppress(LeaseLostError):
                while not self._course.stop.is_set() and await self._round():
                    pass
                await self._leave()
        finally:
            await self._drop()
        await release(self._store, self._id, self._course.lease)

    async def _round(self) -> bool:
        """Take what comes next and work at it; False where there is nothing to do for now."""
        hook = await served(self._store, self._id, self._course.lease)
        if hook is None:
            return False
        if self._hook is None:
            self._course.endpoint = hook.endpoint
        self._hook = hook
        taken = await self._take(hook)
        if not (self._lanes or taken.over or taken.reached > hook.position or self._course.disabled):
            return False
        if self._lanes:
            await asyncio.wait(self._lanes, timeout=SLICE)
        if self._lanes and self._course.disabled:
            await asyncio.wait(self._lanes)  # none begins another request
        return await self._settle(hook, taken)

    async def _take(self, hook: Served) -> Taken:
        """Take up what comes next: first whoever waits and is due, then what lies after the cursor."""
        course = self._course
        room = (1 if course.endpoint.ill else ROOM) - len(self._lanes)
        if room <= 0 or not course.may_send():
            return Taken(reached=hook.position)
        under_way = {lane.key for lane in self._lanes.values()}
        waiting = await due(self._store, hook, now=course.now, limit=room + len(under_way))
        waiting = alone([each for each in waiting if each.key not in under_way], under_way)[:room]
        over = tuple(each.key for each in waiting if not each.positions)
        # whoever waits is left out of what lies ahead: the cursor must not move while somebody is let go
        beyond = 0 if over else room - len(waiting)
        laid = await self._ahead(hook, beyond, idle=not (waiting or under_way))
        if await forgotten(self._store, hook):
            course.disabled = FORGOTTEN
            return Taken(reached=hook.position)
        self._start(hook, waiting, laid)
        puts = (_behind(key, position, now=course.now) for key, position in laid.behind.items())
        return Taken(reached=laid.reached, puts=tuple(puts), over=over)

    async def _ahead(self, hook: Served, room: int, *, idle: bool) -> Laid:
        nothing = Laid(lanes={}, behind={}, reached=hook.position)
        if room <= 0:
            return nothing
        rows, reached = await ahead(self._store, hook, limit=room)
        return laid_out(rows, reached=reached, idle=idle) or nothing

    def _start(self, hook: Served, waiting: list[Waiting], laid: Laid) -> None:
        lanes = [Lane(each.key, each.positions, each.wait) for each in waiting if each.positions]
        lanes += [Lane(key, positions) for key, positions in laid.lanes.items()]
        self.found = self.found or bool(lanes)
        for lane in lanes:
            self._lanes[asyncio.create_task(deliver(lane, hook, self._course))] = lane

    async def _settle(self, hook: Served, taken: Taken) -> bool:
        """Write what became of everything, and return whether it goes on: what comes meanwhile is written next.

        Raises LeaseLostError, Retry, and whatever ended a lane.
        """
        course, now = self._course, self._course.now
        ended = [task for task in self._lanes if task.done()]
        done = self._done(taken, ended, now=now)
        if done.made or done.puts or done.over or done.reached > hook.position or done.disabled:
            await settle(self._store, hook, course.lease, done, now=now)
            course.leased_at = now
        elif now - course.leased_at >= RENEWED:
            await renew(self._store, self._id, course.lease, now=now)
            course.leased_at = now
        self._end(ended)
        if done.disabled:
            logs.get("publisher").warning("webhook.disabled", webhook=self._id, reason=done.disabled)
        return done.disabled is None

    def _done(self, taken: Taken, ended: list[asyncio.Task[None]], *, now: int) -> Settlement:
        """Return what is to be written, and begin to gather anew."""
        course = self._course
        puts = [lane.put(course.endpoint, ended=task in ended, now=now) for task, lane in self._lanes.items()]
        made = tuple(each for lane in self._lanes.values() for each in lane.made)
        for lane in self._lanes.values():
            lane.made.clear()
        hurry, course.hurry = course.hurry, False
        return Settlement(
            reached=taken.reached,
            endpoint=course.endpoint,
            puts=(*taken.puts, *(put for put in puts if put is not None)),
            over=taken.over,
            made=made,
            hurry=hurry,
            disabled=course.disabled,
        )

    def _end(self, ended: list[asyncio.Task[None]]) -> None:
        failures = [error for task in ended if self._lanes.pop(task) and (error := task.exception()) is not None]
        if failures:
            raise failures[0]

    async def _leave(self) -> None:
        """Give requests under way some time at the end, and write what became of them."""
        if self._lanes and self._hook is not None and not self._course.disabled:
            await asyncio.wait(self._lanes, timeout=LEAVING)
            hook = await served(self._store, self._id, self._course.lease)
            if hook is not None:
                await self._settle(hook, Taken(reached=hook.position))

    async def _drop(self) -> None:
        """End what is still under way: it is delivered again."""
        for task in self._lanes:
            task.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)
        self._lanes.clear()


def alone(waiting: list[Waiting], under_way: set[Key]) -> list[Waiting]:
    """Leave out the words on orgs of whose mailboxes something is still to go before."""
    busy = {key.org_id for key in under_way} | {each.key.org_id for each in waiting if each.key.mailbox_id}
    return [each for each in waiting if each.key.mailbox_id or each.key.org_id not in busy]


def _behind(key: Key, position: int, *, now: int) -> Put:
    return Put(key=key, position=position, wait=Wait(attempts=0, first_at=now, next_at=now))
