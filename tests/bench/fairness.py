"""While an org of 20,000 mailboxes is read for the first time: how soon a change of a small org's calendar is told."""

import asyncio
import time
from pathlib import Path

from deploy.command.published import progress
from shared.contracts.policy import Policy
from tests.bench.latency import Stamps, reached, report, subscribed
from tests.bench.surroundings import Servers, sandbox
from tests.pipeline.fleet import Fleet, notified


async def fairness(folder: Path, servers: Servers, *, large: int = 20_000, small: int = 20) -> None:
    """Print how long the small org's changes took, and how far the large one was before and after."""
    print(f"\n## fairness: {large} mailboxes read for the first time, 60 changes of another org of {small} meanwhile")
    broker, database = servers.broker(), await asyncio.to_thread(servers.database)
    with sandbox(folder / "sandbox", mailboxes=large, events=2, tenants=2, latency=0.05) as microsoft:
        ours, theirs = microsoft.reach["tenant_ids"]
        await microsoft.keep(small, tenant=theirs)
        settings = {**reached(microsoft), **notified()}
        with Fleet(folder, broker_url=broker, database_url=database, **settings) as fleet:
            await subscribed(fleet, microsoft, "small", tenant=theirs, count=small)
            stamps = await asyncio.to_thread(Stamps, broker)
            began = time.perf_counter()
            await fleet.connect("large", microsoft.reach | {"tenant_id": ours}, Policy())
            before = await _read(fleet, at_least=large // 20)
            changes = await microsoft.change(60, per_second=2, tenant=theirs)
            after = await _read(fleet, at_least=0)
            await asyncio.sleep(5)
            await asyncio.to_thread(stamps.stop)
            print(f"  the large org: {before} read when the changes began, {after} of {large} when they ended")
            await fleet.settled("large", within=1800)
            print(f"  the large org read in {time.perf_counter() - began:.0f} s")
    report(changes, stamps)


async def _read(fleet: Fleet, *, at_least: int) -> int:
    async with fleet.api("large") as api:
        while (done := progress(await api.status()).done) < at_least:
            await asyncio.sleep(0.2)
        return done
