"""Opens a broker by its URL, and the one implementation of `Broker` over either engine."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Protocol
from weakref import WeakValueDictionary

from shared import clock
from shared.broker import address, forgetting, loop, parked, topology, wire
from shared.broker.backoff import Trouble
from shared.broker.fates import Limits
from shared.broker.interface import Broker, Consumer, Outgoing, Parked
from shared.broker.memory import Memory
from shared.broker.rabbit import Rabbit
from shared.broker.space import Space
from shared.broker.wire import Letter
from shared.contracts.messages import Message
from shared.errors import Retry

Tap = Callable[[str, bytes, Mapping[str, object]], None]

_spaces: "WeakValueDictionary[str, Space]" = WeakValueDictionary()  # what memory://name means in this process


class Engine(loop.Engine, Protocol):
    """An engine with what lies beside the loop."""

    async def browse(self, queue: str) -> parked.Browser:
        """Look through a queue by hand."""
        ...

    async def depth(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        ...

    def announce(self, letters: Sequence[Letter]) -> Awaitable[bool]:
        """Hand letters to the broker now, or not at all: see Broker.announce."""
        ...

    async def forget(self, queue: str, unwanted: forgetting.Unwanted) -> int:
        """Remove what is not wanted from a queue, and return how many."""
        ...

    async def close(self) -> None:
        """Close every connection."""


def open_broker(url: str, *, tap: Tap | None = None, limits: Limits | None = None) -> Broker:
    """Open `amqp://`, `amqps://`, `memory://` (queues of its own) or `memory://name` (shared under that name).

    Nothing connects before it is used. `tap` sees (queue or exchange, body, headers) of everything published.
    Raises ValueError, without the URL in it, for a URL that cannot be read.
    """
    return _Open(_engine(url), tap, limits or Limits())


def _engine(url: str) -> Engine:
    scheme, separator, name = url.partition("://")
    if scheme != "memory" or not separator:
        return Rabbit(address.parse(url))
    space = _spaces.get(name) if name else None
    if space is None or space.closed:
        space = Space()
        if name:
            _spaces[name] = space
    return Memory(space)


class _Open:
    """A broker in use."""

    def __init__(self, engine: Engine, tap: Tap | None, limits: Limits) -> None:
        self._engine = engine
        self._tap = tap
        self._limits = limits

    async def publish(self, messages: Sequence[Message | Outgoing]) -> None:
        now = clock.exact()
        await self._send([wire.letter(each, now=now) for each in messages])

    def announce(self, events: Sequence[tuple[str, bytes, dict[str, str]]]) -> Awaitable[bool]:
        now = clock.exact()
        letters = [wire.announcement(key, body, headers, now=now) for key, body, headers in events]
        return asyncio.ensure_future(self._told(letters, self._engine.announce(letters)))

    async def run(self, consumers: Sequence[Consumer], *, service: str, stop: asyncio.Event) -> None:
        shift = loop.Shift(service, consumers, self._limits)
        await loop.run(self._engine, self._send, consumers, shift=shift, stop=stop)

    async def parked(self, *, limit: int = 100) -> list[Parked]:
        return await parked.listed(await self._engine.browse(topology.PARKED), self._send, limit)

    async def show(self, parked_id: str) -> bytes | None:
        return await parked.shown(await self._engine.browse(topology.PARKED), parked_id)

    async def replay(self, parked_id: str) -> bool:
        return await parked.removed(await self._engine.browse(topology.PARKED), parked_id, self._send)

    async def drop(self, parked_id: str) -> bool:
        return await parked.removed(await self._engine.browse(topology.PARKED), parked_id)

    async def forget(self, org_id: str, service: str, *, parked: bool = False, generation: int | None = None) -> int:
        unwanted = partial(forgetting.is_of, org_id=org_id, generation=generation)
        removed = 0
        try:
            for queue in forgetting.queues_of(service, with_parked=parked):
                removed += await self._engine.forget(queue, unwanted)
        except Trouble as error:
            raise Retry("broker_unavailable", counted=False) from error
        return removed

    async def depth(self, queue: str) -> int:
        if not topology.is_queue(queue):
            raise ValueError("no such queue")
        return await self._engine.depth(queue)

    async def close(self) -> None:
        await self._engine.close()

    async def _send(self, letters: Sequence[Letter]) -> None:
        self._tapped(letters)
        await self._engine.send(letters)

    async def _told(self, letters: Sequence[Letter], taken: Awaitable[bool]) -> bool:
        if told := await taken:
            self._tapped(letters)
        return told

    def _tapped(self, letters: Sequence[Letter]) -> None:
        if self._tap is not None:
            for each in letters:
                where = topology.queue_of(each.exchange, each.routing_key) or each.exchange
                self._tap(where, each.body, each.headers)
