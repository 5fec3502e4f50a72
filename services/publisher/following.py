"""Who follows the update log over HTTP, from where and how many at a time; and the next piece for each.

It refuses more than the limits allow, and lets nobody go on whose token is void. One follower is one open connection.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

from aiohttp import web
from msgspec import Struct

from services.publisher import log
from services.publisher.bell import Bell
from services.publisher.consumers import Known, bearer_of
from services.publisher.log import Scope, scope_of
from services.publisher.problems import Problem
from services.publisher.tail import Batch, Tail, split
from shared import logs
from shared.errors import Retry
from shared.reach import reached
from shared.store import Store

CATCHING_UP: Final = 100  # updates read at a time by whoever is behind
AT_ONCE: Final = 2  # such readings at a time: questions are answered beside them
LOOKED_AT: Final = 5.0  # seconds after which it is looked at anew whether a token is still good


class Limits(Struct, frozen=True, kw_only=True):
    """How many may follow at once: of one consumer, and in all."""

    each: int = 1000
    total: int = 5000


class Standing:
    """What is known of a token's bearer, for all that follow with it; None once the token is void."""

    def __init__(self, known: Known) -> None:
        """Take the bearer as it was when the first one came."""
        self.followers = 0
        self.look(known)

    def look(self, known: Known | None) -> None:
        """Take the bearer as it is now."""
        self._known = known
        self._scopes: dict[tuple[str, ...], Scope | None] = {}

    def scope(self, only: tuple[str, ...], position: int) -> Scope | None:
        """Return what may be heard after a position, None where that is over: a void token, or no org to hear of."""
        if only not in self._scopes:
            self._scopes[only] = None if self._known is None else scope_of(self._known, only)
        scope = self._scopes[only]
        over = scope is None or (only and scope.orgs == frozenset() and position >= max(scope.last_words, default=0))
        return None if over else scope


class Following:
    """All who follow in this process, with the one tail they share."""

    def __init__(self, store: Store, bell: Bell, limits: Limits) -> None:
        """Take the store, the tail's bell, and the limits."""
        self.tail = Tail(store, bell)
        self._store = store
        self._limits = limits
        self._each: Counter[str] = Counter()
        self._standings: dict[str, Standing] = {}
        self._readings: dict[tuple[Scope, int, int], asyncio.Task[Batch]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._ended = asyncio.Event()

    @property
    def followers(self) -> int:
        """Return how many follow at present."""
        return self._each.total()

    async def run(self) -> None:
        """Read the log's end, and look after tokens, until it is ended."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.tail.run())
            group.create_task(self._look_after())

    def end(self) -> None:
        """Let everybody go."""
        self._ended.set()
        self.tail.end()

    @contextmanager
    def admitted(self, token: str, known: Known) -> Iterator[Standing]:
        """Count one more follower while the block runs. Raises Problem 429 or 503 where there are too many."""
        if self._each[known.name] >= self._limits.each:
            raise _full(429, "too_many_followers", "This consumer follows too often at once")
        if self._each.total() >= self._limits.total:
            raise _full(503, "too_many_followers", "Too many follow at once")
        standing = self._standings.setdefault(token, Standing(known))
        standing.look(known)
        standing.followers += 1
        self._each[known.name] += 1
        try:
            yield standing
        finally:
            self._each[known.name] -= 1
            standing.followers -= 1
            if not standing.followers:
                self._standings.pop(token, None)

    async def batch(self, scope: Scope, after: int) -> Batch | None:
        """Return the next of the log after a position, None where there is nothing yet: wait for the tail's turn.

        From memory while it is fresh, else from the log, where all at the same place share one reading. Raises
        PositionGone, and Retry.
        """
        upto = self.tail.position or 0
        if (kept := self.tail.batch(after)) is not None or after >= upto:
            return kept
        key = (scope, after, upto)
        if key not in self._readings:
            self._readings[key] = asyncio.create_task(self._read(scope, after, upto))
            self._readings[key].add_done_callback(partial(self._was_read, key))
        return await asyncio.shield(self._readings[key])

    async def _read(self, scope: Scope, after: int, upto: int) -> Batch:
        async with self._slots:
            page = await log.page_from(self._store, scope, after=after, limit=CATCHING_UP, upto=upto)
        rows, position = split(page)[0]  # the rest is read again: nobody who is slow holds much
        return Batch(rows, after=after, position=position, read_at=0.0)

    def _was_read(self, key: tuple[Scope, int, int], reading: asyncio.Task[Batch]) -> None:
        del self._readings[key]
        if not reading.cancelled():
            reading.exception()  # whoever asked may be gone

    async def _look_after(self) -> None:
        while not self._ended.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), LOOKED_AT)
            for token, standing in list(self._standings.items()):
                await self._look_at(token, standing)

    async def _look_at(self, token: str, standing: Standing) -> None:
        try:
            async with reached():
                standing.look(await bearer_of(self._store, token))
        except Retry:
            pass  # of a database that is away nothing new is learnt
        except Exception as error:  # noqa: BLE001 -- the others would not be looked at any more; logged by type
            logs.get("publisher").error("token.unchecked", **logs.failure(error))


FOLLOWING: web.AppKey[Following] = web.AppKey("following", Following)


def here(request: web.Request) -> bool:
    """Say whether whoever asked is still connected."""
    return request.transport is not None and not request.transport.is_closing()


def _full(status: int, code: str, title: str) -> Problem:
    return Problem(status, code, title=title, headers={"Retry-After": "10"})
