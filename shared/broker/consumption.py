"""Consuming from RabbitMQ on the asyncio loop: kombu's connection, read when its socket is readable.

Frames are handed on only whole, so that a broker that stops in the middle of one never blocks the loop. A lost
connection is opened again with patience; what came by it comes again.
"""

import asyncio
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from ssl import SSLWantReadError
from typing import Any

from amqp import spec
from amqp.exceptions import AMQPError, ChannelError, error_for_code

from shared import logs
from shared.broker import backoff, declare
from shared.broker.address import Address
from shared.broker.source import Source
from shared.broker.wire import Taken
from shared.errors import Halt

_HEADER = struct.Struct(">BHI")
_CHANNEL_CLOSE = struct.pack(">HH", *spec.Channel.Close)
_CHUNK = 256 * 1024
_LEAVING = 2.0  # seconds for the broker's goodbye


class Consumption:
    """Deliveries from RabbitMQ through however many connections it takes."""

    def __init__(self, address: Address, wanted: Mapping[str, int], take: Callable[[Taken], None]) -> None:
        """Begin at once, in a task of its own."""
        loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[None] = loop.create_future()
        self._address = address
        self._wanted = wanted
        self._take = take
        self._wire: _Line | None = None
        self._log = logs.get("broker")
        self._keeper = loop.create_task(self._keep())
        self._keeper.add_done_callback(self._on_end)

    def settle(self, taken: Taken) -> None:
        """Acknowledge, in silence where the delivery's channel is gone."""
        taken.source.settle(taken)

    def release(self, taken: Taken) -> None:
        """Put a delivery back, in silence where its channel is gone."""
        taken.source.release(taken)

    def pause(self) -> None:
        """Take no more, and open no further connection."""
        self._keeper.cancel()
        if self._wire is not None:
            self._wire.pause()

    async def close(self) -> None:
        """Close; the broker puts back what was neither settled nor released."""
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        if self._wire is not None:
            await self._wire.close()
        self.failed.cancel()

    def _on_end(self, keeper: "asyncio.Task[None]") -> None:
        """End the run when the keeper ended by an error of ours."""
        if not keeper.cancelled() and (error := keeper.exception()) is not None and not self.failed.done():
            self.failed.set_exception(error)

    async def _keep(self) -> None:
        failures, ever = 0, False
        while True:
            try:
                self._wire = await self._opened()
            except backoff.Trouble as error:
                if backoff.refused(error) and not ever:
                    self.failed.set_exception(Halt("broker_refused"))
                    return
                failures += 1
                after = backoff.pause(failures)
                self._log.warning("broker.failed", error_type=type(error).__name__, after=round(after, 2))
                await asyncio.sleep(after)
                continue
            failures, ever = 0, True
            self._log.info("broker.connected")
            reason = await asyncio.shield(self._wire.lost)  # pausing ends this wait, and not the connection's own
            self._wire.drop()
            self._wire = None
            if backoff.refused(reason):
                self.failed.set_exception(Halt("broker_refused"))
                return
            failures = 1
            self._log.warning("broker.lost", error_type=type(reason).__name__)
            await asyncio.sleep(backoff.pause(failures))

    async def _opened(self) -> "_Line":
        """Connect and declare in a thread; the loop never waits for a broker."""
        opening = asyncio.get_running_loop().run_in_executor(None, _open, self._address, dict(self._wanted))
        try:
            connection, sources = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_discard)
            raise
        return _Line(connection, sources, self._take)


def _open(address: Address, wanted: Mapping[str, int]) -> tuple[Any, list[Source]]:
    connection = declare.connect(address)
    try:
        declare.topology_on(connection)
        return connection, [_source(connection, queue, prefetch) for queue, prefetch in wanted.items()]
    except BaseException:
        connection.collect()
        raise


def _source(connection: Any, queue: str, prefetch: int) -> Source:
    channel = connection.channel()
    channel.auto_decode = False
    return Source(queue, channel, prefetch=prefetch, multiple=True)


def _discard(opening: "asyncio.Future[tuple[Any, list[Source]]]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].collect()


def _read(source: Source, raw: Any) -> Taken:
    properties = raw.properties
    return Taken(
        queue=source.queue,
        body=bytes(raw.body or b""),
        headers=properties.get("application_headers") or {},
        message_id=properties.get("message_id", ""),
        message_type=properties.get("type", ""),
        timestamp=properties.get("timestamp", 0),
        redelivered=raw.delivery_info["redelivered"],
        tag=raw.delivery_tag,
        source=source,
    )


class _Line:
    """One connection: its socket watched, its heartbeats sent, its loss told once."""

    def __init__(self, connection: Any, sources: list[Source], take: Callable[[Taken], None]) -> None:
        self.lost: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._kombu = connection
        self._amqp = connection.connection
        self._sources = sources
        self._buffer = bytearray()
        self._sock = self._amqp.sock
        self._sock.settimeout(0)
        self._loop.add_reader(self._sock, self._on_readable)
        self._beat = self._loop.call_later(declare.HEARTBEAT / 4, self._heartbeat)
        for source in sources:
            source.begin(_read, take, self._on_lost)
        self._loop.call_soon(self._on_readable)  # TLS may hold bytes that no socket event will announce

    def pause(self) -> None:
        for source in self._sources:
            with suppress(*backoff.Trouble):
                source.channel.basic_cancel(source.queue, nowait=True)

    async def close(self) -> None:
        """Say goodbye and wait for the answer, not for long; the broker takes back what was not settled."""
        for source in self._sources:
            source.end()
        if not self.lost.done():
            with suppress(*backoff.Trouble):
                self._amqp.send_method(spec.Connection.Close, "BsBB", (200, "", 0, 0))
                await asyncio.wait({self.lost}, timeout=_LEAVING)
        self.drop()

    def drop(self) -> None:
        for source in self._sources:
            source.alive = False
        self._beat.cancel()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
        self._kombu.collect()

    def _on_lost(self, error: Exception) -> None:
        if not self.lost.done():
            self._beat.cancel()
            self._loop.remove_reader(self._sock)
            self.lost.set_result(error)

    def _heartbeat(self) -> None:
        try:
            self._amqp.heartbeat_tick(rate=2)  # kombu's own check would connect anew where the connection is gone
        except (*backoff.Trouble, AttributeError) as error:
            self._on_lost(error)
        else:
            self._beat = self._loop.call_later(declare.HEARTBEAT / 4, self._heartbeat)

    def _on_readable(self) -> None:
        if self.lost.done():
            return
        try:
            self._receive()
            self._hand_on()
        except Exception as error:  # noqa: BLE001 -- whatever the broker sent, this connection is over
            self._on_lost(error)

    def _receive(self) -> None:
        with suppress(BlockingIOError, InterruptedError, SSLWantReadError):
            while True:
                chunk = self._sock.recv(_CHUNK)
                if not chunk:
                    raise EOFError
                self._buffer += chunk
                if len(chunk) < _CHUNK and not getattr(self._sock, "pending", int)():
                    return

    def _hand_on(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= _HEADER.size + 1:
            kind, channel, size = _HEADER.unpack_from(buffer, at)
            end = at + _HEADER.size + size
            if len(buffer) <= end:
                break
            if buffer[end] != 0xCE:
                raise AMQPError("frame end")
            frame = bytes(buffer[at + _HEADER.size : end])
            if kind == 1 and frame.startswith(_CHANNEL_CLOSE):  # py-amqp would open it anew, and wait for an answer
                raise error_for_code(int.from_bytes(frame[4:6], "big"), "", (0, 0), ChannelError)
            self._amqp.on_inbound_frame((kind, channel, frame))
            at = end + 1
            if not self._amqp.connected:  # the broker's goodbye
                raise EOFError
        del buffer[:at]
