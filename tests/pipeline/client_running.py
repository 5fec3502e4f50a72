"""Clients under test: following in this process, or in one of their own that is killed in the end."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import kombu

from shared.client import Http, Queue, Refused, Replica, follow
from tests.pipeline.client_office import Office
from tests.pipeline.fleet import ROOT

NAME = "consumer.tests.updates"


def queue_is_new(url: str) -> None:
    """Have a queue as the operator makes it, with nothing in it and nothing bound to it."""
    with kombu.Connection(url) as connection:
        channel = connection.channel()
        channel.queue_delete(NAME)
        channel.queue_declare(NAME, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})


def queue(amqp: str) -> Queue | None:
    return Queue(url=amqp, name=NAME, orgs=("acme",)) if amqp else None


@asynccontextmanager
async def running(replica: Replica, http: Http, amqp: str) -> AsyncIterator[asyncio.Task[None]]:
    task: asyncio.Task[None] = asyncio.create_task(follow(replica, http, queue(amqp)))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Refused):
            await task


@asynccontextmanager
async def process(path: Path, publisher: Office, amqp: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Give a client of its own process; it is killed at the end, wherever it is."""
    arguments = [str(path), publisher.http.url, *([amqp] if amqp else [])]
    environ = os.environ | {"BUSYLINE_TOKEN": publisher.token}
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.pipeline.client_process", *arguments, cwd=ROOT, env=environ
    )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.send_signal(signal.SIGKILL)
        await started.wait()
