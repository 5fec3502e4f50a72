"""Everything that an admin's browser meets: the sandbox as Microsoft, all four services, the setup page.

No org is connected to begin with: that is what admins do here. Links are signed as a platform signs them.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TextIO

import jwt
from msgspec import Struct
from sqlalchemy import insert, update

from deploy.command.everything import AllSettings, prepare, run_everything
from deploy.sandbox import Sandbox, SandboxOptions, start
from services.authorizer import orgs
from services.authorizer.console.phases import Phase, phase
from services.authorizer.settings import Settings as AuthorizerSettings
from services.authorizer.standing import standing
from services.fetcher.settings import Settings as FetcherSettings
from services.publisher.settings import Settings as PublisherSettings
from shared import clock, logs, tables
from shared.broker import open_broker
from shared.config import Deployment, Secret
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Policy
from shared.health import Health
from shared.identity import GraphCredential
from shared.process import Rim
from shared.store import Store, open_store
from shared.vault import load_vault
from tests.processes import free_port
from tests.waiting import until

RETURN_TO = "https://platform.example/settings/calendars"
EGRESS = "192.0.2.10, 192.0.2.11"
TERMS = "The calendars of the organisation are read to tell when its people are free.\nNothing is written."


class World(Struct, frozen=True, kw_only=True):
    """What runs, and how it is reached."""

    sandbox: Sandbox
    rim: Rim
    deployment: Deployment
    url: str
    link_key: str
    folder: Path

    @property
    def store(self) -> Store:
        """The store that all services share."""
        return self.rim.store

    async def connect(self, org_id: str = "acme", policy: Policy | None = None) -> None:
        """Have an org connected to the first tenant, as somebody did before the test, and read once."""
        await self.request_connection(org_id, policy)
        await until(lambda: self.is_enabled(org_id), seconds=60)

    async def request_connection(self, org_id: str = "acme", policy: Policy | None = None) -> None:
        """Ask for an org to be connected to the first tenant."""
        connection = GraphConnection(tenant_id=self.sandbox.tenant_id, cloud="sandbox")
        now = clock.now()
        await orgs.request(self.store, org_id=org_id, connection=connection, policy=policy or Policy(), now=now)

    async def verify_now(self, org_id: str = "acme") -> None:
        """Have a connected org verified within a second, as when the fetcher is turned away."""
        async with self.store.write() as writing:
            await writing.execute(update(tables.orgs).where(tables.orgs.c.org_id == org_id).values(verify_at=1))

    async def leaves_slowly(self, org_id: str = "acme") -> None:
        """Have an org leave, with one service's answer still to come for some seconds."""
        now = clock.now()
        row = {"purge_id": "0" * 32, "org_id": org_id, "generation": 2, "actor": "ada@customer.example"}
        asked = {"started_at": now, "asked_at": now, "done": "[]", "counts": b"{}"}
        async with self.store.write() as writing:
            left = {"state": "disconnecting", "generation": 2}
            await writing.execute(update(tables.orgs).where(tables.orgs.c.org_id == org_id).values(**left))
            await writing.execute(insert(tables.purges).values(**row, **asked))

    async def is_enabled(self, org_id: str = "acme") -> bool:
        """Say whether every mailbox of an org has coverage or its reason."""
        return phase(await standing(self.store, org_id, now=clock.now())) is Phase.ENABLED

    def link(self, org_id: str, **claims: Any) -> str:
        """Return the address that a platform sends an admin to; `claims` replace or add to those it would sign."""
        now = clock.now()
        said = {
            "aud": f"{self.url}/setup",
            "org_id": org_id,
            "sub": "ada@customer.example",
            "role": "it_admin",
            "jti": secrets.token_urlsafe(24),
            "iat": now,
            "exp": now + 300,
        }
        said |= claims
        return f"{self.url}/setup/enter?link={jwt.encode(said, self.link_key, algorithm='HS256')}"


@asynccontextmanager
async def world(folder: Path, *, log: TextIO | None = None, **options: Any) -> AsyncIterator[World]:
    """Run everything while the block runs. A service that fails ends the block with its error."""
    given: dict[str, Any] = {"mailboxes": 12, "events": 6, "tenants": 2, "interactive": True, **options}
    sandbox = await start(SandboxOptions(folder=folder, **given))
    port, key = free_port(), secrets.token_urlsafe(48)
    deployment = _deployment(folder, sandbox)
    logs.configure(level="info", form="json", stream=log)
    await asyncio.to_thread(prepare, deployment)
    store = open_store(deployment.database_url.reveal())
    rim = Rim(broker=open_broker("memory://"), store=store, stop=asyncio.Event(), health=Health())
    place = World(
        sandbox=sandbox,
        rim=rim,
        deployment=deployment,
        url=f"http://127.0.0.1:{port}",
        link_key=key,
        folder=folder,
    )
    try:
        await _store_app(place)
        async with asyncio.TaskGroup() as group:
            services = group.create_task(run_everything(deployment, _settings(place, port), rim))
            try:
                await until(lambda: rim.health.ready or services.done())
                yield place
            finally:
                rim.stop.set()
    finally:
        await rim.broker.close()
        await store.close()
        await sandbox.stop()


async def _store_app(place: World) -> None:
    """Store the app that the deployment is known to Microsoft by, as its operator would."""
    app = GraphCredential(client_id=place.sandbox.client_id, client_secret=place.sandbox.client_secret)
    vault = load_vault(place.deployment.keys_file)
    await orgs.put_credential(place.store, vault, "default", app, now=clock.now())


def _deployment(folder: Path, sandbox: Sandbox) -> Deployment:
    return Deployment(
        broker_url=Secret("memory://"),
        database_url=Secret(f"sqlite:///{folder / 'busyline.db'}"),
        keys_file=str(folder / "keys"),
        ca_file=str(sandbox.ca_file),
        sandbox_url=sandbox.url,
        reach_networks="127.0.0.0/8",
    )


def _settings(place: World, port: int) -> AllSettings:
    terms = place.folder / "terms.txt"
    terms.write_text(TERMS)
    return AllSettings(
        authorizer=AuthorizerSettings(
            setup_url=place.url,
            setup_host="127.0.0.1",
            setup_port=port,
            setup_link_keys=Secret(place.link_key),
            setup_return_to=RETURN_TO,
            setup_terms_file=str(terms),
            setup_terms_version="2026-01",
            setup_egress=EGRESS,
        ),
        fetcher=FetcherSettings(),
        publisher=PublisherSettings(port=free_port()),
    )
