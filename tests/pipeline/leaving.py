"""Disconnecting an org as those see it whom it concerns: the platform, consumers, whoever searches afterwards."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pika
from msgspec import Struct

from deploy.command import witness
from services.authorizer import orgs
from services.authorizer.receipts import Receipt, receipt
from shared import clock
from shared.broker import Broker, topology
from shared.config import Deployment
from shared.contracts.messages import OrgDisconnected
from shared.store import Store


class Left(Struct, frozen=True, kw_only=True):
    """How an org left: seconds from the word to consumers' news and to the receipt, and the receipt."""

    told: float
    purged: float
    receipt: Receipt


class Consumer:
    """A consumer's queue, bound to every announcement; it says when it was first told of a type."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._queue = str(self._channel.queue_declare("", exclusive=True).method.queue)
        self._channel.queue_bind(self._queue, topology.AVAILABILITY, "#")

    def until(self, kind: str, *, seconds: float) -> int:
        """Take messages until one of a type comes, and return how many came before it. Raises TimeoutError."""
        end, count = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            _, properties, _ = self._channel.basic_get(self._queue, auto_ack=True)
            if properties is None:
                self._connection.process_data_events(0.01)
            elif properties.type == kind:
                return count
            else:
                count += 1
        raise TimeoutError(kind)

    def rest(self) -> list[str]:
        """Return the types of what has come since."""
        found: list[str] = []
        while True:
            _, properties, _ = self._channel.basic_get(self._queue, auto_ack=True)
            if properties is None:
                return found
            found.append(str(properties.type))

    def bodies(self) -> list[bytes]:
        """Return the bodies of what has come since."""
        found: list[bytes] = []
        while True:
            _, properties, body = self._channel.basic_get(self._queue, auto_ack=True)
            if properties is None:
                return found
            found.append(bytes(body))

    def close(self) -> None:
        """Close the connection, which deletes the queue."""
        self._connection.close()


@contextlib.asynccontextmanager
async def consuming(url: str) -> AsyncIterator[Consumer]:
    """Give a consumer while the block runs."""
    consumer = await asyncio.to_thread(Consumer, url)
    try:
        yield consumer
    finally:
        await asyncio.to_thread(consumer.close)


async def disconnected(store: Store, broker: Broker, consumer: Consumer, *, org_id: str, within: float = 240) -> Left:
    """Say, as a platform would, that an org left, and wait for the news and for the receipt."""
    began = time.perf_counter()
    await broker.publish([OrgDisconnected(org_id=org_id)])
    return await left(store, consumer, org_id=org_id, began=began, within=within)


async def left(store: Store, consumer: Consumer, *, org_id: str, began: float, within: float = 240) -> Left:
    """Wait for consumers' news and for the receipt of a disconnection asked for."""
    news = asyncio.create_task(_news(consumer, within))
    async with asyncio.timeout(within):
        while (found := await receipt(store, org_id)) is None or await orgs.org(store, org_id) is not None:
            await asyncio.sleep(0.05)
    purged = time.perf_counter() - began
    return Left(told=await news - began, purged=purged, receipt=found)


async def _news(consumer: Consumer, within: float) -> float:
    await asyncio.to_thread(consumer.until, "org.removed.v1", seconds=within)
    return time.perf_counter()


async def listed(store: Store, org_id: str, file: Path) -> Path:
    """Write the witness of what must vanish."""
    witness.write(file, await witness.witnessed(store, org_id, now=clock.now()))
    return file


async def searched(deployment: Deployment, org_id: str, file: Path, *, canaries: tuple[str, ...] = ()) -> str:
    """Search everything for what must have vanished, by the command; return what it says. Raises AssertionError."""
    environ = {
        "PATH": "/usr/bin:/bin",
        "BUSYLINE_BROKER_URL": deployment.broker_url.reveal(),
        "BUSYLINE_DATABASE_URL": deployment.database_url.reveal(),
        "BUSYLINE_KEYS_FILE": deployment.keys_file,
    }
    also = [word for canary in canaries for word in ("--canary", canary)]
    command = [str(Path(sys.executable).parent / "busyline"), "verify-purge", org_id, "--witness", str(file), *also]
    ended = await asyncio.to_thread(subprocess.run, command, env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
