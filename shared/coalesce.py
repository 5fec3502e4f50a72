"""Puts calls that arrive while a batch runs together into the next one, so that many share one database transaction.

It decides nothing about the items; it refuses to let one bad item fail its neighbours.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from shared.errors import Retry

T = TypeVar("T")
R = TypeVar("R")
_Waiting = tuple[T, asyncio.Future[R]]


class Coalesce(Generic[T, R]):
    """`await coalesce(item)` gives the result that `run` returned at the item's place in its batch.

    A lone call runs at once, or after `linger` seconds, for others to join it: a transaction costs much the same for
    one item as for many. `run` may return an Exception in an item's place: only that caller gets it. If `run`
    raises for a batch of several, each item is tried alone, in order; but a Retry that is not counted (the database is
    away) is no item's fault and goes to all.
    """

    def __init__(
        self, run: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]], *, limit: int = 64, linger: float = 0.0
    ) -> None:
        """Take what carries a batch out, how many items one batch may hold, and how long one waits for others."""
        self._run = run
        self._limit = limit
        self._linger = linger
        self._waiting: list[_Waiting[T, R]] = []
        self._worker: asyncio.Task[None] | None = None

    async def __call__(self, item: T) -> R:
        """Carry out one item together with others. Raises what `run` raised or returned for it."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        try:
            while self._waiting:
                if self._linger and len(self._waiting) < self._limit:
                    await asyncio.sleep(self._linger)
                batch = [pair for pair in self._waiting[: self._limit] if not pair[1].done()]
                del self._waiting[: self._limit]
                try:
                    await self._settle(batch)
                finally:
                    _abandon(batch)
        finally:
            self._worker = None
            _abandon(self._waiting)
            self._waiting.clear()

    async def _settle(self, batch: Sequence[_Waiting[T, R]]) -> None:
        if not batch:
            return
        try:
            results = await self._run([item for item, _ in batch])
            if len(results) != len(batch):
                raise RuntimeError("a batch returns one result an item")  # noqa: TRY301 -- is handed to the callers
        except Exception as error:  # noqa: BLE001 -- handed to the caller whose item it is
            if len(batch) == 1 or (isinstance(error, Retry) and not error.counted):
                for _, future in batch:
                    _give(future, error)
                return
            for pair in batch:
                await self._settle([pair])
            return
        for (_, future), result in zip(batch, results, strict=True):
            _give(future, result)


def _give(future: asyncio.Future[R], result: R | Exception) -> None:
    if future.done():  # its caller was cancelled meanwhile
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


def _abandon(batch: Sequence[_Waiting[T, R]]) -> None:
    """Leave no caller waiting for a worker that was cancelled."""
    for _, future in batch:
        if not future.done():
            future.cancel()
