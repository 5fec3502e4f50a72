"""All four services in the test's own process, on the memory broker and SQLite, around a sandbox."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TextIO

import msgspec
from msgspec import Struct

from deploy.command.everything import AllSettings, prepare, run_everything
from deploy.command.trial import Tap
from deploy.sandbox import Sandbox, SandboxOptions, start
from services.authorizer.settings import Settings as AuthorizerSettings
from services.fetcher.settings import Settings as FetcherSettings
from services.publisher.settings import Settings as PublisherSettings
from shared import logs
from shared.broker import open_broker
from shared.config import Deployment, Secret
from shared.contracts.messages import Connection, EwsConnection, GraphConnection, GroupSource, OrgConnected
from shared.contracts.policy import Policy
from shared.ews.credential import EwsCredential
from shared.health import Health
from shared.identity import GraphCredential
from shared.process import Rim
from shared.store import open_store
from tests.pipeline.fleet import seal
from tests.pipeline.scene import Scene
from tests.processes import free_port
from tests.waiting import until


class Wanted(Struct, frozen=True, kw_only=True):
    """What to run: which calendars, under which policy, with which settings of the services."""

    folder: Path
    sandbox: SandboxOptions
    policy: Policy = Policy()
    provider: str = "graph"  # or "ews": the sandbox as an Exchange server
    authorizer: AuthorizerSettings = AuthorizerSettings()
    fetcher: FetcherSettings = FetcherSettings()
    hints: bool = False  # whether Microsoft can notify the fetcher
    log: TextIO | None = None
    tap: Tap | None = None


class Embedded(Struct, frozen=True, kw_only=True):
    """What runs: its surroundings, and the org `acme` of the sandbox's first tenant under trial."""

    rim: Rim
    scene: Scene
    sandbox: Sandbox
    deployment: Deployment
    publisher_port: int
    notify_port: int


@asynccontextmanager
async def embedded(wanted: Wanted, *, org_id: str = "acme") -> AsyncIterator[Embedded]:
    """Run everything while the block runs, the org asked to be connected. A service that fails ends the block."""
    sandbox = await start(wanted.sandbox)
    deployment = _deployment(wanted.folder, sandbox)
    logs.configure(level="info", form="json", stream=wanted.log)
    await asyncio.to_thread(prepare, deployment)
    port, notify_port = free_port(), free_port()
    rim = Rim(
        broker=open_broker("memory://", tap=wanted.tap),
        store=open_store(deployment.database_url.reveal()),
        stop=asyncio.Event(),
        health=Health(),
    )
    settings = AllSettings(
        authorizer=wanted.authorizer,
        fetcher=msgspec.structs.replace(wanted.fetcher, **(notified(notify_port) if wanted.hints else {})),
        publisher=PublisherSettings(port=port),
    )
    scene = Scene(sandbox, rim.store, org_id=org_id, policy=wanted.policy)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(run_everything(deployment, settings, rim))
            try:
                credential, connection = way_in(sandbox, wanted.provider, org_id)
                await seal(rim.store, deployment, org_id, credential)
                await rim.broker.publish([OrgConnected(org_id=org_id, connection=connection, policy=wanted.policy)])
                yield Embedded(rim=rim, scene=scene, sandbox=sandbox, deployment=deployment,
                               publisher_port=port, notify_port=notify_port)  # fmt: skip
            finally:
                rim.stop.set()
    finally:
        await rim.broker.close()
        await rim.store.close()
        if wanted.provider == "ews":
            await _hung_up(sandbox)
        await sandbox.stop()


def _deployment(folder: Path, sandbox: Sandbox) -> Deployment:
    return Deployment(
        broker_url=Secret("memory://"),
        database_url=Secret(f"sqlite:///{folder / 'busyline.db'}"),
        keys_file=str(folder / "keys"),
        ca_file=str(sandbox.ca_file),
        sandbox_url=sandbox.url,
        reach_networks="127.0.0.0/8",
    )


def way_in(sandbox: Sandbox, provider: str, org_id: str) -> tuple[GraphCredential | EwsCredential, Connection]:
    """Return an org's credential, to be stored under its own id, and its connection to the sandbox's first tenant."""
    if provider == "graph":
        app = GraphCredential(client_id=sandbox.client_id, client_secret=sandbox.client_secret)
        return app, GraphConnection(tenant_id=sandbox.tenant_id, credential=org_id, cloud="sandbox")
    account = EwsCredential(username=sandbox.ews_user, password=sandbox.ews_password)
    member = min(person.address for person in sandbox.mailboxes())
    members = GroupSource(address=sandbox.ews_scope)
    return account, EwsConnection(url=sandbox.ews_url, member=member, directory=(members,), credential=org_id)


async def _hung_up(sandbox: Sandbox) -> None:
    """Wait until nobody is connected to the sandbox any more."""
    sandbox.state.ews.listeners.close()  # it sees only when it tells something that nobody listens
    await until(lambda: not connections(sandbox))


def connections(sandbox: Sandbox) -> int:
    """Return how many connections to a sandbox there are."""
    server = sandbox._runner.server
    return 0 if server is None else len(server.connections)


def notified(port: int) -> dict[str, Any]:
    """Return the fetcher's settings that let the sandbox notify it."""
    return {"notify_url": f"http://127.0.0.1:{port}", "notify_host": "127.0.0.1", "notify_port": port}
