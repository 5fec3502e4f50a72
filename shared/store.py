"""The one door to the database: an engine for PostgreSQL or SQLite, transactions, and the publication lock.

A writing transaction on SQLite begins IMMEDIATE and waits its turn inside the process; on PostgreSQL it is an
ordinary READ COMMITTED transaction.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.config import SettingsError
from shared.tables import metadata

PUBLICATION_LOCK = 0x42_75_73_79  # any number of ours; one lock for the whole log

_DRIVERS = {
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
    "sqlite": "sqlite+aiosqlite",
    "postgresql+asyncpg": "postgresql+asyncpg",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
}


class Store:
    """An engine with the two kinds of transaction the services use."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Wrap an engine made by `open_store`."""
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._writer: AbstractAsyncContextManager[None] = asyncio.Lock() if self.is_sqlite else nullcontext()
        self._under_way: set[asyncio.Future[Any]] = set()
        self._closed = False

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection. None stays behind with its thread and its locks.

        Neither of whoever is cancelled while it opens, nor of whoever holds one while the store closes.
        """
        connection = self.engine.connect()
        opening = self._kept(connection.start())
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            self._kept(self._given_back(connection, opening))
            raise
        try:
            yield connection
        finally:
            await asyncio.shield(self._kept(self._given_back(connection, opening)))

    async def _given_back(self, connection: AsyncConnection, opening: "asyncio.Future[Any]") -> None:
        """Give a connection back once it is open; where the store has closed meanwhile, nobody else would close it."""
        await asyncio.wait({opening})
        if opening.cancelled() or opening.exception() is not None:
            return
        if self._closed:
            await connection.invalidate()
        await connection.close()

    def _kept(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Future[Any]":
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection in a transaction that commits at the end and rolls back on any error."""
        async with self._writer, self._connection() as connection:
            if self.is_sqlite:
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                await connection.rollback()
                raise
            await connection.commit()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection for reading, each statement on its own: no transaction to open, none to end."""
        async with self._connection() as connection:
            yield await connection.execution_options(isolation_level="AUTOCOMMIT")

    def upsert(self, table: Any) -> Any:
        """Return an INSERT that has `on_conflict_do_update` on both databases."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    async def publication_lock(self, connection: AsyncConnection) -> None:
        """Hold the update log until this transaction ends.

        Positions so rise in commit order, and a generation raised under the same lock is seen by every later
        publication (rules 3 and 6 of docs/architecture.md).
        """
        if not self.is_sqlite:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": PUBLICATION_LOCK})

    async def compact(self) -> bool:
        """Give back the space of what was deleted, so that its bytes are in no file of the database any more.

        True where all of it was done. On SQLite a reader elsewhere can keep the write-ahead log from being emptied; on
        PostgreSQL only the tables' owner may. What lies in backups and in PostgreSQL's own log is not ours to reach.
        """
        async with self._writer, self.engine.connect() as raw:
            connection = await raw.execution_options(isolation_level="AUTOCOMMIT")
            return await (_vacuum_file(connection) if self.is_sqlite else _vacuum_tables(connection))

    async def close(self) -> None:
        """Close every connection: those in use as soon as they are given back."""
        self._closed = True
        while self._under_way:
            await asyncio.wait(self._under_way)
        await self.engine.dispose()


async def _vacuum_file(connection: AsyncConnection) -> bool:
    """Write the file anew (secure_delete is on), then empty the write-ahead log, which holds older pages."""
    await connection.exec_driver_sql("VACUUM")
    kept = (await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")).scalar_one()  # the first column: busy
    return not kept


async def _vacuum_tables(connection: AsyncConnection) -> bool:
    owned = text(
        "SELECT c.relname FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'"
        " AND pg_has_role(current_user, c.relowner, 'USAGE')"
    )
    found = set((await connection.execute(owned)).scalars())
    for table in metadata.sorted_tables:
        if table.name in found:
            await connection.exec_driver_sql(f"VACUUM {table.name}")
    return found >= set(metadata.tables)


def open_store(url: str, *, pool: int = 5) -> Store:
    """Open `postgresql://user:password@host/name` or `sqlite:///path/to/file`.

    Raises SettingsError (without the URL in it) for any other scheme.
    """
    try:
        parsed = make_url(url)
        driver = _DRIVERS[parsed.drivername]
    except (ArgumentError, KeyError, ValueError):  # a port that is no number
        raise SettingsError("a database URL begins with postgresql:// or sqlite:///") from None
    if driver.startswith("sqlite"):
        return Store(_sqlite(parsed.set(drivername=driver), pool))
    return Store(
        create_async_engine(
            parsed.set(drivername=driver), pool_size=pool, max_overflow=0, pool_pre_ping=False, hide_parameters=True
        )
    )


def _sqlite(url: Any, pool: int) -> AsyncEngine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(
        url, pool_size=pool, max_overflow=0, connect_args={"timeout": 30}, hide_parameters=True
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where write() says so, not where the driver guesses
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "secure_delete=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine
