"""Queues in memory, kept apart from all others of the process, on kombu's in-memory transport.

It has no expiry and no dead-lettering: what must rest waits on a timer of the loop. Nothing is polled: whoever
consumes a queue is told when something is put there.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from kombu.transport import memory

from shared import clock
from shared.broker import topology
from shared.broker.untyped import BrokerState, Connection, Exchange, Producer, Queue
from shared.broker.wire import Letter, whole


class Space:
    """The queues that all who open a broker by one name share."""

    def __init__(self) -> None:
        """Begin with the topology declared and every queue empty."""
        self.wakers: dict[str, set[Callable[[], None]]] = defaultdict(set)
        self.users = 0
        self.closed = False
        self._resting: dict[asyncio.TimerHandle, tuple[str, Letter]] = {}
        self._transport = _transport(self)
        self._connection = self.connect()
        self._channel = self._connection.channel()
        self._producer = Producer(self._channel, auto_declare=False)
        self._declare()

    def connect(self) -> Any:
        """Return a kombu connection into this space."""
        return Connection(transport=self._transport, transport_options={"body_encoding": None})

    def put(self, letter: Letter) -> None:
        """Publish a letter, now or, where its exchange is a resting place, to its own queue when its time has come."""
        if letter.exchange in topology.RESTING:
            self._rest(letter)
        else:
            self._publish(letter)

    def depth(self, queue: str) -> int:
        """Return how many messages wait or rest there."""
        resting = sum(rung == queue for rung, _ in self._resting.values())
        return resting + int(Queue(queue)(self._channel).queue_declare(passive=True).message_count)

    def forget(self, queue: str, unwanted: Callable[[Mapping[str, Any]], bool]) -> int:
        """Remove from what waits or rests in a queue all whose headers are not wanted, and return how many."""
        waiting = self._channel.queues[queue].queue  # a deque; whoever consumes runs in this thread
        resting = [
            timer for timer, (rung, letter) in self._resting.items() if rung == queue and unwanted(letter.headers)
        ]
        kept = [message for message in waiting if not unwanted(message["headers"])]
        removed = len(resting) + len(waiting) - len(kept)
        waiting.clear()
        waiting.extend(kept)
        for timer in resting:
            timer.cancel()
            del self._resting[timer]
        return removed

    def close(self) -> None:
        """Forget everything; the space is not to be used again."""
        self.closed = True
        for timer in self._resting:
            timer.cancel()
        self._resting.clear()
        self._connection.close()

    def _declare(self) -> None:
        for name, kind in topology.EXCHANGES.items():
            Exchange(name, type=kind)(self._channel).declare()
        for name in topology.queue_arguments():
            Queue(name)(self._channel).queue_declare()
        for exchange, key, queue in topology.bindings():
            self._channel.queue_bind(queue, exchange, key)

    def _publish(self, letter: Letter) -> None:
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

    def _rest(self, letter: Letter) -> None:
        def arrive() -> None:
            del self._resting[timer]
            self._publish(msgspec.structs.replace(letter, exchange=""))

        seconds = whole(letter.headers.get("not_before")) / 1000 - clock.exact()
        timer = asyncio.get_running_loop().call_later(max(0.0, seconds), arrive)
        self._resting[timer] = str(topology.queue_of(letter.exchange, letter.routing_key)), letter


def _transport(space: Space) -> type[memory.Transport]:
    """Return kombu's transport with queues and bindings of its own, which tells when something was put."""

    class Channel(memory.Channel):
        def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
            put: Any = super()._put
            put(queue, message, **kwargs)
            for wake in space.wakers[queue]:
                wake()

    class Transport(memory.Transport):
        global_state = BrokerState()

    Channel.queues = {}
    Transport.Channel = Channel
    return Transport
