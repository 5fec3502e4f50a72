"""amqps: both client libraries check the broker's certificate, and a broker nobody vouches for is not spoken to."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.sandbox.tls import papers
from shared import clock
from shared.broker import Consumer, Delivery, Done, open_broker
from shared.contracts.messages import MailboxRead, Message
from shared.errors import Halt
from tests.servers import RabbitServer, Unavailable, free_port

READ = MailboxRead(org_id="acme", generation=1, mailbox_id="m", since=1)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("papers")
    found, port = papers(folder, (), now=clock.now()), free_port()
    settings = {
        "listeners.ssl.1": f"127.0.0.1:{port}",
        "ssl_options.cacertfile": str(found.ca_file),
        "ssl_options.certfile": str(found.certificate),
        "ssl_options.keyfile": str(found.key),
    }
    try:
        server = RabbitServer(settings=settings)
    except Unavailable as why:
        pytest.skip(f"{why}: a container's RabbitMQ has no certificate")
    server.start()
    yield f"amqps://guest:guest@127.0.0.1:{port}/?cacertfile={found.ca_file}"
    server.stop()


async def test_messages_pass_over_an_encrypted_connection(url: str) -> None:
    broker, stop, handled = open_broker(url), asyncio.Event(), list[Message]()

    async def handle(message: Message, _: Delivery) -> Done:
        handled.append(message)
        if len(handled) == 300:
            stop.set()
        return Done()

    try:
        await broker.publish([READ] * 300)
        run = broker.run([Consumer("fetcher.backfill", handle)], service="fetcher", stop=stop)
        await asyncio.wait_for(run, 60)
    finally:
        await broker.close()
    assert handled == [READ] * 300


async def test_a_broker_whose_certificate_nobody_vouches_for_is_refused(url: str) -> None:
    broker = open_broker(url.partition("?")[0])
    try:
        with pytest.raises(Halt, match="broker_refused"):
            await asyncio.wait_for(broker.publish([READ]), 60)
    finally:
        await broker.close()
