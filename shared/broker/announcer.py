"""Telling consumers through RabbitMQ, on a connection of its own: at once or not at all, one batch at a time.

It refuses to keep anything for later: what may be said can have changed by then, and only who asks knows.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pika
from pika.exceptions import AMQPError

from shared.broker import keeping, link
from shared.broker.address import Address
from shared.broker.wire import Letter


class Announcer:
    """Consumers' exchange, through however many connections it takes."""

    def __init__(self, address: Address, prepare: Callable[[], Awaitable[None]]) -> None:
        """Connect when first asked to announce; `prepare` runs before each connection and makes the topology exist."""
        self._address = address
        self._prepare = prepare
        self._fit = asyncio.Event()  # connected, not blocked, and nothing under way
        self._channel: Any = None
        self._connection: Any = None
        self._blocked = False
        self._tag = 0
        self._unconfirmed: set[int] = set()
        self._refused = False
        self._batch: asyncio.Future[bool] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._over: BaseException | None = None

    def announce(self, letters: Sequence[Letter]) -> Awaitable[bool]:
        """Write letters to the broker now and return what gives True once they are confirmed.

        Where it does not take them now, what is returned gives False as soon as it would.
        """
        if not self._fit.is_set() or self._over is not None:
            return asyncio.ensure_future(self._becoming_fit())
        self._batch = asyncio.get_running_loop().create_future()
        if not letters:
            self._batch.set_result(True)
            return self._batch
        self._fit.clear()
        self._refused = False
        try:
            for letter in letters:
                self._tag += 1
                self._unconfirmed.add(self._tag)
                self._channel.basic_publish(letter.exchange, letter.routing_key, letter.body, link.properties(letter))
        except AMQPError:  # the loss is on its way to _on_lost
            self._channel = None
        return self._batch

    async def close(self) -> None:
        """Close the connection; whoever still waits is told that it will not come."""
        self._give_up(ConnectionError("broker_closed"))
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await link.close(self._connection)

    async def _becoming_fit(self) -> bool:
        if self._keeper is None and self._over is None:
            self._keeper = asyncio.create_task(keeping.keep(self._opened, self._on_lost))
            self._keeper.add_done_callback(self._on_end)
        await self._fit.wait()
        if self._over is not None:
            raise self._over
        return False

    def _on_end(self, keeper: "asyncio.Task[None]") -> None:
        if not keeper.cancelled() and (error := keeper.exception()) is not None:
            self._give_up(error)

    async def _opened(self) -> "asyncio.Future[BaseException]":
        await self._prepare()
        await link.close(self._connection)
        self._connection, lost = await link.connect(self._address)
        self._connection.add_on_connection_blocked_callback(self._on_blocked)
        self._connection.add_on_connection_unblocked_callback(self._on_unblocked)
        channel = await link.channel(self._connection, lost)
        await link.ask(channel, channel.confirm_delivery, ack_nack_callback=self._on_confirm)
        self._channel, self._tag, self._blocked = channel, 0, False
        self._note_fitness()
        return lost

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        upto = method.delivery_tag
        settled = {tag for tag in self._unconfirmed if tag <= upto} if method.multiple else {upto}
        self._unconfirmed -= settled
        self._refused = self._refused or isinstance(method, pika.spec.Basic.Nack)
        if not self._unconfirmed:
            self._settle(ConnectionError("broker_would_not_keep_it") if self._refused else None)
            self._note_fitness()

    def _on_blocked(self, *_: object) -> None:
        """Stop: the broker has an alarm, and what is written now would be taken whenever that is over."""
        self._blocked = True
        self._fit.clear()

    def _on_unblocked(self, *_: object) -> None:
        self._blocked = False
        self._note_fitness()

    def _note_fitness(self) -> None:
        if self._channel is not None and not self._blocked and not self._unconfirmed:
            self._fit.set()

    def _on_lost(self, reason: BaseException) -> None:
        self._channel = None
        self._unconfirmed.clear()
        self._fit.clear()
        self._settle(link.broken(reason))

    def _settle(self, error: BaseException | None) -> None:
        if self._batch is None or self._batch.done():  # nothing was under way, or its sender gave up
            return
        if error is None:
            self._batch.set_result(True)
        else:
            self._batch.set_exception(error)
            self._batch.exception()  # seen: its sender may have gone meanwhile

    def _give_up(self, error: BaseException) -> None:
        self._over = error
        self._settle(error)
        self._fit.set()  # for whoever waits: to be told
