"""A run that ends says goodbye to RabbitMQ: a socket closed on unread frames takes acknowledgements with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from shared.broker import Consumer, Delivery, Done, open_broker
from shared.contracts.messages import MailboxRead, Message
from tests.waiting import until

CONSUME = b"\x00\x3c\x00\x14"  # class and method of basic.consume
CLOSE = b"\x00\x0a\x00\x32"  # connection.close
CLOSE_OK = b"\x00\x0a\x00\x33"


class Line:
    """One connection through the proxy: what each side said."""

    def __init__(self) -> None:
        self.said, self.heard = bytearray(), bytearray()


class Proxy:
    """Passes connections on to a broker and remembers them."""

    def __init__(self, url: str) -> None:
        self.target = urlsplit(url)
        self.lines: list[Line] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line()
        self.lines.append(line)
        there, back = await asyncio.open_connection(self.target.hostname, self.target.port)
        await asyncio.gather(passed(reader, back, line.said), passed(there, writer, line.heard))


async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray) -> None:
    with suppress(ConnectionError):
        while chunk := await reader.read(65_536):
            kept += chunk
            writer.write(chunk)
            await writer.drain()
    writer.close()


@pytest.fixture
async def proxy(amqp_url: str) -> AsyncIterator[tuple[Proxy, str]]:
    made = Proxy(amqp_url)
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield made, amqp_url.replace(f":{made.target.port}", f":{port}")


async def test_a_run_told_to_stop_waits_for_the_brokers_goodbye(proxy: tuple[Proxy, str]) -> None:
    made, url = proxy
    broker, stop, taken = open_broker(url), asyncio.Event(), asyncio.Event()

    async def handle(_: Message, __: Delivery) -> Done:
        taken.set()
        return Done()

    await broker.publish([MailboxRead(org_id="acme", generation=1, mailbox_id="m", since=1, live=True)])
    running = asyncio.create_task(broker.run([Consumer("fetcher.live", handle, 1)], service="fetcher", stop=stop))
    await asyncio.wait_for(taken.wait(), 60)
    stop.set()
    await asyncio.wait_for(running, 60)
    await broker.close()
    consumed = [line for line in made.lines if CONSUME in line.said]
    assert len(consumed) == 1
    assert CLOSE in consumed[0].said
    await until(lambda: CLOSE_OK in consumed[0].heard)
