"""`make bench`: throughput beside the floor, scaling, memory; latency of changes, fairness between orgs, disconnecting.

Compare ratios and CPU seconds: the machine is shared, wall times are not to be trusted alone.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from msgspec import Struct

from services.normalizer.merge import RANKED, merge
from shared import clock
from shared.contracts.policy import Policy
from shared.contracts.values import DAY, Block, Window
from tests.bench.decoding import decoding
from tests.bench.disconnecting import disconnect
from tests.bench.exchange import exchange
from tests.bench.fairness import fairness
from tests.bench.floor import read_everything
from tests.bench.latency import latency
from tests.bench.relay import relaying
from tests.bench.setup_page import setup_page
from tests.bench.slots import slots
from tests.bench.streams import streams
from tests.bench.surroundings import Servers, sandbox
from tests.pipeline.fleet import SERVICES, Fleet

ORG = "bench"
PARTS = [
    "throughput", "scaling", "merging", "memory", "latency", "fairness", "disconnect", "decoding", "exchange", "setup",
    "streams", "relay", "slots",
]  # fmt: skip


class Figures(Struct, frozen=True):
    """One run of the pipeline."""

    wall: float
    cpu: dict[str, float]
    memory: dict[str, float]
    most_reads: int


async def pipeline(reach: dict[str, str], folder: Path, servers: Servers, *, fetchers: int = 1, **more: str) -> Figures:
    """Run the four services over one sandbox, from `org.connected` to full coverage."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "BUSYLINE_SANDBOX_URL": reach["url"],
        "BUSYLINE_CA_FILE": reach["ca_file"],
        "BUSYLINE_LOG_LEVEL": "warning",
        **more,
    }
    database = await asyncio.to_thread(servers.database)
    with Fleet(folder, broker_url=servers.broker(), database_url=database, **settings) as fleet:
        fleet.start_all(fetchers=fetchers)
        await fleet.ready()
        before = fleet.cpu() | servers.cpu()
        started = time.perf_counter()
        await fleet.connect(ORG, reach, Policy())
        await fleet.settled(ORG, within=1800)
        wall = time.perf_counter() - started
        await fleet.relayed()
        used = {name: after - before[name] for name, after in (fleet.cpu() | servers.cpu()).items()}
        async with fleet.api(ORG) as api:
            versions = [listed["version"] for listed in await api.mailboxes() if listed["coverage"] == "full"]
        return Figures(wall=wall, cpu=used, memory=fleet.peak_memory(), most_reads=max(versions))


def window() -> tuple[str, str]:
    """Return the default policy's window, as calendarView wants it."""
    kept = Policy().window_at(clock.now())
    return clock.moment(kept.start), clock.moment(kept.end)


async def throughput(folder: Path, servers: Servers, *, mailboxes: int, events: int) -> None:
    """Print the pipeline beside the floor."""
    print(f"\n## {mailboxes} mailboxes x {events} events, RabbitMQ + PostgreSQL, one replica of each service")
    with sandbox(folder / "sandbox", mailboxes=mailboxes, events=events) as microsoft:
        reach = microsoft.reach
        floor = await read_everything(reach, window=window(), at_once=32)
        run = await pipeline(reach, folder / "run", servers)
        again = await read_everything(reach, window=window(), at_once=32)
    wall = (floor.wall + again.wall) / 2
    million = floor.events / 1e6
    total = sum(run.cpu[name] for name in SERVICES)
    print(
        f"floor     wall {floor.wall:6.1f} s, then {again.wall:6.1f} s   CPU {floor.cpu:6.1f} s   events {floor.events}"
    )
    print(f"pipeline  wall {run.wall:6.1f} s = {run.wall / wall:.2f} x floor   {floor.events / run.wall:,.0f} events/s")
    print(f"pipeline  CPU  {total:6.1f} s = {total / million:.1f} s per million events")
    for name, seconds in run.cpu.items():
        share = f"CPU {seconds:6.2f} s = {seconds / million:5.1f} s per million"
        print(f"  {name:<11} {share}" + (f"   peak {run.memory[name]:6.1f} MiB" if name in run.memory else ""))


async def scaling(folder: Path, servers: Servers, *, mailboxes: int, latency: float) -> None:
    """Print how much sooner two and four fetchers are done than one, where Microsoft is slow."""
    print(f"\n## {mailboxes} mailboxes, {latency * 1000:.0f} ms added to every answer, 2 readings at a time a fetcher")
    walls: dict[int, float] = {}
    for fetchers in (1, 2, 4):
        with sandbox(folder / f"sandbox{fetchers}", mailboxes=mailboxes, events=20, latency=latency) as microsoft:
            run = await pipeline(microsoft.reach, folder / f"run{fetchers}", servers, fetchers=fetchers,
                                 BUSYLINE_FETCHER_READINGS="2")  # fmt: skip
        walls[fetchers] = run.wall
        print(f"fetchers {fetchers}: {run.wall:6.1f} s = {walls[1] / run.wall:.2f} x one; "
              f"most readings of one mailbox: {run.most_reads}")  # fmt: skip


def merging() -> None:
    """Print what the merge of statuses costs."""
    chance = random.Random(1)
    starts = [chance.randrange(0, 26 * 7 * 24 * 60) * 60 for _ in range(10_000)]
    blocks = [Block(start, start + chance.randrange(5, 180) * 60, chance.choice(RANKED)) for start in starts]
    taken = []
    for _ in range(15):
        before = time.process_time()
        merge(blocks, Window(0, 26 * 7 * DAY))
        taken.append(time.process_time() - before)
    print(f"\n## merging 10,000 intervals: {min(taken) * 1000:.1f} ms of CPU, the best of {len(taken)}")


async def memory(folder: Path, servers: Servers) -> None:
    """Print how much the largest replica of each service holds, for a small and a large org."""
    print("\n## peak memory, 100 events a mailbox")
    peaks: dict[int, dict[str, float]] = {}
    for mailboxes in (500, 5_000):
        with sandbox(folder / f"sandbox{mailboxes}", mailboxes=mailboxes, events=100) as microsoft:
            peaks[mailboxes] = (await pipeline(microsoft.reach, folder / f"run{mailboxes}", servers)).memory
    for name in sorted(peaks[500]):
        small, large = peaks[500][name], peaks[5_000][name]
        print(f"  {name:<11} {small:6.1f} MiB at 500, {large:6.1f} MiB at 5,000 = {large / small:.2f} x")


def _runs(folder: Path, servers: Servers, *, mailboxes: int, events: int) -> dict[str, Callable[[], Awaitable[None]]]:
    """Return what runs for each part, in order."""

    async def alone(run: Callable[[], None]) -> None:
        run()

    return {
        "throughput": partial(throughput, folder / "a", servers, mailboxes=mailboxes, events=events),
        "scaling": partial(scaling, folder / "b", servers, mailboxes=600, latency=0.15),
        "merging": partial(alone, merging),
        "memory": partial(memory, folder / "c", servers),
        "latency": partial(latency, folder / "d", servers),
        "fairness": partial(fairness, folder / "e", servers),
        "disconnect": partial(disconnect, folder / "f", servers),
        "decoding": partial(alone, decoding),
        "setup": partial(setup_page, folder / "h", servers, number=20_000),
        "slots": partial(slots, folder / "slots", servers),
        "relay": partial(relaying, folder / "i", servers),
        "streams": partial(streams, folder / "streams", servers),
        "exchange": partial(exchange, folder / "g", servers, mailboxes=10_000, events=40),
    }


async def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; all where none is named")
    parser.add_argument("--mailboxes", type=int, default=2_000)
    parser.add_argument("--events", type=int, default=100)
    options = parser.parse_args()
    parts = options.parts or PARTS
    with tempfile.TemporaryDirectory(prefix="busyline-bench-") as name:
        folder = Path(name)
        servers = Servers()
        try:
            for part, run in _runs(folder, servers, mailboxes=options.mailboxes, events=options.events).items():
                if part in parts:
                    await run()
        finally:
            servers.stop()


if __name__ == "__main__":
    asyncio.run(main())
