"""An Exchange organisation read for the first time, and polled: how many requests of which sort, and what they cost."""

from pathlib import Path
from typing import Any

from services.authorizer import orgs
from services.publisher import consumers
from shared import clock
from shared.broker import open_broker
from shared.contracts.messages import EwsConnection, GroupSource, OrgConnected
from shared.contracts.policy import Policy
from shared.ews.credential import EwsCredential
from shared.store import open_store
from shared.vault import load_vault
from tests.bench.surroundings import Servers, sandbox
from tests.pipeline.fleet import SERVICES, Fleet

ORG = "bench"


async def exchange(folder: Path, servers: Servers, *, mailboxes: int, events: int) -> None:
    """Print the first reading under free/busy only, where the server allows windows of 62 and of 42 days."""
    for days in (62, 42):
        print(f"\n## Exchange: {mailboxes} mailboxes x {events} events, free/busy only, {days} days a request")
        where = folder / str(days)
        with sandbox(where / "sandbox", mailboxes=mailboxes, events=events, ews_days=days) as server:
            await _run(where / "run", servers, server.reach)
            for kind, count in sorted((await server.requests()).items()):
                print(f"  {kind:<28} {count:7,}")


async def _run(folder: Path, servers: Servers, reach: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "BUSYLINE_CA_FILE": reach["ca_file"],
        "BUSYLINE_REACH_NETWORKS": "127.0.0.0/8",
        "BUSYLINE_LOG_LEVEL": "warning",
    }
    with Fleet(folder, broker_url=servers.broker(), database_url=servers.database(), **settings) as fleet:
        fleet.start_all()
        await fleet.ready()
        before = fleet.cpu() | servers.cpu()
        begun = clock.exact()
        await connect(fleet, reach)
        await fleet.settled(ORG, within=1800)
        wall = clock.exact() - begun
        used = {name: after - before[name] for name, after in (fleet.cpu() | servers.cpu()).items()}
        memory = fleet.peak_memory()
    total = sum(used[name] for name in SERVICES)
    print(f"  wall {wall:.1f} s, CPU of the four services {total:.1f} s")
    for name, seconds in used.items():
        print(f"  {name:<11} CPU {seconds:6.2f} s" + (f"   peak {memory[name]:6.1f} MiB" if name in memory else ""))


async def connect(fleet: Fleet, reach: dict[str, Any]) -> None:
    """Seal the account's password, admit a consumer, and say, as a platform would, that the org connected."""
    deployment = fleet.deployment
    store, broker = open_store(deployment.database_url.reveal()), open_broker(deployment.broker_url.reveal())
    try:
        fleet.token = await consumers.add(store, f"tests-{ORG}", [ORG], now=clock.now())
        credential = EwsCredential(username=reach["ews_user"], password=reach["ews_password"])
        await orgs.put_credential(store, load_vault(deployment.keys_file), ORG, credential, now=clock.now())
        connection = EwsConnection(
            url=reach["ews_url"],
            member=reach["member"],
            directory=(GroupSource(address=reach["ews_scope"]),),
            credential=ORG,
        )
        await broker.publish([OrgConnected(org_id=ORG, connection=connection, policy=Policy())])
    finally:
        await broker.close()
        await store.close()
