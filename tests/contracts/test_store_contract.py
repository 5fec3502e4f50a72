"""One contract for both databases: transactions, the publication lock, a schema that is exactly shared/tables.py."""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.engine import make_url

from shared.migrate import schema_is_current, upgrade
from shared.store import Store, open_store
from shared.tables import metadata, relay, updates


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/deep/folder/b.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def empty(url: str) -> AsyncIterator[Store]:
    store = open_store(url)
    yield store
    await store.close()


@pytest.fixture
async def store(url: str, empty: Store) -> Store:
    upgrade(url)
    return empty


def update_row(org_id: str = "acme") -> dict[str, object]:
    return {
        "org_id": org_id,
        "mailbox_id": "m1",
        "generation": 1,
        "type": "availability.updated.v1",
        "created_at": 1,
        "body": b"{}",
    }


async def count(store: Store) -> int:
    async with store.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(relay))).scalar_one())


async def put(store: Store, name: str) -> None:
    async with store.write() as connection:
        await connection.execute(relay.insert().values(name=name, position=1))


async def test_a_write_is_there_when_the_block_ends(store: Store) -> None:
    await put(store, "a")
    assert await count(store) == 1


async def test_a_write_that_fails_leaves_nothing(store: Store) -> None:
    async def fail() -> None:
        async with store.write() as connection:
            await connection.execute(relay.insert().values(name="a", position=1))
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await count(store) == 0


async def test_a_cancelled_write_leaves_nothing_and_blocks_nobody(store: Store) -> None:
    begun = asyncio.Event()

    async def hang() -> None:
        async with store.write() as connection:
            await connection.execute(relay.insert().values(name="a", position=1))
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(put(store, "b"), 60)
    assert await count(store) == 1


async def test_a_reader_sees_only_what_is_committed_and_does_not_wait(store: Store) -> None:
    async with store.write() as connection:
        await connection.execute(relay.insert().values(name="a", position=1))
        assert await asyncio.wait_for(count(store), 60) == 0
    assert await count(store) == 1


async def test_many_writers_at_once_lose_nothing(store: Store) -> None:
    async def raise_by_one() -> None:
        async with store.write() as connection:
            await store.publication_lock(connection)
            position = (await connection.execute(select(relay.c.position))).scalar_one()
            await connection.execute(relay.update().values(position=position + 1))

    await put(store, "a")
    await asyncio.gather(*(raise_by_one() for _ in range(30)))
    async with store.read() as connection:
        assert (await connection.execute(select(relay.c.position))).scalar_one() == 31


async def test_a_reader_after_a_writer_on_the_same_connection_still_works(store: Store) -> None:
    for n in range(12):  # more than the pool holds
        await put(store, f"n{n}")
        assert await count(store) == n + 1


async def test_an_upsert_overwrites(store: Store) -> None:
    for position in (1, 2):
        async with store.write() as connection:
            insert = store.upsert(relay).values(name="a", position=position)
            await connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_={"position": position}))
    async with store.read() as connection:
        assert (await connection.execute(select(relay.c.position))).scalars().all() == [2]


async def test_positions_rise_and_are_never_used_twice(store: Store) -> None:
    async def add() -> int:
        async with store.write() as connection:
            made = await connection.execute(updates.insert().values(update_row()).returning(updates.c.position))
            return int(made.scalar_one())

    first, second = await add(), await add()
    async with store.write() as connection:
        await connection.execute(updates.delete())
    assert first < second < await add()


async def test_positions_rise_in_commit_order_under_the_publication_lock(store: Store) -> None:
    seen: list[int] = []

    async def add() -> None:
        async with store.write() as connection:
            await store.publication_lock(connection)
            made = await connection.execute(updates.insert().values(update_row()).returning(updates.c.position))
            position = int(made.scalar_one())
            await asyncio.sleep(0)
            seen.append(position)

    await asyncio.gather(*(add() for _ in range(20)))
    assert seen == sorted(seen)


async def test_the_publication_lock_makes_the_second_wait_for_the_first(store: Store) -> None:
    order: list[str] = []

    async def second() -> None:
        async with store.write() as connection:
            await store.publication_lock(connection)
            order.append("second")

    async with store.write() as connection:
        await store.publication_lock(connection)
        task = asyncio.create_task(second())
        await asyncio.sleep(0.1)
        order.append("first")
    await asyncio.wait_for(task, 60)
    assert order == ["first", "second"]


async def test_bytes_and_large_numbers_come_back_as_they_went(store: Store) -> None:
    body = bytes(range(256))
    async with store.write() as connection:
        await connection.execute(updates.insert().values({**update_row(), "body": body, "created_at": 253_402_300_799}))
    async with store.read() as connection:
        row = (await connection.execute(select(updates.c.body, updates.c.created_at))).one()
    assert (bytes(row.body), row.created_at) == (body, 253_402_300_799)


async def test_an_empty_database_is_not_current(empty: Store) -> None:
    assert not await schema_is_current(empty)


async def test_an_upgrade_arrives_at_the_tables_and_a_second_changes_nothing(url: str, store: Store) -> None:
    assert await schema_is_current(store)
    await put(store, "kept")
    upgrade(url)
    assert await count(store) == 1
    async with store.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, metadata)) + autoincrement(connection)


def autoincrement(connection: Connection) -> list[object]:
    """What autogenerate does not compare: that SQLite never uses a position twice."""
    if connection.dialect.name != "sqlite":
        return []
    made = connection.execute(text("SELECT sql FROM sqlite_master WHERE name = 'updates'")).scalar_one()
    return [] if "AUTOINCREMENT" in made else ["updates.position"]


async def test_two_upgrades_at_once_end_as_one(url: str, empty: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: upgrade(url), range(4)))
    assert await schema_is_current(empty)


async def test_a_failed_upgrade_leaves_nothing_behind(url: str, empty: Store) -> None:
    async with empty.write() as connection:
        await connection.execute(text("CREATE TABLE timelines (other INTEGER)"))
    with pytest.raises(Exception, match="timelines"):
        upgrade(url)
    async with empty.engine.connect() as connection:
        left = await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))
    assert left == {"timelines"}


async def test_a_database_of_another_release_is_not_current(store: Store) -> None:
    async with store.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert not await schema_is_current(store)


async def test_what_was_deleted_is_in_no_file_of_the_database_after_compacting(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/b.db"
    upgrade(url)
    store = open_store(url)
    canary = b"canary-of-a-private-calendar" * 40
    async with store.write() as connection:
        await connection.execute(updates.insert(), [{**update_row(), "body": canary} for _ in range(300)])
    async with store.write() as connection:
        await connection.execute(updates.delete())
    assert holding(tmp_path, b"canary-of")
    assert await store.compact()
    assert holding(tmp_path, b"canary-of") == []
    await put(store, "goes on")
    assert await count(store) == 1
    await store.close()


def holding(folder: Path, needle: bytes) -> list[str]:
    return [file.name for file in folder.iterdir() if needle in file.read_bytes()]


async def test_compacting_loses_nothing_that_is_there(store: Store) -> None:
    await put(store, "kept")
    assert await store.compact()
    assert await count(store) == 1


async def test_who_does_not_own_the_tables_is_told_that_they_were_not_compacted(postgres_url: str) -> None:
    upgrade(postgres_url)
    role = f"reader_{postgres_url.rpartition('_')[2]}_{os.getpid()}"
    owner = open_store(postgres_url)
    async with owner.write() as connection:
        await connection.execute(text(f"CREATE ROLE {role} LOGIN"))
    reader = open_store(str(make_url(postgres_url).set(username=role, password=None)))
    try:
        assert not await reader.compact()
        assert await owner.compact()
    finally:
        await reader.close()
        async with owner.write() as connection:
            await connection.execute(text(f"DROP ROLE {role}"))
        await owner.close()
