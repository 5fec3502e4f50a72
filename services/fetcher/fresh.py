"""Holds answers for a moment, so that a thousand readings of one organisation ask the store once a second, not each."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

V = TypeVar("V")

MOST: Final = 4096  # answers held at a time


class Fresh(Generic[V]):
    """`await fresh(key)` gives what `load` returned no longer than `seconds` ago; callers at one time share a load."""

    def __init__(self, load: Callable[[str], Awaitable[V]], *, seconds: float = 1.0) -> None:
        """Take how an answer is loaded, and how long it stays fresh."""
        self._load = load
        self._seconds = seconds
        self._held: dict[str, tuple[float, asyncio.Task[V]]] = {}

    async def __call__(self, key: str) -> V:
        """Return a fresh answer. Raises what `load` raises, which is not held."""
        now = asyncio.get_running_loop().time()
        until, task = self._held.get(key, (0.0, None))
        if task is None or now >= until:
            if len(self._held) >= MOST:
                self._held = {held: pair for held, pair in self._held.items() if pair[0] > now}
            task = asyncio.create_task(self._loaded(key))
            task.add_done_callback(_looked_at)
            self._held[key] = (now + self._seconds, task)
        return await asyncio.shield(task)

    def drop(self, key: str) -> None:
        """Hold an answer no longer: it is known to have changed."""
        self._held.pop(key, None)

    async def _loaded(self, key: str) -> V:
        try:
            return await self._load(key)
        except BaseException:
            self.drop(key)
            raise


def _looked_at(task: "asyncio.Task[V]") -> None:
    """Count a failure as seen even if whoever asked was cancelled meanwhile."""
    if not task.cancelled():
        task.exception()
