"""What tests of the authorizer do and look at again and again: words, verdicts, rows of the other services."""

from typing import Any

from sqlalchemy import func, insert, select

from services.authorizer import audit, leaving, orgs, requests, verdicts
from services.authorizer.orgs import OrgState
from services.authorizer.purging import SERVICES
from services.authorizer.word import Word
from shared.contracts.messages import GraphConnection, OrgPurged
from shared.contracts.policy import Detail, Policy
from shared.store import Store
from shared.tables import mailboxes, purges, subscriptions, timelines, updates
from shared.tables import orgs as table
from tests.unit.authorizer.authorizer_fakes import times

NOW = 1_800_000_000
ONE = GraphConnection(tenant_id="tenant-1", credential="acme-0123abcd")
OTHER = GraphConnection(tenant_id="tenant-2")
OPEN = Policy(detail=Detail.DETAILS)
STRICT = Policy()


def said(at: int = NOW, *, actor: str = "platform", now: int | None = None) -> Word:
    return Word(actor=actor, said_at=at, now=max(at, NOW) if now is None else now)


async def connect(
    store: Store, *, connection: GraphConnection = ONE, policy: Policy = OPEN, at: int = NOW, org_id: str = "acme"
) -> None:
    """Have an org connected that was asked for at an instant."""
    assert await requests.connect(store, org_id, connection=connection, policy=policy, word=said(at))
    (claimed,) = await verdicts.claim(store, now=max(at, NOW), limit=10)
    tenant_id = f"guid-of-{connection.tenant_id}"
    assert await verdicts.accept(store, claimed, tenant_id=tenant_id, times=times(max(at, NOW))) != "superseded"


async def refused(store: Store, *, now: int, reason: str = "secret_expired") -> str:
    """Have what is due refused."""
    (claimed,) = await verdicts.claim(store, now=now, limit=10)
    return await verdicts.refuse(store, claimed, reason=reason, times=times(now, refused=now + 3600))


async def accepted(store: Store, *, now: int, tenant_id: str = "guid-of-tenant-1") -> str:
    """Have what is due accepted."""
    (claimed,) = await verdicts.claim(store, now=now, limit=10)
    return await verdicts.accept(store, claimed, tenant_id=tenant_id, times=times(now))


async def state(store: Store, org_id: str = "acme") -> OrgState:
    found = await orgs.org(store, org_id)
    assert found is not None
    return found


async def row(store: Store, org_id: str = "acme") -> Any:
    async with store.read() as reading:
        return (await reading.execute(select(table).where(table.c.org_id == org_id))).one()


async def acts(store: Store, chain: str = "acme") -> list[tuple[str, str]]:
    """Return who did what, as the audit log has it; the chain is whole."""
    found = await audit.entries(store, chain)
    assert audit.verify(found) is None
    return [(entry.actor, entry.action) for entry in found]


async def fill(store: Store, org_id: str = "acme", *, count: int = 2) -> None:
    """Write what fetcher and publisher hold of an org."""
    for n in range(count):
        one = {"org_id": org_id, "mailbox_id": f"m{n}"}
        async with store.write() as writing:
            await writing.execute(
                insert(mailboxes).values(
                    **one, address="a@x.example", kind="user", bucket="active", time_zone="", generation=1
                )
            )
            await writing.execute(insert(subscriptions).values(**one, wanted=True, act_at=NOW, failures=0))
            await writing.execute(
                insert(timelines).values(
                    **one, address="a@x.example", generation=1, version=1, coverage="full", bucket="active",
                    time_zone="UTC", window_start=0, window_end=1, as_of=NOW, blocks=b"[]", events=b'["canary"]',
                )
            )  # fmt: skip
            for kind in ("availability.updated.v1", "mailbox.removed.v1"):
                await writing.execute(
                    insert(updates).values(**one, generation=1, type=kind, created_at=NOW, body=b'"canary"')
                )


async def emptied(store: Store, org_id: str = "acme", *, word: bool = True) -> None:
    """Do as fetcher and publisher do when they purge."""
    async with store.write() as writing:
        for each in (mailboxes, subscriptions, timelines, updates):
            await writing.execute(each.delete().where(each.c.org_id == org_id))
        if word:
            last = {"org_id": org_id, "mailbox_id": "", "generation": 2, "type": "org.removed.v1", "body": b"{}"}
            await writing.execute(insert(updates).values(**last, created_at=NOW))


async def all_answer(store: Store, purge_id: str, org_id: str = "acme", **counts: int) -> None:
    for service in SERVICES:
        told = OrgPurged(org_id=org_id, purge_id=purge_id, service=service, counts=counts)
        assert await leaving.answer(store, told)


async def count(store: Store, name: Any, org_id: str = "acme") -> int:
    async with store.read() as reading:
        query = select(func.count()).select_from(name).where(name.c.org_id == org_id)
        return int((await reading.execute(query)).scalar_one())


async def purge_rows(store: Store) -> int:
    async with store.read() as reading:
        return int((await reading.execute(select(func.count()).select_from(purges))).scalar_one())
