"""A calendar with details waits for a hand before its mailbox is taken: no lease may run out in a queue."""

import asyncio
from typing import Any

import msgspec
import pytest
from sqlalchemy import insert, select, update

from services.fetcher.context import Context
from services.fetcher.handler import read
from services.fetcher.mailboxes import Mailboxes
from services.fetcher.settings import Settings
from shared import clock, connections, logs
from shared.broker import Delivery
from shared.connections import Connected
from shared.contracts.messages import EwsConnection, ListSource, MailboxRead
from shared.contracts.policy import Detail, Policy
from shared.ews.errors import EwsError
from shared.store import Store, open_store
from shared.tables import mailboxes, orgs
from tests.unit.fetcher.lanes import connect
from tests.waiting import until

ANNA = "anna@acme.example"
CONNECTION = EwsConnection(member=ANNA, directory=(ListSource(addresses=(ANNA,)),))


class Server:
    """Stands where a server stands: it has one hand for each lane, and nothing to tell."""

    follows = False

    def __init__(self) -> None:
        self.hands = {live: asyncio.Semaphore(1) for live in (True, False)}

    async def ask(self, *_: Any, **__: Any) -> Any:
        raise EwsError("network")


class Tenants:
    """Stands where the tenants' servers stand."""

    def __init__(self, store: Store, server: Server) -> None:
        self._store, self._server = store, server

    async def org(self, org_id: str, *, at_least: int = 0) -> Connected | None:
        assert at_least >= 0
        return await connections.connected(self._store, org_id)

    async def exchange(self, _: Connected) -> Server:
        return self._server


async def leased(store: Store) -> bool:
    async with store.read() as connection:
        return (await connection.execute(select(mailboxes.c.version))).scalar_one() > 0


async def settled_org(store: Store, policy: Policy) -> None:
    await connect(store, "acme")
    values = {"kind": "ews", "connection": msgspec.json.encode(CONNECTION), "policy": msgspec.json.encode(policy)}
    row = {"org_id": "acme", "mailbox_id": "a", "address": ANNA, "kind": "user", "bucket": "active", "generation": 1}
    async with store.write() as connection:
        await connection.execute(update(orgs).values(values))
        await connection.execute(insert(mailboxes).values(row))


@pytest.mark.parametrize("live", [True, False])
async def test_a_mailbox_is_taken_only_once_there_is_a_hand_for_it(sqlite_url: str, live: bool) -> None:
    store = open_store(sqlite_url)
    await settled_org(store, Policy(detail=Detail.DETAILS))
    server = Server()
    unused: Any = Tenants(store, server)
    context = Context(
        store=store, mailboxes=Mailboxes(store), tenants=unused, settings=Settings(), log=logs.get("fetcher")
    )
    message = MailboxRead(org_id="acme", generation=1, mailbox_id="a", since=clock.now(), live=live, exchange=True)
    delivery = Delivery("m", 1, redelivered=False, published_at=clock.now())
    async with server.hands[live]:
        reading = asyncio.create_task(read(context, message, delivery))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not await leased(store)
    await asyncio.gather(reading, return_exceptions=True)
    await until(lambda: leased(store))
    await store.close()
