"""How many requests one replica may have at an Exchange server at a time: its part of what all may have together.

Replicas that ask a server say so in the store every two seconds; a newcomer waits until the others have made room.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Final

from sqlalchemy import delete, select

from services.fetcher.exchange_fate import SHARED
from shared import clock
from shared.contracts.values import Instant
from shared.ews.errors import EwsError
from shared.store import Store
from shared.tables import shares

BEAT: Final = 2.0  # seconds between two words that we are here
ALIVE: Final = 15  # seconds that a word counts
IDLE: Final = 6.0  # seconds without a request after which a replica gives its part to the others


def part(limit: int, replicas: Iterable[str], me: str) -> int:
    """Return how many of `limit` are ours: as even as can be; what is left over goes to the first by name."""
    order = sorted({*replicas, me})
    even, rest = divmod(limit, len(order))
    return even + (order.index(me) < rest)


async def say(store: Store, server: str, replica: str, *, now: Instant) -> set[str]:
    """Say that this replica asks the server, and return who else does."""
    statement = store.upsert(shares).values(server=server, replica=replica, until=now + ALIVE)
    said = statement.on_conflict_do_update(index_elements=["server", "replica"], set_={"until": now + ALIVE})
    query = select(shares.c.replica).where(shares.c.server == server, shares.c.until > now)
    async with store.write() as connection:
        await connection.execute(said)
        return set((await connection.execute(query)).scalars()) - {replica}


async def leave(store: Store, server: str, replica: str, *, now: Instant) -> None:
    """Say that this replica asks the server no more; who died without a word is forgotten, too."""
    ours = (shares.c.server == server) & (shares.c.replica == replica)
    async with store.write() as connection:
        await connection.execute(delete(shares).where(ours | (shares.c.until <= now)))


async def forget(store: Store, *, now: Instant) -> None:
    """Forget replicas that died without a word."""
    async with store.write() as connection:
        await connection.execute(delete(shares).where(shares.c.until <= now))


class Share:
    """`async with share:` is one request at the server. Raises EwsError(SHARED) where others have all there is."""

    def __init__(self, store: Store, server: str, *, replica: str, limit: int) -> None:
        """Take the store, whose part it is of which server, and what all may have together."""
        self._store, self._server, self._replica, self._limit = store, server, replica, limit
        self._mine = 0
        self._under_way = 0
        self._free = asyncio.Condition()
        self._beating: asyncio.Task[None] | None = None
        self._begun = asyncio.Lock()
        self._used_at = 0.0

    async def __aenter__(self) -> None:
        await self._begin()
        async with self._free:
            await self._free.wait_for(lambda: self._under_way < self._mine or not self._mine)
            if not self._mine:
                raise EwsError(SHARED, back_off=BEAT * 2)
            self._under_way += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async with self._free:
            self._under_way -= 1
            self._used_at = asyncio.get_running_loop().time()
            self._free.notify()

    async def close(self) -> None:
        """Stop saying that we are here."""
        if self._beating is not None:
            self._beating.cancel()
            with suppress(asyncio.CancelledError):
                await self._beating

    async def _begin(self) -> None:
        async with self._begun:
            self._used_at = asyncio.get_running_loop().time()
            if self._beating is not None and not self._beating.done():
                return
            others = await say(self._store, self._server, self._replica, now=clock.now())
            if others:
                await asyncio.sleep(BEAT * 1.5)  # by then each of them has counted us
            await self._count(others)
            self._beating = asyncio.create_task(self._beat())

    async def _count(self, others: set[str]) -> None:
        async with self._free:
            self._mine = part(self._limit, others, self._replica)
            self._free.notify_all()

    async def _beat(self) -> None:
        """Say that we are here while requests are made, and a little longer; a store that is away changes nothing."""
        try:
            while not await self._left():
                await asyncio.sleep(BEAT)
                with suppress(Exception):  # the part we had is kept until the store answers again
                    await self._count(await say(self._store, self._server, self._replica, now=clock.now()))
        except asyncio.CancelledError:
            await self._leave()
            raise

    async def _left(self) -> bool:
        """Say that we are gone, if no request was made for a while; one that comes meanwhile waits to begin anew."""
        async with self._begun:
            if self._under_way or asyncio.get_running_loop().time() - self._used_at < IDLE:
                return False
            await self._leave()
            self._beating = None
            return True

    async def _leave(self) -> None:
        with suppress(Exception):
            await leave(self._store, self._server, self._replica, now=clock.now())
