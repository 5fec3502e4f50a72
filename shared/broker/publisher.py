"""Publishing to RabbitMQ: pika on the asyncio loop, confirms pipelined, mandatory, on a connection of its own.

Whatever is not confirmed when a connection is lost, or is refused by the broker, is published again until it is.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import takewhile
from typing import Any

import pika
from pika.exceptions import AMQPError

from shared.broker import backoff, keeping, link
from shared.broker.address import Address
from shared.broker.interface import Unroutable
from shared.broker.wire import Letter
from shared.errors import Halt

UNCONFIRMED = 256  # letters in flight; more bring nothing, fewer cost much


class _Entry:
    __slots__ = ("confirmed", "letter", "properties", "returned")

    def __init__(self, letter: Letter, confirmed: "asyncio.Future[None]") -> None:
        self.letter = letter
        self.confirmed = confirmed
        self.returned = False
        self.properties = link.properties(letter)


class Publisher:
    """Letters on their way, at most `UNCONFIRMED` of them, through however many connections it takes."""

    def __init__(self, address: Address, prepare: Callable[[], Awaitable[None]]) -> None:
        """Connect with the first letter; `prepare` runs before each connection and makes the topology exist."""
        self._address = address
        self._prepare = prepare
        self._slots = asyncio.Semaphore(UNCONFIRMED)
        self._waiting: deque[_Entry] = deque()
        self._sent: dict[int, _Entry] = {}  # by delivery tag, in order
        self._tag = 0
        self._channel: Any = None
        self._connection: Any = None
        self._keeper: asyncio.Task[None] | None = None
        self._over: BaseException | None = None

    async def send(self, letters: Sequence[Letter]) -> None:
        """Return once every letter is confirmed. Raises Unroutable, or Halt where the broker refuses us by name."""
        loop = asyncio.get_running_loop()
        if self._keeper is None and self._over is None:
            self._keeper = loop.create_task(keeping.keep(self._opened, self._on_lost))
            self._keeper.add_done_callback(self._on_end)
        confirmed: list[asyncio.Future[None]] = []
        try:
            for each in letters:
                await self._slots.acquire()
                confirmed.append(loop.create_future())
                self._post(_Entry(each, confirmed[-1]))
            outcomes = await asyncio.gather(*confirmed, return_exceptions=True)
        except asyncio.CancelledError:  # a sender that gave up must not be heard much later: see _repost
            for future in confirmed:
                future.cancel()
            raise
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def close(self) -> None:
        """Close the connection; whoever still waits for a confirm is told that it will not come."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await link.close(self._connection)
        self._give_up(ConnectionError("broker_closed"))

    def _on_end(self, keeper: "asyncio.Task[None]") -> None:
        """Leave nobody waiting when the keeper ended by an error of ours."""
        if not keeper.cancelled() and (error := keeper.exception()) is not None:
            self._give_up(error)

    def _post(self, entry: _Entry) -> None:
        if self._over is not None:
            self._settle(entry, self._over)
            return
        if self._channel is None:
            self._waiting.append(entry)
            return
        letter = entry.letter
        self._tag += 1
        self._sent[self._tag] = entry
        try:
            self._channel.basic_publish(
                letter.exchange, letter.routing_key, letter.body, entry.properties, letter.mandatory
            )
        except AMQPError:  # the loss is on its way to _keep, which publishes all of _sent again
            self._channel = None

    async def _opened(self) -> "asyncio.Future[BaseException]":
        await self._prepare()
        await link.close(self._connection)
        self._connection, lost = await link.connect(self._address)
        channel = await link.channel(self._connection, lost)
        channel.add_on_return_callback(self._on_return)
        await link.ask(channel, channel.confirm_delivery, ack_nack_callback=self._on_confirm)
        self._channel = channel
        self._repost()
        return lost

    def _on_lost(self, reason: BaseException) -> None:
        self._channel = None
        if isinstance(error := link.broken(reason), Halt):
            self._fail(error)

    def _repost(self) -> None:
        """Publish again what was sent and not confirmed, then what came meanwhile, in order, as far as it is awaited.

        What is not is published by whoever holds its delivery or its place in a log, if it still may be.
        """
        again = [*self._sent.values(), *self._waiting]
        self._sent, self._tag = {}, 0
        self._waiting.clear()
        for entry in again:
            if entry.confirmed.done():
                self._slots.release()
            else:
                self._post(entry)

    def _on_return(self, _channel: object, method: Any, properties: Any, _body: bytes) -> None:
        """Mark what led to no queue; its confirm follows."""
        for entry in self._sent.values():
            letter = entry.letter
            if (letter.message_id, letter.exchange, letter.routing_key) == (
                properties.message_id,
                method.exchange,
                method.routing_key,
            ):
                entry.returned = True

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        upto = method.delivery_tag
        tags = list(takewhile(lambda tag: tag <= upto, self._sent)) if method.multiple else [upto]
        refused = isinstance(method, pika.spec.Basic.Nack)
        for tag in tags:
            entry = self._sent.pop(tag, None)
            if entry is not None:
                self._answered(entry, refused=refused)

    def _answered(self, entry: _Entry, *, refused: bool) -> None:
        if entry.returned:
            self._settle(entry, Unroutable(entry.letter.routing_key))
        elif refused:  # the broker would not keep it: publish it once more, after a breath
            asyncio.get_running_loop().call_later(backoff.pause(0), self._post, entry)
        else:
            self._settle(entry, None)

    def _settle(self, entry: _Entry, error: BaseException | None) -> None:
        self._slots.release()
        if entry.confirmed.done():  # its sender was cancelled
            return
        if error is None:
            entry.confirmed.set_result(None)
        else:
            entry.confirmed.set_exception(error)
            entry.confirmed.exception()  # seen: its sender may have gone meanwhile

    def _fail(self, error: BaseException) -> None:
        """Tell whoever has letters under way; which of them the broker meant it does not say."""
        entries, self._sent = list(self._sent.values()), {}
        for entry in entries:
            self._settle(entry, error)

    def _give_up(self, error: BaseException) -> None:
        self._over, self._channel = error, None
        waiting, self._waiting = self._waiting, deque()
        self._fail(error)
        for entry in waiting:
            self._settle(entry, error)
