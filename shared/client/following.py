"""Keeps a replica at the publisher's state: a snapshot, then updates, over SSE or a queue, through whatever happens.

Over a queue it catches up over HTTP with each connection and from time to time, so that what the queue lost is found.
It ends only by being cancelled, or where the other side will not have us (Refused).
"""

import asyncio
import random
from contextlib import aclosing
from typing import NoReturn

from shared.client.errors import Away, PositionGone, Refused
from shared.client.ledger import Ledger
from shared.client.over_amqp import Line, Queue, line
from shared.client.over_http import Http, Talk, talking
from shared.client.pauses import pause
from shared.client.replica import Replica
from shared.client.updates import Update, update_of

CATCH_UP = 300.0  # seconds after which what the queue may have lost meanwhile is looked for over HTTP
LOOK_AGAIN = 600.0  # seconds after which it is looked whether an org that left has come back
UNKNOWN_ORG = "org_unknown"  # the refusal of an org that left, or that the token may not see (any more)
LEFT = (UNKNOWN_ORG, "broker_access_refused")  # what is said where one of several orgs left


async def follow(replica: Replica, http: Http, queue: Queue | None = None) -> NoReturn:
    """Keep a replica of the orgs named in `http` up to date, over SSE, or over a queue where one is given.

    Runs until it is cancelled. Raises Refused where a token, a password or an org never seen before is turned away,
    Unreadable where something comes that cannot be understood, and ValueError where no org is named.
    """
    if not http.orgs:
        raise ValueError("a replica needs its orgs by name")
    await asyncio.to_thread(replica.keep_only, http.orgs)
    follower = _Follower(replica, http, queue)
    while True:
        await follower.once()


class _Follower:
    """One replica's following, over many connections."""

    def __init__(self, replica: Replica, http: Http, queue: Queue | None) -> None:
        self._replica = replica
        self._http = http
        self._queue = queue
        self._ledger = Ledger()
        self._failures = 0
        self._anew = False

    async def once(self) -> None:
        """Follow until the connection ends, and wait before the next."""
        ordered = 0.0
        try:
            async with talking(self._http) as talk:
                await self._connection(talk)
        except Away as away:
            ordered = away.after
        finally:
            self._replica.stats.connected = False
        chance = random.random()  # noqa: S311 -- spreads load, guards nothing
        await asyncio.sleep(pause(self._failures, chance=chance, ordered=ordered))
        self._failures += 1

    async def _connection(self, talk: Talk) -> None:
        """Follow until the connection ends; not for ever, where an org that left may come back."""
        try:
            async with asyncio.timeout(LOOK_AGAIN if self._replica.left() else None):
                await (self._over_queue(talk, self._queue) if self._queue else self._over_stream(talk))
        except TimeoutError:
            return
        except PositionGone:
            self._replica.stats.gaps += 1
            self._anew = True
        except Refused as refused:
            if refused.reason not in LEFT or not await self._forget_those_that_left(talk):
                raise

    async def _snapshots(self, talk: Talk) -> None:
        """Take the snapshots that are lacking, and go on from the earliest position that nothing is missing after."""
        followed = () if self._anew else self._replica.orgs()
        lacking = [each for each in self._http.orgs if each not in followed]
        taken = [await self._snapshot(talk, org_id) for org_id in lacking]
        positions = [each for each in taken if each is not None]
        held = None if self._anew else self._replica.position
        if positions:
            await asyncio.to_thread(self._replica.go_on_from, min([*positions, *([] if held is None else [held])]))
        self._anew = False

    async def _snapshot(self, talk: Talk, org_id: str) -> int | None:
        """Take an org's snapshot and return its position, None where it left. Raises Refused where it never was."""
        cursor: str | None = None
        try:
            while True:
                page = await talk.snapshot(org_id, cursor)
                await asyncio.to_thread(self._replica.lay_aside, org_id, page.entries)
                cursor = page.cursor
                if cursor is None:
                    break
        except Refused as refused:
            if refused.reason != UNKNOWN_ORG or org_id not in (*self._replica.orgs(), *self._replica.left()):
                raise
            await asyncio.to_thread(self._replica.forget, org_id)
            return None
        await asyncio.to_thread(self._replica.begin, org_id, page.position)
        return page.position

    def _connected(self) -> None:
        if not self._replica.stats.connected:
            self._replica.stats.connected = True
            self._replica.stats.connections += 1
        self._failures = 0

    # -- over SSE -----------------------------------------------------------------------------------------------

    async def _over_stream(self, talk: Talk) -> None:
        await self._snapshots(talk)
        if not (orgs := self._replica.orgs()):
            return
        async with aclosing(talk.stream(orgs, self._replica.position)) as stream:
            async for batch in stream:
                self._connected()
                if batch.updates or batch.position is not None:
                    await asyncio.to_thread(self._replica.told, batch.updates, batch.position)

    # -- over a queue -------------------------------------------------------------------------------------------

    async def _over_queue(self, talk: Talk, queue: Queue) -> None:
        left = self._replica.left()
        async with line(queue, [each for each in self._http.orgs if each not in left]) as deliveries:
            await self._snapshots(talk)
            await self._catch_up(talk)
            deliveries.begin()
            self._connected()
            await self._consume(talk, deliveries)

    async def _consume(self, talk: Talk, deliveries: Line) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + CATCH_UP
        while True:
            await self._take(deliveries, max(0.0, due - loop.time()))
            if self._ledger.full or loop.time() >= due:
                await self._catch_up(talk)
                due = loop.time() + CATCH_UP

    async def _take(self, deliveries: Line, seconds: float) -> None:
        came = await deliveries.batch(seconds)
        updates = [update for _, body in came if (update := update_of(body)) is not None]
        if updates:
            await asyncio.to_thread(self._replica.brought, updates)
            self._note(updates)
        if came:
            deliveries.taken(came[-1][0])

    def _note(self, updates: list[Update]) -> None:
        before = self._ledger.gaps
        for update in updates:
            self._ledger.brought(update.position)
        self._replica.stats.gaps += self._ledger.gaps - before

    async def _catch_up(self, talk: Talk) -> None:
        """Read over HTTP what came since the replica's position, apply what the queue has not brought, and move on."""
        orgs = self._replica.orgs()
        position, more = self._replica.position or 0, bool(orgs)
        while more:
            page = await talk.updates(orgs, position)
            missing = self._ledger.lacking(page.updates)
            position, more = page.position or position, page.more
            await asyncio.to_thread(self._replica.told, missing, position)
        self._ledger.caught_up(position)

    # -- orgs that left -----------------------------------------------------------------------------------------

    async def _forget_those_that_left(self, talk: Talk) -> bool:
        """Drop what is held of orgs that may not be seen any more, and say whether there are any."""
        before = set(self._replica.left())
        for org_id in self._replica.orgs():
            try:
                await talk.snapshot(org_id)
            except Refused as refused:
                if refused.reason != UNKNOWN_ORG:
                    raise
                await asyncio.to_thread(self._replica.forget, org_id)
        return set(self._replica.left()) != before
