"""Least privilege: what each service's database role may do, and that the authorizer gets along with its own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from services.authorizer import due, orgs, verdicts
from shared.connections import credential_of
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Detail, Policy
from shared.identity import GraphCredential
from shared.migrate import schema_is_current
from shared.store import Store, open_store
from shared.tables import metadata
from shared.vault import Vault
from tests.servers import execute

ROLES = Path(__file__).parents[2] / "deploy" / "postgres" / "roles.sql"
SERVICES = ("authorizer", "fetcher", "publisher")
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
READ, WRITE = frozenset({"SELECT"}), frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})

# table: who may do what; everything else is refused
ALLOWED = {
    "orgs": {"authorizer": WRITE, "fetcher": READ, "publisher": READ},
    "policies": {"authorizer": WRITE - {"UPDATE"}, "fetcher": READ, "publisher": READ},
    "credentials": {"authorizer": WRITE, "fetcher": READ},
    "mailboxes": {"fetcher": WRITE, "publisher": READ},
    "enumerations": {"fetcher": WRITE, "publisher": READ},
    "timelines": {"publisher": WRITE},
    "updates": {"publisher": WRITE},
    "relay": {"publisher": WRITE},
    "consumers": {"publisher": WRITE},
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
    assert await credential_of(limited, new, "default") is not None
    asked = GraphConnection(tenant_id="t")
    await orgs.request(limited, org_id="acme", connection=asked, policy=Policy(), now=now)
    (claimed,) = await verdicts.claim(limited, now=now, limit=1)
    assert await verdicts.accept(limited, claimed, tenant_id="t", now=now) == "connected"
    await orgs.request(limited, org_id="acme", connection=asked, policy=Policy(detail=Detail.DETAILS), now=now)
    await due.remember(limited, await due.claim(limited, now=now), next_at=now + 1)
    await due.everything(limited, now=now)
    assert [found.generation for found in await orgs.all_orgs(limited)] == [2]


async def test_the_authorizer_cannot_see_who_is_busy(limited: Store) -> None:
    async with limited.read() as reading:
        with pytest.raises(ProgrammingError, match="permission denied"):
            await reading.execute(text("SELECT * FROM timelines"))
