"""Updates as an asynchronous iterator, over SSE or a consumer's own queue, through lost connections.

An update counts as taken when the next one is asked for: what was not is told again. It keeps no state of mailboxes;
for a copy of availability there is `Replica`.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Self

from shared.client.errors import Away
from shared.client.over_amqp import Queue, line
from shared.client.over_http import Http, talking
from shared.client.pauses import pause
from shared.client.taken import Taken
from shared.client.updates import Update, update_of

SECONDS = 3600.0  # to wait for deliveries at a time


def subscribe(source: Http | Queue, *, after: int | None = None) -> "Subscription":
    """Return the updates of a source, each at least once, and in order for each mailbox.

    Over HTTP they begin after the position `after`, where one is given; over a queue with what waits in it. Iterating
    raises Refused where one is turned away, PositionGone where nobody can go on from `after`, and Unreadable.
    """
    return Subscription(source, after)


class Subscription:
    """The updates of one source. `async with` closes the connection at the block's end; so does `aclose`.

    `position` is where to go on over HTTP another time: everything up to it was taken.
    """

    def __init__(self, source: Http | Queue, after: int | None) -> None:
        """Take a source and where to begin; nothing is connected before the first update is asked for."""
        self.position = after
        self._failures = 0
        self._taken = Taken()
        self._updates = self._over_queue(source) if isinstance(source, Queue) else self._over_stream(source)

    def __aiter__(self) -> AsyncIterator[Update]:
        """Give the updates, going on where one stopped."""
        return self

    async def __anext__(self) -> Update:
        """Return the next update; the one before counts as taken."""
        return await anext(self._updates)

    async def __aenter__(self) -> Self:
        """Give the subscription itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection; the last update given out counts as not taken."""
        await self._updates.aclose()

    async def _over_stream(self, http: Http) -> AsyncGenerator[Update, None]:
        while True:
            ordered = 0.0
            try:
                async with talking(http) as talk, aclosing(talk.stream(http.orgs, self.position)) as stream:
                    async for batch in stream:
                        self._failures = 0
                        for update in self._taken.new(batch.updates):
                            yield update
                            self._taken.note(update)
                            self.position = update.position
                        self.position = self.position if batch.position is None else batch.position
            except Away as away:
                ordered = away.after
            await self._pause(ordered)

    async def _over_queue(self, queue: Queue) -> AsyncGenerator[Update, None]:
        while True:
            try:
                async with line(queue, queue.orgs) as deliveries:
                    deliveries.begin()
                    self._failures = 0
                    while True:
                        for tag, body in await deliveries.batch(SECONDS):
                            update = update_of(body)
                            if update is not None and self._taken.is_new(update):
                                yield update
                                self._taken.note(update)
                            deliveries.taken(tag)
            except Away:
                await self._pause(0.0)

    async def _pause(self, ordered: float) -> None:
        chance = random.random()  # noqa: S311 -- spreads load, guards nothing
        await asyncio.sleep(pause(self._failures, chance=chance, ordered=ordered))
        self._failures += 1
