"""2,000 clients of the stream at once: what they are told a second, how late, and what that costs the publisher."""

import asyncio
import gc
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from services.publisher import log
from services.publisher.bell import Bell
from services.publisher.consumers import add
from services.publisher.following import Following, Limits
from services.publisher.timelines import publish
from services.publisher.web import served
from shared import clock
from shared.health import Health
from shared.migrate import upgrade
from shared.store import Store, open_store
from tests.bench.surroundings import Servers
from tests.unit.publisher.readings import busy, connect, snapshot

CLIENTS: Final = 2_000
PACED: Final = (2, 5, 15.0)  # updates of every org in a batch, batches a second, seconds
BURST: Final = 400  # updates of every org at once
BATCH: Final = 64  # readings in one transaction, as the publisher has it


class Publishing:
    """The publisher's own part: readings are published in this process, and the bell is rung."""

    def __init__(self, store: Store, bell: Bell, org_ids: Sequence[str]) -> None:
        self.store = store
        self.bell = bell
        self.org_ids = org_ids
        self.version = 0

    async def publish(self, number: int) -> list[dict[int, float]]:
        """Publish so many updates of every org; return when each was committed, by org."""
        self.version += 1
        found = [
            snapshot(busy(self.version, self.version + 1), org_id=org_id, mailbox_id=f"m-{each}", version=self.version)
            for each in range(number)
            for org_id in self.org_ids
        ]
        committed: list[dict[int, float]] = [{} for _ in self.org_ids]
        for start in range(0, len(found), BATCH):
            part = found[start : start + BATCH]
            before = await log.head(self.store)
            await publish(self.store, part, now=clock.now())
            at = time.monotonic()
            self.bell.ring(hurry=True)
            for place in range(len(part)):
                committed[(start + place) % len(self.org_ids)][before + 1 + place] = at
        return committed


class Clients:
    """The clients' process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def heard(self) -> dict[str, Any]:
        """Return what it says next."""
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return found

    async def report(self, committed: Sequence[dict[int, float]]) -> dict[str, Any]:
        """Wait until all are told, and return how it went."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(committed).encode() + b"\n")
        await self._process.stdin.drain()
        return await self.heard()


async def streams(folder: Path, servers: Servers) -> None:
    """Print the figures, for one org that everybody follows and for twenty of them."""
    folder.mkdir(parents=True, exist_ok=True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    for orgs in (1, 20):
        print(f"\n## {CLIENTS:,} streams at once, {CLIENTS // orgs:,} of each of {orgs} orgs, PostgreSQL")
        url = servers.database()
        await asyncio.to_thread(upgrade, url)
        store = open_store(url)
        try:
            await _run(store, [f"org-{number}" for number in range(orgs)])
        finally:
            await store.close()


async def _run(store: Store, org_ids: Sequence[str]) -> None:
    bell = Bell()
    following = Following(store, bell, Limits(each=CLIENTS, total=2 * CLIENTS))
    for org_id in org_ids:
        await connect(store, org_id)
    tokens = [await add(store, f"app-{org_id}", [org_id], now=clock.now()) for org_id in org_ids]
    publishing = Publishing(store, bell, org_ids)
    await publishing.publish(BURST)
    async with served(store, Health(), host="127.0.0.1", port=0, following=following) as port:
        gc.collect()
        before, used = _resident(), time.process_time()
        async with _clients(port, tokens) as clients:
            connected = (await clients.heard())["connected"]
            gc.collect()
            print(f"connected in {connected:.1f} s with {time.process_time() - used:.1f} s of the publisher's CPU")
            if len(org_ids) == 1:  # later ones take what these gave back
                print(f"{(_resident() - before) / CLIENTS:.1f} KiB of memory each")
            number, a_second, seconds = PACED
            await _measured("paced", clients, _paced(publishing, number, a_second, seconds))
            await _measured("burst", clients, _burst(publishing))


async def _measured(name: str, clients: Clients, told: AsyncIterator[list[dict[int, float]]]) -> None:
    used, started = time.process_time(), time.monotonic()
    committed: list[dict[int, float]] = []
    async for each in told:
        committed = [one | other for one, other in zip(committed, each, strict=True)] if committed else each
    found = await clients.report(committed)
    cpu = time.process_time() - used
    print(
        f"{name:<6} {found['told']:>9,} told in {found['last']:5.1f} s = {found['told'] / found['last']:>9,.0f}/s   "
        f"publisher CPU {cpu:5.1f} s of {time.monotonic() - started:5.1f} s = {cpu / found['told'] * 1e6:5.1f} us each"
    )
    print(
        f"       late by {found['p50'] * 1000:.0f} ms (median), {found['p99'] * 1000:.0f} ms (99 of 100)   "
        f"missed {found['missed']}, twice {found['twice']}, not theirs {found['strange']}, dropped {found['lost']}"
    )


async def _paced(
    publishing: Publishing, number: int, a_second: int, seconds: float
) -> AsyncIterator[list[dict[int, float]]]:
    number = max(1, number // len(publishing.org_ids))
    begun = time.monotonic()
    for turn in range(int(a_second * seconds)):
        yield await publishing.publish(number)
        await asyncio.sleep(max(0.0, begun + (turn + 1) / a_second - time.monotonic()))


async def _burst(publishing: Publishing) -> AsyncIterator[list[dict[int, float]]]:
    yield await publishing.publish(BURST)


@asynccontextmanager
async def _clients(port: int, tokens: Sequence[str]) -> AsyncIterator[Clients]:
    each = str(CLIENTS // len(tokens))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.stream_clients", str(port), json.dumps(tokens), each,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Clients(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


def _resident() -> int:
    """Return this process's resident memory in KiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024
