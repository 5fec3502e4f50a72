"""An org with mailboxes as its fetcher would have left them, for the pages that show how it stands."""

from typing import Any

from sqlalchemy import insert, update

from services.authorizer import requests, verdicts
from shared import clock
from shared.contracts.messages import Connection, GraphConnection
from shared.contracts.policy import Policy
from shared.store import Store
from shared.tables import enumerations, mailboxes, orgs, timelines
from tests.unit.authorizer.acting import said
from tests.unit.authorizer.authorizer_fakes import TENANT, times

GRAPH = GraphConnection(tenant_id=TENANT)


async def connected(
    store: Store, *, connection: Connection = GRAPH, org_id: str = "acme", policy: Policy | None = None
) -> None:
    """Have an org connected now, under free/busy only unless told."""
    now = clock.now()
    word = said(now, now=now)
    assert await requests.connect(store, org_id, connection=connection, policy=policy or Policy(), word=word)
    (claimed,) = await verdicts.claim(store, now=now, limit=10)
    tenant = connection.tenant_id if isinstance(connection, GraphConnection) else "ews:mail.example"
    assert (
        await verdicts.accept(store, claimed, tenant_id=tenant, times=times(now), settled=connection)
    ) == "connected"


async def put(store: Store, number: int, *, org_id: str = "acme", covered: bool = True, **values: Any) -> str:
    """Write a mailbox that was read well, unless told otherwise; return its id."""
    mailbox_id = f"m{number:05d}"
    row: dict[str, Any] = {
        "org_id": org_id, "mailbox_id": mailbox_id, "address": f"person{number:05d}@acme.example", "kind": "user",
        "bucket": "active", "time_zone": "", "generation": 1, "read_generation": 1, "read_at": clock.now() - 60,
        "due_at": clock.now() + 3600, **values,
    }  # fmt: skip
    async with store.write() as writing:
        await writing.execute(insert(mailboxes).values(**row))
        if covered and row["bucket"] == "active":
            await writing.execute(insert(timelines).values(**timeline(org_id, mailbox_id, row["address"])))
    return mailbox_id


def timeline(org_id: str, mailbox_id: str, address: str) -> dict[str, Any]:
    """Return a row of what is published of a mailbox."""
    return {
        "org_id": org_id, "mailbox_id": mailbox_id, "address": address, "generation": 1, "version": 1,
        "coverage": "full", "bucket": "active", "time_zone": "UTC", "window_start": 0, "window_end": 1,
        "as_of": clock.now(), "blocks": b"[]",
    }  # fmt: skip


async def searched(store: Store, *, org_id: str = "acme", finished: bool = True, **values: Any) -> None:
    """Write that the directory was searched under the first generation."""
    now = clock.now()
    row: dict[str, Any] = {"org_id": org_id, "run": "0" * 32, "generation": 1, "started_at": now - 30, **values}
    row.setdefault("finished_at", now if finished else None)
    async with store.write() as writing:
        await writing.execute(insert(enumerations).values(**row))


async def change(store: Store, mailbox_id: str, *, org_id: str = "acme", **values: Any) -> None:
    """Change a mailbox's row."""
    here = (mailboxes.c.org_id == org_id, mailboxes.c.mailbox_id == mailbox_id)
    async with store.write() as writing:
        await writing.execute(update(mailboxes).where(*here).values(**values))


async def stands(store: Store, *, org_id: str = "acme", **values: Any) -> None:
    """Change an org's row."""
    async with store.write() as writing:
        await writing.execute(update(orgs).where(orgs.c.org_id == org_id).values(**values))
