"""A desk for one organisation connected through EWS, and what its mailboxes come to there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from sqlalchemy import update

from services.authorizer import orgs as authorizer_orgs
from services.fetcher.connect import Access, Tenants
from services.fetcher.context import Context
from services.fetcher.mailboxes import Mailboxes
from services.fetcher.settings import Settings
from shared import clock, logs
from shared.connections import EWS
from shared.contracts.messages import EwsConnection
from shared.contracts.policy import Policy
from shared.contracts.values import Bucket
from shared.ews.credential import EwsCredential
from shared.ews.dialling import Surroundings
from shared.graph import open_session
from shared.identity import Tokens
from shared.store import open_store
from shared.tables import mailboxes, orgs
from shared.vault import load_vault
from tests.unit.fetcher.desk import Desk


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """How an Exchange organisation is reached, and what one signs in with."""

    connection: EwsConnection
    credential: EwsCredential
    surroundings: Surroundings = Surroundings()


@asynccontextmanager
async def opened_exchange(
    store_url: str, folder: Path, way: Way, *, policy: Policy | None = None
) -> AsyncIterator[Desk]:
    """Open a desk for one org connected through EWS."""
    store, vault = open_store(store_url), load_vault(folder / "keys", create=True)
    row = {"org_id": "org1", "generation": 1, "state": "connected", "kind": EWS, "tenant_id": "ews:mail.example.org"}
    row |= {"connection": msgspec.json.encode(way.connection), "policy": msgspec.json.encode(policy or Policy())}
    async with store.write() as writing:
        await writing.execute(orgs.insert().values(row))
    await authorizer_orgs.put_credential(store, vault, "default", way.credential, now=clock.now())
    tokens = Tokens()
    async with open_session("", connections=2) as session:
        access = Access(store=store, vault=vault, tokens=tokens, session=session, surroundings=way.surroundings)
        tenants, boxes, log = Tenants(access), Mailboxes(store), logs.get("fetcher")
        try:
            settings = Settings(tries=3)
            yield Desk(Context(store=store, mailboxes=boxes, tenants=tenants, settings=settings, log=log), "org1")
        finally:
            await tenants.close()
    tokens.close()
    await store.close()


async def follow(desk: Desk) -> None:
    desk.enumerate()
    await desk.run()


async def read_all(desk: Desk) -> None:
    """Let every active mailbox have been read, and be due only much later."""
    here = mailboxes.c.bucket == Bucket.ACTIVE
    read = {"version": 1, "read_at": clock.now(), "read_generation": desk.generation, "due_at": clock.now() + 5000}
    async with desk.context.store.write() as connection:
        await connection.execute(update(mailboxes).where(here).values(read))


async def due(desk: Desk) -> list[str]:
    """Return who polling would take now."""
    now = clock.now()
    taken = await desk.context.mailboxes.take_due(now, limit=9999, until=now + 300)
    names = {row.mailbox_id: address for address, row in (await desk.rows()).items()}
    return sorted(names[each.mailbox_id].partition("@")[0] for each in taken)
