"""The fetcher's handlers at work without a broker: messages go round by hand, what leaves the fetcher is collected."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy import select, update

from deploy.sandbox import Sandbox
from services.authorizer import orgs as desk_orgs
from services.fetcher.connect import Access, Tenants
from services.fetcher.context import Context
from services.fetcher.enumeration import enumerate_page
from services.fetcher.handler import read
from services.fetcher.mailboxes import Mailboxes
from services.fetcher.settings import Settings
from shared import clock, logs
from shared.broker import Delivery, Done, Outgoing
from shared.contracts.messages import (
    CalendarSnapshot,
    GraphConnection,
    MailboxEnumerate,
    MailboxRead,
    MailboxUnreadable,
    Message,
)
from shared.contracts.policy import Policy
from shared.errors import Retry
from shared.graph import open_session
from shared.identity import GraphCredential, Tokens
from shared.store import Store, open_store
from shared.tables import enumerations, mailboxes, orgs
from shared.vault import load_vault


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stand-in for Microsoft is, and how to sign in."""

    url: str
    ca_file: str
    tenant_id: str
    client_id: str
    client_secret: str


def reach_of(sandbox: Sandbox) -> Reach:
    """Return the way to a sandbox in this process."""
    return Reach(
        url=sandbox.url,
        ca_file=str(sandbox.ca_file),
        tenant_id=sandbox.tenant_id,
        client_id=sandbox.client_id,
        client_secret=sandbox.client_secret,
    )


class Desk:
    """One org, its store, the handlers, and everything they said."""

    def __init__(self, context: Context, org_id: str) -> None:
        self.context = context
        self.org_id = org_id
        self.queue: deque[tuple[Message, Delivery]] = deque()
        self.snapshots: list[CalendarSnapshot] = []
        self.unreadable: list[MailboxUnreadable] = []
        self.retries: list[Retry] = []
        self.generation = 1

    def put(self, message: Message, *, message_id: str = "", attempt: int = 1) -> None:
        name = message_id or uuid4().hex
        self.queue.append((message, Delivery(name, attempt, redelivered=False, published_at=clock.now())))

    def enumerate(self, **fields: Any) -> MailboxEnumerate:
        message = MailboxEnumerate(
            **{"org_id": self.org_id, "generation": self.generation, "run": uuid4().hex} | fields
        )
        self.put(message)
        return message

    def ask(self, mailbox_id: str, *, since: int | None = None, **fields: Any) -> MailboxRead:
        message = MailboxRead(
            **{"org_id": self.org_id, "generation": self.generation, "mailbox_id": mailbox_id} | fields,
            since=clock.now() if since is None else since,
        )
        self.put(message)
        return message

    async def handle(self, message: Message, delivery: Delivery) -> Done:
        if isinstance(message, MailboxEnumerate):
            return await enumerate_page(self.context, message, delivery)
        assert isinstance(message, MailboxRead)
        return await read(self.context, message, delivery)

    async def settle(self, done: Done) -> None:
        for outgoing in done.messages:
            match outgoing.message if isinstance(outgoing, Outgoing) else outgoing:
                case CalendarSnapshot() as snapshot:
                    self.snapshots.append(snapshot)
                case MailboxUnreadable() as gone:
                    self.unreadable.append(gone)
                case other:
                    self.put(other)
        if done.commit is not None:
            await done.commit()

    async def step(self) -> None:
        """Handle one message; a retry goes to the end of the line at once, whatever pause it asked for."""
        message, delivery = self.queue.popleft()
        try:
            done = await self.handle(message, delivery)
        except Retry as retry:
            self.retries.append(retry)
            attempt = delivery.attempt + 1 if retry.counted else delivery.attempt
            self.put(message, message_id=delivery.message_id, attempt=attempt)
            await asyncio.sleep(min(retry.after, 0.05))
        else:
            await self.settle(done)

    async def run(self, *, steps: int = 2000, at_once: int = 8) -> None:
        """Go on until nothing is left to do."""
        while self.queue:
            assert steps > 0, "the messages never end"
            batch = min(at_once, len(self.queue))
            steps -= batch
            await asyncio.gather(*(self.step() for _ in range(batch)))

    async def rows(self) -> dict[str, Any]:
        """Return every mailbox's row by address."""
        async with self.context.store.read() as connection:
            return {row.address or row.mailbox_id: row for row in await connection.execute(select(mailboxes))}

    async def enumeration(self) -> Any:
        async with self.context.store.read() as connection:
            return (await connection.execute(select(enumerations))).one()

    async def change_org(self, *, policy: Policy | None = None, state: str = "connected") -> None:
        """Raise the generation, as the authorizer does, with another policy or state."""
        self.generation += 1
        values: dict[str, Any] = {"generation": self.generation, "state": state}
        if policy is not None:
            values["policy"] = msgspec.json.encode(policy)
        async with self.context.store.write() as connection:
            await connection.execute(update(orgs).where(orgs.c.org_id == self.org_id).values(values))
        self.context.tenants._orgs.drop(self.org_id)  # held for a second otherwise

    def latest(self) -> dict[str, CalendarSnapshot]:
        """Return the newest snapshot of each mailbox by address, as the publisher would keep it."""
        found: dict[str, CalendarSnapshot] = {}
        for snapshot in sorted(self.snapshots, key=lambda each: each.version):
            found[snapshot.mailbox.address] = snapshot
        return found


@asynccontextmanager
async def opened(
    store_url: str, reach: Reach, folder: Path, *, policy: Policy | None = None, settings: Settings | None = None
) -> AsyncIterator[Desk]:
    """Open a desk for one connected org whose tenant the stand-in serves."""
    store = open_store(store_url)
    vault = load_vault(folder / "keys", create=True)
    await _connect(store, reach, policy or Policy())
    credential = GraphCredential(client_id=reach.client_id, client_secret=reach.client_secret)
    await desk_orgs.put_credential(store, vault, "default", credential, now=clock.now())
    tokens = Tokens(ca_file=reach.ca_file)
    try:
        async with open_session(reach.ca_file, connections=16) as session:
            access = Access(store=store, vault=vault, tokens=tokens, session=session, sandbox_url=reach.url)
            context = Context(
                store=store,
                mailboxes=Mailboxes(store),
                tenants=Tenants(access),
                settings=settings or Settings(),
                log=logs.get("fetcher"),
            )
            yield Desk(context, "org1")
    finally:
        tokens.close()
        await store.close()


async def _connect(store: Store, reach: Reach, policy: Policy) -> None:
    row = {
        "org_id": "org1",
        "generation": 1,
        "state": "connected",
        "connection": msgspec.json.encode(GraphConnection(tenant_id=reach.tenant_id, cloud="sandbox")),
        "tenant_id": reach.tenant_id,
        "policy": msgspec.json.encode(policy),
    }
    async with store.write() as connection:
        await connection.execute(orgs.insert().values(row))


def addresses(messages: Iterable[CalendarSnapshot | MailboxUnreadable]) -> list[str]:
    """Return whom messages speak of, in order."""
    return sorted(message.mailbox.address for message in messages)
