"""The embedded engine: kombu's in-memory transport, for one process. What it holds is gone when it is closed.

It has no confirms, no expiry and no dead-lettering, so routing is checked against our own topology and delays are
timers of the loop; nothing is polled.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from queue import Empty
from typing import Any

import kombu
from kombu.transport import memory, virtual

from shared import clock
from shared.broker import topology
from shared.broker.interface import Unroutable
from shared.broker.source import Source
from shared.broker.wire import Letter, Taken, whole

_TURN = 64  # deliveries handed on before the loop may do other things


class Space:
    """Queues that every broker opened under one name shares, kept apart from kombu's process-wide ones."""

    def __init__(self) -> None:
        """Begin with the topology declared and every queue empty."""
        self.wakers: dict[str, set[Callable[[], None]]] = defaultdict(set)
        self.resting: dict[asyncio.TimerHandle, str] = {}
        self.users = 0
        self._transport = _transport(self)
        self._connection = self.connect()
        self.channel = self._connection.channel()
        self._producer = kombu.Producer(self.channel, auto_declare=False)
        for name, kind in topology.EXCHANGES.items():
            kombu.Exchange(name, type=kind)(self.channel).declare()
        for name in topology.queue_arguments():
            kombu.Queue(name)(self.channel).queue_declare()
        for exchange, key, queue in topology.bindings():
            self.channel.queue_bind(queue, exchange, key)

    def connect(self) -> kombu.Connection:
        """Return a connection into this space."""
        return kombu.Connection(transport=self._transport, transport_options={"body_encoding": None})

    def put(self, letter: Letter) -> None:
        """Publish now, whatever is written about resting."""
        self._producer.publish(
            letter.body,
            exchange=letter.exchange,
            routing_key=letter.routing_key,
            content_type=letter.content_type,
            content_encoding="utf-8",
            headers=dict(letter.headers),
            message_id=letter.message_id,
            type=letter.message_type,
            timestamp=letter.timestamp,
        )

    def rest(self, letter: Letter) -> None:
        """Publish to the letter's own queue once its time has come."""

        def arrive() -> None:
            del self.resting[timer]
            self._producer.publish(
                letter.body,
                exchange="",
                routing_key=letter.routing_key,
                content_type=letter.content_type,
                content_encoding="utf-8",
                headers=dict(letter.headers),
                message_id=letter.message_id,
                type=letter.message_type,
                timestamp=letter.timestamp,
            )

        seconds = whole(letter.headers.get("not_before")) / 1000 - clock.exact()
        timer = asyncio.get_running_loop().call_later(max(0.0, seconds), arrive)
        self.resting[timer] = str(topology.queue_of(letter.exchange, letter.routing_key))

    def close(self) -> None:
        """Forget everything."""
        for timer in self.resting:
            timer.cancel()
        self.resting.clear()
        self._connection.close()


def _transport(space: Space) -> type[memory.Transport]:
    """Return kombu's transport with queues and bindings of its own, which says when something was put."""

    class Channel(memory.Channel):  # type: ignore[misc]
        queues: dict[str, Any] = {}

        def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
            super()._put(queue, message, **kwargs)
            for wake in space.wakers[queue]:
                wake()

    class Transport(memory.Transport):  # type: ignore[misc]
        global_state = virtual.BrokerState()

    Transport.Channel = Channel
    return Transport


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
        taken.source.settle(taken)
        self._wake()

    def release(self, taken: Taken) -> None:
        taken.source.release(taken)

    def pause(self) -> None:
        for source in self._sources:
            self._space.wakers[source.queue].discard(self._wake)
            source.channel.basic_cancel(source.queue)

    async def close(self) -> None:
        for source in self._sources:
            self._space.wakers[source.queue].discard(self._wake)
            source.end()
            for tag in source.unsettled:
                source.channel.basic_reject(tag, requeue=True)
        if self._turn is not None:
            self._turn.cancel()
        self._connection.close()
        if not self.failed.done():
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


def _read(source: Any, raw: Any) -> Taken:
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


class _Browser:
    """A queue taken message by message, put back in order."""

    alive = True

    def __init__(self, space: Space, queue: str) -> None:
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


class Memory:
    """The engine on one space."""

    def __init__(self, space: Space) -> None:
        """Use a space until closed."""
        self._space = space
        space.users += 1

    async def send(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            if letter.mandatory and topology.queue_of(letter.exchange, letter.routing_key) is None:
                raise Unroutable(letter.routing_key)
            if letter.exchange in topology.RESTING:
                self._space.rest(letter)
            else:
                self._space.put(letter)

    def consume(self, wanted: Mapping[str, int], take: Callable[[Taken], None]) -> Consumption:
        return Consumption(self._space, wanted, take)

    async def browse(self, queue: str) -> _Browser:
        return _Browser(self._space, queue)

    async def depth(self, queue: str) -> int:
        resting = sum(rung == queue for rung in self._space.resting.values())
        return resting + int(self._space.channel._size(queue))  # noqa: SLF001 -- kombu offers it by declaring only

    async def close(self) -> None:
        self._space.users -= 1
        if not self._space.users:
            self._space.close()
