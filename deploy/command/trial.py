"""A whole Busyline around the sandbox in one process, for the demo and for proofs: started, connected, ended.

On a database or a broker given from outside it uses an org of its own and takes its rows away at the end.
"""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TextIO

from msgspec import Struct
from sqlalchemy import delete, select

from deploy.command.api import Api
from deploy.command.everything import AllSettings, prepare, run_everything
from deploy.sandbox import Sandbox, SandboxOptions, start
from deploy.sandbox.faults import Fault
from services.authorizer import orgs
from services.authorizer.console import links
from services.authorizer.credentials import DEFAULT
from services.authorizer.settings import Settings as AuthorizerSettings
from services.fetcher.settings import Settings as FetcherSettings
from services.publisher import consumers
from services.publisher.settings import Settings as PublisherSettings
from shared import clock, logs, tables
from shared.broker import Broker, Parked, open_broker
from shared.config import Deployment, Secret
from shared.contracts.messages import Connection, EwsConnection, GraphConnection, GroupSource, OrgConnected
from shared.contracts.policy import Policy
from shared.contracts.values import DAY, Window
from shared.ews.credential import EwsCredential
from shared.health import Health
from shared.identity import GraphCredential
from shared.process import Rim
from shared.store import Store, open_store
from shared.vault import load_vault

PORTS = range(20_000, 32_000)  # below those that systems give to connections
SUBSCRIBE = 200  # subscriptions a second; the sandbox minds no hurry
Tap = Callable[[str, bytes, Mapping[str, object]], None]


class TrialOptions(Struct, frozen=True, kw_only=True):
    """What to try: which calendars, under which policy, on which engines. `folder` holds everything that is made.

    `provider` is how the sandbox is reached: "graph", or "ews" as an Exchange server. With `notified` the sandbox sends
    change notifications; without, calendars are polled as the policy says. Without `connected` the org is not known
    yet: the setup page is there to connect it.
    """

    folder: Path
    sandbox: SandboxOptions
    policy: Policy
    provider: str = "graph"
    broker_url: str = "memory://"
    database_url: str = ""
    notified: bool = True
    connected: bool = True
    log: TextIO | None = None
    tap: Tap | None = None
    faults: tuple[Fault, ...] = ()


class Trial(Struct, frozen=True, kw_only=True):
    """A running trial: the sandbox, the org under trial, and its availability as a consumer sees it."""

    org_id: str
    sandbox: Sandbox
    store: Store
    api: Api
    api_url: str
    token: str
    deployment: Deployment
    broker: Broker
    setup_url: str
    setup_key: str

    def setup_link(self, actor: str) -> str:
        """Return a fresh link to the setup page for the org, as its platform would make it."""
        token = links.signed(self.org_id, actor, key=self.setup_key, public_url=self.setup_url, now=clock.now())
        return links.address(token, self.setup_url)

    async def parked(self) -> list[Parked]:
        """Return the dead letters."""
        return await self.broker.parked()


@asynccontextmanager
async def trial(options: TrialOptions) -> AsyncIterator[Trial]:
    """Run everything while the block runs. A service that fails ends the block with its error."""
    sandbox = await start(options.sandbox)
    for fault in options.faults:
        sandbox.order(fault)
    try:
        ready = _deployment(options, sandbox)
        await asyncio.to_thread(prepare, ready)
        logs.configure(level="info", form="json", stream=options.log)
        settings = _settings(options)
        broker = open_broker(ready.broker_url.reveal(), tap=options.tap)
        store = open_store(ready.database_url.reveal())
        rim = Rim(broker=broker, store=store, stop=asyncio.Event(), health=Health())
        org_id = f"trial-{secrets.token_hex(4)}"
        await _forget_former(store, sandbox.tenant_id)
        token = await consumers.add(store, _reader(org_id), [org_id], now=clock.now())
        try:
            async with asyncio.TaskGroup() as group:
                services = group.create_task(run_everything(ready, settings, rim))
                try:
                    await _connect(rim, options, sandbox, org_id=org_id, ready=ready)
                    url, told = f"http://127.0.0.1:{settings.publisher.port}", settings.authorizer
                    async with Api(url, token, org_id) as api:
                        await _serving(rim, services)
                        yield Trial(org_id=org_id, sandbox=sandbox, store=store, api=api, api_url=url,
                                    token=token, deployment=ready, broker=broker, setup_url=told.setup_url,
                                    setup_key=told.setup_link_keys.reveal())  # fmt: skip
                finally:
                    rim.stop.set()
        finally:
            await _forget(store, org_id)
            await broker.close()
            await store.close()
    finally:
        await sandbox.stop()


def _deployment(options: TrialOptions, sandbox: Sandbox) -> Deployment:
    return Deployment(
        broker_url=Secret(options.broker_url),
        database_url=Secret(options.database_url or f"sqlite:///{options.folder / 'busyline.db'}"),
        keys_file=str(options.folder / "keys"),
        ca_file=str(sandbox.ca_file),
        sandbox_url=sandbox.url,
        reach_networks="127.0.0.0/8",
    )


def _settings(options: TrialOptions) -> AllSettings:
    listener, setup = free_port(), free_port()
    hints = FetcherSettings(
        notify_url=f"http://127.0.0.1:{listener}/graph",
        notify_port=listener,
        subscribe_per_second=SUBSCRIBE,
        exchange_streaming=True,
    )
    return AllSettings(
        authorizer=AuthorizerSettings(
            setup_url=f"http://127.0.0.1:{setup}",
            setup_port=setup,
            setup_link_keys=Secret(secrets.token_urlsafe(32)),
            setup_egress="127.0.0.1",
        ),
        fetcher=hints if options.notified else FetcherSettings(),
        publisher=PublisherSettings(port=free_port()),
    )


async def _connect(rim: Rim, options: TrialOptions, sandbox: Sandbox, *, org_id: str, ready: Deployment) -> None:
    """Seal the sandbox's credential and say, as a platform would, that the org connected.

    On a database of the trial's own the sandbox's app is the deployment's too, which the setup page connects with.
    """
    vault, ways = load_vault(ready.keys_file), _ways_in(sandbox, org_id)
    if not options.database_url:
        await orgs.put_credential(rim.store, vault, DEFAULT, ways["graph"][0], now=clock.now())
    if not options.connected:
        return
    credential, connection = ways[options.provider]
    await orgs.put_credential(rim.store, vault, org_id, credential, now=clock.now())
    await rim.broker.publish([OrgConnected(org_id=org_id, connection=connection, policy=options.policy)])


def _ways_in(sandbox: Sandbox, org_id: str) -> dict[str, tuple[GraphCredential | EwsCredential, Connection]]:
    """Return a credential and a connection for each provider: an app in a tenant, a service account at a server."""
    account = EwsCredential(username=sandbox.ews_user, password=sandbox.ews_password)
    members = GroupSource(address=sandbox.ews_scope)
    member = next(person.address for person in sandbox.mailboxes(readable=True))
    return {
        "graph": (
            GraphCredential(client_id=sandbox.client_id, client_secret=sandbox.client_secret),
            GraphConnection(tenant_id=sandbox.tenant_id, credential=org_id, cloud="sandbox"),
        ),
        "ews": (account, EwsConnection(url=sandbox.ews_url, member=member, directory=(members,), credential=org_id)),
    }


def move_a_meeting(sandbox: Sandbox, turn: int) -> str:
    """Move one coming meeting of one mailbox by an hour, another mailbox each turn; say what was done."""
    people = sandbox.mailboxes()
    coming = Window(clock.now(), clock.now() + 28 * DAY)
    for offset in range(len(people)):
        address = people[(turn + offset) % len(people)].address
        for item in sandbox.events(address, window=coming):
            if item.show_as != "free" and not (item.all_day or item.cancelled) and item.start < item.end:
                sandbox.move_event(address, item.item_id, seconds=3600)
                return f"a meeting of {address} moved by an hour"
    return "there is no coming meeting to move"


async def _serving(rim: Rim, services: asyncio.Task[None]) -> None:
    while not rim.health.ready and not services.done():
        await asyncio.sleep(0.02)


async def _forget(store: Store, org_id: str) -> None:
    """Take the trial's rows away: nothing of it may stay on a database that others use."""
    async with store.write() as connection:
        for table in tables.metadata.sorted_tables:
            if "org_id" in table.c:
                await connection.execute(delete(table).where(table.c.org_id == org_id))
        await connection.execute(delete(tables.credentials).where(tables.credentials.c.credential_id == org_id))
        await connection.execute(delete(tables.consumers).where(tables.consumers.c.name == _reader(org_id)))
        await connection.execute(delete(tables.accesses).where(tables.accesses.c.consumer == _reader(org_id)))


def _reader(org_id: str) -> str:
    """Return the name of the trial's consumer; it does not name the org, of which nothing must stay."""
    return f"reader-{org_id.removeprefix('trial-')}"


async def _forget_former(store: Store, tenant_id: str) -> None:
    """Take away what a trial that was killed left of this tenant: a tenant belongs to one org."""
    query = select(tables.orgs.c.org_id).where(
        tables.orgs.c.tenant_id == tenant_id, tables.orgs.c.org_id.like("trial-%")
    )
    async with store.read() as connection:
        former = (await connection.execute(query)).scalars().all()
    for org_id in former:
        await _forget(store, org_id)


def free_port() -> int:
    """Return a port of the loopback address that was free a moment ago, and that no connection takes by chance."""
    while True:
        port = PORTS.start + secrets.randbelow(len(PORTS))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
