"""Tells what comes as it comes: the update log as server-sent events, for as long as the client stays.

It refuses to wait for a client that does not read: it is dropped, and goes on later from the position it saw last.
"""

import asyncio
import random
import socket
from typing import Final

from aiohttp import web

from services.publisher import log
from services.publisher.access import STORE, bearer, token_of
from services.publisher.following import FOLLOWING, Following, Standing, here
from services.publisher.log import PositionGone
from services.publisher.operations import Operation
from services.publisher.place import AFTER, ORG, asked, gone, position_of, scope_asked
from shared import logs
from shared.errors import Retry
from shared.store import Store

MEDIA_TYPE: Final = "text/event-stream"
QUIET: Final = 15.0  # seconds after which a client that was told nothing hears a heartbeat
PATIENCE: Final = 10.0  # seconds a client has to read what fills its buffer
BUFFER: Final = 64 << 10  # bytes that the system holds for a client
RETRY: Final = (1000, 4000)  # milliseconds until a client connects again: not all at the same time
_HEADERS: Final = {"Content-Type": MEDIA_TYPE, "X-Accel-Buffering": "no"}


class Stream:
    """One client's stream: where it is, and when it heard something last."""

    def __init__(self, request: web.Request, only: tuple[str, ...], position: int) -> None:
        """Take the request, the orgs named, and the position to go on from."""
        self.position = position
        self.response = web.StreamResponse(headers=_HEADERS)
        self._request = request
        self._only = only
        self._told = position  # the position the client knows
        self._heard_at = 0.0

    async def begin(self) -> None:
        """Send the headers, when to come again, and the position it begins at."""
        transport = self._request.transport
        if transport is not None and (opened := transport.get_extra_info("socket")) is not None:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        await self.response.prepare(self._request)
        await self._send(b"retry: %d\n\n" % random.randint(*RETRY) + _place(self.position))  # noqa: S311 -- no secret

    async def follow(self, following: Following, standing: Standing) -> None:
        """Tell what comes until the client is gone, may not hear more, or everybody is let go.

        Raises OSError where the client went or does not read, PositionGone where it fell too far behind.
        """
        tail = following.tail
        while not tail.ended and here(self._request):
            scope = standing.scope(self._only, self.position)
            if scope is None:
                return
            turn = tail.turn
            try:
                batch = await following.batch(scope, self.position)
            except Retry:
                batch = None
            if batch is not None:
                self.position = batch.position
                if frames := batch.frames(scope):
                    await self._send(frames)
            await self._beat()
            if batch is None:
                await turn.wait()

    def drop(self) -> None:
        """Close the connection without a word."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _beat(self) -> None:
        """Let a client that was told nothing for long know that we are here, and from where to go on."""
        if asyncio.get_running_loop().time() - self._heard_at >= QUIET:
            await self._send(b":\n\n" if self._told == self.position else _place(self.position))

    async def _send(self, frames: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.response.write(frames)
        self._told = self.position
        self._heard_at = asyncio.get_running_loop().time()


async def stream(request: web.Request) -> web.StreamResponse:
    """GET /v1/stream: from the position of `Last-Event-ID` or `after` on; from now on where neither is given."""
    known = await bearer(request)
    wanted = asked(request)
    following, after = request.app[FOLLOWING], wanted.after
    if "Last-Event-ID" in request.headers:
        after = position_of("Last-Event-ID", request.headers["Last-Event-ID"])
    position = await _begun(request.app[STORE], after)
    await scope_asked(request, known, wanted.only, after=position)
    if request.method == "HEAD":
        return web.Response(headers=_HEADERS)
    with following.admitted(token_of(request), known) as standing:
        following.tail.want()
        return await _told(Stream(request, wanted.only, position), following, standing)


async def _begun(store: Store, after: int | None) -> int:
    """Return the position to begin at. Raises Problem 410 where nobody can go on from it."""
    if after is None:
        return await log.head(store)
    try:
        await log.check(store, after)
    except PositionGone as error:
        raise gone(error) from None
    return after


async def _told(stream: Stream, following: Following, standing: Standing) -> web.StreamResponse:
    """Keep a stream going, and end it: in order where that is ours, at once where the client does not read."""
    try:
        await stream.begin()
        await stream.follow(following, standing)
    except PositionGone as error:
        logs.get("publisher").info("stream.outdated", reason=error.reason, position=stream.position)
    except TimeoutError:
        logs.get("publisher").info("stream.dropped", reason="slow", position=stream.position)
        stream.drop()
    except ConnectionError:
        pass  # the client went
    except Exception as error:  # noqa: BLE001 -- an answer has begun: no other can be given; logged by type
        logs.get("publisher").error("stream.failed", **logs.failure(error))
        stream.drop()
    return stream.response


def _place(position: int) -> bytes:
    return b"id: %d\nevent: position\ndata: %d\n\n" % (position, position)


OPERATIONS = (
    Operation(
        name="stream",
        method="GET",
        path="/v1/stream",
        summary="What is told, as it comes",
        description="It goes on until the client ends it. `Last-Event-ID` is heard before `after`; without either it "
        "begins now. An event `position` tells from where to go on, where nothing else was to be told.",
        group="Following",
        handler=stream,
        media={MEDIA_TYPE: "Server-sent events: `id` is the position, `event` the type, `data` the CloudEvent."},
        query=(AFTER, ORG),
        problems=(404, 410),
    ),
)
