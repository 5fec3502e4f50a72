"""How soon nothing is left of an org of 10,000 subscribed mailboxes: undisturbed, and with services killed midway."""

import asyncio
import time
from pathlib import Path

from shared.broker import open_broker
from shared.contracts.messages import OrgDisconnected
from shared.store import open_store
from tests.bench.latency import reached, subscribed
from tests.bench.surroundings import Servers, sandbox
from tests.pipeline import leaving
from tests.pipeline.fleet import Fleet, notified

ORG = "leaving"
KILLED = ("fetcher", "publisher", "authorizer")


async def disconnect(folder: Path, servers: Servers, *, mailboxes: int = 10_000) -> None:
    """Print seconds and counts of a disconnection, once undisturbed and once with each service killed midway."""
    for killed in ((), KILLED):
        print(
            f"\n## disconnecting {mailboxes} subscribed mailboxes"
            + (f", kill -9 of {', '.join(killed)}" * bool(killed))
        )
        await _once(folder / ("killed" if killed else "calm"), servers, mailboxes, killed=killed)


async def _once(folder: Path, servers: Servers, mailboxes: int, *, killed: tuple[str, ...]) -> None:
    url, database = servers.broker(), await asyncio.to_thread(servers.database)
    store, broker = open_store(database), open_broker(url)
    with sandbox(folder / "sandbox", mailboxes=mailboxes, events=5) as microsoft:
        settings = {**reached(microsoft), **notified(), "BUSYLINE_FETCHER_SUBSCRIBE_PER_SECOND": "1000"}
        tenant = microsoft.reach["tenant_id"]
        try:
            with Fleet(folder, broker_url=url, database_url=database, **settings) as fleet:
                await subscribed(fleet, microsoft, ORG, tenant=tenant, count=mailboxes)
                witness = await leaving.listed(store, ORG, folder / "witness")
                async with leaving.consuming(url) as consumer:
                    began = time.perf_counter()
                    await broker.publish([OrgDisconnected(org_id=ORG)])
                    for name in killed:
                        await asyncio.sleep(1)
                        fleet.kill(name)
                        fleet.start(name)
                    left = await leaving.left(store, consumer, org_id=ORG, began=began, within=900)
                print(
                    f"  consumers told after {left.told:.1f} s, purged after {left.purged:.1f} s: {left.receipt.counts}"
                )
                print(f"  subscriptions left at Microsoft: {await microsoft.subscriptions(tenant)}")
                print(f"  {(await leaving.searched(fleet.deployment, ORG, witness)).strip().splitlines()[-1]}")
        finally:
            await broker.close()
            await store.close()
