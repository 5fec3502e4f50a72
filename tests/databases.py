"""PostgreSQL databases for tests, given out, emptied and given out again: to make one costs more than most tests do.

One that was altered, that cannot be emptied or whose server is not ours to empty is not given out again.
"""

import asyncio
import os
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, Final

import asyncpg

from tests.postgres_server import execute

_numbers = count(1)
_CATALOGUES: Final = (
    "pg_class", "pg_attribute", "pg_attrdef", "pg_constraint", "pg_index", "pg_trigger", "pg_proc", "pg_type",
    "pg_namespace", "pg_policy", "pg_default_acl", "pg_extension",
)  # fmt: skip
# Who wrote each catalogue's rows: whatever is made, altered, granted or dropped changes the sum.
_MARK: Final = "SELECT string_agg(concat(count, '/', sum), ' ') FROM ({}) AS each".format(
    " UNION ALL ".join(
        [
            *(f"SELECT count(*), sum(xmin::text::bigint) FROM {catalogue}" for catalogue in _CATALOGUES),
            "SELECT count(*), sum(xmin::text::bigint) FROM pg_database WHERE datname = current_database()",
            "SELECT count(*), 0 FROM pg_db_role_setting",
        ]
    )
)
_ALONE: Final = """SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""
# Rows go past triggers that forbid it; what holds many is cut off, for deleted rows stay where they are.
_EMPTY: Final = """
SET session_replication_role = replica;
SET lock_timeout = '10s';
DO $$
DECLARE held record;
BEGIN
    FOR held IN
        SELECT oid::regclass AS name, pg_relation_size(oid) AS size FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
    LOOP
        IF held.size > 65536 THEN
            EXECUTE format('TRUNCATE %s CASCADE', held.name);
        ELSIF held.size > 0 THEN
            EXECUTE format('DELETE FROM %s', held.name);
        END IF;
    END LOOP;
    PERFORM setval(format('%I.%I', schemaname, sequencename), start_value, false) FROM pg_sequences;
END $$"""


def created(server: str, template: str) -> str:
    """Create a database as a copy of another and return its URL."""
    name = f"busyline_test_{os.getpid()}_{next(_numbers)}"
    execute(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    return f"{server.rpartition('/')[0]}/{name}"


def dropped(server: str, url: str) -> None:
    """Drop a database, whoever is connected to it."""
    execute(server, f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")


class Databases:
    """The databases of one server that are copies of one with the tables in it, and no rows."""

    def __init__(self, server: str, template: str) -> None:
        self._server = server
        self._template = template
        self._free: list[str] = []
        self._marks: dict[str, str] = {}

    def take(self) -> str:
        """Return the URL of a database without rows."""
        if self._free:
            return self._free.pop()
        url = created(self._server, self._template)
        self._marks[url] = _outside(_mark(url))
        return url

    def give_back(self, url: str) -> None:
        """Empty a database, to be given out again, or drop it."""
        try:
            self._marks[url] = _outside(_emptied(url, self._marks[url]))
        except (LookupError, OSError, asyncpg.PostgresError):
            dropped(self._server, url)
        else:
            self._free.append(url)

    def close(self) -> None:
        """Drop what nobody uses."""
        while self._free:
            dropped(self._server, self._free.pop())


async def _mark(url: str) -> str:
    connection = await asyncpg.connect(url, timeout=60)
    try:
        return str(await connection.fetchval(_MARK))
    finally:
        await connection.close()


async def _emptied(url: str, mark: str) -> str:
    """Empty a database and return its mark. Raises LookupError where it is not what it was, but for rows."""
    connection = await asyncpg.connect(url, timeout=60)
    try:
        await connection.execute(_ALONE)
        if await connection.fetchval(_MARK) != mark:
            raise LookupError("altered")
        await connection.execute(_EMPTY)
        return str(await connection.fetchval(_MARK))
    finally:
        await connection.close()


def _outside(work: Coroutine[Any, Any, str]) -> str:
    """Run it outside any event loop: the caller may hold a running one."""
    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(asyncio.run, work).result()
