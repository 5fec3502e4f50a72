"""The embedded engine: one process, queues in memory; what they hold is gone when they are closed.

There are no confirms to wait for; whether a letter can be routed is read off our own topology.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from queue import Empty
from typing import Any

from shared.broker import topology
from shared.broker.forgetting import Unwanted
from shared.broker.interface import Unroutable
from shared.broker.source import Source
from shared.broker.space import Space
from shared.broker.wire import Letter, Taken

_TURN = 64  # deliveries handed on before the loop may do other things


class Memory:
    """The engine on one space."""

    def __init__(self, space: Space) -> None:
        """Use a space until closed."""
        self._space = space
        self._left = False
        space.users += 1

    async def send(self, letters: Sequence[Letter]) -> None:
        """Publish; it is confirmed with that. Raises Unroutable."""
        for letter in letters:
            if letter.mandatory and topology.queue_of(letter.exchange, letter.routing_key) is None:
                raise Unroutable(letter.routing_key)
            self._space.put(letter)

    def announce(self, letters: Sequence[Letter]) -> Awaitable[bool]:
        """Publish to consumers at once; there is no broker to wait for."""
        for letter in letters:
            self._space.put(letter)
        taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        taken.set_result(True)
        return taken

    async def forget(self, queue: str, unwanted: Unwanted) -> int:
        """Remove what is not wanted from a queue, and return how many."""
        return self._space.forget(queue, unwanted)

    def consume(self, wanted: Mapping[str, int], take: Callable[[Taken], None]) -> "Consumption":
        """Begin deliveries."""
        return Consumption(self._space, wanted, take)

    async def browse(self, queue: str) -> "Browser":
        """Look through a queue by hand."""
        return Browser(self._space, queue)

    async def depth(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        return self._space.depth(queue)

    async def close(self) -> None:
        """Leave the space; the last one out forgets what it holds."""
        if not self._left:
            self._left = True
            self._space.users -= 1
            if not self._space.users:
                self._space.close()


class Consumption:
    """Deliveries from the queues of a space."""

    def __init__(self, space: Space, wanted: Mapping[str, int], take: Callable[[Taken], None]) -> None:
        """Begin at once."""
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[None] = self._loop.create_future()
        self._space = space
        self._turn: asyncio.Handle | None = None
        self._connection = space.connect()
        self._sources = [
            Source(queue, self._connection.channel(), prefetch=prefetch, multiple=False)
            for queue, prefetch in wanted.items()
        ]
        for source in self._sources:
            source.begin(_read, take, self._on_lost)
            space.wakers[source.queue].add(self._wake)
        self._wake()

    def settle(self, taken: Taken) -> None:
        """Acknowledge, which frees a place for the next."""
        taken.source.settle(taken)
        self._loop.call_soon(self._wake)  # after the source has told its channel, which it does on the next turn

    def release(self, taken: Taken) -> None:
        """Put a delivery back into its queue."""
        taken.source.release(taken)

    def pause(self) -> None:
        """Take no more."""
        for source in self._sources:
            self._space.wakers[source.queue].discard(self._wake)
            source.channel.basic_cancel(source.queue)

    async def close(self) -> None:
        """Hand back whatever is neither settled nor released; kombu's transport would forget it."""
        self.pause()
        for source in self._sources:
            source.end()
            for tag in source.unsettled:
                source.channel.basic_reject(tag, requeue=True)
        if self._turn is not None:
            self._turn.cancel()
        self._connection.close()
        self.failed.cancel()

    def _on_lost(self, error: Exception) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    def _wake(self) -> None:
        if self._turn is None:
            self._turn = self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        self._turn = None
        try:
            for _ in range(_TURN):
                self._connection.drain_events(timeout=0)
        except (TimeoutError, Empty):  # nothing there, or no hand free: a waker or a settlement calls again
            return
        self._wake()


class Browser:
    """A queue taken message by message, put back in order."""

    alive = True

    def __init__(self, space: Space, queue: str) -> None:
        """Begin at the head of the queue."""
        self.queue = queue
        self._connection = space.connect()
        self._channel = self._connection.channel()
        self._held: dict[Any, None] = {}

    async def get(self) -> Taken | None:
        """Return the next message, or None at the end."""
        raw = self._channel.basic_get(self.queue)
        if raw is None:
            return None
        self._held[raw.delivery_tag] = None
        return _read(self, raw)

    def settle(self, taken: Taken) -> None:
        """Remove it for good."""
        del self._held[taken.tag]
        self._channel.basic_ack(taken.tag)

    async def close(self) -> None:
        """Put back whatever was not removed."""
        for tag in self._held:
            self._channel.basic_reject(tag, requeue=True)
        self._connection.close()


def _read(source: Source | Browser, raw: Any) -> Taken:
    properties = raw.properties
    return Taken(
        queue=source.queue,
        body=bytes(raw.body or b""),
        headers=raw.headers,
        message_id=properties.get("message_id") or "",
        message_type=properties.get("type") or "",
        timestamp=properties.get("timestamp") or 0,
        redelivered=bool(raw._raw.get("redelivered")),  # noqa: SLF001 -- kombu keeps the mark nowhere else
        tag=raw.delivery_tag,
        source=source,
    )
