"""Brings a database to the newest revision of shared/migrations, and says whether it is there.

Two upgrades at once are safe: the second waits for the first and finds nothing left to do.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.store import Store, open_store

_SCRIPTS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x6D_69_67_72  # any number of ours; one upgrade at a time


def upgrade(url: str) -> None:
    """Bring the database to the newest revision; blocking, callable with or without a running event loop.

    Raises ValueError for a URL of another kind, and what the driver raises where the database cannot be reached.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="migrate") as pool:
        pool.submit(asyncio.run, _upgrade(url)).result()


async def schema_is_current(store: Store) -> bool:
    """Say whether the database stands at the revision that this code was written for."""
    head = ScriptDirectory(str(_SCRIPTS)).get_current_head()
    async with store.read() as connection:
        return await connection.run_sync(_revision) == head


async def _upgrade(url: str) -> None:
    store = open_store(url)
    try:
        async with store.write() as connection:
            await _take_turn(store, connection)
            await connection.run_sync(_to_head)
    finally:
        await store.close()


async def _take_turn(store: Store, connection: AsyncConnection) -> None:
    """Wait until no other upgrade runs; SQLite's writing transaction is that already."""
    if not store.is_sqlite:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _to_head(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
