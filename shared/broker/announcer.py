"""Telling consumers through RabbitMQ, on a connection of its own: at once or not at all.

It refuses to keep anything for later: what may be said can have changed by then, and only who asks knows. It refuses a
broker that is silent, too: the next batch goes out only once at least half of what was written before is confirmed.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pika
from pika.exceptions import AMQPError

from shared.broker import keeping, link
from shared.broker.address import Address
from shared.broker.confirms import Confirms
from shared.broker.wire import Letter


class Batch:
    """Letters written together: the tag of the last one, and the future that says whether all are confirmed."""

    def __init__(self, told: "asyncio.Future[bool]", last: int) -> None:
        """Take both."""
        self.told = told
        self.last = last
        self.refused = False

    def settle(self, error: BaseException | None) -> None:
        """Say that it is confirmed, or why it is not; in silence where its sender gave up."""
        if self.told.done():
            return
        if error is None:
            self.told.set_result(True)
        else:
            self.told.set_exception(error)
            self.told.exception()  # seen: its sender may have gone meanwhile


class Announcer:
    """Consumers' exchange, through however many connections it takes."""

    def __init__(self, address: Address, prepare: Callable[[], Awaitable[None]]) -> None:
        """Connect when first asked to announce; `prepare` runs before each connection and makes the topology exist."""
        self._address = address
        self._prepare = prepare
        self._fit = asyncio.Event()  # connected, not blocked, and not silent
        self._channel: Any = None
        self._connection: Any = None
        self._blocked = False
        self._confirms = Confirms()
        self._written = 0  # letters under way when the last batch was written
        self._batches: deque[Batch] = deque()
        self._keeper: asyncio.Task[None] | None = None
        self._over: BaseException | None = None

    def announce(self, letters: Sequence[Letter]) -> Awaitable[bool]:
        """Write letters to the broker now and return what gives True once they are confirmed.

        Where it does not take them now, what is returned gives False as soon as it would.
        """
        if not self._fit.is_set() or self._over is not None:
            return asyncio.ensure_future(self._becoming_fit())
        told = asyncio.get_running_loop().create_future()
        if not letters:
            told.set_result(True)
            return told
        try:
            link.publish(self._channel, letters)
        except AMQPError:  # the loss is on its way to _on_lost
            self._channel = None
        self._fit.clear()
        self._batches.append(Batch(told, self._confirms.give(len(letters))))
        self._written = self._confirms.outstanding
        return told

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
        self._channel, self._confirms, self._blocked = channel, Confirms(), False
        self._note_fitness()
        return lost

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        if isinstance(method, pika.spec.Basic.Nack):
            self._note_refusal(method.delivery_tag, multiple=method.multiple)
        self._confirms.settle(method.delivery_tag, multiple=method.multiple)
        while self._batches and self._batches[0].last <= self._confirms.upto:
            batch = self._batches.popleft()
            batch.settle(ConnectionError("broker_would_not_keep_it") if batch.refused else None)
        self._note_fitness()

    def _note_refusal(self, tag: int, *, multiple: bool) -> None:
        """Mark the batches that a refused letter may be of; one too many is announced anew, and that is all."""
        first = next((batch for batch in self._batches if tag <= batch.last), None)
        for batch in self._batches:
            if batch is first or (multiple and batch.last < tag):
                batch.refused = True

    def _on_blocked(self, *_: object) -> None:
        """Stop: the broker has an alarm, and what is written now would be taken whenever that is over."""
        self._blocked = True
        self._fit.clear()

    def _on_unblocked(self, *_: object) -> None:
        self._blocked = False
        self._note_fitness()

    def _note_fitness(self) -> None:
        silent = self._confirms.outstanding * 2 > self._written
        if self._channel is not None and not self._blocked and not silent:
            self._fit.set()

    def _on_lost(self, reason: BaseException) -> None:
        self._channel = None
        self._fit.clear()
        self._settle_all(link.broken(reason))

    def _settle_all(self, error: BaseException) -> None:
        self._confirms, self._written = Confirms(), 0
        while self._batches:
            self._batches.popleft().settle(error)

    def _give_up(self, error: BaseException) -> None:
        self._over = error
        self._settle_all(error)
        self._fit.set()  # for whoever waits: to be told
