"""A large org that is read for the first time does not delay a small one: its change is announced long before."""

import asyncio
from pathlib import Path

import pytest

from deploy.command.api import Api
from deploy.command.published import progress
from deploy.sandbox import SandboxOptions, start
from shared.contracts.policy import Policy
from shared.store import open_store
from tests.pipeline import leaving
from tests.pipeline.fleet import Fleet, entry, environment, notified
from tests.pipeline.scene import Scene
from tests.waiting import until

LARGE, SMALL = 2_000, 10


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_change_of_a_small_org_is_announced_before_a_large_one_is_read(
    tmp_path: Path, amqp_url: str, postgres_url: str
) -> None:
    sandbox = await start(SandboxOptions(folder=tmp_path, mailboxes=LARGE, events=2, tenants=2, latency=0.05))
    ours, theirs = sandbox.tenant_ids
    for person in sandbox.mailboxes(tenant=theirs)[SMALL:]:
        sandbox.remove_user(person.address, tenant=theirs)
    store = open_store(postgres_url)
    settings = {**environment(sandbox), **notified()}
    try:
        with Fleet(tmp_path, broker_url=amqp_url, database_url=postgres_url, **settings) as fleet:
            fleet.start_all()
            await fleet.ready()
            scene = Scene(sandbox, store, org_id="small", policy=Policy(), tenant=theirs)
            await fleet.connect("small", entry(sandbox) | {"tenant_id": theirs}, scene.policy)
            await scene.agrees()
            await until(lambda: len(sandbox.subscriptions(tenant=theirs)) >= SMALL, 60)
            await fleet.connect("large", entry(sandbox) | {"tenant_id": ours}, Policy())
            async with fleet.api("large") as large, leaving.consuming(amqp_url) as consumer:
                await until(lambda: _read(large, 50), 60)
                scene.stir(SMALL)
                await scene.agrees()
                await until(lambda: any(b'"small"' in body for body in consumer.bodies()), 30)
                assert progress(await large.status()).done < LARGE / 2
            await asyncio.to_thread(fleet.end_all)
    finally:
        await store.close()
        await sandbox.stop()


async def _read(api: Api, count: int) -> bool:
    return progress(await api.status()).done >= count
