"""The database's roles on a real PostgreSQL: each service writes its own tables and sees no more than it needs."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from deploy import prepare
from shared import tables

OWN = {
    "authorizer": {"orgs", "policies", "credentials"},
    "fetcher": {"mailboxes", "enumerations"},
    "publisher": {"timelines", "updates", "relay", "consumers"},
}
READS = {
    "authorizer": set(),
    "fetcher": {"orgs", "policies", "credentials"},
    "publisher": {"orgs", "policies", "mailboxes", "enumerations"},
}
PASSWORDS = {name: f"pw-{name}" for name in prepare.SERVICES}


@pytest.fixture
def prepared(postgres_url: str, tmp_path: Path) -> str:
    environ = {f"PASSWORD_{name.upper()}": password for name, password in PASSWORDS.items()}
    environ |= {"BUSYLINE_DATABASE_URL": postgres_url, "BUSYLINE_KEYS_FILE": str(tmp_path / "keys")}
    assert prepare.main(environ) == 0
    assert prepare.main(environ) == 0  # once more changes nothing
    return postgres_url


async def allowed(url: str, service: str, privilege: str) -> set[str]:
    """Return the tables on which a service's role has a privilege."""
    connection = await asyncpg.connect(url)
    try:
        query = (
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            " AND has_table_privilege($1, oid, $2)"
        )
        return {str(row[0]) for row in await connection.fetch(query, prepare.role(service), privilege)}
    finally:
        await connection.close()


@pytest.mark.parametrize("service", prepare.SERVICES)
async def test_each_service_writes_its_own_tables_and_no_others(prepared: str, service: str) -> None:
    written = {privilege: await allowed(prepared, service, privilege) for privilege in ("INSERT", "DELETE", "UPDATE")}
    assert written["INSERT"] == written["DELETE"] == OWN[service]
    assert written["UPDATE"] == OWN[service] - {"policies"}  # a policy in force is never changed


@pytest.mark.parametrize("service", prepare.SERVICES)
async def test_each_service_reads_what_it_needs_and_no_more(prepared: str, service: str) -> None:
    assert await allowed(prepared, service, "SELECT") == OWN[service] | READS[service] | {"alembic_version"}


async def test_every_table_has_exactly_one_writer() -> None:
    assert sorted(name for names in OWN.values() for name in names) == sorted(tables.metadata.tables)


@pytest.mark.parametrize("privilege", ["TRUNCATE", "REFERENCES", "TRIGGER"])
async def test_no_service_has_any_other_right_on_a_table(prepared: str, privilege: str) -> None:
    assert not set().union(*[await allowed(prepared, service, privilege) for service in prepare.SERVICES])


@pytest.mark.parametrize("service", prepare.SERVICES)
async def test_no_service_may_create_tables_or_become_another(prepared: str, service: str) -> None:
    connection = await asyncpg.connect(prepared)
    try:
        await connection.execute(f"SET ROLE {prepare.role(service)}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE mine (a int)")
        member_of = await connection.fetchval(
            "SELECT count(*) FROM pg_auth_members WHERE member = current_user::regrole"
        )
        powers = await connection.fetchrow(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        )
        assert (member_of, tuple(powers or ())) == (0, (False, False, False, False))
    finally:
        await connection.close()


def test_passwords_are_kept_as_verifiers(prepared: str) -> None:
    async def kept() -> list[str]:
        connection = await asyncpg.connect(prepared)
        try:
            rows = await connection.fetch("SELECT rolpassword FROM pg_authid WHERE rolname LIKE 'busyline\\_%'")
            return [str(row[0]) for row in rows]
        finally:
            await connection.close()

    assert all(password.startswith("SCRAM-SHA-256$4096:") for password in asyncio.run(kept()))
