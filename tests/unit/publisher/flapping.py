"""A network between a client and a server that cuts connections after some bytes, and can stop reading."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec import Struct


class Network(Struct):
    """Where clients connect to; how many connections were made, and how many of them cut."""

    port: int = 0
    made: int = 0
    cut: int = 0


@asynccontextmanager
async def flapping(port: int, lives: Callable[[], int]) -> AsyncIterator[Network]:
    """Pass connections on to a port; each is cut once as many bytes came from there as `lives` says."""
    network = Network()
    held: set[asyncio.Task[None]] = set()

    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        network.made += 1
        there, here = await asyncio.open_connection("127.0.0.1", port)
        up = asyncio.create_task(_copy(reader, here))
        try:
            if await _copy(there, writer, most=lives()):
                network.cut += 1
        finally:
            up.cancel()
            for end in (writer, here):
                end.transport.abort()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        held.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await passed(reader, writer)
        held.discard(task)

    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    network.port = server.sockets[0].getsockname()[1]
    try:
        yield network
    finally:
        server.close()
        for task in list(held):
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, most: int = 1 << 60) -> bool:
    """Copy until the end, or until so many bytes: then True."""
    with contextlib.suppress(OSError):
        while chunk := await reader.read(4096):
            writer.write(chunk[:most])
            await writer.drain()
            most -= len(chunk)
            if most <= 0:
                return True
    return False
