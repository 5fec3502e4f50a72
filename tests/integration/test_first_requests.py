"""The commands that the demo prints work as they stand in a shell: each is answered with what it says."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from deploy.command import first_requests
from services.publisher.consumers import add
from services.publisher.timelines import publish
from services.publisher.web import served
from shared import clock
from shared.addresses import networks_of
from shared.contracts.values import DAY, Block, Status, Window
from shared.health import Health
from shared.store import open_store
from tests.integration.asking import put_mailbox
from tests.unit.publisher.hooks import FakeSender, Taker, post_with
from tests.unit.publisher.readings import MONDAY, connect, snapshot

ENDLESS = 28  # curl's exit code where its time is over
PEOPLE = ("ann", "bob", "eve")


async def ran(line: str) -> tuple[int | None, str]:
    """Run a line in a shell, and return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec("sh", "-c", line, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    return process.returncode, printed.decode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_every_command_is_answered_with_what_it_says(sqlite_url: str, tmp_path: Path) -> None:
    store, now = open_store(sqlite_url), clock.now()
    await connect(store)
    window = Window(now - now % DAY - DAY, now - now % DAY + 30 * DAY)
    for name in PEOPLE:
        await put_mailbox(store, name)
        told = snapshot(Block(now, now + 3600, Status.BUSY), mailbox_id=name, window=window)
        await publish(store, [told], now=MONDAY)
    token = await add(store, "demo", ["acme"], now=MONDAY)
    sender = FakeSender(Taker())
    sender.networks = networks_of("127.0.0.0/8")  # as in the demo
    post = post_with(store, tmp_path, sender, clock.exact)
    async with served(store, Health(), host="127.0.0.1", port=0, post=post) as port:
        before = first_requests.variables(f"http://127.0.0.1:{port}", token, "acme")
        printed = {}
        for each in first_requests.requests([f"{name}@example.com" for name in PEOPLE], now):
            endless = "curl -N " in each.command
            line = each.command.replace("curl ", f"curl -sS --fail-with-body -m {2 if endless else 60} ", 1)
            code, said = await ran(f"{before}; {line}")
            assert code == (ENDLESS if endless else 0), (each.command, said)
            printed[each.shows] = said if endless else json.loads(said)
    await store.close()
    assert printed["when three can meet"]["complete"]
    assert len(printed["when three can meet"]["slots"]) == 3
    assert printed["one of them"]["busy"]
    assert "event: position" in printed["what changes, as it changes"]
    assert printed["what changed after a position"]["updates"]
    assert printed["being called, by a webhook"]["webhook"]["state"] == "enabled"
    assert printed["a calendar to subscribe to"]["path"].endswith(".ics")
