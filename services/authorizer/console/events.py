"""Edge: server-sent events: one response that goes on, whose reader may be slow or gone, and never makes us wait long.

Nothing is kept for a reader that comes back: the next event tells it all.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec
from aiohttp import web

HEARTBEAT: Final = 15.0  # seconds of silence after which a comment tells proxies that the line is alive
PATIENCE: Final = 10.0  # seconds a reader has to take what was written
AGAIN: Final = 3000  # milliseconds until a browser comes back
_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}


class Stream:
    """A response that goes on."""

    def __init__(self, response: web.StreamResponse) -> None:
        """Take a response that has begun."""
        self.response = response
        self._opening = f"retry: {AGAIN}\n\n"

    async def send(self, name: str, data: object) -> None:
        """Send an event with JSON in it. Raises ConnectionError where the reader is gone, or too slow."""
        await self._write(f"event: {name}\ndata: {msgspec.json.encode(data).decode()}\n\n")

    async def beat(self) -> None:
        """Send a comment, which no browser shows. Raises ConnectionError."""
        await self._write(": still here\n\n")

    async def _write(self, text: str) -> None:
        text, self._opening = self._opening + text, ""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.response.write(text.encode())
        except TimeoutError:
            raise ConnectionError("too_slow") from None


@asynccontextmanager
async def streaming(request: web.Request) -> AsyncIterator[Stream]:
    """Begin a stream; a reader that goes away ends the block, and nothing else."""
    response = web.StreamResponse(headers=_HEADERS)
    await response.prepare(request)
    with suppress(ConnectionError):
        yield Stream(response)
