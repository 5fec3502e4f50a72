"""A database given out to one test after another holds nothing of the test before, and counts from one again."""

from collections.abc import Iterator

import asyncpg
import pytest
from sqlalchemy import func, insert, select

from services.authorizer import audit
from shared.store import open_store
from shared.tables import metadata, updates
from tests.databases import Databases, dropped
from tests.servers import execute

ROW = {"org_id": "acme", "mailbox_id": "m", "generation": 1, "type": "t", "created_at": 1, "body": b"x"}


@pytest.fixture
def held(postgres_databases: Databases) -> Iterator[Databases]:
    """Databases of the test's own, so that which is given out next is known."""
    made = Databases(postgres_databases._server, postgres_databases._template)
    yield made
    made.close()


async def rows(url: str) -> dict[str, int]:
    """Return how many rows each table has that has any."""
    store = open_store(url)
    async with store.read() as connection:
        counts = {
            table.name: (await connection.execute(select(func.count()).select_from(table))).scalar_one()
            for table in metadata.sorted_tables
        }
    await store.close()
    return {name: count for name, count in counts.items() if count}


async def told(url: str, count: int) -> list[int]:
    """Write so many updates, and an entry of the audit log, which nobody may delete; return the updates' positions."""
    store = open_store(url)
    async with store.write() as connection:
        await audit.append(store, connection, chain="acme", actor="test", action="org.requested", details={}, now=1)
        await connection.execute(insert(updates), [ROW] * count)
        positions = (await connection.execute(select(updates.c.position).order_by(updates.c.position))).scalars().all()
    await store.close()
    return [int(each) for each in positions]


@pytest.mark.parametrize("count", [3, 3000], ids=["few", "many"])
async def test_nothing_of_a_test_is_there_for_the_next(held: Databases, count: int) -> None:
    url = held.take()
    assert await rows(url) == {}
    first = await told(url, count)
    held.give_back(url)
    assert held.take() == url
    assert await rows(url) == {}
    assert await told(url, count) == first == list(range(1, count + 1))
    held.give_back(url)


async def test_who_is_still_connected_is_sent_away(held: Databases) -> None:
    url = held.take()
    left = await asyncpg.connect(url)
    await left.execute("BEGIN; LOCK TABLE updates")
    held.give_back(url)
    assert held.take() == url
    assert await rows(url) == {}
    left.terminate()
    held.give_back(url)


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE more (x int)",
        "ALTER TABLE updates ADD COLUMN more int",
        "GRANT SELECT ON updates TO PUBLIC",
        "DROP INDEX {index}",
        "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER DATABASE {name} SET work_mem = '1MB'",
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
    ],
)
async def test_a_database_that_was_altered_is_not_given_out_again(held: Databases, change: str) -> None:
    url = held.take()
    index = next(each.name for table in metadata.sorted_tables for each in table.indexes)
    execute(url, change.format(index=index, name=url.rpartition("/")[2]))
    held.give_back(url)
    other = held.take()
    assert other != url
    dropped(held._server, other)
