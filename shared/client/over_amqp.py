"""Edge: a consumer's own queue on RabbitMQ, through pika on the asyncio loop: bound, then consumed.

What is not acknowledged when the connection ends comes again.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pika
from msgspec import Struct
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.exceptions import AMQPError, ChannelClosedByBroker, ProbableAccessDeniedError, ProbableAuthenticationError

from shared.client.errors import Away, Refused

EXCHANGE = "availability"
PATIENCE = 20.0  # seconds for any answer of the broker
LEAVING = 2.0
PREFETCH = 256
HEARTBEAT = 30  # seconds, unless the URL says otherwise
_REFUSALS = {403: "broker_access_refused", 404: "broker_not_found", 406: "queue_differs"}


class Queue(Struct, frozen=True, kw_only=True):
    """A consumer's own queue: `url` as the operator gave it (amqps://consumer-NAME:…), `name` consumer.NAME.updates.

    The operator made it. It is bound for `orgs`, and without them taken as it is. `ca_file` holds the certificates to
    trust.
    """

    url: str
    name: str
    orgs: tuple[str, ...] = ()
    ca_file: str = ""

    def __repr__(self) -> str:
        """Keep the password out of logs."""
        return f"Queue(name={self.name!r}, orgs={self.orgs!r})"


class Line:
    """One connection's deliveries: bodies with their tags, in order."""

    def __init__(self, channel: Any, queue: str, lost: "asyncio.Future[BaseException]") -> None:
        """Take an open channel; `lost` will say why it ended."""
        self._channel = channel
        self._queue = queue
        self._lost = lost
        self._came: deque[tuple[int, bytes]] = deque()
        self._some = asyncio.Event()
        lost.add_done_callback(lambda _: self._some.set())

    def begin(self) -> None:
        """Let deliveries come. Raises Away, Refused where the connection has ended."""
        if self._lost.done():
            raise _ended(self._lost.result())
        self._channel.add_on_cancel_callback(self._on_cancelled)
        self._channel.basic_consume(self._queue, self._on_delivery)

    async def batch(self, seconds: float) -> list[tuple[int, bytes]]:
        """Return everything that came and was not returned yet, nothing after so many seconds.

        Raises Away, Refused once the connection has ended.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._some.wait()
        except TimeoutError:
            return []
        if self._lost.done():
            raise _ended(self._lost.result())
        self._some.clear()
        came = list(self._came)
        self._came.clear()
        return came

    def taken(self, tag: int) -> None:
        """Acknowledge a delivery and all before it. Where the connection has just ended, it comes again."""
        if self._channel.is_open:
            self._channel.basic_ack(tag, multiple=True)

    def _on_delivery(self, _: object, method: Any, __: object, body: bytes) -> None:
        self._came.append((method.delivery_tag, body))
        self._some.set()

    def _on_cancelled(self, _: object) -> None:
        """Begin anew: the queue was deleted, or moved to another node."""
        if not self._lost.done():
            self._lost.set_result(ConnectionError("consumer_cancelled"))


@asynccontextmanager
async def line(queue: Queue, orgs: Collection[str]) -> AsyncIterator[Line]:
    """Give the queue, bound for these orgs, not consumed yet. Raises Away, Refused."""
    lost: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    connection = await _connected(queue, lost)
    try:
        channel = await _channel(connection, lost)
        await _ask(lost, channel.basic_qos, prefetch_count=PREFETCH)
        await _bound(channel, lost, queue.name, orgs)
        yield Line(channel, queue.name, lost)
    finally:
        await _close(connection)


async def _bound(channel: Any, lost: "asyncio.Future[BaseException]", name: str, orgs: Collection[str]) -> None:
    """Bind a queue. Raises Away where the publisher has not made its exchange yet, or nobody the queue."""
    for org_id in orgs:
        try:
            await _ask(lost, channel.queue_bind, queue=name, exchange=EXCHANGE, routing_key=f"{org_id}.#")
        except Refused as refused:
            raise (Away(refused.reason) if refused.reason == _REFUSALS[404] else refused) from None


async def _connected(queue: Queue, lost: "asyncio.Future[BaseException]") -> AsyncioConnection:
    opened: asyncio.Future[AsyncioConnection] = asyncio.get_running_loop().create_future()

    def on_failure(_: object, error: BaseException | str) -> None:
        if not opened.done():
            opened.set_exception(_ended(error if isinstance(error, BaseException) else ConnectionError(error)))

    connection = AsyncioConnection(
        _parameters(queue),
        on_open_callback=partial(_resolve, opened),
        on_open_error_callback=on_failure,
        on_close_callback=lambda _, reason: _resolve(lost, reason),
    )
    try:
        await asyncio.wait({opened}, timeout=PATIENCE)
    except asyncio.CancelledError:
        await asyncio.wait({opened}, timeout=LEAVING)  # pika does not like to be stopped amid its handshake
        if opened.done():
            opened.exception()
        await _close(connection)
        raise
    if not opened.done():
        await _close(connection)
        raise Away("broker_silent")
    return opened.result()


def _parameters(queue: Queue) -> pika.ConnectionParameters:
    parameters = pika.URLParameters(queue.url)
    parameters.connection_attempts = 1
    parameters.heartbeat = HEARTBEAT if parameters.heartbeat is None else parameters.heartbeat
    parameters.client_properties = {"connection_name": queue.name}
    if parameters.ssl_options is not None and queue.ca_file:
        trusted = ssl.create_default_context(cafile=queue.ca_file)
        parameters.ssl_options = pika.SSLOptions(trusted, parameters.host)
    return parameters


async def _channel(connection: AsyncioConnection, lost: "asyncio.Future[BaseException]") -> Any:
    channel = await _answer(lost, lambda done: connection.channel(on_open_callback=done))
    channel.add_on_close_callback(lambda _, reason: _resolve(lost, reason))
    return channel


async def _ask(lost: "asyncio.Future[BaseException]", method: Callable[..., object], **arguments: object) -> Any:
    return await _answer(lost, lambda done: method(callback=done, **arguments))


async def _answer(lost: "asyncio.Future[BaseException]", begin: Callable[[Callable[[Any], None]], object]) -> Any:
    """Ask and return the answer. Raises Away, Refused where the connection ends instead, or no answer comes."""
    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    try:
        begin(partial(_resolve, answered))
        await asyncio.wait({answered, lost}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    except AMQPError as error:
        raise _ended(error) from None
    if answered.done():
        return answered.result()
    raise _ended(lost.result()) if lost.done() else Away("broker_silent")


async def _close(connection: AsyncioConnection) -> None:
    """Close a connection and wait for its end, not for long."""
    if connection.is_closed:
        return
    ended = asyncio.Event()
    connection.add_on_close_callback(lambda *_: ended.set())
    with suppress(AMQPError, TimeoutError):
        if not connection.is_closing:
            connection.close()
        await asyncio.wait_for(ended.wait(), LEAVING)


def _resolve(future: "asyncio.Future[Any]", result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _ended(reason: BaseException) -> Away | Refused:
    """Return what the end of a connection means."""
    if isinstance(reason, Away | Refused):
        return reason
    if isinstance(reason, ProbableAuthenticationError | ProbableAccessDeniedError | ssl.SSLCertVerificationError):
        return Refused("broker_access_refused")
    if isinstance(reason, ChannelClosedByBroker) and reason.reply_code in _REFUSALS:
        return Refused(_REFUSALS[reason.reply_code])
    return Away(f"broker_{type(reason).__name__}")
