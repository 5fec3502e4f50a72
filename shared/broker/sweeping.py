"""Goes once through a queue of RabbitMQ, as deep as it is at the start, and removes what is not wanted.

All others are held until the end, for what is put back comes first again; then they go back in their order. It keeps no
body of theirs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from pika.exceptions import AMQPError

from shared.broker import link, parked
from shared.broker.forgetting import Unwanted
from shared.broker.wire import Letter, Taken

_IDLE = 0.25  # seconds without a delivery, after which the broker is asked whether any is left
_PASSES = 5  # at most: one that ended because none was left may have been ahead of deliveries under way
_PATIENCE = 20.0  # seconds without a delivery although some are left
_MOST = 65_535  # what AMQP can count
_RENEWED = 500  # copies renewed at most in one go: they alone are held with their bodies

Send = Callable[[Sequence[Letter]], Awaitable[None]]


async def swept(channel: Any, queue: str, unwanted: Unwanted, *, send: Send) -> int:
    """Return how many messages were removed, each heard by the broker. Raises ConnectionError, AMQPError."""
    removed = 0
    for _ in range(_PASSES):
        depth = await link.depth(channel, queue)  # an answer, too: all before it was heard
        if not depth:
            break
        sweep = _Sweep(channel, queue, unwanted, depth)
        await _once(sweep, send)
        removed += sweep.removed
        if sweep.left <= 0:
            break
    await link.depth(channel, queue)
    return removed


async def _once(sweep: "_Sweep", send: Send) -> None:
    channel = sweep.channel
    channel.basic_qos(prefetch_count=sweep.left if sweep.left <= _MOST else 0)  # 0: as many as there are
    consumer = channel.basic_consume(sweep.queue, sweep.take)
    try:
        await sweep.end()
        await link.ask(channel, channel.basic_cancel, consumer_tag=consumer)
        for taken in sweep.worn:
            await send((_renewed(taken),))
            channel.basic_ack(taken.tag)
    finally:
        with suppress(AMQPError):  # a channel that ends puts back, too, but in any order
            channel.basic_nack(0, multiple=True, requeue=True)


class _Sweep:
    """What came of one queue. A copy that was looked at often is `worn`: a broker counts each look, and so do we."""

    def __init__(self, channel: Any, queue: str, unwanted: Unwanted, depth: int) -> None:
        self.removed = 0
        self.worn: list[Taken] = []
        self.channel = channel
        self.queue = queue
        self._unwanted = unwanted
        self.left = depth
        self._moved = asyncio.Event()

    def take(self, _: object, method: Any, properties: Any, body: bytes) -> None:
        """Judge one delivery; what came to the queue after the start is not looked at."""
        self._moved.set()
        self.left -= 1
        if self.left < 0:
            return
        taken = link.taken(self.queue, (method, properties, body), None)
        if self._unwanted(taken.headers):
            self.channel.basic_ack(taken.tag)
            self.removed += 1
        elif taken.deliveries >= parked.RENEW and len(self.worn) < _RENEWED:
            self.worn.append(taken)

    async def end(self) -> None:
        """Return once as many were looked at as there were, or none is left: others consume, too.

        Raises ConnectionError where the broker delivers nothing of what it has.
        """
        idle = 0.0
        while self.left > 0:
            self._moved.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), _IDLE)
            if self._moved.is_set():
                idle = 0.0
                continue
            none_left = not await link.depth(self.channel, self.queue)
            if none_left and not self._moved.is_set():
                return
            idle += _IDLE
            if idle >= _PATIENCE:
                raise ConnectionError("no_delivery")


def _renewed(taken: Taken) -> Letter:
    """Return a copy for the same queue that nobody has looked at yet."""
    return msgspec.structs.replace(parked.renewed(taken), routing_key=taken.queue, message_type=taken.message_type)
