"""The database's roles on a real PostgreSQL: each service writes its own tables and sees no more than it needs."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from deploy import prepare
from shared import tables

OWN = {
    "authorizer": {"orgs", "policies", "credentials", "audit", "purges", "sessions", "used_links", "sign_ins"},
    "fetcher": {"mailboxes", "enumerations", "subscriptions", "shares", "streams"},
    "publisher": {
        "timelines",
        "updates",
        "relay",
        "consumers",
        "webhooks",
        "webhook_waits",
        "deliveries",
        "feeds",
        "accesses",
    },
}
READS = {
    "authorizer": {"mailboxes", "enumerations"},  # the setup page shows them
    "fetcher": {"orgs", "policies", "credentials", "purges"},
    "publisher": {"orgs", "policies", "mailboxes", "enumerations", "subscriptions", "purges"},
}
ERASES = {"authorizer": {"updates"}}  # what a stricter policy forbids goes in the transaction that puts it in force
KEPT = {"authorizer": {"audit", "purges"}}  # nobody deletes what tells who did what
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
    assert written["INSERT"] == OWN[service]
    assert written["DELETE"] == (OWN[service] | ERASES.get(service, set())) - KEPT.get(service, set())
    assert written["UPDATE"] == OWN[service] - {"policies", "audit"}  # a policy in force is never changed


async def test_the_authorizer_erases_details_and_reads_none(prepared: str) -> None:
    connection = await asyncpg.connect(prepared)
    try:
        for column in ("events", "blocks", "address"):
            for privilege, may in (("UPDATE", column == "events"), ("SELECT", False)):
                query = "SELECT has_column_privilege($1, 'timelines', $2, $3)"
                assert await connection.fetchval(query, prepare.role("authorizer"), column, privilege) is may
        assert not await connection.fetchval(
            "SELECT has_column_privilege($1, 'updates', 'body', 'SELECT')", prepare.role("authorizer")
        )
    finally:
        await connection.close()


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
