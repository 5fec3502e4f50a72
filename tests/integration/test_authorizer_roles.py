"""Least privilege: what each service's database role may do, and that the authorizer gets along with its own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError

from services.authorizer import audit, boxes, due, leaving, orgs, policy_previewing, requests, resyncing, verdicts
from services.authorizer.purging import SERVICES as ASKED
from services.authorizer.purging import Ask, Close
from services.authorizer.standing import standing
from services.publisher import consumers, relay, retention
from services.publisher.departure import depart
from services.publisher.plan import Outcome
from services.publisher.standing import org_status
from services.publisher.timelines import publish
from shared.connections import credential_of
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Detail, Policy
from shared.identity import GraphCredential
from shared.migrate import schema_is_current
from shared.store import Store, open_store
from shared.tables import metadata, timelines, updates
from shared.vault import Vault
from tests.servers import execute
from tests.unit.authorizer.acting import NOW, all_answer, connect, emptied, fill
from tests.unit.authorizer.authorizer_fakes import times
from tests.unit.publisher import readings

ROLES = Path(__file__).parents[2] / "deploy" / "postgres" / "roles.sql"
SERVICES = ("authorizer", "fetcher", "publisher")
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
READ, WRITE = frozenset({"SELECT"}), frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})

# table: who may do what; everything else is refused
ALLOWED = {
    "orgs": {"authorizer": WRITE, "fetcher": READ, "publisher": READ},
    "policies": {"authorizer": WRITE - {"UPDATE"}, "fetcher": READ, "publisher": READ},
    "credentials": {"authorizer": WRITE, "fetcher": READ},
    "audit": {"authorizer": READ | {"INSERT"}},
    "purges": {"authorizer": WRITE - {"DELETE"}, "fetcher": READ, "publisher": READ},
    "sessions": {"authorizer": WRITE},
    "used_links": {"authorizer": WRITE},
    "sign_ins": {"authorizer": WRITE},
    "mailboxes": {"fetcher": WRITE, "publisher": READ, "authorizer": READ},
    "enumerations": {"fetcher": WRITE, "publisher": READ, "authorizer": READ},
    "subscriptions": {"fetcher": WRITE, "publisher": READ},
    "shares": {"fetcher": WRITE},
    "streams": {"fetcher": WRITE},
    "timelines": {"publisher": WRITE},
    "updates": {"publisher": WRITE, "authorizer": frozenset({"DELETE"})},  # and columns: see below
    "relay": {"publisher": WRITE},
    "consumers": {"publisher": WRITE},
    "webhooks": {"publisher": WRITE},
    "webhook_waits": {"publisher": WRITE},
    "deliveries": {"publisher": WRITE},
    "feeds": {"publisher": WRITE},
    "accesses": {"publisher": WRITE},
    "alembic_version": dict.fromkeys(SERVICES, READ),
}


@pytest.fixture
def granted(migrated_postgres_url: str) -> Iterator[str]:
    script = ROLES.read_text()
    execute(migrated_postgres_url, script, script)  # safe to repeat
    yield migrated_postgres_url
    for service in SERVICES:
        execute(migrated_postgres_url, f"DROP OWNED BY busyline_{service}")


@pytest.fixture
async def owner(granted: str) -> AsyncIterator[Store]:
    store = open_store(granted)
    yield store
    await store.close()


async def test_each_role_may_do_exactly_what_is_written_here(owner: Store) -> None:
    query = text("SELECT has_table_privilege(:role, :table, :right)")
    found = {}
    async with owner.read() as reading:
        for table in ALLOWED:
            for service in SERVICES:
                asked = [{"role": f"busyline_{service}", "table": table, "right": right} for right in RIGHTS]
                rights = {each["right"] for each in asked if (await reading.execute(query, each)).scalar_one()}
                if rights:
                    found.setdefault(table, {})[service] = frozenset(rights)
    assert found == ALLOWED


COLUMNS = {  # what the authorizer may do with single columns of what others write
    "timelines": {"UPDATE": {"events"}, "SELECT": {"org_id", "mailbox_id", "coverage"}},
    "updates": {"SELECT": {"org_id", "mailbox_id", "generation", "type"}},
    "mailboxes": {"SELECT": {column.name for column in metadata.tables["mailboxes"].columns}},
    "subscriptions": {"SELECT": {"org_id", "mailbox_id"}},
    "enumerations": {"SELECT": {column.name for column in metadata.tables["enumerations"].columns}},
    "shares": {},
    "streams": {},
    "relay": {},
    "consumers": {},
}


async def test_the_authorizer_may_use_exactly_these_columns_of_others(owner: Store) -> None:
    query = text("SELECT has_column_privilege('busyline_authorizer', :table, :column, :right)")
    found: dict[str, dict[str, set[str]]] = {table: {} for table in COLUMNS}
    async with owner.read() as reading:
        for table in COLUMNS:
            for column in metadata.tables[table].columns:
                for right in ("SELECT", "INSERT", "UPDATE", "REFERENCES"):
                    asked = {"table": table, "column": column.name, "right": right}
                    if (await reading.execute(query, asked)).scalar_one():
                        found[table].setdefault(right, set()).add(column.name)
    assert found == COLUMNS


def test_no_table_is_forgotten() -> None:
    assert set(ALLOWED) == {*metadata.tables, "alembic_version"}


async def test_no_role_may_change_the_schema_or_log_in_by_itself(owner: Store) -> None:
    async with owner.read() as reading:
        for service in SERVICES:
            role = {"role": f"busyline_{service}"}
            create = text("SELECT has_schema_privilege(:role, 'public', 'CREATE')")
            assert not (await reading.execute(create, role)).scalar_one()
            super_ = text("SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = :role")
            assert not (await reading.execute(super_, role)).scalar_one()


@pytest.fixture
async def publishing(granted: str) -> AsyncIterator[Store]:
    """The publisher's own view of the database."""
    execute(granted, "ALTER ROLE busyline_publisher LOGIN PASSWORD 'for-this-test'")
    store = open_store(f"postgresql://busyline_publisher:for-this-test@{granted.rpartition('@')[2]}")
    yield store
    await store.close()
    execute(granted, "ALTER ROLE busyline_publisher NOLOGIN PASSWORD NULL")


async def test_the_publishers_role_is_enough_for_all_it_does(publishing: Store, owner: Store) -> None:
    await readings.connect(owner)
    shown = readings.snapshot(readings.busy(1, 2), events=(readings.event(1, 2),))
    assert await publish(publishing, [shown], now=NOW) == (Outcome.PUBLISHED,)
    await readings.connect(owner, generation=2)
    assert await publish(publishing, [readings.erased(version=2)], now=NOW) == (Outcome.PUBLISHED,)
    await consumers.add(publishing, "crm", ["acme"], now=NOW)
    assert await org_status(publishing, "acme") is not None
    await relay.begin(publishing)
    assert await retention.forget_old(publishing, before=NOW + 1) == 0
    await readings.connect(owner, generation=3, state="disconnecting")
    assert (await depart(publishing, "acme", 3, now=NOW))["timelines"] == 1
    assert [known.orgs for known in await consumers.listed(publishing)] == [()]


@pytest.fixture
async def limited(granted: str) -> AsyncIterator[Store]:
    """The authorizer's own view of the database."""
    execute(granted, "ALTER ROLE busyline_authorizer LOGIN PASSWORD 'for-this-test'")
    host = granted.rpartition("@")[2]
    store = open_store(f"postgresql://busyline_authorizer:for-this-test@{host}")
    yield store
    await store.close()
    execute(granted, "ALTER ROLE busyline_authorizer NOLOGIN PASSWORD NULL")


async def test_the_authorizers_role_is_enough_for_all_it_does(limited: Store) -> None:
    old, new, now = Vault({"k1": b"1" * 32}), Vault({"k2": b"2" * 32, "k1": b"1" * 32}), 1_800_000_000
    assert await schema_is_current(limited)
    await orgs.put_credential(limited, old, "default", GraphCredential(client_id="app"), now=now)
    await orgs.open_all(limited, old)
    assert await orgs.reseal(limited, new, now=now) == 1
    assert await orgs.forget_unused(limited, "acme") == 0
    assert await credential_of(limited, new, "default", GraphCredential) is not None
    asked = GraphConnection(tenant_id="t")
    await orgs.request(limited, org_id="acme", connection=asked, policy=Policy(), now=now)
    (claimed,) = await verdicts.claim(limited, now=now, limit=1)
    assert await verdicts.accept(limited, claimed, tenant_id="t", times=times(now)) == "connected"
    await orgs.request(limited, org_id="acme", connection=asked, policy=Policy(detail=Detail.DETAILS), now=now)
    await due.remember(limited, await due.claim(limited, now=now), next_at=now + 1)
    await due.everything(limited, now=now)
    await due.watch(limited, verify_at=now)
    (claimed,) = await verdicts.claim(limited, now=now, limit=1)
    assert await verdicts.refuse(limited, claimed, reason="secret_wrong", times=times(now)) == "attention"
    (claimed,) = await verdicts.claim(limited, now=now + 60, limit=1)
    assert await verdicts.accept(limited, claimed, tenant_id="t", times=times(now + 60)) == "restored"
    assert await requests.doubt(limited, "acme", generation=2, now=now + 500)
    assert [found.generation for found in await orgs.all_orgs(limited)] == [2]
    assert audit.verify(await audit.entries(limited, "acme")) is None
    assert await audit.chains(limited)


async def test_the_authorizers_role_is_enough_to_erase_what_a_stricter_policy_forbids(
    limited: Store, owner: Store
) -> None:
    await connect(limited)
    await fill(owner)
    await orgs.change_policy(limited, "acme", Policy(), actor="platform", now=NOW)
    async with owner.read() as reading:
        assert set((await reading.execute(select(timelines.c.events))).scalars()) == {None}
        assert set((await reading.execute(select(updates.c.type))).scalars()) == {"mailbox.removed.v1"}


async def test_the_authorizers_role_is_enough_to_preview_a_policy(limited: Store, owner: Store) -> None:
    await connect(limited)
    await fill(owner)
    state = await orgs.org(limited, "acme")
    assert state is not None
    found = await policy_previewing.figured(limited, state, Policy(), now=NOW)
    assert found.figures == {("read", "mailboxes"): 2, ("shown", "calendars"): 2}


async def test_the_authorizers_role_is_enough_to_see_an_org_off(limited: Store, owner: Store) -> None:
    await connect(limited)
    await fill(owner)
    purge_id = await orgs.disconnect(limited, "acme", actor="operator", now=NOW)
    assert purge_id is not None
    (purge,) = await leaving.under_way(limited)
    assert purge.counts == {"mailboxes": 2, "subscriptions": 2, "timelines": 2, "updates": 4}
    assert await leaving.claim(limited, purge, now=NOW)
    await all_answer(limited, purge_id)
    await emptied(owner)
    assert await leaving.next_step(limited, purge, now=NOW) == Ask(ASKED)
    (purge,) = await leaving.under_way(limited)
    assert await leaving.next_step(limited, purge, now=NOW) == Close()
    await leaving.close(limited, purge, now=NOW)
    assert await orgs.receipt(limited, "acme") is not None


async def test_the_authorizers_role_is_enough_for_what_the_setup_page_shows(limited: Store, owner: Store) -> None:
    await connect(owner)
    await fill(owner)
    found = await standing(limited, "acme", now=NOW)
    assert (found.to_read, found.uncovered) == (2, False)
    assert (await boxes.page(limited, "acme", boxes.Wanted(text="a@"))).count == 2
    assert await resyncing.search(limited, "acme", now=NOW)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM timelines",
        "SELECT events FROM timelines",
        "SELECT blocks FROM timelines",
        "UPDATE timelines SET blocks = NULL",
        "DELETE FROM timelines",
        "SELECT body FROM updates",
        "UPDATE mailboxes SET due_at = 0",
        "UPDATE enumerations SET allowed_until = 0",
        "SELECT subscription_id FROM subscriptions",
        "DELETE FROM mailboxes",
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "DELETE FROM purges",
        "UPDATE policies SET created_at = 0",
        "ALTER TABLE audit DISABLE TRIGGER ALL",
    ],
)
async def test_the_authorizer_cannot_see_who_is_busy_or_rewrite_what_was(limited: Store, statement: str) -> None:
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
        async with limited.write() as writing:
            await writing.execute(text(statement))


@pytest.mark.parametrize("service", ["fetcher", "publisher"])
async def test_no_other_service_reads_the_audit_log(owner: Store, service: str) -> None:
    query = text("SELECT has_table_privilege(:role, 'audit', 'SELECT')")
    async with owner.read() as reading:
        assert not (await reading.execute(query, {"role": f"busyline_{service}"})).scalar_one()
