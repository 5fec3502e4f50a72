"""The engine for RabbitMQ: consuming through kombu, publishing and looking through pika, a connection each."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pika.exceptions import AMQPError
from pika.spec import Basic

from shared.broker import declare, link
from shared.broker.address import Address
from shared.broker.announcer import Announcer
from shared.broker.consumption import Consumption
from shared.broker.forgetting import Unwanted
from shared.broker.publisher import Publisher
from shared.broker.sweeping import swept
from shared.broker.wire import Letter, Taken

_PATIENCE = 20.0  # seconds for any answer


class Rabbit:
    """RabbitMQ at one address."""

    def __init__(self, address: Address) -> None:
        """Connect when first asked for something."""
        self._address = address
        self._publisher = Publisher(address, self._declare)
        self._announcer = Announcer(address, self._declare)
        self._declared = False

    async def send(self, letters: Sequence[Letter]) -> None:
        """Return once every letter is confirmed. Raises Unroutable, or Halt where the broker refuses us by name."""
        await self._publisher.send(letters)

    def announce(self, letters: Sequence[Letter]) -> Awaitable[bool]:
        """Hand letters to the broker now, or not at all: see Broker.announce."""
        return self._announcer.announce(letters)

    async def forget(self, queue: str, unwanted: Unwanted) -> int:
        """Remove what is not wanted from a queue, and return how many. Raises OSError."""
        if not self._declared:
            await self._declare()
        connection, lost = await link.connect(self._address)
        try:
            return await swept(await link.channel(connection, lost), queue, unwanted, send=self.send)
        except AMQPError as error:  # lost since the last answer
            raise ConnectionError(type(error).__name__) from error
        finally:
            await link.close(connection)

    def consume(self, wanted: Mapping[str, int], take: Callable[[Taken], None]) -> Consumption:
        """Begin deliveries."""
        return Consumption(self._address, wanted, take)

    async def browse(self, queue: str) -> "_Browser":
        """Look through a queue by hand. Raises OSError, AMQPError."""
        if not self._declared:
            await self._declare()
        connection, lost = await link.connect(self._address)
        try:
            return _Browser(connection, await link.channel(connection, lost), queue)
        except BaseException:
            await link.close(connection)
            raise

    async def depth(self, queue: str) -> int:
        """Return how many messages wait in a queue. Raises OSError, AMQPError."""
        if not self._declared:
            await self._declare()
        connection, lost = await link.connect(self._address)
        try:
            return await link.depth(await link.channel(connection, lost), queue)
        finally:
            await link.close(connection)

    async def close(self) -> None:
        """Close every connection."""
        await self._announcer.close()
        await self._publisher.close()

    async def _declare(self) -> None:
        await asyncio.to_thread(declare.ensure, self._address)
        self._declared = True


class _Browser:
    """A queue taken message by message; closing puts back what was not settled, in order."""

    alive = True

    def __init__(self, connection: Any, channel: Any, queue: str) -> None:
        self._connection = connection
        self._channel = channel
        self._queue = queue
        self._answer: asyncio.Future[tuple[Any, ...]] = asyncio.get_running_loop().create_future()
        channel.add_callback(self._on_answer, [Basic.GetEmpty], one_shot=False)
        channel.add_on_close_callback(self._on_end)

    async def get(self) -> Taken | None:
        """Return the next message, or None at the end. Raises ConnectionError."""
        self._answer = asyncio.get_running_loop().create_future()
        self._channel.basic_get(self._queue, self._on_answer)
        answer = await asyncio.wait_for(self._answer, _PATIENCE)
        if len(answer) == 1:  # GetEmpty
            return None
        _, method, properties, body = answer
        return link.taken(self._queue, (method, properties, body), self)

    def settle(self, taken: Taken) -> None:
        self._channel.basic_ack(taken.tag)

    async def close(self) -> None:
        """Put back whatever was not settled, at once: a channel that ends puts it back in any order."""
        with suppress(AMQPError):
            self._channel.basic_nack(0, multiple=True, requeue=True)
        await link.close(self._connection)

    def _on_answer(self, *answer: Any) -> None:
        if not self._answer.done():
            self._answer.set_result(answer)

    def _on_end(self, _: object, reason: BaseException) -> None:
        if not self._answer.done():
            self._answer.set_exception(ConnectionError(type(reason).__name__))
            self._answer.exception()  # seen: nobody may be waiting
