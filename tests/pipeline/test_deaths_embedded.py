"""Everything in one process killed at each step of its loop: what the memory broker held is found again in SQLite."""

from pathlib import Path

import pytest

from deploy.sandbox import Sandbox, SandboxOptions, start
from services.authorizer import orgs
from shared import clock
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Policy
from shared.identity import GraphCredential
from shared.store import Store, open_store
from tests.pipeline.dying import STEPS
from tests.pipeline.fleet import Fleet, environment, seal
from tests.pipeline.scene import Scene

MAILBOXES = 60
COUNT = 60  # of the loop's messages, of all services together


@pytest.mark.slow
async def test_all_in_one_process_dies_at_any_step_and_changes_nothing_in_the_end(tmp_path: Path) -> None:
    sandbox = await start(SandboxOptions(folder=tmp_path, mailboxes=MAILBOXES, events=15))
    url = f"sqlite:///{tmp_path / 'busyline.db'}"
    store, policy = open_store(url), Policy(poll_seconds=3)
    scene = Scene(sandbox, store, org_id="acme", policy=policy)
    try:
        with Fleet(tmp_path, broker_url="memory://", database_url=url, **environment(sandbox)) as fleet:
            await _ask(fleet, store, sandbox, policy)
            for step in STEPS:  # one after the other, within one first reading
                fleet.start("up", module="tests.pipeline.dying", arguments=("up", step, str(COUNT)))
                scene.stir(10)
                assert await fleet.died("up") == -9
            fleet.start("up", module="tests.pipeline.dying", arguments=("up", STEPS[0], str(10**9)))
            await scene.agrees()
            assert fleet.dead() == []
            fleet.kill("up")
    finally:
        await store.close()
        await sandbox.stop()


async def _ask(fleet: Fleet, store: Store, sandbox: Sandbox, policy: Policy) -> None:
    """Ask for the org's connection as the command line does, past the broker."""
    credential = GraphCredential(client_id=sandbox.client_id, client_secret=sandbox.client_secret)
    await seal(store, fleet.deployment, "acme", credential)
    connection = GraphConnection(tenant_id=sandbox.tenant_id, credential="acme", cloud="sandbox")
    await orgs.request(store, org_id="acme", connection=connection, policy=policy, actor="tests", now=clock.now())
