"""The setup page over a large organisation: first bytes of its pages, searches, and what its viewers cost in memory."""

import asyncio
import gc
import resource
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from sqlalchemy import insert, update

from services.authorizer import orgs
from services.authorizer.desk import Desk
from services.authorizer.settings import Settings
from services.authorizer.verify import Microsoft
from shared import clock
from shared.identity import GraphCredential
from shared.migrate import upgrade
from shared.store import Store, open_store
from shared.tables import mailboxes, timelines
from shared.vault import load_vault
from tests.bench.surroundings import Servers
from tests.unit.authorizer.authorizer_fakes import FakeGraph, FakeTokens
from tests.unit.authorizer.console.town import connected, searched, timeline
from tests.unit.authorizer.console.visiting import Console, visited
from tests.unit.authorizer.exchange_fakes import FakeServer

ORG: Final = "acme"
PART: Final = 1000  # rows in one statement
BLOCKS: Final = b"[" + b",".join(b'[1800000000,1800003600,"busy"]' for _ in range(66)) + b"]"  # 2 kB, as of a month
TIMES: Final = 15
LIMIT: Final = 0.2  # seconds, of the median
VIEWERS: Final = 30
WATCHED: Final = 20.0  # seconds
PAGES: Final = {
    "status": "/setup/status",
    "mailboxes, first page": "/setup/mailboxes",
    "mailboxes, far on": '/setup/mailboxes?after=["person17000@acme.example",""]',
    "search, one found": "/setup/mailboxes?q=person19999",
    "search, many found": "/setup/mailboxes?q=son1",
    "search, none found": "/setup/mailboxes?q=nobody-at-all",
    "filter by cause": "/setup/mailboxes?bucket=denied&reason=access_denied",
    "one mailbox": "/setup/mailboxes/m10000",
    "disconnect": "/setup/disconnect",
}


async def setup_page(folder: Path, servers: Servers, *, number: int) -> None:
    """Print the figures on both databases, and whether every median is within its limit."""
    folder.mkdir(parents=True, exist_ok=True)
    good = True
    for engine, url in (("SQLite", f"sqlite:///{folder / 'setup.db'}"), ("PostgreSQL", servers.database())):
        print(f"\n## Setup page: {number:,} mailboxes on {engine}")
        await asyncio.to_thread(upgrade, url)
        async with _page(url, folder / engine, number) as console:
            medians = [await _first_byte(console, name, path) for name, path in PAGES.items()]
            good = max(medians) <= LIMIT and good
            await _file(console)
            await _watched(console)
    print(f"\n  every median within {LIMIT * 1000:.0f} ms: {'yes' if good else 'NO'}")


@asynccontextmanager
async def _page(url: str, folder: Path, count: int) -> AsyncIterator[Console]:
    """Serve the page over an organisation of so many mailboxes, an admin at it."""
    folder.mkdir(parents=True, exist_ok=True)
    store = open_store(url)
    try:
        vault = load_vault(folder / "keys", create=True)
        await orgs.put_credential(store, vault, "default", GraphCredential(client_id="app", client_secret="-"), now=1)
        await connected(store, org_id=ORG)
        await _fill(store, count)
        await searched(store, org_id=ORG)
        desk = Desk(
            store=store,
            vault=vault,
            microsoft=Microsoft(FakeTokens(), FakeGraph()),
            exchange=FakeServer().exchange(),
            settings=Settings(),
        )
        async with visited(desk) as console:
            await console.enter(ORG)
            yield console
    finally:
        await store.close()


async def _fill(store: Store, count: int) -> None:
    for start in range(0, count, PART):
        numbers = range(start, min(start + PART, count))
        async with store.write() as writing:
            await writing.execute(insert(mailboxes), [_row(number) for number in numbers])
            await writing.execute(
                insert(timelines), [timeline(ORG, f"m{n:05d}", _address(n)) | {"blocks": BLOCKS} for n in numbers]
            )
    async with store.engine.connect() as raw:
        await (await raw.execution_options(isolation_level="AUTOCOMMIT")).exec_driver_sql("ANALYZE")


def _row(number: int) -> dict[str, Any]:
    """Return a mailbox; one in fifty has a problem."""
    denied, waits = number % 50 == 0, number % 70 == 1
    return {
        "org_id": ORG, "mailbox_id": f"m{number:05d}", "address": _address(number), "kind": "user",
        "bucket": "denied" if denied else "active", "reason": "access_denied" if denied else None, "time_zone": "UTC",
        "generation": 1, "read_generation": 1, "read_at": clock.now() - number % 3600, "due_at": clock.now() + 3600,
        "waiting": "throttled" if waits else None,
    }  # fmt: skip


def _address(number: int) -> str:
    return f"person{number:05d}@acme.example"


async def _first_byte(console: Console, name: str, path: str) -> float:
    """Print and return the median of the seconds until the first byte of a page."""
    seconds = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        async with console.client.get(path, allow_redirects=False) as answer:
            assert answer.status == 200, (name, answer.status)
            await answer.content.readany()
            seconds.append(time.perf_counter() - begun)
            await answer.read()
    median = statistics.median(seconds)
    print(f"  {name:<24} median {median * 1000:6.1f} ms   worst {max(seconds) * 1000:6.1f} ms")
    return median


async def _file(console: Console) -> None:
    """Print how long the file takes, and what it costs in memory."""
    before, begun, size = _memory(), time.perf_counter(), 0
    async with console.client.get("/setup/mailboxes.csv") as answer:
        async for part in answer.content.iter_any():
            size += len(part)
    seconds = time.perf_counter() - begun
    print(f"  CSV of {size / 2**20:.1f} MiB in {seconds:.2f} s, {_memory() - before:.1f} MiB more at the peak")


async def _watched(console: Console) -> None:
    """Print what many viewers cost in memory while a first reading goes on, in two equal spans."""
    everybody = update(mailboxes).where(mailboxes.c.org_id == ORG)
    async with console.store.write() as writing:
        await writing.execute(everybody.values(read_generation=None))
    tasks = [asyncio.create_task(_listen(console)) for _ in range(VIEWERS)]
    reading = asyncio.create_task(_read(console.store))
    await asyncio.sleep(WATCHED)
    memory, begun = [await _settled()], time.process_time()
    for _ in range(2):
        await asyncio.sleep(WATCHED)
        memory.append(await _settled())
    used = time.process_time() - begun
    for task in (*tasks, reading):
        task.cancel()
    heard = [found for found in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(found, int)]
    await asyncio.gather(reading, return_exceptions=True)
    grown = ", ".join(f"{after - before:+.1f}" for before, after in pairwise(memory))
    print(f"  {VIEWERS} viewers, 2 x {WATCHED:.0f} s: {grown} MiB, CPU {used:.2f} s, {sum(heard)} events heard in all")


async def _read(store: Store) -> None:
    """Do as a fetcher does: a hundred mailboxes a second."""
    for start in range(0, 1_000_000, 100):
        mine = (mailboxes.c.org_id == ORG, mailboxes.c.mailbox_id >= f"m{start:05d}")
        mine = (*mine, mailboxes.c.mailbox_id < f"m{start + 100:05d}")
        async with store.write() as writing:
            await writing.execute(update(mailboxes).where(*mine).values(read_generation=1))
        await asyncio.sleep(1)


async def _listen(console: Console) -> int:
    heard = 0
    try:
        async with console.client.get("/setup/status/events", timeout=None) as answer:
            async for line in answer.content:
                heard += line.startswith(b"event:")
    except asyncio.CancelledError:
        return heard
    return heard


async def _settled() -> float:
    gc.collect()
    await asyncio.sleep(0)
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
