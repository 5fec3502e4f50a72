"""The examples of the documentation run as they stand and show what is published."""

import asyncio
import base64
import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import kombu
import msgspec
from sqlalchemy import select
from standardwebhooks import Webhook

from services.publisher import log, news
from services.publisher.envelope import announcement
from services.publisher.log import Scope
from services.publisher.specimen import specimen
from services.publisher.timeline import from_row
from services.publisher.timelines import publish
from services.publisher.webhooks.answers import TestEvent
from shared import clock
from shared.broker import address, declare
from shared.contracts.values import DAY, Block, Coverage, Status, Window
from shared.tables import timelines
from tests.pipeline.client_office import Office, office
from tests.pipeline.fleet import ROOT
from tests.processes import free_port
from tests.unit.publisher.readings import snapshot
from tests.waiting import until

EXAMPLES = ROOT / "docs" / "examples"
QUEUE = "consumer.crm.updates"
SECRET = f"whsec_{base64.b64encode(b'7' * 32).decode()}"


class Example:
    """A running example: what it printed so far."""

    def __init__(self, process: asyncio.subprocess.Process, output: Path) -> None:
        self.process = process
        self._output = output

    @property
    def said(self) -> str:
        return self._output.read_text()


@asynccontextmanager
async def example(folder: Path, *command: str, **environ: str) -> AsyncIterator[Example]:
    output = folder / "said"
    with output.open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, cwd=folder, stdout=said, stderr=subprocess.STDOUT,
            env=os.environ | {"COLUMNS": "100", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)} | environ,
        )  # fmt: skip
    try:
        yield Example(process, output)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def publish_now(publisher: Office, mailbox_id: str, *, version: int, status: Status | None) -> None:
    """Publish somebody who has this status from an hour ago until in an hour, or is free."""
    now = clock.now()
    block = () if status is None else (Block(now - 3600, now + 3600, status),)
    window = Window(now - now % DAY - DAY, now - now % DAY + 30 * DAY)
    await publish(publisher.store, [snapshot(*block, mailbox_id=mailbox_id, version=version, window=window)], now=now)


async def test_the_board_shows_who_is_busy_now(tmp_path: Path, sqlite_url: str) -> None:
    async with office(sqlite_url) as publisher:
        await publish_now(publisher, "ann", version=1, status=Status.OOF)
        await publish_now(publisher, "bob", version=1, status=None)
        await publisher.publish("eve", lot=0.01)
        command = (str(EXAMPLES / "board.py"), publisher.http.url, "acme", "--file", "board.db")
        async with example(tmp_path, *command, "--once", TOKEN=publisher.token) as board:
            assert await asyncio.wait_for(board.process.wait(), 60) == 0
            rows = {line.split()[1]: line for line in board.said.splitlines() if "@example.com" in line}
            assert "oof" in rows["ann@example.com"]
            assert "free" in rows["bob@example.com"]
            assert "not known" in rows["eve@example.com"]
        async with example(tmp_path, *command, TOKEN=publisher.token, TTY_COMPATIBLE="1") as board:
            await until(lambda: "free" in board.said, 60)
            await publish_now(publisher, "bob", version=2, status=Status.TENTATIVE)
            await until(lambda: "tentative" in board.said, 60)


async def test_the_readmes_python_prints_who_is_busy(tmp_path: Path, sqlite_url: str) -> None:
    (told,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    async with office(sqlite_url) as publisher:
        await publish_now(publisher, "ann", version=1, status=Status.OOF)
        await publish_now(publisher, "bob", version=1, status=None)
        await publisher.publish("eve", lot=0.01)
        (tmp_path / "readme.py").write_text(told.replace("http://127.0.0.1:8080", publisher.http.url))
        for _ in range(9):  # its five seconds may be few here; what it has stays
            async with example(tmp_path, "readme.py", TOKEN=publisher.token) as readme:
                assert await asyncio.wait_for(readme.process.wait(), 60) == 0
                said = readme.said
            if said:
                break
    assert sorted(said.splitlines()) == [
        "ann@example.com ['oof']",
        "bob@example.com free",
        "eve@example.com not known",
    ]


async def test_the_flask_receiver_believes_what_is_signed(tmp_path: Path, sqlite_url: str) -> None:
    async with office(sqlite_url) as publisher:
        await publisher.publish("ann")
        (row,) = (await log.page(publisher.store, Scope(None), after=0, limit=9)).rows
    body, port = announcement(row)[1], free_port()
    test = json.dumps(specimen(TestEvent)).encode()
    command = ("-m", "flask", "--app", str(EXAMPLES / "flask_webhook.py"), "run", "--port", str(port))
    async with example(tmp_path, *command, WEBHOOK_SECRETS=SECRET) as receiver:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            await until(lambda: "Running on" in receiver.said, 60)
            for signed, sent in ((body, body), (body, body), (test, test), (body, body + b" ")):
                async with session.post("/busyline", data=sent, headers=signature(signed)) as answer:
                    assert answer.status == (204 if signed == sent else 401)
        assert receiver.said.count("1: ann@example.com has ") == 1


def signature(body: bytes) -> dict[str, str]:
    at = clock.now()
    signed = Webhook(SECRET).sign("evt_1", datetime.fromtimestamp(at, UTC), body.decode())
    return {"webhook-id": "evt_1", "webhook-timestamp": str(at), "webhook-signature": signed}


async def test_the_plain_consumer_ends_with_what_is_published(tmp_path: Path, sqlite_url: str, amqp_url: str) -> None:
    declare.ensure(address.parse(amqp_url))
    with kombu.Connection(amqp_url) as connection:
        channel = connection.channel()
        channel.queue_delete(QUEUE)
        channel.queue_declare(QUEUE, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        channel.queue_bind(QUEUE, "availability", "acme.#")
    async with office(sqlite_url, amqp_url) as publisher:
        await publisher.stir(30)
        command = (str(EXAMPLES / "plain_pika.py"), publisher.http.url, "acme")
        environ = {"TOKEN": publisher.token, "AMQP_URL": amqp_url}
        async with example(tmp_path, *command, **environ) as consumer:
            await until(lambda: "consuming" in consumer.said, 60)
            await publisher.stir(30)
            await publisher.publish("last")
            await until(lambda: "availability.updated.v1 last" in consumer.said, 60)
        assert lines(tmp_path / "availability.db") == await published(publisher)
        await publisher.stir(30)
        await publisher.leave()
        await publisher.come_back()
        await publisher.stir(10)
        async with example(tmp_path, *command, **environ) as consumer:  # what it missed lies in queue and snapshot
            await until(lambda: "consuming" in consumer.said, 60)
            await publisher.publish("after")
            await until(lambda: "availability.updated.v1 after" in consumer.said, 60)
        assert lines(tmp_path / "availability.db") == await published(publisher)


def lines(file: Path) -> dict[str, object]:
    base = sqlite3.connect(file)
    rows = base.execute("SELECT id, blocks FROM mailboxes").fetchall()
    base.close()
    return {each: joined(json.loads(blocks)) for each, blocks in rows if json.loads(blocks) is not None}


def joined(blocks: list[dict[str, str]]) -> list[dict[str, str]]:
    """Join what touches: the documentation's few lines leave a block cut where a range began."""
    found: list[dict[str, str]] = []
    for block in blocks:
        if found and (found[-1]["end"], found[-1]["status"]) == (block["start"], block["status"]):
            found[-1] = found[-1] | {"end": block["end"]}
        else:
            found.append(block)
    return found


async def published(publisher: Office) -> dict[str, object]:
    async with publisher.store.read() as connection:
        rows = (await connection.execute(select(timelines))).mappings().all()
    held = [from_row(dict(row)) for row in rows]
    known = [each for each in held if each.coverage is Coverage.FULL]
    return {each.mailbox_id: msgspec.to_builtins(list(news.busy(each.blocks, each.window))) for each in known}


def test_the_plain_consumer_uses_nothing_of_ours() -> None:
    text = (EXAMPLES / "plain_pika.py").read_text()
    assert "shared" not in text
    assert "services" not in text
