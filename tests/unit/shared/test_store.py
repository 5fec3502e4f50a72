"""Opening a store: which addresses are taken, and what an error tells."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from shared.store import open_store
from shared.tables import metadata, relay
from tests.waiting import until


@pytest.mark.parametrize(
    "url", ["", "canary", "mysql://u:canary@h/d", "postgresql+psycopg://u:canary@h/d", "sqlite+pysqlite:///canary"]
)
def test_another_kind_of_address_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="begins with postgresql:// or sqlite:///") as caught:
        open_store(url)
    assert "canary" not in repr(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_postgresql_is_opened_by_its_usual_names(scheme: str) -> None:
    store = open_store(f"{scheme}://user:canary@127.0.0.1:1/name")
    assert not store.is_sqlite
    assert "canary" not in repr(store)


async def test_a_file_is_made_with_its_folder_and_in_wal_mode(tmp_path: Path) -> None:
    file = tmp_path / "var" / "b.db"
    store = open_store(f"sqlite:///{file}")
    async with store.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await store.close()
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


async def test_another_process_may_write_between_two_writes(tmp_path: Path) -> None:
    file = tmp_path / "b.db"
    store = open_store(f"sqlite:///{file}")
    async with store.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    for n in range(3):
        async with store.write() as connection:
            await connection.execute(relay.insert().values(name=f"ours{n}", position=n))
        other = sqlite3.connect(file, timeout=60)
        other.execute("INSERT INTO relay VALUES (?, 0)", (f"theirs{n}",))
        other.commit()
        other.close()
    async with store.read() as connection:
        assert len((await connection.execute(relay.select())).all()) == 6
    await store.close()


async def test_an_error_of_the_database_does_not_quote_what_was_to_be_written(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'b.db'}")
    async with store.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    with pytest.raises(IntegrityError) as caught:
        async with store.write() as connection:
            await connection.execute(relay.insert(), [{"name": "canary", "position": 1}] * 2)
    await store.close()
    assert "canary" not in str(caught.value)


async def test_a_connection_in_use_while_its_store_closes_is_closed_after_use(tmp_path: Path) -> None:
    """One left behind is told by a warning, which is an error here, and by its thread."""
    before = threading.active_count()
    store, held, over = open_store(f"sqlite:///{tmp_path / 'held.db'}"), asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with store.read() as connection:
            await connection.execute(text("SELECT 1"))
            held.set()
            await over.wait()

    holding, cancelled = asyncio.create_task(hold()), asyncio.create_task(hold())
    await asyncio.wait_for(held.wait(), 60)
    await store.close()
    over.set()
    cancelled.cancel()
    await asyncio.wait({holding, cancelled})
    await until(lambda: threading.active_count() <= before)
