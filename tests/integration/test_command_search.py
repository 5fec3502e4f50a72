"""That `verify-purge` can find: whatever is planted anywhere a deployment keeps something, it tells the place of."""

import json
import sqlite3
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from deploy.command import places, witness
from deploy.command.main import main
from deploy.command.searching import Matcher, Wanted
from deploy.command.witness import Witness
from services.authorizer import audit
from shared import tables
from shared.broker import Outgoing, open_broker, opening, topology
from shared.contracts.messages import MailboxRead
from shared.store import Store, open_store
from tests.waiting import until

ADDRESS = "person0001@contoso.com"
LISTED = Witness(org_id="acme", made_at=0, addresses=(ADDRESS,), mailbox_ids=("box-0001",))
MATCHER = Matcher("acme", [*LISTED.wanted(), Wanted("canary", "424242")])


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    yield opened
    await opened.close()


async def hits(store: Store) -> dict[str, int]:
    found = await places.tables(store, MATCHER, org_id="acme")
    return {where: count for place in found for where, count in place.hits.items()}


async def put(store: Store, statement: object, *rows: dict[str, object]) -> None:
    async with store.write() as writing:
        await writing.execute(statement, list(rows) or None)  # type: ignore[call-overload]


def box(org_id: str = "other", mailbox_id: str = "x", address: str = "", **more: object) -> dict[str, object]:
    row = {"org_id": org_id, "mailbox_id": mailbox_id, "address": address, "kind": "user", "bucket": "active"}
    return row | {"generation": 1} | more


def update(org_id: str, kind: str, body: bytes) -> dict[str, object]:
    return {"org_id": org_id, "mailbox_id": "", "generation": 1, "type": kind, "created_at": 0, "body": body}


async def test_nothing_is_found_in_an_empty_deployment(store: Store) -> None:
    found = await places.tables(store, MATCHER, org_id="acme")
    assert {place.what for place in found} >= {f"table {name}" for name in tables.metadata.tables}
    assert not [place for place in found if place.hits]


async def test_text_blobs_and_numbers_are_found_in_their_columns(store: Store) -> None:
    rows = [box(address=ADDRESS.upper()), box(mailbox_id="box-0001", read_at=424242), box(org_id="acme", address="y@x")]
    await put(store, tables.mailboxes.insert(), box(address="y@x", mailbox_id="z"))
    for row in rows:
        await put(store, tables.mailboxes.insert(), row)
    await put(store, tables.updates.insert(), update("other", "availability.updated.v1", ADDRESS.encode("utf-16-le")))
    assert await hits(store) == {
        "mailboxes.address: address": 1,
        "mailboxes.mailbox_id: mailbox id": 1,
        "mailboxes.read_at: canary": 1,
        "mailboxes.org_id: org": 1,
        "updates.body: address": 1,
    }


async def test_a_table_that_is_not_ours_is_searched_too(store: Store) -> None:
    async with store.write() as writing:
        await writing.execute(text("CREATE TABLE forgotten (note TEXT)"))
        await writing.execute(text("INSERT INTO forgotten VALUES (:note)"), {"note": f"see {ADDRESS}"})
    assert await hits(store) == {"forgotten.note: address": 1}


async def test_what_may_remain_is_told_apart(store: Store) -> None:
    await left(store, "acme")
    found = await places.tables(store, MATCHER, org_id="acme")
    assert {place.what: place.allowed for place in found if place.allowed} == {
        "table audit": 1,
        "table purges": 1,
        "table updates": 2,  # its column and its body
    }
    assert await hits(store) == {}


async def test_what_may_remain_of_one_org_names_nobody_and_no_other_org(store: Store) -> None:
    await left(store, "acme", audit_hash=f"by {ADDRESS}")
    async with store.write() as writing:
        for chain in ("-", "other"):
            await audit.append(store, writing, chain=chain, actor="a", action="x", details={"org": "acme"}, now=0)
    assert await hits(store) == {"purges.audit_hash: address": 1, "audit.details: org": 1}


async def left(store: Store, org_id: str, audit_hash: str = "") -> None:
    """Leave what a disconnection leaves."""
    async with store.write() as writing:
        await audit.append(store, writing, chain=org_id, actor="a", action="org.purged", details={}, now=0)
    row = {"purge_id": "0" * 32, "org_id": org_id, "generation": 2, "actor": "a", "started_at": 0, "ended_at": 9}
    await put(store, tables.purges.insert(), row | {"done": "[]", "counts": b"{}", "audit_hash": audit_hash})
    await put(store, tables.updates.insert(), update(org_id, "org.removed.v1", b'{"org_id":"acme"}'))


# -- files of SQLite ----------------------------------------------------------------------------------------------


@pytest.fixture
async def embedded(sqlite_url: str) -> AsyncIterator[Store]:
    opened = open_store(sqlite_url)
    yield opened
    await opened.close()


def in_files(sqlite_url: str) -> dict[str, int]:
    database = Path(sqlite_url.removeprefix("sqlite:///"))
    found = places.sqlite_files(database, Matcher("", LISTED.wanted()), org_id="acme")
    return {Path(where).name: count for place in found for where, count in place.hits.items()}


async def test_what_was_deleted_is_found_in_the_write_ahead_log(embedded: Store, sqlite_url: str) -> None:
    await put(embedded, tables.mailboxes.insert(), box(address=ADDRESS))
    await put(embedded, tables.mailboxes.delete())
    assert in_files(sqlite_url) == {"busyline.db-wal: address": 1}
    async with embedded.read() as connection:
        await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert in_files(sqlite_url) == {}


async def test_what_was_deleted_is_found_in_free_pages(embedded: Store, sqlite_url: str) -> None:
    path = sqlite_url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA secure_delete=OFF")
        connection.execute("CREATE TABLE trace (note TEXT)")
        connection.execute("INSERT INTO trace VALUES (?)", (f"{ADDRESS} of acme",))
        connection.commit()
        connection.execute("DELETE FROM trace")
    connection.close()
    async with embedded.read() as reading:
        await reading.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert await hits(embedded) == {}
    assert in_files(sqlite_url) == {"busyline.db: address": 1, "busyline.db: org": 1}


async def test_what_may_remain_is_no_hit_in_the_files(embedded: Store, sqlite_url: str) -> None:
    await left(embedded, "acme")
    assert in_files(sqlite_url) == {}
    await put(embedded, tables.enumerations.insert(), {"org_id": "acme", "run": "r", "generation": 1, "started_at": 0})
    assert in_files(sqlite_url) == {"busyline.db: org": 1}


async def test_the_files_are_left_as_they_were(embedded: Store, sqlite_url: str) -> None:
    await left(embedded, "acme")
    database = Path(sqlite_url.removeprefix("sqlite:///"))
    files = [database, Path(f"{database}-wal")]
    before = [file.read_bytes() for file in files]
    in_files(sqlite_url)
    assert [file.read_bytes() for file in files] == before


async def test_a_large_database_is_not_taken_into_memory_to_be_searched(embedded: Store, sqlite_url: str) -> None:
    async with embedded.write() as writing:
        await writing.execute(text("CREATE TABLE large AS SELECT zeroblob(64000000) AS zeros"))
    tracemalloc.start()
    try:
        in_files(sqlite_url)
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


# -- queues -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0, 3600])
async def test_a_message_is_found_and_put_back(amqp_url: str, delay: float) -> None:
    broker, engine = open_broker(amqp_url), opening._engine(amqp_url)
    try:
        message = MailboxRead(org_id="other", generation=1, mailbox_id="box-0001", since=0)
        await broker.publish([Outgoing(message, delay)])
        for _ in range(2):
            found = [await places.queue(name, engine.browse, MATCHER) for name in topology.queue_arguments()]
            queue = "fetcher.delayed.60s" if delay else "fetcher.backfill"
            assert {where: n for place in found for where, n in place.hits.items()} == {f"queue {queue}: mailbox id": 1}
            assert sum(place.things for place in found) == 1
    finally:
        await broker.close()
        await engine.close()


async def test_an_org_is_found_in_the_headers_of_a_message(broker_url: str) -> None:
    broker, engine = open_broker(broker_url), opening._engine(broker_url)
    try:
        await broker.publish([MailboxRead(org_id="acme", generation=1, mailbox_id="x", since=0)])
        found = await places.queue("fetcher.backfill", engine.browse, Matcher("acme", ()))
        assert (found.things, dict(found.hits)) == (1, {"queue fetcher.backfill: org": 1})

        async def lies_there_again() -> bool:
            return await broker.depth("fetcher.backfill") == 1

        await until(lies_there_again)
    finally:
        await engine.close()
        await broker.close()


# -- the command --------------------------------------------------------------------------------------------------


def run(*arguments: str, database: str, broker: str = "memory://") -> tuple[int, str]:
    environment = {"BUSYLINE_DATABASE_URL": database, "BUSYLINE_BROKER_URL": broker}
    result = CliRunner().invoke(main, ["verify-purge", "acme", *arguments], env=environment)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


def test_nothing_found_is_the_only_way_to_exit_0(sqlite_url: str, tmp_path: Path) -> None:
    listed, logs = tmp_path / "witness", tmp_path / "logs"
    witness.write(listed, LISTED)
    logs.mkdir()
    (logs / "empty").touch()
    (logs / "log").write_text('{"org_id": "acme"}')
    arguments = ("--witness", str(listed), "--also", str(logs), "--canary", "a secret subject")
    code, said = run(*arguments, database=sqlite_url)
    assert (code, "Nothing of it was found." in said) == (0, True)
    assert "cannot be searched from here" in said
    (logs / "log").write_text(json.dumps({"org_id": "acme", "at": "A SECRET SUBJECT", "of": ADDRESS}))
    code, said = run(*arguments, database=sqlite_url)
    assert code == 1
    assert "log: address: 1" in said
    assert "log: canary: 1" in said
    assert "log: org" not in said
    assert ADDRESS not in said.lower()
    assert "secret subject" not in said.lower()


def test_every_queue_is_searched_on_rabbitmq(migrated_postgres_url: str, amqp_url: str) -> None:
    code, said = run(database=migrated_postgres_url, broker=amqp_url)
    assert code == 0
    assert not [name for name in topology.queue_arguments() if f"queue {name}" not in said]
    assert "only the org's id was looked for" in said


def test_an_org_that_is_there_is_not_verified(sqlite_url: str) -> None:
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as connection:
        values = ("acme", 1, "connected", b'{"kind":"graph","tenant_id":"t"}', "t", b"{}")
        connection.execute(
            "INSERT INTO orgs (org_id, generation, state, connection, tenant_id, policy) VALUES (?, ?, ?, ?, ?, ?)",
            values,
        )
    connection.close()
    code, said = run(database=sqlite_url)
    assert (code, "is not purged" in said) == (1, True)


@pytest.mark.parametrize(
    ("body", "said"), [(b"x", "wrote"), (b'{"org_id":"other","made_at":0}', "another org"), (b'{"org_id":1}', "wrote")]
)
def test_a_file_that_is_no_witness_is_wrong_usage(sqlite_url: str, tmp_path: Path, body: bytes, said: str) -> None:
    (tmp_path / "witness").write_bytes(body)
    code, printed = run("--witness", str(tmp_path / "witness"), database=sqlite_url)
    assert (code, said in printed) == (2, True)


async def test_a_witness_lists_what_names_the_org_and_nobody_else_may_read_it(store: Store, tmp_path: Path) -> None:
    connection = b'{"kind":"graph","tenant_id":"contoso.example","credential":"acme-00000001"}'
    org = {"org_id": "acme", "generation": 1, "state": "connected", "connection": connection, "policy": b"{}"}
    await put(store, tables.orgs.insert(), org | {"tenant_id": "a-tenant"})
    sealed = {"sealed": b"", "changed_at": 0}
    names = ("acme-00000001", "acme-00000002", "default", "acme-eu-00000001")
    await put(store, tables.credentials.insert(), *({"credential_id": name, **sealed} for name in names))
    await put(store, tables.mailboxes.insert(), box("acme", "box-0001", ADDRESS), box("other", "box-2", "b@x"))
    await put(store, tables.mailboxes.insert(), box("acme", "box-3", "shared@x"), box("other", "box-3", "shared@x"))
    subscription = {"org_id": "acme", "mailbox_id": "box-0001", "subscription_id": "s-1", "wanted": True}
    await put(store, tables.subscriptions.insert(), subscription | {"act_at": 0, "failures": 0})
    found = await witness.witnessed(store, "acme", now=7)
    assert found == Witness(
        org_id="acme",
        made_at=7,
        addresses=(ADDRESS,),
        mailbox_ids=("box-0001",),
        subscription_ids=("s-1",),
        tenant_ids=("a-tenant", "contoso.example"),
        credentials=("acme-00000001", "acme-00000002"),
    )
    file = tmp_path / "witness"
    file.touch(mode=0o644)
    witness.write(file, found)
    assert file.stat().st_mode & 0o777 == 0o600
    assert witness.read(file, "acme") == found
