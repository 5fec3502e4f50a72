"""Two authorizers on one database: each org is verified and searched once, and a tenant is given away once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.authorizer import audit, due, orgs, purging, verdicts
from services.authorizer.__main__ import serve
from services.authorizer.desk import Desk
from services.authorizer.purging import SERVICES
from services.authorizer.settings import Settings
from services.authorizer.verify import Microsoft
from shared import clock
from shared.broker import Consumer, Delivery, Done, open_broker
from shared.contracts.messages import (
    GraphConnection,
    MailboxEnumerate,
    Message,
    OrgConnected,
    OrgDisconnected,
    OrgPurge,
    OrgPurged,
)
from shared.contracts.policy import Policy
from shared.health import Health
from shared.identity import GraphCredential
from shared.process import Rim
from shared.store import Store, open_store
from shared.vault import load_vault
from tests.unit.authorizer.authorizer_fakes import FakeGraph, FakeTokens, times, token_of
from tests.unit.authorizer.exchange_fakes import FakeServer
from tests.waiting import until

ORGS = 30


@pytest.fixture
async def stores(store_url: str) -> AsyncIterator[tuple[Store, Store]]:
    """Two processes' views of one database (SQLite and PostgreSQL)."""
    pair = open_store(store_url), open_store(store_url)
    yield pair
    for store in pair:
        await store.close()


class OwnTenant(FakeTokens):
    """Names the tenant as it was asked for, after a moment in which others may act."""

    async def token(self, **asked: object) -> str:  # type: ignore[override]
        await asyncio.sleep(0)
        self.asked.append(("", "", "", True))
        return token_of(str(asked["tenant_id"]))


async def test_two_authorizers_do_each_thing_once(stores: tuple[Store, Store], tmp_path: Path) -> None:
    vault, broker = load_vault(tmp_path / "keys", create=True), open_broker("memory://")
    await orgs.put_credential(stores[0], vault, "default", GraphCredential(client_id="app"), now=1)
    tokens, stop, jobs = OwnTenant(), asyncio.Event(), []

    async def take(message: Message, _: Delivery) -> Done:
        assert isinstance(message, MailboxEnumerate)
        jobs.append((message.org_id, message.generation))
        return Done()

    def authorizer(store: Store) -> asyncio.Task[None]:
        microsoft = Microsoft(tokens, FakeGraph())
        exchange = FakeServer().exchange()
        desk = Desk(store=store, vault=vault, microsoft=microsoft, exchange=exchange, settings=Settings(), tries={})
        return asyncio.create_task(serve(desk, Rim(broker=broker, store=store, stop=stop, health=Health())))

    running = [
        *(authorizer(store) for store in stores),
        asyncio.create_task(broker.run([Consumer("fetcher.enumerate", take)], service="fetcher", stop=stop)),
    ]
    wanted = [OrgConnected(org_id=f"org{n}", connection=GraphConnection(tenant_id=f"tenant-{n}")) for n in range(ORGS)]
    await broker.publish(wanted)
    await until(lambda: len({org_id for org_id, _ in jobs}) == ORGS, 60)
    stop.set()
    await asyncio.wait_for(asyncio.gather(*running), 60)
    await broker.close()
    assert sorted(jobs) == sorted((message.org_id, 1) for message in wanted)
    assert len(tokens.asked) == ORGS


async def test_one_tenant_asked_for_by_many_orgs_at_once_goes_to_one(stores: tuple[Store, Store]) -> None:
    now = clock.now()
    for n in range(8):
        asked = GraphConnection(tenant_id=f"name-{n}")
        await orgs.request(stores[0], org_id=f"org{n}", connection=asked, policy=Policy(), now=now)
    claims = [
        *((stores[0], each) for each in await verdicts.claim(stores[0], now=now, limit=4)),
        *((stores[1], each) for each in await verdicts.claim(stores[1], now=now, limit=8)),
    ]
    assert len({each.org_id for _, each in claims}) == len(claims) == 8
    outcomes = await asyncio.gather(
        *(verdicts.accept(store, each, tenant_id="the-tenant", times=times(now)) for store, each in claims)
    )
    assert sorted(outcomes) == ["connected"] + ["tenant_taken"] * 7


async def test_claims_made_at_once_never_overlap(stores: tuple[Store, Store]) -> None:
    now = clock.now()
    for n in range(ORGS):
        asked = GraphConnection(tenant_id=f"t{n}")
        await orgs.request(stores[0], org_id=f"org{n}", connection=asked, policy=Policy(), now=now)
    taken = await asyncio.gather(
        *(verdicts.claim(stores[n % 2], now=now, limit=7) for n in range(8)), return_exceptions=False
    )
    claimed = [each for part in taken for each in part]
    names = [each.org_id for each in claimed]
    assert len(names) == len(set(names))
    for each in claimed:
        await verdicts.accept(stores[0], each, tenant_id=each.connection.tenant_id, times=times(now))
    searched = await asyncio.gather(*(due.claim(stores[n % 2], now=now, limit=5) for n in range(8)))
    names = [each.org_id for part in searched for each in part]
    assert len(names) == len(set(names))


async def test_a_policy_changed_from_two_sides_at_once_gives_two_generations(stores: tuple[Store, Store]) -> None:
    now, asked = clock.now(), GraphConnection(tenant_id="t")
    await orgs.request(stores[0], org_id="acme", connection=asked, policy=Policy(), now=now)
    (claimed,) = await verdicts.claim(stores[0], now=now, limit=1)
    await verdicts.accept(stores[0], claimed, tenant_id="t", times=times(now))
    changed = [Policy(days_back=days) for days in (10, 20)]
    await asyncio.gather(
        *(
            orgs.request(store, org_id="acme", connection=asked, policy=policy, now=now)
            for store, policy in zip(stores, changed, strict=True)
        )
    )
    found = await orgs.org(stores[0], "acme")
    assert found is not None
    assert found.generation == 3
    assert found.policy in changed


async def test_two_authorizers_see_an_org_off_once(
    stores: tuple[Store, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleaned: list[Store] = []

    async def compact(store: Store) -> bool:
        cleaned.append(store)
        return False

    monkeypatch.setattr(Store, "compact", compact)
    monkeypatch.setattr(purging, "ASK_AGAIN", 3600)  # or a slow machine would ask twice for that alone
    vault, broker, stop = load_vault(tmp_path / "keys", create=True), open_broker("memory://"), asyncio.Event()
    asked: list[tuple[str, str]] = []

    async def purge(message: Message, _: Delivery) -> Done:
        assert isinstance(message, OrgPurge)
        asked.append((message.org_id, message.service))
        told = {"org_id": message.org_id, "purge_id": message.purge_id, "service": message.service}
        return Done((OrgPurged(**told, counts={"messages": 1}),) * 2)

    def authorizer(store: Store) -> asyncio.Task[None]:
        microsoft = Microsoft(FakeTokens(), FakeGraph())
        exchange = FakeServer().exchange()
        desk = Desk(store=store, vault=vault, microsoft=microsoft, exchange=exchange, settings=Settings(), tries={})
        return asyncio.create_task(serve(desk, Rim(broker=broker, store=store, stop=stop, health=Health())))

    names = [f"org{n}" for n in range(5)]
    for name in names:
        connection = GraphConnection(tenant_id=name)
        await orgs.request(stores[0], org_id=name, connection=connection, policy=Policy(), now=clock.now())
    running = [
        *(authorizer(store) for store in stores),
        *(
            asyncio.create_task(broker.run([Consumer(f"{service}.purge", purge)], service=service, stop=stop))
            for service in SERVICES
        ),
    ]
    await broker.publish([OrgDisconnected(org_id=name) for name in names] * 2)

    async def all_gone() -> bool:
        return len(await orgs.receipts(stores[0])) == len(names)

    await until(all_gone, 60)
    stop.set()
    await asyncio.wait_for(asyncio.gather(*running), 60)
    await broker.close()
    times = Counter(asked)
    assert times.keys() == {(name, service) for name in names for service in SERVICES}
    # The fetcher is asked once more if it answers before the others; nobody is asked by both authorizers.
    most = {"fetcher": 2}
    assert {asked: count for asked, count in times.items() if count > most.get(asked[1], 1)} == {}
    for name in names:
        found = await audit.entries(stores[1], name)
        assert audit.verify(found) is None
        assert [entry.action for entry in found].count("org.purged") == 1
        receipt = await orgs.receipt(stores[1], name)
        assert receipt is not None
        assert receipt.counts["messages"] == 3
    assert await orgs.all_orgs(stores[0]) == ()
