"""pika's asynchronous connection as awaitables: connect, open a channel, ask it something, close."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.exceptions import AMQPError, ChannelClosedByBroker, ChannelWrongStateError

from shared.broker.address import Address
from shared.broker.declare import HEARTBEAT
from shared.broker.frames import published
from shared.broker.wire import Letter, Taken
from shared.errors import Halt

_PATIENCE = 20.0  # seconds for any answer
_LEAVING = 2.0
_FOR_GOOD = {403, 406}  # no right to the exchange, or a body it will not take: the same again would fare the same


class _Connection(AsyncioConnection):  # type: ignore[misc]  # pika has no types
    """Gathers what is written within one turn of the loop; pika alone makes three system calls a message."""

    _gathered: list[bytes] | None = None

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        if self._gathered is None:
            self._gathered = []
            asyncio.get_running_loop().call_soon(self._write_gathered)
        self._gathered.extend(marshaled_frames)

    def write(self, letters: Sequence[Letter], channel: int) -> None:
        """Write letters as frames of our own making: see `frames`."""
        most = self._body_max_length
        self._output_marshaled_frames([published(letter, channel=channel, most=most) for letter in letters])

    def _write_gathered(self) -> None:
        gathered, self._gathered = self._gathered, None
        if gathered and self._transport is not None:  # else lost meanwhile: what was not confirmed is published again
            super()._output_marshaled_frames([b"".join(gathered)])


async def connect(address: Address) -> tuple[AsyncioConnection, "asyncio.Future[BaseException]"]:
    """Return an open connection and the future that will hold the reason of its end. Raises OSError or AMQPError."""
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[AsyncioConnection] = loop.create_future()
    lost: asyncio.Future[BaseException] = loop.create_future()

    def on_failure(_: object, error: BaseException | str) -> None:
        if not opened.done():
            opened.set_exception(ConnectionError(type(error).__name__))

    def on_end(_: object, reason: BaseException) -> None:
        if not lost.done():
            lost.set_result(reason)

    connection = _Connection(
        _parameters(address),
        on_open_callback=partial(_resolve, opened),
        on_open_error_callback=on_failure,
        on_close_callback=on_end,
    )
    try:
        return await asyncio.wait_for(opened, _PATIENCE), lost
    except BaseException:
        if not connection.is_closed and not connection.is_closing:
            connection.close()
        raise


def _parameters(address: Address) -> pika.ConnectionParameters:
    tls = None if address.tls is None else pika.SSLOptions(address.tls.context(), address.host)
    return pika.ConnectionParameters(
        host=address.host,
        port=address.port,
        virtual_host=address.vhost,
        credentials=pika.PlainCredentials(address.user, address.password),
        heartbeat=HEARTBEAT,
        connection_attempts=1,
        socket_timeout=5,
        stack_timeout=15,
        ssl_options=tls,
        client_properties={"connection_name": "busyline"},
    )


def properties(letter: Letter) -> pika.BasicProperties:
    """Return a letter's AMQP properties."""
    return pika.BasicProperties(
        content_type=letter.content_type,
        delivery_mode=2,
        headers=dict(letter.headers),
        message_id=letter.message_id,
        timestamp=letter.timestamp,
        type=letter.message_type or None,
    )


def publish(channel: Any, letters: Sequence[Letter]) -> None:
    """Write letters to a channel at once. Raises AMQPError where it is not open."""
    if not channel.is_open:
        raise ChannelWrongStateError
    channel.connection.write(letters, channel.channel_number)


def broken(reason: BaseException) -> Exception:
    """Return the error for what was under way when a channel ended: Halt where the same again would fare the same."""
    if isinstance(reason, ChannelClosedByBroker) and reason.reply_code in _FOR_GOOD:
        return Halt("broker_refused", str(reason.reply_code))
    return ConnectionError(type(reason).__name__)


async def channel(connection: AsyncioConnection, lost: "asyncio.Future[BaseException]") -> Any:
    """Return an open channel; when it ends, the connection does, and `lost` says why."""
    opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    it = connection.channel(on_open_callback=partial(_resolve, opened))

    def on_end(_: object, reason: BaseException) -> None:
        if not lost.done():
            lost.set_result(reason)
        if not opened.done():
            opened.set_exception(ConnectionError(type(reason).__name__))

    it.add_on_close_callback(on_end)
    return await asyncio.wait_for(opened, _PATIENCE)


async def ask(channel: Any, method: Callable[..., object], **arguments: object) -> Any:
    """Call a channel's method that answers through a callback; return the answer. Raises ConnectionError."""
    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def on_end(_: object, reason: BaseException) -> None:
        if not answered.done():
            answered.set_exception(ConnectionError(type(reason).__name__))

    channel.add_on_close_callback(on_end)
    method(callback=partial(_resolve, answered), **arguments)
    return await asyncio.wait_for(answered, _PATIENCE)


def taken(queue: str, delivery: tuple[Any, Any, bytes], source: Any) -> Taken:
    """Return what pika delivered of a queue (method, properties, body) as the loop knows it."""
    method, properties, body = delivery
    return Taken(
        queue=queue,
        body=body,
        headers=properties.headers or {},
        message_id=properties.message_id or "",
        message_type=properties.type or "",
        timestamp=properties.timestamp or 0,
        redelivered=method.redelivered,
        tag=method.delivery_tag,
        source=source,
    )


async def depth(channel: Any, queue: str) -> int:
    """Return how many messages wait in a queue, in nobody's hand. Raises ConnectionError, AMQPError."""
    frame = await ask(channel, channel.queue_declare, queue=queue, passive=True)
    return int(frame.method.message_count)


def _resolve(future: "asyncio.Future[Any]", result: Any) -> None:
    if not future.done():
        future.set_result(result)


async def close(connection: AsyncioConnection | None) -> None:
    """Close a connection and wait for the end, not for long."""
    if connection is None or connection.is_closed:
        return
    ended = asyncio.Event()
    connection.add_on_close_callback(lambda *_: ended.set())
    if not connection.is_closing:
        try:
            connection.close()
        except AMQPError:
            return
    try:
        await asyncio.wait_for(ended.wait(), _LEAVING)
    except TimeoutError:
        return
